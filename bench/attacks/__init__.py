"""What attacks see, and what they cost."""
