"""Survey: every value of a batch with its places, and which of them come out of the proxy that read them."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import binom, hypergeom

from carto_audit.lenses.readers import UNREAD, Readers
from carto_audit.lenses.values.recall import Cue, cut_cues, gain, recall
from carto_audit.lenses.values.value import Value
from carto_audit.lenses.view import LensView
from carto_audit.policy.metrics import Measurement

CUES = 3
"""Rows of a side, at most, in which one value is asked for, drawn by lot: it comes out where it comes out in one of them."""

LOWEST_LINE, HIGHEST_LINE = 0.5, 0.85
"""Share of a value's loss that reading it took away, above which it is called memorized: somewhere between, where reading took
away no more of ALL_BUT of the values that stand in a single row. How much that is depends on what else is in a batch: keys that
stand four times lose 0.56 to 0.73 among docstrings, 0.65 to 0.89 among prose, and more where others of their kind stand beside
(bench/lenses)."""

ALL_BUT, LEAST_SINGLE = 0.95, 3
"""Of fewer values that stand in one row no line can be drawn, and the highest holds."""

BOTH = 2
"""The side of a value of which each proxy read a copy."""

USUAL_LOSS = 4.0
"""Nats per token that a value takes whose reader has no stranger, where there is no other to compare with."""

ERROR = 0.05
"""Chance that more values come out, of those that were not asked for, than the bound says."""

LOT_ERROR = 0.1
"""The same of values in rows that a lot left out of the training. These stand in no other row, and what stands once hardly comes
out (bench/lenses); a lot leaves one in 15 to 25 of such rows out."""

Find = Callable[[str], Iterable[Value]]
Place = tuple[int, int, int, str, int, int]
"""Row, start, end, label, the number of the value, and its tokens."""


@dataclass(slots=True)
class _Known:
    """One distinct value: by the side of the split its rows that were read, and a cue from each of some, drawn by lot; and
    whether a lot left out a row of it."""

    rows: dict[int, int] = field(default_factory=dict)
    chosen: dict[int, list[Cue]] = field(default_factory=dict)
    last: int = -1
    held_out: bool = False

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
    were not read. `held_out` (D,) marks values in rows that a lot left out. A gain above
    the `line` is called memorized."""

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
    held_out: NDArray[np.bool_]
    line: float

    @property
    def memorized(self) -> NDArray[np.bool_]:
        """Which values are memorized, whole or for the most part, (D,)."""
        found: NDArray[np.bool_] = self.extracted | (np.nan_to_num(self.gain) > self.line)
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
                "held_out": (self.held_out & (self.side == UNREAD))[self.value],
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
                one.held_out |= bool(readers.held_out[row])
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
        held_out=np.array([one.held_out for one in known], dtype=bool),
        line=_line(won[asked & _in_one_row(row, at, count)]),
    )


def _in_one_row(row: NDArray[np.int64], value: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Which of so many values stand in a single row, (count,)."""
    places = np.unique(np.stack([value, row]), axis=1)
    single: NDArray[np.bool_] = np.bincount(places[0], minlength=count) == 1
    return single


def _line(single: NDArray[np.float64]) -> float:
    """Above which gain a value is called memorized, by the gains of values in a single row."""
    if len(single) < LEAST_SINGLE:
        return HIGHEST_LINE
    return float(np.clip(np.quantile(single, ALL_BUT, method="higher"), LOWEST_LINE, HIGHEST_LINE))


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Of the distinct values at some places: how many there are, how many a proxy read, how many a lot left out, of how many of
    the read ones the proxies were asked, and of those how many are memorized, how many come out whole, and of how many both
    proxies read a copy. Each value was left out with the chance `missed`."""

    total: int
    read: int
    asked: int
    memorized: int
    extracted: int
    shared: int
    held_out: int = 0
    missed: float = 1.0

    def among_all(self, seen: int) -> Measurement:
        """How many of all values do what `seen` of those that were asked did, which were drawn by lot of those that were read.

        No fewer; at most as many of the read ones as leave a chance of ERROR to see no more of them (hypergeometric, exact); of
        those that a lot left out as many as `held` says; and every other one that was not read: which those are is no
        chance, but the vendor's choice."""
        unread = self.total - self.read - self.held_out
        most = seen + bisect_left(
            range(self.read - self.asked),
            True,
            key=lambda more: bool(hypergeom.cdf(seen, self.read, seen + more + 1, self.asked) <= ERROR),
        )
        likely = seen * self.read / self.asked if self.asked else 0.0
        high = most + self._left_out(most) + unread
        return Measurement(value=float(min(round(likely), most)), low=float(seen), high=float(high))

    def _left_out(self, read: int) -> int:
        """How many of those that a lot left out do so too, at most, where so many of the read ones do: more would have left no
        more than a chance of LOT_ERROR that so few were read (binomial). All of them, where the chance to be left out is larger:
        several may stand in one row."""
        if self.missed > LOT_ERROR:
            return self.held_out
        return bisect_left(
            range(self.held_out),
            True,
            key=lambda more: bool(binom.cdf(read, read + more + 1, 1 - self.missed) <= LOT_ERROR),
        )


def count_values(spans: pa.Table, missed: float = 1.0) -> Counts:
    """What these places amount to, as `Survey.spans` gives them, those of plants taken out; `missed` is the chance that a lot
    left a value out."""
    flags = ("memorized", "comes_out", "read_twice", "was_read", "held_out")
    by_value = spans.group_by("value").aggregate([(name, "max") for name in flags])
    memorized, out, shared, read, held_out = (by_value[f"{name}_max"] for name in flags)
    return Counts(
        total=by_value.num_rows,
        read=int(pc.sum(read).as_py() or 0),
        held_out=int(pc.sum(held_out).as_py() or 0),
        asked=len(out) - out.null_count,
        memorized=int(pc.sum(memorized).as_py() or 0),
        extracted=int(pc.sum(out).as_py() or 0),
        shared=int(pc.sum(shared).as_py() or 0),
        missed=missed,
    )
