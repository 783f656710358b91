"""Data: a delivery as it arrives: `read_batch`, `read_texts`, `read_records`, `find_duplicates`; and the batch of the demo."""
