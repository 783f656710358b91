"""What batches cost that are larger than what is trained on."""
