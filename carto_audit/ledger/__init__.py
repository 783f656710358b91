"""Ledger: one file of every audit that a team made, in a chain: `open_ledger`, `enter`, `find_problems`, `trends`."""
