"""Commands about a finished audit."""
