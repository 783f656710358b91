"""Values: keys and personal data as lenses find them in texts, and whether they come out of a proxy: `recall`."""
