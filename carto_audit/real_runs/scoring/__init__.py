"""What a real run made of a planted batch: its trace scored, `score_run`, and left as an audit is, `score_into`."""
