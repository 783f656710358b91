"""Cartography: difficulty and memorization from losses alone, and the map: `score`, `draw_map`, `analyze_losses`."""
