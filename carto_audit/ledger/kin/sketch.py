"""Sketch: the keyed fingerprints of a delivery, at most MOST of them: where it has more, those with the lowest numbers.

The numbers are the same in every delivery, so of two that share a passage both keep it or the larger one does not (FracMinHash:
Irber et al. 2022).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from carto_audit.artifacts.earlier_audits import Delivered, Fingerprints
from carto_audit.ledger.kin.picking import KEY_LETTERS, RUN_WORDS, WINDOW, pick_passages
from carto_audit.ledger.kin.secret import LedgerKey
from carto_audit.ledger.kin.table import SCHEME, digest_of
from carto_audit.text.words import HASHES, Hashes

MOST = 1 << 18
"""Fingerprints of one delivery: of the text of about 650,000 words without repeats, all of them; some 4 MB in the ledger."""

MOST_COVERED_SHARE = 0.25
"""Of a run's words, how many may lie in boilerplate for it to count, as in the kin search within a batch."""

_PENDING = 1 << 20  # places of passages that wait until the bound is applied to them


@dataclass(frozen=True, kw_only=True, slots=True)
class Sketch:
    """The fingerprints (F,) of a delivery, ascending, with the rows that hold each and whether it is boilerplate; and the places
    (P,) where they stand, in reading order: which fingerprint, which sample, its first word and how many words. `words` (N,)
    counts those of each sample, 0 for exact copies of earlier ones, which are not read again. `rate` is the chance with which a
    passage of GUARANTEED words has a fingerprint here: 1 where none had to be left out."""

    fingerprint: NDArray[np.int64]
    rows: NDArray[np.int64]
    boilerplate: NDArray[np.bool_]
    of: NDArray[np.int64]
    sample: NDArray[np.int64]
    first: NDArray[np.int64]
    width: NDArray[np.int64]
    words: NDArray[np.int64]
    rate: float

    def kept(self, key: LedgerKey, cap: int) -> Fingerprints:
        """What goes into the ledger."""
        rows = list(
            zip(self.fingerprint.tolist(), self.rows.tolist(), self.boilerplate.astype(int).tolist(), strict=True)
        )
        about = {
            "scheme": SCHEME,
            "hashes": HASHES,
            "run_words": RUN_WORDS,
            "window": WINDOW,
            "key_letters": KEY_LETTERS,
            "key": key.commitment,
            "rate": self.rate,
            "boilerplate_cap": cap,
            "fingerprints": len(rows),
            "sha256": digest_of(rows),
        }
        return Fingerprints(about=about, rows=rows)


@dataclass(slots=True)
class _Places:
    """Places of passages below a bound that falls as they become too many. The one mutable value here; it never leaves."""

    most: int
    bound: int = 1 << 64
    parts: list[tuple[Hashes, NDArray[np.int64]]] = field(default_factory=list)
    pending: int = 0

    def add(self, number: Hashes, place: NDArray[np.int64]) -> None:
        """Places (3, P): sample, first word and words."""
        self.parts.append((number, place))
        self.pending += len(number)
        if self.pending > _PENDING:
            self.lower()

    def lower(self) -> None:
        number = np.concatenate([np.empty(0, np.uint64), *(part[0] for part in self.parts)])
        place = np.concatenate([np.empty((3, 0), np.int64), *(part[1] for part in self.parts)], axis=1)
        distinct = np.unique(number)
        if len(distinct) > self.most:
            self.bound = int(distinct[self.most])
        if self.bound < 1 << 64:
            below = number < np.uint64(self.bound)
            number, place = number[below], place[:, below]
        self.parts, self.pending = [(number, place)], 0


def make_sketch(delivered: Delivered, key: LedgerKey, most: int = MOST) -> Sketch:
    """The fingerprints of a delivery, at most `most`."""
    words = np.zeros(len(delivered.row), np.int64)
    places = _Places(most)
    for start, texts in delivered.texts():
        chosen = np.flatnonzero(~delivered.exact[start : start + len(texts)])
        picked = pick_passages([texts[k] for k in chosen.tolist()], key.salt)
        words[start + chosen] = picked.words
        places.add(picked.number, np.stack([start + chosen[picked.text], picked.first, picked.width]))
    places.lower()
    ((number, place),) = places.parts
    kept = ~_beside_boilerplate(number, place, words, delivered.cap)
    sample, first, width = place[:, kept]
    distinct, of = np.unique(number[kept], return_inverse=True)
    fingerprint = np.array([key.fingerprint(one.tobytes()) for one in distinct.astype("<u8")], dtype=np.int64)
    order = np.argsort(fingerprint, kind="stable")
    of = np.argsort(order)[of]
    pairs = np.unique(np.stack([of, sample]), axis=1)
    return Sketch(
        fingerprint=fingerprint[order],
        rows=np.bincount(pairs[0], delivered.copies[pairs[1]], minlength=len(order)).astype(np.int64),
        boilerplate=np.bincount(pairs[0], minlength=len(order)) > delivered.cap,
        of=of,
        sample=sample,
        first=first,
        width=width,
        words=words,
        rate=1 - (1 - places.bound / (1 << 64)) ** WINDOW,
    )


def _beside_boilerplate(
    number: Hashes, place: NDArray[np.int64], words: NDArray[np.int64], cap: int
) -> NDArray[np.bool_]:
    """Which places (3, P) are of runs that begin or end in boilerplate: text that goes on alike after it proves nothing."""
    distinct, of = np.unique(number, return_inverse=True)
    pairs = np.unique(np.stack([of, place[0]]), axis=1)
    common = (np.bincount(pairs[0], minlength=len(distinct)) > cap)[of]
    start = np.cumsum(words)[place[0]] - words[place[0]] + place[1]
    covered = np.zeros(int(words.sum()) + RUN_WORDS, dtype=bool)
    run = place[2] == RUN_WORDS
    inside = np.zeros(len(number), np.int64)
    for k in range(RUN_WORDS):
        covered[start[common & run] + k] = True
    for k in range(RUN_WORDS):
        inside += covered[start + k]
    beside: NDArray[np.bool_] = run & ~common & (inside > MOST_COVERED_SHARE * RUN_WORDS)
    return beside
