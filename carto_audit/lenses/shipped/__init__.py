"""Our own lenses at work, each named after its declaration: `RepetitionLens`, `TablesLens`."""
