"""Does the mask mask? Lines with made-up secrets and personal data, and lines that only look like it."""
