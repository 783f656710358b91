"""What the contamination check finds, and how fast."""
