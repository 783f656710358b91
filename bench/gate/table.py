"""The tables of the gate: raw counts by mass, a logistic curve beside them, AQL and LTPD, and whether the bar holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit
from scipy.stats import binomtest

from carto_audit.gate.operating import memory_sha256
from carto_audit.policy.model import load_policy

Run = Mapping[str, Any]
Results = list[dict[str, Any]]
"""A dict per audited batch."""

Floats = NDArray[np.float64]

PRODUCER, CONSUMER = 0.05, 0.90
"""AQL is the mass at which so many batches are rejected, LTPD the one at which so many are."""

HALF, TWICE = 0.025, 0.10
"""Of `default`'s limit on passages, 5 % of the tokens."""

BAR_POINT, BAR_BOUND, BAR_ACCEPTED = 0.05, 0.15, 0.10

BATCHES, AT_HALF = 12, 24
"""Batches per mass at the dose that is asked about, and there at half of the limit. Where none of 12 is rejected, up to 26 % may
be in truth, of 24 up to 14 %. The bar is decided when they are all there."""


LEAST_FITTED = 24
"""Batches, through fewer of which no curve is drawn: one that stands out would decide it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The share of batches that fail at a mass m: 1 / (1 + exp(-slope * (m - middle))), by maximum likelihood."""

    middle: float
    slope: float

    def mass_at(self, share: float) -> float:
        """The mass at which such a share of the batches fails; 0 where more do even without any."""
        return max(0.0, float(self.middle + logit(share) / self.slope))


def fit(mass: Floats, failed: NDArray[np.bool_]) -> Curve | None:
    """A logistic curve through single batches, (N,) each; None where the failed and the others do not overlap, since then a
    steeper curve always fits better, or where more mass does not fail more often."""
    if failed.all() or not failed.any() or mass[~failed].max() <= mass[failed].min():
        return None
    scale = float(mass.std()) or 1.0

    def loss(at: Floats) -> float:
        signed = np.where(failed, 1.0, -1.0) * (at[0] + at[1] * mass / scale)
        return float(np.logaddexp(0.0, -signed).sum())

    constant, slope = minimize(loss, np.zeros(2), method="BFGS").x
    if slope <= 0:
        return None
    return Curve(middle=float(-constant / slope * scale), slope=float(slope / scale))


def interval(k: int, n: int) -> tuple[float, float]:
    """Of Clopper and Pearson, two-sided with 95 % confidence."""
    found = binomtest(k, n).proportion_ci(confidence_level=0.95, method="exact")
    return float(found.low), float(found.high)


def count(k: int, n: int) -> str:
    """`1 of 12 (0 to 38 %)`."""
    low, high = interval(k, n)
    return f"{k} of {n} ({100 * low:.0f} to {100 * high:.0f} %)"


def table(results: Results, planned: int) -> str:
    """The results as Markdown."""
    if not results:
        return "no results"
    parts = [f"Audited: {len(results)} of {planned} batches of the plan."]
    cells = {(r["asked"], r["dose"]) for r in results if r["mass"]}
    for asked, dose in sorted(cells, key=lambda cell: (-cell[0], cell[1] != cell[0], cell[1])):
        runs = [r for r in results if r["asked"] == asked and (r["dose"] == dose or not r["mass"])]
        parts += [_policy(name, dose, runs) for name in runs[0]["policies"] if _limits_mass(name, runs)]
    without = sorted({name for r in results for name in r["policies"] if not _limits_mass(name, [r])})
    if without:
        parts.append(f"Without a rule on memorized mass, so that none is ever rejected: {', '.join(without)}.")
    demanded = [r for r in results if r["asked"] == r["dose"] == 4 and "default" in r["policies"]]
    return "\n\n".join([*parts, *_bar(demanded), *_measured(results)])


def operating(results: Results) -> dict[str, Any]:
    """What a report of the package tells of each shipped policy: how batches of its own dose ended, by mass."""
    found: dict[str, Any] = {}
    for asked in sorted({r["asked"] for r in results}):
        runs = [r for r in results if r["asked"] == asked and (r["dose"] == asked or not r["mass"])]
        for name in [name for name in runs[0]["policies"] if _limits_mass(name, runs)]:
            masses = [
                _ended(mass, name, [r for r in runs if r["mass"] == mass]) for mass in sorted({r["mass"] for r in runs})
            ]
            tokens = round(float(np.mean([r["tokens"] for r in runs])), -3)
            measured = {"dose": asked, "tokens": int(tokens), "masses": masses}
            found[name] = {"memory_sha256": memory_sha256(load_policy(name)), "measured": measured}
    return found


def _ended(mass: float, name: str, runs: Sequence[Run]) -> dict[str, Any]:
    counts = {
        what: sum(judged(r, name) for r in runs) for what, judged in (("rejected", rejected), ("accepted", accepted))
    }
    return {"planted": mass, "batches": len(runs), **counts}


def _limits_mass(name: str, runs: Sequence[Run]) -> bool:
    return any(r["policies"][name]["by_memory"] != "no_rule" for r in runs if name in r["policies"])


def _policy(name: str, dose: int, runs: Sequence[Run]) -> str:
    """One policy at one dose: a row per mass, then the curve."""
    lines = [
        f"**`{name}`, secrets planted {dose} times**\n",
        "| planted | batches | true mass: passages | samples | rules on memory fail | rejected | inconclusive | accepted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for mass in sorted({r["mass"] for r in runs}):
        lines.append(_row(mass, name, [r for r in runs if r["mass"] == mass]))
    return "\n".join([*lines, "", _ends_of_curve(name, runs)])


def _row(mass: float, name: str, runs: Sequence[Run]) -> str:
    counts = [
        count(sum(judged(r, name) for r in runs), len(runs))
        for judged in (fails, rejected, _starts("inconclusive"), accepted)
    ]
    means = [_mean([r[key] for r in runs]) for key in ("token_mass", "sample_mass")]
    return f"| {100 * mass:g} % | {len(runs)} | {' | '.join([*means, *counts])} |"


Question = Callable[[Run, str], bool]


def fails(run: Run, name: str) -> bool:
    """Whether a rule on what is measured by memory fails, of either severity."""
    return run["policies"][name]["by_memory"] in ("failed", "warned")


def _starts(start: str) -> Question:
    def starts(run: Run, name: str) -> bool:
        status: str = run["policies"][name]["status"]
        return status.startswith(start)

    return starts


rejected, accepted = _starts("rejected"), _starts("accepted")


def _ends_of_curve(name: str, runs: Sequence[Run]) -> str:
    """AQL and LTPD by the fitted curve, or what the counts say without one."""
    known = [r for r in runs if r["policies"][name]["by_memory"] != "not_measured"]
    if not known:
        return "No fit: memory was measured in none."
    mass = np.array([r["token_mass"] for r in known])
    failed = np.array([fails(r, name) for r in known], dtype=bool)
    curve = fit(mass, failed) if len(known) >= LEAST_FITTED else None
    if curve:
        aql, middle, ltpd = (100 * curve.mass_at(share) for share in (PRODUCER, 0.5, CONSUMER))
        return f"Logistic fit: AQL {aql:.1f} %, half at {middle:.1f} %, LTPD {ltpd:.1f} % of the tokens in passages."
    if failed.all() or not failed.any():
        return f"No fit: {'all' if failed.all() else 'none'} of {len(known)} fail."
    highest, lowest = 100 * mass[~failed].max(), 100 * mass[failed].min()
    if highest == lowest:
        return f"No fit: of {len(known)} none fail below {lowest:.1f} %, some at it, all above it."
    if highest < lowest:
        return f"No fit, as nothing overlaps: of {len(known)} all up to {highest:.1f} % hold, all from {lowest:.1f} % fail."
    if len(known) < LEAST_FITTED:
        return f"No fit through {len(known)} batches: some hold up to {highest:.1f} %, some fail from {lowest:.1f} %."
    return "No fit: more mass does not fail more often."


def _bar(runs: Sequence[Run]) -> Iterator[str]:
    """Whether the bar holds: `default`, secrets planted 4 times."""
    half, twice = ([r for r in runs if r["mass"] == mass] for mass in (HALF, TWICE))
    lines = []
    for what, judged in (("rejected", rejected), ("rules on memory fail", fails)):
        k, n = sum(judged(r, "default") for r in half), len(half)
        if n:
            holds = k / n <= BAR_POINT and interval(k, n)[1] <= BAR_BOUND
            decided = _decided(n, AT_HALF, holds)
            lines.append(
                f"| half the limit | {what} | {count(k, n)} | at most 5 %, at the upper end 15 % | {decided} |"
            )
    for what, judged in (("accepted", accepted), ("rules on memory hold", _holds)):
        k, n = sum(judged(r, "default") for r in twice), len(twice)
        if n:
            decided = _decided(n, BATCHES, k / n <= BAR_ACCEPTED)
            lines.append(f"| twice the limit | {what} | {count(k, n)} | at most 10 % | {decided} |")
    if lines:
        yield "**The bar: `default`, secrets planted 4 times**"
        yield "\n".join(["| mass | batches | seen | demanded | holds |", "|---|---|---|---|---|", *lines])


def _measured(results: Results) -> Iterator[str]:
    """What was measured beside what is planted, by corpus: means, also of the upper ends that limits are held against."""
    lines = [
        "| asked dose | planted | corpus | batches | true: passages | measured (up to) | true: samples | measured (up to) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in sorted({(-r["asked"], r["dose"], r["mass"], r["corpus"]) for r in results}):
        runs = [r for r in results if (-r["asked"], r["dose"], r["mass"], r["corpus"]) == cell]
        planted = f"{100 * cell[2]:g} %, {cell[1]} times" if cell[2] else "none"
        shares = [
            _mean([r["token_mass"] for r in runs]),
            _seen(runs, "memorized.span_token_share"),
            _mean([r["sample_mass"] for r in runs]),
            _seen(runs, "memorized.token_share"),
        ]
        lines.append(f"| {-cell[0]} | {planted} | {cell[3]} | {len(runs)} | {' | '.join(shares)} |")
    yield "**What was measured beside what is planted**"
    yield "\n".join(lines)


def _seen(runs: Sequence[Run], metric: str) -> str:
    known = [r["measured"][metric] for r in runs if metric in r["measured"]]
    return f"{_mean([m[0] for m in known])} ({_mean([m[2] for m in known])})" if known else "–"


def _mean(shares: Sequence[float]) -> str:
    return f"{100 * float(np.mean(shares)):.1f} %"


def _holds(run: Run, name: str) -> bool:
    return not fails(run, name)


def _decided(measured: int, planned: int, holds: bool) -> str:
    if measured < planned:
        return f"too few: {measured} of {planned}"
    return "yes" if holds else "no"
