"""Analysis: what the losses of one or several runs show: scores, how well they see, the map, and why samples are flagged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from carto_audit.cartography.baselines import DeltaStep, copy_baselines, delta_sweep, trace_baselines
from carto_audit.cartography.datamap import DataMap, Mass, draw_map, masses
from carto_audit.cartography.detection_power import Ordinary, Power, PowerTable, detection_power, measure_detection
from carto_audit.cartography.intervals import CONFIDENCE, deviations
from carto_audit.cartography.proof import Found, LineControls, count_found, secret_levels
from carto_audit.cartography.quadrants import MEMORIZED, UNMAPPED
from carto_audit.cartography.reasons import Reasons, control_ruler, give_reasons
from carto_audit.cartography.scores import Scores, add_run, burn_in_epochs, score, with_spans_of
from carto_audit.cartography.spans import Occurrences, Stretches, find_boilerplate, find_stretches
from carto_audit.cartography.thresholds import DifficultyMeasure, Epsilon, Threshold
from carto_audit.controls.controls import Controls
from carto_audit.data.duplicates import Duplicates, copy_counts
from carto_audit.traces.trace import TokenLosses, Trace, add_losses, add_trace, running_mean

LEAST_REPEATED = 4
"""Dose from which exact and edited copies are compared."""

SEED_SPREAD = 0.03
"""Standard deviation of a memorized share m from seed to seed, of the root of m (1 - m): it was 0.001 to 0.055, in the root mean
square 0.028, in four pairs of audits (bench/detection, two corpora, clean and with secrets)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings:
    """What a policy decides about looking: the score of the memorization axis, epsilon, the burn-in, how often a secret
    occurs that is to be found, both rules, and how sure its intervals are."""

    score: str
    epsilon: Epsilon
    burn_in_share: float
    measure: DifficultyMeasure
    dose: int
    thresholds: tuple[Threshold, Threshold]
    confidence: float = CONFIDENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedSamples:
    """Who was trained on, in the order of the trace: the batch's N samples, `references` trusted ones, the controls.
    The arrays (N,) are the batch's; `group` is kinship, `severed_tokens` are known to both sides of the split. What occurs
    in more than `frequent` samples is boilerplate. Where only a part was drawn, `weight` (N,) says for how
    many like it a sample stands, and `undrawn_tokens` had no chance. `frequent_runs` of the whole batch are boilerplate.
    `kin` are groups of everything that is traced; without it every sample stands alone."""

    n_tokens: NDArray[np.int64]
    group: NDArray[np.int64]
    usable: NDArray[np.bool_]
    severed_tokens: NDArray[np.int64]
    duplicates: Duplicates
    references: int
    controls: Controls
    frequent: int
    weight: NDArray[np.float64]
    undrawn_tokens: int
    frequent_runs: int
    kin: NDArray[np.int64] | None = None

    def occurrences(self, dose: int) -> Occurrences:
        """What it means how often a text occurs in this batch."""
        return Occurrences(dose=dose, frequent=self.frequent, group=self.kin)

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
    kind, form and dose; `by_copy` compares exact with edited copies of controls. The map is None when a threshold could not
    be set. `found` says how many secrets of each dose lie above the line, `false_alarms` which share of the ordinary tokens
    does; `stretches` are the memorized ones of the batch, above the line and above either end of its interval, None where the
    score is not of windows, `boilerplate` what is too frequent. With other seeds a memorized share m may differ by
    `spread` times the root of m (1 - m). `agreement` is the mean Jaccard similarity of the sets that the runs flag, and
    `difficulty_agreement` the mean rank correlation of what they find difficult; None for a single run."""

    scores: Scores
    control_scores: Scores
    statistics: dict[str, Floats]
    power: PowerTable
    by_copy: dict[str, Power]
    found: dict[int, Found]
    false_alarms: float | None
    stretches: tuple[Stretches, ...] | None
    boilerplate: Stretches
    datamap: DataMap | None
    masses: dict[str, Mass]
    reasons: Reasons
    sweep: tuple[DeltaStep, ...]
    spread: float
    agreement: float | None
    difficulty_agreement: float | None
    trace: Trace
    token_losses: TokenLosses

    @property
    def quadrant(self) -> NDArray[np.int8]:
        """Quadrant codes, (N,); UNMAPPED everywhere when there is no map."""
        return _quadrant(self.datamap, len(self.scores.difficulty))


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedRuns:
    """The means over `number` runs: scores and baselines of everything that was traced, the losses themselves. `flagged` is
    what each run by itself would flag, (N,), `difficulties` are what each finds difficult, (N,); `sweep` is of the first."""

    number: int
    scores: Scores
    baselines: dict[str, Floats]
    flagged: tuple[NDArray[np.bool_], ...]
    difficulties: tuple[Floats, ...]
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
    fresh = score(
        trace,
        token_losses,
        settings.epsilon,
        settings.burn_in_share,
        samples.occurrences(settings.dose),
        settings.measure,
    )
    found = trace_baselines(trace, burn_in_epochs(trace.epochs, settings.burn_in_share))
    flagged = _flagged(_draw(fresh, samples, settings, seed=0), len(samples.n_tokens))
    known = before.baselines if before else {}
    return AveragedRuns(
        number=number,
        scores=add_run(before.scores if before else None, fresh, number),
        baselines={name: running_mean(known.get(name), values, number) for name, values in found.items()},
        flagged=(*(before.flagged if before else ()), flagged),
        difficulties=(*(before.difficulties if before else ()), samples.parts(fresh)[0].difficulty),
        sweep=before.sweep if before else delta_sweep(trace),
        trace=add_trace(before.trace if before else None, trace, number),
        token_losses=add_losses(before.token_losses if before else None, token_losses, number),
    )


def analyze_losses(runs: AveragedRuns, samples: TracedSamples, settings: AnalysisSettings, seed: int) -> LossAnalysis:
    """Measures how well the scores tell controls from the batch, and draws the map."""
    scores = (
        with_spans_of(runs.scores, runs.token_losses, samples.occurrences(settings.dose))
        if runs.number > 1
        else runs.scores
    )
    batch, _, planted = samples.parts(scores)
    datamap = _draw(scores, samples, settings, seed)
    spread = _spread([_share(some, samples) for some in runs.flagged], settings.confidence)
    quadrant = _quadrant(datamap, len(samples.n_tokens))
    mappable = int(samples.n_tokens[samples.usable].sum())
    ruler = control_ruler(planted.memorization(settings.score), samples.controls)
    judged = {name: samples.without_reference(x) for name, x in {**scores.selectable(), **runs.baselines}.items()}
    counts = _counts(samples, scores, trained=np.isfinite(batch.difficulty))
    return LossAnalysis(
        scores=batch,
        control_scores=planted,
        statistics={name: values[: len(quadrant)] for name, values in {**judged, **counts}.items()},
        power=_power(judged, counts, samples),
        by_copy=_by_copy(batch, planted, settings.score, samples),
        datamap=datamap,
        masses=masses(
            datamap,
            samples.n_tokens,
            samples.group,
            mappable,
            seed,
            weight=samples.weight,
            spread=spread,
            confidence=settings.confidence,
        )
        if datamap
        else {},
        found=_found(datamap, batch, planted, samples, settings),
        false_alarms=_false_alarms(datamap, batch, samples, settings.dose),
        stretches=_stretches(runs.token_losses, datamap, samples, settings),
        boilerplate=_of_batch(find_boilerplate(runs.token_losses, samples.occurrences(settings.dose)), samples),
        reasons=give_reasons(
            batch, settings.score, np.isin(quadrant, MEMORIZED), samples.duplicates.cluster_size, ruler
        ),
        sweep=runs.sweep,
        spread=spread,
        agreement=_agreement(runs.flagged),
        difficulty_agreement=_rank_agreement(runs.difficulties),
        trace=runs.trace,
        token_losses=runs.token_losses,
    )


def _quadrant(datamap: DataMap | None, n: int) -> NDArray[np.int8]:
    return datamap.quadrant if datamap else np.full(n, UNMAPPED, np.int8)


def _draw(scores: Scores, samples: TracedSamples, settings: AnalysisSettings, seed: int) -> DataMap | None:
    batch, reference, planted = samples.parts(scores)
    controls = line_controls(batch, planted, samples, settings)
    return draw_map(
        batch,
        samples.n_tokens,
        settings.score,
        settings.thresholds,
        controls,
        reference,
        settings.confidence,
        seed,
    )


def _share(flagged: NDArray[np.bool_], samples: TracedSamples) -> float:
    return float(samples.n_tokens[flagged].sum() / max(1, samples.n_tokens[samples.usable].sum()))


def _spread(shares_of_runs: Sequence[float], confidence: float) -> float:
    """How far a memorized share m that is the mean of these runs may be from the mean of all seeds, of the root of m (1 - m):
    from SEED_SPREAD, or from the runs themselves where they differ by more."""
    mean = float(np.mean(shares_of_runs))
    seen = float(np.std(shares_of_runs, ddof=1)) if len(shares_of_runs) > 1 else 0.0
    unit = math.sqrt(mean * (1 - mean))
    return deviations(confidence) * max(SEED_SPREAD, seen / unit if unit else 0.0) / math.sqrt(len(shares_of_runs))


def is_recurring(batch: Scores, duplicates: Duplicates, dose: int) -> NDArray[np.bool_]:
    """Which samples hold text that occurs as often as a secret which is to be found: where they are flagged, it is rightly
    so."""
    least = max(2, dose)
    recurring: NDArray[np.bool_] = (batch.span_copies >= least) | (duplicates.cluster_size >= least)
    return recurring


def line_controls(
    batch: Scores, planted: Scores, samples: TracedSamples, settings: AnalysisSettings
) -> LineControls | None:
    """What the line of the map is set by; None where no secret of the dose, or nothing beside it, was measured."""
    values, controls = planted.memorization(settings.score), samples.controls
    known = np.isfinite(values)
    secrets = known & (controls.dose == settings.dose)
    twins = known & (controls.dose == 0) & (planted.span_copies <= 1)  # some hold a phrase that the batch has
    own = batch.memorization(settings.score)
    ordinary = np.isfinite(own) & ~is_recurring(batch, samples.duplicates, settings.dose)
    if not secrets.any() or not twins.any():
        return None
    level = secret_levels(values[secrets], controls.secret[secrets])
    return LineControls(
        dose=settings.dose,
        level=level,
        half=(np.arange(len(level)) % 2).astype(np.int8),  # secrets stand in order of kind and form
        ordinary=own[ordinary],
        n_tokens=samples.n_tokens[ordinary],
        twins=values[twins],
    )


def _found(
    datamap: DataMap | None, batch: Scores, planted: Scores, samples: TracedSamples, settings: AnalysisSettings
) -> dict[int, Found]:
    """How many secrets of each dose lie above the line. Where the line was set by some of them, by a line that the other half
    of them sets."""
    if datamap is None:
        return {}
    values, controls = planted.memorization(settings.score), samples.controls
    known = np.isfinite(values) & (controls.dose > 0)
    found = {
        int(dose): count_found(
            values[at], controls.secret[at], int(dose), datamap.memorization.value, settings.confidence
        )
        for dose in np.unique(controls.dose[known])
        if (at := known & (controls.dose == dose)).any()
    }
    by = line_controls(batch, planted, samples, settings)
    if by is not None and datamap.memorization.drawn.way == "control_dose":
        found[settings.dose] = by.proof(settings.confidence)
    return found


def _false_alarms(datamap: DataMap | None, batch: Scores, samples: TracedSamples, dose: int) -> float | None:
    """Of the tokens of ordinary samples, the share above the line."""
    ordinary = (_quadrant(datamap, len(samples.n_tokens)) != UNMAPPED) & ~is_recurring(batch, samples.duplicates, dose)
    total = int(samples.n_tokens[ordinary].sum())
    flagged = ordinary & _flagged(datamap, len(samples.n_tokens))
    return float(samples.n_tokens[flagged].sum() / total) if total else None


def _flagged(datamap: DataMap | None, n: int) -> NDArray[np.bool_]:
    return np.isin(_quadrant(datamap, n), MEMORIZED)


def _stretches(
    tokens: TokenLosses, datamap: DataMap | None, samples: TracedSamples, settings: AnalysisSettings
) -> tuple[Stretches, ...] | None:
    """The memorized stretches of the batch's samples, which the score alone tells of that looks at windows."""
    if datamap is None or settings.score != "memorized":
        return None
    line = datamap.memorization
    found = find_stretches(tokens, samples.occurrences(settings.dose), line.value, *line.interval)
    return tuple(_of_batch(stretches, samples) for stretches in found)


def _of_batch(found: Stretches, samples: TracedSamples) -> Stretches:
    return found.select(found.sample < len(samples.n_tokens))


def _agreement(flagged: Sequence[NDArray[np.bool_]]) -> float | None:
    pairs = [(int((a & b).sum()), int((a | b).sum())) for a, b in combinations(flagged, 2)]
    return float(np.mean([both / either if either else 1.0 for both, either in pairs])) if pairs else None


def _rank_agreement(difficulties: Sequence[Floats]) -> float | None:
    """The mean rank correlation of Spearman over pairs of runs; None where nothing can be ranked twice."""
    known = np.isfinite(difficulties).all(axis=0)
    ranked = [values[known] for values in difficulties if len(np.unique(values[known])) > 1]
    pairs = [float(spearmanr(a, b).statistic) for a, b in combinations(ranked, 2)]
    return float(np.mean(pairs)) if pairs else None


def _counts(samples: TracedSamples, scores: Scores, trained: NDArray[np.bool_]) -> dict[str, Floats]:
    """Counts of copies and of shared runs, which take no training, of the batch's samples, then of the controls; NaN for
    samples that were not `trained` on."""
    duplicates, controls = samples.duplicates, samples.controls
    exact, near = copy_counts(controls.texts, controls.secret)
    counts = copy_baselines(np.concatenate([duplicates.copies, exact]), np.concatenate([duplicates.cluster_size, near]))
    counts["shared_run_count"] = samples.without_reference(scores.shared_runs.astype(np.float64))
    known = np.concatenate([trained, np.ones(len(controls), dtype=bool)])
    return {name: np.where(known, count, np.nan) for name, count in counts.items()}


def _power(judged: dict[str, Floats], counts: dict[str, Floats], samples: TracedSamples) -> PowerTable:
    """Everything is judged against the same samples, which are all that were mapped, whatever is in them."""
    return measure_detection(judged | counts, samples.n_tokens, samples.controls)


def _by_copy(batch: Scores, planted: Scores, name: str, samples: TracedSamples) -> dict[str, Power]:
    """The power of the score in use for exact and for edited copies of controls planted LEAST_REPEATED times or more."""
    controls = samples.controls
    ordinary = Ordinary.of(batch.memorization(name), samples.n_tokens)
    if ordinary is None:
        return {}
    found = {}
    for copy, chosen in (("exact", ~controls.edited), ("edited", controls.edited)):
        repeated = chosen & (controls.dose >= LEAST_REPEATED)
        found[copy] = detection_power(ordinary, planted.memorization(name)[repeated], controls.secret[repeated])
    return {copy: power for copy, power in found.items() if power is not None}
