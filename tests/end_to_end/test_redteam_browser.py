import io
import unicodedata

import pytest
from axe_playwright_python.sync_playwright import Axe
from pypdf import PdfReader

from carto_audit.governance.report.page import render_redteam
from tests.report.test_html import HOSTILE, poisoned
from tests.support.browser import IN_A_BROWSER, open_browser, opener_of
from tests.support.redteam_facts import YAML, judged_facts, nothing_to_reduce, redteam_facts

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture
def show(browser, tmp_path):
    """Opens facts as a page and returns it with the list of everything that went wrong in it."""
    with opener_of(browser, tmp_path / "redteam.html", render_redteam) as opener:
        yield opener


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
@pytest.mark.parametrize("make", [judged_facts, nothing_to_reduce])
def test_axe_finds_nothing_and_nothing_runs_over_the_edge(show, make, scheme, width):
    page, troubles = show(
        make(), color_scheme=scheme, viewport={"width": width, "height": 844}, reduced_motion="reduce"
    )
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert troubles == []


@pytest.mark.parametrize("poison", HOSTILE)
def test_hostile_facts_run_nothing_and_ask_nobody(show, poison):
    page, troubles = show(poisoned(judged_facts(), poison))
    page.wait_for_timeout(100)
    assert troubles == []


def test_a_mark_tells_its_numbers_to_the_mouse_and_to_the_keyboard(show):
    page, troubles = show(redteam_facts(), viewport={"width": 1280, "height": 900})
    readout = page.locator("#readout")
    page.locator(".tradeoff a[href='#arm-5']").hover(force=True)
    assert "prune 20 % by memorized: 0.7 %" in readout.inner_text()
    page.mouse.move(5, 5)
    assert readout.inner_text().startswith("Point at a mark")
    page.locator(".tradeoff a[href='#arm-3']").focus()
    assert "prune 5 % by memorized: 2.1 % (0.0 % to 5.1 %)" in readout.inner_text()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#arm-3"
    assert page.locator(".tradeoff a").count() == len(redteam_facts()["arms"])
    assert troubles == []


def test_the_block_is_copied_whole(show):
    page, troubles = show(redteam_facts(), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == YAML.strip("\n")
    assert troubles == []


def test_without_javascript_the_page_is_whole(show):
    page, _ = show(redteam_facts(), java_script_enabled=False)
    assert page.locator("#yaml").is_visible()
    assert not page.locator("#copy").is_visible()
    assert not page.locator("#readout").is_visible()
    assert page.locator(".tradeoff a title").count() == len(redteam_facts()["arms"])


def test_the_picture_is_drawn_in_the_colours_of_the_scheme(show):
    fills = set()
    for scheme in ("light", "dark"):
        page, _ = show(redteam_facts(), color_scheme=scheme)
        fills.add(page.locator(".tradeoff .arm.prune .marker").first.evaluate("mark => getComputedStyle(mark).fill"))
    assert len(fills) == 2


def test_the_page_prints_without_loss(show):
    facts = redteam_facts()
    page, _ = show(facts, viewport={"width": 695, "height": 900})
    page.emulate_media(media="print")
    wide = "Array.from(document.querySelectorAll('.scroll')).filter((e) => e.scrollWidth > e.clientWidth + 1).length"
    assert page.evaluate(wide) == 0
    page.emulate_media()
    pages = PdfReader(io.BytesIO(page.pdf(format="A4", print_background=True))).pages
    text = "".join(unicodedata.normalize("NFKC", " ".join(part.extract_text() for part in pages)).split())
    titles = [title for title in page.locator("h2, h3").all_inner_texts() if title]
    for words in (*titles, *(entry["title"][1:] for entry in facts["arms"]), "hotspot_memorized", "LT-MIA"):
        assert "".join(unicodedata.normalize("NFKC", words).split()) in text, words
