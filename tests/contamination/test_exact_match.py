import json
import random

import pytest

from carto_audit.benchmarks.index import build_index
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.contamination import candidates
from carto_audit.contamination import exact_match as evidence
from carto_audit.contamination.matching import find_matches

WORDS = [f"w{k}" for k in range(4000)]


@pytest.fixture(scope="module")
def items():
    rng = random.Random(31)
    made = []
    for _ in range(40):
        words = [*rng.sample(WORDS, rng.choice((6, 15, 40, 90))), str(rng.randrange(100, 999))]
        made.append({"question": " ".join(words), "choices": [" ".join(rng.sample(WORDS, 4)) for _ in range(4)]})
    return [*made, *({"question": item["question"], "choices": item["choices"][::-1]} for item in made[:5])]


@pytest.fixture(scope="module")
def index(items, tmp_path_factory):
    path = tmp_path_factory.mktemp("quiz") / "quiz.jsonl"
    path.write_text("\n".join(json.dumps({**item, "answer": 0}) for item in items))
    return build_index([read_benchmark(path)])


@pytest.fixture(scope="module")
def rows(items):
    """Whole, edited, with options, and several in one row; plain and with characters that folding changes."""
    rng = random.Random(32)
    made = []
    for item in items:
        words = item["question"].split()
        edited = " ".join(word if rng.random() > 0.08 else "instead" for word in words)
        made += [f"ﬁrst é {item['question']}", f"{edited} {' '.join(item['choices'])}", "nothing at all"]
    return [*made, " ".join(item["question"] for item in items[:12])]


def test_matches_do_not_depend_on_how_much_is_measured_at_once(rows, index, monkeypatch):
    whole = find_matches(rows, index)
    assert len(whole) > 80
    monkeypatch.setattr(evidence, "_AT_ONCE", 1)
    monkeypatch.setattr(candidates, "_SPELLED_AT_ONCE", 1)
    assert find_matches(rows, index) == whole


def test_a_row_has_the_same_matches_alone(rows, index):
    alone = [
        (match.item, match.tier, match.sample_span, match.minhash_estimate, match.containment)
        for row in rows
        for match in find_matches([row], index)
    ]
    together = [
        (match.item, match.tier, match.sample_span, match.minhash_estimate, match.containment)
        for match in find_matches(rows, index)
    ]
    assert alone == together


def test_spans_hold_the_question_word_for_word(items, rows, index):
    for match in find_matches(rows, index):
        begin, end = match.sample_span
        if match.row % 3 == 0 and match.row < 3 * len(items):
            assert rows[match.row][begin:end] == items[match.row // 3]["question"]
            assert match.longest_run == len(items[match.row // 3]["question"].split())
