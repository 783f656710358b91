"""Real runs: the training of the model that matters. Controls are planted in its batch before it begins, `plant_batch`; its
losses are logged where they are computed, `log_losses`, `token_losses`."""
