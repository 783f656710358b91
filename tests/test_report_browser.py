from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from report_facts import REMEDIES, control_scores, make_columns, make_facts
from test_report import HOSTILE, poisoned

from carto_audit.figures import figure_svg, map_figure
from carto_audit.report import render_html

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.enable_socket,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM} on this machine"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def show(browser, tmp_path):
    """Opens facts as a page and returns it with the list of everything that went wrong in it."""
    contexts = []

    def opener(facts, **options):
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page, troubles = context.new_page(), []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: troubles.append(request.url) if request.url[:5] not in ("file:", "data:") else None,
        )
        figure = map_figure(**make_columns(), facts=facts, control_scores=control_scores())
        path = tmp_path / "report.html"
        path.write_text(render_html(facts, figure_svg(figure).decode()), encoding="utf-8")
        page.goto(path.as_uri())
        return page, troubles

    yield opener
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_nothing_runs_over_the_edge(show, scheme, width):
    facts = make_facts()
    facts["detection"]["remedies"] = REMEDIES
    page, troubles = show(facts, color_scheme=scheme, viewport={"width": width, "height": 844})
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.images[0].naturalWidth > 0")
    assert troubles == []


@pytest.mark.parametrize("poison", HOSTILE)
def test_hostile_facts_run_nothing_and_ask_nobody(show, poison):
    page, troubles = show(poisoned(make_facts(), poison))
    page.wait_for_timeout(100)
    assert troubles == []


def test_the_table_of_samples_is_filtered_and_sorted(show):
    page, troubles = show(make_facts())
    page.get_by_role("button", name="Noisy outlier").click()
    assert page.locator("#risky tbody:visible").count() == 7
    assert page.locator("#shown").inner_text() == "7 of 50"
    page.get_by_role("button", name="all", exact=True).click()
    page.get_by_role("button", name="Difficulty").click()
    values = [float(v) for v in page.eval_on_selector_all("#risky tbody", "b => b.map(x => x.dataset.difficulty)")]
    assert values == sorted(values, reverse=True)
    page.get_by_role("button", name="Difficulty").click()
    assert page.locator("th[data-sort=difficulty]").get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="Like a secret planted").click()
    assert page.locator("#risky tbody").first.get_attribute("data-dose") == "64.0"
    page.get_by_role("button", name="Reconstructed").click()
    assert page.locator("#risky tbody:visible").count() == 5
    assert troubles == []


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
    assert not page.locator("#filters").is_visible()


def test_the_page_prints(show):
    page, _ = show(make_facts())
    assert page.pdf().startswith(b"%PDF")
