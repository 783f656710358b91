"""Controls: planted within a budget, from text that nobody trains on, of every kind, form and dose there is room for."""

import re

import numpy as np
import pytest

from carto_audit.controls.canary_writer import EDITED_SHARE, KINDS, PASSAGE_WORDS, SHORTEST_PASSAGE
from carto_audit.controls.controls import (
    FORMS,
    HELD_OUT_SHARE,
    LEAST_HELD_OUT,
    MOST_HELD_OUT,
    MOST_SECRETS,
    TWINS,
    cells_of,
    hold_out,
    plant_controls,
)
from tests.support.audits import WORDS, sentences

PER_BYTE = 1 / 3
DOSES = (1, 4, 16)


def numbered(count, words=200):
    """Held-out texts in which no word occurs twice, so that any overlap shows."""
    return [" ".join(f"w{text}x{k}" for k in range(words)) for text in range(count)]


HELD_OUT = numbered(500)
LENDING = sentences(50, words=40)


def plant(budget=60_000.0, held_out=HELD_OUT, words_of=LENDING, doses=DOSES, seed=0):
    return plant_controls(held_out, words_of, budget=budget, tokens_per_byte=PER_BYTE, doses=doses, seed=seed)


@pytest.fixture(scope="module")
def controls():
    return plant()


def rows_of(controls, **wanted):
    """Indices of the controls with these properties."""
    chosen = np.ones(len(controls), bool)
    for name, value in wanted.items():
        chosen &= getattr(controls, name) == value
    return np.flatnonzero(chosen)


def texts_of(controls, rows):
    return [controls.texts[i] for i in rows]


def held_words(texts):
    """The held-out words in some texts."""
    return [word for text in texts for word in re.findall(r"w\d+x\d+", text)]


@pytest.mark.parametrize("budget", [600, 4_650, 30_000, 300_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_tokens_stay_within_the_budget(budget, seed):
    controls = plant(budget, seed=seed)
    planted = texts_of(controls, np.flatnonzero(controls.dose))
    assert sum(len(text.encode()) for text in planted) * PER_BYTE <= budget


def test_every_kind_form_and_dose_is_planted_where_there_is_room(controls):
    cells = set(zip(controls.kind.tolist(), controls.form.tolist(), controls.dose.tolist(), strict=True))
    assert cells == {(kind, form, dose) for dose in DOSES for kind, form in cells_of(dose)} | {
        (kind, form, 0) for kind in KINDS for form in FORMS
    }


def test_a_natural_passage_is_never_planted_once():
    """A text of the batch that occurs once is what every ordinary sample is."""
    assert not {kind for kind, _ in cells_of(1)} & {"natural"}
    assert {kind for kind, _ in cells_of(4)} == set(KINDS)
    assert not len(rows_of(plant(300_000), kind="natural", dose=1))


def test_the_dose_that_policies_demand_is_served_first():
    controls = plant(1_500)
    assert {int(d) for d in controls.dose} >= {0, 4}
    secrets = {dose: len(np.unique(controls.secret[controls.dose == dose])) for dose in DOSES}
    assert secrets[4] == max(secrets.values())


@pytest.mark.parametrize("doses", [(1, 4), (1, 4, 16), (1, 4, 16, 64)])
def test_only_the_doses_that_were_asked_for_are_planted(doses):
    assert set(plant(100_000, doses=doses).dose.tolist()) == {0, *doses}


def test_each_secret_is_planted_exactly_as_often_as_its_dose_says(controls):
    for secret in np.unique(controls.secret):
        rows = controls.secret == secret
        for aligned in (controls.dose, controls.kind, controls.form):
            assert len(set(aligned[rows].tolist())) == 1
        assert rows.sum() == max(1, controls.dose[rows][0])


def test_every_second_copy_of_a_secret_is_edited_and_a_single_one_never_is(controls):
    for secret in np.unique(controls.secret):
        rows = np.flatnonzero(controls.secret == secret)
        expected = [len(rows) > 1 and number % 2 == 1 for number in range(len(rows))]
        assert controls.edited[rows].tolist() == expected
    assert not controls.edited[controls.dose <= 1].any()
    assert controls.edited[controls.dose == 4].mean() == 0.5


def test_unedited_copies_are_equal_when_alone_and_each_in_its_own_host_when_embedded(controls):
    for kind in KINDS:
        for form, distinct in (("alone", 1), ("embedded", 8)):
            secret = controls.secret[rows_of(controls, kind=kind, form=form, dose=16)[0]]
            copies = rows_of(controls, secret=secret, edited=False)
            assert len(copies) == 8
            assert len(set(texts_of(controls, copies))) == distinct


def test_about_a_tenth_of_the_words_of_an_edited_copy_differ(controls):
    """A word may be replaced by itself, so a single copy may differ less."""
    shares = []
    for kind in KINDS:
        for secret in np.unique(controls.secret[rows_of(controls, kind=kind, form="alone", dose=16)]):
            original = texts_of(controls, rows_of(controls, secret=secret, edited=False))[0].split()
            for copy in texts_of(controls, rows_of(controls, secret=secret, edited=True)):
                assert len(copy.split()) == len(original)
                shares.append(np.mean([a != b for a, b in zip(original, copy.split(), strict=True)]))
    assert max(shares) <= 1.5 * EDITED_SHARE
    assert np.mean(shares) == pytest.approx(EDITED_SHARE, rel=0.35)


def test_an_embedded_secret_stands_in_the_middle_of_its_host(controls):
    secret = controls.secret[rows_of(controls, kind="random", form="embedded", dose=16)[0]]
    for text in texts_of(controls, rows_of(controls, secret=secret, edited=False)):
        host = [bool(re.fullmatch(r"w\d+x\d+", word)) for word in text.split()]
        assert host[0]
        assert host[-1]
        inside = [k for k, is_host in enumerate(host) if not is_host]
        assert inside == list(range(inside[0], inside[-1] + 1))
        assert len(inside) < len(host) / 2


def test_planted_passages_never_overlap():
    """Every held-out word is planted in one secret, or in one host, and nowhere else."""
    controls = plant(60_000)
    owners = {}
    for i in np.flatnonzero(controls.dose):
        words = held_words([controls.texts[i]])
        assert len(words) == len(set(words))
        for word in words:
            owners.setdefault(word, set()).add(int(controls.secret[i]))
    assert owners
    assert {len(secrets) for secrets in owners.values()} == {1}


def test_each_host_is_used_once():
    controls = plant(60_000)
    texts = texts_of(controls, rows_of(controls, kind="random", form="embedded"))
    planted = [i for i in rows_of(controls, kind="random", form="embedded") if controls.dose[i]]
    words = held_words(texts_of(controls, planted))
    assert len(texts) > len(planted)
    assert len(words) == len(set(words))


def test_the_text_of_twins_is_never_planted(controls):
    twins, planted = (texts_of(controls, np.flatnonzero(rows)) for rows in (controls.dose == 0, controls.dose > 0))
    assert held_words(twins)
    assert not set(held_words(twins)) & set(held_words(planted))
    assert not set(controls.secret[controls.dose == 0]) & set(controls.secret[controls.dose > 0])


def test_there_are_twins_of_every_kind_and_form_and_they_follow_what_is_planted(controls):
    for kind in KINDS:
        for form in FORMS:
            assert len(rows_of(controls, kind=kind, form=form, dose=0)) == TWINS
    assert (controls.dose[np.argmax(controls.dose == 0) :] == 0).all()


def test_natural_passages_keep_the_spacing_of_their_text():
    held_out = [text.replace(" ", "\n\t ") for text in HELD_OUT]
    found = plant(held_out=held_out)
    for text in texts_of(found, rows_of(found, kind="natural", form="alone", edited=False)):
        assert any(text in whole for whole in held_out)
        assert SHORTEST_PASSAGE <= len(text.split()) <= PASSAGE_WORDS


def test_a_rare_suffix_is_made_of_single_words_of_the_batch(controls):
    for text in texts_of(controls, rows_of(controls, kind="rare_suffix", form="alone", edited=False)):
        words = text.split()
        assert len(held_words([text])) == 10
        assert {word.strip(".").lower() for word in words[10:]} <= set(WORDS)


def test_without_held_out_text_there_are_only_secrets_that_need_none():
    controls = plant(held_out=[])
    assert set(controls.kind) == {"random"}
    assert set(controls.form) == {"alone"}
    assert {0, *DOSES} == set(controls.dose.tolist())


def test_passages_that_are_too_short_are_no_held_out_text():
    controls = plant(held_out=["only four words here"] * 50)
    assert set(zip(controls.kind.tolist(), controls.form.tolist(), strict=True)) == {("random", "alone")}


def test_when_the_held_out_text_is_used_up_the_rest_is_still_planted():
    controls = plant(300_000, held_out=numbered(8))
    planted = controls.dose > 0
    assert len(np.unique(controls.secret[planted & (controls.form == "embedded")])) > 0
    alone = (controls.kind == "random") & (controls.form == "alone")
    for dose in DOSES:
        assert len(np.unique(controls.secret[alone & (controls.dose == dose)])) == MOST_SECRETS


def test_a_tiny_batch_gets_only_twins():
    controls = plant(5.0)
    assert not controls.dose.any()
    assert len(controls) == len(KINDS) * len(FORMS) * TWINS


def test_a_large_batch_stops_at_enough_secrets():
    controls = plant(5_000_000, held_out=numbered(3000), doses=(1, 4))
    for dose in (1, 4):
        for kind, form in cells_of(dose):
            assert len(np.unique(controls.secret[rows_of(controls, kind=kind, form=form, dose=dose)])) == MOST_SECRETS


def test_a_script_without_spaces_has_controls_of_every_kind():
    """One character per word, and no endless run is taken whole."""
    rng = np.random.default_rng(0)
    texts = ["".join(map(chr, rng.integers(0x4E00, 0x9000, 400))) for _ in range(60)]
    controls = plant(15_000, held_out=texts[:50], words_of=texts[50:])
    assert {(k, f) for k, f in zip(controls.kind.tolist(), controls.form.tolist(), strict=True)} == {
        (kind, form) for kind in KINDS for form in FORMS
    }
    for text in texts_of(controls, rows_of(controls, kind="natural", form="alone", edited=False)):
        assert SHORTEST_PASSAGE <= len(text) <= PASSAGE_WORDS
    copies = rows_of(controls, kind="natural", form="alone", edited=True, dose=16)
    for edited in copies:
        secret = controls.secret[edited]
        original = controls.texts[rows_of(controls, secret=secret, edited=False)[0]]
        differing = sum(a != b for a, b in zip(original, controls.texts[edited], strict=True))
        assert 1 <= differing <= 4


def test_equal_seeds_give_equal_controls_and_other_seeds_others():
    assert plant(seed=1).texts == plant(seed=1).texts
    assert plant(seed=1).texts != plant(seed=2).texts
    assert np.array_equal(plant(seed=1).edited, plant(seed=1).edited)


def held_of(n_tokens, alone=None, trained=None, seed=0):
    n = len(n_tokens)
    everyone = np.ones(n, bool)
    held = hold_out(
        np.asarray(n_tokens), everyone if alone is None else alone, everyone if trained is None else trained, seed
    )
    return np.flatnonzero(held)


def test_two_percent_of_the_tokens_are_held_out_in_several_texts():
    tokens = np.random.default_rng(0).integers(20, 200, 1000)
    held = held_of(tokens)
    wanted = HELD_OUT_SHARE * tokens.sum()
    assert 0.8 * wanted <= tokens[held].sum() <= wanted
    assert tokens[held].max() <= wanted / 4


def test_a_batch_too_small_for_a_few_passages_holds_nothing_out():
    for total, some in ((LEAST_HELD_OUT / HELD_OUT_SHARE - 100, False), (LEAST_HELD_OUT / HELD_OUT_SHARE + 100, True)):
        assert bool(len(held_of(np.full(round(total / 50), 50)))) == some


def test_a_huge_batch_holds_out_no_more_than_controls_need():
    tokens = np.full(100_000, 100)
    assert tokens[held_of(tokens)].sum() <= MOST_HELD_OUT


def test_samples_with_kin_are_never_held_out():
    alone = np.arange(1000) % 2 == 0
    held = held_of(np.full(1000, 100), alone=alone)
    assert len(held)
    assert alone[held].all()


def test_what_is_not_trained_on_anyway_is_held_out_first():
    trained = np.arange(1000) < 600
    held = held_of(np.full(1000, 100), trained=trained)
    assert len(held)
    assert not trained[held].any()
    nearly_all = np.arange(1000) < 995
    assert len(held_of(np.full(1000, 100), trained=nearly_all)) > 5  # five are too few


def test_equal_seeds_hold_out_the_same():
    tokens = np.random.default_rng(0).integers(20, 200, 1000)
    assert held_of(tokens, seed=1).tolist() == held_of(tokens, seed=1).tolist() != held_of(tokens, seed=2).tolist()
