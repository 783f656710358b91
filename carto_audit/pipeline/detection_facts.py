"""Detection as facts: how well this audit saw, what it could not see, and what would help. Nothing about vendor text."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import numpy as np

from carto_audit.artifacts.evidence_facts import DetectionFacts, PowerFacts
from carto_audit.cartography.detection_power import Power
from carto_audit.controls.controls import cells_of

if TYPE_CHECKING:
    from carto_audit.pipeline.result import AuditResult

FEW_SECRETS = 5
"""Per kind and form at the dose that policies demand power at; with fewer, intervals are wide."""

DEMANDED_DOSE = 4
LEAST_AGREEMENT = 0.5

ENOUGH_TOKENS = 400_000
"""From about here on every kind, form and dose of control has room within its share of the tokens."""

LARGER_PRESET = {"nano": "small", "small": "base"}


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
        "scores": table,
        "by_copy": {copy: _power(power) for copy, power in audit.analysis.by_copy.items()},
        "above_line": _above_line(audit),
        "ruler": {str(dose): score for dose, score in audit.analysis.reasons.ruler.items()},
        "planted": int((controls.dose > 0).sum()),
        "twins": int((controls.dose == 0).sum()),
        "capacity_ratio": audit.run.capacity_ratio,
        "epochs": audit.run.options.epochs,
        "repeats": audit.run.options.repeats,
        "agreement": audit.analysis.agreement,
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
        remedies.append("two folds, so that there is a proxy that did not see a sample (--folds 2)")
    if tokens < ENOUGH_TOKENS:
        remedies.append(
            f"more text: {tokens:,} tokens leave room for few controls; from {ENOUGH_TOKENS:,} on all are planted"
        )
    remedies.append(f"more epochs than {options.epochs} (--epochs {2 * options.epochs})")
    larger = LARGER_PRESET.get(audit.run.spec.name)
    if larger:
        remedies.append(f"a larger proxy than {audit.run.spec.name} (--proxy {larger})")
    if options.repeats == 1:
        remedies.append("several pairs of proxies (--repeats 3)")
    return remedies


def _detection_warnings(audit: "AuditResult") -> Iterator[str]:
    controls, kinship = audit.controls, audit.run.kinship
    planted = controls.dose > 0
    if not planted.any():
        yield "the batch is too small to plant controls: nothing says how well this audit sees; audit more text at once"
        return
    missing = [
        f"{kind} {form}".replace("_", " ")
        for kind, form in cells_of(DEMANDED_DOSE)
        if not ((controls.kind == kind) & (controls.form == form) & (controls.dose == DEMANDED_DOSE)).any()
    ]
    if missing:
        yield f"no room or text for some controls at dose {DEMANDED_DOSE} ({', '.join(missing)}); a larger batch allows them"
    demanded = controls.secret[controls.dose == DEMANDED_DOSE]
    secrets = len(np.unique(demanded)) / max(1, len(cells_of(DEMANDED_DOSE)) - len(missing))
    if len(demanded) and secrets < FEW_SECRETS:
        yield (
            f"few planted secrets, {secrets:.1f} of each kind at dose {DEMANDED_DOSE}, so wide intervals; "
            "a larger batch allows more"
        )
    if audit.run.options.folds == 1:
        yield "a single proxy has no out-of-fold losses: only statistics of the trace were measured; use --folds 2"
    if kinship.boilerplate_runs:
        yield (
            f"{kinship.boilerplate_runs:,} runs of text occur in more than {kinship.cap} samples and count as boilerplate: a "
            "secret that occurs so often inside other text is not seen as memorized"
        )
    severed = audit.measurements["kinship.severed_token_share"].value
    if severed > 0:
        yield (
            f"much of this batch hangs together, so kin had to be severed: {100 * severed:.1f} % of the tokens lie in passages "
            "that both sides of the split hold, and cannot be seen"
        )
    if audit.analysis.agreement is not None and audit.analysis.agreement < LEAST_AGREEMENT:
        yield f"runs with other folds and seeds agree on only {100 * audit.analysis.agreement:.0f} % of what they flag"
    ratio = audit.run.capacity_ratio
    if ratio is not None and not 0.5 <= ratio <= 10:
        low = ("memorizes nearly everything", "more text or a smaller proxy")
        side, cure = low if ratio < 0.5 else ("has room for little but copies", "a larger proxy")
        yield f"capacity ratio {ratio:.2g} is outside 0.5 to 10: this proxy {side}; {cure} would tell more"
