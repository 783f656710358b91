"""Personal values in text by class, what authors tell of themselves, and kinds of text: `find_personal`, `author_cues`."""
