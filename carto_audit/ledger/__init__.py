"""Ledger: every audit of a team in a chain: `open_ledger`, `enter`, `find_problems`, `trends`, `compare_sides`."""
