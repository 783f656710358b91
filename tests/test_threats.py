"""The page of threats names tests that exist, and every defence on it has one."""

import re

from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")


def test_every_test_that_the_page_names_exists():
    named = LINK.findall(PAGE)
    assert len(named) > 50
    for words, path in named:
        assert (ROOT / path).is_file(), path
        assert path.endswith(f"/{words}.py")
        assert "def test_" in (ROOT / path).read_text(encoding="utf-8")


def test_every_defence_names_its_test_and_every_section_says_what_is_not_defended():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| attack ")]
    assert len(rows) > 30
    assert [row for row in rows if not LINK.search(row.split(" | ")[-1])] == []
    _, *sections = PAGE.split("\n## ")
    assert [section.split("\n")[0] for section in sections if "**Not defended:**" not in section] == []


def test_who_contributes_and_who_reports_find_the_page():
    for name in ("SECURITY.md", "CONTRIBUTING.md", "README.md"):
        assert "docs/threats.md" in (ROOT / name).read_text(encoding="utf-8"), name
