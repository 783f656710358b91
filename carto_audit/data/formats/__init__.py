"""Formats: how files and conversations are written: `parquet_batches`, `csv_batches`, `json_chunks`, `turns_of`."""
