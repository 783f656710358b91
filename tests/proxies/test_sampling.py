"""Who is drawn where there is no room for all: nobody can hide in a group that is too large."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.proxies.sampling import COPIES, LARGE_SHARE, draw_samples

DOSE = 4


def drawn(tokens, edges=(), room=1_000, seed=0, dose=DOSE):
    tokens = np.asarray(tokens, np.int64)
    edges = np.array(edges, np.int64).reshape(-1, 3).T
    return draw_samples(tokens, edges, room, dose, seed)


def chained(secrets=40, copies=10, others=400):
    """Secrets that links tie into one group: a copy shares much with the next copy, and little with a stranger."""
    n = secrets * copies
    order = np.random.default_rng(1).permutation(n)
    secret = [order[k * copies : (k + 1) * copies] for k in range(secrets)]
    edges = [(int(a), int(b), 90) for rows in secret for a, b in zip(rows, rows[1:], strict=False)]
    edges += [(k, k + 1, 15) for k in range(n - 1)]
    return np.full(n + others, 50), edges, secret


def test_where_there_is_room_for_all_everybody_is_drawn_and_stands_for_himself():
    found = drawn([10, 0, 30], room=40)
    assert found.drawn.tolist() == [True, False, True]
    assert found.weight.tolist() == [1.0, 1.0, 1.0]
    assert found.undrawn_tokens == 0


@settings(max_examples=50)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=60), st.integers(1, 1500), st.integers(0, 99))
def test_no_more_is_drawn_than_fits_and_what_is_drawn_stands_for_all(tokens, room, seed):
    found = drawn(tokens, room=room, seed=seed)
    tokens = np.array(tokens)
    assert not found.drawn[tokens == 0].any()
    fits = int(tokens[found.drawn].sum()) <= room
    forced = np.sort(tokens[found.drawn])[:-2]  # the smallest of a stratum, so that there is something to look at
    assert fits or int(forced.sum()) <= room
    if fits and found.drawn.any():
        small = tokens <= LARGE_SHARE * room
        for stratum in (small, ~small):
            chosen = stratum & found.drawn
            if chosen.any():
                assert (tokens * found.weight)[chosen].sum() == pytest.approx(tokens[stratum].sum())


def test_small_groups_are_drawn_whole_or_not_at_all():
    edges = [(3 * k + j, 3 * k + j + 1, 5) for k in range(100) for j in (0, 1)]
    found = drawn(np.full(300, 10), edges, room=1_000)
    groups = found.drawn.reshape(100, 3)
    assert (groups.all(1) | ~groups.any(1)).all()
    assert 900 <= 10 * found.drawn.sum() <= 1_000


def test_a_group_that_is_larger_than_the_room_is_drawn_in_part_with_its_secrets_in_sight():
    tokens, edges, secret = chained()
    found = drawn(tokens, edges, room=10_000)
    copies = np.array([found.drawn[rows].sum() for rows in secret])
    assert (copies >= COPIES * DOSE).sum() >= 8
    large = np.arange(len(tokens)) < 400
    assert 0.3 <= tokens[found.drawn & large].sum() / tokens[found.drawn].sum() <= 0.6
    share = (tokens * found.weight)[found.drawn & large].sum() / (tokens * found.weight)[found.drawn].sum()
    assert share == pytest.approx(0.5)


def test_every_sample_of_a_large_group_has_a_chance():
    tokens, edges, _ = chained(secrets=10, others=100)
    ever = np.zeros(len(tokens), bool)
    for seed in range(40):
        ever |= drawn(tokens, edges, room=2_000, seed=seed).drawn
    assert ever.all()


def test_what_is_larger_than_all_the_room_is_named_as_undrawn():
    found = drawn([5_000, *[10] * 200], room=1_000)
    assert found.undrawn_tokens == 5_000
    assert found.drawn[1:].any()


def test_equal_seeds_draw_the_same_and_others_do_not():
    tokens, edges, _ = chained()
    once, again, other = (drawn(tokens, edges, room=5_000, seed=seed).drawn for seed in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)
