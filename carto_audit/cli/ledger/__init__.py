"""The commands about a team's ledger: `ledger` itself, `history` and `compare`."""
