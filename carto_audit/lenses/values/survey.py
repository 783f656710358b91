"""Survey: every value of a batch with its places, and which of them come out of the proxy that read them."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import hypergeom

from carto_audit.lenses.readers import UNREAD, Readers
from carto_audit.lenses.values.recall import Cue, cut_cues, gain, recall
from carto_audit.lenses.values.value import Value
from carto_audit.lenses.view import LensView
from carto_audit.policy.metrics import Measurement

CUES = 3
"""Rows of a side, at most, in which one value is asked for, drawn by lot: it comes out where it comes out in one of them."""

MEMORIZED = 0.85
"""Share of a value's loss that reading it took away, from which on it is called memorized: nine in ten keys that stand in four
rows lose as much, one in fourteen of those that stand once (bench/lenses)."""

BOTH = 2
"""The side of a value of which each proxy read a copy."""

USUAL_LOSS = 4.0
"""Nats per token that a value takes whose reader has no stranger, where there is no other to compare with."""

ERROR = 0.05
"""Chance that more values come out, of those that were not asked for, than the bound says."""

Find = Callable[[str], Iterable[Value]]
Place = tuple[int, int, int, str, int, int]
"""Row, start, end, label, the number of the value, and its tokens."""


@dataclass(slots=True)
class _Known:
    """One distinct value: by the side of the split its rows that were read, and a cue from each of some, drawn by lot."""

    rows: dict[int, int] = field(default_factory=dict)
    chosen: dict[int, list[Cue]] = field(default_factory=dict)
    last: int = -1

    @property
    def cues(self) -> list[Cue]:
        """All that were drawn."""
        return [cue for side in sorted(self.chosen) for cue in self.chosen[side]]

    def offer(self, cue: Cue, side: int, rng: np.random.Generator) -> None:
        """One more place, of which each row has the same chance to be among CUES of its side (reservoir sampling)."""
        if cue.row == self.last:
            return
        self.last, before = cue.row, self.rows.get(side, 0)
        self.rows[side] = before + 1
        chosen = self.chosen.setdefault(side, [])
        if len(chosen) < CUES:
            chosen.append(cue)
        elif (place := int(rng.integers(before + 1))) < CUES:
            chosen[place] = cue


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The P places of D distinct values: `row`, `start`, `end`, `label` and the number of the `value`, (P,). Of the values, (D,):
    what is `written`, its first `cues`, and on which `side` it was read, BOTH or UNREAD; whether the proxies were `asked`; the
    `gain`, a share of its loss, NaN where nobody was asked; whether it comes out whole, `extracted`. Where both proxies read a
    copy, what its reader says counts, since there is none to compare with. `tokens` (P,) are those of each place, -1 in rows that
    were not read."""

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    label: list[str]
    value: NDArray[np.int64]
    tokens: NDArray[np.int64]
    written: tuple[str, ...]
    cues: tuple[tuple[Cue, ...], ...]
    side: NDArray[np.int8]
    asked: NDArray[np.bool_]
    gain: NDArray[np.float64]
    extracted: NDArray[np.bool_]

    @property
    def memorized(self) -> NDArray[np.bool_]:
        """Which values are memorized, whole or for the most part, (D,)."""
        found: NDArray[np.bool_] = self.extracted | (np.nan_to_num(self.gain) >= MEMORIZED)
        return found

    def in_rows(self, rows: int, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """How many places of the chosen values each row has, (rows,); of all where none are chosen."""
        counted = np.ones(len(self.value), bool) if chosen is None else chosen[self.value]
        return np.bincount(self.row[counted], minlength=rows).astype(np.int64)

    def spans(self) -> pa.Table:
        """The places, with what `declared.places` says of each."""
        asked = self.asked[self.value]
        return pa.table(
            {
                "row": self.row,
                "start": self.start,
                "end": self.end,
                "label": pa.array(self.label, pa.string()),
                "value": self.value,
                "was_read": (self.side != UNREAD)[self.value],
                "gain": pa.array(self.gain[self.value], pa.float64(), from_pandas=True),
                "memorized": pa.array(self.memorized[self.value], pa.bool_(), mask=~asked),
                "comes_out": pa.array(self.extracted[self.value], pa.bool_(), mask=~asked),
                "read_twice": (self.side == BOTH)[self.value],
            }
        )


def survey(view: LensView, find: Find, share: float = 1.0, read: Callable[[int, str], None] | None = None) -> Survey:
    """Finds the values of every row, and asks the proxies for as many distinct ones as this `share` of the budget allows, by lot.
    `read` gets each row and its text besides."""
    readers = view.proxies
    known: dict[str, _Known] = {}
    number: dict[str, int] = {}
    places: list[Place] = []
    rng = np.random.default_rng([view.seed, 0x5A])
    for chunk in view.texts():
        for row, text in enumerate(chunk.texts, chunk.start):
            if read is not None:
                read(row, text)
            values = list(find(text))
            cues = cut_cues(readers, row, text, [(v.start, v.end) for v in values]) if readers.read[row] else []
            for k, value in enumerate(values):
                written = text[value.start : value.end]
                cue, one = cues[k] if cues else None, known.setdefault(written, _Known())
                tokens = len(cue.value) if cue else -1
                at = number.setdefault(written, len(number))
                places.append((row, value.start, value.end, value.label, at, tokens))
                if cue is not None:
                    one.offer(cue, int(readers.side[row]), rng)
    return _asked(readers, places, known, rng, int(share * readers.left))


def _asked(
    readers: Readers, places: Sequence[Place], values: Mapping[str, _Known], rng: np.random.Generator, budget: int
) -> Survey:
    known, count = list(values.values()), len(values)
    cost = np.array([2 * sum(cue.tokens for cue in one.cues) for one in known], dtype=np.int64)
    order = rng.permutation(np.flatnonzero(cost > 0))
    asked = np.zeros(count, bool)
    asked[order[np.cumsum(cost[order]) <= budget]] = True
    side = np.array([BOTH if len(one.rows) > 1 else min(one.rows, default=UNREAD) for one in known], dtype=np.int8)
    cues = [(k, cue) for k in np.flatnonzero(asked).tolist() for cue in known[k].cues]
    every, value = [cue for _, cue in cues], np.array([k for k, _ in cues], dtype=np.int64)
    reader, stranger = (recall(readers, every, stranger=who) for who in (False, True))
    alone = side[value] == BOTH  # who read it too is none to compare with
    won, out = np.full(count, -1.0), np.zeros(count, bool)
    usual = float(np.median(stranger.loss[~alone])) if (~alone).any() else USUAL_LOSS
    np.maximum.at(won, value, np.where(alone, gain(reader, usual), gain(reader, stranger.loss)))
    np.logical_or.at(out, value, (reader.right == 1) & (alone | (stranger.right < 1)))
    columns = list(zip(*places, strict=True)) or [()] * 6
    row, start, end, at, tokens = (np.array(columns[k], dtype=np.int64) for k in (0, 1, 2, 4, 5))
    return Survey(
        row=row,
        start=start,
        end=end,
        label=list(columns[3]),
        value=at,
        asked=asked,
        gain=np.where(asked, won, np.nan),
        tokens=tokens,
        written=tuple(values),
        cues=tuple(tuple(one.cues) for one in known),
        side=side,
        extracted=out,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Of the distinct values at some places: how many there are, how many a proxy read, of how many of these the proxies were
    asked, and of those how many are memorized, how many come out whole, and of how many both proxies read a copy."""

    total: int
    read: int
    asked: int
    memorized: int
    extracted: int
    shared: int

    def among_all(self, seen: int) -> Measurement:
        """How many of all values do what `seen` of those that were asked did, which were drawn by lot of those that were read.

        No fewer; and at most as many of the read ones as leave a chance of ERROR to see no more of them (hypergeometric, exact),
        and every one that was not read: which those are is no chance, but the vendor's choice."""
        unread = self.total - self.read
        most = seen + bisect_left(
            range(self.read - self.asked),
            True,
            key=lambda more: bool(hypergeom.cdf(seen, self.read, seen + more + 1, self.asked) <= ERROR),
        )
        likely = seen * self.read / self.asked if self.asked else 0.0
        return Measurement(value=float(min(round(likely), most)), low=float(seen), high=float(most + unread))


def count_values(spans: pa.Table) -> Counts:
    """What these places amount to, as `Survey.spans` gives them, those of plants taken out."""
    flags = ("memorized", "comes_out", "read_twice", "was_read")
    by_value = spans.group_by("value").aggregate([(name, "max") for name in flags])
    memorized, out, shared, read = (by_value[f"{name}_max"] for name in flags)
    return Counts(
        total=by_value.num_rows,
        read=int(pc.sum(read).as_py() or 0),
        asked=len(out) - out.null_count,
        memorized=int(pc.sum(memorized).as_py() or 0),
        extracted=int(pc.sum(out).as_py() or 0),
        shared=int(pc.sum(shared).as_py() or 0),
    )
