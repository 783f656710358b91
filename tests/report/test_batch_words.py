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


def test_what_earlier_deliveries_hold_is_said_in_words():
    from carto_audit.report.batch_words import copies_line, copies_sentences

    at_dose = {"dose": 4, "passages": 1, "rows": 2, "deliveries": 3, "split_passages": 1}
    found = {
        "compared": 1,
        "not_compared": {"entered without fingerprints": 2},
        "rows": 1,
        "own_rows": 0,
        "token_share": 0.125,
        "own_token_share": 0.0,
        "most_rows": 5,
        "at_dose": at_dose,
        "boilerplate_passages": 7,
        "guaranteed_words": 11,
        "lowest_sampling_rate": 0.5,
    }
    assert copies_line({"cross_batch": found}) == {
        "earlier deliveries": "1 row with passages of 1 earlier delivery, 12.5 % of the tokens; 1 passage stands in 4 or more "
        "rows over 3 deliveries; 2 could not be compared"
    }
    said = " ".join(copies_sentences(found))
    for words in (
        "stands in 5 rows of all deliveries together",
        "1 passage of this delivery stands in 4 or more rows over 3 deliveries, 2 rows of them here",
        "1 of these reach that in no delivery alone",
        "7 fingerprints of shared passages",
        "2 accepted deliveries could not be compared: entered without fingerprints.",
        "one of 11 words that stands there is found with a chance of 50.0 %",
    ):
        assert words in said
    none = {**found, "rows": 0, "not_compared": {}, "compared": 3}
    assert copies_line({"cross_batch": none}) == {"earlier deliveries": "no passage stands in 3 earlier deliveries"}
    assert copies_line({"cross_batch": {**none, "compared": 0}}) == {"earlier deliveries": "none to compare with"}
    assert copies_line({}) == {}
