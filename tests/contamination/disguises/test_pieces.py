"""Pieces of an item in its order are found however far apart they stand; other orders and shorter pieces are not."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from carto_audit.contamination.disguises.pieces import PIECE, find_places, longest_chain
from carto_audit.text.words import ngram_hashes

FILLER = 1_000_000


def hashed(numbers):
    return np.array(numbers, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def chain_of(text, item, nats=1.0):
    words = hashed(text)
    grams = ngram_hashes(words, PIECE) if len(words) >= PIECE else np.empty(0, np.uint64)
    places = find_places(grams, hashed(item))
    return places, longest_chain(places, np.full(len(places.here), nats))


@given(st.lists(st.integers(PIECE, 6), min_size=1, max_size=8), st.lists(st.integers(0, 30), min_size=8, max_size=8))
def test_pieces_in_order_are_found_whole_however_far_apart(sizes, gaps):
    item = list(range(sum(sizes)))
    text, filler, at = [], iter(range(FILLER, 2 * FILLER)), 0
    for size, gap in zip(sizes, gaps, strict=False):
        text += [next(filler) for _ in range(gap)] + item[at : at + size]
        at += size
    places, chain = chain_of(text, item)
    assert chain.own.tolist() == item
    assert [text[place] for place in chain.here.tolist()] == item
    assert places.covers(len(item)) == 1
    assert chain.pieces == 1 + sum(gap > 0 for gap in gaps[1 : len(sizes)])


@given(st.lists(st.integers(0, 12), max_size=60), st.lists(st.integers(0, 12), max_size=20))
@example([0, 0, 0, 0], [0, 0, 0, 0, 0, 0])
@example([5, 5, 5, 5, 7], [5, 5, 5, 5, 5, 5, 7])
@example([1, 2, 1, 2, 1, 3], [1, 2, 1, 9, 2, 1, 3])
def test_a_chain_rises_in_both_and_holds_the_same_words(text, item):
    _, chain = chain_of(text, item)
    assert (np.diff(chain.here) > 0).all()
    assert (np.diff(chain.own) > 0).all()
    assert [text[place] for place in chain.here.tolist()] == [item[place] for place in chain.own.tolist()]


def test_pieces_in_another_order_and_words_by_twos_make_no_chain():
    item = list(range(12))
    _, turned = chain_of([*item[8:], FILLER, *item[4:8], FILLER + 1, *item[:4]], item)
    assert turned.pieces == 1
    twos = [word for k in range(0, 12, 2) for word in (item[k], item[k + 1], FILLER + k)]
    assert len(chain_of(twos, item)[1].here) == 0


def test_the_words_of_a_refrain_are_no_trace():
    refrain = [0, 1, 2, FILLER] * 60
    assert len(chain_of(refrain, [0, 1, 2, 3, 4])[1].here) == 0


def test_the_heavier_of_two_chains_is_taken():
    item = [1, 2, 3, 4, 5, 6, 7]
    words = hashed([4, 5, 6, 7, FILLER, 1, 2, 3])
    places = find_places(ngram_hashes(words, PIECE), hashed(item))
    says = np.where(places.own >= 3, 1.0, 5.0)
    assert longest_chain(places, says).own.tolist() == [0, 1, 2]
    assert longest_chain(places, np.ones(len(says))).own.tolist() == [3, 4, 5, 6]
