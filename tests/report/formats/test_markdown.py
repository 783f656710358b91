import copy
import re
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given

from carto_audit.report.formats.markdown import MOST_REMARKS, MOST_RULES, render_markdown
from carto_audit.report.markdown_text import inert
from carto_audit.text.untrusted import safe_inline
from tests.support.hostile_facts import FRAGMENTS, hostile_facts, hostile_text, slim_facts

OURS = {"h2", "h3", "ol", "p", "table", "thead", "tbody", "tr", "th", "td", "strong", "code", "ul", "li", "br"}
"""Every element that a document of ours has."""


class Shown(HTMLParser):
    """What GitHub's own renderer makes of Markdown, raw HTML not filtered: elements, and the text outside of code."""

    def __init__(self, markdown):
        super().__init__()
        self.tags, self.text, self.bare, self._code = [], "", "", 0
        self.feed(cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._code += tag == "code"
        assert not attrs

    def handle_endtag(self, tag):
        self._code -= tag == "code"

    def handle_data(self, data):
        self.text += data
        self.bare += "" if self._code else data

    def handle_comment(self, data):
        pytest.fail(f"a comment: {data}")


def test_the_oracle_sees_what_it_has_to_catch():
    assert "a" in cmarkgfm.github_flavored_markdown_to_html("www.evil.example")
    assert Shown("a\n\n<b>x</b>").tags == ["p", "p", "b"] or "b" in Shown("a\n\n<b>x</b>").tags


def test_the_document_says_verdict_rules_quadrants_and_warnings():
    shown = Shown(render_markdown(slim_facts()))
    for words in (
        "Rejected: vendor_batch.parquet",
        "2 rules of the policy “default” reject the batch.",
        "rejects",
        "8.2 %",
        "at most 2.0 %",
        "waived by data-governance",
        "Memorized hotspot",
        "warning: few planted secrets",
        "3 confirmed and 1 suspected",
        "9f" * 32,
    ):
        assert words in shown.text
    assert shown.tags.count("table") == 2
    assert set(shown.tags) <= OURS


def test_rules_stand_worst_first_and_passed_ones_last():
    lines = [line for line in render_markdown(slim_facts()).splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:8]] == [
        "hotspot-mass",
        "benchmark-items",
        "near-copies",
        "noise",
        "power",
        "skipped",
    ]


def test_many_rules_and_warnings_are_cut_and_counted():
    facts = slim_facts()
    facts["findings"] = [facts["findings"][1] | {"rule": f"rule-{i}"} for i in range(MOST_RULES + 5)]
    facts["warnings"] = [f"warning number {i}" for i in range(MOST_REMARKS + 2)]
    text = render_markdown(facts)
    assert "and 5 more in `report.json`" in text
    assert "- and 3 more in `report.json`" in text


def test_a_policy_without_a_rule_says_so():
    facts = slim_facts()
    facts["findings"] = []
    assert "The policy has no active rule." in render_markdown(facts)


@pytest.mark.parametrize(
    "text", ["plain words", "5 % of the tokens, at most.", "near-copies (60)", "2 rules of “default”"]
)
def test_plain_words_stand_bare(text):
    assert inert(text) == text


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_whatever_is_not_plain_is_code_at_the_start_of_a_line_and_in_a_cell(fragment):
    check_inert(fragment)


@given(text=hostile_text)
def test_no_text_becomes_markup(text):
    check_inert(text)


def check_inert(text):
    line = safe_inline(text, 240).replace("|", "¦")
    for frame, tags in (
        ("{}", {"p", "code"}),
        ("| a | b |\n| --- | --- |\n| {} | c |", OURS - {"h2", "h3", "ol", "ul", "li", "p", "br"}),
    ):
        markdown = frame.format(inert(text))
        shown = Shown(markdown)
        assert set(shown.tags) <= tags
        assert shown.tags.count("td") in (0, 2)
        assert " ".join(line.split()) in " ".join(shown.text.split())
        assert not re.search(r"[@#<>\[\]|`*~!$&\\/]|://|www\.", shown.bare, re.IGNORECASE)


@given(facts=hostile_facts())
def test_hostile_text_changes_no_element_of_the_document(facts):
    tame = copy.deepcopy(facts)
    shown = Shown(render_markdown(facts))
    assert set(shown.tags) <= OURS
    rows = len(tame["findings"]) or None
    assert shown.tags.count("tr") == (0 if rows is None else rows + 1) + 5
    assert shown.tags.count("h2") == 1
    assert not re.search(r"[@#<>\[\]|`*~!$&\\/]|://|www\.", shown.bare, re.IGNORECASE)
