"""Rows that were cut: joined again, and led back to."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.benchmarks.index import build_index
from carto_audit.contamination.disguises.split_rows import LONGEST_PART, join_rows, last_rows
from carto_audit.contamination.matching import find_across, find_matches
from carto_audit.contamination.search import search_batch
from carto_audit.contamination.tiers import CONFIRMED
from carto_audit.data import batch as batch_module
from carto_audit.data.batch import read_batch
from tests.support.audits import sentences
from tests.support.quizzes import BELL, quiz

LONG = "x" * (LONGEST_PART + 1)
TEXTS = st.lists(st.one_of(st.text(max_size=9), st.just(LONG)), max_size=12)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return build_index([quiz(tmp_path_factory.mktemp("quiz") / "quiz.jsonl")])


@given(TEXTS)
def test_every_short_row_with_a_short_neighbour_stands_in_one_joined_text(texts):
    short = [len(text) <= LONGEST_PART for text in texts]
    beside = [k for k, own in enumerate(short) if own and True in (*short[max(k - 1, 0) : k], *short[k + 1 : k + 2])]
    joined = list(join_rows(texts))
    assert [one.first + k for one in joined for k in range(len(one.starts))] == beside
    for one in joined:
        whole = list(one.parts(0, len(one.text)))
        assert all(texts[row][start:end] == texts[row] for row, start, end in whole)
        assert [row for row, _, _ in whole] == [one.first + k for k in range(len(one.starts)) if texts[one.first + k]]


@given(TEXTS, st.integers(0, 60), st.integers(0, 60))
def test_a_span_of_a_joined_text_is_what_stands_in_its_rows(texts, start, length):
    for one in join_rows(texts):
        parts = [texts[row][begin:end] for row, begin, end in one.parts(start, start + length)]
        assert "".join(parts) == "".join(
            text[max(0, start - at) : max(0, start + length - at)]
            for text, at in zip(texts[one.first :], one.starts, strict=False)
        )


def test_the_short_rows_at_the_end_are_taken_over_as_far_as_they_may_belong_together():
    assert last_rows(["a", LONG, "b", "c"]) == ("b", "c")
    assert last_rows(["a", LONG]) == ()
    assert len(last_rows(["y" * 100] * 80)) == 40


def test_an_item_a_word_a_row_is_found_in_every_row_that_holds_a_part(index):
    texts = [*sentences(3), *BELL.split(), *sentences(3, seed=1)]
    found = find_across(texts, find_matches(texts, index), index)
    assert [match.row for match in found] == list(range(3, 3 + len(BELL.split())))
    assert {match.tier for match in found} == {CONFIRMED}
    assert all(texts[match.row][slice(*match.sample_span)].strip("?;,. ") for match in found)
    assert "found after joining rows that follow each other" in found[0].reason


@pytest.mark.parametrize("padding", [" " * 300, "\n" * 300, "." * 300, "\u200b" * 300, "_ " * 200, "\u3164" * 300])
def test_padding_makes_no_row_long(index, padding):
    texts = [f"{word}{padding}" for word in BELL.split()]
    assert len(find_across(texts, [], index)) == len(texts)


URL = "https://example.org/crawl/2026/11/page-{:05}.html"


def test_items_are_found_across_rows_whatever_stands_beside_them(tmp_path, index):
    words = BELL.split()
    rows = [{"text": word, "url": URL.format(k), "id": f"{k:032x}"} for k, word in enumerate([*words, LONG])]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    batch = read_batch([tmp_path / "a.parquet"], text_column="text")
    found = search_batch(batch, index, find_matches).matches
    assert found["sample"].to_pylist() == list(range(len(words)))
    spans = zip(found["sample_start"].to_pylist(), found["sample_end"].to_pylist(), strict=True)
    assert all(words[k][start:end].strip("?;,.") for k, (start, end) in enumerate(spans))


def test_a_row_that_holds_the_whole_item_is_told_once(index):
    texts = ["Before.", BELL, "After."]
    found = find_matches(texts, index)
    assert [match.row for match in found] == [1]
    assert not find_across(texts, found, index)


def test_rows_in_another_order_or_with_a_long_one_between_are_no_item(index):
    words = BELL.split()
    parts = [" ".join(words[:7]), LONG, " ".join(words[7:12]), LONG, " ".join(words[12:])]
    assert not find_across(parts, [], index)


@pytest.mark.parametrize("most", [3, 10, 1000])
def test_an_item_is_found_wherever_a_shard_ends(tmp_path, index, monkeypatch, most):
    texts = [*sentences(4), *BELL.split(), *sentences(4, seed=1)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    monkeypatch.setattr(batch_module, "CHUNK_SAMPLES", most)
    batch = read_batch([tmp_path / "a.parquet"])
    found = search_batch(batch, index, find_matches, folder=tmp_path / "work").matches
    assert found["sample"].to_pylist() == list(range(4, 4 + len(BELL.split())))
    assert search_batch(batch, index, find_matches, folder=tmp_path / "work").matches.equals(found)
