import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.benchmarks.column_mappings import READY, as_choices, gold, mapped, parse_map, pick, recognize
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.runtime.errors import AuditError, CartoError, UsageError

ROWS = {
    "gsm8k": (
        {"question": "How many eggs?", "answer": "She has 16 - 3 = <<16-3=13>>13 eggs.\n#### 13"},
        {"question": "How many eggs?", "answer": "She has 16 - 3 = <<16-3=13>>13 eggs.\n#### 13"},
    ),
    "mmlu": (
        {"question": "Find p.", "subject": "algebra", "choices": ["8", "2", "24", "120"], "answer": 2},
        {"question": "Find p.", "choices": ["8", "2", "24", "120"], "answer": "24"},
    ),
    "arc": (
        {
            "id": "Mercury_7",
            "question": "Which planet?",
            "choices": {"text": ["Mars", "Venus"], "label": ["A", "B"]},
            "answerKey": "B",
        },
        {"item_id": "Mercury_7", "question": "Which planet?", "choices": ["Mars", "Venus"], "answer": "Venus"},
    ),
    "hellaswag": (
        {
            "ind": 24,
            "activity_label": "Roof shingle removal",
            "ctx_a": "A man sits.",
            "ctx_b": "he",
            "ctx": "A man sits. he",
            "endings": ["sleeps", "sings"],
            "source_id": "x",
            "split": "val",
            "label": "1",
        },
        {"item_id": "24", "question": "A man sits. he", "choices": ["sleeps", "sings"], "answer": "sings"},
    ),
    "humaneval": (
        {
            "task_id": "HumanEval/0",
            "prompt": "def add(a, b):\n",
            "canonical_solution": "    return a + b\n",
            "test": "…",
            "entry_point": "add",
        },
        {"item_id": "HumanEval/0", "question": "def add(a, b):\n", "choices": [], "answer": "    return a + b\n"},
    ),
    "mbpp": (
        {"task_id": 11, "text": "Write a function.", "code": "def f(): pass", "test_list": ["assert f()"]},
        {"item_id": "11", "question": "Write a function.", "answer": "def f(): pass"},
    ),
    "truthfulqa": (
        {"question": "What happens?", "mc1_targets": {"choices": ["Much", "Nothing"], "labels": [0, 1]}},
        {"question": "What happens?", "choices": ["Much", "Nothing"], "answer": "Nothing"},
    ),
    "truthfulqa-free": (
        {"type": "Adversarial", "question": "What?", "best_answer": "Nothing", "incorrect_answers": ["Much"]},
        {"question": "What?", "choices": [], "answer": "Nothing"},
    ),
    "copa": (
        {"premise": "The cup broke.", "choice1": "It fell.", "choice2": "It sang.", "question": "cause", "label": 0},
        {"question": "The cup broke.", "choices": ["It fell.", "It sang."], "answer": "It fell."},
    ),
    "winogrande": (
        {"sentence": "The cup hit the _ .", "option1": "mug", "option2": "wall", "answer": "2"},
        {"question": "The cup hit the _ .", "choices": ["mug", "wall"], "answer": "wall"},
    ),
    "boolq": (
        {"question": "is it true", "passage": "It is.", "answer": True},
        {"question": "is it true", "passage": "It is.", "choices": ["no", "yes"], "answer": "yes"},
    ),
    "math": (
        {"problem": "Find $x$.", "level": "Level 5", "type": "Algebra", "solution": r"\boxed{2}"},
        {"question": "Find $x$.", "answer": r"\boxed{2}"},
    ),
    "agieval": (
        {"passage": "A text.", "question": "Which?", "options": ["(A)one", "(B) two"], "label": "B", "answer": None},
        {"passage": "A text.", "question": "Which?", "choices": ["one", "two"], "answer": "two"},
    ),
    "agieval-prompt": (
        {"query": "Q: Which? Answer Choices: (A)one (B)two\nA: Among", "choices": ["(A)one", "(B)two"], "gold": [1]},
        {"question": "Which?", "choices": ["one", "two"], "answer": "two"},
    ),
    "lettered": (
        {"question": "Which?", "A": "one", "B": "two", "C": "three", "D": "four", "answer": "C"},
        {"question": "Which?", "choices": ["one", "two", "three", "four"], "answer": "three"},
    ),
    "plain": (
        {"item_id": "a", "question": "Who?", "passage": "Here.", "choices": ["he", "she"], "answer": "she"},
        {"item_id": "a", "question": "Who?", "passage": "Here.", "choices": ["he", "she"], "answer": "she"},
    ),
}


@pytest.mark.parametrize("name", READY)
def test_every_ready_mapping_knows_its_columns_and_reads_them(name):
    row, wanted = ROWS[name]
    found = recognize(row, row)
    assert found is not None
    assert found.name == name
    assert found.read(row) | wanted == found.read(row)


VARIANTS = [
    (
        "arc",
        {"id": "1", "question": {"stem": "Which?", "choices": [{"text": "x", "label": "1"}]}, "answerKey": "1"},
        ("Which?", ["x"], "x"),
    ),
    (
        "arc",
        {"id": "1", "question_stem": "Sky is", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "A"},
        ("Sky is", ["a", "b"], "a"),
    ),
    ("mbpp", {"source_file": "x", "task_id": 2, "prompt": "Write.", "code": "pass"}, ("Write.", [], "pass")),
    ("boolq", {"question": "q", "passage": "p", "idx": 0, "label": 0}, ("q", ["no", "yes"], "no")),
    ("boolq", {"question": "q", "passage": "p", "answer": "True"}, ("q", ["no", "yes"], "yes")),
    ("winogrande", {"sentence": "s _", "option1": "a", "option2": "b", "answer": ""}, ("s _", ["a", "b"], "")),
    ("agieval", {"passage": None, "question": "2+2", "options": None, "label": None, "answer": "4"}, ("2+2", [], "4")),
    (
        "agieval",
        {"passage": None, "question": "q", "options": ["(A)a", "(B)b"], "label": ["B"]},
        ("q", ["a", "b"], "b"),
    ),
    ("math", {"unique_id": "t/1.json", "problem": "p", "solution": "s", "answer": "2"}, ("p", [], "s")),
]


@pytest.mark.parametrize(("name", "row", "wanted"), VARIANTS)
def test_variants_of_the_common_sets_are_known_too(name, row, wanted):
    found = recognize(row, row)
    assert found is not None
    assert found.name == name
    item = found.read(row)
    assert (item["question"], item["choices"], item["answer"]) == wanted


def test_which_parts_are_program_text():
    assert {name: mapping.code for name, mapping in READY.items() if mapping.code} == {
        "humaneval": ("question", "answer"),
        "mbpp": ("answer",),
    }


def test_unknown_columns_are_not_guessed():
    assert recognize(["prompt", "text"], {"prompt": "a", "text": "b"}) is None


def test_columns_are_known_in_other_spellings(tmp_path):
    path = tmp_path / "quiz.csv"
    path.write_text("Type,Question,Best Answer\nx,What happens?,Nothing\n")
    benchmark = read_benchmark(path)
    assert (benchmark.mapping, benchmark.items["answer"].to_pylist()) == ("truthfulqa-free", ["Nothing"])


@pytest.mark.parametrize(
    ("answer", "choices", "wanted"),
    [
        (2, ["8", "2", "24", "120"], "24"),  # a number counts options
        ("2", ["8", "2", "24", "120"], "2"),  # its text is an option
        ("b", ["x", "y"], "y"),
        ("(B)", ["x", "y"], "y"),
        (1.0, ["x", "y"], "y"),
        ([1, 0], ["x", "y"], "y"),
        ("D", ["x", "y"], "D"),
        (None, ["x", "y"], ""),
        (-1, ["x", "y"], "-1"),
        ([], ["x"], ""),
        (7, [], "7"),
    ],
)
def test_the_gold_answer_is_found_by_text_place_or_letter(answer, choices, wanted):
    assert gold(answer, choices) == wanted


def test_a_number_among_numeric_options_is_an_option():
    assert READY["plain"].read({"question": "q", "choices": [2, 4, 8], "answer": 2})["answer"] == "2"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, []),
        ('["a", "b"]', ["a", "b"]),
        ("a text", ["a text"]),
        ("[not json", ["[not json"]),
        ({"A": "x", "B": "y"}, ["x", "y"]),
        ([{"text": "x", "label": "A"}], ["x"]),
        ("", []),
    ],
)
def test_options_are_read_however_they_are_written(value, wanted):
    assert as_choices(value) == wanted


def test_columns_can_be_named_one_by_one_and_lie_deeper():
    mapping = parse_map(["question=stem", "choices=options.text", "answer=key", "item_id=nr"])
    row = {"nr": 7, "stem": "Who?", "options": {"text": ["he", "she"]}, "key": "B"}
    assert mapping.read(row) == {
        "item_id": "7",
        "question": "Who?",
        "passage": "",
        "choices": ["he", "she"],
        "answer": "she",
    }
    assert parse_map(["question=stem", "choices=a, b"]).read({"stem": "q", "a": 1, "b": None})["choices"] == ["1"]
    assert parse_map([]) is None
    assert parse_map(["arc"]) is READY["arc"]


@pytest.mark.parametrize(
    ("given_map", "words"),
    [
        (["qestion=stem"], '"qestion" is no part of an item; did you mean "question"?'),
        (["choices=options"], "a mapping needs a question; add question=COLUMN"),
        (["question="], "write COMPONENT=COLUMN"),
        (["question=a", "question=b"], "this part is mapped twice"),
        (["arcc"], 'no mapping is called "arcc"; did you mean "arc"?'),
        (["nothing like it"], "known are arc"),
        (["arc", "question=stem"], "write COMPONENT=COLUMN"),
    ],
)
def test_a_wrong_map_is_one_clear_line(given_map, words):
    with pytest.raises(UsageError) as caught:
        parse_map(given_map)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(st.lists(st.text("questionchoices=.,\x1b\n ", max_size=30), max_size=4))
def test_any_map_is_read_or_refused_in_one_line(given_map):
    said = ""
    try:
        outcome = parse_map(given_map)
        assert outcome is None or outcome.read({})["choices"] in ([], [""])
    except CartoError as error:
        said = str(error)
    assert not set("\n\x1b") & set(said)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("text label choices a".split()), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("name", READY)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_odd_values_become_an_item_or_one_clear_line(tmp_path_factory, name, data):
    row = dict(ROWS[name][0])
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(VALUES)
    path = tmp_path_factory.mktemp("odd") / "quiz.jsonl"
    path.write_text(json.dumps(row, default=lambda value: value.decode("latin-1")))
    said = ""
    try:
        item = read_benchmark(path, mapping=READY[name]).items.to_pylist()[0]
        assert all(isinstance(item[part], str) for part in ("item_id", "question", "passage", "answer"))
    except AuditError as error:
        said = str(error)
    assert "\n" not in said


def test_a_column_called_with_a_dot_or_a_comma_is_that_column():
    assert pick({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert pick({"a,b": 1}, "a,b") == 1
    assert pick({"a": 3}, "a.b") is None


def test_a_mapped_column_that_is_missing_is_one_clear_line(tmp_path):
    path = tmp_path / "quiz.jsonl"
    path.write_text('{"prompt": "Who?"}')
    with pytest.raises(AuditError, match=r'no column "stem" in this benchmark; it has: prompt$'):
        read_benchmark(path, mapping=mapped({"question": "stem"}))
