"""Scale: stages over all rows, and engines: the same bytes by every engine and from any number of workers."""
