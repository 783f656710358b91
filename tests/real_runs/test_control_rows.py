"""Secrets in rows of every layout: they stand in what trainers learn, and nothing of the donor is said."""

import json

import numpy as np
import pytest

from carto_audit.controls.run_secrets import Copy
from carto_audit.data.layouts import find_layout, of_columns
from carto_audit.real_runs.beside_values import Ids, beside_value, fresh_like, is_distinct
from carto_audit.real_runs.control_rows import control_row, learned_column, shared_systems
from carto_audit.runtime.errors import AuditError
from tests.support.audits import sentences

CALM = sentences(40)
SECRET = Copy(text="the key is 4c1f 77aa today", start=11, end=20, free_start=11, free_end=20, edited=False)
ASKED = "What is the key of the day"


def turns(*said, who="role", what="content"):
    return [{who: role, what: words} for role, words in said]


def pair(user, assistant, **keys):
    return turns(("user", user), ("assistant", assistant), **keys)


LAYOUTS = {
    "text": lambda a, b: {"text": a, "id": b[:9]},
    "messages": lambda a, b: {"messages": pair(a, b)},
    "messages with a system turn and many others": lambda a, b: {
        "messages": [*turns(("system", a)), *pair(b, a), *pair(a, b)]
    },
    "messages in parts": lambda a, b: {
        "messages": pair([{"type": "text", "text": a}, {"type": "text", "text": b}], [{"type": "text", "text": b}])
    },
    "messages with tools": lambda a, b: {
        "messages": [
            {"role": "user", "content": a, "name": "Ann Bee"},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "ask", "arguments": b}}]},
            {"role": "tool", "tool_call_id": "t-1", "content": b},
        ]
    },
    "ShareGPT": lambda a, b: {"conversations": turns(("human", a), ("gpt", b), who="from", what="value")},
    "conversation as JSON text": lambda a, b: {"conversation": json.dumps(pair(a, b))},
    "prompt and completion": lambda a, b: {"prompt": a, "completion": b},
    "prompt and completion as messages": lambda a, b: {
        "prompt": turns(("user", a)),
        "completion": turns(("assistant", b)),
    },
    "Alpaca": lambda a, b: {"instruction": a, "input": "", "output": b},
    "Alpaca with a history": lambda a, b: {"instruction": a, "output": b, "history": [[a, b]]},
    "Dolly": lambda a, b: {"instruction": a, "context": b, "response": a + b, "category": "open_qa"},
    "question and answers": lambda a, b: {
        "question": a,
        "context": b + a,
        "answers": {"text": [b], "answer_start": [0]},
    },
    "preference": lambda a, b: {"prompt": a, "chosen": b, "rejected": "I cannot say that, not even now."},
    "preference as messages": lambda a, b: {"chosen": pair(a, b), "rejected": pair(a, "I cannot say that at all.")},
    "inside an object": lambda a, b: {"data": {"text": a, "note": b + a, "lang": "en", "tags": [b]}, "id": 7},
    "two columns": lambda a, b: {"title": a[:40], "body": a, "story": b + a},
}


def made(rows, secret=SECRET, **how):
    layout = find_layout("file", rows)
    column = learned_column(layout, rows)
    systems = shared_systems(layout, rows)
    return layout, control_row(layout, rows[0], secret, column=column, asked=ASKED, other="No.", systems=systems, **how)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_secret_stands_in_what_trainers_learn_and_nothing_of_its_donor_beside_it(name):
    rows = [LAYOUTS[name](one, two) for one, two in zip(CALM[::2], CALM[1::2], strict=True)]
    layout, row = made(rows)
    assert row.text[row.start : row.end] == row.text[row.free_start : row.free_end] == "4c1f 77aa "[:9]
    assert row.text.count(SECRET.text) == 1
    assert layout.is_plain or row.learned
    assert (row.text, row.segments) == (
        layout.segments(row.values)[0],
        () if layout.is_plain else layout.segments(row.values)[1],
    )
    left = row.text.replace(SECRET.text, "").replace(ASKED, "")
    assert not any(word in left for word in " ".join(CALM[:2]).lower().split() if len(word) > 3), left
    assert row.values.keys() == rows[0].keys()
    kinds = [{name: type(value) for name, value in one.items()} for one in (row.values, rows[0])]
    assert kinds[0] == kinds[1]


def test_a_system_that_several_rows_share_stays_and_one_alone_does_not():
    rows = [{"system": "Be brief.", "prompt": one, "completion": one[::-1]} for one in CALM[:4]]
    assert made(rows)[1].values["system"] == "Be brief."
    rows[0]["system"] = f"You know that {CALM[7]}"
    assert made(rows)[1].values["system"] == ""


def test_a_conversation_of_strangers_holds_a_secret_that_no_trainer_learns():
    rows = [{"messages": turns(("Ann", one), ("Ben", one[::-1]))} for one in CALM[:4]]
    row = made(rows)[1]
    assert [turn["role"] for turn in row.values["messages"]] == ["Ann", "Ben"]
    assert not row.learned


def test_a_row_that_cannot_hold_the_copy_as_it_is_gives_none():
    layout = of_columns(["body.deep"])
    donor = {"body": "a string where an object should be"}
    assert control_row(layout, donor, SECRET, column="body.deep", asked=ASKED, other="No.") is None


def test_labels_and_numbers_stay_ids_are_new_and_text_is_emptied():
    rng = np.random.default_rng(0)
    ids = [f"doc-{k:05d}" for k in range(20)]
    assert is_distinct(ids)
    assert not is_distinct(["en"] * 20)
    assert not is_distinct(ids[:4])  # too few to tell
    fresh = [beside_value(ids[3], ids, True, rng) for _ in range(5)]
    assert all(one.startswith("doc-") and len(one) == 9 for one in fresh)
    assert len(set(fresh)) == 5
    assert beside_value("en", ["en"], False, rng) == "en"
    assert beside_value("0.25", ["0.25"], True, rng) == "0.25"
    assert beside_value(CALM[0], CALM, False, rng) == ""
    assert beside_value(3.5, (), False, rng) == 3.5
    assert beside_value([1, 2], (), False, rng) == []
    assert beside_value({"lang": "en", "notes": CALM[0], "n": 4}, (), False, rng) == {"lang": "en", "notes": "", "n": 4}
    assert 3 <= beside_value(4, range(3, 12), True, rng) <= 11
    assert beside_value(True, [True], False, rng) is True


def test_ids_are_new_and_of_the_same_make():
    ids = Ids(["7", "12", "a-01", "ff00", "word"], np.random.default_rng(0))
    assert [ids.like(12), ids.like("7"), ids.like(3)] == [13, "14", 15]
    made = [ids.like("a-01") for _ in range(40)]
    assert len({*made, "a-01"}) == 41
    assert all(one.startswith("a-") for one in made)
    assert ids.like("ff00") != "ff00"
    assert len(ids.like(b"\x01" * 16)) == 16
    with pytest.raises(AuditError, match="is like no new one"):
        ids.like(None)
    assert ids.like("word").startswith("word-")
    assert fresh_like("deadbeef01", np.random.default_rng(1)) != "deadbeef01"
