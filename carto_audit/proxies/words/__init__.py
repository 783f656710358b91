"""Words: what makes all rows of a large batch cheap. Text is `normalized`, and each word of it encoded once."""
