"""Do lenses see? What they find of what was planted, and what they take for it in text where it is not."""
