import json
from html.parser import HTMLParser

import pytest
from report_facts import control_scores, make_columns, make_facts

from carto_audit.errors import AuditError
from carto_audit.figures import figure_png, figure_svg, map_figure, percent
from carto_audit.report import PAGE_LIMIT, metric_value, render_again, render_html, write_report

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    '"><style>*{}</style>',
    "\u202eRTL\u2066\u200b",
    "\x1b[31m\x00\x07",
    "=cmd|' /C calc'!A0",
    "::error::stop",
    "\ud800 lone",
)
SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"


class Page(HTMLParser):
    """Counts the elements of a page and collects its text and links."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.attributes = {}, [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def poisoned(value, poison):
    """The same facts with `poison` in every string; names that the program itself chose stay."""
    if isinstance(value, str):
        return poison if not value.isidentifier() or len(value) > 14 else value
    if isinstance(value, dict):
        return {
            key: item if key in ("score", "status", "metric") else poisoned(item, poison) for key, item in value.items()
        }
    return [poisoned(item, poison) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("poison", HOSTILE)
def test_hostile_text_in_every_field_stays_text(poison):
    facts = poisoned(make_facts(), poison)
    facts["run"]["packages"][poison] = facts["run"]["seconds"][poison] = 1.0
    facts["detection"]["scores"][poison] = {poison: {poison: {}}}
    clean, page = Page(render_html(make_facts(), SVG)), Page(render_html(facts, SVG))
    assert {tag: page.tags.get(tag) for tag in ("script", "style", "img")} == {"script": 1, "style": 1, "img": 1}
    assert set(page.tags) <= set(clean.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    assert {value for name, value in page.attributes if name == "href"} <= {
        v for n, v in clean.attributes if n == "href"
    }
    text = "".join(page.text)
    assert "49" not in text or "{{ 7*7 }}" in text or "7*7" not in poison
    assert not set("\x00\x1b\x07\u202e\u2066\u200b") & set(text)


def test_one_page_holds_verdict_rules_map_and_every_section():
    html = render_html(make_facts(), SVG)
    text = "".join(Page(html).text)
    for words in (
        "Rejected",
        "hotspot-mass",
        "8.2 %, at most 2.0 %",
        "benchmark-items",
        "Detection power",
        "orchard_math",
    ):
        assert words in text
    for words in (
        "Duplicates",
        "Riskiest samples",
        "Skipped rows",
        "Provenance",
        "Method and limits",
        "vendor_batch.parquet",
    ):
        assert words in text
    assert html.startswith("<!doctype html>")
    assert "data:image/svg+xml;base64," in html


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("accepted", "Accepted"),
        ("accepted_with_warnings", "Accepted with warnings"),
        ("rejected", "Rejected"),
        ("inconclusive", "This is not a pass"),
    ],
)
def test_each_verdict_is_said_in_words(status, words):
    facts = make_facts()
    facts["verdict"]["status"] = status
    assert words in render_html(facts, SVG)


def test_an_audit_of_nothing_much_still_renders():
    facts = make_facts()
    facts.update(riskiest=[], findings=[], warnings=[], metrics={}, metric_intervals={})
    facts["batch"].update(paths=[], skipped=[], tokens=None, trained_tokens=None)
    facts["contamination"] = {"benchmarks": [], "matches": []}
    facts["detection"].update(scores={}, capacity_ratio=None, warnings=[])
    facts["map"].update(quadrants={}, thresholds={"difficulty": None, "memorization": None})
    facts["map"]["forget"].update(levels=None, tie_share=None, never_learned_share=None)
    text = "".join(Page(render_html(facts, SVG)).text)
    assert "No benchmark was given" in text
    assert "its power is unknown" in text


def test_samples_without_numbers_render():
    facts = make_facts()
    for sample in facts["riskiest"]:
        sample.update(difficulty=None, memorization=None, loss_in=None, loss_out=None, quadrant="")
        sample["losses"] = {"train": [], "in_fold": [None, None, None], "out_of_fold": []}
    render_html(facts, SVG)


@pytest.mark.parametrize("filler", ["x", "&", '"', "\U0001f600"])
def test_the_page_stays_below_its_limit_whatever_the_facts_hold(filler):
    facts = poisoned(make_facts(), filler * 5_000)
    facts["batch"]["paths"] *= 3_000
    facts["findings"] *= 400
    facts["warnings"] *= 4_000
    facts["batch"]["skipped"] *= 300
    facts["contamination"]["benchmarks"] *= 100
    facts["contamination"]["matches"] *= 20
    assert len(render_html(facts, "x" * 5_000_000).encode()) < PAGE_LIMIT


def test_the_page_rendered_again_from_its_json_is_identical(tmp_path):
    facts = make_facts()
    figure = map_figure(**make_columns(), facts=facts, control_scores=control_scores())
    write_report(tmp_path, facts, figure_svg(figure), figure_png(figure))
    page = (tmp_path / "report.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "map.svg", "report.html", "report.json"]
    (tmp_path / "report.html").unlink()
    render_again(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == page
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == facts["verdict"]


def test_a_lone_surrogate_in_the_facts_can_be_written(tmp_path):
    facts = make_facts()
    facts["riskiest"][0]["sample_id"] = "id \ud800"
    write_report(tmp_path, facts, SVG.encode(), b"png")
    json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def test_doses_are_in_order_of_their_size():
    facts = make_facts()
    html = render_html(facts, SVG)
    head = html.index("Planted secret")
    assert html.index(">once<", head) < html.index(">4 times<", head) < html.index(">16 times<", head)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"batch": {}}'])
def test_a_missing_or_broken_report_is_one_clear_line(tmp_path, content):
    (tmp_path / "map.svg").write_text(SVG)
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(AuditError, match=r"report\.json") as caught:
        render_again(tmp_path)
    assert "\n" not in str(caught.value)


def test_numbers_are_shown_in_the_unit_of_their_metric():
    assert percent(0.00042) == "0.042 %"
    assert metric_value("hotspot_memorized.token_share", 0.0815) == "8.2 %"
    assert metric_value("detection.auc_at_dose_4", 0.9) == "0.900"
    assert metric_value("contamination.confirmed_items", 1203.0) == "1,203"
    assert metric_value("contamination.confirmed_items", None) == "–"
