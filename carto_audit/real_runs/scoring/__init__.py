"""What a real run made of a planted batch: checkpoints read over it, `read_checkpoints`, and its trace scored, `score_run`."""
