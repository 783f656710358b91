"""Memorized passages and boilerplate, from losses written by hand over tokens of a real vocabulary."""

import base64

import numpy as np
import pytest

from carto_audit.cartography.analysis import AnalysisSettings, TracedSamples, analyze_losses, average_run
from carto_audit.cartography.thresholds import Epsilon, Threshold
from carto_audit.pipeline.passages import measure_passages
from carto_audit.proxies.tokens import train_encoder
from tests.support.passages import passages
from tests.support.tiny import make_batch, make_controls, make_duplicates, make_losses, make_store, make_trace

UNSEEN, FREQUENT = 3.0, 20

NOTICE = (
    "This notice forms part of every page of the collection and may be quoted with its source. Questions about rights "
    "go to the office named on the cover."
)
KEY = "9f1c04be77a2d3581e60c5fa 2b9d48e1736f0ac5d28b14e9"
LETTER = "please write to eleanor.hartley@example.org before the end of the month about the late rent of the house"
CARD = "the card that pays for all of this is 4111 1111 1111 1111 and it is good until the end of the year"
PHRASE = "the old lamp in the harbour burns blue on every third night of the long and quiet winter"


@pytest.fixture(scope="module")
def prose():
    return passages(200)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, prose):
    batch = make_batch(tmp_path_factory.mktemp("encoder"), [*prose, LETTER, CARD, PHRASE])
    return train_encoder(batch, np.zeros(len(batch), bool), 700, seed=0)


@pytest.fixture
def found(tmp_path, encoder):
    """The passages of some texts, of which a proxy that has read them knows those that hold something `known` by heart."""

    def run(texts, known=(), score="memorized", dose=2):
        encodings = encoder.tokenizer.encode_batch(texts, add_special_tokens=False)
        store = make_store(tmp_path, [encoding.ids for encoding in encodings], encoder.vocab_size)
        losses = []
        for text, encoding in zip(texts, encodings, strict=True):
            recited = np.zeros(len(text) + 1, bool)
            for passage in known:
                at = text.find(passage)
                recited[max(at - 1, 0) : at + len(passage)] |= at >= 0  # the gap before it is of its first token
            outside = np.full(len(encoding.ids), UNSEEN)
            losses.append((np.where([recited[begin] for begin, _ in encoding.offsets], 0.0, outside), outside))
        settings = AnalysisSettings(
            score=score,
            epsilon=Epsilon(absolute=2.0),
            burn_in_share=0.25,
            measure="evaluation",
            dose=dose,
            thresholds=(Threshold(percentile=75), Threshold(absolute=0.95)),
        )
        samples = samples_of(store)
        trace = make_trace([[UNSEEN] * len(texts)] * 4)
        runs = average_run(None, trace, make_losses(losses, ids=store.ids()), samples, settings)
        return measure_passages(analyze_losses(runs, samples, settings, seed=0), samples, store, encoder)

    return run


def samples_of(store):
    n = len(store)
    return TracedSamples(
        n_tokens=store.n_tokens,
        group=np.arange(n),
        usable=np.ones(n, bool),
        severed_tokens=np.zeros(n, int),
        duplicates=make_duplicates(range(n)),
        references=0,
        controls=make_controls([]),
        frequent=FREQUENT,
        weight=np.ones(n),
        undrawn_tokens=0,
        frequent_runs=1,
    )


def tokens_of(encoder, text):
    """Tokens of a text that follows another one."""
    return len(encoder.tokenizer.encode(f" {text}", add_special_tokens=False).ids)


def holding(texts, passage):
    """The texts with a passage of its own line in their middle."""
    halves = [text.split(" ", 12) for text in texts]
    return [f"{' '.join(words[:-1])}\n{passage}\n{words[-1]}" for words in halves]


def often(texts, passage):
    """The same passage in more samples than a secret may be in."""
    return holding(texts[: FREQUENT + 5], passage)


def test_tokens_in_memorized_stretches_are_counted_for_each_sample(found, encoder, prose):
    texts = [*holding(prose[:3], PHRASE), *prose[3:100]]
    passages = found(texts, known=[PHRASE])
    assert passages.memorized[0].tokens[:3].tolist() == [tokens_of(encoder, PHRASE)] * 3
    assert not passages.memorized[0].tokens[3:].any()
    assert not passages.boilerplate.any()
    assert not passages.surprising.any()
    assert (passages.memorized[0].spans, passages.memorized[0].sensitive_spans) == (1, 0)


def test_two_stretches_of_a_sample_are_added_up(found, encoder, prose):
    texts = [*holding([prose[0]], f"{PHRASE}\n{prose[1]}\n{LETTER}"), *prose[2:100]]
    passages = found(texts, known=[PHRASE, LETTER])
    assert passages.memorized[0].tokens[0] == tokens_of(encoder, PHRASE) + tokens_of(encoder, LETTER)
    assert passages.memorized[0].spans == 2


def test_tokens_in_boilerplate_are_counted_for_each_sample_and_are_never_memorized(found, encoder, prose):
    texts = [*often(prose, NOTICE), *prose[50:150]]
    passages = found(texts, known=[NOTICE])
    held = passages.boilerplate[: FREQUENT + 5]
    assert set(held.tolist()) == {tokens_of(encoder, NOTICE)}
    assert not passages.boilerplate[FREQUENT + 5 :].any()
    assert not passages.memorized[0].tokens.any()
    assert passages.memorized[0].spans == 0


def test_a_key_that_is_everywhere_is_surprising_and_a_notice_is_not(found, prose):
    keys, notices = often(prose, KEY), often(prose[30:], NOTICE)
    passages = found([*keys, *notices, *prose[60:200]])
    of_keys, of_notices = slice(len(keys)), slice(len(keys), len(keys) + len(notices))
    assert passages.surprising[of_keys].tolist() == passages.boilerplate[of_keys].tolist()
    assert passages.surprising[of_keys].all()
    assert passages.boilerplate[of_notices].all()
    assert not passages.surprising[of_notices].any()


def test_keys_of_their_own_in_a_fifth_of_the_rows_make_no_key_look_ordinary(found, prose):
    rng = np.random.default_rng(0)
    key, *others = (base64.b64encode(rng.bytes(108)).decode() for _ in range(31))
    keys = often(prose, key)
    passages = found([*keys, *others, *prose[60:180]])
    assert passages.surprising[: len(keys)].all()


def test_a_key_inside_a_notice_makes_it_surprising(found, prose):
    texts = often(prose, f"{NOTICE} Key {KEY} is valid. {NOTICE[:60]}")
    passages = found([*texts, *prose[60:200]])
    assert passages.surprising[: len(texts)].all()


@pytest.mark.parametrize("copies", [1, 2, 5, 15])
def test_a_passage_is_one_however_many_samples_hold_it(found, prose, copies):
    texts = [*holding(prose[:copies], PHRASE), *holding(prose[20:22], CARD), *prose[30:100]]
    passages = found(texts, known=[PHRASE, CARD])
    assert np.count_nonzero(passages.memorized[0].tokens) == copies + 2
    assert passages.memorized[0].spans == 2


def test_passages_with_an_address_or_a_card_number_are_sensitive(found, prose):
    texts = [*holding(prose[:2], LETTER), *holding(prose[2:5], CARD), *holding(prose[5:9], PHRASE), *prose[9:100]]
    for known, sensitive in (([PHRASE], 0), ([PHRASE, LETTER], 1), ([PHRASE, CARD], 1), ([PHRASE, CARD, LETTER], 2)):
        passages = found(texts, known=known)
        assert (passages.memorized[0].spans, passages.memorized[0].sensitive_spans) == (len(known), sensitive)


def test_what_stands_beside_a_memorized_passage_is_not_sensitive(found, prose):
    passages = found([*holding(prose[:2], f"{PHRASE}\n{LETTER}"), *prose[9:100]], known=[PHRASE])
    assert (passages.memorized[0].spans, passages.memorized[0].sensitive_spans) == (1, 0)


def test_the_longest_stretch_of_a_passage_says_whether_it_is_sensitive(found, prose):
    """One sample holds its harmless beginning only."""
    beginning, whole = PHRASE, f"{PHRASE} {LETTER}"
    texts = [*holding(prose[:1], beginning), *holding(prose[1:2], whole), *prose[9:100]]
    passages = found(texts, known=[beginning, whole])
    assert (passages.memorized[0].spans, passages.memorized[0].sensitive_spans) == (1, 1)


@pytest.mark.parametrize("score", ["memorized_span_share", "memorized_share", "forget_score"])
def test_a_score_other_than_that_of_windows_says_nothing_of_memorized_passages(found, prose, score):
    passages = found([*often(prose, NOTICE), *prose[50:150]], known=[NOTICE], score=score)
    assert passages.memorized is None
    assert passages.boilerplate.any()
    assert not passages.surprising.any()


def test_where_too_little_text_is_ordinary_all_boilerplate_counts_as_surprising(found, prose):
    for others in (0, 20, 38):
        passages = found([*often(prose, NOTICE), *prose[50 : 50 + others]])
        assert passages.boilerplate.any()
        assert passages.surprising.tolist() == passages.boilerplate.tolist()
    assert not found([*often(prose, NOTICE), *prose[50:90]]).surprising.any()


def test_a_notice_is_harmless_also_beside_texts_that_are_too_short_to_compare_with(found, prose):
    passages = found([*often(prose, NOTICE), *prose[50:150], *(f"yes {number}" for number in range(100, 150))])
    assert passages.boilerplate.any()
    assert not passages.surprising.any()


def test_where_all_ordinary_texts_are_too_short_to_compare_with_boilerplate_counts_as_surprising(found, prose):
    passages = found([*often(prose, NOTICE), *(f"yes {number}" for number in range(100, 200))])
    assert passages.boilerplate.any()
    assert passages.surprising.tolist() == passages.boilerplate.tolist()


def test_boilerplate_that_is_too_short_to_judge_counts_as_surprising(found, prose):
    """A whole sample of a few bytes may be a password."""
    passages = found([*["xK4 9pQ"] * (FREQUENT + 5), *prose[:100]])
    assert passages.surprising[: FREQUENT + 5].all()


def test_a_key_is_surprising_where_two_languages_take_turns(found, prose):
    """What one row says of the other language is no measure of what is usual."""
    greek = str.maketrans("abcdefghijklmnopqrstuvwxyz", "αβγδεζηθικλμνξοπρστυφχψωϊϋ")
    turns = [text.translate(greek) if k % 2 else text for k, text in enumerate(prose[50:200])]
    passages = found([*often(prose, KEY), *turns])
    assert passages.surprising[: FREQUENT + 5].all()


def test_a_batch_in_which_nothing_recurs_and_nothing_is_known_has_no_passages(found, prose):
    passages = found(prose[:60])
    for tokens in (passages.memorized[0].tokens, passages.boilerplate, passages.surprising):
        assert tokens.tolist() == [0] * 60
    assert (passages.memorized[0].spans, passages.memorized[0].sensitive_spans) == (0, 0)
