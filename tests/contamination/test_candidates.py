import json
import random
from dataclasses import replace

import numpy as np
import pytest

from carto_audit.benchmarks.hash_tables import hash_table
from carto_audit.benchmarks.index import build_index
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.contamination.candidates import find_candidates
from carto_audit.text.words import hash_words

RNG = random.Random(11)
QUESTIONS = [
    " ".join(f"t{RNG.randrange(30_000)}" for _ in range(RNG.choice((8, 12, 25, 60, 150, 300)))) for _ in range(80)
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    path = tmp_path_factory.mktemp("quiz") / "quiz.jsonl"
    path.write_text("\n".join(json.dumps({"question": question}) for question in QUESTIONS))
    return build_index([read_benchmark(path)])


@pytest.fixture(scope="module")
def filler():
    rng = random.Random(12)
    return [f"f{rng.randrange(5000)}" for _ in range(20_000)]


def embed(text, filler, rng):
    start = rng.randrange(len(filler) - 700)
    return " ".join([*filler[start : start + rng.randrange(350)], text, *filler[start + 350 : start + 700]])


def found(texts, index):
    return {
        (int(block.rows[row]), int(group))
        for block, pairs in find_candidates(hash_words(texts), index)
        for row, group in zip(pairs.row, pairs.group, strict=True)
    }


def test_minhash_windows_alone_propose_embedded_items(index, filler):
    rng = random.Random(13)
    texts = [embed(question, filler, rng) for question in QUESTIONS]
    elsewhere = [replace(a.groups, values=np.zeros_like(a.groups.values)) for a in index.anchors]
    misled = tuple(replace(a, groups=groups) for a, groups in zip(index.anchors, elsewhere, strict=True))
    assert len(found(texts, replace(index, anchors=misled)) & {(k, k) for k in range(80)}) >= 79


def test_anchors_alone_propose_embedded_items(index, filler):
    rng = random.Random(13)
    texts = [embed(question, filler, rng) for question in QUESTIONS]
    no_bands = replace(index.bands, table=hash_table(np.empty(0, np.uint64)))
    assert found(texts, replace(index, bands=no_bands)) >= {(k, k) for k in range(80)}


def test_edited_items_are_proposed(index, filler):
    rng = random.Random(14)
    texts = [
        embed(" ".join(rng.choice(filler) if rng.random() < 0.1 else w for w in question.split()), filler, rng)
        for question in QUESTIONS
    ]
    assert len(found(texts, index) & {(k, k) for k in range(80)}) >= 75


def test_candidates_do_not_depend_on_the_chunk(index, filler):
    rng = random.Random(15)
    texts = [embed(question, filler, rng) if k % 3 else " ".join(filler[:50]) for k, question in enumerate(QUESTIONS)]
    alone = {(k, group) for k, text in enumerate(texts) for _, group in found([text], index)}
    assert found(texts, index) >= {pair for pair in alone if pair[0] == pair[1]}
    assert {pair for pair in found(texts, index) if pair[0] % 3 == 0} == set()


def test_a_window_holds_the_item_and_little_else(index, filler):
    text = " ".join(filler[:500]) + " " + QUESTIONS[0] + " " + " ".join(filler[500:900])
    ((_, pairs),) = find_candidates(hash_words([text]), index)
    size = len(QUESTIONS[0].split())
    assert (pairs.first.tolist(), pairs.last.tolist()) == ([500], [500 + size - 3])


def test_clean_rows_and_empty_chunks_have_no_candidates(index, filler):
    assert found([" ".join(filler), "", "x"], index) == set()
    assert found([], index) == set()
