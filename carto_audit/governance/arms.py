"""Arms: what could be done with a batch, each as one weight per row. Beside every treatment stand its controls."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.scores import SCORES
from carto_audit.data.duplicates import Duplicates
from carto_audit.pipeline.options import MOST_EPOCHS
from carto_audit.runtime.errors import UsageError, option
from carto_audit.text.untrusted import safe_inline

KINDS = ("untreated", "prune", "random", "deduplicate", "downweight", "remove_flagged", "policy")

MOST_SEEDS = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One intervention. `level` is the share of tokens that it may prune, `alpha` the weight that flagged rows keep, `score`
    what ranks the rows; `weight` (N,) is how often a row is read per epoch, on average."""

    kind: str
    weight: Floats
    level: float | None = None
    alpha: float | None = None
    score: str | None = None

    @property
    def key(self) -> tuple[str, float | None, float | None, str | None]:
        """What names the arm across seeds."""
        return self.kind, self.level, self.alpha, self.score

    @property
    def digest(self) -> str:
        """Arms of equal weights are the same arm, and are trained once."""
        return hashlib.sha256(self.weight.tobytes()).hexdigest()[:16]


def title_of(kind: str, level: float | None, alpha: float | None, score: str | None) -> str:
    """An arm in words."""
    share = f"{100 * level:g} %" if level is not None else ""
    return {
        "untreated": "untreated",
        "prune": f"prune {share} by {str(score).replace('_', ' ')}",
        "random": f"prune {share} at random",
        "deduplicate": f"deduplicate, {share} at most",
        "downweight": f"weight {alpha:g} for what the map flags" if alpha is not None else "",
        "remove_flagged": "remove what the map flags",
        "policy": "the policy's interventions",
    }[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which arms to compare."""

    levels: tuple[float, ...]
    alphas: tuple[float, ...]
    scores: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """What is known of the N rows of a batch: their tokens, every score in the plan (NaN where a row has none), which lie
    above the map's line, and the weights that the policy gives."""

    n_tokens: NDArray[np.int64]
    scores: dict[str, Floats]
    flagged: NDArray[np.bool_]
    policy_weight: Floats
    duplicates: Duplicates


def plan_arms(plan: Plan, rows: Ranked, seed: int) -> list[Arm]:
    """Every arm of a plan, the untreated batch first."""
    n = len(rows.n_tokens)
    arms = [Arm(kind="untreated", weight=np.ones(n))]
    for level in plan.levels:
        arms += [
            Arm(kind="prune", level=level, score=name, weight=prune(rows.n_tokens, rows.scores[name], level))
            for name in plan.scores
        ]
        arms.append(
            Arm(
                kind="random", level=level, weight=prune(rows.n_tokens, _chance(len(rows.n_tokens), level, seed), level)
            )
        )
        arms.append(Arm(kind="deduplicate", level=level, weight=prune(rows.n_tokens, _surplus(rows.duplicates), level)))
    arms += [Arm(kind="downweight", alpha=alpha, weight=np.where(rows.flagged, alpha, 1.0)) for alpha in plan.alphas]
    arms.append(Arm(kind="remove_flagged", weight=np.where(rows.flagged, 0.0, 1.0)))
    arms.append(Arm(kind="policy", weight=rows.policy_weight))
    return arms


def prune(n_tokens: NDArray[np.int64], score: Floats, level: float) -> Floats:
    """Weights (N,): 0 for the rows of highest score that together hold at most `level` of the tokens, 1 for the rest. A row
    without a score (NaN) stays, and so does one that no longer fits; what follows it may still go, or one long row would
    spare all others, and random pruning take more than what it is held against."""
    order = np.argsort(-np.where(np.isfinite(score), score, -np.inf), kind="stable")
    weight, room = np.ones(len(n_tokens)), level * float(n_tokens.sum())
    for i in order[np.isfinite(score[order])].tolist():
        if n_tokens[i] <= room:
            weight[i] = 0.0
            room -= float(n_tokens[i])
    return weight


def cut_score(score: Floats, weight: Floats) -> float | None:
    """The next number below the score of every pruned row: a threshold that flags them. None where nothing was pruned."""
    gone = score[(weight == 0) & np.isfinite(score)]
    return float(np.nextafter(gone.min(), -np.inf)) if len(gone) else None


def _chance(n: int, level: float, seed: int) -> Floats:
    return np.random.default_rng([seed, 0x5A, round(1e4 * level)]).random(n)


def _surplus(duplicates: Duplicates) -> Floats:
    """Copies, exact and near, by the size of their cluster, exact ones first; NaN for the one of each cluster that stays."""
    exact = duplicates.exact.astype(np.float64)
    size = duplicates.cluster_size + 0.5 * exact
    return np.where(duplicates.exact | duplicates.near, size, np.nan)


def without_repeats(arms: Sequence[Arm]) -> list[Arm]:
    """The first of all arms that have the same weights."""
    first = {arm.digest: arm for arm in reversed(arms)}
    return [arm for arm in arms if first[arm.digest] is arm]


def check_asked(seeds: int | None, levels: Sequence[float], max_perplexity_increase: float, epochs: int | None) -> None:
    """Raises UsageError for what no red team can do."""
    if seeds is not None and not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"{option('seeds', seeds)}: from 1 to {MOST_SEEDS}")
    for level in levels:
        if not 0 < level < 1:
            raise UsageError(f"{option('levels', level)}: a share of the tokens, above 0 and below 1")
    if not 0 <= max_perplexity_increase <= 1:
        raise UsageError(f"{option('max_perplexity_increase', max_perplexity_increase)}: from 0 to 1")
    if epochs is not None and not 2 <= epochs <= MOST_EPOCHS:
        raise UsageError(f"{option('epochs', epochs)}: from 2 to {MOST_EPOCHS:,}")


def ranking_of(policy_score: str, others: Sequence[str]) -> tuple[str, ...]:
    """The policy's score, then the others that were asked for. Raises UsageError for one that ranks nothing."""
    for name in others:
        if name not in SCORES:
            raise UsageError(
                f'{option("scores")} "{safe_inline(name, 40)}": no such score; there are: {", ".join(SCORES)}'
            )
    return tuple(dict.fromkeys([policy_score, *others]))
