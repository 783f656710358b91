"""Ways past the gate, each beside a harmless twin of the same shape."""
