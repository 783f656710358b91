"""What shapes of the smallest proxy see, and what they cost."""
