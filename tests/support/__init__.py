"""What several tests share: tiny real things, whole audits, hostile texts, a hub on the loopback."""
