"""The README and the docs say what the program does: their help block, flags, links and files are checked."""

import re

import click
import pytest

from carto_audit.cli.main import cli
from carto_audit.proxies.model import PRESETS, parameters_of
from carto_audit.runtime.errors import ExitCode
from tests.support.repository import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
DOCUMENTS = [*ROOT_PAGES, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "bench").rglob("README.md"))]


def ingest_help() -> str:
    group = click.Context(cli, info_name="carto-audit", terminal_width=110, **cli.context_settings)
    command = cli.commands["ingest"]
    return command.get_help(click.Context(command, info_name="ingest", parent=group))


def test_the_help_block_is_the_help():
    block = README.split("<!-- help:begin -->")[1].split("<!-- help:end -->")[0]
    assert block.strip() == f"```text\n{ingest_help()}\n```"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_every_flag_in_the_examples_exists():
    commands = [
        inner for command in cli.commands.values() for inner in getattr(command, "commands", {"": command}).values()
    ]
    known = {option for command in commands for p in command.params for option in p.opts}
    for line in README.splitlines():
        if line.strip().startswith("carto-audit"):
            assert set(re.findall(r"(--[a-z-]+)", line)) <= known, line


def test_the_first_screen_has_the_two_commands():
    first = README[: README.index("## ")]
    assert "make demo" in first
    assert "make test" in first


def test_every_exit_code_is_documented():
    for code in ExitCode:
        if code is not ExitCode.ACCEPTED:
            assert f"| `{int(code)}` |" in README


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_are_documented_with_their_size(name):
    millions = parameters_of(PRESETS[name]) / 1e6
    shown = f"{millions:.0f} M" if millions >= 10 else f"{millions:.1f} M"
    assert f"| `{name}` | {shown} |" in (ROOT / "docs/method.md").read_text(encoding="utf-8")
