"""Canaries: what is planted is what is said, within the budget, and what is never planted shares nothing with it."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.controls.canary_writer import EDITED_SHARE, KINDS, SHORTEST_PASSAGE
from carto_audit.governance.canaries import (
    ALTERNATIVES,
    DOSES,
    FORMS,
    HOST_WORDS,
    MOST_SECRETS,
    OFTEN,
    PASSAGE_WORDS,
    ROOM,
    TWINS,
)
from carto_audit.governance.canaries import plant_canaries as plant_in
from tests.support.audits import WORDS, sentences

PER_BYTE = 1 / 3


def numbered(count, words=200):
    """Reserved texts in which no word occurs twice, so that any overlap shows."""
    return [" ".join(f"w{text}x{k}" for k in range(words)) for text in range(count)]


RESERVED = numbered(400)
LENDING = sentences(50, words=40)


def plant(budget=40_000.0, reserved=RESERVED, words_of=LENDING, seed=0):
    return plant_in(reserved, words_of, budget, PER_BYTE, seed)


def copies_of(canaries, number):
    return [canaries.copies[k] for k in np.flatnonzero(canaries.owner == number)]


def reserved_words(text):
    return re.findall(r"w\d+x\d+", text)


@pytest.fixture(scope="module")
def canaries():
    return plant()


@pytest.fixture(scope="module")
def planted(canaries):
    """Every planted secret with its copies."""
    return [(canary, copies_of(canaries, k)) for k, canary in enumerate(canaries.secrets) if canary.dose]


def of_form(planted, form):
    return [(canary, copies) for canary, copies in planted if canary.form == form and canary.dose > 1]


@settings(max_examples=12)
@given(budget=st.floats(0, 12_000), seed=st.integers(0, 99), texts=st.integers(0, 30))
def test_what_is_planted_never_exceeds_its_budget(budget, seed, texts):
    found = plant(budget, reserved=RESERVED[:texts], seed=seed)
    assert sum(len(text.encode()) for text in found.copies) * PER_BYTE <= budget
    assert len(found.owner) == len(found.copies) == found.dose.sum()


def test_every_kind_form_and_dose_is_planted_where_there_is_room(canaries):
    cells = {(canary.secret.kind, canary.form, canary.dose) for canary in canaries.secrets}
    once = {(kind, form, 1) for kind in KINDS[:2] for form in FORMS[:2]}
    often = {(kind, form, canaries.often) for kind in KINDS for form in FORMS}
    twins = {(kind, form, 0) for kind in KINDS for form in FORMS}
    assert cells == once | often | twins


def test_the_dose_of_what_is_planted_often_follows_the_room_there_is():
    assert {1, *OFTEN} == set(DOSES)
    assert plant(ROOM - 1.0).often == min(OFTEN)
    assert plant(float(ROOM)).often == max(OFTEN)
    assert plant(0.0).often == 0


def test_each_secret_is_planted_as_often_as_its_dose_says(canaries):
    assert np.bincount(canaries.owner, minlength=len(canaries.secrets)).tolist() == canaries.dose.tolist()


def test_planted_secrets_stand_first_and_twins_follow(canaries):
    first_twin = int(np.argmax(canaries.dose == 0))
    assert first_twin > 0
    assert (canaries.dose[:first_twin] > 0).all()
    assert (canaries.dose[first_twin:] == 0).all()
    assert len(canaries.dose) - first_twin == TWINS * len(KINDS) * len(FORMS)


def test_copies_of_a_secret_that_stands_alone_are_equal_and_nothing_else(planted):
    for canary, copies in of_form(planted, "alone"):
        assert set(copies) == {canary.secret.text}


def test_an_embedded_secret_is_verbatim_in_a_host_of_its_own_each_time(planted):
    hosts = []
    for canary, copies in of_form(planted, "embedded"):
        for copy in copies:
            before, secret, after = copy.partition(canary.secret.text)
            assert secret
            assert len(reserved_words(before)) >= SHORTEST_PASSAGE // 2
            assert len(reserved_words(after)) >= SHORTEST_PASSAGE // 2
            assert len(reserved_words(before + after)) <= HOST_WORDS
            hosts += reserved_words(before + after)
    assert hosts
    assert len(hosts) == len(set(hosts))


def test_every_second_edited_copy_is_exact_and_a_tenth_of_the_words_of_the_others_differ(planted):
    shares = []
    for canary, copies in of_form(planted, "edited"):
        assert set(copies[::2]) == {canary.secret.text}
        original = canary.secret.text.split()
        for other in copies[1::2]:
            assert len(other.split()) == len(original)
            shares.append(np.mean([a != b for a, b in zip(original, other.split(), strict=True)]))
    assert min(shares) > 0  # the lent words are none of the reserved ones, so none is replaced by itself
    assert max(shares) <= 1.5 * EDITED_SHARE
    assert np.mean(shares) == pytest.approx(EDITED_SHARE, rel=0.35)


def test_the_copy_that_is_shown_is_planted_and_says_where_the_secret_is(planted):
    for canary, copies in planted:
        assert canary.shown in copies
        assert canary.shown[canary.begin : canary.end] == canary.secret.text


def test_twins_are_shown_to_nobody_and_share_no_text_with_what_is(canaries):
    planted = "\n".join(canaries.copies)
    read = set(reserved_words(planted))
    assert read
    for canary in canaries.secrets:
        if canary.dose == 0:
            assert canary.shown[canary.begin : canary.end] == canary.secret.text
            assert canary.secret.text not in planted
            assert not set(reserved_words(canary.shown)) & read
            assert not set(re.findall(r"\d{4} \d{4} \d{4}", canary.shown)) & set(
                re.findall(r"\d{4} \d{4} \d{4}", planted)
            )


def test_planted_passages_never_overlap(canaries):
    owners = {}
    for text, owner in zip(canaries.copies, canaries.owner.tolist(), strict=True):
        for word in reserved_words(text):
            owners.setdefault(word, set()).add(owner)
    assert {len(secrets) for secrets in owners.values()} == {1}


def test_alternatives_keep_the_beginning_and_the_end_and_differ_between(canaries):
    free = [canary for canary in canaries.secrets if canary.alternatives]
    assert {canary.secret.kind for canary in free} == {"random", "rare_suffix"}
    for canary in free:
        secret = canary.secret
        fixed, tail = secret.text[: secret.fixed], secret.text[secret.fixed + secret.free :]
        assert fixed
        assert len(canary.alternatives) == ALTERNATIVES
        assert len(set(canary.alternatives)) > 0.95 * ALTERNATIVES
        for text in canary.alternatives:
            assert text.startswith(fixed)
            assert text.endswith(tail)
            assert text != secret.text


def test_alternatives_are_of_the_secret_s_own_kind(canaries):
    for canary in canaries.secrets:
        secret = canary.secret
        for text in canary.alternatives[:20]:
            part = text[secret.fixed : len(text) - len(secret.text) + secret.fixed + secret.free]
            if secret.kind == "random":
                assert re.fullmatch(r"\d{4} \d{4} \d{4}", part)
            else:
                assert {word.strip(".").lower() for word in part.split()} <= set(WORDS)


def test_nothing_is_free_in_a_passage_and_it_is_the_batch_s_own_text(planted):
    passages = [canary for canary, _ in planted if canary.secret.kind == "natural"]
    assert passages
    for canary in passages:
        assert canary.alternatives == ()
        assert any(canary.secret.text in text for text in RESERVED)
        assert SHORTEST_PASSAGE <= len(canary.secret.text.split()) <= PASSAGE_WORDS


def test_equal_seeds_plant_the_same_and_others_do_not():
    once, again, other = (plant(4_000.0, seed=seed) for seed in (3, 3, 4))
    assert once.secrets == again.secrets
    assert once.copies == again.copies
    assert once.owner.tolist() == again.owner.tolist()
    invented, others = ({c.secret.text for c in found.secrets if c.secret.kind == "random"} for found in (once, other))
    assert invented
    assert not invented & others  # passages come in the order of the reserved texts, which the caller shuffles


def test_without_room_or_text_there_are_only_twins():
    nothing = plant(0.0)
    assert nothing.copies == ()
    assert set(nothing.dose.tolist()) == {0}
    bare = plant(reserved=[])
    assert {(canary.secret.kind, canary.form) for canary in bare.secrets} == {("random", "alone"), ("random", "edited")}


def test_a_large_batch_stops_at_enough_secrets():
    found = plant(10_000_000, reserved=numbered(3))
    sizes = {}
    for canary in found.secrets:
        if canary.dose:
            cell = (canary.secret.kind, canary.form, canary.dose)
            sizes[cell] = sizes.get(cell, 0) + 1
    assert max(sizes.values()) == MOST_SECRETS
    assert sizes["random", "alone", found.often] == MOST_SECRETS


def test_more_room_means_more_secrets():
    counts = [int((plant(budget).dose > 0).sum()) for budget in (1_000, 4_000, 12_000)]
    assert counts == sorted(set(counts))
