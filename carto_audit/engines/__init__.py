"""Engines: who works on the shards of a stage, here or elsewhere: `Engine`, `in_order`, `run_apart`, `tell_progress`."""
