"""What the map sees of planted secrets."""
