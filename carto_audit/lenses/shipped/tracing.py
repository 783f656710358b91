"""Tracing: what the proxies say unasked, and which of the rows that they read it comes from."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.cartography.intervals import wilson
from carto_audit.lenses.answers import Bar, Bars, Histogram, LensResult, Looked, Section
from carto_audit.lenses.declared.tracing import TRACING
from carto_audit.lenses.plants import Example, Plants, Room
from carto_audit.lenses.readers import GENERATED
from carto_audit.lenses.shipped.verbatim import WINDOW, Found, ReadTokens, find_runs, read_tokens
from carto_audit.lenses.view import LensView
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.strict_model import Strict
from carto_audit.text.numbers import number, percent, plural

OUTPUTS, LENGTH = 600, 64
"""Outputs of each proxy, and tokens of each."""

DISTINCT = (2, 4)
"""Of runs of so many tokens it is said how many are distinct (distinct-n)."""

_EXAMPLES, _TWINS, _WORDS, _LEAST_LETTERS, _MOST_LETTERS, _LEAST_WORDS = 40, 60, 12, 4, 40, 60

_EDGES = (16, 24, 32, 48)
_LABELS = ("12 to 15", "16 to 23", "24 to 31", "32 to 47", "48 to 64")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Said:
    """What is known of the outputs and of no row: there are `outputs` of `length` tokens. `other` have a run of rows that their
    proxy did not read; `common` have one of rows that it did read, and none of these alone. `distinct` are shares in the order of
    DISTINCT; `clipped` as in Found."""

    outputs: int
    length: int
    other: int
    common: int
    distinct: tuple[float, ...]
    clipped: bool


class TracingLens:
    """Lets both proxies speak, and looks for what they say in the rows."""

    spec = TRACING
    _said: _Said | None = None
    """What `look` knows of the outputs, for `sum_up` of the same lens."""

    def plant(self, room: Room, options: Strict) -> Plants:
        """Passages of the batch's words in random order, each alone in its rows; as twins, such that stand once. Nothing where
        the room holds too few words."""
        usual = {w for text in room.texts for w in text.split() if _LEAST_LETTERS <= len(w) < _MOST_LETTERS}
        if len(usual) < _LEAST_WORDS:
            return Plants()
        words, rng = np.array(sorted(usual), dtype=object), np.random.default_rng(room.seed)

        def passage() -> str:
            return " ".join(rng.choice(words, _WORDS))

        examples = tuple(Example(texts=(passage(),) * dose) for dose in self.spec.doses for _ in range(_EXAMPLES))
        return Plants(examples=examples, twins=tuple(passage() for _ in range(_TWINS)))

    def look(self, view: LensView, options: Strict) -> Looked:
        """How often outputs come from each row, and where."""
        outputs, side = _speak(view)
        tokens = read_tokens(view.proxies, view.texts())
        found = find_runs(tokens, outputs, side, view.seed)
        alone = np.zeros(len(outputs), bool)
        alone[[run.output for run in found.runs]] = True
        self._said = _Said(
            outputs=len(outputs),
            length=outputs.shape[1],
            other=int(found.other.sum()),
            common=int((found.own & ~alone).sum()),
            distinct=tuple(_distinct(outputs, n) for n in DISTINCT),
            clipped=found.clipped,
        )
        spans, covered = _spans(tokens, found)
        times = np.bincount(spans["row"].to_numpy(), minlength=len(view)).astype(np.int64)
        unread = ~view.proxies.read | (len(outputs) == 0)
        columns = pa.table(
            {
                "times_traced": pa.array(times, pa.int64(), mask=unread),
                "traced_tokens": pa.array(_per_row(tokens, covered, len(view)), pa.int64(), mask=unread),
            }
        )
        return Looked(columns=columns, found=(times > 0).astype(np.int64), spans=spans)

    def sum_up(self, view: LensView, looked: Looked, options: Strict) -> LensResult:
        """The share of what is said that stands in rows, and how many rows that are."""
        assert self._said is not None
        assert looked.spans is not None
        said = self._said
        if not said.outputs:
            return LensResult(metrics={}, section=Section(headline="nothing was asked: the time share is too small"))
        numbers, first = np.unique(looked.spans["output"].to_numpy(), return_index=True)
        lengths = looked.spans["tokens"].to_numpy()[first]
        share = _share(float(lengths.sum()) / (said.outputs * said.length), said.outputs)
        sources = _sources(said, looked.spans, int(view.proxies.read.sum()))
        facts = (
            ("outputs", f"{number(said.outputs, 0)} of {number(2 * OUTPUTS, 0)}, {said.length} tokens each"),
            ("of these with a run in rows that their proxy read", percent((len(numbers) + said.common) / said.outputs)),
            ("in rows that it did not read, so that it comes from no single row", percent(said.other / said.outputs)),
            ("in the former alone", percent(len(numbers) / said.outputs)),
            ("longest run", f"{number(float(lengths.max(initial=0)), 0)} tokens"),
            *((f"distinct runs of {n} tokens", percent(part)) for n, part in zip(DISTINCT, said.distinct, strict=True)),
            ("rows that the proxies read", f"{number(float(view.proxies.read.sum()), 0)} of {number(len(view), 0)}"),
        )
        section = Section(
            headline=f"{percent(share.value)} of unprompted output stands verbatim in {plural(int(sources.value), 'row')}",
            paragraph="Each proxy said what it wanted, as at the beginning of a row. Of every output the longest run counts that "
            "stands word for word in a row which that proxy read, if it has 12 tokens or more. What rows of the other side "
            "hold, or the other proxy says too, is common text and counts for nothing.",
            facts=facts,
            figures=_figures(said, len(numbers), lengths),
        )
        return LensResult(
            metrics={"unprompted_verbatim_share": share, "distinct_sources": sources},
            section=section,
            warnings=_warnings(said),
        )


def _speak(view: LensView) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """What both proxies say, (n, L), and the side whose rows the speaker read, (n,)."""
    readers = view.proxies
    length = max(0, min(LENGTH, readers.context - 1))
    each = min(OUTPUTS, readers.left // (2 * GENERATED * max(1, length))) if length >= WINDOW else 0
    seeds = np.random.default_rng([view.seed, 0x7C]).integers(1 << 31, size=2).tolist()
    drawn = [readers.unprompted(side, each, length, seed) for side, seed in enumerate(seeds)]
    return np.concatenate(drawn), np.repeat(np.arange(2, dtype=np.int8), each)


def _spans(tokens: ReadTokens, found: Found) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Where runs stand, once in each row, and which tokens they cover, (T,)."""
    covered = np.zeros(len(tokens.ids), bool)
    parts: list[tuple[NDArray[np.integer], ...]] = [(np.empty(0, np.int64),) * 5]
    for run in found.runs:
        holder, which = np.unique(tokens.holding(run.places), return_index=True)
        for place in run.places.tolist():
            covered[place : place + run.length] = True
        begin, last = run.places[which], run.places[which] + run.length - 1
        same = np.ones(len(holder), np.int64)
        parts.append(
            (tokens.row[holder], tokens.start[begin], tokens.end[last], run.output * same, run.length * same),
        )
    row, start, end, output, length = (np.concatenate(p).astype(np.int64) for p in zip(*parts, strict=True))
    label = pa.array(["verbatim"] * len(row), pa.string())
    return pa.table(
        {"row": row, "start": start, "end": end, "label": label, "output": output, "tokens": length}
    ), covered


def _per_row(tokens: ReadTokens, covered: NDArray[np.bool_], rows: int) -> NDArray[np.int64]:
    """How many tokens of each row are covered, (rows,)."""
    holder = tokens.holding(np.flatnonzero(covered))
    return np.bincount(tokens.row[holder], minlength=rows).astype(np.int64)


def _distinct(outputs: NDArray[np.int64], n: int) -> float:
    """Distinct runs of n tokens, as a share of all."""
    if not outputs.size:
        return 0.0
    runs = np.lib.stride_tricks.sliding_window_view(outputs, n, axis=1).reshape(-1, n)
    return len(np.unique(runs, axis=0)) / len(runs)


def _share(share: float, outputs: int) -> Measurement:
    """With an interval over outputs, as wide as if each were said by heart from end to end or not at all."""
    low, high = wilson(share, outputs)
    return Measurement(value=share, low=min(low, share), high=max(high, share))


def _sources(said: _Said, spans: pa.Table, read: int) -> Measurement:
    """The rows that hold a run. Each output that there was no time for may come from as many rows as the most that one came from,
    and where places were left out, from all."""
    rows = np.unique(spans["row"].to_numpy())
    most = int(np.bincount(spans["output"].to_numpy()).max(initial=1))
    high = read if said.clipped else min(read, len(rows) + (2 * OUTPUTS - said.outputs) * most)
    return Measurement(value=float(len(rows)), low=float(len(rows)), high=float(max(high, len(rows))))


def _figures(said: _Said, alone: int, lengths: NDArray[np.int64]) -> tuple[Bars | Histogram, ...]:
    def bar(label: str, count: int) -> Bar:
        low, high = wilson(count / said.outputs, said.outputs)
        return Bar(label=label, value=count / said.outputs, low=low, high=high)

    amounts = np.bincount(np.searchsorted(_EDGES, lengths, side="right"), minlength=len(_LABELS))
    return (
        Bars(
            title="Outputs with 12 tokens and more of a row",
            unit="share",
            bars=(
                bar("that was read", alone + said.common),
                bar("that was not read", said.other),
                bar("that was read, and of no other", alone),
            ),
        ),
        Histogram(
            title="Outputs by their longest run, in tokens",
            labels=_LABELS,
            amounts=tuple(amounts.tolist()),
            unit="outputs",
        ),
    )


def _warnings(said: _Said) -> tuple[str, ...]:
    fewer = f"time for {number(said.outputs, 0)} of {number(2 * OUTPUTS, 0)} outputs: fewer sources come to light"
    many = "a run stands in more places than were looked at: there may be more sources"
    return (*((fewer,) if said.outputs < 2 * OUTPUTS else ()), *((many,) if said.clipped else ()))
