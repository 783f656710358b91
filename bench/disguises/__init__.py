"""What disguises hide, and what they do not."""
