"""Attacks: what can be got out of a trained proxy: extraction, exposure, membership; and what it is still worth."""
