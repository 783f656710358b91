"""The same quantity reads the same in every place where an audit is shown."""

import html
import io
import json
import re

import pytest
from rich.console import Console

from carto_audit.artifacts.audit_record import read_record
from carto_audit.gate.replay import replay
from carto_audit.policy.model import load_policy
from carto_audit.publishing.card import card_section
from carto_audit.publishing.public_report import public_facts
from carto_audit.report.formats.render import render
from carto_audit.report.formats.terminal import render_summary
from carto_audit.report.html import render_html
from tests.support.records import report, write_audit
from tests.support.report_facts import make_facts

RULES = {
    "share": ("hotspot_memorized.token_share", 0.1271, "max", 0.05, "11.2 % (up to 12.7 %), at most 5.0 %"),
    "near": ("duplicates.token_share", 0.05004, "max", 0.05, "5.004 %, at most 5.000 %"),
    "count": ("contamination.confirmed_items", 1203, "max", 0, "1,203, at most 0"),
    "auc": ("detection.auc_at_dose_4", 0.8126, "min", 0.9, "0.81, at least 0.90"),
    "proof": ("detection.found_at_dose_4", 0.8512, "min", 0.9, "95.2 % (down to 85.1 %), at least 90.0 %"),
    "ratio": ("proxy.capacity_ratio", 14.256, "max", 10.0, "14.26, at most 10.00"),
    "drift": (
        "noisy_outlier.token_share",
        0.03,
        "max_increase",
        0.02,
        "2.0 % (up to 3.0 %), an increase of at most 2.0 %",
    ),
    "blind": ("repeats.agreement", None, "min", 0.7, "not measured, at least 70.0 %"),
}
PROSE = "is 0.1122 (up to 0.1271), at most 0.05 allowed"
ESTIMATES = {"share": 0.1122, "proof": 0.9524, "drift": 0.02}
SHOWN = ("text", "markdown", "github", "sarif", "junit", "gitlab")


@pytest.fixture(scope="module")
def facts():
    facts = make_facts()
    facts["findings"] = [
        {
            "rule": rule,
            "metric": metric,
            "observed": observed,
            "limit": limit,
            "bound": bound,
            "severity": "reject",
            "outcome": "failed" if observed is not None else "not_measured",
            "reason": "",
            "explanation": f"{metric} was not measured" if observed is None else f"{metric} {PROSE}",
            "waived_by": None,
            "estimate": ESTIMATES.get(rule),
        }
        for rule, (metric, observed, bound, limit, _) in RULES.items()
    ]
    facts["metrics"] |= {metric: observed for metric, observed, *_ in RULES.values() if observed is not None}
    facts["metrics"] |= {
        "hotspot_memorized.token_share": 0.1122,
        "noisy_outlier.token_share": 0.09,
        "detection.found_at_dose_4": 0.9524,
    }
    facts["metric_intervals"] = {
        "hotspot_memorized.token_share": [0.1, 0.1271],
        "detection.found_at_dose_4": [0.8512, 1.0],
        "noisy_outlier.token_share": [0.08, 0.1],
    }
    return facts


def plain(document):
    """What a reader reads, on one line: no escapes, no tags."""
    document = html.unescape(re.sub(r"<[^>]*>", " ", document))
    return " ".join(document.replace("%25", "%").replace("%2C", ",").replace("\\u2013", "–").split())


def shown(facts, format, folder):
    if format == "text":
        console = Console(file=io.StringIO(), width=400, color_system=None)
        render_summary(facts, folder, console)
        return console.file.getvalue()
    if format == "card":
        return card_section(public_facts(facts, "ab" * 32))
    return render_html(facts, "") if format == "page" else render(facts, format, folder)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("format", [*SHOWN, "page", "card"])
def test_observed_and_limit_are_the_same_strings_everywhere(facts, format, rule, tmp_path):
    only = {**facts, "findings": [finding for finding in facts["findings"] if finding["rule"] == rule]}
    document = plain(shown(only, format, tmp_path))
    observed, limit = RULES[rule][4].split(", ", 1)
    assert observed in document
    if rule != "blind" or format not in ("github", "sarif", "junit", "gitlab"):
        assert limit in document


@pytest.mark.parametrize("format", [*SHOWN, "page", "card"])
def test_no_format_shows_the_prose_of_the_verdict_with_its_raw_numbers(facts, format, tmp_path):
    document = plain(shown(facts, format, tmp_path))
    for raw in ("0.1122", "0.1271", "at most 0.05", "0.8126"):
        assert raw not in document


@pytest.mark.parametrize("format", ["github", "sarif", "junit", "gitlab"])
def test_an_estimate_is_told_from_the_end_on_which_it_is_judged(facts, format, tmp_path):
    sentence = "is 11.2 % (up to 12.7 %), at most 5.0 % allowed"
    assert sentence in plain(render(facts, format, tmp_path))


@pytest.mark.parametrize("format", ["github", "sarif", "junit", "gitlab"])
def test_a_rule_on_detection_says_how_many_secrets_were_found(facts, format, tmp_path):
    assert "Found: 34 of 36 secrets planted 4 times." in plain(render(facts, format, tmp_path))


@pytest.mark.parametrize("format", ["text", "markdown", "page", "card"])
def test_detection_is_told_as_so_many_of_so_many(facts, format, tmp_path):
    assert "flags 34 of 36 secrets planted 4 times" in plain(shown(facts, format, tmp_path))


def test_a_replay_says_what_the_report_says(tmp_path):
    content = report(**{"hotspot_memorized.token_share": 0.1122})
    content["metric_intervals"] = {"hotspot_memorized.token_share": [0.1, 0.1271]}
    done = replay(load_policy("default"), read_record(write_audit(tmp_path / "may", content)))
    sentence = "hotspot_memorized.token_share is 11.2 % (up to 12.7 %), at most 10.0 % allowed"
    assert sentence in "\n".join(done.lines)
    said = json.dumps(done.facts())
    assert "is 0.1122 (up to 0.1271)" in said  # as verdict.json has it
