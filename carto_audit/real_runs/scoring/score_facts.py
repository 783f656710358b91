"""The facts of a scored run: how its trace was read, and what that shows of the planted secrets. They quote no text."""

from dataclasses import asdict
from typing import cast

import numpy as np
from numpy.typing import NDArray

from carto_audit.artifacts.real_run_facts import AboveFacts, IdentifiedFacts, PlantedFacts, RealRunFacts, SightFacts
from carto_audit.artifacts.report_facts import CallFacts, ReportFacts
from carto_audit.cartography.detection_power import Ordinary, beaten_share
from carto_audit.cartography.scores import Scores
from carto_audit.data.batch import read_texts
from carto_audit.pipeline.facts import report_facts, wanted_texts
from carto_audit.pipeline.result import AuditResult
from carto_audit.real_runs.scoring.scored_run import ScoredRun
from carto_audit.text.redaction import Excerpts
from carto_audit.text.untrusted import safe_inline


def scored_report(run: ScoredRun, audit: AuditResult, excerpts: Excerpts, call: CallFacts) -> ReportFacts:
    """`report.json` of a scored run: that of an audit, with what is known of the run in place of what holds of proxies only."""
    texts = read_texts(run.batch, wanted_texts(audit), beside=True)
    facts = report_facts(audit, texts, excerpts, call)
    epochs, warnings = len(run.visited.train), [*facts["warnings"], *_warnings(run)]
    facts["real_run"] = real_run_facts(run)
    facts["run"]["epochs"] = facts["detection"]["epochs"] = epochs
    facts["detection"]["warnings"], facts["detection"]["remedies"] = [], []
    facts["warnings"] = warnings
    facts["run"].pop("sampling", None)
    facts.pop("operating", None)  # measured of proxies
    return facts


def real_run_facts(run: ScoredRun) -> RealRunFacts:
    """How the run was read, and its sight on what was planted. Numbers are finite or None."""
    visits, control = run.visits, run.analysis.control_scores
    everything = np.ones(run.samples.references, dtype=bool)
    given = [one for one in (run.sources.base, run.sources.late) if one is not None]
    return {
        "name": safe_inline(visits.opening.run, 120),
        "planted": cast(PlantedFacts, run.planted.identity),
        "epochs": len(run.visited.train),
        "steps": int(visits.rows.step.max()) + 1,
        "visits": len(visits.rows),
        "ranks": visits.opening.world,
        "starts": visits.generations,
        "closed": visits.closed,
        "missing_steps": visits.missing_steps,
        "dropped_batches": visits.dropped_batches,
        "dropped_visits": visits.dropped_visits,
        "tokenizer": safe_inline(visits.opening.tokenizer, 40),
        "rows_read": run.way.words,
        "unseen": run.pair.out,
        "learned": run.pair.into,
        "checkpoints": [safe_inline(str(one["name"]), 120) for two in given for one in two.notes.checkpoints],
        "identified": cast(IdentifiedFacts, asdict(run.visited.identified)),
        "drift": {
            "told_by": run.drift.words,
            "rows": run.drift.rows,
            "held_out": run.drift.held_out,
            "mean_nats": float(np.mean(run.drift.nats[: len(run.batch)])),
        },
        "proved": run.proved,
        "lost_secrets": run.controls.lost,
        "sight": sight(run),
        "twins": above_line(run, control, run.samples.controls.dose == 0),
        "held_out": above_line(run, run.beside, everything),
    }


def _warnings(run: ScoredRun) -> list[str]:
    found, visits, warnings = run.visited.identified, run.visits, []
    if found.found < found.rows:
        warnings.append(
            f"{found.rows - found.found:,} of {found.rows:,} rows do not stand in the trace, and are not on the map"
        )
    if run.controls.lost:
        warnings.append(f"{run.controls.lost} secrets lost a copy before or in the run, and count for nothing")
    if visits.dropped_batches or visits.dropped_visits:
        warnings.append(f"{visits.dropped_batches:,} batches and {visits.dropped_visits:,} visits were not logged")
    if visits.missing_steps:
        warnings.append(f"{visits.missing_steps:,} steps have no visit")
    if not visits.closed:
        warnings.append("the trace was not closed: the run may not have come to its end")
    if not run.drift.held_out:
        warnings.append("no held-out row was read, so what is memorized is told beside other rows alone, and too low")
    if not np.isfinite(run.analysis.control_scores.memorized[run.samples.controls.dose == 0]).any():
        warnings.append(
            "nothing is known of secrets that were never planted, so no line can be drawn: read an early and the last checkpoint "
            "for --late, or the starting one for --base"
        )
    return warnings


def sight(run: ScoredRun) -> dict[str, SightFacts]:
    """By dose: the AUC of planted copies against ordinary rows and against twins, and the share of them above the score that
    flags 2 % of the ordinary tokens."""
    name, controls = run.policy.map.memorization.score, run.samples.controls
    own, planted = run.analysis.scores.memorization(name), run.analysis.control_scores.memorization(name)
    ordinary = Ordinary.of(own, run.samples.n_tokens)
    twins = _known(planted[controls.dose == 0])
    found: dict[str, SightFacts] = {}
    for dose in np.unique(controls.dose[controls.dose > 0]).tolist() if ordinary else ():
        at = (controls.dose == dose) & np.isfinite(planted)
        values = planted[at]
        if len(values) and ordinary:
            found[str(dose)] = {
                "secrets": len(np.unique(controls.secret[at])),
                "copies": len(values),
                "auc_ordinary": float(ordinary.beaten(values).mean()),
                "auc_twins": float(beaten_share(twins, values).mean()) if len(twins) else None,
                "recall_at_2pct": float((values > ordinary.levels[1]).mean()),
            }
    return found


def above_line(run: ScoredRun, scores: Scores, chosen: NDArray[np.bool_]) -> AboveFacts:
    """How many of some samples that nobody trained on were measured, and how many lie above the line all the same; apart from
    them those whose window is in other samples too, which the run may have learned there."""
    values, recurring = scores.memorization(run.policy.map.memorization.score), scores.span_copies > 1
    known = chosen & np.isfinite(values)
    once, again = values[known & ~recurring], values[known & recurring]
    line = run.analysis.datamap.memorization.value if run.analysis.datamap else None
    return {
        "measured": len(once),
        "above": int((once > line).sum()) if line is not None else None,
        "recurring": len(again),
        "recurring_above": int((again > line).sum()) if line is not None else None,
    }


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
