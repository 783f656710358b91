"""Keys, passwords and tokens in text, found by their form and their name: `find_keys`, `write_key`."""
