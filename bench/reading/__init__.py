"""What reading a batch costs, in every format."""
