"""A vendor's summary and a buyer's audit that holds it against the batch: made once, by the five commands of the page."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from carto_audit.cli import main as cli
from tests.support.audits import sentences, write_parquet
from tests.support.repository import ROOT
from tests.support.shared import shared

PAGE = ROOT / "docs" / "vendors.md"
COMMANDS = re.findall(r"^carto-audit (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
REPEATED = 8


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The folder of it all, and how each command ended."""

    home: Path
    codes: list[int]

    @property
    def theirs(self):
        return self.home / "june-audit"

    @property
    def ours(self):
        return self.home / "june-checked"

    @property
    def summary(self):
        return self.home / "june-summary"

    @property
    def salt(self):
        return self.home / "june-summary.salt"

    @property
    def batch(self):
        return self.home / "june.parquet"


def texts_of_june():
    """Ordinary rows, and some that stand in the batch four times."""
    return [*sentences(120), *sentences(REPEATED, seed=9) * 4]


def make_pair(home):
    from tests.support.small_redteams import make_thin  # loads torch

    write_parquet(home / "june.parquet", texts_of_june())
    (home / "buyer.key").write_bytes(b"the buyer's key, which nobody knows")

    def run(line):
        return cli.run(lambda: cli.cli.main(shlex.split(line), "carto-audit", standalone_mode=False))

    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        patch.chdir(home)
        return {"home": home, "codes": [run(line) for line in COMMANDS]}


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Nobody changes it."""
    return Pair(**shared(tmp_path_factory, "vendor_pair", make_pair))
