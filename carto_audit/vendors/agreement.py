"""Agreement: a vendor's figures beside an audit of our own. The tests are exact and one-sided: only what flatters counts."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, hypergeom, t

HONEST_MISSES, USUAL_MISSES = 0.07, 0.02
"""Of the rows that we flag, the share that an honest vendor does not: at most, and what the power is computed with: fewer than
were seen make it smaller (bench/vendors)."""

HONEST_LOWERING = 0.05
"""By how much the mean score of the rows that we flag may be lower at an honest vendor's, beyond what LEARNED explains."""

LEARNED, MOST_LEARNED = 0.25, 0.1
"""From one honest audit to another all scores of a batch shift together, since one pair of proxies learned more: by
a quarter of the difference of their losses on ordinary rows, in nats per token, and no more than MOST_LEARNED (bench/vendors)."""

DEPTH = 2
"""A flagged row has fallen in rank where it is not among DEPTH times as many of the vendor's highest scores as we flag rows."""

LEAST_ROWS = 8
"""With fewer flagged rows a mean says nothing."""

DRAWS = 1999
"""Of a test without a closed form; its chance is exact for any number, as a Monte Carlo test's is."""

CHEATS = (0.1, 0.3, 0.5)
"""Shares of the flags, whose hiding the report says the chance to catch."""

LEAST_HIDDEN_SHARE, LEAST_HIDDEN = 0.01, 5
"""What hiding is too small to matter: below 1 % of the rows, or five of them. What we flag ourselves counts all the same."""

_CELLS = 1 << 22
"""Of draws times rows, at once in memory."""

Name = Literal["hidden_flags", "hidden_mass", "lowered_scores", "fallen_ranks", "left_out", "recomputed_losses"]
LEVELS: Mapping[Name, float] = {
    "hidden_flags": 0.005,
    "lowered_scores": 0.002,
    "hidden_mass": 0.001,
    "fallen_ranks": 0.001,
    "left_out": 0.0005,
    "recomputed_losses": 0.0005,
}
"""Chance that an honest summary fails each test: 1 % for all together."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The rows that our audit mapped, (K,): what both sides say of each. `loss` is that of the proxy which read the row, in nats
    per token. The vendor's figures are NaN, and his flags False, where he did not train on a row."""

    n_tokens: NDArray[np.int64]
    our_flags: Flags
    our_memorization: Floats
    our_loss: Floats
    their_flags: Flags
    their_memorization: Floats
    their_loss: Floats
    their_trained: Flags

    def select(self, rows: NDArray[np.int64] | Flags) -> "Sides":
        """The same of some of the rows."""
        return Sides(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One test: `seen` of `among` rows (tokens, of a mass), where an honest vendor has a share of `honest` at most; the chance of
    so many from an honest one, and the share that is understated beyond that: best estimate, and both ends of its interval."""

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
        return self.chance <= LEVELS[self.name]


def explained_lowering(sides: Sides) -> float:
    """How much higher our scores may be because our proxies learned more, by the losses on rows that neither side flags; negative
    where theirs did. `--vendor-recompute` computes the vendor's losses again."""
    ordinary = ~sides.our_flags & ~sides.their_flags
    ours, theirs = sides.our_loss[ordinary], sides.their_loss[ordinary]
    known = np.isfinite(ours) & np.isfinite(theirs)
    learned = float((theirs[known] - ours[known]).mean()) if known.any() else 0.0
    return max(-MOST_LEARNED, min(MOST_LEARNED, LEARNED * learned))


def compare_sides(sides: Sides, *, whole: bool) -> list[Tested]:
    """Every test that these rows allow. `whole` says that the vendor trained on all but the rows that were held out."""
    both = sides.select(sides.their_trained & np.isfinite(sides.our_memorization))
    ours, theirs = both.our_flags, np.nan_to_num(both.their_memorization)
    fallen = _ranks(theirs) > DEPTH * max(1, int(ours.sum()))
    found = [
        _tested("hidden_flags", int((ours & ~both.their_flags).sum()), int(ours.sum()), HONEST_MISSES),
        hidden_mass(both.n_tokens[ours], ~both.their_flags[ours]),
        lowered_scores(both.our_memorization[ours], theirs[ours], explained_lowering(both)),
        _tested("fallen_ranks", int((ours & fallen).sum()), int(ours.sum()), HONEST_MISSES),
    ]
    return [*found, _left_out(sides)] if whole else found


def lowered_scores(ours: Floats, theirs: Floats, explained: float) -> Tested:
    """Whether the rows that we flag, (K,), score lower at the vendor's than honesty explains: a t-test of the mean. `share` is
    how much of their mean score is understated, `seen` counts the rows that are lower by more."""
    allowed = HONEST_LOWERING + explained
    lower = ours - theirs
    tested = _tested("lowered_scores", int((lower > allowed).sum()), len(ours), HONEST_LOWERING)
    if len(ours) < LEAST_ROWS:
        return replace(tested, chance=1.0, share=0.0, at_least=0.0, at_most=1.0)
    error = max(float(lower.std(ddof=1)) / math.sqrt(len(ours)), 1e-9)
    mean, wide = float(lower.mean()) - allowed, float(t.ppf(1 - LEVELS["lowered_scores"], len(ours) - 1)) * error
    low, middle, high = (max(0.0, min(1.0, end / float(ours.mean()))) for end in (mean - wide, mean, mean + wide))
    chance = float(t.sf(mean / error, len(ours) - 1))
    return replace(tested, chance=chance, share=middle, at_least=low, at_most=high)


def _ranks(scores: Floats) -> NDArray[np.int64]:
    """The rank of each score, (K,), 1 for the highest: of equal ones the worst, so that a score of zero is never high."""
    ascending = np.sort(scores)
    ranks: NDArray[np.int64] = len(scores) - np.searchsorted(ascending, scores, side="left")
    return ranks


def hidden_mass(n_tokens: NDArray[np.int64], hidden: Flags) -> Tested:
    """Whether the rows that are hidden, of those that we flag, hold more tokens than misses by chance would: who hides the long
    ones hides more of the mass than of the rows. (K,) each.

    Every draw says from which share of misses on its rows would hold as many tokens as are hidden: what HONEST_MISSES does not
    reach is not honest, and the quantiles of these shares are the ends of the interval (a Monte Carlo test, draws of a fixed
    seed)."""
    among, seen = int(n_tokens.sum()), int(n_tokens[hidden].sum())
    if not seen:
        return replace(_tested("hidden_mass", 0, len(n_tokens), HONEST_MISSES), among=among)
    rng = np.random.default_rng(0)
    at_once = max(1, min(DRAWS, _CELLS // len(n_tokens)))
    reached = np.concatenate([_shares_reaching(n_tokens, seen, rng, at_once) for _ in range(0, DRAWS, at_once)])
    level = LEVELS["hidden_mass"]
    low, high = np.quantile(reached[:, 0], level), np.quantile(reached[:, 1], 1 - level)
    share = seen / among
    return Tested(
        name="hidden_mass",
        seen=seen,
        among=among,
        honest=HONEST_MISSES,
        chance=float((1 + (reached[:, 0] <= HONEST_MISSES).sum()) / (1 + len(reached))),
        share=_beyond(share, HONEST_MISSES),
        at_least=_beyond(float(low), HONEST_MISSES),
        at_most=_beyond(float(high), HONEST_MISSES),
    )


def _shares_reaching(n_tokens: NDArray[np.int64], seen: int, rng: np.random.Generator, draws: int) -> Floats:
    """In each draw: from which share of misses on they hold `seen` tokens, and from which on more than these, (draws, 2)."""
    at = rng.random((draws, len(n_tokens)))
    order = np.argsort(at, axis=1)
    held = np.cumsum(n_tokens[order], axis=1)
    ends = np.column_stack([np.take_along_axis(at, order, axis=1), np.ones(draws)])
    places = np.column_stack([(held < seen).sum(axis=1), (held <= seen).sum(axis=1)])
    return np.take_along_axis(ends, places, axis=1)


def _beyond(share: float, honest: float) -> float:
    """What of a share honesty does not explain."""
    return max(0.0, (share - honest) / (1 - honest))


def _tested(name: Name, seen: int, among: int, honest: float) -> Tested:
    """A binomial test against the most that honesty explains; the interval is Clopper's and Pearson's."""
    low, high = _interval(seen, among, LEVELS[name])
    return Tested(
        name=name,
        seen=seen,
        among=among,
        honest=honest,
        chance=float(binom.sf(seen - 1, among, honest)) if among else 1.0,
        share=_beyond(seen / among, honest) if among else 0.0,
        at_least=_beyond(low, honest),
        at_most=_beyond(high, honest),
    )


def exact_test(name: Name, seen: int, among: int) -> Tested:
    """A test of what never happens to an honest vendor: one case is too many, and the share needs no allowance."""
    return replace(_tested(name, seen, among, 0.0), chance=0.0 if seen else 1.0)


def _interval(seen: int, among: int, level: float) -> tuple[float, float]:
    """Both ends for a share, each wrong with a chance of `level`."""
    low = float(beta.ppf(level, seen, among - seen + 1)) if seen else 0.0
    high = float(beta.ppf(1 - level, seen + 1, among - seen)) if seen < among else 1.0
    return low, high


def _left_out(sides: Sides) -> Tested:
    """Whether rows that we flag were left out of the vendor's audit more often than others: hypergeometric. Rows with kin, as
    most flagged ones, are never held out, so honesty leaves out fewer of them."""
    rows, flagged = len(sides.our_flags), int(sides.our_flags.sum())
    out = ~sides.their_trained
    seen, all_out, level = int((out & sides.our_flags).sum()), int(out.sum()), LEVELS["left_out"]
    most = int(hypergeom.ppf(1 - level, rows, all_out, flagged)) if flagged and all_out else 0
    expected = all_out / rows if rows else 0.0
    return Tested(
        name="left_out",
        seen=seen,
        among=flagged,
        honest=expected,
        chance=float(hypergeom.sf(seen - 1, rows, all_out, flagged)) if seen else 1.0,
        share=max(0.0, seen / flagged - expected) if flagged else 0.0,
        at_least=max(0, seen - most) / flagged if flagged else 0.0,
        at_most=_interval(seen, flagged, level)[1] if flagged else 1.0,
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
    return int(binom.isf(LEVELS["hidden_flags"], flagged, HONEST_MISSES)) + 1 if flagged else 1


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
