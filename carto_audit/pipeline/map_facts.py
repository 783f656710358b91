"""The map as facts, and how well this audit saw: thresholds, masses, detection power, what would help. No vendor text."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from carto_audit.artifacts.evidence_facts import (
    Axis,
    CountFacts,
    CutFacts,
    DetectionFacts,
    ForgetFacts,
    GridFacts,
    MapFacts,
    PlaceFacts,
    PowerFacts,
    Recall,
    SweepFacts,
    ThresholdFacts,
)
from carto_audit.cartography.datamap import Cut, Line
from carto_audit.cartography.detection_power import Power
from carto_audit.cartography.map_grid import coarse_counts, map_frame
from carto_audit.cartography.quadrants import QUADRANT_NAMES, UNMAPPED
from carto_audit.cartography.reasons import RECALLS
from carto_audit.cartography.thresholds import Epsilon, Threshold
from carto_audit.controls.controls import PROVING_SECRETS
from carto_audit.text.numbers import percent, times

if TYPE_CHECKING:
    from carto_audit.pipeline.result import AuditResult

LEAST_AGREEMENT = 0.5

PUBLISHED_AGREEMENT = 0.4
"""Rank correlation of the published difficulty between two seeds (bench/detection)."""

LARGER_PRESET = {"nano": "small", "small": "base"}


def map_facts(audit: "AuditResult") -> MapFacts:
    """The `map` block of `report.json`."""
    datamap, memorization = audit.analysis.datamap, audit.policy.map.memorization
    lines: dict[Axis, Line | None] = {
        "difficulty": datamap.difficulty if datamap else None,
        "memorization": datamap.memorization if datamap else None,
    }
    rules: dict[Axis, Threshold] = {
        "difficulty": audit.policy.map.difficulty.threshold,
        "memorization": memorization.threshold,
    }
    return {
        "score": memorization.score,
        "thresholds": {axis: line.value if line else None for axis, line in lines.items()},
        "threshold_rules": {axis: _threshold(rules[axis], line) for axis, line in lines.items()},
        "quadrants": {
            name: {
                "rows": mass.rows,
                "tokens": mass.tokens,
                "row_share": mass.row_share,
                "token_share": mass.token_share,
                "token_share_interval": list(mass.token_interval)
                if mass.token_interval[0] != mass.token_interval[1]
                else None,
            }
            for name, mass in (
                (name, audit.analysis.masses[name]) for name in QUADRANT_NAMES if name in audit.analysis.masses
            )
        },
        "recall": _recall(audit),
        "forget": _forget(audit),
        "grid": _grid(audit, (lines["difficulty"], lines["memorization"])),
    }


def _threshold(rule: Threshold, line: Line | None) -> ThresholdFacts:
    return {
        "rule": rule.model_dump(exclude_none=True),
        "words": line.drawn.words if line else "could not be set: nothing was measured to set it by",
        "flagged_share": line.drawn.flagged_share if line else None,
        "cuts": [_cut(cut, drawn=cut is line.drawn) for cut in line.cuts] if line else [],
    }


def _cut(cut: Cut, *, drawn: bool) -> CutFacts:
    return {
        "way": cut.way,
        "value": cut.value,
        "words": cut.words,
        "flagged_share": cut.flagged_share,
        "fixed_share": cut.fixed_share,
        "drawn": drawn,
    }


def _grid(audit: "AuditResult", lines: tuple[Line | None, Line | None]) -> GridFacts:
    """Samples per field of a coarse map, the most memorized row first, and the ends of its axes."""
    scores = audit.analysis.scores
    points = scores.difficulty, scores.memorization(audit.policy.map.memorization.score)
    placed = np.isfinite(points[0]) & np.isfinite(points[1])
    x, y = (line.value if line else None for line in lines)
    ruler = [score for score in audit.analysis.reasons.ruler.values() if np.isfinite(score)]
    frame = map_frame(points[0][placed], points[1][placed], (x, y), ruler)
    return {
        "difficulty": list(frame.difficulty),
        "memorization": list(frame.memorization),
        "counts": coarse_counts(points[0][placed], points[1][placed], frame).tolist(),
    }


def _recall(audit: "AuditResult") -> dict[Recall, CountFacts]:
    """Rows and tokens of flagged samples by kind of recall."""
    kinds = {name: audit.analysis.reasons.recall == code for code, name in enumerate(RECALLS)}
    return {name: counted(of, audit.n_tokens) for name, of in kinds.items()}


def counted(chosen: NDArray[np.bool_], n_tokens: NDArray[np.int64]) -> CountFacts:
    """How many rows and tokens."""
    return {"rows": int(chosen.sum()), "tokens": int(n_tokens[chosen].sum())}


def _forget(audit: "AuditResult") -> ForgetFacts:
    known = audit.analysis.scores.forget_score[np.isfinite(audit.analysis.scores.forget_score)]
    return {
        "epsilon": _epsilon_words(audit.policy.map.memorization.epsilon),
        "levels": len(np.unique(known)),
        "tie_share": audit.measurements["forget.tie_share"].value if len(known) else None,
        "never_learned_share": audit.measurements["forget.never_learned_share"].value if len(known) else None,
        "sweep": [cast(SweepFacts, asdict(step)) for step in audit.analysis.sweep],
    }


def _epsilon_words(epsilon: Epsilon) -> str:
    if epsilon.absolute is not None:
        return f"{epsilon.absolute:g} nats per token, the same for every sample"
    if epsilon.held_out_percentile is not None:
        return f"percentile {epsilon.held_out_percentile:g} of the losses of unseen samples"
    return f"each sample's own lowest loss plus {epsilon.relative:g} nats per token"


def detection_facts(audit: "AuditResult") -> DetectionFacts:
    """The `detection` block of `report.json`."""
    table = {
        score: {
            kind: {form: {dose: _power(power) for dose, power in doses.items()} for form, doses in forms.items()}
            for kind, forms in classes.items()
        }
        for score, classes in audit.analysis.power.items()
    }
    controls = audit.controls
    return {
        "demanded_dose": controls.demanded,
        "found": [
            {"dose": dose, "found": one.found, "secrets": one.secrets, "at_least": one.at_least}
            for dose, one in sorted(audit.analysis.found.items())
        ],
        "false_alarm_share": audit.analysis.false_alarms,
        "missing_tokens": controls.missing_tokens,
        "scores": table,
        "by_copy": {copy: _power(power) for copy, power in audit.analysis.by_copy.items()},
        "above_line": _above_line(audit),
        "ruler": {str(dose): score for dose, score in audit.analysis.reasons.ruler.items()},
        "planted": int((controls.dose > 0).sum()),
        "twins": int((controls.dose == 0).sum()),
        "capacity_ratio": audit.run.capacity_ratio,
        "epochs": audit.run.options.epochs,
        "repeats": audit.run.repeats,
        "agreement": audit.analysis.agreement,
        "difficulty_agreement": audit.analysis.difficulty_agreement,
        "warnings": list(_detection_warnings(audit)),
        "remedies": _remedies(audit),
    }


def _power(power: Power) -> PowerFacts:
    return cast(PowerFacts, asdict(power))


def _above_line(audit: "AuditResult") -> dict[str, float]:
    """The share of planted copies above the map's memorization threshold, by dose."""
    if audit.analysis.datamap is None:
        return {}
    score = audit.analysis.control_scores.memorization(audit.policy.map.memorization.score)
    line, doses = audit.analysis.datamap.memorization.value, audit.controls.dose
    return {str(dose): float((score[doses == dose] > line).mean()) for dose in np.unique(doses[doses > 0])}


def _remedies(audit: "AuditResult") -> list[str]:
    """What would give this audit more power; empty unless a rule found it too weak or could not measure it."""
    blind = {"underpowered", "not_measured"}
    wanted = [f.metric for f in audit.verdict.findings if f.outcome in blind and f.metric.startswith("detection.")]
    if not wanted:
        return []
    options, tokens = audit.run.options, int(audit.n_tokens[audit.trained].sum())
    remedies = []
    if options.folds == 1:
        remedies.append("two folds, so that for every sample there is a proxy that never saw it (--folds 2)")
    missing = audit.controls.missing_tokens
    if missing:
        remedies.append(
            f"more text: {tokens:,} tokens have no room for {PROVING_SECRETS} secrets planted "
            f"{times(audit.controls.demanded)}; about {missing:,} more would"
        )
    remedies.append(f"more epochs than {options.epochs} (--epochs {2 * options.epochs})")
    larger = LARGER_PRESET.get(audit.run.spec.name)
    if larger:
        remedies.append(f"a larger proxy than {audit.run.spec.name} (--proxy {larger})")
    if audit.run.repeats == 1:
        remedies.append("several pairs of proxies (--repeats 3)")
    return remedies


def _detection_warnings(audit: "AuditResult") -> Iterator[str]:
    controls, kinship = audit.controls, audit.run.kinship
    planted = controls.dose > 0
    if not planted.any():
        yield "the batch is too small to plant controls, so the detection power is unknown; audit more text at once"
        return
    if controls.missing_tokens:
        yield (
            f"room for few secrets planted {times(controls.demanded)}, so little can be proved: the batch lacks about "
            f"{controls.missing_tokens:,} tokens for {PROVING_SECRETS} of them"
        )
    if audit.run.options.folds == 1:
        yield "a single proxy has no out-of-fold losses: only statistics of the trace were measured; use --folds 2"
    if kinship.boilerplate_runs:
        share = audit.measurements.get("boilerplate.token_share")
        yield (
            f"{kinship.boilerplate_runs:,} runs of text occur in more than {kinship.cap} samples and count as boilerplate"
            + (f", {percent(share.value)} of the tokens" if share else "")
            + ": both proxies read them, so that no memory can be measured there"
        )
    severed = audit.measurements["kinship.severed_token_share"].value
    if severed > 0:
        yield (
            f"groups of near-duplicates were too large and were split: {percent(severed)} of the tokens lie in passages that "
            "both proxies read, where memorization cannot be detected"
        )
    if audit.analysis.agreement is not None and audit.analysis.agreement < LEAST_AGREEMENT:
        yield f"runs with other folds and seeds agree on only {100 * audit.analysis.agreement:.0f} % of what they flag"
    if audit.policy.map.difficulty.measure == "training" and audit.analysis.difficulty_agreement is None:
        yield (
            "difficulty is the published one, a mean over training steps, which also says how early a sample was read: two seeds "
            f"agree on it with a rank correlation of about {PUBLISHED_AGREEMENT}; --repeats 2 measures it here"
        )
    ratio = audit.run.capacity_ratio
    if ratio is not None and not 0.5 <= ratio <= 10:
        low = ("memorizes nearly everything", "more text or a smaller proxy")
        side, cure = low if ratio < 0.5 else ("has room for little but copies", "a larger proxy")
        yield f"capacity ratio {ratio:.2g} is outside 0.5 to 10: this proxy {side}; {cure} would detect more"


def place_facts(audit: "AuditResult", i: int) -> PlaceFacts:
    """Where a sample lies on the map."""
    scores, code = audit.analysis.scores, int(audit.analysis.quadrant[i])
    return {
        "quadrant": QUADRANT_NAMES[code] if code != UNMAPPED else None,
        "difficulty": float(scores.difficulty[i]),
        "memorization": float(scores.memorization(audit.policy.map.memorization.score)[i]),
    }
