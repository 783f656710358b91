import io
import unicodedata

import pytest
from axe_playwright_python.sync_playwright import Axe
from pypdf import PdfReader

from carto_audit.report.html import render_html
from carto_audit.report.map_figure import figure_svg, map_figure
from tests.report.test_html import HOSTILE, poisoned
from tests.support.browser import IN_A_BROWSER, open_browser, opener_of
from tests.support.report_facts import REMEDIES, control_scores, make_columns, make_facts

pytestmark = IN_A_BROWSER


def page_of(facts):
    """The page with its map, as an audit writes it."""
    figure = map_figure(**make_columns(), facts=facts, control_scores=control_scores())
    return render_html(facts, figure_svg(figure).decode())


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture
def show(browser, tmp_path):
    """Opens facts as a page and returns it with the list of everything that went wrong in it."""
    with opener_of(browser, tmp_path / "report.html", page_of, allowed=("file:", "data:")) as opener:
        yield opener


@pytest.mark.parametrize(("scheme", "width"), [("dark", 360), ("light", 1280)])
def test_axe_finds_nothing_and_nothing_runs_over_the_edge(show, scheme, width):
    facts = make_facts()
    facts["detection"]["remedies"] = REMEDIES
    page, troubles = show(facts, color_scheme=scheme, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    page.locator(".point").first.focus()
    page.get_by_role("button", name="open all").click()
    page.locator(".point").first.click()
    assert page.locator("#card").is_visible()
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert troubles == []


@pytest.mark.parametrize("poison", HOSTILE)
def test_hostile_facts_run_nothing_and_ask_nobody(show, poison):
    page, troubles = show(poisoned(make_facts(), poison))
    page.wait_for_timeout(100)
    assert troubles == []


def test_the_table_of_samples_is_filtered_and_sorted(show):
    page, troubles = show(make_facts())
    page.locator("#filters").get_by_role("button", name="Noisy outlier").click()
    assert page.locator("#risky tbody:visible").count() == 7
    assert page.locator("#shown").inner_text() == "7 of 50"
    page.get_by_role("button", name="all", exact=True).click()
    page.locator("th[data-sort=difficulty] button").click()
    values = [float(v) for v in page.eval_on_selector_all("#risky tbody", "b => b.map(x => x.dataset.difficulty)")]
    assert values == sorted(values, reverse=True)
    page.locator("th[data-sort=difficulty] button").click()
    assert page.locator("th[data-sort=difficulty]").get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="Like a secret planted").click()
    assert page.locator("#risky tbody").first.get_attribute("data-dose") == "64.0"
    page.locator("#filters").get_by_role("button", name="Reconstructed").click()
    assert page.locator("#risky tbody:visible").count() == 5
    assert troubles == []


@pytest.fixture
def map_page(show):
    facts = make_facts()
    page, troubles = show(facts, viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield page
    assert troubles == []


def test_pointing_at_a_sample_shows_it_and_leaving_hides_it(map_page):
    card = map_page.locator("#card")
    map_page.locator("[data-of=sample-0] .reach").hover(force=True)
    assert card.is_visible()
    for words in ("1 · pydoc/asyncio/00000", "memorization 0.97", "this passage occurs 34 times", "staging host"):
        assert words in card.inner_text()
    map_page.mouse.move(5, 5)
    card.wait_for(state="hidden")


def test_the_card_stays_inside_the_map_and_can_be_pointed_at(map_page):
    for place in (0, 3, 17):
        map_page.locator(f"[data-of=sample-{place}] .reach").hover(force=True)
        box, frame = (map_page.locator(part).bounding_box() for part in ("#card", "#map"))
        assert frame["x"] <= box["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
    map_page.locator("#card").hover()
    map_page.wait_for_timeout(400)
    assert map_page.locator("#card").is_visible()


def test_the_keyboard_walks_over_the_points_by_rank_and_opens_the_row(map_page):
    map_page.locator("[data-of=sample-0]").focus()
    map_page.keyboard.press("ArrowRight")
    assert map_page.evaluate("document.activeElement.dataset.of") == "sample-1"
    assert "2 · " in map_page.locator("#card").inner_text()
    map_page.keyboard.press("End")
    assert map_page.evaluate("document.activeElement.dataset.of") == "match-2"
    assert "orchard_math" in map_page.locator("#card").inner_text()
    map_page.keyboard.press("Home")
    map_page.keyboard.press("Escape")
    assert map_page.locator("#card").is_hidden()
    map_page.keyboard.press("ArrowRight")
    map_page.keyboard.press("Enter")
    map_page.keyboard.press("Enter")
    assert map_page.locator("#sample-1 tr.text").is_visible()
    assert map_page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert map_page.locator(".point[tabindex='0']").count() == 1


def test_a_finger_opens_a_sample_and_a_tap_beside_it_closes_it(show):
    page, troubles = show(make_facts(), viewport={"width": 360, "height": 800}, has_touch=True, is_mobile=True)
    page.locator("[data-of=sample-2] .reach").tap(force=True)
    assert "3 · " in page.locator("#card").inner_text()
    page.locator("#verdict").tap()
    assert page.locator("#card").is_hidden()
    assert troubles == []


def test_a_quadrant_chosen_on_the_map_or_its_card_filters_the_table(map_page):
    field = map_page.locator(".field.noisy_outlier")
    field.focus()
    map_page.keyboard.press("Enter")
    assert map_page.locator("#risky tbody:visible").count() == 7
    assert field.get_attribute("aria-pressed") == "true"
    assert map_page.locator("#filters [data-show=noisy_outlier]").get_attribute("aria-pressed") == "true"
    map_page.keyboard.press("Enter")
    assert map_page.locator("#risky tbody:visible").count() == 50
    map_page.locator("[data-choose=hotspot_memorized]").click()
    assert map_page.locator("#risky tbody:visible").count() == 43
    map_page.locator(".field.stable_easy").focus()
    map_page.keyboard.press(" ")
    assert map_page.locator("#none").is_visible()


def test_rows_open_and_close_by_mouse_and_keyboard(map_page):
    detail, name = map_page.locator("#detail-4"), map_page.locator("#sample-4 button.name")
    assert detail.is_hidden()
    map_page.locator("#sample-4 tr.head td").nth(3).click()
    assert detail.is_visible()
    assert name.get_attribute("aria-expanded") == "true"
    name.focus()
    map_page.keyboard.press("Enter")
    assert detail.is_hidden()
    map_page.get_by_role("button", name="open all").click()
    assert map_page.locator("tr.text:visible").count() == 50


def test_words_are_found_in_the_table(map_page):
    map_page.get_by_role("searchbox", name="Find").fill("00017")
    assert map_page.locator("#risky tbody:visible").count() == 1
    map_page.get_by_role("searchbox", name="Find").fill("no such words")
    assert map_page.locator("#none").is_visible()
    # A point whose row is filtered away brings it back.
    map_page.locator("[data-of=sample-5]").click(force=True)
    map_page.locator("#card a").click()
    assert map_page.locator("#sample-5 tr.text").is_visible()


def test_the_dose_picture_is_drawn_in_the_colours_of_the_scheme(show):
    strokes = set()
    for scheme in ("light", "dark"):
        page, troubles = show(make_facts(), color_scheme=scheme)
        line = page.locator(".panel svg .k0 polyline").first
        strokes.add(line.evaluate("line => getComputedStyle(line).stroke"))
        assert page.locator(".panel svg").first.bounding_box()["height"] > 200
        assert troubles == []
    assert len(strokes) == 2


def test_without_javascript_the_page_is_whole(show):
    page, _ = show(make_facts(), java_script_enabled=False)
    assert page.locator("#risky tbody").count() == 50
    assert page.locator("#risky tr.text:visible").count() == 50
    assert not page.locator("#filters").is_visible()


def test_the_page_prints_without_loss(show):
    facts = make_facts()
    page, _ = show(facts, viewport={"width": 695, "height": 900})
    page.locator("#filters").get_by_role("button", name="Noisy outlier").click()
    page.emulate_media(media="print")
    wide = page.evaluate(
        "Array.from(document.querySelectorAll('.scroll')).filter((e) => e.scrollWidth > e.clientWidth + 1).length"
    )
    assert wide == 0
    page.emulate_media()
    pages = PdfReader(io.BytesIO(page.pdf(format="A4", print_background=True))).pages
    printed = [part.extract_text() for part in pages]
    text = "".join(unicodedata.normalize("NFKC", " ".join(printed)).split())
    titles = [title for title in page.locator("h2, h3").all_inner_texts() if title]
    shown = (
        *titles,
        *(sample["sample_id"] for sample in facts["riskiest"]),
        "staging host",
        "Natalia",
        "twice",
        '"rules"',
    )
    for words in shown:
        assert "".join(unicodedata.normalize("NFKC", words).split()) in text, words
    assert len(printed[0]) > 500
