"""Disguises: items whose words are not where words are looked for: `respace`, `find_rare_words`, `find_with_passages`."""
