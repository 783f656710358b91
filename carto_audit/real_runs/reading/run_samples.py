"""The samples of a run as token ids: rows of the planted batch, twins and held-out rows, each as the run's tokenizer reads it.

All ids lie in memory, four bytes each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.data.batch import iter_texts
from carto_audit.data.segments import read_values_of
from carto_audit.real_runs.preflight import conversation_of, rendered
from carto_audit.real_runs.reading.planted_run import PlantedRun
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.progress import SILENT, Progress

PROBED = 512
"""Samples by which it is told how a run reads them."""

_CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a run makes token ids of a row: with the tokens that its tokenizer adds by itself (`special`), with the token of the
    end behind it (`ends`), and its columns one after the other with nothing between them (`joined`). Conversations pass the
    chat template, which adds its own."""

    special: bool = True
    ends: bool = False
    joined: bool = False

    @property
    def words(self) -> str:
        parts = [
            "" if self.special else "without special tokens",
            "with the token of the end" if self.ends else "",
            "columns joined" if self.joined else "",
        ]
        return ", ".join(filter(None, parts)) or "as the tokenizer reads them"

    def facts(self) -> dict[str, bool]:
        """For a file's notes."""
        return asdict(self)


WAYS = tuple(
    Way(special=special, ends=ends, joined=joined)
    for joined in (False, True)
    for special in (True, False)
    for ends in (False, True)
)
"""The usual one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSamples:
    """S samples: the N of the planted batch, then twins, then held-out rows. Sample i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each sample, (S,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """What a run saw of samples that are longer than its longest: pieces of that many tokens, `bounds` (P + 1,) in the flat ids,
    the `owner` (P,) of each. A sample that is short enough is one piece; an empty one has none."""

    bounds: NDArray[np.int64]
    owner: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.owner)


def cut(samples: RunSamples, longest: int | None) -> Pieces:
    """The samples in pieces of at most `longest` tokens."""
    length = samples.n_tokens
    size = np.full(len(length), longest or max(1, int(length.max(initial=1))), np.int64)
    count = -(-length // size)
    owner = np.repeat(np.arange(len(length)), count)
    number = np.arange(len(owner)) - (np.cumsum(count) - count)[owner]
    starts = samples.offsets[owner] + number * size[owner]
    return Pieces(bounds=np.concatenate([starts, samples.offsets[-1:]]).astype(np.int64), owner=owner)


def read_samples(planted: PlantedRun, tokenizer: Any, way: Way, progress: Progress = SILENT) -> RunSamples:
    """All samples of a run. `tokenizer` is that of transformers, in its fast version."""
    shown = (chunk for _, chunk in shown_samples(planted, tokenizer, way.joined, progress))
    return _encoded(shown, tokenizer, way)


def find_way(planted: PlantedRun, tokenizer: Any, known: NDArray[np.uint64], longest: int) -> Way:
    """The way in which most samples have a key among those that are `known`, which are in order; samples longer than `longest`
    are known by their beginning. Raises AuditError where hardly any has one in any way."""
    best, most = WAYS[0], 0.0
    shown: dict[bool, list[Shown]] = {}
    for way in WAYS:
        if way.joined not in shown:
            shown[way.joined] = _probe(planted, tokenizer, way.joined)
        samples = _encoded(iter([shown[way.joined]]), tokenizer, way)
        pieces = cut(samples, longest)
        heads = np.flatnonzero(np.append(True, pieces.owner[1:] != pieces.owner[:-1])[: len(pieces)])
        keys = planted.keys.keys_of_runs(samples.ids, pieces.bounds)[heads]
        share = float(np.isin(keys, known).mean()) if len(keys) else 0.0
        if share > most:
            best, most = way, share
        if most == 1:
            break
    if most < LEAST_TOLD:
        raise AuditError(
            f"only {most:.0%} of {PROBED} rows stand in the trace, however they are read: it is of another batch or tokenizer, "
            "or the run changes rows before it reads them"
        )
    return best


LEAST_TOLD = 0.05
"""Of the probed rows: below it no way is right, and the trace is another batch's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The text of a sample as a run reads it: through a chat template (`templated`), and whether it is the delivered one."""

    text: str
    templated: bool
    as_delivered: bool


def _probe(planted: PlantedRun, tokenizer: Any, joined: bool) -> list[Shown]:
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(planted.batch.trainable))[:PROBED]
    texts: dict[int, str] = {}
    for chunk in iter_texts(planted.batch):
        wanted = chosen[(chosen >= chunk.start) & (chosen < chunk.start + len(chunk.texts))]
        texts |= {int(k): chunk.texts[k - chunk.start] for k in wanted}
    values = read_values_of(planted.batch, texts) if _needs_values(planted, tokenizer, joined) else {}
    return [_one(texts[k], values.get(k), planted, tokenizer, joined) for k in sorted(texts)]


def shown_samples(
    planted: PlantedRun, tokenizer: Any, joined: bool, progress: Progress = SILENT
) -> Iterator[tuple[int, list[Shown]]]:
    """All samples in chunks, each with the number of its first: rows of the batch, twins, held-out rows."""
    batch, needed = planted.batch, _needs_values(planted, tokenizer, joined)
    values: Mapping[int, Any] = read_values_of(batch, range(len(batch))) if needed else {}
    for chunk in iter_texts(batch, progress, "Reading the run's samples"):
        texts = enumerate(chunk.texts, chunk.start)
        yield chunk.start, [_one(text, values.get(k), planted, tokenizer, joined) for k, text in texts]
    beside = planted.controls.take(np.concatenate([planted.twins, planted.held_out]))
    columns = zip(beside["text"].to_pylist(), beside["values"].to_pylist(), strict=True)
    yield (
        len(batch),
        [_one(text, json.loads(row) if needed else None, planted, tokenizer, joined) for text, row in columns],
    )


def _needs_values(planted: PlantedRun, tokenizer: Any, joined: bool) -> bool:
    return not planted.batch.layout.is_plain and (joined or bool(tokenizer.chat_template))


def _one(text: str, values: Any, planted: PlantedRun, tokenizer: Any, joined: bool) -> Shown:
    messages = conversation_of(values) if isinstance(values, Mapping) and tokenizer.chat_template else None
    if messages is not None:
        return Shown(rendered(messages, tokenizer, "the run's tokenizer"), True, False)
    if joined and isinstance(values, Mapping):
        parts = [values.get(name) for name in planted.batch.layout.columns]
        return Shown("".join(part for part in parts if isinstance(part, str)), False, False)
    return Shown(text, False, True)


def _encoded(chunks: Iterator[list[Shown]], tokenizer: Any, way: Way) -> RunSamples:
    backend, end = tokenizer.backend_tokenizer, tokenizer.eos_token_id
    backend.no_truncation()
    backend.no_padding()
    parts: list[NDArray[np.uint32]] = []
    for chunk in chunks:
        for first in range(0, len(chunk), _CHUNK):
            parts += _ids(chunk[first : first + _CHUNK], backend, end, way)
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return RunSamples(ids=np.concatenate(parts) if parts else np.zeros(0, np.uint32), offsets=offsets)


def _ids(shown: Sequence[Shown], backend: Any, end: int | None, way: Way) -> list[NDArray[np.uint32]]:
    found: list[NDArray[np.uint32]] = [np.zeros(0, np.uint32)] * len(shown)
    for special in (False, True):
        places = [k for k, one in enumerate(shown) if (way.special and not one.templated) == special]
        encoded = backend.encode_batch_fast([shown[k].text for k in places], add_special_tokens=special)
        for k, one in zip(places, encoded, strict=True):
            ids = np.array(one.ids, np.uint32)
            ends = way.ends and end is not None and not (len(ids) and ids[-1] == end)
            found[k] = np.append(ids, np.uint32(end or 0)) if ends else ids
    return found
