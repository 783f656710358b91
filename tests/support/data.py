"""Public corpora and benchmarks, which not every machine has: in the folder that CARTO_AUDIT_DATA names."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("CARTO_AUDIT_DATA") or "no-data")
"""Holds `corpora/` and `benchmarks/`, parquet files."""


def needs_data(test):
    """Marks a test that reads them; it is skipped where they are not at hand."""
    absent = pytest.mark.skipif(not DATA.is_dir(), reason="needs public corpora and benchmarks: set CARTO_AUDIT_DATA")
    return pytest.mark.data(absent(test))
