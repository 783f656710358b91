"""Tables as they stand in text, in seven encodings, read to cells by the names of their columns: `find_records`."""
