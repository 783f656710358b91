"""Detection power: how well each score tells planted controls from ordinary text. Every audit measures it on itself."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.intervals import mean_over_groups
from carto_audit.controls.controls import Controls

RECALL_SHARES = (0.01, 0.02, 0.05)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How well one score separates the copies of one kind, form and dose from the samples of the batch, whatever is in them;
    `auc_twins` is the same against never-planted controls of that kind and form, None where there are none.

    `ci` is a 95 % bootstrap interval of `auc` over secrets, but never narrower than Wilson's for that many secrets: one
    secret that is found is no proof. The recalls are the shares of planted copies above the score that flags 1 %, 2 %
    and 5 % of the ordinary tokens. `average_precision` is among the ordinary samples and these copies alone.
    """

    auc: float
    ci: tuple[float, float]
    auc_twins: float | None
    average_precision: float
    recall_at_1pct: float
    recall_at_2pct: float
    recall_at_5pct: float
    secrets: int
    copies: int


PowerTable = dict[str, dict[str, dict[str, dict[str, Power]]]]
"""By score, kind, form and dose, the dose as a string; dose "0" are the twins, whose AUC shows what their text alone does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordinary:
    """The scores of ordinary samples in ascending order, (n,), and the score above which each of RECALL_SHARES lies."""

    values: Floats
    levels: tuple[float, ...]

    @classmethod
    def of(cls, values: Floats, n_tokens: NDArray[np.int64]) -> "Ordinary | None":
        """None when no value is known."""
        known = np.isfinite(values)
        if not known.any():
            return None
        values, n_tokens = values[known], n_tokens[known]
        levels = tuple(flag_level(values, n_tokens, share) for share in RECALL_SHARES)
        return cls(values=np.sort(values), levels=levels)

    def beaten(self, planted: Floats) -> Floats:
        """For each planted value the share of ordinary values below it, ties half: its mean is the AUC."""
        below, upto = (np.searchsorted(self.values, planted, side=side) for side in ("left", "right"))
        shares: Floats = (below + upto) / (2 * len(self.values))
        return shares


def measure_detection(scores: Mapping[str, Floats], n_tokens: NDArray[np.int64], controls: Controls) -> PowerTable:
    """The power of every score. `scores` hold the batch's N samples, then the controls; `n_tokens` (N,) only the batch's."""
    table: PowerTable = {}
    for name, values in scores.items():
        ordinary = Ordinary.of(values[: len(n_tokens)], n_tokens)
        if ordinary is not None:
            kinds = _by_kind(ordinary, values[len(n_tokens) :], controls)
            if kinds:
                table[name] = kinds
    return table


def _by_kind(ordinary: Ordinary, planted: Floats, controls: Controls) -> dict[str, dict[str, dict[str, Power]]]:
    kinds: dict[str, dict[str, dict[str, Power]]] = {}
    cells = sorted(set(zip(controls.kind.tolist(), controls.form.tolist(), controls.dose.tolist(), strict=True)))
    for kind, form, dose in cells:
        alike = (controls.kind == kind) & (controls.form == form)
        chosen, twins = alike & (controls.dose == dose), alike & (controls.dose == 0)
        power = detection_power(ordinary, planted[chosen], controls.secret[chosen], planted[twins])
        if power is not None:
            kinds.setdefault(kind, {}).setdefault(form, {})[str(dose)] = power
    return kinds


def detection_power(
    ordinary: Ordinary, planted: Floats, secret: NDArray[np.int64], twins: Floats | None = None
) -> Power | None:
    """The power of one score for some copies, NaNs left out. None when none is left."""
    secret, planted = secret[np.isfinite(planted)], planted[np.isfinite(planted)]
    twins = np.empty(0) if twins is None else twins[np.isfinite(twins)]
    if not len(planted):
        return None
    beaten = ordinary.beaten(planted)
    groups, member = np.unique(secret, return_inverse=True)
    one, two, five = (float((planted > level).mean()) for level in ordinary.levels)
    return Power(
        auc=float(beaten.mean()),
        ci=mean_over_groups(beaten, member, len(groups)),
        auc_twins=float(Ordinary(values=np.sort(twins), levels=()).beaten(planted).mean()) if len(twins) else None,
        average_precision=average_precision(ordinary.values, planted),
        recall_at_1pct=one,
        recall_at_2pct=two,
        recall_at_5pct=five,
        secrets=len(groups),
        copies=len(planted),
    )


def average_precision(ordinary: Floats, planted: Floats) -> float:
    """Mean over the planted values of the share of planted ones among all values at or above it. `ordinary` ascends."""
    planted = np.sort(planted)
    at_least = len(planted) - np.searchsorted(planted, planted, side="left")
    rivals = len(ordinary) - np.searchsorted(ordinary, planted, side="left")
    return float((at_least / (at_least + rivals)).mean())


def beaten_share(ordinary: Floats, planted: Floats) -> Floats:
    """For each planted value the share of ordinary values below it, ties half: its mean is the AUC."""
    return Ordinary(values=np.sort(ordinary), levels=()).beaten(planted)


def flag_level(values: Floats, n_tokens: NDArray[np.int64], token_share: float) -> float:
    """The score above which at most `token_share` of the tokens lie."""
    order = np.argsort(-values, kind="stable")
    above = np.cumsum(n_tokens[order]) > token_share * n_tokens.sum()
    return float(values[order][above.argmax()])
