"""What decisions are about in a batch, and what they come to: nothing that was measured moves, and what rots has no effect."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from carto_audit.artifacts.decision_facts import about, is_false_alarm
from carto_audit.benchmarks.items import Benchmark
from carto_audit.contamination.check import MATCH_SCHEMA, BenchmarkResult, Contamination
from carto_audit.contamination.tiers import TIERS
from carto_audit.data.batch import read_batch
from carto_audit.data.duplicates import find_duplicates
from carto_audit.decisions.file import read_decisions
from carto_audit.decisions.review import review
from carto_audit.decisions.settle import measure_decisions, noted, reasons_of, settle
from carto_audit.pipeline.actions import decide
from carto_audit.policy.decision_metrics import (
    KEPT_ROWS,
    LAPSED,
    UNREVIEWED_ITEMS,
    UNREVIEWED_MASS,
    UNREVIEWED_ROWS,
    UNREVIEWED_SUSPECTS,
    WAVED,
)
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.errors import UsageError
from tests.support.audits import sentences, write_parquet
from tests.support.decisions import TODAY, decision, digest_of, write_decisions

TEXTS = [*sentences(7), None]
IDS = ["a", "b", "c", "c", "e", "f", "g", "h"]
SET = Benchmark(name="gsm8k", sha256="cd" * 32, items=pa.table({"item_id": ["q1", "q2", "q3", "q4"]}))
MATCHES = [
    (1, "q1", "confirmed"),
    (2, "q1", "confirmed"),
    (2, "q2", "confirmed"),
    (3, "q3", "suspected"),
    (5, "q2", "boilerplate"),
]
TIER = {"q1": "confirmed", "q2": "confirmed", "q3": "suspected", "q4": "confirmed"}
"""q4 has the text of q1, and no match of its own."""

TOKENS = np.full(7, 10)
QUADRANT = np.array([2, 2, 0, 0, 3, 1, -1], dtype=np.int8)
"""Rows 0, 1 and 4 are memorized."""


def item(*ids, **changes):
    return {"benchmark": "gsm8k", "ids": list(ids), "sha256": "cd" * 16, **changes}


def by_text(row):
    return {"row": row, "text": digest_of(TEXTS[row])}


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    path = write_parquet(tmp_path_factory.mktemp("given") / "june.parquet", TEXTS, name=IDS)
    return read_batch([path], id_column=None)


@pytest.fixture(scope="module")
def found(batch, tmp_path_factory):
    """The batch, its duplicates, and what was found of the benchmark in it."""
    rows = [
        {"sample": s, "row": s, "sample_id": str(s), "benchmark": "gsm8k", "item_id": i, "tier": t}
        for s, i, t in MATCHES
    ]
    tier = np.zeros(len(batch), np.int8)
    np.maximum.at(tier, [s for s, _, _ in MATCHES], [TIERS.index(t) for _, _, t in MATCHES])
    counts = dict.fromkeys(BenchmarkResult.__slots__, 0) | {"name": "gsm8k", "sha256": SET.sha256, "items": 4}
    counts |= {"confirmed_items": 3, "suspected_items": 1, "confirmed_rows": 2, "suspected_rows": 1}
    contamination = Contamination(
        matches=pa.Table.from_pylist(rows, schema=MATCH_SCHEMA),
        benchmarks=(BenchmarkResult(**counts),),
        tier=tier,
        item_tier=np.array([TIERS.index(t) for t in TIER.values()], np.int8),
    )
    named = replace(batch, sample_id=pa.array(IDS[:7], pa.large_string()))
    return named, find_duplicates(batch, tmp_path_factory.mktemp("work")), contamination


@pytest.fixture
def decided(found, tmp_path):
    """What becomes of these decisions: beside the batch, the facts, the numbers, and what happens to the rows."""

    def run(*decisions, clean=False, benchmarks=(SET,)):
        batch, duplicates, contamination = found
        path = write_decisions(tmp_path / "decisions.yaml", *decisions)
        file = read_decisions(str(path), [batch.paths[0]], never_drop=False, today=TODAY)
        reviewed = review(file, batch, duplicates, None if clean else contamination, () if clean else benchmarks)
        advised = decide(
            QUADRANT,
            {},
            benchmark_match=reviewed.is_left("confirmed"),
            noise=np.zeros(7, bool),
            suspected=reviewed.is_left("suspected"),
        )
        actions = advised.overruled(reviewed.keep, reviewed.remove, reasons_of(reviewed))
        mass = {"memorized.token_share": Measurement(value=0.4, low=0.3, high=0.5)}
        numbers = measure_decisions(reviewed, benchmarks, TOKENS, QUADRANT, mass)
        facts = settle(reviewed, advised.weight, TOKENS, QUADRANT).facts["decisions"]
        return facts, {name: m.value for name, m in numbers.items()}, actions.action.tolist(), reviewed

    return run


WITHOUT = ["keep", "remove", "remove", "keep", "keep", "keep", "keep"]


def test_without_decisions_everything_is_unreviewed(found, decided):
    facts, numbers, actions, _ = decided()
    assert (facts, actions) == ([], WITHOUT)
    assert numbers == {
        UNREVIEWED_ITEMS: 3,
        UNREVIEWED_SUSPECTS: 1,
        UNREVIEWED_ROWS: 2,
        UNREVIEWED_MASS: 0.4,
        WAVED: 0,
        KEPT_ROWS: 0,
        LAPSED: 0,
    }
    reviewed = review(None, *found[:2], None, ())
    assert settle(reviewed, np.ones(7), TOKENS, QUADRANT) is None
    assert set(measure_decisions(reviewed, (), TOKENS, QUADRANT, {})) == {WAVED, LAPSED}


def test_a_row_that_is_kept_stays_with_its_benchmark_item_and_is_counted(decided):
    (facts,), numbers, actions, reviewed = decided(decision("keep", **by_text(1)))
    assert actions == ["keep", "keep", "remove", "keep", "keep", "keep", "keep"]
    assert facts["state"] == "used"
    assert facts["covers"] == {"rows": 1, "tokens": 10, "confirmed_rows": 1, "matches": 1}
    assert (numbers[KEPT_ROWS], numbers[UNREVIEWED_ROWS], numbers[UNREVIEWED_ITEMS]) == (1, 1, 3)
    assert numbers[WAVED] == pytest.approx(1 / 7)
    assert numbers[UNREVIEWED_MASS] == pytest.approx(0.4 - 1 / 7)
    assert reviewed.number.tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert reasons_of(reviewed)[1] == "kept by decision of Ann: looked at it twice, see DG-7"


def test_an_item_all_of_whose_rows_are_decided_is_reviewed(decided):
    facts, numbers, actions, _ = decided(decision("keep", **by_text(1)), decision("remove", **by_text(2)))
    assert actions[1:3] == ["keep", "remove"]
    assert (numbers[UNREVIEWED_ITEMS], numbers[UNREVIEWED_ROWS], numbers[KEPT_ROWS]) == (1, 0, 1)
    assert [one["state"] for one in facts] == ["used", "used"]  # the policy removes row 2 anyhow, but somebody looked


def test_a_row_that_is_removed_goes_whatever_the_map_says_and_is_waved_through_by_nobody(decided):
    (facts,), numbers, actions, _ = decided(decision("remove", **by_text(0)))
    assert (facts["state"], actions[0]) == ("used", "remove")
    assert numbers[WAVED] == 0
    assert numbers[UNREVIEWED_MASS] == pytest.approx(0.4 - 1 / 7)


def test_an_item_that_is_a_false_alarm_is_one_wherever_it_stands(decided):
    (facts,), numbers, actions, reviewed = decided(decision("false alarm", item=item("q1")))
    assert actions == ["keep", "keep", "remove", "keep", "keep", "keep", "keep"]  # row 2 holds q2 besides
    assert facts["covers"] == {"rows": 2, "tokens": 20, "confirmed_rows": 2, "matches": 2}
    assert (numbers[UNREVIEWED_ITEMS], numbers[UNREVIEWED_ROWS], numbers[KEPT_ROWS]) == (2, 1, 1)
    assert reviewed.number.tolist() == [0, 1, 1, 0, 0, 0, 0]
    _, numbers, actions, _ = decided(
        decision("false alarm", item=item("q1", "q2", "q4")), decision("false alarm", item=item("q3"))
    )
    assert actions == ["keep"] * 7
    assert (numbers[UNREVIEWED_ITEMS], numbers[UNREVIEWED_SUSPECTS], numbers[KEPT_ROWS]) == (0, 0, 2)
    assert numbers[WAVED] == pytest.approx(3 / 7)


def test_a_false_alarm_in_one_row_is_none_in_another(decided):
    (facts,), numbers, actions, _ = decided(decision("false alarm", **by_text(1), item=item("q1")))
    assert actions[1:3] == ["keep", "remove"]
    assert (numbers[UNREVIEWED_ITEMS], numbers[UNREVIEWED_ROWS]) == (3, 1)
    assert is_false_alarm({"decisions": [facts]}, {"benchmark": "gsm8k", "item_id": "q1", "row": 1, "sample_id": "b"})
    assert not is_false_alarm(
        {"decisions": [facts]}, {"benchmark": "gsm8k", "item_id": "q1", "row": 2, "sample_id": "c"}
    )
    assert about(facts) == "item q1 of gsm8k in row 1"


def test_an_item_takes_its_rows_with_it_but_those_that_somebody_kept(decided):
    facts, numbers, actions, reviewed = decided(
        decision("remove", item=item("q1", "q3")),
        decision("keep", **by_text(2)),
        decision("false alarm", item=item("q2")),
    )
    assert actions == ["keep", "remove", "keep", "remove", "keep", "keep", "keep"]
    assert [one["state"] for one in facts] == ["used", "used", "used"]
    assert facts[0]["covers"]["rows"] == 2
    assert reviewed.number.tolist() == [0, 1, 2, 1, 0, 0, 0]
    assert (numbers[UNREVIEWED_ITEMS], numbers[UNREVIEWED_SUSPECTS], numbers[UNREVIEWED_ROWS]) == (1, 0, 0)


NOTHING = {
    "another text": (decision("keep", row=1, text=digest_of("another")), "stale", "the row has another text now"),
    "another text by id": (
        decision("keep", id="b", text=digest_of("another")),
        "stale",
        "the row has another text now",
    ),
    "another delivery": (decision("keep", rows=[1, 2], batch="ab" * 16), "stale", "it is about another delivery"),
    "another version": (
        decision("false alarm", item=item("q1", sha256="ab" * 16)),
        "stale",
        "the benchmark gsm8k is another one",
    ),
    "its last day": (decision("keep", **by_text(1), until=TODAY - timedelta(days=1)), "expired", "its last day was"),
    "no such row": (
        decision("keep", row=99, text=digest_of("x")),
        "unused",
        "there is no row 99; rows are counted from 0",
    ),
    "no text": (decision("keep", row=7, text=digest_of("x")), "unused", "row 7 was not audited"),
    "no such id": (decision("keep", id="z", text=digest_of("x")), "unused", "no sample has this id"),
    "an id twice": (decision("keep", id="c", text=digest_of(TEXTS[2])), "unused", "2 samples have this id"),
    "no such item": (decision("false alarm", item=item("q9")), "unused", "the benchmark gsm8k has no such item"),
    "no such set": (
        decision("remove", item=item("q1", benchmark="mmlu")),
        "unused",
        "did not look for the benchmark mmlu",
    ),
    "not there": (decision("false alarm", **by_text(0), item=item("q1")), "unused", "nothing of the item was found"),
    "boilerplate": (decision("false alarm", **by_text(5), item=item("q2")), "unused", "nothing of the item was found"),
    "kept anyhow": (decision("keep", **by_text(5)), "unused", "the policy does the same without it"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_decision_without_effect_is_named_with_the_reason_and_changes_nothing(decided, name):
    made, state, note = NOTHING[name]
    (facts,), numbers, actions, _ = decided(made)
    assert (facts["state"], actions) == (state, WITHOUT)
    assert note in facts["note"]
    assert numbers[LAPSED] == (state in ("stale", "expired"))
    assert numbers[WAVED] == 0
    if name != "kept anyhow":
        assert facts["covers"]["rows"] == 0
        assert numbers[UNREVIEWED_ITEMS] == 3


def test_rows_of_one_batch_are_bound_by_its_digest(found, decided):
    (facts,), _, actions, _ = decided(decision("keep", rows=[1, 2, 99], batch=found[0].sha256))
    assert (facts["state"], actions) == ("used", ["keep"] * 7)
    assert "there is no row 99" in facts["note"]


def test_without_a_benchmark_a_decision_about_its_items_is_unused(decided):
    (facts,), numbers, _, _ = decided(decision("false alarm", item=item("q1")), clean=True)
    assert "did not look for the benchmark" in facts["note"]
    assert UNREVIEWED_ITEMS not in numbers


def test_one_row_by_its_number_and_by_its_id_is_decided_twice(decided):
    with pytest.raises(UsageError, match=r"decisions\.yaml: row 1 is decided twice, in decisions\.0 and decisions\.1"):
        decided(decision("keep", **by_text(1)), decision("remove", id="b", text=digest_of(TEXTS[1])))


def test_a_published_verdict_counts_decisions_and_names_nobody(decided, found):
    from carto_audit.gate.verdict import Verdict

    _, numbers, _, reviewed = decided(
        *(made for made, _, _ in list(NOTHING.values())[2:6]), decision("keep", **by_text(2))
    )
    verdict = Verdict(status="accepted", exit_code=0, complete=True, findings=(), warnings=("others",))
    measured = {name: Measurement.exact(value) for name, value in numbers.items()}
    said = noted(verdict, settle(reviewed, np.zeros(7), TOKENS, QUADRANT), measured).warnings
    assert said[0] == "1 row with a confirmed benchmark item stays by decision"
    assert said[1].startswith("2 decisions are stale")
    assert said[2].startswith("1 decision is past the last day")
    assert said[3].startswith("1 decision is not needed")
    assert said[-1] == "others"
    assert not any(word in " ".join(said) for word in ("Ann", "DG-7", "gsm8k", "row 1", "99"))
    assert noted(verdict, None, measured) is verdict
