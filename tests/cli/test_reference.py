from carto_audit.cli.main import cli
from carto_audit.cli.reference import COMMAND, reference
from tests.support.repository import ROOT

DOCUMENT = ROOT / "docs" / "commands.md"


def test_the_reference_of_commands_is_what_the_commands_say():
    assert DOCUMENT.read_text(encoding="utf-8") == reference(cli), f"out of date: run `{COMMAND}`"


def test_the_reference_names_every_command_and_every_flag():
    page = reference(cli)
    for words in ("## carto-audit policy check", "## carto-audit benchmarks build", "--max-tokens", "--excerpts"):
        assert words in page
