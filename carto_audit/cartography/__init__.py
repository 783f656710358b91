"""Cartography: difficulty and memorization per sample, from losses alone, and the map they are drawn on."""
