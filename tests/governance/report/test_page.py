import json
import re

import pytest

from carto_audit.governance.report.narrative import draws
from carto_audit.governance.report.page import render_redteam
from carto_audit.report.html import PAGE_LIMIT
from tests.report.test_html import HOSTILE, Page, poisoned, rows_of, section
from tests.support.redteam_facts import (
    YAML,
    estimate,
    failed_arm,
    judged_facts,
    no_knee,
    nothing_to_reduce,
    quick_facts,
    redteam_facts,
    without_estimates,
)

TABLES = ("What leaks", "What it costs", "What an attacker gets")
EVERY = (redteam_facts, quick_facts, nothing_to_reduce, no_knee, without_estimates, judged_facts, failed_arm)


def _text(facts):
    return " ".join("".join(Page(render_redteam(facts)).text).split())


@pytest.mark.parametrize("caption", TABLES)
def test_every_arm_is_a_row_of_every_table(caption):
    facts = redteam_facts()
    rows = rows_of(render_redteam(facts), caption)
    assert [row[0].removesuffix(" pick and knee").lower() for row in rows[1:]] == [a["title"] for a in facts["arms"]]
    assert {len(row) for row in rows} == {len(rows[0])}


def test_a_cell_holds_the_number_and_its_interval():
    facts = redteam_facts()
    facts["arms"][3]["leakage"] = estimate(0.1234, low=0.0567, high=0.2345)
    facts["arms"][3]["mi_auc"] = estimate(0.5117, low=0.4981, high=0.5252)
    page = render_redteam(facts)
    leaks, members = (rows_of(page, caption) for caption in (TABLES[0], TABLES[2]))
    assert leaks[4][leaks[0].index("Leakage")] == "12.3 % 5.7 % to 23.4 %"
    assert leaks[4][leaks[0].index("Better than random, points")] == "+87.9 +82.9 to +92.9"
    assert members[4][members[0].index("MI-AUC")] == "0.512 0.498 to 0.525"


def test_each_table_says_what_the_design_promises():
    heads = {name for caption in TABLES for name in rows_of(render_redteam(redteam_facts()), caption)[0]}
    assert heads >= {
        "Leakage",
        "Exposure, bits",
        "Standing alone",
        "Inside other text",
        "In edited copies",
        "Untreated at this perplexity",
        "Better than random, points",
        "Change",
        "Rare tail",
        "Distinct 2-grams",
        "Newly flagged",
        "Exposure, 16 times",
        "Queries, 4 times",
        "MI-AUC",
        "TPR at 1 % FPR",
    }


def test_the_headline_is_leakage_before_and_after_and_its_price():
    page = render_redteam(redteam_facts())
    title = re.search(r"<h1.*?</h1>", page, flags=re.DOTALL)[0]
    assert "".join(Page(title).text) == "Leakage falls from 95 % to 2 % for +0.31 % perplexity"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (nothing_to_reduce, "This is no evidence that the batch is safe."),
        (no_knee, "No level beats random pruning beyond the interval."),
        (quick_facts, "One seed: the intervals are over secrets"),
        (without_estimates, "Leakage was not measured"),
        (judged_facts, "measured-reduction"),
    ],
)
def test_what_a_run_cannot_show_is_said(facts, words):
    assert words in _text(facts())


def test_a_fall_inside_the_intervals_is_no_fall():
    facts = redteam_facts()
    facts["arms"][3]["leakage"] = estimate(0.9, low=0.8, high=0.97)
    text = _text(facts)
    assert "No clear change: 95 % leak before, 90 % after" in text
    assert "Leakage falls" not in text


@pytest.mark.parametrize("make", EVERY)
def test_any_run_has_a_page_that_asks_nobody(make):
    html = render_redteam(make())
    page = Page(html)
    assert "None" not in "".join(page.text)
    assert "nan" not in html.lower().replace("nano", "").replace("finan", "")
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:|//|data:)", html)
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert {tag: page.tags.get(tag) for tag in ("script", "style", "img")} == {"script": 1, "style": 1, "img": None}
    assert len(html.encode()) < PAGE_LIMIT


@pytest.mark.parametrize("poison", HOSTILE)
def test_hostile_text_in_every_field_stays_text(poison):
    clean, html = Page(render_redteam(judged_facts())), render_redteam(_poisoned(poison))
    page = Page(html)
    assert {tag: page.tags.get(tag) for tag in ("script", "style", "img")} == {"script": 1, "style": 1, "img": None}
    assert set(page.tags) <= set(clean.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    links = {value for name, value in page.attributes if name == "href"}
    assert links <= {value for name, value in clean.attributes if name == "href"}
    assert not set("\x00\x1b\x07\u202e\u2066\u200b") & set(html)
    if "7*7" in poison:
        assert "{{ 7*7 }}" in "".join(page.text)


def _poisoned(poison):
    """The facts with `poison` wherever text may come from a batch, a policy or a file's name, keys included."""
    facts = poisoned(judged_facts(), poison)
    facts["run"]["packages"][poison] = facts["run"]["seconds"][poison] = 1.0
    facts["protocol"]["secrets"][poison] = {"1": 3}
    for entry in facts["arms"]:
        entry["pii"][poison] = {"spans": 3, "extracted": 1, "net": 0}
        entry["membership"][poison] = entry["membership"]["loss"]
        entry["leakage_by_attack"][poison] = entry["leakage"]
    return facts


def test_the_block_to_paste_is_the_policy_s_yaml_line_by_line():
    block = re.search(r'<pre id="yaml" tabindex="0">(.*?)</pre>', render_redteam(redteam_facts()), flags=re.DOTALL)[1]
    assert block + "\n" == YAML
    assert "<pre" not in render_redteam(no_knee())
    text = section(render_redteam(no_knee()), "paste")
    assert "No arm that was measured leaks less within the limit on perplexity: nothing to recommend." in text
    assert "Nothing to recommend." in section(render_redteam(without_estimates()), "paste")


def test_a_block_with_markup_or_control_characters_stays_text():
    facts = redteam_facts()
    facts["recommended"]["yaml"] = "interventions:\n  # </pre><script>x\x1b[0m\u202e\n  a: b\n"
    html = render_redteam(facts)
    assert "<script>x" not in html
    assert "interventions:\n  # &lt;/pre&gt;&lt;script&gt;x[0m\n  a: b</pre>" in html


def test_an_arm_that_failed_keeps_its_columns():
    page = render_redteam(failed_arm())
    for caption in TABLES:
        rows = rows_of(page, caption)
        assert {len(row) for row in rows} == {len(rows[0])}
    assert rows_of(page, TABLES[2])[6][1:] == ["–"] * 9
    assert "Not drawn, because not measured: prune 20 % by memorized." in " ".join("".join(Page(page).text).split())


def test_the_batch_as_it_is_is_no_treatment():
    text = _text(failed_arm())
    assert "95 % leak, and no treatment was picked" in text
    assert "No clear change" not in text


def test_newly_flagged_mass_is_a_bar_per_audited_arm_on_one_scale():
    text = section(render_redteam(redteam_facts()), "onion")
    assert "Prune 1 % by memorized 1.1 %" in text
    part = render_redteam(redteam_facts()).split('<ul class="onion">')[1].split("</ul>")[0]
    widths = [float(width) for width in re.findall(r'class="fill" width="([\d.]+)"', part)]
    assert len(widths) == 6
    assert max(widths) == widths[-1] == 100.0
    assert widths[0] == pytest.approx(100 * 0.011 / 0.031, abs=0.01)


def test_membership_and_extraction_stand_beside_each_other_before_and_after():
    page = render_redteam(redteam_facts())
    rows = rows_of(page, "Membership attacks")
    assert [row[0] for row in rows[1:]][-1] == "LT-MIA (learned)"
    assert rows[1][2:4] == ["0.626 0.614 to 0.638", "0.503 0.491 to 0.515"]
    assert rows_of(page, "Extraction")[4][0] == "Never planted (must be near 0)"


def test_without_a_treatment_only_the_untreated_arm_is_attacked():
    page = render_redteam(nothing_to_reduce())
    assert all(len(row) == 5 for row in rows_of(page, "Membership attacks"))
    assert "after:" not in section(page, "attacks")


def test_personal_data_is_counted_by_class_net_of_guesses():
    facts = redteam_facts()
    facts["arms"][0]["pii"] = {"email": {"spans": 1062, "extracted": 31, "net": 29}}
    facts["arms"][3]["pii"] = {"email": {"spans": 1062, "extracted": 2, "net": 0}}
    rows = rows_of(render_redteam(facts), "Personal data")
    assert rows[1] == ["email", "1,062", "29 31 with guesses", "0 2 with guesses"]


def test_the_policy_s_rules_about_the_loop_are_shown_with_their_outcome():
    rows = rows_of(render_redteam(judged_facts()), "What the policy requires")
    assert rows[1][0] == "failed"
    assert "measured-reduction" in rows[1][1]


def test_the_same_facts_make_the_same_page():
    facts = redteam_facts()
    stored = json.loads(json.dumps(facts))
    assert render_redteam(facts) == render_redteam(stored)
    assert facts == redteam_facts()


def test_queries_beyond_a_million_are_powers_of_ten():
    assert draws(12_345.0) == "12,345"
    assert draws(6.0e38) == "10^39"
    assert draws(None) == draws(float("inf")) == "–"
