import re

from hypothesis import given

from carto_audit.report.formats.github import MOST_OF_A_LEVEL, SUMMARY_LIMIT, render_annotations, render_step_summary
from carto_audit.report.formats.markdown import headline, render_markdown
from tests.support.hostile_facts import hostile_facts, slim_facts


def runner_reads(log):
    """The workflow commands that GitHub's runner finds in a log: name, properties and message, unescaped."""
    for line in re.split(r"\r\n|\r|\n", log):
        assert "##[" not in line
        found = re.match(r"\s*::([^: ]+)(?: (.*?))?::(.*)$", line)
        if found:
            name, properties, message = found.groups()
            pairs = (pair.partition("=") for pair in (properties or "").split(",") if pair)
            yield name, {key: unescape(value, ":,") for key, _, value in pairs}, unescape(message)


def unescape(text, more=""):
    for character in ("\r", "\n", *more, "%"):
        text = text.replace(f"%{ord(character):02X}", character)
    return text


def test_each_finding_is_a_command_at_the_policy_s_line():
    facts = slim_facts()
    facts["findings"][1] |= {"file": "policies/a,b:c.yaml", "line": 12, "column": 5}
    commands = list(runner_reads(render_annotations(facts)))
    assert [name for name, _, _ in commands] == ["error", "error", "warning", "warning", "warning", "notice"]
    _, properties, message = commands[0]
    assert properties == {
        "file": "policies/a,b:c.yaml",
        "line": "12",
        "col": "5",
        "title": "carto-audit hotspot-mass: rejects: 8.2 %, at most 2.0 %",
    }
    assert message.endswith("easy and memorized text is what a model gives away first.")
    assert "Waived: logs are wanted here" in commands[-1][2]


def test_at_most_ten_of_each_level_are_printed_worst_first_and_the_rest_is_counted():
    facts = slim_facts()
    broken = facts["findings"][1]
    facts["findings"] = [broken | {"rule": f"w-{i}", "severity": "warn"} for i in range(14)]
    facts["findings"] += [broken | {"rule": f"r-{i}"} for i in range(13)]
    log = render_annotations(facts)
    names = [name for name, _, _ in runner_reads(log)]
    assert names == ["error"] * MOST_OF_A_LEVEL + ["warning"] * MOST_OF_A_LEVEL
    assert "and 3 more of level error in report.json\n" in log
    assert "and 6 more of level warning in report.json\n" in log


def test_a_clean_audit_prints_nothing():
    facts = slim_facts()
    facts["findings"], facts["warnings"], facts["detection"]["warnings"] = facts["findings"][:1], [], []
    assert render_annotations(facts) == ""


def test_the_summary_is_whole_or_short_or_absent_so_that_github_never_drops_it():
    facts = slim_facts()
    whole, short = render_markdown(facts), headline(facts) + "\n"
    assert render_step_summary(facts) == whole
    assert render_step_summary(facts, SUMMARY_LIMIT - len(whole.encode())) == whole
    assert render_step_summary(facts, SUMMARY_LIMIT - len(whole.encode()) + 1) == short
    assert render_step_summary(facts, SUMMARY_LIMIT) == ""


@given(facts=hostile_facts())
def test_hostile_text_is_never_a_command_of_its_own(facts):
    log = render_annotations(facts)
    lines = log.splitlines()
    ours = [line for line in lines if line.startswith(("::error ", "::warning ", "::notice "))]
    counted = [
        line for line in lines if re.fullmatch(r"and [\d,]+ more of level (error|warning|notice) in report\.json", line)
    ]
    assert len(ours) + len(counted) == len(lines)
    for name, properties, message in runner_reads(log):
        assert name in {"error", "warning", "notice"}
        assert set(properties) <= {"file", "line", "col", "title"}
        assert message.isprintable()
        assert all(value.isprintable() for value in properties.values())
    assert len(list(runner_reads(log))) == len(ours)
