"""What training yields per second, beside HF Trainer."""
