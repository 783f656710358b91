"""A file of decisions is read as strictly as a policy, and one that may have come with a delivery not at all."""

import os
import re
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.decisions.file import MOST_DAYS, NOTICE_DAYS, read_decisions
from carto_audit.policy.decision_metrics import WAVED
from carto_audit.policy.model import load_policy
from carto_audit.runtime.errors import UsageError
from tests.support.audits import write_parquet
from tests.support.decisions import TODAY, decision, write_decisions
from tests.support.repository import ROOT

TEXT, SET = "ab" * 16, "cd" * 16
ITEM = {"benchmark": "gsm8k", "id": "q17", "sha256": SET}
KEEP = decision("keep", row=3, text=TEXT)


@pytest.fixture
def batch(tmp_path):
    return write_parquet(tmp_path / "given" / "june.parquet", ["one"])


@pytest.fixture
def read(tmp_path, batch):
    """Reads a file with these decisions, which lies apart from the delivery."""

    def run(*decisions, never_drop=False):
        path = write_decisions(tmp_path / "ours" / "decisions.yaml", *decisions)
        return read_decisions(str(path), [batch], never_drop=never_drop, today=TODAY)

    return run


def refused(read, *decisions, **how):
    with pytest.raises(UsageError) as error:
        read(*decisions, **how)
    lines = str(error.value).splitlines()
    assert all(line.isprintable() for line in lines)
    return [line.split("decisions.yaml:", 1)[1] for line in lines]


@pytest.mark.parametrize(
    "made",
    [
        KEEP,
        decision("remove", id="conv-17", text=TEXT),
        decision("keep", rows=[3, 5], batch=SET),
        decision("false alarm", item=ITEM),
        decision("false alarm", item={"benchmark": "gsm8k", "ids": ["a", "b"], "sha256": SET}),
        decision("false alarm", row=3, text=TEXT, item=ITEM),
        decision("remove", item=ITEM),
        decision("keep", row=0, batch="ef" * 32, until=TODAY + timedelta(days=MOST_DAYS)),
        decision("keep", row=0, text=TEXT, until=TODAY - timedelta(days=400)),
    ],
    ids=lambda made: " ".join(made),
)
def test_what_can_be_meant_is_read(read, made):
    (found,) = read(made).decisions
    assert found.decision == made["decision"]
    assert found.until == made["until"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decision": "kep"}, "decision: should be 'keep', 'remove' or 'false alarm'; did you mean \"keep\"?"),
        ({"row": True}, "should be a number, not true or false"),
        ({"row": -1}, "greater than or equal to 0"),
        ({"row": "3"}, "should be a valid integer"),
        ({"text": "ab" * 8}, "text: should match pattern"),
        ({"text": None}, "this is empty"),
        ({"batch": SET}, "exactly one of text, which `carto-audit show` prints, and batch"),
        ({"rows": [4]}, "names rows by row and rows; keep one"),
        ({"id": "x"}, "names rows by row and id; keep one"),
        ({"item": ITEM}, "keep is about rows or about an item, not both"),
        ({"who": " "}, "who: should have at least 1 character"),
        ({"who": "x" * 81}, "who: should have at most 80 characters"),
        ({"why": "no"}, "why: should have at least 10 characters"),
        ({"until": "2027-01-01"}, "should be a date without quotes"),
        ({"until": TODAY + timedelta(days=MOST_DAYS + 1)}, "until: more than 366 days ahead"),
        ({"unitl": TODAY}, 'unknown key; did you mean "until"?'),
        ({"decision": "false alarm"}, "a false alarm names its item"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_meant_is_refused_where_it_stands(read, changes, words):
    line = next(line for line in refused(read, {**KEEP, **changes}) if words in line)
    assert line.split(":")[0] in {str(n) for n in range(3, 12)}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (decision("keep"), "is about nothing"),
        (decision("keep", id="\ud800", text=TEXT), "should be a valid string"),
        (decision("remove", item={**ITEM, "benchmark": "a\udfff"}), "should be a valid string"),
        (decision("keep", row=3), "a row is told by exactly one of text"),
        (decision("keep", rows=[3], text=TEXT), "several rows are told by the digest of their batch"),
        (decision("keep", item=ITEM), "an item cannot be kept"),
        (decision("remove", item=ITEM, text=TEXT), "text belongs to a row"),
        (decision("false alarm", item={"benchmark": "gsm8k", "sha256": SET}), "needs exactly one of id and ids"),
        (decision("false alarm", item={**ITEM, "sha256": "cd" * 8}), "sha256: should match pattern"),
        (decision("false alarm", row=3, text=TEXT), "a false alarm names its item"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_decision_about_nothing_or_about_too_much_is_refused(read, made, words):
    assert any(words in line for line in refused(read, made))


@pytest.mark.parametrize(
    ("two", "words"),
    [
        ((KEEP, {**KEEP, "decision": "remove"}), "row 3 is decided already, in decisions.0"),
        ((KEEP, {**KEEP, "who": "Bob"}), "row 3 is decided already"),
        ((decision("keep", rows=[1, 2, 1], batch=SET),), "row 1 is decided already"),
        (
            (decision("keep", id="a", text=TEXT), decision("remove", id="a", text=TEXT)),
            'the sample "a" is decided already',
        ),
        (
            (decision("remove", item=ITEM), decision("false alarm", item=ITEM)),
            'the item "q17" of gsm8k is decided already',
        ),
        ((decision("false alarm", row=3, text=TEXT, item=ITEM),) * 2, 'row 3 with the item "q17" is decided already'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_decided_twice_is_refused_in_one_line(read, two, words):
    (line,) = refused(read, *two)
    assert words in line


def test_the_same_row_with_another_text_is_another_row(read):
    assert len(read(KEEP, {**KEEP, "text": "ef" * 16}).decisions) == 2


def test_a_policy_that_never_drops_takes_no_decision_to_remove(read):
    (line,) = refused(read, KEEP, decision("remove", row=4, text=TEXT), never_drop=True)
    assert "the policy never drops a row" in line
    assert read(KEEP, never_drop=True)


def test_a_decision_holds_through_its_last_day_and_its_end_is_announced(read):
    days = (-1, 0, NOTICE_DAYS, NOTICE_DAYS + 1)
    file = read(*({**KEEP, "row": n, "until": TODAY + timedelta(days=day)} for n, day in enumerate(days)))
    assert [file.expired(made) for made in file.decisions] == [True, False, False, False]
    assert [file.ends_soon(made) for made in file.decisions] == [False, True, True, False]


@pytest.mark.parametrize("where", ["given", "given/deep"])
@pytest.mark.parametrize("named", ["folder", "file", "glob"])
def test_a_file_in_or_beside_what_is_delivered_is_refused(tmp_path, batch, where, named):
    deep = write_parquet(tmp_path / "given" / "deep" / "more.parquet", ["two"])
    inputs = {"folder": [tmp_path / "given"], "file": [batch, deep], "glob": [tmp_path / "given" / "**" / "*.parquet"]}
    path = write_decisions(tmp_path / where / "decisions.yaml", KEEP)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    for given_path in (path, link):
        with pytest.raises(UsageError, match="lies in or beside what is delivered"):
            read_decisions(str(given_path), inputs[named], never_drop=False, today=TODAY)


def test_a_link_in_a_delivery_that_leads_out_of_it_is_refused_too(tmp_path, batch):
    apart = write_decisions(tmp_path / "ours" / "decisions.yaml", KEEP)
    (batch.parent / "decisions.yaml").symlink_to(apart)
    with pytest.raises(UsageError, match="lies in or beside what is delivered"):
        read_decisions(str(batch.parent / "decisions.yaml"), [batch], never_drop=False)


ALIASES = (
    b"schema_version: 1\ndecisions:\n"
    b"- &a {decision: keep, row: 1, text: '%b', who: Ann, why: looked at it twice, until: 2026-11-30}\n"
    b"- *a\n"
) % TEXT.encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\xff", "not UTF-8 text; a file of decisions is a YAML file"),
        (b"schema_version: 2\ndecisions: []\n", "schema_version: should be 1"),
        (b"schema_version: 1\n", "decisions: this key is missing"),
        (b"schema_version: 1\ndecisions: {}\n", "should be a list"),
        (ALIASES, "aliases (*name) are not allowed"),
        (b"schema_version: 1\ndecisions: " + b"[" * 9999, "nested too deeply"),
        (b"#" * 300_000, "larger than 256 KB; is this a file of decisions?"),
        (None, "cannot read the file of decisions: no such file"),
        (os.mkfifo, "not a regular file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_file_of_decisions_is_refused_in_one_line(tmp_path, batch, content, words):
    path = tmp_path / "decisions.yaml"
    if callable(content):
        content(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_decisions(str(path), [batch], never_drop=False)
    (line,) = str(error.value).splitlines()
    assert words in line


HOSTILE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@settings(max_examples=40)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_whatever_stands_in_it_is_read_or_refused(tmp_path_factory, who, why, name):
    home = tmp_path_factory.mktemp("any")
    batch = write_parquet(home / "given" / "a.parquet", ["one"])
    made = decision("false alarm", item={"benchmark": name, "id": why, "sha256": SET}, who=who, why=why)
    path = write_decisions(home / "ours" / "decisions.yaml", made)
    said = []
    try:
        (found,) = read_decisions(str(path), [batch], never_drop=False).decisions
        said = [found.who == who.strip(), found.items == ((name, why),)]
    except UsageError as error:
        said = [line.isprintable() for line in str(error).splitlines()]
    assert all(said)
    assert said


def test_what_the_page_shows_is_what_is_read(tmp_path, batch):
    """Its file of decisions, the policy that counts what is left unreviewed, and the rule that forbids decisions."""
    decided, policy, rule = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs" / "decisions.md").read_text(), flags=re.DOTALL
    )
    for name, text in (("decisions", decided), ("reviewed", policy), ("none", policy.split("  - {id")[0] + rule)):
        (tmp_path / f"{name}.yaml").write_text(text)
    found = read_decisions(str(tmp_path / "decisions.yaml"), [batch], never_drop=False, today=date(2026, 12, 1))
    assert [made.decision for made in found.decisions] == ["keep", "false alarm", "remove"]
    assert "benchmark-items" not in {rule.id for rule in load_policy(tmp_path / "reviewed.yaml").active_rules}
    assert any(
        rule.metric == WAVED and rule.max == 0 and rule.locked for rule in load_policy(tmp_path / "none.yaml").rules
    )
