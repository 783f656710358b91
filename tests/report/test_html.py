import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.report.html import PAGE_LIMIT, render_again, render_html, write_report
from carto_audit.report.map_figure import SCORE_WORDS, figure_png, figure_svg, map_figure
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.resources import resource_folder
from carto_audit.text.redaction import MASKED
from tests.support.report_facts import AUCS, REMEDIES, control_scores, make_columns, make_facts

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


def section(html, name):
    """The text of one section of a page, each run of spaces as one."""
    part = html[html.index(f'<section aria-labelledby="{name}"') :]
    return " ".join(" ".join(Page(part[: part.index("</section>")]).text).split())


def rows_of(html, caption):
    """The cells of a table's rows, as text."""
    part = html[html.index(f'aria-label="Table: {caption}"') :]
    rows = re.findall(r"<tr.*?</tr>", part[: part.index("</table>")], flags=re.DOTALL)
    cells = [re.findall(r"<t[hd].*?</t[hd]>", row, flags=re.DOTALL) for row in rows]
    return [[" ".join(" ".join(Page(cell).text).split()) for cell in row] for row in cells]


def poisoned(value, poison):
    """The same facts with `poison` in every string; names that the program itself chose stay."""
    if isinstance(value, str):
        return poison if not value.isidentifier() or len(value) > 14 else value
    if isinstance(value, dict):
        return {
            key: item if key in ("score", "status", "metric", "excerpts") else poisoned(item, poison)
            for key, item in value.items()
        }
    return [poisoned(item, poison) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("poison", HOSTILE)
def test_hostile_text_in_every_field_stays_text(poison):
    facts = poisoned(make_facts(), poison)
    facts["run"]["packages"][poison] = facts["run"]["seconds"][poison] = 1.0
    facts["detection"]["scores"][poison] = {poison: {poison: {}}}
    clean, page = Page(render_html(make_facts(), SVG)), Page(render_html(facts, SVG))
    assert {tag: page.tags.get(tag) for tag in ("script", "style", "img")} == {"script": 1, "style": 1, "img": None}
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


def map_svg(facts):
    return figure_svg(map_figure(**make_columns(), facts=facts, control_scores=control_scores())).decode()


def test_the_first_screen_says_why_in_words_that_need_no_manual():
    html = render_html(make_facts(), map_svg(make_facts()))
    hero = " ".join(Page(html[html.index('<section class="hero"') : html.index('aria-labelledby="cuts"')]).text)
    hero = " ".join(hero.split())
    assert "8.2 %, at most 2.0 % hotspot-mass Share of the batch's tokens that are easy and memorized" in hero
    assert "Benchmark items that the batch holds, beyond doubt." in hero
    assert "This rule only warns." in hero
    for words in (
        "samples in a cell",
        "among the riskiest",
        "holds a benchmark item",
        "secrets lie that were planted for this audit",
    ):
        assert words in hero


def test_a_number_that_was_estimated_says_so_where_it_decides():
    facts = make_facts()
    words = "Estimated as 8.2 %, between 7.8 % and 8.5 %"
    assert words not in render_html(facts, SVG)
    facts["findings"][1]["observed"] = 0.0848
    assert words in render_html(facts, SVG)


def test_the_map_is_part_of_the_page_and_its_points_have_a_row_or_a_match():
    html = render_html(make_facts(), map_svg(make_facts()))
    points = re.findall(r'data-of="([^"]+)"', html)
    assert len(points) == 53
    assert all(f'id="{name}"' in html for name in points)
    assert {"hotspot_memorized", "noisy_outlier"} == set(re.findall(r'data-choose="([^"]+)"', html))


def test_a_matched_sample_opens_to_both_passages_with_their_differences():
    facts = make_facts()
    facts["riskiest"][1]["row"] = 902
    html = render_html(facts, SVG)
    row = html[html.index('<tbody id="sample-1"') : html.index('<tbody id="sample-2"')]
    assert '<mark class="only">twice </mark>' in row
    assert '<mark class="only">half </mark>' in row
    assert 'href="#match-2"' in row
    article = html[html.index('id="match-2"') : html.index('id="match-3"')]
    assert '<mark class="only">twice </mark>' in article


def test_a_risky_sample_opens_to_its_losses_and_its_copies():
    html = render_html(make_facts(), SVG)
    first = html[html.index('<tbody id="sample-0"') : html.index('<tbody id="sample-1"')]
    assert "Copies of the whole sample: row 3, 5, 8, 13, 21 and 2 more." in " ".join("".join(Page(first).text).split())
    picture = first[first.index('<svg class="losses"') :]
    assert picture.count("<polyline") == 3
    assert "epoch 12" in picture


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("redacted", MASKED),
        ("full", "Nothing is masked in these excerpts: do not publish this page."),
        ("none", "This page was made without excerpts."),
    ],
)
def test_the_page_says_how_its_excerpts_were_made(mode, words):
    facts = make_facts()
    facts["excerpts"] = mode
    html = render_html(facts, SVG)
    assert words in section(html, "riskiest")
    assert words in section(html, "provenance")


def test_beside_every_masked_excerpt_stands_what_is_masked_and_that_names_are_not():
    assert "names of persons are not masked" in MASKED
    facts = make_facts()
    html = render_html(facts, SVG)
    places = ("contamination", "kinship", "riskiest", "provenance", "method")
    assert [place for place in places if MASKED not in section(html, place)] == []
    facts["excerpts"] = "full"
    assert MASKED not in render_html(facts, SVG)


def test_a_page_without_excerpts_can_be_made_of_any_audit_and_nothing_else(tmp_path):
    facts = make_facts()
    write_report(tmp_path, facts, SVG.encode(), b"png")
    (tmp_path / "verdict.json").write_text("{}")
    stored = (tmp_path / "report.json").read_bytes()
    render_again(tmp_path, "none")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("staging host", "Natalia packs", "belongs to the vendor portal", "[code]"):
        assert words not in html
    assert "memorized like a secret that occurs about 64 times" in html
    assert (tmp_path / "report.json").read_bytes() == stored
    with pytest.raises(UsageError, match="made with redacted excerpts"):
        render_again(tmp_path, "full")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html
    render_again(tmp_path, "redacted")
    assert "Natalia packs" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def clean():
    """The page of harmless facts."""
    return Page(render_html(make_facts(), SVG))


@settings(max_examples=8)
@given(st.text(max_size=40).filter(lambda text: not text.isidentifier()))
def test_any_text_in_every_field_stays_text(clean, poison):
    html = render_html(poisoned(make_facts(), poison), SVG)
    page = Page(html)
    assert set(page.tags) <= set(clean.tags)
    assert page.tags["script"] == page.tags["style"] == 1
    assert {name for name, _ in page.attributes} <= {name for name, _ in clean.attributes} | {"hidden"}
    assert not [character for character in html if ord(character) < 32 and character not in "\n\t"]


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


@pytest.mark.parametrize(
    ("epochs", "burn_in", "logged", "words"),
    [
        (12, 2, [3, 6, 10, 11, 12], "12 epochs, a burn-in of 2, scored after epochs 3, 6, 10, 11, 12"),
        (2, 0.5, [0.5, 1, 2], "2 epochs, a burn-in of 0.5, scored after epochs 0.5, 1, 2"),
    ],
)
def test_the_page_says_after_which_epochs_losses_were_read(epochs, burn_in, logged, words):
    facts = make_facts()
    facts["run"].update(epochs=epochs, burn_in_epochs=burn_in, logged_epochs=logged)
    assert words in section(render_html(facts, SVG), "provenance")


def test_an_audit_of_nothing_much_still_renders():
    facts = make_facts()
    facts.update(riskiest=[], findings=[], warnings=[], metrics={}, metric_intervals={})
    facts["batch"].update(paths=[], skipped=[], tokens=None, trained_tokens=None)
    facts["contamination"] = {"benchmarks": [], "by_quadrant": {}, "drop_first": None, "testimony": None, "matches": []}
    facts["batch"].update(held_out_samples=0, held_out_tokens=0)
    facts["detection"].update(scores={}, by_copy={}, above_line={}, ruler={}, capacity_ratio=None, warnings=[])
    facts["detection"].update(planted=0, twins=0, agreement=None, remedies=[])
    facts["run"].update(repeats=1, reference_samples=0)
    facts["run"]["kinship"].update(
        groups=0, boilerplate=[], boilerplate_runs=0, severed_samples=0, severed_token_share=0.0
    )
    facts["map"]["forget"].update(sweep=[])
    for rule in facts["map"]["threshold_rules"].values():
        rule.update(cuts=[], words="could not be set: nothing was measured to set it by", flagged_share=None)
    facts["map"].update(quadrants={}, thresholds={"difficulty": None, "memorization": None})
    facts["map"]["forget"].update(levels=None, tie_share=None, never_learned_share=None)
    text = "".join(Page(render_html(facts, SVG)).text)
    assert "No benchmark was given" in text
    assert "its detection power is unknown" in text
    assert "could not be set" in text
    assert "nothing counts as boilerplate" in " ".join(text.split())


def test_samples_without_numbers_render():
    facts = make_facts()
    for sample in facts["riskiest"]:
        sample.update(difficulty=None, memorization=None, loss_in=None, loss_out=None, quadrant=None)
        sample.update(recall=None, equivalent_dose=None, dose_words="", copies=1, heat=[])
        sample["losses"] = {"train": [], "in_fold": [None, None, None], "out_of_fold": []}
    assert "not on the map" in section(render_html(facts, SVG), "riskiest")


def test_the_page_stays_below_its_limit_whatever_the_facts_hold():
    facts = poisoned(make_facts(), "&\U0001f600" * 2_500)
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
    (tmp_path / "verdict.json").write_text("{}")
    (tmp_path / "report.html").unlink()
    render_again(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == page
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == facts["verdict"]


def test_the_proxies_testimony_stands_beside_the_matches_and_claims_nothing():
    html = render_html(make_facts(), SVG)
    rows = rows_of(html, "What the proxies recall of the items")
    assert rows[1] == ["1", "2", "4.25, 4.50", "3.25, 3.75", "56.2 %, 50.0 %", "0.12", "0.0 %, 0.0 %"]
    assert rows[2][:2] == ["8 and more", "1"]
    text = section(html, "contamination")
    assert "This supports a match and decides nothing" in text
    assert "loss of the question 3.25 seen, 4.50 unseen; of the answer 2.75 seen, 3.75 unseen; 1 row trained on" in text
    assert "The proxies: not asked, no row with it was trained on" in text


def test_without_testimony_nothing_is_said_of_it():
    facts = make_facts()
    facts["contamination"]["testimony"] = None
    for match in facts["contamination"]["matches"]:
        match["testimony"] = None
    assert "The proxies" not in section(render_html(facts, SVG), "contamination")
    del facts["contamination"]["testimony"]  # of an earlier version
    assert "What the proxies recall" not in render_html(facts, SVG)


def test_a_lone_surrogate_in_the_facts_can_be_written(tmp_path):
    facts = make_facts()
    facts["riskiest"][0]["sample_id"] = "id \ud800"
    write_report(tmp_path, facts, SVG.encode(), b"png")
    json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def test_every_kind_form_and_dose_of_the_score_in_use_is_a_row_with_all_its_numbers():
    rows = [row for row in rows_of(render_html(make_facts(), SVG), "Detection power of the score in use") if row]
    doses = [row[-8] if len(row) == 9 else row[0] for row in rows[1:]]
    once, often = ["never", "once", "4 times", "16 times", "64 times"], ["never", "4 times", "16 times", "64 times"]
    assert doses == [*(4 * once), *(2 * often), "exact copies", "edited copies"]
    assert rows[1][0] == "Random secret standing alone"
    assert rows[3] == ["4 times", "detected 0.96", "", "0.92 to 1.00", "0.98", "77 %", "92 %", "16"]


def test_twins_are_a_row_of_their_own_and_never_a_dose():
    html = render_html(make_facts(), SVG)
    assert "0 times" not in re.sub(r"\d0 times", "", "".join(Page(html).text))
    null = rows_of(html, "Detection power of the score in use")[1]
    assert null[1:4] == ["never", "0.31", ""]
    assert null[5] == "–"


def test_every_score_and_statistic_is_one_row_in_plain_words():
    rows = rows_of(render_html(make_facts(), SVG), "All scores and published statistics")
    found = {name: [row for row in rows if re.search(rf" {name}( |,|$)", row[0])] for name in AUCS}
    for name, mine in found.items():
        assert len(mine) == 1, name
        assert mine[0][0].startswith(SCORE_WORDS[name][:1].upper() + SCORE_WORDS[name][1:])
    said = {name: mine[0][-2] for name, mine in found.items()}
    assert said["memorized"] == "all"
    assert {said[name] for name in AUCS if name.startswith("forget")} == {"chance"}
    assert said["cumulative_loss"] == "reversed"
    assert found["memorized_share"][0][1:6] == ["0.77", "0.60", "0.87", "0.76", "some"]
    assert ["Counts of copies, judged against all rows: they find copies, not memorization"] in rows


def test_a_score_that_this_version_does_not_know_is_still_shown():
    facts = make_facts()
    facts["detection"]["scores"]["new_idea"] = {
        "odd_kind": {"upside_down": {"4": facts["detection"]["by_copy"]["exact"]}}
    }
    assert any(
        row[0].startswith("New idea") for row in rows_of(render_html(facts, SVG), "All scores and published statistics")
    )
    facts["map"]["score"] = "new_idea"
    assert "odd kind" in section(render_html(facts, SVG), "detection")


def test_statistics_are_compared_also_where_the_score_in_use_was_not_measured():
    facts = make_facts()
    scores = facts["detection"]["scores"]
    facts["detection"]["scores"] = {name: scores[name] for name in ("forget_score", "low_final_loss")}
    html = render_html(facts, SVG)
    assert "its detection power is unknown" in section(html, "detection")
    assert 'class="panel"' not in html
    assert len([row for row in rows_of(html, "All scores and published statistics") if len(row) > 5]) == 2


def test_the_dose_picture_says_in_words_what_it_shows():
    pictures = re.findall(r'<svg class="dose"[^>]* role="img" aria-label="([^"]+)"', render_html(make_facts(), SVG))
    assert len(pictures) == 2
    assert "secrets standing alone. Random secret: once 0.61, 4 times 0.96" in pictures[0]
    assert "forget events, as the policy sets ε, mean: once 0.5" in pictures[1]


def test_remedies_stand_on_the_first_screen_and_only_when_there_are_some():
    facts = make_facts()
    assert "How to increase detection power" not in render_html(facts, SVG)
    facts["detection"]["remedies"] = REMEDIES
    html = render_html(facts, SVG)
    hero = html[: html.index('<section class="quadrants"')]
    assert "How to increase detection power" in hero
    for remedy in REMEDIES:
        assert remedy[1:] in hero


def test_repeated_runs_say_how_far_they_agree_and_a_single_one_says_that_it_cannot():
    facts = make_facts()
    assert "3 pairs of proxies, with other folds and seeds, agree on 72 %" in section(
        render_html(facts, SVG), "detection"
    )
    facts["detection"]["agreement"], facts["run"]["repeats"] = None, 1
    text = section(render_html(facts, SVG), "detection")
    assert "it is unknown whether another would flag the same samples" in text
    assert "pairs of proxies" not in text


def test_each_way_of_cutting_is_shown_with_the_one_that_is_drawn():
    rows = rows_of(render_html(make_facts(), SVG), "Thresholds")
    assert rows[1][0] == "difficulty τ_d"
    assert "fixed by construction" in rows[1][4]
    assert rows[2][:4] == [
        "memorization τ_m not in use",
        "0.40",
        "percentile 95 of this batch, so a fixed share lies above",
        "5.0 %",
    ]
    assert rows[3][:4] == ["memorization τ_m in use: the stricter", "0.31", "median of secrets planted once", "11.0 %"]
    assert "how much is above it" in rows[3][4]


def test_the_interval_that_rules_are_judged_on_stands_beside_the_share():
    facts = make_facts()
    facts["map"]["quadrants"]["hotspot_memorized"]["token_share_interval"] = None
    assert "95 % interval 7.8 % to 8.5 %" in render_html(facts, SVG)
    facts["metric_intervals"] = {}
    assert "95 % interval 7.8 %" not in render_html(facts, SVG)


def test_each_risky_sample_says_why_it_is_there_once():
    text = section(render_html(make_facts(), SVG), "riskiest")
    assert "Recited: this passage occurs 34 times; memorized like a secret that occurs about 64 times." in text
    assert "not on the map" not in text
    assert "Reconstructed: a proxy that never saw it nearly knows it, and the passage occurs 2 times" in text
    assert "Recollected: this passage occurs once" in text
    assert "Easy and memorized: a risk of verbatim recall" in text
    assert text.count("about 64 times") == 8
    assert "recited:" not in text


def test_a_score_that_only_the_other_copies_carry_is_not_passed_off_as_the_samples_own():
    facts = make_facts()
    words = "Training removed nothing from this sample itself"
    assert words not in render_html(facts, SVG)
    facts["riskiest"][0].update(loss_in=1.97, loss_out=1.07)
    assert section(render_html(facts, SVG), "riskiest").count(words) == 1
    facts["map"]["score"] = "memorized_share"
    assert words not in render_html(facts, SVG)


def test_doses_beyond_what_was_planted_are_open_ended():
    rows = rows_of(render_html(make_facts(), SVG), "Riskiest samples")[1::2]
    assert [rows[i][4] for i in (0, 9, 49, 48)] == ["≥ 64 ×", "≈ 28 ×", "≤ 1 ×", "–"]


def test_a_heat_strip_has_a_class_per_level_and_falls_back_to_the_excerpt():
    html = render_html(make_facts(), SVG)
    first = html[html.index('data-rank="1"') : html.index('data-rank="2"')]
    assert re.findall(r'<span class="heat (h\d)">([^<]+)</span>', first) == [
        ("h1", "of the staging host"),
        ("h2", "is"),
        ("h3", "[code]"),
        ("h4", ", ask [email]"),
    ]
    assert "The access code of the staging host is [code], ask [email]" in " ".join("".join(Page(first).text).split())
    third = html[html.index('data-rank="3"') : html.index('data-rank="4"')]
    assert 'class="heat' not in third
    assert "<mark>[code], ask [email] for [number]</mark>" in third


def test_heat_is_told_by_more_than_colour():
    css = (resource_folder("templates") / "report.css").read_text(encoding="utf-8")
    widths = [float(width) for width in re.findall(r"\.h\d \{[^}]*border-bottom-width: ([\d.]+)px", css)]
    assert len(widths) == 4
    assert widths == sorted(set(widths))


def test_an_endless_heat_strip_is_cut():
    facts = make_facts()
    facts["riskiest"] = facts["riskiest"][:1]
    facts["riskiest"][0]["heat"] = [{"text": "x ", "level": 9}] * 50_000
    html = render_html(facts, SVG)
    assert html.count('class="heat h4">x<') == 240
    assert "…" in html[html.index('class="heat h4">x<') :]


def test_kinship_quotes_boilerplate_and_says_what_was_severed():
    facts = make_facts()
    text = section(render_html(facts, SVG), "kinship")
    assert "60 samples have it; more than 32 make it boilerplate … This page belongs to the vendor portal" in text
    assert "A passage that occurs in more than 32 samples is boilerplate" in text
    assert "41 samples, 2.1 % of the tokens, had to be separated from their kin" in text
    facts["run"]["kinship"].update(severed_samples=0, severed_token_share=0.0)
    assert "No sample had to be separated from its kin" in section(render_html(facts, SVG), "kinship")


def test_the_sweep_is_a_row_per_margin():
    rows = rows_of(render_html(make_facts(), SVG), "Forget events by margin")
    assert rows[1:3] == [["0.05", "0.4 %", "–"], ["0.10", "1.1 %", "21.4 %"]]


def test_the_page_says_who_was_held_out_and_what_was_trained_beside():
    facts = make_facts()
    html = render_html(facts, SVG)
    assert (
        "33 samples (3,151 tokens) were set aside: their text went into the planted controls, so they are not on the map"
        in html
    )
    text = section(html, "provenance")
    assert "250 trusted samples trained on beside them" in text
    assert "3 runs with other folds and seeds, averaged" in text
    facts["batch"]["held_out_samples"] = facts["run"]["reference_samples"] = 0
    facts["run"]["repeats"] = 1
    text = section(render_html(facts, SVG), "provenance")
    assert "trusted" not in text
    assert "one run" in text


@pytest.mark.parametrize("content", [None, "{", "[]", '{"batch": {}}'])
def test_a_missing_or_broken_report_is_one_clear_line(tmp_path, content):
    (tmp_path / "map.svg").write_text(SVG)
    (tmp_path / "verdict.json").write_text("{}")
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(AuditError, match=r"report\.json") as caught:
        render_again(tmp_path)
    assert "\n" not in str(caught.value)


def test_every_benchmark_says_in_which_form_the_fewest_of_its_items_are_found_again():
    head, reckoned, reading = rows_of(render_html(make_facts(), SVG), "Contamination by benchmark")
    place = head.index("Found again when planted")
    assert [row[place] for row in (reckoned, reading)] == ["95.0 %, recased", "100.0 %, embedded"]
    assert [row[head.index("Clean items")] for row in (reckoned, reading)] == ["35", "120"]


def test_input_files_are_listed_where_there_are_several_the_dirtiest_first():
    facts = make_facts()
    head, *rows = rows_of(render_html(facts, SVG), "Contamination by input file")
    assert head == ["File", "Rows", "Confirmed items", "Suspected items", "Confirmed rows", "Suspected rows"]
    assert [row[1:] for row in rows] == [["1,031", "3", "1", "3", "1"], ["1,031", "0", "1", "0", "1"]]
    assert rows[0][0] == "</th><script>alert(1)</script>[31m.parquet"
    assert "<script>alert(1)" not in render_html(facts, SVG)
    facts["contamination"]["shards"] *= 3000
    assert len(rows_of(render_html(facts, SVG), "Contamination by input file")) < 200
    facts["contamination"]["shards"] = facts["contamination"]["shards"][:1]
    assert "By input file" not in section(render_html(facts, SVG), "contamination")
    del facts["contamination"]["shards"]  # a report of an earlier version
    assert "By input file" not in section(render_html(facts, SVG), "contamination")


def test_contamination_is_joined_with_the_map():
    facts = make_facts()
    shown = section(render_html(facts, SVG), "contamination")
    assert "Memorized hotspot 2 " in shown
    assert "not on the map 0 " in shown
    assert "Drop first: 2 rows, 0.2 % of the tokens" in shown
    assert "No trace was found of 155 of the 160 items" in shown
    facts["contamination"]["drop_first"].update(rows=0, tokens=0, token_share=0.0)
    assert "Drop first" not in section(render_html(facts, SVG), "contamination")


def test_a_match_says_when_it_is_a_near_variant_and_by_what_it_was_found():
    shown = section(render_html(make_facts(), SVG), "contamination")
    assert shown.count("near variant") == 1
    assert shown.count("found by its program") == 1
    assert shown.count("longest run") == 3


def test_the_page_says_what_is_found_in_each_honest_disguise():
    page = render_html(make_facts(), SVG)
    assert "line numbers 91.0 %, markup 97.0 %" in page
