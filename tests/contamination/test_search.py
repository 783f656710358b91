import json
import os
import random
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from carto_audit.benchmarks.index import build_index
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.contamination.check import check_contamination, write_matches
from carto_audit.contamination.detectability import QUICK_FORMS, measure_detectability
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.search import FOUND_SCHEMA, PARALLEL_BYTES, choose_workers, search_batch
from carto_audit.data import batch as batch_module
from carto_audit.data.batch import read_batch
from tests.support.audits import sentences, write_parquet
from tests.support.data import DATA, needs_data
from tests.support.quizzes import BELL, ITEMS, SHEEP, quiz
from tests.support.repository import ROOT


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return build_index([quiz(tmp_path_factory.mktemp("quiz") / "quiz.jsonl")])


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """A batch of ten shards with an item in each of three."""
    monkeypatch.setattr(batch_module, "CHUNK_BYTES", 2000)
    texts = sentences(100)
    for row, item in ((3, BELL), (50, SHEEP), (99, BELL)):
        texts[row] += " " + item
    batch = read_batch([write_parquet(tmp_path / "batch.parquet", texts)])
    assert len(list(batch_module.iter_texts(batch))) == 10
    return batch


class Counting:
    """Finds matches and counts the calls; at one of them it is interrupted."""

    def __init__(self, interrupted_at=None):
        self.calls, self.interrupted_at = 0, interrupted_at

    def __call__(self, texts, index):
        self.calls += 1
        if self.calls == self.interrupted_at:
            raise KeyboardInterrupt
        return find_matches(texts, index)


def test_an_interrupted_search_goes_on_where_it_stopped(batch, index, tmp_path):
    whole = search_batch(batch, index, find_matches)
    assert whole["sample"].to_pylist() == [3, 50, 99]
    with pytest.raises(KeyboardInterrupt):
        search_batch(batch, index, Counting(interrupted_at=8), folder=tmp_path / "work")
    rest = Counting()
    assert search_batch(batch, index, rest, folder=tmp_path / "work").equals(whole)
    assert rest.calls == 3
    assert not list(tmp_path.rglob("*.tmp"))
    nothing = Counting()
    assert search_batch(batch, index, nothing, folder=tmp_path / "work").equals(whole)
    assert nothing.calls == 0


def test_what_is_kept_but_cannot_be_read_is_searched_again(batch, index, tmp_path):
    whole = search_batch(batch, index, find_matches, folder=tmp_path / "work")
    kept = sorted((tmp_path / "work").rglob("samples-*.parquet"))
    assert len(kept) == 10
    kept[0].write_bytes(kept[0].read_bytes()[:-40])
    kept[1].write_bytes(b"")
    pq.write_table(pq.read_table(kept[2]).drop_columns(["tier"]), kept[2])
    counting = Counting()
    assert search_batch(batch, index, counting, folder=tmp_path / "work").equals(whole)
    assert counting.calls == 3
    assert all(pq.read_schema(path).equals(FOUND_SCHEMA) for path in kept)


def test_another_index_continues_nothing(batch, index, tmp_path):
    search_batch(batch, index, find_matches, folder=tmp_path / "work")
    other = [{**item, "answer": "46"} if item["item_id"] == "bell" else item for item in ITEMS]
    counting = Counting()
    search_batch(batch, build_index([quiz(tmp_path / "quiz.jsonl", other)]), counting, folder=tmp_path / "work")
    assert counting.calls == 10


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.quizzes import quiz
from tests.contamination.test_search import Counting
from carto_audit.data import batch
from carto_audit.benchmarks.index import build_index
from carto_audit.contamination.search import search_batch

class Killed(Counting):
    def __call__(self, texts, index):
        if self.calls == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(texts, index)

folder = Path(sys.argv[1])
batch.CHUNK_BYTES = 2000
found = build_index([quiz(folder / "again" / "quiz.jsonl")])
search_batch(batch.read_batch([folder / "batch.parquet"]), found, Killed(), folder=folder / "work")
"""


def test_a_killed_search_goes_on_where_it_stopped(batch, index, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    rest = Counting()
    found = search_batch(batch, index, rest, folder=tmp_path / "work")
    assert rest.calls == 4
    assert found.equals(search_batch(batch, index, find_matches))


def test_workers_are_for_batches_that_take_longer_than_their_start():
    assert choose_workers(PARALLEL_BYTES - 1) == 1
    assert choose_workers(PARALLEL_BYTES) == min(os.cpu_count(), 16)


@needs_data
def test_any_number_of_workers_finds_the_same_in_real_text(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_module, "CHUNK_BYTES", 100_000)
    benchmark = read_benchmark(DATA / "benchmarks" / "gsm8k_test.parquet")
    rng = random.Random(3)
    texts = pq.read_table(DATA / "corpora" / "wikitext2.parquet")["text"].to_pylist()[:1500]
    planted = rng.sample(range(len(texts)), 90)
    for row, question in zip(planted, rng.sample(benchmark.items["question"].to_pylist(), 90), strict=True):
        texts[row] += "\n" + question
    batch = read_batch([write_parquet(tmp_path / "batch.parquet", texts)])
    assert len(list(batch_module.iter_texts(batch))) > 6
    index = build_index([benchmark])
    detectability = measure_detectability(index, lambda texts, index: [], forms=QUICK_FORMS)
    found = []
    for workers in (1, 2, 3):
        folder = tmp_path / f"work-{workers}"
        folder.mkdir()
        found.append(check_contamination(batch, index, detectability, folder=folder, workers=workers))
        write_matches(tmp_path / f"{workers}.parquet", found[-1].matches)
        assert [path.name.split("-")[0] for path in folder.iterdir()] == ["matches"]
    assert sorted(found[0].matches["sample"].to_pylist()) == sorted(planted)
    one, *others = found
    for other in others:
        assert other.matches.equals(one.matches)
        assert (other.tier == one.tier).all()
        assert (other.item_tier == one.item_tier).all()
        assert (other.benchmarks, other.shards) == (one.benchmarks, one.shards)
    assert len({(tmp_path / f"{workers}.parquet").read_bytes() for workers in (1, 2, 3)}) == 1


def test_what_is_kept_tells_nothing_of_the_text(batch, index, tmp_path):
    search_batch(batch, index, find_matches, folder=tmp_path / "work")
    for path in (tmp_path / "work").rglob("samples-*.parquet"):
        assert "bronze" not in json.dumps(pq.read_table(path).to_pylist())
