"""A vendor's summary of a batch: committed to, then held against the rows and against an audit of the buyer's own (`summarize`, `check_vendor`)."""
