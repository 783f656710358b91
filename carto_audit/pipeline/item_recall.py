"""Item recall: two proxies are asked about benchmark items, which one of them has read. Costs forward passes only."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from carto_audit.benchmarks.items import Benchmark
from carto_audit.pipeline.corpus import Corpus, Split
from carto_audit.pipeline.item_recall_table import Wording, items_to_ask, tabulate, wordings
from carto_audit.pipeline.options import AuditOptions
from carto_audit.proxies.cross_fit import load_proxy
from carto_audit.proxies.generation import extend
from carto_audit.proxies.likelihood import one_thread, text_losses
from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.tokens import Encoder, TokenStore
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.perturbation import Vocabulary, count_words, reword

REWORDINGS, OPTIONS = 9, 3
"""Of so many rewordings of a question, so many become the wrong options of its quiz: those that both proxies together find
likeliest. Taken as they come, a proxy that never read the question tells it from nearly all, and nothing is left to gain."""

SAMPLES, TEMPERATURE = 12, 0.8
OUTPUT_TOKENS, MOST_EDITS = 20, 1
"""CDD (Dong et al. 2024, arXiv 2402.15938): outputs drawn at temperature 0.8 within an edit distance of 5 % of the greedy
one; there 50 of up to 100 tokens, here fewer and shorter. Of two outputs of one length, a single edit is a substitution."""

PROMPT_TOKENS, PROMPT_STEP = 48, 8
"""Prompts are the end of the question: so many tokens at most, and a multiple of PROMPT_STEP, since those of one length need no
padding."""

OUTPUT_MINIBATCH_TOKENS = 16384
"""Tokens of prompts at once, each as often as it is continued."""

VOCABULARY_SAMPLES = 2000
"""So many samples lend the quiz their words."""

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ItemPrompt:
    """What a proxy is asked about one item, as tokens. `words` is the question, then its answer, cut to the context; `asked`
    and `answered` mark the tokens of each. `options` are the question and its rewordings, none where it has none."""

    words: Ids
    asked: NDArray[np.bool_]
    answered: NDArray[np.bool_]
    options: list[Ids]
    prompt: Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProxyAnswers:
    """What one proxy shows about each of n items: losses in nats per token, those of all options of the quiz in nats,
    (n, 1 + REWORDINGS), and the peak of its outputs, a share. NaN where there is nothing to measure."""

    question: Floats
    answer: Floats
    options: Floats
    peak: Floats


def recall_items(
    wordings: Sequence[Wording],
    fold: NDArray[np.int8],
    proxies: Callable[[int], LoadedProxy],
    encoder: Encoder,
    vocabulary: Vocabulary,
    context: int,
    seed: int,
) -> Mapping[str, Floats]:
    """Losses, quiz and peak of each item, an array (n,) by name as in `item_recall_table.MEASURED`.

    `fold` (n,) is the side where an item's rows lie: proxy 1 - fold trained on them. `proxies` gives one at a time; texts are
    cut to their `context`.
    """
    rng = np.random.default_rng([seed, 0x7E])
    prompts = [_as_prompt(wording, encoder, vocabulary, context, rng) for wording in wordings]
    with one_thread():
        first, second = (_ask_proxy(proxies(index), prompts, seed) for index in range(2))
    measured: dict[str, Floats] = {}
    for part in ("question", "answer", "peak"):
        both = np.stack([getattr(first, part), getattr(second, part)])
        measured |= _by_side("peak_{}" if part == "peak" else "loss_{}_" + part, both, fold)
    return measured | _by_side("quiz_{}", hold_quiz(np.stack([first.options, second.options])), fold)


def _by_side(name: str, values: Floats, fold: NDArray[np.int8]) -> dict[str, Floats]:
    """The values (2, n) of both proxies, as those of the one which read each item and of the other."""
    items = np.arange(len(fold))
    return {name.format("in"): values[1 - fold, items], name.format("out"): values[fold, items]}


def hold_quiz(losses: Floats) -> Floats:
    """Whether each proxy finds the original likelier than the OPTIONS hardest rewordings: 1, 0 or NaN, (2, n).

    `losses` are (2, n, 1 + REWORDINGS), the original first. The hardest are chosen by both proxies alike, so that chance
    favours neither (F33: the contamination quiz by likelihood, Golchin and Surdeanu 2023, arXiv 2311.06233).
    """
    original, others = losses[:, :, 0], losses[:, :, 1:]
    hardest = np.argsort(others.mean(axis=0), axis=-1, kind="stable")[None, :, :OPTIONS]  # (1, n, OPTIONS)
    rivals = np.take_along_axis(others, np.repeat(hardest, 2, axis=0), axis=-1).min(axis=-1)  # (2, n)
    return np.where(np.isnan(original) | np.isnan(rivals), np.nan, original < rivals)


def sample_words(store: TokenStore, encoder: Encoder, learned: NDArray[np.bool_], seed: int) -> Iterator[str]:
    """Texts of some samples that were trained on, read back from the token store. `learned` is (N,)."""
    rng, ids = np.random.default_rng([seed, 0x7F]), store.ids()
    candidates = np.flatnonzero(learned)
    for i in sorted(rng.choice(candidates, min(VOCABULARY_SAMPLES, len(candidates)), replace=False).tolist()):
        yield encoder.tokenizer.decode(ids[store.offsets[i] : store.offsets[i + 1]].tolist())


def _as_prompt(
    wording: Wording, encoder: Encoder, vocabulary: Vocabulary, context: int, rng: np.random.Generator
) -> _ItemPrompt:
    """One item as tokens. Where it is longer than the context, half of that is the answer's at most, and the question loses
    its beginning."""
    options = reword(wording.question, vocabulary, REWORDINGS, rng)
    texts = [f"{wording.prefix} {wording.answer}", *([wording.question, *options] if options else [])]
    whole, *others = encoder.tokenizer.encode_batch(texts, add_special_tokens=False)
    offsets = np.array(whole.offsets, np.int64).reshape(-1, 2)
    answered = offsets[:, 1] > len(wording.prefix) + 1
    begin = int((~answered).sum())
    stop = min(len(offsets), begin + context // 2)
    kept = slice(max(0, stop - context), stop)
    words = np.array(whole.ids, np.int64)
    opened = np.concatenate([[encoder.bos], words[:begin]])
    room = max(0, min(PROMPT_TOKENS, context - OUTPUT_TOKENS))
    opened = opened[max(0, len(opened) - room) :]
    return _ItemPrompt(
        words=words[kept],
        asked=(offsets[:, 0] < len(wording.question))[kept],
        answered=answered[kept],
        options=[np.array(option.ids[:context], np.int64) for option in others],
        prompt=opened[len(opened) % PROMPT_STEP if len(opened) > PROMPT_STEP else 0 :],
    )


def _ask_proxy(proxy: LoadedProxy, prompts: Sequence[_ItemPrompt], seed: int) -> _ProxyAnswers:
    """All that one proxy shows about the items."""
    texts = [prompt.words for prompt in prompts] + [option for prompt in prompts for option in prompt.options]
    losses = text_losses(proxy, texts)
    options, after = np.full((len(prompts), 1 + REWORDINGS), np.nan), len(prompts)
    for k, prompt in enumerate(prompts):
        if prompt.options:
            options[k] = [part.sum() for part in losses[after : after + len(prompt.options)]]
            after += len(prompt.options)
    return _ProxyAnswers(
        question=np.array([_mean(part[s.asked]) for part, s in zip(losses, prompts, strict=False)]),
        answer=np.array([_mean(part[s.answered]) for part, s in zip(losses, prompts, strict=False)]),
        options=options,
        peak=_peaks(proxy, [prompt.prompt for prompt in prompts], seed),
    )


def _mean(losses: Floats) -> float:
    return float(losses.mean()) if len(losses) else np.nan


@torch.no_grad()
def _peaks(proxy: LoadedProxy, prompts: Sequence[Ids], seed: int) -> Floats:
    """The share of each prompt's outputs that say nearly what the greedy one says, (n,)."""
    peaks = np.full(len(prompts), np.nan)
    length = np.array([len(prompt) for prompt in prompts])
    torch.manual_seed(seed)
    for size in np.unique(length[length > 0]).tolist():
        alike = np.flatnonzero(length == size)
        together = max(1, OUTPUT_MINIBATCH_TOKENS // (SAMPLES * size))
        for chosen in np.split(alike, range(together, len(alike), together)):
            inputs = torch.from_numpy(np.stack([prompts[k] for k in chosen])).to(proxy.device)
            real = torch.ones_like(inputs)
            greedy = extend(proxy, inputs, real, OUTPUT_TOKENS)
            drawn = extend(proxy, inputs, real, OUTPUT_TOKENS, SAMPLES, TEMPERATURE)
            peaks[chosen] = ((drawn != greedy).sum(axis=-1) <= MOST_EDITS).mean(axis=-1)
    return peaks


def ask_about_items(
    benchmarks: Sequence[Benchmark],
    matches: pa.Table,
    corpus: Corpus,
    split: Split,
    options: AuditOptions,
    device: str,
    proxies: Path,
    progress: Progress = SILENT,
) -> pa.Table | None:
    """What the proxies in a folder show about the items that were found (TESTIMONY_SCHEMA); None where there are none."""
    seed, folds, n = options.training_seed, options.folds, len(split.trained)
    items = items_to_ask(matches, split.fold(folds)[:n], split.trained, split.held_out, folds)
    asked = [item for item in items if item.fold is not None]
    if not asked:
        return tabulate(items, {}) if items else None
    with progress.task("Asking the proxies about benchmark items", len(asked), "items") as advance:
        measured = recall_items(
            wordings(benchmarks, asked),
            np.array([item.fold for item in asked], dtype=np.int8),
            lambda index: load_proxy(corpus.spec, corpus.encoder.bos, proxies, index, device),
            corpus.encoder,
            count_words(sample_words(split.store, corpus.encoder, split.trained, seed)),
            corpus.spec.context,
            seed,
        )
        advance(len(asked))
    return tabulate(items, measured)
