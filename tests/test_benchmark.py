import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.benchmark import read_benchmark
from carto_audit.errors import AuditError, CartoError


def write_lines(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_a_parquet_benchmark_keeps_its_items_and_takes_its_name_from_the_file(tmp_path):
    path = tmp_path / "quiz.parquet"
    rows = [
        {"item_id": "a", "passage": None, "question": "Who sings?", "choices": ["birds", "fish"], "answer": "birds"}
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    benchmark = read_benchmark(path)
    assert (benchmark.name, len(benchmark.sha256)) == ("quiz", 64)
    assert benchmark.items.to_pylist() == [rows[0] | {"passage": ""}]


def test_a_jsonl_benchmark_needs_only_questions(tmp_path):
    path = tmp_path / "quiz.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"question": "Who sings?"}\n\n{"question": "Who swims?", "answer": 7}\n'))
    items = read_benchmark(path).items
    assert items["item_id"].to_pylist() == ["quiz/0", "quiz/1"]
    assert items["answer"].to_pylist() == ["", "7"]


@pytest.mark.parametrize("answer", ["fish", 1, "1", "B"])
def test_the_gold_answer_may_be_text_number_or_letter(tmp_path, answer):
    row = {"question": "Who swims?", "choices": ["birds", "fish"], "answer": answer}
    assert read_benchmark(write_lines(tmp_path / "quiz.jsonl", [row])).items["answer"].to_pylist() == ["fish"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "Who sings?", "text": "x"}], 'no "question" column in this benchmark; it has: prompt, text'),
        ([], "this benchmark has no questions"),
        ([{"question": None}, {"question": "  "}], "this benchmark has no questions"),
        ([["a list"]], "cannot read this benchmark: each line must be a JSON object"),
    ],
)
def test_a_file_without_questions_is_one_clear_line(tmp_path, rows, message):
    with pytest.raises(AuditError) as caught:
        read_benchmark(write_lines(tmp_path / "quiz.jsonl", rows))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["quiz.parquet", "quiz.jsonl", "quiz.jsonl.gz"])
def test_a_broken_benchmark_file_is_one_clear_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"PAR1\xff\x00 broken\n\x1b[31m")
    with pytest.raises(AuditError, match="cannot read this benchmark") as caught:
        read_benchmark(path)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_missing_benchmark_is_one_clear_line(tmp_path):
    with pytest.raises(AuditError, match=r"quiz\.parquet: no such benchmark file$"):
        read_benchmark(tmp_path / "quiz.parquet")


def test_lone_surrogates_in_a_question_are_replaced(tmp_path):
    items = read_benchmark(write_lines(tmp_path / "quiz.jsonl", [{"question": "a \ud800 b"}])).items
    assert items["question"].to_pylist() == ["a ? b"]


@settings(deadline=None)
@given(st.binary(max_size=80) | st.text(st.sampled_from('{}[]":,question choice\n0'), max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "quiz.jsonl"
    path.write_bytes(data)
    try:
        outcome = read_benchmark(path).items["question"].to_pylist()
    except CartoError as error:
        outcome = [str(error)]
    assert outcome
    assert isinstance(outcome[0], str)
