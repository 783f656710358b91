"""Who is heard, who is not and why, and what the figures of those heard amount to."""

import numpy as np
import pyarrow as pa
import pytest

from carto_audit.contamination.check import MATCH_SCHEMA
from carto_audit.pipeline.item_recall_table import (
    MEASURED,
    MOST_ITEMS,
    TESTIMONY_SCHEMA,
    figures_by_item,
    items_to_ask,
    kappa,
    read_testimony,
    sum_up,
    tabulate,
    wordings,
    write_testimony,
)
from carto_audit.runtime.errors import AuditError
from tests.support.quizzes import BELL, ITEMS, SHEEP, quiz


def matches(*found):
    """Matches from (sample, item_id, tier, leak_kind, containment)."""
    rows = [
        {
            "sample": sample,
            "benchmark": "quiz",
            "item_id": item,
            "tier": tier,
            "leak_kind": leak,
            "containment": containment,
        }
        for sample, item, tier, leak, containment in found
    ]
    return pa.Table.from_pylist(rows, schema=MATCH_SCHEMA)


FOLD = np.array([0, 0, 1, 1, 0], np.int8)
TRAINED = np.array([True, True, True, True, False])
NOBODY = np.zeros(5, bool)


def heard(*found, folds=2, held_out=NOBODY):
    return items_to_ask(matches(*found), FOLD, TRAINED, held_out, folds)


def test_an_item_is_heard_when_all_its_trained_rows_lie_on_one_side():
    (item,) = heard(
        (0, "a", "suspected", "input", 0.8),
        (1, "a", "confirmed", "input+answer", 0.9),
        (4, "a", "confirmed", "input", 1.0),
    )
    assert (item.tier, item.leak_kind, item.rows_trained, item.fold, item.silence) == (
        "confirmed",
        "input+answer",
        2,
        0,
        "",
    )
    (other,) = heard((2, "a", "suspected", "input", 0.8))
    assert (other.tier, other.fold) == ("suspected", 1)


def test_a_row_counts_once_however_often_it_holds_the_item():
    (item,) = heard((0, "a", "confirmed", "input", 1.0), (0, "a", "confirmed", "input", 1.0))
    assert item.rows_trained == 1


@pytest.mark.parametrize(
    ("samples", "settings", "words"),
    [
        ((0, 2), {}, "both sides"),
        ((4,), {}, "no row with it was trained on"),
        ((0, 4), {"held_out": np.arange(5) == 4}, "held out"),
        ((0,), {"folds": 1}, "a single proxy"),
    ],
)
def test_an_item_without_an_unseen_proxy_says_why_and_has_no_figures(samples, settings, words):
    items = heard(*((sample, "a", "confirmed", "input", 1.0) for sample in samples), **settings)
    assert [item.fold for item in items] == [None]
    assert words in items[0].silence
    (row,) = tabulate(items, {}).to_pylist()
    assert words in row["silence"]
    assert {row[name] for name in MEASURED} == {None}


def test_only_confirmed_and_suspected_items_are_called_and_the_surest_first():
    items = heard(
        (0, "vague", "suspected", "input", 0.99),
        (1, "edited", "confirmed", "input", 0.7),
        (2, "whole", "confirmed", "input", 1.0),
        (3, "twin", "source_overlap", "input", 0.9),
        (3, "template", "boilerplate", "input", 0.9),
    )
    assert [item.item_id for item in items] == ["whole", "edited", "vague"]


def test_beyond_the_surest_items_the_others_say_that_they_were_left_out():
    found = [(k % 2, f"{k:04d}", "confirmed", "input", 1.0) for k in range(MOST_ITEMS + 7)]
    items = heard((0, "0000-both", "confirmed", "input", 1.0), (2, "0000-both", "confirmed", "input", 1.0), *found)
    assert sum(item.fold is not None for item in items) == MOST_ITEMS
    assert [item.item_id for item in items if "surest" in item.silence] == [f"{MOST_ITEMS + k:04d}" for k in range(7)]


def test_the_answer_is_asked_after_the_question_and_its_options(tmp_path):
    benchmark = quiz(tmp_path / "quiz.jsonl", ITEMS)
    items = heard((0, "sheep", "confirmed", "input", 0.9), (1, "bell", "confirmed", "input", 1.0))
    for item in items:
        assert item.benchmark == benchmark.name
    bell, sheep = wordings([benchmark], items)
    assert (bell.question, bell.prefix, bell.answer) == (BELL, BELL, "Each rope carries 412 / 9 kilograms.")
    assert sheep.prefix == f"{SHEEP} malachite dust boiled verdigris sea grass"
    assert sheep.answer == "boiled verdigris"


def told():
    """Two items heard, of which one in nine rows, and one on both sides."""
    items = items_to_ask(
        matches(
            (0, "often", "confirmed", "input", 1.0),
            (2, "split", "confirmed", "input", 1.0),
            (0, "split", "confirmed", "input", 1.0),
            *((k, "often", "confirmed", "input", 1.0) for k in range(5, 13)),
            (3, "once", "suspected", "input", 0.5),
        ),
        np.array([0, 0, 1, 1, 0, *[0] * 8], np.int8),
        np.ones(13, bool),
        np.zeros(13, bool),
        2,
    )
    measured = {name: np.array([1.0, 3.0]) for name in MEASURED}
    measured |= {"loss_in_answer": np.array([0.5, np.nan]), "quiz_in": np.array([1.0, np.nan])}
    measured |= {"quiz_out": np.array([0.0, np.nan]), "peak_in": np.array([0.25, 0.0])}
    return tabulate(items, measured)


def test_the_file_holds_what_was_measured_and_null_for_what_was_not(tmp_path):
    write_testimony(tmp_path / "testimony.parquet", told())
    table = read_testimony(tmp_path / "testimony.parquet")
    assert table.schema == TESTIMONY_SCHEMA
    assert table.equals(told())
    often, split, once = table.to_pylist()
    assert (often["item_id"], often["rows_trained"], often["quiz_in"], often["quiz_out"]) == ("often", 9, True, False)
    assert (split["item_id"], split["loss_in_question"]) == ("split", None)
    assert (once["loss_in_question"], once["loss_in_answer"], once["quiz_in"]) == (3.0, None, None)


def test_the_summary_counts_those_heard_and_tells_rows_apart():
    facts = sum_up(told())
    assert (facts["items"], list(facts["silent"].values())) == (2, [1])
    assert (facts["loss_in_question"], facts["loss_in_answer"], facts["loss_out_answer"]) == (2.0, 0.5, 2.0)
    assert (facts["quiz_in"], facts["quiz_out"], facts["quiz_kappa"]) == (1.0, 0.0, 1.0)
    assert [(group["least_rows"], group["most_rows"], group["items"]) for group in facts["by_rows"]] == [
        (1, 1, 1),
        (8, None, 1),
    ]
    assert facts["by_rows"][1]["peak_in"] == 0.25
    assert facts["by_rows"][0]["quiz_kappa"] is None
    assert figures_by_item(told())["quiz", "once"]["rows_trained"] == 1
    assert sum_up(None) is None
    assert figures_by_item(None) == {}


@pytest.mark.parametrize(
    ("share", "reference", "value"),
    [(0.25, 0.25, 0.0), (1.0, 0.25, 1.0), (0.7, 0.4, 0.5), (0.0, 0.5, -1.0), (1.0, 1.0, None)],
)
def test_kappa_is_what_was_gained_of_what_could_be(share, reference, value):
    assert kappa(share, reference) == (None if value is None else pytest.approx(value))


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "testimony.parquet").write_bytes(b"no")
    with pytest.raises(AuditError, match=r"testimony\.parquet: cannot read"):
        read_testimony(tmp_path / "testimony.parquet")
