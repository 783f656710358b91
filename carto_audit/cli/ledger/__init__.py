"""The commands about a team's ledger: `ledger` itself, and `history`."""
