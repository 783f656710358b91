"""what lenses say of themselves, without loading any: `LensSpec`, `find_lens`, `known_lens`."""
