"""Reading a real run: its planted batch in its own tokens, what a checkpoint makes of it, `read_checkpoints`, or two proxies."""
