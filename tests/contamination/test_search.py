import json
import os
import random
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from carto_audit.benchmarks.index import build_index
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.contamination.check import check_contamination, write_matches
from carto_audit.contamination.detectability import QUICK_FORMS, measure_detectability
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.search import FOUND_SCHEMA, search_batch
from carto_audit.data import batch as batch_module
from carto_audit.data.batch import read_batch
from carto_audit.engines.engine import PARALLEL_BYTES, Engine, choose_workers
from carto_audit.runtime import resume
from carto_audit.runtime.errors import AuditError
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
    whole = search_batch(batch, index, find_matches).matches
    assert whole["sample"].to_pylist() == [3, 50, 99]
    with pytest.raises(KeyboardInterrupt):
        search_batch(batch, index, Counting(interrupted_at=8), folder=tmp_path / "work")
    rest = Counting()
    assert search_batch(batch, index, rest, folder=tmp_path / "work").matches.equals(whole)
    assert rest.calls == 3
    assert not list(tmp_path.rglob("*.tmp"))
    nothing = Counting()
    assert search_batch(batch, index, nothing, folder=tmp_path / "work").matches.equals(whole)
    assert nothing.calls == 0


def test_what_is_kept_but_cannot_be_read_is_searched_again(batch, index, tmp_path):
    whole = search_batch(batch, index, find_matches, folder=tmp_path / "work").matches
    kept = sorted((tmp_path / "work").rglob("samples-*.parquet"))
    assert len(kept) == 10
    kept[0].write_bytes(kept[0].read_bytes()[:-40])
    kept[1].write_bytes(b"")
    pq.write_table(pq.read_table(kept[2]).drop_columns(["tier"]), kept[2])
    counting = Counting()
    assert search_batch(batch, index, counting, folder=tmp_path / "work").matches.equals(whole)
    assert counting.calls == 3
    assert all(pq.read_schema(path).equals(FOUND_SCHEMA) for path in kept)


def test_another_index_continues_nothing(batch, index, tmp_path):
    search_batch(batch, index, find_matches, folder=tmp_path / "work")
    other = [{**item, "answer": "46"} if item["item_id"] == "bell" else item for item in ITEMS]
    counting = Counting()
    search_batch(batch, build_index([quiz(tmp_path / "quiz.jsonl", other)]), counting, folder=tmp_path / "work")
    assert counting.calls == 10


def test_a_shard_that_ends_its_worker_each_time_is_called_by_its_rows(batch, index, monkeypatch):
    def poisoned(engine, function, setting, shards, *, named, **more):
        raise AuditError(named(list(shards)[1]))
        yield

    monkeypatch.setattr(Engine, "map_shards", poisoned)
    with pytest.raises(AuditError, match=r"^batch\.parquet, rows 11 to \d+$"):
        search_batch(batch, index, find_matches)


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


def test_a_killed_search_goes_on_where_it_stopped(batch, index, tmp_path, reuse):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    rest = Counting()
    found = search_batch(batch, index, rest, folder=tmp_path / "work")
    assert rest.calls == 4
    assert 0 < found.reused < len(batch)
    assert found.matches.equals(search_batch(batch, index, find_matches).matches)


def rows(count, seed):
    """So many rows that are too long to be parts of one text."""
    return [" ".join(part) for part in zip(*[iter(sentences(3 * count, seed=seed))] * 3, strict=True)]


@pytest.fixture
def delivery(tmp_path, monkeypatch):
    """A function that writes a delivery of three files, each with shards of its own, and reads it."""
    monkeypatch.setattr(batch_module, "CHUNK_BYTES", 2000)
    monkeypatch.setattr(batch_module, "LARGE_FILE", 1)

    def write(name, *, middle):
        for number, texts in enumerate((rows(30, 1), middle, [*rows(30, 3), f"so: {SHEEP}"])):
            (tmp_path / name).mkdir(exist_ok=True)
            write_parquet(tmp_path / name / f"{number}.parquet", texts)
        return read_batch([tmp_path / name])

    return write


def test_a_corrected_delivery_is_searched_where_it_was_changed(delivery, index, tmp_path, reuse):
    first = delivery("june", middle=[f"and {BELL}", *rows(40, 2)])
    found = search_batch(first, index, Counting(), folder=tmp_path / "work")
    assert (found.reused, found.matches["sample"].to_pylist()) == (0, [30, 101])
    corrected, counting = delivery("again", middle=rows(25, 5)), Counting()
    found = search_batch(corrected, index, counting, folder=tmp_path / "other-work")
    assert found.reused == 61
    assert 0 < counting.calls < 20
    assert found.matches["sample"].to_pylist() == [85]
    assert found.matches.equals(search_batch(corrected, index, find_matches).matches)


def test_a_row_that_goes_on_in_the_next_file_is_searched_again_with_it(delivery, index, tmp_path, reuse):
    half = len(BELL) // 2
    search_batch(delivery("june", middle=[*rows(9, 2), BELL[:half]]), index, Counting(), folder=tmp_path / "work")
    changed = delivery("again", middle=[*rows(9, 2), "another end"])
    found = search_batch(changed, index, find_matches, folder=tmp_path / "work")
    assert 30 < found.reused < 61 + 9
    assert found.matches.equals(search_batch(changed, index, find_matches).matches)


def test_what_other_code_or_another_user_found_is_not_taken_over(delivery, index, tmp_path, reuse, monkeypatch):
    batch = delivery("june", middle=rows(9, 2))

    def reused():
        return search_batch(batch, index, find_matches, folder=tmp_path / "work").reused

    assert (reused(), reused()) == (0, len(batch))
    with monkeypatch.context() as patch:
        patch.setattr(resume, "own_code", lambda: "other code")
        assert reused() == 0
    (tmp_path / "cache" / "carto-audit" / "key").write_text("another user")
    assert reused() == 0


def test_what_nobody_asked_for_in_months_goes(delivery, index, tmp_path, reuse):
    june, july = delivery("june", middle=rows(9, 2)), delivery("july", middle=rows(20, 4))
    search_batch(june, index, find_matches, folder=tmp_path / "work")
    old = time.time() - 86_400 * (resume.KEEP_DAYS + 1)
    for path in (tmp_path / "cache").rglob("samples-*"):
        os.utime(path, (old, old))
    assert search_batch(july, index, find_matches, folder=tmp_path / "work").reused == 0
    kept = len(list((tmp_path / "cache").rglob("samples-*")))
    assert search_batch(july, index, find_matches, folder=tmp_path / "work").reused == len(july)
    assert kept == len(list((tmp_path / "cache").rglob("samples-*")))


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
        found.append(check_contamination(batch, index, detectability, folder=folder, engine=Engine(workers=workers)))
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
