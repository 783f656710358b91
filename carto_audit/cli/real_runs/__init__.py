"""Commands about real training runs."""
