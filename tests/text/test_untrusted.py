import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.text.untrusted import safe_inline

ANYTHING = st.text(st.characters(codec=None, categories=None), max_size=400)


@given(ANYTHING, st.integers(1, 60))
def test_any_text_becomes_one_printable_line_within_its_limit(text, limit):
    line = safe_inline(text, limit)
    assert len(line) <= limit
    assert line == line.strip()
    assert not {unicodedata.category(c) for c in line} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    line.encode("utf-8")


@given(ANYTHING)
def test_what_is_safe_stays_as_it_is(text):
    line = safe_inline(text, 500)
    assert safe_inline(line, 500) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\n\tlines\r\n", "two lines"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred[0m"),
        ("\u202egpj.exe\u2066", "gpj.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("nul\x00 and \ud800", "nul and"),
        ("a\u2028b\u2029c", "a b c"),
        ("\U000e0041tag", "tag"),
        ("Cafe\u0301 £ 東京 ✓", "Café £ 東京 ✓"),
        ("[/bold] {{ 7*7 }} </script>", "[/bold] {{ 7*7 }} </script>"),
        ("", ""),
    ],
)
def test_control_bidi_and_invisible_characters_are_gone_and_ordinary_text_stays(text, line):
    assert safe_inline(text) == line


def test_a_cut_text_says_so():
    assert safe_inline("x" * 50, 10) == "x" * 9 + "…"
    assert safe_inline("x" * 10, 10) == "x" * 10
    assert safe_inline("\u200b" * 1000 + "hidden", 10) == "…"


def test_a_text_of_many_megabytes_costs_no_more_than_its_head():
    assert safe_inline("word " * 10_000_000, 20).endswith("…")
