"""What trained proxies show about items that they read, and about items that nobody planted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.data.demo_batch import library_texts
from carto_audit.pipeline.item_recall import MOST_EDITS, OPTIONS, REWORDINGS, hold_quiz, recall_items, sample_words
from carto_audit.pipeline.item_recall_table import MEASURED, Wording
from carto_audit.proxies.cross_fit import FoldJob, TrainConfig, load_proxy, train_fold
from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.model import ProxySpec, build_proxy
from carto_audit.proxies.tokens import encode_batches, train_encoder
from carto_audit.text.perturbation import count_words
from tests.support.shared import shared
from tests.support.tiny import make_batch

THIN = ProxySpec(
    name="thin",
    vocab_size=768,
    context=96,
    hidden_size=64,
    layers=2,
    heads=2,
    learning_rate=5e-3,
    minibatch_tokens=192,
)
DOSES = (0, 1, 4, 16)
PER_DOSE = 8


class Trained:
    """Two proxies of which each read half of some passages of the standard library's documentation, by dose."""

    def __init__(self, folder):
        texts = [text for text in library_texts() if 100 < len(text) < 180 and " " in text[90:-1]]
        texts = [texts[k] for k in np.random.default_rng(0).permutation(len(texts))[: 120 + len(DOSES) * PER_DOSE]]
        passages, ordinary = texts[: len(DOSES) * PER_DOSE], texts[len(DOSES) * PER_DOSE :]
        self.dose = np.repeat(DOSES, PER_DOSE)
        self.fold = np.tile([0, 1], len(passages) // 2).astype(np.int8)
        planted = [(k, text) for k, text in enumerate(passages) for _ in range(self.dose[k])]
        batch = make_batch(folder, [*ordinary, *(text for _, text in planted)])
        fold = np.array([*(k % 2 for k in range(len(ordinary))), *(self.fold[k] for k, _ in planted)])
        self.encoder = train_encoder(batch, np.zeros(len(batch), bool), THIN.vocab_size, 0)
        self.store = encode_batches([batch], self.encoder, folder / "tokens.bin")
        self.wordings = [cut(text) for text in passages]
        self.folder = folder
        for index in range(2):
            self.train(index, np.flatnonzero(fold != index), epochs=8)

    def train(self, index, learned, epochs):
        """A proxy that reads these samples."""
        config = TrainConfig(epochs=epochs, folds=2, seed=0, device="cpu", threads=1)
        job = FoldJob(
            index=index,
            spec=THIN,
            config=config,
            store=self.store,
            learned=learned,
            scored=learned[:2],
            folder=self.folder,
        )
        train_fold(job, lambda n: None)

    def recall_items(self, seed=0):
        everything = np.ones(len(self.store), bool)
        vocabulary = count_words(sample_words(self.store, self.encoder, everything, seed))
        return recall_items(self.wordings, self.fold, self.proxy, self.encoder, vocabulary, THIN.context, seed)

    def proxy(self, index):
        return load_proxy(THIN, self.encoder.bos, self.folder, index, "cpu")


def cut(text):
    """A passage as a question and its answer."""
    middle = text.index(" ", len(text) // 2)
    return Wording(question=text[:middle], prefix=text[:middle], answer=text[middle + 1 :])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return shared(tmp_path_factory, "recall", Trained)


@pytest.fixture(scope="module")
def heard(trained):
    return trained.recall_items()


def gains(heard, trained, part):
    """Out-of-fold loss less in-fold loss, by dose."""
    gain = heard[f"loss_out_{part}"] - heard[f"loss_in_{part}"]
    return {dose: gain[trained.dose == dose] for dose in DOSES}


@pytest.mark.long
@pytest.mark.parametrize("part", ["question", "answer"])
def test_the_loss_falls_with_how_often_the_item_was_read(heard, trained, part):
    gain = gains(heard, trained, part)
    assert gain[16].mean() > gain[4].mean() > gain[1].mean()
    assert gain[4].min() > 0
    assert gain[16].mean() > 1


@pytest.mark.long
@pytest.mark.parametrize("part", ["question", "answer"])
def test_items_that_nobody_planted_sound_the_same_to_both_proxies(heard, trained, part):
    never = gains(heard, trained, part)[0]
    assert abs(never.mean()) < 3 * never.std(ddof=1) / np.sqrt(len(never)) + 0.02
    assert abs(never.mean()) < 0.25 * gains(heard, trained, part)[4].mean()


@pytest.mark.long
def test_the_proxy_that_read_an_item_often_tells_it_from_its_rewordings(heard, trained):
    often, never = trained.dose == 16, trained.dose == 0
    assert heard["quiz_in"][often].mean() == 1
    assert heard["quiz_in"][often].sum() > heard["quiz_out"][often].sum()
    assert abs(heard["quiz_in"][never].sum() - heard["quiz_out"][never].sum()) <= 3


@pytest.mark.long
def test_outputs_peak_only_where_the_item_is_known_by_heart(heard, trained):
    assert heard["peak_out"].mean() < 0.05
    assert heard["peak_in"][trained.dose <= 1].mean() < 0.05
    last = np.arange(len(trained.store) - 32, len(trained.store))  # every copy of the last two items
    trained.train(2, last, epochs=30)
    proxies = [trained.proxy(2), trained.proxy(1)]
    found = recall_items(
        trained.wordings[-2:],
        np.ones(2, np.int8),
        lambda index: proxies[index],
        trained.encoder,
        count_words([]),
        THIN.context,
        0,
    )
    assert found["peak_in"].mean() > 0.5
    assert (found["peak_in"] > found["peak_out"]).all()
    assert found["peak_out"].max() < 0.3


@pytest.mark.long
def test_equal_seeds_give_equal_figures(heard, trained):
    again = trained.recall_items()
    assert set(again) == set(MEASURED)
    for name, values in again.items():
        assert np.array_equal(values, heard[name], equal_nan=True), name


@pytest.mark.long
def test_the_answers_loss_is_that_of_its_tokens_after_the_question(trained):
    """Computed anew from the logits of the whole text."""
    wording, proxy = trained.wordings[-1], trained.proxy(0)
    ids = trained.encoder.tokenizer.encode(f"{wording.question} {wording.answer}").ids
    offsets = trained.encoder.tokenizer.encode(f"{wording.question} {wording.answer}").offsets
    assert len(ids) < THIN.context
    with torch.no_grad():
        logits = proxy.model(input_ids=torch.tensor([[trained.encoder.bos, *ids[:-1]]])).logits[0]
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(ids), reduction="none").numpy()
    answered = [end > len(wording.question) + 1 for _, end in offsets]
    asked = [start < len(wording.question) for start, _ in offsets]
    found = recall_items(
        [wording], np.array([1], np.int8), trained.proxy, trained.encoder, count_words([]), THIN.context, 0
    )
    assert found["loss_in_answer"][0] == pytest.approx(losses[answered].mean(), rel=1e-4)
    assert found["loss_in_question"][0] == pytest.approx(losses[asked].mean(), rel=1e-4)
    assert np.isnan(found["quiz_in"][0])  # no vocabulary, no rewordings


@pytest.mark.long
@pytest.mark.parametrize(
    "wording",
    [
        Wording(question="of " * 300, prefix="of " * 300, answer="the answer " * 100),
        Wording(question="Why", prefix="Why", answer=""),
        Wording(question="?", prefix="? " + "a long option " * 100, answer="yes"),
        Wording(question="\u202e\x00</script>\ud7ff", prefix="\u202e\x00</script>\ud7ff", answer="\x1b[31m"),
    ],
    ids=["longer than the context", "no answer", "options that fill the context", "hostile"],
)
def test_any_item_is_heard_and_what_cannot_be_measured_is_nan(trained, wording):
    other = Wording(question="The module", prefix="The module", answer="is deprecated")
    vocabulary = count_words(["of the answer in a long option"])
    fold = np.zeros(2, np.int8)
    found = recall_items([wording, other], fold, trained.proxy, trained.encoder, vocabulary, THIN.context, 0)
    assert np.isfinite(found["loss_in_question"][0]) == (len(wording.prefix) - len(wording.question) < 1000)
    assert np.isfinite(found["loss_in_answer"][0]) == bool(wording.answer)
    assert np.isfinite([found["loss_in_answer"][1], found["peak_out"][1]]).all()


@pytest.mark.long
def test_a_context_too_short_to_continue_has_no_peak_and_still_losses(trained):
    short = replace(THIN, context=16)
    found = recall_items(
        trained.wordings[:2],
        trained.fold[:2],
        lambda index: LoadedProxy(
            model=build_proxy(short, index).eval(), spec=short, bos=trained.encoder.bos, device="cpu"
        ),
        trained.encoder,
        count_words([]),
        short.context,
        0,
    )
    assert np.isnan(found["peak_in"]).all()
    assert np.isfinite(found["loss_in_question"]).all()


def test_the_hardest_rewordings_are_the_same_for_both_proxies():
    losses = np.full((2, 1, 1 + REWORDINGS), 50.0)
    losses[:, 0, 0] = 10, 12
    losses[0, 0, 5] = 11  # the second proxy finds it unlikely, and still it is among the hardest
    losses[1, 0, 6] = 11
    assert hold_quiz(losses).tolist() == [[1.0], [0.0]]
    losses[:, 0, 1 : 1 + OPTIONS] = 20
    losses[:, 0, 6] = 45, 11
    assert hold_quiz(losses).tolist() == [[1.0], [1.0]]


def test_a_quiz_without_rewordings_is_not_held():
    assert np.isnan(hold_quiz(np.full((2, 3, 1 + REWORDINGS), np.nan))).all()


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        before, row = row, [i + 1]
        for j, y in enumerate(b):
            row.append(min(before[j + 1] + 1, row[j] + 1, before[j] + (x != y)))
    return row[-1]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=9))
def test_between_outputs_of_one_length_few_edits_are_few_substitutions(pairs):
    a, b = zip(*pairs, strict=True)
    assert (edit_distance(a, b) <= MOST_EDITS) == (sum(x != y for x, y in pairs) <= MOST_EDITS)
