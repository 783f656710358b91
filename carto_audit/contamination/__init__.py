"""Contamination: benchmark items in a batch. MinHash proposes, exact comparison decides: `open_index`, `check_contamination`."""
