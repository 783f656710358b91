import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.benchmarks.index import build_index
from carto_audit.contamination.boilerplate import LEAST_ROWS, count_rows, demote_boilerplate
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.search import found_table
from carto_audit.contamination.tiers import BOILERPLATE, CONFIRMED, SUSPECTED
from tests.support.quizzes import BELL, quiz

PHRASE = (
    "Read the following report of the harbour inspection carefully, weigh every statement of the witnesses against the "
    "ledger of the pilot, and then decide with one short sentence"
)
ENDS = [
    "who moved the copper anchor chain before the morning tide?",
    "why the ferryman hid his second lantern under oats?",
    "when the northern sluice gate was first sealed with tar?",
    "which barge carried the painted millstones upriver unseen?",
]
PLAIN = "What did he say to them then?"
LONE = "Which Ottersund clockmaker repaired every chapel bell?"
ITEMS = [
    *({"item_id": f"harbour{k}", "question": f"{PHRASE} {end}", "answer": f"by {k}"} for k, end in enumerate(ENDS)),
    {"item_id": "bell", "question": BELL, "answer": "46"},
    {"item_id": "plain", "question": PLAIN, "answer": "home"},
    {"item_id": "lone", "question": LONE, "answer": "Brask"},
]
COMMON = (
    "the of and to a in is that it was for on with he be by this had not are but from or have they which one you were all "
    "her there would their we him been has when who will more no if out so said what up about into than them can only "
    "other new some could time these two may then do first any my now such like our over man even most made after also"
).split()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return build_index([quiz(tmp_path_factory.mktemp("quiz") / "quiz.jsonl", ITEMS)])


def padded(text, count, seed=0):
    """As many rows that hold the text, no two with the same words around it."""
    rng = random.Random(seed)
    return [" ".join([*rng.choices(COMMON, k=12), text, *rng.choices(COMMON, k=12)]) for _ in range(count)]


def matched(texts, index, cluster_id=None):
    """What is found in these texts, commonplaces told apart."""
    found = found_table(find_matches(texts, index))
    return demote_boilerplate(found, index, np.arange(len(texts)) if cluster_id is None else cluster_id)


def tiers(texts, index, cluster_id=None):
    return matched(texts, index, cluster_id)["tier"].to_pylist()


def test_a_phrase_that_many_rows_share_is_boilerplate_and_says_so(index):
    found = matched(padded(f"{PHRASE}:", 143), index)
    assert set(found["tier"].to_pylist()) == {BOILERPLATE}
    assert found.num_rows == 143
    assert set(found["reason"].to_pylist()) == {
        "a phrase that 143 rows of this batch share; no more of the item stands here"
    }


def test_below_the_least_number_of_rows_a_phrase_stays_what_it_is(index):
    assert tiers(padded(PHRASE, LEAST_ROWS - 1), index) == [SUSPECTED] * (LEAST_ROWS - 1)
    assert tiers(padded(PHRASE, LEAST_ROWS), index) == [BOILERPLATE] * LEAST_ROWS


def test_copies_of_a_row_count_once(index):
    rows = padded(PHRASE, LEAST_ROWS - 1)
    assert tiers(rows * 5, index, np.arange(5 * len(rows)) % len(rows)) == [SUSPECTED] * (5 * len(rows))


@pytest.mark.parametrize(
    ("leaked", "tier"),
    [
        (BELL, CONFIRMED),
        (f"{PHRASE} {ENDS[0]}", CONFIRMED),
        (PLAIN, SUSPECTED),
        (LONE.replace("repaired", "quietly"), SUSPECTED),
        (" ".join(LONE.split()[1:]), SUSPECTED),
        (" ".join(LONE.split()[1:6]), SUSPECTED),  # a part, but one that only this item has
        (" ".join(BELL.split()[:12]), CONFIRMED),
    ],
)
@pytest.mark.parametrize("rows", [lambda text: [text] * 1000, lambda text: padded(text, 1000)], ids=["bare", "padded"])
def test_an_item_is_never_boilerplate_however_often_it_is_repeated(index, leaked, tier, rows):
    assert min(tiers(rows(leaked), index)) == tier  # by chance the word before it may complete it


def test_an_item_among_rows_that_share_its_phrase_stands_out(index):
    rows = [*padded(PHRASE, 60), *padded(f"{PHRASE} {ENDS[2]}", 1, seed=1)]
    assert tiers(rows, index) == [BOILERPLATE] * 60 + [CONFIRMED]


def test_a_phrase_with_the_answer_beside_it_stays(index):
    found = matched(padded(PHRASE, 30), index)
    answered = found.set_column(found.column_names.index("answered"), "answered", [[True] * 30])
    supported = found.set_column(found.column_names.index("supported"), "supported", [[True] * 30])
    for kept in (answered, supported):
        suspected = kept.set_column(kept.column_names.index("tier"), "tier", [[SUSPECTED] * 30])
        assert demote_boilerplate(suspected, index, np.arange(30)).equals(suspected)


def test_the_order_of_matches_does_not_count(index):
    texts = padded(PHRASE, 30) + padded(BELL, 3) + padded(" ".join(PHRASE.split()[:-1]), 30, seed=2)
    found = found_table(find_matches(texts, index))
    order = np.random.default_rng(0).permutation(found.num_rows)
    cluster = np.arange(len(texts))
    expected = demote_boilerplate(found, index, cluster).take(order)
    assert demote_boilerplate(found.take(order), index, cluster).equals(expected)


def test_rows_of_one_cluster_count_once_for_each_phrase():
    phrase, cluster = np.array([0, 1, 0, 0, 1, 2]), np.array([5, 5, 5, 6, 7, 5])
    assert count_rows(phrase, cluster).tolist() == [2, 2, 2, 2, 2, 1]
    assert count_rows(phrase[:0], cluster[:0]).tolist() == []


def test_a_word_that_follows_the_phrase_by_chance_does_not_save_a_row(index):
    rows = [*padded(PHRASE, 60), *padded(f"{PHRASE} {ENDS[1].split()[0]}", 3, seed=1)]
    assert tiers(rows, index) == [BOILERPLATE] * 63


def edited(text, share, rng):
    """The text with some of its words replaced, anywhere but at both ends."""
    words = text.split()
    return " ".join([words[0], *("umber" if rng.random() < share else word for word in words[1:-1]), words[-1]])


@settings(max_examples=30)
@given(
    st.sampled_from([item["question"] for item in ITEMS]),
    st.sampled_from([0.0, 0.05, 0.1, 0.2]),
    st.integers(1, 3 * LEAST_ROWS),
    st.integers(0, 2**32),
)
def test_more_copies_of_a_leaked_item_never_lower_its_tier(index, question, share, copies, seed):
    rng = random.Random(seed)
    leaked = padded(edited(question, share, rng), 1, seed)[0]
    alone = tiers([leaked], index)
    among = matched([leaked, *padded(edited(question, share, rng), copies, seed + 1)], index)
    assert among["tier"].to_numpy()[: len(alone)].tolist() == alone
