"""Overlap: what of a delivery stands in earlier ones, in tokens, rows and copies, from the fingerprints that both have."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.artifacts.batch_facts import AtDoseFacts, CopiedRowFacts, CrossBatchFacts, EarlierCopiesFacts
from carto_audit.artifacts.earlier_audits import Delivered
from carto_audit.ledger.kin.picking import GUARANTEED, RUN_WORDS, WINDOW
from carto_audit.ledger.kin.sketch import Sketch
from carto_audit.policy.metrics import CROSS_BATCH, SPLIT, Measurement

MOST_EARLIER, MOST_EXAMPLES = 20, 10

Index = NDArray[np.int64]
Lookup = Callable[[Sequence[int]], Iterable[tuple[int, int, int, int]]]
"""Gives (fingerprint, entry, rows, boilerplate) of each that stands in the ledger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierSketch:
    """An entry whose fingerprints are compared: its number, its batch, the day of its audit, and which share of its passages
    was kept."""

    entry: int
    batch_sha256: str
    day: str
    same_vendor: bool
    rate: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shared:
    """Per fingerprint of the sketch, (F,): in how many rows of earlier deliveries it stands, in how many of these deliveries, in
    how many rows of the one that holds most, the chance with which a word of such a passage lies in a run that was kept on both
    sides, and whether it is boilerplate anywhere. `pairs` (2, H) are fingerprint and delivery, of those that are not; deliveries
    are numbered as in `last`, the newest entry of each."""

    earlier_rows: Index
    deliveries: Index
    most_in_one: Index
    chance: NDArray[np.float64]
    boilerplate: NDArray[np.bool_]
    pairs: Index
    last: tuple[EarlierSketch, ...]

    @property
    def is_copy(self) -> NDArray[np.bool_]:
        return (self.deliveries > 0) & ~self.boilerplate

    def own(self) -> NDArray[np.bool_]:
        """Which stand in an earlier delivery of the same vendor."""
        of_vendor = np.array([one.same_vendor for one in self.last], dtype=bool)
        own = np.zeros(len(self.deliveries), dtype=bool)
        own[self.pairs[0, of_vendor[self.pairs[1]]] if len(of_vendor) else []] = True
        return own


def hold_against(
    sketch: Sketch,
    delivered: Delivered,
    earlier: Sequence[EarlierSketch],
    not_compared: Mapping[str, int],
    lookup: Lookup,
) -> tuple[dict[str, Measurement], CrossBatchFacts]:
    """What of a delivery stands in these earlier ones, whose fingerprints `lookup` finds; `not_compared` counts others by the
    reason. Where there are only others, nothing is measured."""
    found = _look_up(sketch, earlier, lookup)
    total = found.earlier_rows + sketch.rows
    read = _Reading(sketch, delivered)
    copied, own = found.is_copy[sketch.of], found.own()[sketch.of]
    at_dose = (found.is_copy & (total >= delivered.dose))[sketch.of]
    alone = (np.maximum(found.most_in_one, sketch.rows) >= delivered.dose)[sketch.of]
    split = at_dose & ~read.whole_passages(at_dose, alone)
    all_copies, of_split = read.tokens(copied, found.chance), read.tokens(split, found.chance)
    measured = {CROSS_BATCH: all_copies, SPLIT: of_split} if earlier or not not_compared else {}
    dosed = np.unique(sketch.of[at_dose])
    shown: AtDoseFacts = {
        "dose": delivered.dose,
        "passages": read.passages(at_dose),
        "rows": read.rows(at_dose),
        "deliveries": 1 + len(np.unique(found.pairs[1, np.isin(found.pairs[0], dosed)])) if len(dosed) else 0,
        "split_passages": read.passages(split),
    }
    facts: CrossBatchFacts = {
        "run_words": RUN_WORDS,
        "guaranteed_words": GUARANTEED,
        "sampling_rate": sketch.rate,
        "lowest_sampling_rate": min([sketch.rate, *(one.rate for one in earlier)]),
        "compared": len(found.last),
        "not_compared": dict(not_compared),
        "rows": read.rows(copied),
        "own_rows": read.rows(own),
        "token_share": all_copies.value,
        "own_token_share": read.tokens(own, found.chance).value,
        "earlier": _most_alike(found, read),
        "most_rows": int(total[found.is_copy].max(initial=0)),
        "at_dose": shown,
        "boilerplate_passages": int(((found.deliveries > 0) & found.boilerplate).sum()),
        "examples": _examples(found, total, read),
    }
    return measured, facts


def _look_up(sketch: Sketch, earlier: Sequence[EarlierSketch], lookup: Lookup) -> _Shared:
    """Asks the ledger for all fingerprints. Of a batch that was audited more than once the largest count stands."""
    by_batch = {one.batch_sha256: one for one in sorted(earlier, key=lambda one: one.entry)}
    number = {sha256: k for k, sha256 in enumerate(by_batch)}
    known = {one.entry: (number[one.batch_sha256], one.rate) for one in earlier}
    hits = [hit for hit in lookup(sketch.fingerprint.tolist()) if hit[1] in known] if earlier else []
    fingerprint, entry, rows, common = np.array(hits, dtype=np.int64).reshape(-1, 4).T
    place = np.searchsorted(sketch.fingerprint, fingerprint)
    batch = np.array([known[one][0] for one in entry.tolist()], dtype=np.int64)
    rate = np.array([known[one][1] for one in entry.tolist()], dtype=np.float64)
    size = len(sketch.fingerprint)
    order = np.lexsort((-rows, batch, place))
    place, batch, rows, rate, common = place[order], batch[order], rows[order], rate[order], common[order]
    first = np.append(True, (np.diff(place) != 0) | (np.diff(batch) != 0))[: len(place)]
    seen, boilerplate, most = np.zeros(size), sketch.boilerplate.copy(), np.zeros(size, np.int64)
    np.maximum.at(seen, place, rate)
    boilerplate[place[common == 1]] = True
    np.maximum.at(most, place[first], rows[first])
    return _Shared(
        earlier_rows=np.bincount(place[first], rows[first], minlength=size).astype(np.int64),
        deliveries=np.bincount(place[first], minlength=size).astype(np.int64),
        most_in_one=most,
        chance=1 - (1 - np.minimum(seen, sketch.rate)) ** (RUN_WORDS / WINDOW),
        boilerplate=boilerplate,
        pairs=np.stack([place[first], batch[first]])[:, ~boilerplate[place[first]]],
        last=tuple(by_batch.values()),
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """What some places of a delivery, (P,), amount to. Exact copies count as their original does."""

    sketch: Sketch
    delivered: Delivered

    def rows(self, wanted: NDArray[np.bool_]) -> int:
        """How many rows hold a place that is wanted."""
        return int(self.delivered.copies[np.unique(self.sketch.sample[wanted])].sum())

    def tokens(self, wanted: NDArray[np.bool_], chance: NDArray[np.float64]) -> Measurement:
        """The share of the delivery's tokens in places that are wanted: as many as were found, and at most as many as there
        are where each stands for those that chance (F,) left out."""
        sketch, delivered = self.sketch, self.delivered
        total = max(1, int(delivered.n_tokens.sum()))
        width = sketch.width[wanted]
        inside = np.arange(int(width.sum())) - np.repeat(np.cumsum(width) - width, width)
        begins = np.cumsum(sketch.words) - sketch.words
        word = np.repeat(begins[sketch.sample[wanted]] + sketch.first[wanted], width) + inside
        weight = np.repeat(1 / np.maximum(chance[sketch.of[wanted]], 1e-12), width)
        order = np.lexsort((weight, word))
        kept = order[np.append(True, np.diff(word[order]) != 0)[: len(order)]]
        sample = np.repeat(sketch.sample[wanted], width)[kept]
        tokens = delivered.copies[sample] * delivered.n_tokens[sample] / np.maximum(1, sketch.words[sample])
        value = min(1.0, float(tokens.sum()) / total)
        return Measurement(
            value=value, low=value, high=min(1.0, max(value, float((tokens * weight[kept]).sum()) / total))
        )

    def passages(self, wanted: NDArray[np.bool_]) -> int:
        """How many passages those places are: those that follow on each other in a sample are one, and the same one in every
        row."""
        begins = np.flatnonzero(self._opens(wanted)[wanted])
        return len(np.unique(np.minimum.reduceat(self.sketch.of[wanted], begins))) if len(begins) else 0

    def whole_passages(self, wanted: NDArray[np.bool_], some: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The places that are wanted and follow on one that is in `some` too: all of its passage, (P,)."""
        opens = self._opens(wanted)
        whole = np.zeros(len(wanted), dtype=bool)
        if opens.any():
            number = np.cumsum(opens)[wanted] - 1
            held = np.bincount(number, some[wanted]) > 0
            whole[wanted] = held[number]
        return whole

    def _opens(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which places begin a passage of places that are wanted."""
        follows = np.append(False, wanted[:-1] & (np.diff(self.sketch.sample) == 0))[: len(wanted)]
        opens: NDArray[np.bool_] = wanted & ~follows
        return opens


def _most_alike(found: _Shared, read: _Reading) -> list[EarlierCopiesFacts]:
    common = np.bincount(found.pairs[1], minlength=len(found.last))
    largest = [k for k in np.argsort(-common, kind="stable")[:MOST_EARLIER].tolist() if common[k]]
    facts: list[EarlierCopiesFacts] = []
    for k in largest:
        wanted, one = np.isin(read.sketch.of, found.pairs[0, found.pairs[1] == k]), found.last[k]
        facts.append({"entry": one.entry, "day": one.day, "same_vendor": one.same_vendor, "rows": read.rows(wanted)})
    return facts


def _examples(found: _Shared, total: Index, read: _Reading) -> list[CopiedRowFacts]:
    """The rows with the passages that stand in most rows."""
    sketch = read.sketch
    here = np.flatnonzero(found.is_copy[sketch.of])
    here = here[np.lexsort((sketch.sample[here], -total[sketch.of[here]]))]
    _, first = np.unique(sketch.sample[here], return_index=True)
    facts: list[CopiedRowFacts] = []
    for k in here[np.sort(first)[:MOST_EXAMPLES]].tolist():
        of = int(sketch.of[k])
        entries = [found.last[one].entry for one in found.pairs[1, found.pairs[0] == of].tolist()]
        row = int(read.delivered.row[sketch.sample[k]])
        deliveries = 1 + int(found.deliveries[of])
        facts.append({"row": row, "most_rows": int(total[of]), "deliveries": deliveries, "entry": max(entries)})
    return facts
