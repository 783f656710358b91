import re

import pytest

from carto_audit.governance.report.page import render_redteam
from carto_audit.report.glossary import AUDIT_TERMS, REDTEAM_TERMS
from carto_audit.report.html import render_html
from tests.support.redteam_facts import redteam_facts
from tests.support.report_facts import make_facts

PAGES = {
    "audit": (lambda: render_html(make_facts(), ""), AUDIT_TERMS),
    "redteam": (lambda: render_redteam(redteam_facts()), REDTEAM_TERMS),
}


@pytest.fixture(scope="module", params=PAGES)
def page(request):
    make, terms = PAGES[request.param]
    return make(), terms


def test_every_term_stands_once_in_a_closed_part_at_the_end(page):
    html, terms = page
    (glossary,) = re.findall(r'<details class="glossary">.*?</details>', html, re.S)
    assert re.findall(r'<dt id="term-(\w+)">', html) == re.findall(r'<dt id="term-(\w+)">', glossary) == list(terms)
    assert html.index(glossary) > html.index('<h2 id="' + ("method" if "method" in html else "limits"))
    assert f"{len(terms)} terms used on this page" in glossary


def test_every_link_to_a_term_leads_to_one_and_most_terms_are_linked(page):
    html, terms = page
    linked = set(re.findall(r'href="#term-(\w+)"', html))
    assert linked <= set(terms)
    assert len(linked) >= len(terms) - 3


def test_what_a_reader_cannot_know_is_declared():
    assert set(AUDIT_TERMS) >= {
        "auc", "control", "dose", "fold", "hotspot", "kin", "nats", "proxy", "quadrant", "tau", "tier", "token", "twin",
    }  # fmt: skip
    assert all(
        term.meaning.endswith(".") and len(term.meaning) < 300
        for term in (*AUDIT_TERMS.values(), *REDTEAM_TERMS.values())
    )
