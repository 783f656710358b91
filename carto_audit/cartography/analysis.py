"""Analysis: what the losses of one or several runs show: scores, how well they see, the map, and why samples are flagged."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.baselines import DeltaStep, copy_baselines, delta_sweep, trace_baselines
from carto_audit.cartography.datamap import DataMap, Mass, draw_map, masses
from carto_audit.cartography.detection_power import Ordinary, Power, PowerTable, detection_power, measure_detection
from carto_audit.cartography.quadrants import MEMORIZED, UNMAPPED
from carto_audit.cartography.reasons import Reasons, control_ruler, give_reasons
from carto_audit.cartography.scores import Scores, add_run, burn_in_epochs, score, with_spans_of
from carto_audit.cartography.thresholds import Epsilon, Threshold
from carto_audit.controls.controls import Controls
from carto_audit.data.duplicates import Duplicates, copy_counts
from carto_audit.traces.trace import TokenLosses, Trace, add_losses, add_trace, running_mean

LEAST_REPEATED = 4
"""Dose from which exact and edited copies are compared."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings:
    """What a policy decides about looking: the score of the memorization axis, epsilon, the burn-in, and both rules."""

    score: str
    epsilon: Epsilon
    burn_in_share: float
    thresholds: tuple[Threshold, Threshold]


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedSamples:
    """Who was trained on, in the order of the trace: the batch's N samples, `references` trusted ones, the controls.
    The arrays (N,) are the batch's; `group` is kinship, `severed_tokens` are known to both sides of the split."""

    n_tokens: NDArray[np.int64]
    group: NDArray[np.int64]
    usable: NDArray[np.bool_]
    severed_tokens: NDArray[np.int64]
    duplicates: Duplicates
    references: int
    controls: Controls

    def parts(self, scores: Scores) -> tuple[Scores, Scores, Scores]:
        """The scores of the batch, of the reference and of the controls."""
        n = len(self.n_tokens)
        ends = (0, n, n + self.references, None)
        batch, reference, planted = (scores.select(slice(ends[k], ends[k + 1])) for k in range(3))
        return batch, reference, planted

    def without_reference(self, values: Floats) -> Floats:
        """The values of the batch and of the controls."""
        n = len(self.n_tokens)
        return np.concatenate([values[:n], values[n + self.references :]])


@dataclass(frozen=True, slots=True, kw_only=True)
class LossAnalysis:
    """What the losses show. `statistics` holds every score and baseline of the batch, (N,), by name. `power` is by score,
    kind, form and dose; `by_copy` compares exact with edited copies of controls. The map is None when a threshold could
    not be set. `agreement` is the mean Jaccard similarity of the sets that the runs flag, None for a single run."""

    scores: Scores
    control_scores: Scores
    statistics: dict[str, Floats]
    power: PowerTable
    by_copy: dict[str, Power]
    datamap: DataMap | None
    masses: dict[str, Mass]
    reasons: Reasons
    sweep: tuple[DeltaStep, ...]
    agreement: float | None
    trace: Trace
    token_losses: TokenLosses

    @property
    def quadrant(self) -> NDArray[np.int8]:
        """Quadrant codes, (N,); UNMAPPED everywhere when there is no map."""
        return _quadrant(self.datamap, len(self.scores.difficulty))


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedRuns:
    """The means over `number` runs: scores and baselines of everything that was traced, the losses themselves. `flagged` is what
    each run by itself would flag, (N,); `sweep` is of the first."""

    number: int
    scores: Scores
    baselines: dict[str, Floats]
    flagged: tuple[NDArray[np.bool_], ...]
    sweep: tuple[DeltaStep, ...]
    trace: Trace
    token_losses: TokenLosses


def average_run(
    before: AveragedRuns | None,
    trace: Trace,
    token_losses: TokenLosses,
    samples: TracedSamples,
    settings: AnalysisSettings,
) -> AveragedRuns:
    """The means with one more run in them, scored by itself first; `before` None for the first. Only one run's losses and
    their mean are held at a time."""
    number = before.number + 1 if before else 1
    fresh = score(trace, token_losses, settings.epsilon, settings.burn_in_share)
    found = trace_baselines(trace, burn_in_epochs(trace.epochs, settings.burn_in_share))
    flagged = _flagged(_draw(fresh, samples, settings), len(samples.n_tokens))
    known = before.baselines if before else {}
    return AveragedRuns(
        number=number,
        scores=add_run(before.scores if before else None, fresh, number),
        baselines={name: running_mean(known.get(name), values, number) for name, values in found.items()},
        flagged=(*(before.flagged if before else ()), flagged),
        sweep=before.sweep if before else delta_sweep(trace),
        trace=add_trace(before.trace if before else None, trace, number),
        token_losses=add_losses(before.token_losses if before else None, token_losses, number),
    )


def analyze_losses(runs: AveragedRuns, samples: TracedSamples, settings: AnalysisSettings, seed: int) -> LossAnalysis:
    """Measures how well the scores tell controls from samples without kin, and draws the map."""
    scores = with_spans_of(runs.scores, runs.token_losses) if runs.number > 1 else runs.scores
    batch, _, planted = samples.parts(scores)
    datamap = _draw(scores, samples, settings)
    quadrant = _quadrant(datamap, len(samples.n_tokens))
    mappable = int(samples.n_tokens[samples.usable].sum())
    ruler = control_ruler(planted.memorization(settings.score), samples.controls)
    judged = {name: samples.without_reference(x) for name, x in {**scores.selectable(), **runs.baselines}.items()}
    counts = _counts(samples, trained=np.isfinite(batch.difficulty))
    return LossAnalysis(
        scores=batch,
        control_scores=planted,
        statistics={name: values[: len(quadrant)] for name, values in {**judged, **counts}.items()},
        power=_power(judged, counts, samples),
        by_copy=_by_copy(batch, planted, settings.score, samples),
        datamap=datamap,
        masses=masses(quadrant, samples.n_tokens, samples.group, mappable, seed) if datamap else {},
        reasons=give_reasons(
            batch, settings.score, np.isin(quadrant, MEMORIZED), samples.duplicates.cluster_size, ruler
        ),
        sweep=runs.sweep,
        agreement=_agreement(runs.flagged),
        trace=runs.trace,
        token_losses=runs.token_losses,
    )


def _quadrant(datamap: DataMap | None, n: int) -> NDArray[np.int8]:
    return datamap.quadrant if datamap else np.full(n, UNMAPPED, np.int8)


def _draw(scores: Scores, samples: TracedSamples, settings: AnalysisSettings) -> DataMap | None:
    batch, reference, planted = samples.parts(scores)
    return draw_map(batch, samples.n_tokens, settings.score, settings.thresholds, planted, samples.controls, reference)


def _flagged(datamap: DataMap | None, n: int) -> NDArray[np.bool_]:
    return np.isin(_quadrant(datamap, n), MEMORIZED)


def _agreement(flagged: Sequence[NDArray[np.bool_]]) -> float | None:
    pairs = [(int((a & b).sum()), int((a | b).sum())) for a, b in combinations(flagged, 2)]
    return float(np.mean([both / either if either else 1.0 for both, either in pairs])) if pairs else None


def _single(samples: TracedSamples) -> NDArray[np.bool_]:
    """Samples without kin: what recurs is no ordinary text."""
    alone: NDArray[np.bool_] = (np.bincount(samples.group)[samples.group] == 1) & (samples.severed_tokens == 0)
    return alone


def _counts(samples: TracedSamples, trained: NDArray[np.bool_]) -> dict[str, Floats]:
    """Counts of copies of the batch's samples, then of the controls; NaN for samples that were not `trained` on."""
    duplicates, controls = samples.duplicates, samples.controls
    exact, near = copy_counts(controls.texts, controls.secret)
    counts = copy_baselines(np.concatenate([duplicates.copies, exact]), np.concatenate([duplicates.cluster_size, near]))
    known = np.concatenate([trained, np.ones(len(controls), dtype=bool)])
    return {name: np.where(known, count, np.nan) for name, count in counts.items()}


def _power(judged: dict[str, Floats], counts: dict[str, Floats], samples: TracedSamples) -> PowerTable:
    """Counts of copies are judged against every sample, the rest against samples without kin, of which none has copies."""
    single = _single(samples)
    everyone = np.ones(len(single), dtype=bool)
    return {
        **measure_detection(judged, samples.n_tokens, single, samples.controls),
        **measure_detection(counts, samples.n_tokens, everyone, samples.controls),
    }


def _by_copy(batch: Scores, planted: Scores, name: str, samples: TracedSamples) -> dict[str, Power]:
    """The power of the score in use for exact and for edited copies of controls planted LEAST_REPEATED times or more."""
    single, controls = _single(samples), samples.controls
    ordinary = Ordinary.of(batch.memorization(name)[single], samples.n_tokens[single])
    if ordinary is None:
        return {}
    found = {}
    for copy, chosen in (("exact", ~controls.edited), ("edited", controls.edited)):
        repeated = chosen & (controls.dose >= LEAST_REPEATED)
        found[copy] = detection_power(ordinary, planted.memorization(name)[repeated], controls.secret[repeated])
    return {copy: power for copy, power in found.items() if power is not None}
