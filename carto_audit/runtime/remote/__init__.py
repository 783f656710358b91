"""Remote deliveries: a batch in a bucket or on a hub, copied to this machine once: `fetched`, `parse_uri`, `check_sources`."""
