import io
from pathlib import Path

import pytest
from rich.console import Console

from carto_audit.governance.knee import Point, find_knee
from carto_audit.governance.report.summary import show_redteam
from tests.report.test_html import HOSTILE, poisoned
from tests.support.redteam_facts import (
    judged_facts,
    no_knee,
    nothing_to_reduce,
    quick_facts,
    redteam_facts,
    without_estimates,
)

BEGINNINGS = ("│", "|", "╭", "╰", "+", ">", "·", "-", "!")


def _shown(facts, width=100, encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    show_redteam(
        facts, Path("out/vendor_batch-redteam"), Console(file=stream, width=width, markup=False, highlight=False)
    )
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_every_arm_is_a_line_with_leakage_interval_membership_and_price():
    lines = _shown(redteam_facts()).splitlines()
    (row,) = [line for line in lines if "prune 5 % by memorized" in line and "0.505" in line]
    for words in ("<- pick and knee", "2.1 %", "0.0–5.1 %", "0.505", "+0.31 %", "5.0 %"):
        assert words in row
    for entry in redteam_facts()["arms"]:
        assert any(entry["title"] in line for line in lines)


def test_the_screen_says_what_was_found_chosen_and_where_the_files_are():
    text = _shown(judged_facts())
    for words in (
        "> Leakage falls from 95 % to 2 % for +0.31 % perplexity",
        "> Knee     prune 5 % by memorized: prune 5 % lies",
        "> Pick     prune 5 % by memorized: The least",
        "> Verdict  Rejected",
        "! measured-reduction: ",
        "│   hotspot_memorized: {action: remove}",
        "> Report   out/vendor_batch-redteam/redteam.html",
        "> Facts    out/vendor_batch-redteam/redteam.json",
    ):
        assert words in text
    assert len(text.splitlines()) <= 45


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_knee, "> Knee     no knee: No level beats random pruning"),
        (
            no_knee,
            "> Paste    No arm that was measured leaks less within the limit on perplexity: nothing to recommend.",
        ),
        (nothing_to_reduce, "> Nothing to reduce"),
        (quick_facts, "! One seed: "),
        (without_estimates, "> Leakage was not measured"),
    ],
)
def test_what_a_run_cannot_show_is_said(make, words):
    text = _shown(make())
    assert words in text
    assert "None" not in text


def test_the_reason_for_no_knee_is_said_once():
    reason = find_knee([], Point(arm=0, leakage=0.9, perplexity_change=0.0)).reason
    text = _shown(redteam_facts(knee={"arm": None, "reason": reason}))
    assert "> Knee     no knee: 0 of 0 levels could be measured" in text


@pytest.mark.parametrize("make", [redteam_facts, judged_facts, no_knee, without_estimates])
def test_a_terminal_without_unicode_loses_nothing(make):
    text = _shown(make(), encoding="ascii")
    assert "?" not in text
    assert "prune 5 % by memorized" in text


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("poison", [*HOSTILE, "[/bold][red]", "##[error]x", "a\n::error::x"])
def test_hostile_text_never_starts_a_line_or_controls_the_terminal(poison, width):
    facts = poisoned(judged_facts(), poison)
    facts["recommended"]["yaml"] = f"interventions:\n  {poison}\n{poison}"
    text = _shown(facts, width)
    assert not set("\x00\x07\x1b\u202e\u2066\u200b") & set(text)
    assert "::error" not in text
    assert "##[" not in text
    assert all(line.startswith(BEGINNINGS) for line in text.splitlines() if line.strip())
