"""Actions: what to do with each sample. Down-weighting follows the map; up-sampling is gated, and benchmark items never stay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.analysis import LossAnalysis
from carto_audit.cartography.noise import find_noise
from carto_audit.cartography.quadrants import MEMORIZED, QUADRANT_NAMES, QUADRANTS
from carto_audit.cartography.reasons import Reasons
from carto_audit.data.batch import Batch
from carto_audit.policy.interventions import KEEP, Intervention
from carto_audit.policy.model import Policy
from carto_audit.runtime.progress import SILENT, Progress

_DEFAULT_DOWNWEIGHT = 0.5  # the paper's alpha: the weight of a benchmark item where nothing may be dropped
_OFF_MAP = "not trained on, so it has no place on the map"
_HELD_OUT = (
    "held out, so it has no place on the map: this audit's controls are made of it; no other sample shares its text"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Actions:
    """One decision per sample, aligned with the batch: arrays of N."""

    action: NDArray[np.str_]
    weight: NDArray[np.float64]
    reasons: NDArray[np.object_]
    """One sentence of ours per sample, never vendor text."""

    def without(self, chosen: NDArray[np.bool_], why: str) -> "Actions":
        """The same with some samples (N,) removed whatever was decided about them."""
        return Actions(
            action=np.where(chosen, "remove", self.action),
            weight=np.where(chosen, 0.0, self.weight),
            reasons=np.where(chosen, why, self.reasons),
        )

    def overruled(self, keep: NDArray[np.bool_], remove: NDArray[np.bool_], why: NDArray[np.object_]) -> "Actions":
        """The same where people decided otherwise: some samples (N,) stay with weight 1, some go, each for a reason in `why`."""
        action, weight = np.where(keep, "keep", self.action), np.where(keep, 1.0, self.weight)
        return Actions(
            action=np.where(remove, "remove", action),
            weight=np.where(remove, 0.0, weight),
            reasons=np.where(keep | remove, why, self.reasons),
        )


def decide(
    quadrant: NDArray[np.int8],
    interventions: Mapping[Any, Intervention],
    *,
    benchmark_match: NDArray[np.bool_],
    noise: NDArray[np.bool_],
    suspected: NDArray[np.bool_] | None = None,
    never_drop: bool = False,
    reasons: Reasons | None = None,
    held_out: NDArray[np.bool_] | None = None,
) -> Actions:
    """The action, weight and reason of each of N samples, from its quadrant code (-1: not on the map).

    A confirmed benchmark match is removed wherever it lies, or down-weighted under `never_drop`. Noise, and matches
    confirmed or suspected, are never up-sampled. A quadrant without an intervention is kept. `reasons` says why samples
    are memorized; `held_out` marks those that only lent their text to controls.
    """
    # KEEP stands last, where the code -1 (not on the map) finds it.
    chosen = [*(interventions.get(name, KEEP) for name in QUADRANT_NAMES), KEEP]
    action = np.array([choice.action for choice in chosen], dtype="<U10")[quadrant]  # (N,)
    weight = np.array([choice.weight for choice in chosen], dtype=np.float64)[quadrant]  # (N,)
    words = np.array([*(QUADRANTS[name].meaning for name in QUADRANT_NAMES), _OFF_MAP], dtype=object)[quadrant]  # (N,)
    if held_out is not None:
        words[held_out] = _HELD_OUT
    if reasons is not None:
        for i in np.flatnonzero(np.isin(quadrant, MEMORIZED)):
            words[i] += f"; {reasons.words(int(i))}"

    for i in np.flatnonzero(noise):
        words[i] = f"noise that no training makes predictable; {words[i]}"

    upsampled = action == "upsample"
    doubtful = benchmark_match if suspected is None else benchmark_match | suspected
    for gate, why in ((noise, "it is noise"), (doubtful, "it may hold a benchmark item")):
        words[upsampled & gate] += f"; not up-sampled, because {why}"
    gated = upsampled & (noise | doubtful)
    action[gated], weight[gated] = "keep", 1.0

    if never_drop:
        weight[benchmark_match] = np.minimum(weight[benchmark_match], _downweight(interventions))
        action[benchmark_match] = "downweight"
        words[benchmark_match] = "holds a confirmed benchmark item; down-weighted, because the policy never drops"
    else:
        action[benchmark_match], weight[benchmark_match] = "remove", 0.0
        words[benchmark_match] = "holds a confirmed benchmark item"
    return Actions(action=action, weight=weight, reasons=words)


def _downweight(interventions: Mapping[Any, Intervention]) -> float:
    hotspot = interventions.get("hotspot_memorized", KEEP)
    return hotspot.weight if hotspot.action == "downweight" else _DEFAULT_DOWNWEIGHT


def advise(
    policy: Policy,
    batch: Batch,
    analysis: LossAnalysis,
    confirmed: NDArray[np.bool_],
    suspected: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    progress: Progress = SILENT,
) -> Actions:
    """What the policy says of each sample of an audit, of which some hold `confirmed` or `suspected` benchmark items; up-sampling
    is closed to noise and to these."""
    return decide(
        analysis.quadrant,
        policy.interventions,
        benchmark_match=confirmed,
        suspected=suspected,
        noise=find_noise(batch, batch.trainable, analysis.scores, progress),
        never_drop=policy.never_drop,
        reasons=analysis.reasons,
        held_out=held_out,
    )
