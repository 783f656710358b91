"""The map of a real training run: its losses logged where they are computed, `log_losses`, `token_losses`."""
