"""Views: what a text says once its markup, escapes, annotations or ciphers are undone: `read_through`, `Reading`."""
