"""Prose that every machine has: paragraphs of the standard library's documentation."""

from itertools import islice

from carto_audit.data.demo_batch import library_texts


def passages(count):
    """The first so many that are longer than 200 characters and no pieces of programs."""
    return list(islice((text for text in library_texts() if len(text) > 200 and "\n    " not in text), count))
