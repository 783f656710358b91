"""Agreement: a vendor's figures beside an audit of our own. The tests are exact and one-sided: only what flatters counts."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, hypergeom

FALSE_ALARM = 0.01
"""Chance, for all tests together, that an honest summary fails one."""

TESTS = 3
LEVEL = FALSE_ALARM / TESTS

HONEST_MISSES, USUAL_MISSES = 0.1, 0.02
"""Of the rows that we flag, the share that an honest vendor does not: at most, and what the power is computed with: fewer than
were seen make it smaller (bench/vendors)."""

DROP, HONEST_DROPS = 0.15, 0.15
"""A flagged row is lowered where the vendor's memorization is below ours by more than DROP: the share of the rows that both flag
for which an honest one's is, at most. From one honest audit to another all scores of a batch shift together, by up to 0.13 in
what was measured (bench/vendors)."""

CHEATS = (0.1, 0.3, 0.5)
"""Shares of the flags, whose hiding the report says the chance to catch."""

LEAST_HIDDEN_SHARE, LEAST_HIDDEN = 0.01, 5
"""What hiding is too small to matter: below 1 % of the rows, or five of them. What we flag ourselves counts all the same."""

Name = Literal["hidden_flags", "lowered_scores", "left_out", "recomputed_losses"]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The rows that our audit mapped, (K,): what both sides say of each. The vendor's figures are NaN, and his flags False, where
    he did not train on a row."""

    our_flags: Flags
    our_memorization: Floats
    their_flags: Flags
    their_memorization: Floats
    their_trained: Flags

    def select(self, rows: NDArray[np.int64] | Flags) -> "Sides":
        """The same of some of the rows."""
        return Sides(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One test: `seen` of `among` rows, where an honest vendor has a share of `honest` at most; the chance of so many from an
    honest one, and the share that is understated beyond that: best estimate, and both ends of its interval."""

    name: Name
    seen: int
    among: int
    honest: float
    chance: float
    share: float
    at_least: float
    at_most: float

    @property
    def failed(self) -> bool:
        """Whether honesty does not explain it."""
        return self.chance <= LEVEL


def compare_sides(sides: Sides, *, whole: bool) -> list[Tested]:
    """Every test that these rows allow. `whole` says that the vendor trained on all but the rows that were held out."""
    both = sides.their_trained & np.isfinite(sides.our_memorization)
    flagged = both & sides.our_flags
    found = [_tested("hidden_flags", int((flagged & ~sides.their_flags).sum()), int(flagged.sum()), HONEST_MISSES)]
    hot = flagged & sides.their_flags
    drops = hot & (sides.our_memorization - np.nan_to_num(sides.their_memorization) > DROP)
    found.append(_tested("lowered_scores", int(drops.sum()), int(hot.sum()), HONEST_DROPS))
    if whole:
        found.append(_left_out(sides))
    return found


def _tested(name: Name, seen: int, among: int, honest: float) -> Tested:
    """A binomial test against the most that honesty explains; the interval is Clopper's and Pearson's."""
    low, high = _interval(seen, among)

    def beyond(share: float) -> float:
        return max(0.0, (share - honest) / (1 - honest))

    return Tested(
        name=name,
        seen=seen,
        among=among,
        honest=honest,
        chance=float(binom.sf(seen - 1, among, honest)) if among else 1.0,
        share=beyond(seen / among) if among else 0.0,
        at_least=beyond(low),
        at_most=beyond(high),
    )


def exact_test(name: Name, seen: int, among: int) -> Tested:
    """A test of what never happens to an honest vendor: one case is too many, and the share needs no allowance."""
    return replace(_tested(name, seen, among, 0.0), chance=0.0 if seen else 1.0)


def _interval(seen: int, among: int) -> tuple[float, float]:
    """Both ends for a share, each wrong with a chance of LEVEL."""
    low = float(beta.ppf(LEVEL, seen, among - seen + 1)) if seen else 0.0
    high = float(beta.ppf(1 - LEVEL, seen + 1, among - seen)) if seen < among else 1.0
    return low, high


def _left_out(sides: Sides) -> Tested:
    """Whether rows that we flag were left out of the vendor's audit more often than others: hypergeometric. Rows with kin, as
    most flagged ones, are never held out, so honesty leaves out fewer of them."""
    rows, flagged = len(sides.our_flags), int(sides.our_flags.sum())
    out = ~sides.their_trained
    seen, all_out = int((out & sides.our_flags).sum()), int(out.sum())
    most = int(hypergeom.ppf(1 - LEVEL, rows, all_out, flagged)) if flagged and all_out else 0
    expected = all_out / rows if rows else 0.0
    return Tested(
        name="left_out",
        seen=seen,
        among=flagged,
        honest=expected,
        chance=float(hypergeom.sf(seen - 1, rows, all_out, flagged)) if seen else 1.0,
        share=max(0.0, seen / flagged - expected) if flagged else 0.0,
        at_least=max(0, seen - most) / flagged if flagged else 0.0,
        at_most=_interval(seen, flagged)[1] if flagged else 1.0,
    )


def understated(tests: list[Tested]) -> float:
    """The share that is understated for certain: the most that a test which fails shows at least; 0 where none fails."""
    return max((max(test.at_least, 1e-6) for test in tests if test.failed), default=0.0)


def power_of(flagged: int, hidden: int) -> float:
    """The chance that hiding so many of the rows which we flag fails the test of hidden flags."""
    if hidden <= 0 or not flagged:
        return 0.0
    needed = least_misses(flagged)
    hidden = min(hidden, flagged)
    return float(binom.sf(needed - hidden - 1, flagged - hidden, USUAL_MISSES)) if needed > hidden else 1.0


def least_misses(flagged: int) -> int:
    """How many misses among the flagged rows fail the test."""
    return int(binom.isf(LEVEL, flagged, HONEST_MISSES)) + 1 if flagged else 1


def powers(flagged: int) -> Mapping[float, float]:
    """The chance to catch the hiding of each share of CHEATS."""
    return {share: power_of(flagged, math.floor(share * flagged)) for share in CHEATS}


def power_to_matter(flagged: int, rows: int) -> float:
    """The chance to catch a vendor who hides half of the flags, and no less than matters; 1 where so much cannot be hidden,
    because we flag fewer rows ourselves."""
    least = max(LEAST_HIDDEN, math.ceil(LEAST_HIDDEN_SHARE * rows))
    if flagged < least:
        return 1.0
    return power_of(flagged, max(least, flagged // 2))


def power_of_check(sides: Sides, *, whole: bool) -> float:
    """The same for these audits: 0 where the vendor's is of a sample (not `whole`) and misses so many of our flags that their
    hiding would matter, which nothing tells from chance."""
    flagged, seen = int(sides.our_flags.sum()), int((sides.our_flags & sides.their_trained).sum())
    rows = len(sides.our_flags)
    matters = max(LEAST_HIDDEN, math.ceil(LEAST_HIDDEN_SHARE * rows), flagged // 2)
    if not rows or (not whole and flagged - seen >= matters):
        return 0.0
    return power_to_matter(seen, rows)


def rows_needed(flagged_share: float, hidden_share: float, power: float = 0.95) -> int:
    """How many rows must be challenged so that hiding a share of the flags is caught with this chance."""

    def enough(flagged: int) -> bool:
        return power_of(flagged, math.floor(hidden_share * flagged)) >= power

    return math.ceil(_least(enough) / flagged_share)


def _least(holds: Callable[[int], bool]) -> int:
    """The least number from which on a claim holds for ten in a row: power is not monotone in whole rows."""
    number = 1
    while not all(holds(number + more) for more in range(10)):
        number += 1
    return number
