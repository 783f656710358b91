import json
import random

import numpy as np
import pytest

from carto_audit.benchmarks.index import SHINGLE, build_index
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.contamination.candidates import Pairs, find_candidates
from carto_audit.contamination.positions import find_positions
from carto_audit.text.words import hash_words, ngram_hashes

RNG = random.Random(21)
QUESTIONS = [
    " ".join(f"t{RNG.randrange(9_000)}" for _ in range(RNG.choice((2, 5, 12, 25, 60, 450)))) for _ in range(60)
]


def edited(text, rng):
    return " ".join(word if rng.random() > 0.1 else f"x{rng.randrange(999)}" for word in text.split())


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    path = tmp_path_factory.mktemp("quiz") / "quiz.jsonl"
    path.write_text("\n".join(json.dumps({"question": question}) for question in QUESTIONS))
    return build_index([read_benchmark(path)])


@pytest.fixture(scope="module")
def found(index):
    """Rows that hold one question whole, edited, or twice, others that hold two, and their candidates."""
    rng = random.Random(22)
    filler = [f"f{rng.randrange(5000)}" for _ in range(40)]
    pairs = [(a, b) for a, b in zip(QUESTIONS, QUESTIONS[1:], strict=False)]
    texts = [" ".join([*filler, form, *filler]) for a in QUESTIONS for form in (a, edited(a, rng), f"{a} {a}")]
    texts += [f"{a} {edited(b, rng)}" for a, b in pairs]
    ((block, candidates),) = find_candidates(hash_words(texts), index)
    assert len(candidates.row) > 200
    return block, candidates


def one(pairs, k):
    return Pairs(row=pairs.row[[k]], group=pairs.group[[k]], first=pairs.first[[k]], last=pairs.last[[k]])


FIELDS = "first end item_first item_end low high window_low window_high is_whole is_verbatim stem_share".split()


def test_many_candidates_are_placed_like_each_by_itself(found, index):
    block, pairs = found
    together = find_positions(block, pairs, index)
    for k in range(len(pairs.row)):
        alone = find_positions(block, one(pairs, k), index)
        for name in FIELDS:
            assert np.array_equal(getattr(alone, name), getattr(together, name)[[k]], equal_nan=True), name
        for part in ("weighed", "here"):
            mine, all_of_them = getattr(alone, part), getattr(together, part)
            for name in type(mine).__slots__:
                assert getattr(mine, name) == pytest.approx(getattr(all_of_them, name)[[k]], nan_ok=True), name
        assert alone.present(0).tolist() == together.present(k).tolist()
        assert alone.ordered(0).tolist() == together.ordered(k).tolist()


def test_what_is_present_and_verbatim_is_what_sets_and_slices_say(found, index):
    block, pairs = found
    places = find_positions(block, pairs, index)
    for k, (row, group) in enumerate(zip(pairs.row.tolist(), pairs.group.tolist(), strict=True)):
        words, own = block.words[row], index.words[group]
        shingles = block.shingle[slice(*block.words.offsets[row : row + 2])]
        near = set(shingles[places.window_low[k] : places.window_high[k]].tolist())
        distinct = index.shingles.of_group[group].tolist()
        assert places.present(k).tolist() == [shingle in near for shingle in distinct]
        assert index.shingles.table.values[places.ordered(k)].tolist() == ngram_hashes(own, SHINGLE).tolist()
        stands = np.array_equal(words[places.first[k] : places.end[k]], own)
        assert places.is_verbatim[k] == (stands and len(own) >= SHINGLE)
        idf = index.shingles.idf[distinct]
        share = idf[places.present(k)].sum() / idf.sum() if len(distinct) else 1.0
        assert places.weighed.containment[k] == pytest.approx(share)


def test_words_that_stand_there_are_weighed_where_a_question_is_edited(found, index):
    block, pairs = found
    places = find_positions(block, pairs, index)
    asked = np.flatnonzero(~places.is_whole & (places.weighed.containment < 0.95)).tolist()
    assert len(asked) > 20
    for k in asked:
        row, group = int(pairs.row[k]), int(pairs.group[k])
        near = block.words[row][places.low[k] : places.high[k]]
        nats = index.nats[slice(*index.words.offsets[group : group + 2])]
        assert places.here.nats[k] == pytest.approx(nats[np.isin(index.words[group], near)].sum())
        assert places.here.total[k] == pytest.approx(nats.sum())


def test_a_question_without_shingles_is_placed_whole(found, index):
    block, _ = found
    brief = next(k for k in range(len(index.words)) if len(index.words[k]) < SHINGLE)
    size = len(index.words[brief])
    row, zero = np.zeros(1, np.int64), np.zeros(1, np.int64)
    places = find_positions(block, Pairs(row=row, group=np.array([brief]), first=zero, last=zero), index)
    assert (places.first.tolist(), places.end.tolist()) == ([0], [size])
    assert (places.item_first.tolist(), places.item_end.tolist()) == ([0], [size])
    assert places.weighed.containment.tolist() == [1.0]
    assert not places.is_verbatim.any()
