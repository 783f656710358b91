"""Survey: every value of a batch with its places, and which of them come out of the proxy that read them."""

from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
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

LOWEST_LINE, HIGHEST_LINE = 0.5, 0.85
"""Share of a value's loss that reading it took away, above which it is called memorized: somewhere between, MARGIN above what
reading took away of USUAL of the values that stand in a single row, which no few values move. How much that is depends on what
else is in a batch: keys that stand four times lose 0.56 to 0.73 among docstrings, 0.65 to 0.89 among prose, and more where others
of their kind stand beside (bench/lenses)."""

USUAL, MARGIN, LEAST_SINGLE = 0.75, 0.1, 3
"""Of fewer values that stand in one row no line can be drawn, and the highest holds."""

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
    """One distinct value: by the side of the split its rows that were read, and a cue from each of some, rows and places in them
    drawn by lot; `kept` is where the cue of the `last` row lies, which has so many `places` so far."""

    rows: dict[int, int] = field(default_factory=dict)
    chosen: dict[int, list[Cue]] = field(default_factory=dict)
    last: int = -1
    places: int = 0
    kept: int | None = None

    @property
    def cues(self) -> list[Cue]:
        """All that were drawn."""
        return [cue for side in sorted(self.chosen) for cue in self.chosen[side]]

    def offer(self, cue: Cue, side: int, rng: np.random.Generator) -> None:
        """One more place. Each row has the same chance to be among CUES of its side, and each place in it: reservoirs."""
        chosen = self.chosen.setdefault(side, [])
        if cue.row == self.last:
            self.places += 1
            if self.kept is not None and not rng.integers(self.places):
                chosen[self.kept] = cue
            return
        before = self.rows.get(side, 0)
        self.last, self.places, self.rows[side] = cue.row, 1, before + 1
        drawn = len(chosen) if len(chosen) < CUES else int(rng.integers(before + 1))
        self.kept = drawn if drawn < CUES else None
        if self.kept is not None:
            chosen[self.kept : self.kept + 1] = [cue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The P places of D distinct values: `row`, `start`, `end`, `label` and the number of the `value`, (P,). Of the values, (D,):
    what is `written`, its first `cues`, and on which `side` it was read, BOTH or UNREAD; whether the proxies were `asked`; the
    `gain`, a share of its loss, NaN where nobody was asked; whether it comes out whole, `extracted`. Where both proxies read a
    copy, what its reader says counts, since there is none to compare with. `tokens` (P,) are those of each place, -1 in rows that
    were not read. `unread` (P,) marks those in rows that no proxy read though no lot left them
    out. A gain above the `line` is called memorized."""

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
    unread: NDArray[np.bool_]
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
                "unread": self.unread,
                "gain": pa.array(self.gain[self.value], pa.float64(), from_pandas=True),
                "memorized": pa.array(self.memorized[self.value], pa.bool_(), mask=~asked),
                "comes_out": pa.array(self.extracted[self.value], pa.bool_(), mask=~asked),
                "read_twice": (self.side == BOTH)[self.value],
            }
        )


def survey(
    view: LensView,
    find: Find,
    share: float = 1.0,
    read: Callable[[int, str], None] | None = None,
    drawn: Container[str] = (),
) -> Survey:
    """Finds the values of every row, and asks the proxies for as many distinct ones as this `share` of the budget allows, by lot.
    `read` gets each row and its text besides. Values of labels that are `drawn` nobody guesses: who says one has read it, in
    whatever form, so that it comes out of the reader though the other proxy says it too."""
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
    return _asked(readers, places, known, rng, int(share * readers.left), drawn)


def _asked(
    readers: Readers,
    places: Sequence[Place],
    values: Mapping[str, _Known],
    rng: np.random.Generator,
    budget: int,
    drawn: Container[str],
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
    columns = list(zip(*places, strict=True)) or [()] * 6
    row, start, end, at, tokens = (np.array(columns[k], dtype=np.int64) for k in (0, 1, 2, 4, 5))
    unguessed = np.zeros(count, bool)
    unguessed[at] = [label in drawn for label in columns[3]]
    np.logical_or.at(out, value, (reader.right == 1) & (alone | (stranger.right < 1) | unguessed[value]))
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
        unread=(readers.side == UNREAD)[row] & ~readers.held_out[row],
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
    return float(np.clip(np.quantile(single, USUAL) + MARGIN, LOWEST_LINE, HIGHEST_LINE))


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Of the distinct values at some places: how many there are, how many were `read` in all rows that hold them, of how many the
    proxies were `asked`, of how many both read a copy; and with bounds, how many are `memorized`, how many come out whole,
    `extracted`, and how many are `learned`: they come out, or stand in several rows and are memorized."""

    total: int
    read: int
    asked: int
    shared: int
    memorized: Measurement
    extracted: Measurement
    learned: Measurement


def most_of(read: int, asked: int, seen: int) -> int:
    """How many of so many `read` values do at most what `seen` of those that were asked did, which were drawn by lot: more would
    have left no more than a chance of ERROR to see so few (hypergeometric, exact)."""
    return seen + bisect_left(
        range(read - asked),
        True,
        key=lambda more: bool(hypergeom.cdf(seen, read, seen + more + 1, asked) <= ERROR),
    )


def count_values(spans: pa.Table) -> Counts:
    """What these places amount to, as `Survey.spans` gives them, those of plants taken out."""
    flags = ("memorized", "comes_out", "read_twice", "was_read", "unread")
    by_value = spans.group_by("value").aggregate([*((name, "max") for name in flags), ("row", "count_distinct")])
    asked = by_value["comes_out_max"].is_valid().to_numpy()
    memorized, out, shared, read, unread = (
        pc.fill_null(by_value[f"{name}_max"], False).to_numpy().astype(bool) for name in flags
    )
    several = by_value["row_count_distinct"].to_numpy() > 1
    left_out = ~read & ~unread & ~several  # by a lot, and what stands once is not learned
    known = read & ~unread
    return Counts(
        total=by_value.num_rows,
        read=int(known.sum()),
        asked=int(asked.sum()),
        shared=int(shared.sum()),
        memorized=_bounded(memorized, known, asked),
        extracted=_bounded(out, known, asked),
        learned=_bounded((out | (several & memorized))[~left_out], known[~left_out], asked[~left_out]),
    )


def _bounded(seen: NDArray[np.bool_], known: NDArray[np.bool_], asked: NDArray[np.bool_]) -> Measurement:
    """How many of some values do what was `seen` of them: no fewer, and no more than chance leaves of those that are `known`, in
    all their rows, and every other one: what of it was not read is the vendor's choice."""
    of_known, asked_known = int((seen & known).sum()), int((asked & known).sum())
    most = most_of(int(known.sum()), asked_known, of_known)
    likely = of_known * int(known.sum()) / asked_known if asked_known else 0.0
    low, others = int(seen.sum()), int((seen & ~known).sum())
    high = most + int((~known).sum())
    return Measurement(value=float(min(round(likely), most) + others), low=float(low), high=float(high))
