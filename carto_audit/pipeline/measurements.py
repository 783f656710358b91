"""Measurements: the numbers that rules may limit. What an audit could not measure is absent, and no rule on it passes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.analysis import LossAnalysis, TracedSamples
from carto_audit.cartography.detection_power import Power
from carto_audit.cartography.intervals import around, combined, sampled_share, wilson
from carto_audit.cartography.quadrants import UNMAPPED
from carto_audit.cartography.scores import Scores
from carto_audit.contamination.check import Contamination
from carto_audit.controls.controls import cells_of
from carto_audit.data.batch import Batch
from carto_audit.pipeline.passages import Passages
from carto_audit.policy.metrics import REHEARSABLE, UNREAD, UNREAD_TEXT, Measurement
from carto_audit.proxies.model import ProxySpec, bits, capacity_ratio, count_parameters


def measure(
    batch: Batch,
    samples: TracedSamples,
    contamination: Contamination | None,
    analysis: LossAnalysis,
    passages: Passages,
    *,
    score: str,
    ratio: float | None,
    rehearsable: bool,
    seed: int,
    confidence: float,
) -> dict[str, Measurement]:
    """Every metric that this audit could measure. `score` is the policy's, whose power counts; `rehearsable` says that a public
    seed decided what was drawn."""
    n_tokens, duplicates = samples.n_tokens, samples.duplicates
    total, rows = max(1, int(n_tokens.sum())), len(batch)
    undrawn = samples.undrawn_tokens / max(1, int(n_tokens[samples.usable].sum()))
    found: dict[str, float | None] = {
        "batch.rows": batch.rows,
        "batch.samples": rows,
        "batch.tokens": int(n_tokens.sum()),
        UNREAD: batch.delivery.unread_share,
        UNREAD_TEXT: batch.unread_text_share,
        "batch.skipped_row_share": sum(len(s.rows) for s in batch.skipped) / batch.rows,
        "batch.unmapped_token_share": n_tokens[~batch.trainable].sum() / total,
        "batch.undrawn_token_share": undrawn,
        "duplicates.exact_row_share": duplicates.exact.sum() / rows,
        "duplicates.near_row_share": duplicates.near.sum() / rows,
        "duplicates.token_share": n_tokens[duplicates.exact | duplicates.near].sum() / total,
        "kinship.severed_token_share": samples.severed_tokens[samples.usable].sum() / total,
        "repeats.agreement": analysis.agreement,
        REHEARSABLE: rehearsable,
        "proxy.capacity_ratio": ratio,
        **_forget_metrics(analysis.scores),
        **_contamination_metrics(contamination, n_tokens),
        **_power_metrics(analysis.power.get(score, {})),
        "detection.false_alarm_share": analysis.false_alarms,
    }
    measured = {name: Measurement.exact(float(value)) for name, value in found.items() if value is not None}
    for part, m in analysis.masses.items():
        low, high = m.row_interval
        measured[f"{part}.row_share"] = Measurement(value=m.row_share, low=low, high=high)
        low, high = m.token_interval
        measured[f"{part}.token_share"] = Measurement(value=m.token_share, low=low, high=high)
    measured |= _passage_metrics(passages, analysis, samples, seed, confidence)
    return _with_undrawn(measured, undrawn) | _found_metrics(analysis)


def _with_undrawn(measured: Mapping[str, Measurement], undrawn: float) -> dict[str, Measurement]:
    """Every share of the map with an end that holds if all that could not be drawn were bad: nobody knows it."""
    masses = ("memorized.", "hotspot_memorized.", "noisy_outlier.", "boilerplate.")
    return {
        name: replace(m, high=min(1.0, m.high * (1 - undrawn) + undrawn), low=m.low * (1 - undrawn))
        if undrawn and name.startswith(masses) and name.endswith("_share")
        else m
        for name, m in measured.items()
    }


def _found_metrics(analysis: LossAnalysis) -> dict[str, Measurement]:
    """How many secrets of each dose were found, and how many are at least in truth."""
    return {
        f"detection.found_at_dose_{dose}": Measurement(value=found.share, low=found.at_least, high=1.0)
        for dose, found in analysis.found.items()
    }


def _passage_metrics(
    passages: Passages, analysis: LossAnalysis, samples: TracedSamples, seed: int, confidence: float
) -> dict[str, Measurement]:
    """What lies in passages. Where only a part of the batch was mapped, what the whole may hold."""
    mapped = analysis.quadrant != UNMAPPED
    if not mapped.any():
        return {}
    unseen = max(0.0, 1 - float(samples.n_tokens[mapped].sum()) / max(1, float(samples.n_tokens[samples.usable].sum())))
    tokens, group = samples.n_tokens[mapped], np.unique(samples.group[mapped], return_inverse=True)[1]
    weighed = tokens * samples.weight[mapped]

    def share(held: NDArray[np.int64], unseen: float) -> tuple[float, tuple[float, float]]:
        inside = held[mapped] / np.maximum(1, tokens)
        value = float((inside * weighed).sum() / max(1.0, weighed.sum()))
        return value, sampled_share(value, inside, weighed, group, unseen, seed, confidence)

    found = {}
    known = 0.0 if not samples.frequent_runs else unseen  # counted in all rows: where none is frequent, there is none
    for name, held in (("token_share", passages.boilerplate), ("surprising_token_share", passages.surprising)):
        value, (low, high) = share(held, known)
        found[f"boilerplate.{name}"] = Measurement(value=value, low=low, high=high)
    if passages.memorized is None:
        return found
    at_line, *at_ends = passages.memorized
    value, rows = share(at_line.tokens, unseen)
    ends = sorted(share(memorized.tokens, 0.0)[0] for memorized in at_ends)
    low, high = combined(value, rows, (ends[0], ends[1]), around(value, analysis.spread))
    found["memorized.span_token_share"] = Measurement(value=value, low=low, high=high)
    groups = len(np.unique(group))
    for name in ("spans", "sensitive_spans"):
        count, *others = (int(getattr(memorized, name)) for memorized in passages.memorized)
        most = float(max(count, *others))
        if unseen:
            most = max(most, groups * wilson(min(1.0, most / groups), groups, confidence)[1]) / (1 - unseen)
        found[f"memorized.{name}"] = Measurement(value=float(count), low=float(min(count, *others)), high=most)
    return found


def _forget_metrics(scores: Scores) -> dict[str, float | None]:
    known = np.isfinite(scores.forget_score)
    if not known.any():
        return {}
    _, counts = np.unique(scores.forget_score[known], return_counts=True)
    return {
        "forget.tie_share": float(counts.max() / known.sum()),
        "forget.never_learned_share": float(scores.never_learned[known].mean()),
    }


def _contamination_metrics(contamination: Contamination | None, n_tokens: NDArray[np.int64]) -> dict[str, float | None]:
    if contamination is None:
        return {}
    confirmed = contamination.is_tier("confirmed")
    return {
        "contamination.confirmed_items": sum(b.confirmed_items for b in contamination.benchmarks),
        "contamination.suspected_items": sum(b.suspected_items for b in contamination.benchmarks),
        "contamination.confirmed_rows": int(confirmed.sum()),
        "contamination.suspected_rows": int(contamination.is_tier("suspected").sum()),
        "contamination.confirmed_token_share": float(n_tokens[confirmed].sum() / max(1, n_tokens.sum())),
        "contamination.min_detectability": min(b.detectable_items / b.items for b in contamination.benchmarks),
        "contamination.min_detectability_disguised": min(
            share for b in contamination.benchmarks for share in b.detectability_disguised.values()
        ),
    }


def _power_metrics(kinds: Mapping[str, Mapping[str, Mapping[str, Power]]]) -> dict[str, float | None]:
    """Power at each dose: the lowest over the kinds and forms that were planted. Where a dose was too dear to plant, the next
    lower one that repeats at all stands in, since what occurs more often is seen better."""
    found: dict[str, float | None] = {}
    for dose in (1, 4, 16):
        powers = [_at(kinds.get(kind, {}).get(form, {}), dose) for kind, form in cells_of(dose)]
        seen = [power for power in powers if power is not None]
        if seen:
            found[f"detection.auc_at_dose_{dose}"] = min(power.auc for power in seen)
            if dose != 1:
                found[f"detection.recall_at_5pct_dose_{dose}"] = min(power.recall_at_5pct for power in seen)
    return found


def _at(doses: Mapping[str, Power], dose: int) -> Power | None:
    planted = [int(d) for d in doses if (2 <= int(d) <= dose) or int(d) == dose]
    return doses[str(max(planted))] if planted else None


def measured_ratio(scores: Scores, n_tokens: NDArray[np.int64], spec: ProxySpec) -> float | None:
    """The capacity ratio, from the bits per token that an unseen reader needs. None when that was not measured."""
    known = np.isfinite(scores.loss_out)
    if not known.any():
        return None
    tokens = n_tokens[known]
    nats = float(np.average(scores.loss_out[known], weights=tokens))
    return capacity_ratio(float(tokens.sum()), bits(nats), count_parameters(spec))
