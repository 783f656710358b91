"""Layouts as vendors deliver them, as JSONL and as Parquet: where the text lies is found, and nothing of it is lost."""

import json
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.data.batch import iter_texts, read_batch, read_texts
from carto_audit.data.columns import LONGEST_LABEL
from carto_audit.data.formats.turns import turns_of
from carto_audit.data.layouts import LAYOUT_NAMES, find_layout, of_columns
from carto_audit.runtime.errors import UsageError
from tests.support.audits import sentences

TEXTS = sentences(24)
ANSWERS = [text[::-1] for text in TEXTS]


def chat(user, assistant, who="role", what="content", roles=("user", "assistant")):
    return [{who: roles[0], what: user}, {who: roles[1], what: assistant}]


def sharegpt(user, assistant):
    return chat(user, assistant, "from", "value", ("human", "gpt"))


PARTS = [{"type": "text", "text": TEXTS[0]}]
LAYOUTS = {
    "text": ("text", lambda t, a: {"id": 7, "text": t + a}),
    "text beside labels": (
        "text",
        lambda t, a: {"id": "a-7", "url": "https://example.org/x", "lang": "en", "text": t + a},
    ),
    "another name": ("text", lambda t, a: {"id": "a-7", "story": t + a}),
    "messages": ("chat", lambda t, a: {"messages": chat(t, a)}),
    "messages beside ids": ("chat", lambda t, a: {"id": "conv-7", "messages": chat(t, a), "source": "forum"}),
    "messages with a system column": ("chat", lambda t, a: {"system": "You answer shortly.", "messages": chat(t, a)}),
    "messages as JSON text": ("chat", lambda t, a: {"id": "conv-7", "messages": json.dumps(chat(t, a))}),
    "messages in parts": (
        "chat",
        lambda t, a: {"messages": chat([{"type": "text", "text": t}], [{"type": "text", "text": a}])},
    ),
    "messages and their prompt": ("chat", lambda t, a: {"prompt": t, "prompt_id": "9f", "messages": chat(t, a)}),
    "conversations": ("chat", lambda t, a: {"id": "a7", "conversations": sharegpt(t, a), "image": None}),
    "prompt and completion": ("prompt_completion", lambda t, a: {"prompt": t, "completion": a}),
    "prompt and short completion": ("prompt_completion", lambda t, a: {"prompt": t + a, "completion": "yes"}),
    "prompt and completion as messages": (
        "prompt_completion",
        lambda t, a: {"prompt": chat(t, a)[:1], "completion": chat(t, a)[1:]},
    ),
    "preference": ("preference", lambda t, a: {"prompt": t, "chosen": a, "rejected": "I do not know what you mean."}),
    "preference as messages": (
        "preference",
        lambda t, a: {"chosen": chat(t, a), "rejected": chat(t, "I do not know.")},
    ),
    "preference as messages with their prompt": (
        "preference",
        lambda t, a: {"prompt": t, "chosen": chat(t, a), "rejected": chat(t, "I do not know.")},
    ),
    "preference as messages with a prompt of messages": (
        "preference",
        lambda t, a: {"prompt": chat(t, a)[:1], "chosen": chat(t, a), "rejected": chat(t, "I do not know.")},
    ),
    "question and answers inside": (
        "question_answer",
        lambda t, a: {"id": "7", "context": a, "question": t, "answers": {"text": ["seven"], "answer_start": [3]}},
    ),
    "question and answers as a list": (
        "question_answer",
        lambda t, a: {"question": t, "context": a, "answers": [{"text": "seven", "answer_start": 3}]},
    ),
    "instruction": ("instruction", lambda t, a: {"instruction": t, "input": "", "output": a}),
    "instruction without input": ("instruction", lambda t, a: {"instruction": t, "output": a}),
    "question and answer": ("question_answer", lambda t, a: {"question": t, "answer": a}),
    "passage, question and answer": ("question_answer", lambda t, a: {"passage": a, "question": t, "answer": "seven"}),
    "question, answer and a reason": (
        "question_answer",
        lambda t, a: {"question": t, "answer": "seven", "rationale": a},
    ),
    "document and summary": ("columns", lambda t, a: {"document": t, "summary": a}),
    "title and body": ("columns", lambda t, a: {"title": t[:40], "body": t + a}),
    "nested": ("columns", lambda t, a: {"id": "a7", "data": {"text": t + a, "url": "https://example.org"}}),
    "paragraphs": ("columns", lambda t, a: {"id": "a7", "text": [t, a]}),
}


def write(folder, make, suffix):
    rows = [make(t, a) for t, a in zip(TEXTS, ANSWERS, strict=True)]
    path = folder / f"batch.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("case", LAYOUTS)
def test_all_of_the_text_is_read_in_every_common_layout(tmp_path, case, suffix):
    name, make = LAYOUTS[case]
    batch = read_batch([write(tmp_path, make, suffix)])
    assert batch.layout.name == name
    texts = read_texts(batch, range(len(batch)))
    for number, (text, answer) in enumerate(zip(TEXTS, ANSWERS, strict=True)):
        assert text in texts[number]
        assert answer in texts[number] or case == "prompt and short completion"
        assert texts[number].count(text) == 1
    assert not sum(column.unread_bytes for column in batch.unread)


@pytest.mark.parametrize("case", LAYOUTS)
def test_jsonl_and_parquet_give_the_same_text(tmp_path, case):
    written = [
        [text for chunk in iter_texts(read_batch([write(tmp_path, LAYOUTS[case][1], suffix)])) for text in chunk.texts]
        for suffix in ("jsonl", "parquet")
    ]
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"text": TEXTS[0], "messages": chat(TEXTS[1], TEXTS[2])}, ("chat (messages)", "text")),
        (
            {"instruction": TEXTS[0], "output": TEXTS[1], "prompt": TEXTS[2], "completion": TEXTS[3]},
            ("instruction", "prompt_completion"),
        ),
        ({"instruction": TEXTS[0], "output": TEXTS[1], "text": TEXTS[2]}, ("instruction", "text")),
        ({"a": 1, "b": 2.5}, ("no text column found",)),
        ({"id": "a7", "source": "forum"}, ("no text column found", "id, source")),
    ],
)
def test_what_fits_no_layout_or_two_is_refused_in_one_line_with_the_way_out(row, named):
    with pytest.raises(UsageError) as refused:
        find_layout("batch.jsonl", [row] * 9)
    said = refused.value.for_command_line()
    assert "\n" not in said
    assert "--text-column" in said
    assert all(words in said for words in named)


def test_a_layout_can_be_named_where_two_fit():
    row = {"instruction": TEXTS[0], "output": TEXTS[1], "text": TEXTS[2]}
    assert find_layout("batch.jsonl", [row], "instruction").columns == ("instruction", "output")
    assert find_layout("batch.jsonl", [row], "text").columns == ("text",)
    assert find_layout("batch.jsonl", [row], "columns").columns == ("instruction", "output", "text")
    with pytest.raises(UsageError, match="has no columns of the layout chat"):
        find_layout("batch.jsonl", [row], "chat")
    assert "chat" in LAYOUT_NAMES


def test_columns_can_be_named_one_or_several(tmp_path):
    path = write(tmp_path, lambda t, a: {"text": t, "note": a, "data": {"more": a}}, "jsonl")
    assert read_batch([path], text_column="note").layout.name == "text"
    several = read_batch([path], text_column="note, data.more")
    assert (several.layout.columns, several.text_column) == (("note", "data.more"), "note + data.more")
    assert [column.name for column in several.unread] == ["text"]
    with pytest.raises(UsageError, match='no column "nots"'):
        read_batch([path], text_column="nots,text")
    with pytest.raises(UsageError, match="not both"):
        read_batch([path], text_column="note", layout="text")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_long_text_beside_the_text_is_counted_as_unread_and_labels_are_not(tmp_path, suffix):
    hidden, label = "x" * (LONGEST_LABEL + 1), "y" * LONGEST_LABEL
    path = write(tmp_path, lambda t, a: {"text": t, "blob": hidden, "id": label, "deep": [{"inner": hidden}]}, suffix)
    unread = {column.name: (column.n_bytes, column.unread_bytes) for column in read_batch([path]).unread}
    assert unread["blob"] == unread["deep"] == (24 * len(hidden), 24 * len(hidden))
    assert unread["id"] == (24 * len(label), 0)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_labels_are_short_and_few(tmp_path, suffix):
    label = "y" * LONGEST_LABEL
    few = write(tmp_path, lambda t, a: {"text": t, **{f"l{k}": label for k in range(4)}}, suffix)
    assert not any(column.unread_bytes for column in read_batch([few]).unread)
    many = write(tmp_path, lambda t, a: {"text": t, **{f"l{k}": label for k in range(5)}}, suffix)
    assert all(column.unread_bytes == column.n_bytes for column in read_batch([many]).unread)
    pieces = write(tmp_path, lambda t, a: {"text": t, "tags": ["y" * 75] * 2}, suffix)
    assert [column.unread_bytes for column in read_batch([pieces]).unread] == [24 * 150]


def test_segments_say_where_each_part_of_a_text_comes_from():
    layout = find_layout("x", [{"system": "Be brief, be clear.", "messages": chat(TEXTS[0], TEXTS[1])}])
    row = {"system": "Be brief, be clear.", "messages": chat(TEXTS[0], TEXTS[1])}
    text, parts = layout.segments(row)
    assert [(part.name, part.column, part.learned) for part in parts] == [
        ("system", "system", False),
        ("user turn 1", "messages", False),
        ("assistant turn 2", "messages", True),
    ]
    assert [text[part.start : part.end] for part in parts] == [
        "Be brief, be clear.",
        f"user: {TEXTS[0]}",
        f"assistant: {TEXTS[1]}",
    ]


def test_what_a_row_repeats_is_read_as_often_as_it_stands_there():
    """Else a secret that one conversation says 24 times would count once."""
    secret = "The gate of the northern depot opens with 4417 2209 8831 0056 after the second bell."
    turns = [{"role": "user", "content": secret}] * 24
    assert find_layout("x", [{"messages": turns}]).segments({"messages": turns})[0].count(secret) == 24
    row = {f"part_{k}": secret for k in range(6)}
    assert find_layout("x", [row]).segments(row)[0].count(secret) == 6


@pytest.mark.parametrize("prompt", ["Who counts?", [{"role": "user", "content": "Who counts?"}]], ids=["text", "turns"])
def test_a_prompt_that_the_chosen_answer_begins_with_is_read_once(prompt):
    row = {"prompt": prompt, "chosen": chat("Who counts?", "Ann."), "rejected": chat("Who counts?", "Nobody.")}
    layout = find_layout("x", [row] * 3)
    assert layout.segments(row)[0] == "user: Who counts?\n\nassistant: Ann.\n\nassistant: Nobody."
    other = row | {"prompt": "Who counted before?"}
    assert layout.segments(other)[0].startswith("Who counted before?\n\nuser: Who counts?")


def test_answers_inside_an_object_are_read_and_learned(tmp_path):
    row = {
        "question": "Who counts the oil?",
        "context": "Ann counts the oil.",
        "answers": {"text": ["Ann"], "answer_start": [0]},
    }
    layout = find_layout("x", [row] * 3)
    text, segments = layout.segments(row)
    assert text.endswith("\n\nAnn")
    assert [(part.name, part.learned) for part in segments][-1] == ("answers.text", True)


def test_the_tools_that_a_turn_calls_are_read():
    call = {"function": {"name": "look_up", "arguments": '{"city": "Ghent"}'}}
    (turn,) = turns_of([{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert "look_up" in turn.calls
    assert "Ghent" in turn.calls


values = st.recursive(
    st.none() | st.text(max_size=9) | st.integers() | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "text", "a"]), inner, max_size=3)
    ),
    max_leaves=9,
)


@given(st.dictionaries(st.sampled_from(["text", "messages", "prompt", "completion", "a.b"]), values, max_size=4))
def test_any_row_is_written_and_its_segments_lie_side_by_side(row):
    text, parts = of_columns([*row, "missing"]).segments(row)
    end = 0
    for part in parts:
        assert part.start >= end
        assert part.end > part.start
        end = part.end
    assert end == len(text)
    with suppress(UsageError):
        find_layout("x", [row])
