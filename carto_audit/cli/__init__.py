"""The command line: one module a command; each parses, calls the library, shows, and returns an exit code."""
