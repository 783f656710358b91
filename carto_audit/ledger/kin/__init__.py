"""Kin of a ledger: passages that stand in several deliveries: `ledger_key`, `make_sketch`, `hold_against`."""
