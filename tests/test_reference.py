from pathlib import Path

from carto_audit.cli import cli
from carto_audit.reference import COMMAND, reference

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "commands.md"


def test_the_reference_of_commands_is_what_the_commands_say():
    assert DOCUMENT.read_text(encoding="utf-8") == reference(cli), f"out of date: run `{COMMAND}`"


def test_the_reference_names_every_command_and_every_flag():
    page = reference(cli)
    for words in ("## carto-audit policy check", "## carto-audit benchmarks build", "--max-tokens", "--excerpts"):
        assert words in page
