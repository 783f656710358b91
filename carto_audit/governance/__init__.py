"""Governance: does acting on the map help? `run_redteam` plants, treats, retrains, attacks, and picks the knee."""
