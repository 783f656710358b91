"""What acting on the map buys, and at what price."""
