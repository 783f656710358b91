"""How often the gate rejects, by what is memorized in truth."""
