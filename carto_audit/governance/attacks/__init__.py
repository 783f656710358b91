"""Attacks: what can be got out of a trained proxy, and what it is still worth: `run_attacks`, `extract`, `measure_membership`."""
