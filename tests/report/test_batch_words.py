"""By what the rows were drawn: said on the page, on the card, and in the terminal where a vendor could rehearse it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from carto_audit.publishing.card import card_section
from carto_audit.report.batch_words import is_rehearsable, sampling_words
from carto_audit.report.formats.terminal import render_summary
from carto_audit.report.html import render_html
from carto_audit.report.markdown_text import inert
from tests.support.report_facts import make_facts

KEYED = f"drawn by a sampling key, commitment {'5f' * 32}"
PUBLIC = "rehearsable: drawn by the public seed 0"


def rehearsed():
    facts = make_facts()
    facts["run"]["sampling"] = {"key_commitment": None, "rehearsable": True}
    return facts


def older():
    facts = make_facts()
    del facts["run"]["sampling"]
    return facts


@pytest.mark.parametrize(("make", "words"), [(make_facts, KEYED), (rehearsed, PUBLIC), (older, PUBLIC)])
def test_what_decided_the_draw_is_named_wherever_an_audit_is_read(make, words):
    facts = make()
    assert sampling_words(facts) == words
    assert is_rehearsable(facts) == (words == PUBLIC)
    assert f"<dt>Sampling</dt><dd>{words}</dd>" in render_html(facts, "<svg xmlns='http://www.w3.org/2000/svg'/>")
    published = {"left_out": "rows", "report_sha256": "ab" * 32}
    assert f"Seed 0; {inert(words)}." in card_section(facts | {"published": published})
    console = Console(file=io.StringIO(), width=100)
    render_summary(facts, Path("audit"), console)
    assert (PUBLIC in console.file.getvalue()) == (words == PUBLIC)
