"""Benchmarks: evaluation sets as items, and the index that a batch is compared with: `read_benchmark`, `build_index`."""
