"""Whether a proxy recites: everything when it knows the texts by heart, nothing when it never read them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.governance.attacks.extraction import (
    FEWEST_PERSONAL_TOKENS,
    MOST_PERSONAL_TOKENS,
    PROMPT_TOKENS,
    RUN,
    Target,
    edit_distance,
    extract,
    personal_targets,
    perturb,
    propensity,
    queries,
    recalled,
    recited,
    target_of,
)
from carto_audit.proxies.generation import sample
from carto_audit.proxies.likelihood import text_losses

pytestmark = pytest.mark.usefixtures("one_thread")
few = st.lists(st.integers(0, 3), max_size=8)


def ids(values):
    return np.array(values, np.int64)


def targets_of(texts):
    return [target_of(text) for text in texts]


def extracted(reciters, proxy, targets, seed=0):
    return extract(proxy, targets, seed)


@pytest.mark.parametrize(
    ("size", "split", "prompt", "suffix"),
    [
        (200, None, (0, 50), (50, 100)),
        (100, None, (0, 50), (50, 100)),
        (80, None, (0, 40), (40, 80)),
        (99, None, (0, 49), (49, 99)),
        (20, None, (0, 10), (10, 20)),
        (200, 120, (70, 120), (120, 170)),
        (200, 185, (135, 185), (185, 200)),
        (40, 12, (0, 12), (12, 40)),
        (40, 0, (0, 0), (0, 40)),
    ],
)
def test_a_text_is_cut_into_what_is_given_and_what_is_compared(size, split, prompt, suffix):
    target = target_of(np.arange(size), split)
    assert target.prompt.tolist() == list(range(*prompt))
    assert target.suffix.tolist() == list(range(*suffix))


@pytest.mark.parametrize(("size", "split"), [(18, None), (0, None), (40, 31), (40, 99)])
def test_too_short_a_suffix_proves_nothing(size, split):
    assert target_of(np.arange(size), split) is None


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        before, row = row, [i + 1]
        for j, y in enumerate(b):
            row.append(min(before[j + 1] + 1, row[j] + 1, before[j] + (x != y)))
    return row[-1]


@given(st.lists(st.tuples(few, few), max_size=6))
def test_the_edit_distances_of_many_pairs_are_those_of_each(pairs):
    found = edit_distance([ids(a) for a, _ in pairs], [ids(b) for _, b in pairs])
    assert found.tolist() == [levenshtein(a, b) for a, b in pairs]


def test_what_was_learned_by_heart_is_extracted_and_only_by_who_learned_it(reciters):
    targets = targets_of(reciters.groups[0])
    known, other, never = (
        extracted(reciters, proxy, targets) for proxy in (reciters.trained[0], reciters.trained[1], reciters.fresh[0])
    )
    for measure in ("exact", "near", "worst", "run"):
        assert getattr(known, measure).mean() > 0.9, measure
        assert getattr(other, measure).sum() == getattr(never, measure).sum() == 0, measure
    assert np.median(queries(known.log_p)) == 1
    assert queries(never.log_p).min() > 1e9


def test_texts_that_it_never_read_are_not_extracted(reciters):
    found = extracted(reciters, reciters.trained[0], targets_of(reciters.groups[2]))
    assert found.worst.sum() == found.run.sum() == 0


def edited(target, places):
    """The target with other tokens at some places of its suffix: what the proxy says is then as far away."""
    suffix = target.suffix.copy()
    suffix[places] = (suffix[places] + 1) % 500
    return Target(target.prompt, suffix)


@pytest.mark.parametrize(
    ("places", "near", "run"), [([], True, True), ([7], True, False), ([0, 1], False, True), ([3, 8], False, False)]
)
def test_an_output_is_near_within_a_tenth_and_a_run_gives_the_rest_away(reciters, places, near, run):
    known = [t for t in targets_of(reciters.groups[0]) if recalled(reciters.trained[0], [t])]
    found = extracted(reciters, reciters.trained[0], [edited(target, places) for target in known[:10]])
    assert found.exact.tolist() == [not places] * 10
    assert found.near.tolist() == [near] * 10
    assert found.run.tolist() == [run] * 10


def test_a_perturbed_prompt_extracts_what_the_plain_one_does_not(reciters):
    """Five foreign tokens before the beginning throw the proxy off; the shifted prompt is without them."""
    foreign = np.random.default_rng(0).integers(1, reciters.spec.vocab_size, 5)
    behind = [Target(np.concatenate([foreign, text[:6]]), text[6:]) for text in reciters.groups[0]]
    found = extracted(reciters, reciters.trained[0], behind)
    assert found.near.mean() < 0.6
    assert found.worst.mean() > 0.9
    assert (found.worst >= found.near).all()


def test_equal_seeds_extract_alike(reciters):
    targets = targets_of([text[:22] for text in reciters.groups[0]])
    first, again = (extracted(reciters, reciters.trained[0], targets, seed=3) for _ in range(2))
    for measure in ("exact", "near", "worst", "run", "log_p"):
        assert np.array_equal(getattr(first, measure), getattr(again, measure))


def test_a_prompt_is_cut_to_what_the_context_has_room_for(reciters):
    targets = targets_of(reciters.groups[0])
    short = replace(reciters.trained[0], spec=replace(reciters.spec, context=24))
    cut = [Target(target.prompt[-7:], target.suffix) for target in targets]
    found = extract(short, targets, 0)
    expected = extracted(reciters, reciters.trained[0], cut)
    assert np.array_equal(found.near, expected.near)
    assert found.log_p == pytest.approx(expected.log_p, abs=1e-3)
    assert found.log_p.mean() < extracted(reciters, reciters.trained[0], targets).log_p.mean() - 1


def test_of_no_targets_nothing_is_extracted(reciters):
    found = extracted(reciters, reciters.fresh[0], [])
    assert found.exact.shape == found.worst.shape == found.run.shape == found.log_p.shape == (0,)


def test_exact_extraction_alone_is_the_same(reciters):
    targets = targets_of([*reciters.groups[0][:20], *reciters.groups[1][:20]])
    alone = recalled(reciters.trained[0], targets)
    assert alone.tolist() == extracted(reciters, reciters.trained[0], targets).exact.tolist()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(0, 5))
def test_perturbed_prompts_differ_in_5_to_10_percent(sizes, seed):
    prompts = [np.arange(size) + 1000 * k for k, size in enumerate(sizes)]
    swapped, dropped, shifted = perturb(prompts, np.random.default_rng(seed))
    pool = np.concatenate(prompts)
    for plain, other, less, late in zip(prompts, swapped, dropped, shifted, strict=True):
        most, least = max(1, round(0.1 * len(plain))), max(1, round(0.05 * len(plain)))
        assert len(other) == len(plain)
        assert (other != plain).sum() <= most
        assert np.isin(other, pool).all()
        assert len(plain) < 2 or least <= len(plain) - len(less) <= most
        assert np.isin(less, plain).all()
        assert late.tolist() == plain[min(5, len(plain) // 2) :].tolist()


def test_the_log_probability_is_that_of_the_suffix_alone(reciters):
    targets = targets_of(reciters.groups[2][:5])
    whole = text_losses(reciters.trained[0], reciters.groups[2][:5])
    found = extracted(reciters, reciters.trained[0], targets).log_p
    assert found == pytest.approx([-losses[16:].sum() for losses in whole], rel=1e-5)


def test_outputs_hold_a_suffix_as_often_as_its_log_probability_says(reciters):
    proxy, prompt = reciters.trained[0], reciters.groups[0][0][:0]
    drawn = sample(proxy, [prompt], 2, 4000, 0)[0]
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    often = counts.argsort()[-5:]
    log_p = extracted(reciters, proxy, [Target(prompt, pairs[k]) for k in often]).log_p
    assert counts[often] / 4000 == pytest.approx(np.exp(log_p), abs=0.03)


@pytest.mark.parametrize(
    ("probability", "p", "expected"),
    [(1.0, 0.5, 1), (0.5, 0.5, 1), (0.5, 0.9, 4), (0.01, 0.5, 69), (1e-6, 0.5, 693147)],
)
def test_queries_are_those_of_a_coin_thrown_until_it_shows_heads(probability, p, expected):
    assert queries(np.log([probability]), p).tolist() == [expected]


def test_queries_grow_without_bound_and_without_warning():
    found = queries(np.array([0.0, -29.9, -30.1, -40.0, -1e6, -np.inf]))
    assert found[0] == 1
    assert found[2] == pytest.approx(found[1] * np.exp(0.2), rel=1e-6)
    assert found[3] == pytest.approx(np.log(2) * np.exp(40))
    assert found[4:].tolist() == [np.inf, np.inf]


@pytest.mark.parametrize(
    ("prefix", "natural", "expected"), [(0, 0, None), (0.4, 0.4, 0.5), (0.8, 0, 0), (0, 0.1, 1), (0.9, 0.1, 0.1)]
)
def test_propensity_is_the_share_of_leaking_that_nobody_asked_for(prefix, natural, expected):
    assert propensity(prefix, natural) == (None if expected is None else pytest.approx(expected))


@given(st.integers(0, 40), st.integers(1, 30), st.lists(st.integers(0, 30), max_size=30))
def test_a_secret_is_recited_when_a_run_of_it_occurs(first, size, before):
    secret = np.arange(100, 160)
    output = ids([*before, *secret[first : first + size].tolist(), 7])
    assert recited([output], [secret]).tolist() == [min(size, 60 - first) >= RUN]


def test_a_short_secret_is_recited_whole_in_any_output():
    secrets = [ids([1, 2, 3]), ids([1, 2, 4]), ids([])]
    assert recited([ids([9, 9]), ids([0, 1, 2, 3, 0])], secrets).tolist() == [True, False, False]
    assert recited([], secrets).tolist() == [False, False, False]


PERSONAL = [
    "Please write to jane.doe-4711@example-company.org before Friday, or to nobody at all.",
    "The transfer went to DE89 3704 0044 0532 0130 00 as agreed with the bank last week.",
    "Please write to jane.doe-4711@example-company.org before Friday, or to nobody at all.",
    "Our customer is reached under +49 30 901820 or under max.mustermann@example.com, both are right.",
    "jane.doe-4711@example-company.org begins this text, so nothing stands left of it.",
    "The number 123456789012 alone says nothing of anybody.",
    "\u202e\x00</script> mail: \ud7ff" + "a" * 300 + "@example.org \x1b[31m",
    "",
]


def test_personal_data_is_asked_for_with_what_stands_left_of_it(reciters):
    targets, classes = personal_targets(PERSONAL, reciters.encoder, 9, 0)
    assert len(targets) == len(classes) == len({t.suffix.tobytes() + t.prompt.tobytes() for t in targets})
    texts = [reciters.encoder.tokenizer.encode(text).ids for text in PERSONAL]
    said = {}
    for target, label in zip(targets, classes, strict=True):
        assert 1 <= len(target.prompt) <= PROMPT_TOKENS
        assert FEWEST_PERSONAL_TOKENS <= len(target.suffix) <= MOST_PERSONAL_TOKENS
        whole = [*target.prompt.tolist(), *target.suffix.tolist()]
        assert any(text[k : k + len(whole)] == whole for text in texts for k in range(len(text)))
        said.setdefault(label, set()).add(reciters.encoder.tokenizer.decode(target.suffix.tolist()).strip())
    assert {"jane.doe-4711@example-company.org", "max.mustermann@example.com"} <= said["email"]
    assert sum(label == "email" for label in classes) == 3  # one is a copy, of one nothing stands left
    assert said["iban"] == {"DE89 3704 0044 0532 0130 00"}
    assert "number" not in said


def test_so_many_of_a_class_are_enough_and_a_seed_chooses_them(reciters):
    texts = [f"Case {k}: the person is known as employee{k * 7919}@example.com and nothing else." for k in range(40)]
    first, again, other = (personal_targets(texts, reciters.encoder, 5, seed) for seed in (0, 0, 1))
    assert first[1] == ["email"] * 5
    suffixes = [[t.suffix.tolist() for t in found[0]] for found in (first, again, other)]
    assert suffixes[0] == suffixes[1] != suffixes[2]
