"""Vendors: can a summary be trusted, and does a ledger hold."""
