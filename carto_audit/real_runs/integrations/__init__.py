"""Where trainers compute the losses of tokens, and how they reach the trace: `log_losses`, `open_logger`, `token_losses`."""
