"""Controls: planted within a budget, from text that nobody trains on, of every kind, form and dose there is room for."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carto_audit.controls.canary_writer import EDITED_SHARE, SHORTEST_PASSAGE, SURPRISING
from carto_audit.controls.controls import (
    CONTROL_KINDS,
    DOSES,
    FORMS,
    HELD_OUT_SHARE,
    LARGE_HELD_OUT_SHARE,
    LARGE_SHARE,
    LARGE_TOKENS,
    LEAST_HELD_OUT,
    MOST_HELD_OUT,
    MOST_SECRETS,
    OPENING_WORDS,
    PASSAGE_WORDS,
    PLANTED_SECRETS,
    PROVING_SECRETS,
    REWORDED,
    TOKEN_SHARE,
    TWINS,
    cells_of,
    hold_out,
    plant_controls,
    room_for_controls,
)
from carto_audit.proxies.tokens import count_tokens, train_encoder
from tests.support.audits import WORDS, sentences
from tests.support.passages import passages
from tests.support.tiny import make_batch

PER_BYTE = 1 / 3
SOME_DOSES = (1, 4, 16)


def numbered(count, words=200):
    """Held-out texts in which no word occurs twice, so that any overlap shows."""
    return [" ".join(f"w{text}x{k}" for k in range(words)) for text in range(count)]


HELD_OUT = numbered(500)
LENDING = sentences(50, words=40)


def three_bytes(texts):
    """A tokenizer whose tokens are three bytes long."""
    return sum(math.ceil(len(text.encode()) * PER_BYTE) for text in texts)


def plant(trained_tokens=390_000.0, held_out=HELD_OUT, words_of=LENDING, doses=SOME_DOSES, **settings):
    usual = {"tokens_per_byte": PER_BYTE, "tokens_of": three_bytes, "demanded": 4, "seed": 0}
    return plant_controls(held_out, words_of, trained_tokens, doses=doses, **{**usual, **settings})


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


def secrets_of(controls, dose):
    """How many secrets are planted so often."""
    return len(np.unique(controls.secret[controls.dose == dose]))


@settings(max_examples=20)
@given(
    trained_tokens=st.one_of(st.integers(1, 20_000), st.integers(1, 2_000_000)),
    doses=st.sets(st.sampled_from(DOSES)),
    demanded=st.sampled_from(DOSES),
    seed=st.integers(0, 1000),
)
def test_planted_tokens_stay_within_the_room(trained_tokens, doses, demanded, seed):
    controls = plant(trained_tokens, doses=doses, demanded=demanded, seed=seed)
    planted = texts_of(controls, np.flatnonzero(controls.dose))
    assert three_bytes(planted) <= room_for_controls(trained_tokens)
    assert secrets_of(controls, demanded) <= PLANTED_SECRETS


def test_a_tenth_of_a_small_batch_is_room_and_of_a_huge_one_less_but_of_none_less_than_of_a_smaller_one():
    assert room_for_controls(60_000) == TOKEN_SHARE * 60_000
    assert room_for_controls(10_000_000) == LARGE_SHARE * 10_000_000
    rooms = [room_for_controls(tokens) for tokens in range(0, 4 * LARGE_TOKENS, 10_000)]
    assert rooms == sorted(rooms)


def test_every_kind_form_and_dose_is_planted_where_there_is_room(controls):
    cells = set(zip(controls.kind.tolist(), controls.form.tolist(), controls.dose.tolist(), strict=True))
    assert cells == {(kind, form, dose) for dose in SOME_DOSES for kind, form in cells_of(dose)} | {
        (kind, form, 0) for kind in CONTROL_KINDS for form in FORMS
    }


def test_a_natural_passage_is_never_planted_once():
    """A text of the batch that occurs once is what every ordinary sample is."""
    assert not {kind for kind, _ in cells_of(1)} & {"natural"}
    assert {kind for kind, _ in cells_of(4)} == set(CONTROL_KINDS)
    assert not len(rows_of(plant(3_000_000), kind="natural", dose=1))
    assert not len(rows_of(plant(demanded=1), kind="natural", dose=1))


@pytest.mark.parametrize("demanded", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("trained_tokens", [6_000, 30_000, 390_000])
def test_the_dose_that_the_policy_demands_is_served_first(demanded, trained_tokens):
    """Other doses take none of its room, and of none are there more secrets."""
    controls, alone = (plant(trained_tokens, doses=doses, demanded=demanded) for doses in (DOSES, ()))
    assert set(alone.dose.tolist()) == {0, demanded}
    for found in (controls, alone):
        assert found.demanded == demanded
    assert texts_of(controls, rows_of(controls, dose=demanded)) == texts_of(alone, rows_of(alone, dose=demanded))
    if controls.missing_tokens:
        assert secrets_of(controls, demanded) < PROVING_SECRETS
    else:
        assert PROVING_SECRETS <= secrets_of(controls, demanded) <= PLANTED_SECRETS


@pytest.mark.parametrize("demanded", [1, 2, 4, 8, 16])
def test_the_secrets_of_the_demanded_dose_are_of_every_kind_and_form_alike(demanded):
    controls = plant(demanded=demanded)
    cells = cells_of(demanded)
    for kind, form in cells:
        rows = rows_of(controls, kind=kind, form=form, dose=demanded)
        assert len(np.unique(controls.secret[rows])) == PLANTED_SECRETS // len(cells) == 3


@pytest.mark.parametrize("doses", [(1, 4), (1, 4, 16), (2, 4, 8), (1, 4, 16, 64), (1, 16)])
def test_only_the_doses_that_were_asked_for_are_planted(doses):
    assert set(plant(3_000_000, doses=doses).dose.tolist()) == {0, 4, *doses}


def test_each_secret_is_planted_exactly_as_often_as_its_dose_says(controls):
    for secret in np.unique(controls.secret):
        rows = controls.secret == secret
        for aligned in (controls.dose, controls.kind, controls.form):
            assert len(set(aligned[rows].tolist())) == 1
        assert rows.sum() == max(1, controls.dose[rows][0])


def test_every_second_copy_of_a_secret_is_edited_and_a_single_one_never_is(controls):
    for secret in np.unique(controls.secret):
        rows = np.flatnonzero(controls.secret == secret)
        reworded = controls.kind[rows[0]] in REWORDED
        expected = [reworded and len(rows) > 1 and number % 2 == 1 for number in range(len(rows))]
        assert controls.edited[rows].tolist() == expected
    assert not controls.edited[controls.dose <= 1].any()
    assert controls.edited[(controls.dose == 4) & np.isin(controls.kind, REWORDED)].mean() == 0.5


def test_unedited_copies_are_equal_when_alone_and_each_in_its_own_host_when_embedded(controls):
    for kind in CONTROL_KINDS:
        unedited = 8 if kind in REWORDED else 16
        for form, distinct in (("alone", 1), ("embedded", unedited)):
            secret = controls.secret[rows_of(controls, kind=kind, form=form, dose=16)[0]]
            copies = rows_of(controls, secret=secret, edited=False)
            assert len(copies) == unedited
            assert len(set(texts_of(controls, copies))) == distinct


@pytest.mark.parametrize("kind", [kind for kind in CONTROL_KINDS if kind not in REWORDED])
def test_keys_and_names_are_the_same_in_all_copies(controls, kind):
    """Alone, the copies are equal; embedded, they have the whole secret in common."""
    for secret in np.unique(controls.secret[rows_of(controls, kind=kind, dose=16)]):
        copies = texts_of(controls, rows_of(controls, secret=secret))
        shared = copies[0] if len(set(copies)) == 1 else re.sub(r"w\d+x\d+", "", copies[0]).strip()
        assert len(shared) >= 20
        assert all(shared in copy for copy in copies)


def test_about_a_tenth_of_the_words_of_an_edited_copy_differ(controls):
    """A word may be replaced by itself, so a single copy may differ less."""
    shares = []
    for kind in REWORDED:
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
    controls = plant(3_000_000)
    owners = {}
    for i in np.flatnonzero(controls.dose):
        words = held_words([controls.texts[i]])
        assert len(words) == len(set(words))
        for word in words:
            owners.setdefault(word, set()).add(int(controls.secret[i]))
    assert owners
    assert {len(secrets) for secrets in owners.values()} == {1}


def test_each_host_is_used_once():
    controls = plant(3_000_000)
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
    for kind in CONTROL_KINDS:
        for form in FORMS:
            assert len(rows_of(controls, kind=kind, form=form, dose=0)) == TWINS
    assert (controls.dose[np.argmax(controls.dose == 0) :] == 0).all()


def runs_of(texts, length=12):
    """All runs of so many letters and digits, whatever stands between them: the punctuation of a program may recur."""
    bare = [re.sub(r"\W", "", text) for text in texts]
    return {text[k : k + length] for text in bare for k in range(len(text) - length + 1)}


@pytest.mark.parametrize("seed", range(3))
def test_no_twin_shares_a_run_with_anything_that_is_planted(seed):
    """Held-out text in which nothing recurs, and a large vocabulary to lend words, so that no run is shared by chance."""
    rng = np.random.default_rng(seed)
    words = ["".join(letters) for letters in rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (30_000, 6))]
    texts = [" ".join(words[k : k + 100]) for k in range(0, len(words), 100)]
    found = plant(held_out=texts[:200], words_of=texts[200:], doses=DOSES, seed=seed)
    planted, twins = (runs_of(texts_of(found, np.flatnonzero(rows))) for rows in (found.dose > 0, found.dose == 0))
    assert len(planted) > 10_000 < len(twins)
    assert not planted & twins


def test_natural_passages_keep_the_spacing_of_their_text():
    held_out = [text.replace(" ", "\n\t ") for text in HELD_OUT]
    found = plant(held_out=held_out)
    for text in texts_of(found, rows_of(found, kind="natural", form="alone", edited=False)):
        assert any(text in whole for whole in held_out)
        assert SHORTEST_PASSAGE <= len(text.split()) <= PASSAGE_WORDS


def test_a_rare_suffix_is_made_of_single_words_of_the_batch(controls):
    for text in texts_of(controls, rows_of(controls, kind="rare_suffix", form="alone", edited=False)):
        words = text.split()
        assert len(held_words([text])) == OPENING_WORDS
        assert {word.strip(".").lower() for word in words[OPENING_WORDS:]} <= set(WORDS)


def test_without_held_out_text_there_are_only_secrets_that_need_none():
    controls = plant(held_out=[])
    assert set(controls.kind) == {"random", *SURPRISING}
    assert set(controls.form) == {"alone"}
    assert {0, *SOME_DOSES} == set(controls.dose.tolist())


def test_passages_that_are_too_short_are_no_held_out_text():
    controls = plant(held_out=["only four words here"] * 50)
    assert set(zip(controls.kind.tolist(), controls.form.tolist(), strict=True)) == {
        (kind, "alone") for kind in ("random", *SURPRISING)
    }


def test_when_the_held_out_text_is_used_up_the_rest_is_still_planted():
    controls = plant(5_000_000, held_out=numbered(8))
    planted = controls.dose > 0
    assert len(np.unique(controls.secret[planted & (controls.form == "embedded")])) > 0
    alone = (controls.kind == "random") & (controls.form == "alone")
    for dose in (1, 16):
        assert len(np.unique(controls.secret[alone & (controls.dose == dose)])) == MOST_SECRETS
    assert (controls.dose == 0).sum() == len(CONTROL_KINDS) * len(FORMS) * TWINS


def test_a_tiny_batch_gets_only_twins():
    controls = plant(50.0)
    assert not controls.dose.any()
    assert len(controls) == len(CONTROL_KINDS) * len(FORMS) * TWINS


def test_a_large_batch_stops_at_enough_secrets():
    controls = plant(5_000_000, held_out=numbered(3000), doses=(1, 2, 4))
    for dose, most in ((1, MOST_SECRETS), (2, MOST_SECRETS), (4, PLANTED_SECRETS // len(cells_of(4)))):
        for kind, form in cells_of(dose):
            assert len(np.unique(controls.secret[rows_of(controls, kind=kind, form=form, dose=dose)])) == most


class Prose:
    """Ordinary texts, a vocabulary that was made of them, and how many tokens each has."""

    def __init__(self, texts, encoder):
        self.texts, self.encoder = texts, encoder
        self.n_tokens = np.array([self.count([text]) for text in texts])

    def count(self, texts):
        return count_tokens(self.encoder, texts)

    def plant(self, trained_tokens, demanded=4, seed=0):
        """Controls of as much of it as is held out in an audit of so many tokens."""
        wanted = max(HELD_OUT_SHARE * min(trained_tokens, LARGE_TOKENS), LARGE_HELD_OUT_SHARE * trained_tokens)
        order = np.random.default_rng(seed).permutation(len(self.texts))
        held = order[np.cumsum(self.n_tokens[order]) <= wanted] if wanted >= LEAST_HELD_OUT else []
        per_byte = self.n_tokens.sum() / sum(len(text.encode()) for text in self.texts)
        settings = {"tokens_per_byte": per_byte, "tokens_of": self.count, "demanded": demanded, "seed": seed}
        return plant(trained_tokens, [self.texts[i] for i in held], self.texts[:300], DOSES, **settings)


@pytest.fixture(scope="module", params=[1024, 4096])
def prose(tmp_path_factory, request):
    texts = passages(1000)
    batch = make_batch(tmp_path_factory.mktemp("prose"), texts)
    return Prose(texts, train_encoder(batch, np.zeros(len(texts), bool), request.param, seed=0))


@pytest.mark.parametrize("seed", range(3))
def test_a_proof_at_dose_4_fits_into_60_000_tokens(prose, seed):
    controls = prose.plant(60_000, seed=seed)
    assert secrets_of(controls, 4) >= PROVING_SECRETS
    assert controls.missing_tokens == 0


@pytest.mark.parametrize("trained_tokens", [5_000, 20_000, 60_000])
@pytest.mark.parametrize("demanded", [1, 4, 16])
def test_the_tokens_that_a_real_vocabulary_makes_of_keys_stay_within_the_room(prose, trained_tokens, demanded):
    """Of a key it makes three times as many as of prose as long."""
    controls = prose.plant(trained_tokens, demanded)
    planted = texts_of(controls, np.flatnonzero(controls.dose))
    assert prose.count(planted) <= room_for_controls(trained_tokens)
    assert prose.count(planted) > 0.4 * room_for_controls(trained_tokens)


@settings(max_examples=20)
@given(
    trained_tokens=st.one_of(st.integers(500, 60_000), st.integers(500, 450_000)),
    demanded=st.sampled_from([1, 2, 4, 8, 16]),
    seed=st.integers(0, 1000),
)
@example(trained_tokens=401_000, demanded=16, seed=0)
@example(trained_tokens=500, demanded=1, seed=0)
def test_a_batch_that_is_larger_by_what_is_missing_has_room_for_a_proof(prose, trained_tokens, demanded, seed):
    """For nine in ten of its secrets at least, since it is an estimate; and one half as large as that has not."""
    controls = prose.plant(trained_tokens, demanded, seed)
    assert (controls.missing_tokens == 0) == (secrets_of(controls, demanded) >= PROVING_SECRETS)
    if controls.missing_tokens:
        enough = trained_tokens + controls.missing_tokens
        assert secrets_of(prose.plant(enough, demanded, seed), demanded) >= 0.9 * PROVING_SECRETS
        assert secrets_of(prose.plant(enough / 2, demanded, seed), demanded) < PROVING_SECRETS


def test_a_batch_that_is_too_small_to_hold_text_out_is_missing_that_too():
    """A passage of its own text takes hardly any token of so coarse a vocabulary."""
    controls = plant(500, demanded=1, tokens_per_byte=0.05)
    assert 500 + controls.missing_tokens >= LEAST_HELD_OUT / HELD_OUT_SHARE


def test_where_no_text_can_be_held_out_something_is_missing_however_large_the_batch():
    assert plant(5_000_000, held_out=[]).missing_tokens > 0


def test_a_script_without_spaces_has_controls_of_every_kind():
    """One character per word, and no endless run is taken whole."""
    rng = np.random.default_rng(0)
    texts = ["".join(map(chr, rng.integers(0x4E00, 0x9000, 400))) for _ in range(60)]
    controls = plant(held_out=texts[:50], words_of=texts[50:])
    assert {(k, f) for k, f in zip(controls.kind.tolist(), controls.form.tolist(), strict=True)} == {
        (kind, form) for kind in CONTROL_KINDS for form in FORMS
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


@pytest.mark.parametrize(("samples", "share"), [(1000, HELD_OUT_SHARE), (20_000, LARGE_HELD_OUT_SHARE)])
def test_a_share_of_the_tokens_is_held_out_in_several_texts(samples, share):
    tokens = np.random.default_rng(0).integers(20, 200, samples)
    held = held_of(tokens)
    wanted = share * tokens.sum()
    assert 0.8 * wanted <= tokens[held].sum() <= wanted
    assert tokens[held].max() <= wanted / 4


def test_a_larger_batch_holds_out_no_less():
    most = [100 * len(held_of(np.full(tokens // 100, 100))) for tokens in (390_000, 410_000, 700_000, 2_000_000)]
    assert most == sorted(most)


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
