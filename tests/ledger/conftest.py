"""Small ledgers of made-up audits."""

import pytest

from bench.vendors.made_up import made_up
from carto_audit.ledger.store import enter


@pytest.fixture
def book(tmp_path):
    """A ledger of eight audits of two vendors."""
    path = tmp_path / "team.ledger"
    enter(path, list(made_up(8, vendors=("acme", "globex"))))
    return path
