"""Review: each decision beside the batch and its matches: what it is about here, or why it has no effect."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carto_audit.benchmarks.items import Benchmark
from carto_audit.contamination.check import Contamination
from carto_audit.contamination.tiers import TIERS
from carto_audit.data.batch import Batch
from carto_audit.data.duplicates import Duplicates
from carto_audit.decisions.file import Decision, DecisionFile
from carto_audit.runtime.errors import UsageError
from carto_audit.text.untrusted import safe_inline

ALARMS = ("suspected", "confirmed")
"""The tiers that a false alarm can be about: no other does anything to a row."""

Standing = Literal["in force", "unused", "stale", "expired"]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Item = tuple[str, str]
"""A benchmark's name and an item's id."""

_NOBODY: Int = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One decision beside the batch. `samples` are those that it keeps or removes, `matches` those that it says mean nothing,
    both as indices; `items` what it covers wherever that stands. `note` says in words what of it has no effect."""

    made: Decision
    standing: Standing
    samples: Int = field(default_factory=_NOBODY.copy)
    matches: Int = field(default_factory=_NOBODY.copy)
    items: tuple[Item, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """All decisions beside a batch of N samples and M matches. `keep` and `remove` (N,) are what becomes of samples whatever the
    policy says, `dismissed` (M,) the matches that are false alarms; `number` (N,) counts the decision that a sample follows from
    1, 0 where none. `file` is None where none was named."""

    file: DecisionFile | None
    held: tuple[Held, ...]
    keep: Bool
    remove: Bool
    dismissed: Bool
    number: NDArray[np.int32]
    contamination: Contamination | None

    @property
    def match_sample(self) -> Int:
        """The sample of each match, (M,)."""
        return _samples_of(self.contamination)

    def is_left(self, tier: str) -> Bool:
        """Which samples have this as their worst tier once false alarms are taken away, (N,)."""
        left = np.zeros(len(self.keep), dtype=np.int8)
        if self.contamination is not None:
            some = ~self.dismissed
            np.maximum.at(left, self.match_sample[some], _tiers_of(self.contamination)[some])
        found: Bool = left == TIERS.index(tier)
        return found


def review(
    file: DecisionFile | None,
    batch: Batch,
    duplicates: Duplicates,
    contamination: Contamination | None,
    benchmarks: Sequence[Benchmark],
) -> Reviewed:
    """Holds decisions against a batch and what was found in it. Raises UsageError in one line where two of them decide about the
    same row: one names it by its number, another by its id."""
    reader = _Reader(
        batch=batch,
        duplicates=duplicates,
        matches=_named_matches(file, contamination),
        tiers=_named_tiers(file, contamination, benchmarks),
        match_sample=_samples_of(contamination),
        benchmarks={one.name: one for one in benchmarks},
        unusable=frozenset(row for one in batch.skipped if one.reason != "over_long" for row in one.rows.tolist()),
    )
    held = (
        [] if file is None else [_expired(made) if file.expired(made) else reader.hold(made) for made in file.decisions]
    )
    keep, remove = np.zeros((2, len(batch)), dtype=bool)
    dismissed = np.zeros(len(reader.match_sample), dtype=bool)
    number = np.zeros(len(batch), dtype=np.int32)
    for place, one in enumerate(held, 1):
        dismissed[one.matches] = True
        if one.made.of_rows and one.made.decision != "false alarm":
            _check_open(file, number[one.samples], place, batch, one.samples)
            (keep if one.made.decision == "keep" else remove)[one.samples] = True
            number[one.samples] = place
    held = [_without_others(one, dismissed, keep, reader) for one in held]
    for place, one in enumerate(held, 1):
        if one.items and one.made.decision == "remove":
            remove[one.samples] = True
            _number(number, one.samples, place)
    for place, one in enumerate(held, 1):
        _number(number, reader.match_sample[one.matches], place)
    return Reviewed(
        file=file,
        held=tuple(held),
        keep=keep,
        remove=remove,
        dismissed=dismissed,
        number=number,
        contamination=contamination,
    )


def _number(number: NDArray[np.int32], samples: Int, place: int) -> None:
    """Notes that samples follow a decision, where they follow none yet."""
    number[samples] = np.where(number[samples] == 0, place, number[samples])


def _samples_of(contamination: Contamination | None) -> Int:
    return _NOBODY if contamination is None else contamination.matches["sample"].to_numpy()


def _tiers_of(contamination: Contamination) -> NDArray[np.int8]:
    """The tier of each match as a place in TIERS, (M,)."""
    places: NDArray[np.int8] = pc.index_in(contamination.matches["tier"], pa.array(TIERS)).to_numpy().astype(np.int8)
    return places


def alarms_of(contamination: Contamination) -> Bool:
    """Which matches are confirmed or suspected, (M,)."""
    found: Bool = np.isin(_tiers_of(contamination), [TIERS.index(tier) for tier in ALARMS])
    return found


def _named_matches(file: DecisionFile | None, contamination: Contamination | None) -> dict[Item, Int]:
    """The confirmed and suspected matches of each item that a decision names, as indices."""
    named = {item for made in (file.decisions if file else ()) for item in made.items}
    if contamination is None or not named:
        return {}
    ids = pc.is_in(contamination.matches["item_id"], pa.array([name for _, name in named], pa.large_string()))
    places = np.flatnonzero(ids.to_numpy(zero_copy_only=False) & alarms_of(contamination))
    some = contamination.matches.select(["benchmark", "item_id"]).take(pa.array(places))
    found: dict[Item, list[int]] = {}
    for place, item in zip(
        places.tolist(), zip(*(some[n].to_pylist() for n in some.column_names), strict=True), strict=True
    ):
        if item in named:
            found.setdefault(item, []).append(place)
    return {item: np.array(of, dtype=np.int64) for item, of in found.items()}


def _named_tiers(
    file: DecisionFile | None, contamination: Contamination | None, benchmarks: Sequence[Benchmark]
) -> dict[Item, str]:
    """The tier of each item that a decision names. One that shares its text with another may have no match of its own."""
    named = {item for made in (file.decisions if file else ()) for item in made.items}
    found: dict[Item, str] = {}
    start = 0
    if contamination is None:
        return found
    for benchmark in benchmarks:
        ids = {name for other, name in named if other == benchmark.name}
        for place, name in enumerate(benchmark.items["item_id"].to_pylist() if ids else (), start):
            if name in ids:
                found[benchmark.name, name] = TIERS[contamination.item_tier[place]]
        start += benchmark.items.num_rows
    return found


def _expired(made: Decision) -> Held:
    return Held(made=made, standing="expired", note=f"its last day was {made.until.isoformat()}")


def _check_open(file: DecisionFile | None, taken: NDArray[np.int32], place: int, batch: Batch, samples: Int) -> None:
    if taken.any():
        row, first = int(batch.row[samples[taken > 0][0]]), int(taken[taken > 0][0])
        words = f"row {row:,} is decided twice, in decisions.{first - 1} and decisions.{place - 1}; leave one"
        raise UsageError(f"{file.name if file else ''}: {words}")


def _without_others(one: Held, dismissed: Bool, keep: Bool, reader: "_Reader") -> Held:
    """An item's rows without those that somebody decided to keep, and those where the item is a false alarm: what is said of a
    row goes before what is said of an item."""
    if one.made.decision != "remove" or not one.items:
        return one
    found = [reader.matches[item] for item in one.items if item in reader.matches]
    places = np.concatenate(found) if found else _NOBODY
    samples = np.unique(reader.match_sample[places[~dismissed[places]]])
    samples = samples[~keep[samples]]
    if len(samples):
        return replace(one, samples=samples)
    return replace(one, samples=samples, standing="unused", note=one.note or "no row holds it that may go")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Finds what decisions are about."""

    batch: Batch
    duplicates: Duplicates
    matches: Mapping[Item, Int]
    tiers: Mapping[Item, str]
    match_sample: Int
    benchmarks: Mapping[str, Benchmark]
    unusable: frozenset[int]

    def hold(self, made: Decision) -> Held:
        """What a decision that has not expired is about."""
        if made.batch is not None and not self.batch.sha256.startswith(made.batch):
            return Held(made=made, standing="stale", note="it is about another delivery")
        items, wrong = self.items(made)
        if wrong is not None:
            return Held(made=made, standing=wrong[0], note=wrong[1])
        found, notes = self.samples(made) if made.of_rows else (_NOBODY, [])
        note = "; ".join(notes)
        if made.of_rows and not len(found):
            return Held(made=made, standing="stale" if _OTHER_TEXT in notes else "unused", note=note)
        if made.item is None:
            return Held(made=made, standing="in force", samples=found, note=note)
        return self.of_items(made, items, found, note)

    def of_items(self, made: Decision, items: Sequence[Item], samples: Int, note: str) -> Held:
        """A decision about items, in some samples or wherever they stand."""
        if made.decision == "remove":
            return Held(made=made, standing="in force", items=tuple(items), note=note)
        places = [self.matches[item] for item in items if item in self.matches]
        matches = np.sort(np.concatenate(places)) if places else _NOBODY
        if made.of_rows:
            matches = matches[np.isin(self.match_sample[matches], samples)]
        alarms = [item for item in items if self.tiers[item] in ALARMS]
        if not len(matches) and (made.of_rows or not alarms):
            return Held(
                made=made, standing="unused", note="; ".join(filter(None, (note, "nothing of the item was found")))
            )
        return Held(
            made=made,
            standing="in force",
            matches=matches,
            items=() if made.of_rows else tuple(items),
            note=note,
        )

    def items(self, made: Decision) -> tuple[list[Item], tuple[Literal["unused", "stale"], str] | None]:
        """The items of a decision that there are; or what is wrong with all of them."""
        if made.item is None:
            return [], None
        known, name = self.benchmarks.get(made.item.benchmark), safe_inline(made.item.benchmark, 80)
        if known is None:
            return [], ("unused", f"this audit did not look for the benchmark {name}")
        if not known.sha256.startswith(made.item.sha256):
            return [], ("stale", f"the benchmark {name} is another one now: its sha256 is {known.sha256[:12]}…")
        found = [item for item in made.items if item in self.tiers]
        return (found, None) if found else ([], ("unused", f"the benchmark {name} has no such item"))

    def samples(self, made: Decision) -> tuple[Int, list[str]]:
        """The samples that a decision names and may decide about, and what is wrong with the others."""
        found, notes = [], []
        for sample, note in self.named(made):
            if sample is None:
                notes.append(note)
            elif int(self.batch.row[sample]) in self.unusable:
                notes.append(f"row {self.batch.row[sample]:,} has no usable text, so it goes to nobody")
            elif made.text is not None and self.duplicates.text_digest(sample) != made.text:
                notes.append(_OTHER_TEXT)
            else:
                found.append(sample)
        return np.unique(np.array(found, dtype=np.int64)), notes

    def named(self, made: Decision) -> Iterator[tuple[int | None, str]]:
        """The sample of each row that is named, or why there is none."""
        for row in made.named_rows:
            place = int(np.searchsorted(self.batch.row, row))
            if place < len(self.batch) and self.batch.row[place] == row:
                yield place, ""
            else:
                there = f"row {row:,} was not audited" if row < self.batch.rows else f"there is no row {row:,}"
                yield None, f"{there}; rows are counted from 0"
        if made.id is not None:
            places = np.flatnonzero(pc.equal(self.batch.sample_id, made.id).to_numpy(zero_copy_only=False)).tolist()
            if len(places) == 1:
                yield places[0], ""
            else:
                yield (
                    None,
                    f"{len(places):,} samples have this id; name one by its row" if places else "no sample has this id",
                )


_OTHER_TEXT = "the row has another text now"
