import copy
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.report.formats.github import SUMMARY_LIMIT
from carto_audit.report.formats.markdown import render_markdown
from carto_audit.report.formats.render import append_step_summary, render
from carto_audit.report.formats.targets import Format
from carto_audit.runtime.errors import AuditError
from tests.support.hostile_facts import hostile_facts, slim_facts

FORMATS = get_args(Format)


def test_json_is_the_report_itself(tmp_path):
    assert json.loads(render(slim_facts(), "json", tmp_path)) == slim_facts()


def test_text_is_the_summary_without_colours(tmp_path):
    text = render(slim_facts(), "text", tmp_path)
    assert "REJECTED" in text
    assert "hotspot-mass" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "json"])
@pytest.mark.parametrize("missing", ["findings", "verdict", "batch", "policy", "detection", "warnings"])
def test_a_report_without_a_part_that_a_format_needs_is_refused(tmp_path, format, missing):
    facts = slim_facts()
    del facts[missing]
    assert rendered(facts, format, tmp_path) in (None, rendered(slim_facts(), format, tmp_path))


def rendered(facts, format, folder):
    """The document, or None where the facts were refused in one line."""
    refusal = f"{folder}/report.json: not the report of an audit; run the audit again"
    try:
        return render(facts, format, folder)
    except AuditError as error:
        if str(error) == refusal:
            return None
        raise


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def damaged_facts(draw):
    """Facts with anything at all in place of one value, however deep."""
    facts = copy.deepcopy(slim_facts())
    node = facts
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or draw(st.booleans()):
            node[key] = draw(JSON)
            return facts
        node = node[key]


@given(facts=damaged_facts(), format=st.sampled_from(FORMATS))
def test_a_damaged_report_is_rendered_or_refused_and_never_a_crash(tmp_path_factory, facts, format):
    document = rendered(facts, format, tmp_path_factory.getbasetemp())
    assert document is None or isinstance(document.encode(), bytes)


@given(facts=hostile_facts(), format=st.sampled_from(["json", "text"]))
def test_hostile_text_leaves_json_valid_and_the_terminal_in_peace(tmp_path_factory, facts, format):
    document = render(facts, format, tmp_path_factory.getbasetemp())
    document.encode()
    if format == "json":
        assert document.isascii()
        assert json.loads(document) == json.loads(
            json.dumps(facts)
        )  # where two lone surrogates meet, JSON makes one letter
    else:
        assert not any(line.lstrip().startswith("::") for line in document.splitlines())
        assert document.replace("\n", "").isprintable()


def test_the_step_summary_is_appended_and_never_grows_beyond_what_is_shown(tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    facts = slim_facts()
    append_step_summary(facts, path, tmp_path)
    assert path.read_text(encoding="utf-8") == "before\n" + render_markdown(facts)
    path.write_text("x" * (SUMMARY_LIMIT - 20))
    append_step_summary(facts, path, tmp_path)
    assert path.stat().st_size <= SUMMARY_LIMIT


def test_a_step_summary_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(AuditError, match=r"nowhere/summary\.md: cannot write: No such file or directory"):
        append_step_summary(slim_facts(), tmp_path / "nowhere" / "summary.md", tmp_path)
