"""What the trace of a real run shows of planted controls."""
