"""Disguises: items that do not stand where words are looked for: `find_letters`, `find_rare_words`, and honest disguises to
plant."""
