import gzip
import json

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.benchmarks.column_mappings import parse_map
from carto_audit.benchmarks.items import read_benchmark, source_sha256
from carto_audit.runtime.errors import AuditError, CartoError, UsageError


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
        ([["a list"]], "quiz.jsonl:1: not a JSON object; one object per line is expected"),
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
    with pytest.raises(AuditError, match=rf"{name}(:1)?: (cannot read as|not JSON)") as caught:
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


ROWS = [{"question": f"Who sings song {k}?", "choices": ["he", "she"], "answer": "she"} for k in range(3)]


def write_arrow(path, rows):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, pa.Table.from_pylist(rows).schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows))
    return path


def write_compressed(path, rows):
    with pa.output_stream(str(path), compression="detect") as sink:
        sink.write("\n".join(json.dumps(row) for row in rows).encode())
    return path


def write_csv(path, rows):
    lines = [f'{row["question"]},"[""he"", ""she""]",{row["answer"]}' for row in rows]
    path.write_text("\n".join(["question,choices,answer", *lines]))
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("quiz.parquet", lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path)),
        ("quiz.jsonl", write_lines),
        ("quiz.jsonl.gz", write_compressed),
        ("quiz.jsonl.zst", write_compressed),
        ("quiz.csv", write_csv),
        ("quiz.arrow", write_arrow),
        ("quiz.json", lambda path, rows: path.write_text(json.dumps(rows))),
    ],
)
def test_every_format_gives_the_same_items(tmp_path, name, write):
    write(tmp_path / name, ROWS)
    benchmark = read_benchmark(tmp_path / name)
    assert [item["question"] for item in benchmark.items.to_pylist()] == [row["question"] for row in ROWS]
    assert benchmark.items["choices"].to_pylist() == [["he", "she"]] * 3
    assert benchmark.items["answer"].to_pylist() == ["she"] * 3
    assert (benchmark.name, benchmark.source) == ("quiz", str(tmp_path / name))


@pytest.mark.parametrize("name", ["quiz.parquet", "quiz.jsonl.gz", "quiz.jsonl.zst", "quiz.jsonl", "quiz.arrow"])
def test_half_a_file_is_one_clear_line(tmp_path, name):
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        (write_arrow if name.endswith("arrow") else write_compressed)(path, ROWS * 50)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 3])
    with pytest.raises(AuditError, match=rf"{name}(:\d+)?: (cannot read as|not JSON)") as caught:
        read_benchmark(path)
    assert "\n" not in str(caught.value)


def test_csv_values_stay_the_text_that_they_are(tmp_path):
    (tmp_path / "quiz.csv").write_text('id,question,answer\n007,"Which, of\nthese?",1e3\n')
    item = read_benchmark(tmp_path / "quiz.csv").items.to_pylist()[0]
    assert (item["item_id"], item["question"], item["answer"]) == ("007", "Which, of\nthese?", "1e3")


@pytest.mark.parametrize("name", ["quiz.parquet", "quiz.csv"])
def test_a_column_that_occurs_twice_is_one_clear_line_unless_it_has_no_name(tmp_path, name):
    write = {"quiz.parquet": pq.write_table, "quiz.csv": pa_csv.write_csv}[name]
    columns = [pa.array(["Who?"]), pa.array([""]), pa.array([""])]
    write(pa.Table.from_arrays(columns, names=["question", "", ""]), tmp_path / name)
    assert read_benchmark(tmp_path / name).items["question"].to_pylist() == ["Who?"]
    write(pa.Table.from_arrays(columns, names=["question", "answer", "answer"]), tmp_path / name)
    with pytest.raises(AuditError, match=r'cannot read as \w+: .*"answer" exists 2 times'):
        read_benchmark(tmp_path / name)


def test_every_item_has_an_id_of_its_own(tmp_path):
    ids = ["a", "a", None, "quiz/2", "a", "a#2"]
    rows = [{"item_id": item_id, "question": "Who?"} for item_id in ids]
    found = read_benchmark(write_lines(tmp_path / "quiz.jsonl", rows)).items["item_id"].to_pylist()
    assert found == ["a", "a#3", "quiz/2#2", "quiz/2", "a#4", "a#2"]


def test_empty_and_short_questions_in_any_script_are_kept(tmp_path):
    questions = ["", "Why?", "谁修好了大钟？", "من أصلح الساعة؟", None]
    rows = [{"question": question} for question in questions]
    items = read_benchmark(write_lines(tmp_path / "quiz.jsonl", rows)).items
    assert items["question"].to_pylist() == ["", "Why?", "谁修好了大钟？", "من أصلح الساعة؟", ""]


def write_folder(folder, card=None):
    for name in ("main/test-00000-of-00002", "main/test-00001-of-00002", "main/train-00000-of-00001", "hard/test"):
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"question": [f"Who wrote {name}?"], "answer": ["she"]}), path)
    if card is not None:
        (folder / "README.md").write_text(card)
    return folder


def asked(benchmark):
    return [question.removeprefix("Who wrote ").rstrip("?") for question in benchmark.items["question"].to_pylist()]


BOTH = ["main/test-00000-of-00002", "main/test-00001-of-00002"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("configs", "complaint"),
    [
        (" " + "[" * 5000, "README.md has lists in lists without end; name the files"),
        ("\n" + "- " * 5000 + "x", "README.md has lists in lists without end; name the files"),
        ("\n- &a [x]\n- [*a, *a]", "README.md repeats itself by aliases; name the files"),
        ("\n" + "- x\n" * 70_000, "README.md has more than 256 KB of YAML; name the files"),
    ],
)
def test_a_card_of_a_few_lines_that_stand_for_much_is_refused_at_once(tmp_path, configs, complaint):
    folder = write_folder(tmp_path / "quiz", f"---\nconfigs:{configs}\n---\n")
    with pytest.raises(AuditError, match=complaint):
        read_benchmark(folder)


def test_a_data_set_folder_is_read_by_configuration_and_split(tmp_path):
    folder = write_folder(tmp_path / "quiz")
    benchmark = read_benchmark(folder)
    assert asked(benchmark) == BOTH  # "main" and "test" unless others are named
    assert (benchmark.name, benchmark.source) == ("quiz", f"{folder}#main/test")
    assert asked(read_benchmark(folder, config="hard")) == ["hard/test"]
    assert asked(read_benchmark(folder, config="main", split="train")) == ["main/train-00000-of-00001"]


CARD = """---
license: mit
configs:
- config_name: easy
  data_files:
  - split: test
    path: main/test-*
- config_name: all
  data_files: "**/*.parquet"
---
# A card
"""


def test_the_card_of_a_data_set_folder_counts_first(tmp_path):
    folder = write_folder(tmp_path / "quiz", CARD)
    assert asked(read_benchmark(folder, config="easy")) == BOTH
    assert len(asked(read_benchmark(folder, config="all"))) == 4
    with pytest.raises(AuditError, match=r"has several configurations; choose one with config: easy, all$"):
        read_benchmark(folder)


@pytest.mark.parametrize(
    "card", ["---\n[\n---\n", "---\nconfigs: 7\n---\n", "---\nconfigs: [3, {data_files: 1}]\n---\n", "x"]
)
def test_a_card_that_says_nothing_useful_is_passed_over(tmp_path, card):
    assert asked(read_benchmark(write_folder(tmp_path / "quiz", card))) == BOTH


def test_a_card_never_leads_outside_its_folder(tmp_path):
    pq.write_table(pa.table({"question": ["secret"]}), tmp_path / "outside.parquet")
    card = "---\nconfigs:\n- config_name: x\n  data_files:\n  - {split: test, path: ../outside.parquet}\n---\n"
    assert asked(read_benchmark(write_folder(tmp_path / "quiz", card))) == BOTH


def test_a_folder_that_save_to_disk_wrote_is_read(tmp_path):
    for split in ("train", "test"):
        folder = tmp_path / "quiz" / split
        folder.mkdir(parents=True)
        write_arrow(folder / "data-00000-of-00001.arrow", [{"question": f"Who wrote {split}?"}])
        (folder / "state.json").write_text("{}")
        (folder / "dataset_info.json").write_text("{}")
    (tmp_path / "quiz" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert asked(read_benchmark(tmp_path / "quiz")) == ["test"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "tset"}, 'no split is called "tset"; did you mean "test"?; choose one with split'),
        ({"config": "other"}, 'no configuration is called "other"; it has hard, main; choose one with config'),
    ],
)
def test_a_part_that_is_not_there_is_one_clear_line(tmp_path, options, words):
    with pytest.raises(AuditError) as caught:
        read_benchmark(write_folder(tmp_path / "quiz"), **options)
    assert words in str(caught.value)


def test_an_empty_folder_and_a_split_of_a_file_are_one_clear_line(tmp_path):
    (tmp_path / "quiz").mkdir()
    with pytest.raises(AuditError, match="no parquet, jsonl, json, csv, tsv or arrow file in this folder"):
        read_benchmark(tmp_path / "quiz")
    with pytest.raises(UsageError, match="a single file has no splits"):
        read_benchmark(write_lines(tmp_path / "quiz.jsonl", ROWS), split="test")


def test_the_digest_follows_every_file_that_was_read(tmp_path):
    folder = write_folder(tmp_path / "quiz")
    before = read_benchmark(folder).sha256
    assert source_sha256(folder) == before
    pq.write_table(pa.table({"question": ["another"]}), folder / "main" / "train-00000-of-00001.parquet")
    assert source_sha256(folder) == before
    pq.write_table(pa.table({"question": ["another"]}), folder / "main" / "test-00001-of-00002.parquet")
    assert source_sha256(folder) != before


def test_a_column_that_names_no_item_is_refused_with_the_one_that_may(tmp_path):
    rows = [
        {"question": ("cause", "effect")[k % 2], "story": f"The {k} lanterns of the harbour went out."}
        for k in range(20)
    ]
    path = tmp_path / "why.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(AuditError, match=r'20 items share 2 questions \("cause", "effect"\).*map=question=story'):
        read_benchmark(path)
    mapped = read_benchmark(path, mapping=parse_map(["question=story"]))
    assert mapped.items["question"].to_pylist() == [row["story"] for row in rows]


def test_generic_questions_with_passages_and_few_items_are_read(tmp_path):
    few = [{"question": "Why?", "answer": "so"}] * 3
    passages = [{"question": "True?", "passage": f"The {k} lanterns went out.", "answer": "yes"} for k in range(20)]
    for name, rows in (("few", few), ("passages", passages)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert read_benchmark(path).items.num_rows == len(rows)


def test_copa_asks_by_its_premise(tmp_path):
    row = {
        "premise": "The bell rang for noon.",
        "choice1": "It was noon.",
        "choice2": "It fell.",
        "question": "cause",
        "label": 0,
    }
    path = tmp_path / "copa.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(9)))
    item = read_benchmark(path).items.to_pylist()[0]
    assert (item["question"], item["choices"], item["answer"]) == (
        "The bell rang for noon.",
        ["It was noon.", "It fell."],
        "It was noon.",
    )


def test_shards_of_different_sets_are_called_after_their_folders(tmp_path):
    for name in ("gsm", "facts"):
        folder = tmp_path / name / "main"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"question": ["Who repaired the bell?"]}), folder / "test-00000-of-00001.parquet")
    names = [read_benchmark(path).name for path in sorted(tmp_path.rglob("*.parquet"))]
    assert names == ["facts", "gsm"]
