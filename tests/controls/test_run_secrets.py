"""What is planted in a real run: where each copy's secret is, what of it is free, and what twins share with it: nothing."""

import re

import numpy as np
import pytest

from carto_audit.controls.canary_writer import NoTextLeftError
from carto_audit.controls.controls import PROVING_SECRETS, TWINS
from carto_audit.controls.run_secrets import missing_tokens, plan_secrets, secret_writer
from tests.support.audits import sentences


def plan(room=60_000, doses=(1, 4, 16), demanded=4, texts=200, seed=0, place=None):
    rng = np.random.default_rng(seed)
    writer = secret_writer(sentences(texts, seed=1), sentences(50, seed=2), rng)
    usual = lambda copies, twin: (list(copies), sum(len(copy.text) for copy in copies) / 4)  # noqa: E731
    return plan_secrets(
        writer,
        place or usual,
        room=room,
        around=0,
        tokens_per_byte=0.25,
        doses=doses,
        demanded=demanded,
        rng=rng,
    )


@pytest.fixture(scope="module")
def planned():
    return plan()


def test_a_dose_is_how_often_a_secret_is_planted_and_the_demanded_one_comes_first(planned):
    assert all(len(secret.copies) == secret.dose for secret in planned.planted)
    assert planned.secrets_at(4) == 42
    assert {secret.dose for secret in planned.planted} == {1, 4, 16}
    small = plan(room=3_000)
    others = [len(copy.text) / 4 for secret in small.planted for copy in secret.copies if secret.dose != 4]
    assert small.spent <= 3_000
    assert (
        sum(others) < 4 * small.copy_tokens < 3_000 / small.secrets_at(4) * 2
    )  # what has no room for one more secret at dose 4


def test_the_text_of_every_copy_says_where_its_secret_is(planned):
    for secret in planned.planted:
        said = [copy.text[copy.start : copy.end] for copy in secret.copies]
        whole = [text for text, copy in zip(said, secret.copies, strict=True) if not copy.edited]
        assert len(set(whole)) == 1
        assert all((copy.start > 0) == (secret.form == "embedded") for copy in secret.copies)
        assert len({copy.text for copy in secret.copies}) == (
            secret.dose if secret.form == "embedded" else len(set(said))
        )


def test_what_is_free_is_all_that_is_invented_and_nothing_of_a_passage(planned):
    free = {}
    for secret in planned.planted:
        for copy in secret.copies:
            assert copy.start <= copy.free_start <= copy.free_end <= copy.end
            free.setdefault(secret.kind, set()).add((copy.free_start - copy.start, copy.free_end - copy.free_start))
    assert {size for _, size in free.pop("natural")} == {0}
    assert all(start > 0 and size > 0 for start, size in free.pop("rare_suffix"))
    assert all(start == 0 and size > 0 for kind in free.values() for start, size in kind)


def test_the_free_part_of_an_edited_copy_begins_at_the_same_word(planned):
    edited = [(s, copy) for s in planned.planted for copy in s.copies if copy.edited and s.kind == "rare_suffix"]
    assert edited
    for secret, copy in edited:
        plain = next(one for one in secret.copies if not one.edited)
        words = [len(one.text[one.free_start : one.free_end].split()) for one in (plain, copy)]
        assert words[0] == words[1] == 10


def test_twins_share_no_passage_and_no_template_with_what_is_planted(planned):
    assert {twin.dose for twin in planned.twins} == {0}
    assert len(planned.twins) == 14 * TWINS
    planted = " | ".join(copy.text for secret in planned.planted for copy in secret.copies)
    for twin in planned.twins:
        words = twin.copies[0].text.split()
        assert not any(" ".join(words[k : k + 5]) in planted for k in range(len(words) - 4))
    shapes = [
        {
            re.sub(r"[0-9a-f]{8}|\b(?!return|assert)[a-z]{6}\b", "_", copy.text[copy.start : copy.end])
            for secret in secrets
            if secret.kind == "code"
            for copy in secret.copies
        }
        for secrets in (planned.planted, planned.twins)
    ]
    assert all(shapes)
    assert not shapes[0] & shapes[1]


def test_a_batch_without_room_lacks_tokens_and_with_so_many_more_it_lacks_none():
    small = plan(room=800)
    missing = missing_tokens(small, 4, 0.01, 80_000)
    assert small.secrets_at(4) < PROVING_SECRETS
    assert missing > 0
    enough = plan(room=0.01 * (80_000 + missing))
    assert enough.secrets_at(4) >= PROVING_SECRETS
    assert missing_tokens(enough, 4, 0.01, 80_000 + missing) == 0


def test_where_no_text_is_lent_what_is_invented_is_planted_alone():
    assert {(secret.kind in ("natural", "rare_suffix"), secret.form) for secret in plan(texts=0).planted} == {
        (False, "alone")
    }


def test_a_row_that_cannot_hold_a_secret_leaves_it_out():
    def only_short(copies, twin):
        if any(len(copy.text) > 60 for copy in copies):
            raise NoTextLeftError
        return list(copies), 10.0

    assert {secret.kind for secret in plan(place=only_short).planted} == {"random", "hex", "base64", "foreign", "code"}


def test_the_policys_dose_is_planted_whatever_the_others_are():
    assert {secret.dose for secret in plan(doses=(2,), demanded=8).planted} == {2, 8}
