"""Commands about a finished audit: `card`, `reply`, `show`, `attest`, `verify`, `summarize`."""
