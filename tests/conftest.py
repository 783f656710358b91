"""Fixtures that several test modules share. The one long audit is made once per session."""

import pytest
from audits import GATE, NO_ITEMS, Ended, sentences, write_parquet

from carto_audit import cli


@pytest.fixture
def batch_file(tmp_path):
    """A batch of 48 ordinary rows: enough to train on, too few for any control."""
    return write_parquet(tmp_path / "batch.parquet", sentences(48))


@pytest.fixture
def gate(tmp_path):
    """A policy that a tiny batch can meet."""
    path = tmp_path / "gate.yaml"
    path.write_text(GATE)
    return path


@pytest.fixture
def gate_items(tmp_path):
    """The same, and no confirmed benchmark item either."""
    path = tmp_path / "gate_items.yaml"
    path.write_text(GATE + NO_ITEMS)
    return path


@pytest.fixture
def carto(capsys):
    """Runs the command in this process: arguments in, exit code and both streams out."""

    def run(*arguments):
        capsys.readouterr()
        code = cli.run(lambda: cli.cli.main([str(a) for a in arguments], "carto-audit", standalone_mode=False))
        said = capsys.readouterr()
        return Ended(code=code, out=said.out, err=said.err)

    return run
