"""What a scored run leaves behind: `scores.parquet`, a row per row of the planted batch, and `score.json`, which quotes none."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit import __version__
from carto_audit.cartography.detection_power import Ordinary, beaten_share
from carto_audit.cartography.quadrants import MEMORIZED, QUADRANT_NAMES, UNMAPPED
from carto_audit.cartography.scores import Scores
from carto_audit.real_runs.scoring.scored_run import ScoredRun
from carto_audit.runtime.files import atomic_path, write_json
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.parts import NOTICE

SCORES, FACTS = "scores.parquet", "score.json"


def write_scored(run: ScoredRun, folder: Path) -> dict[str, Any]:
    """Writes both files into a folder, the facts last, and returns the facts."""
    import pyarrow.parquet as pq

    (folder / FACTS).unlink(missing_ok=True)
    facts = score_facts(run)
    with atomic_path(folder / SCORES) as temporary:
        temporary.touch(mode=0o600, exist_ok=False)
        with temporary.open("wb") as stream:
            pq.write_table(scores_table(run), stream, compression="zstd")
    write_json(folder / FACTS, facts)
    return facts


def scores_table(run: ScoredRun) -> pa.Table:
    """A row per sample of the planted batch, in order; null where a sample is not on the map: a control, or never visited."""
    scores, quadrant = run.analysis.scores, run.analysis.quadrant
    name = run.policy.map.memorization.score
    mapped = quadrant != UNMAPPED
    tiers = run.contamination.tier_names() if run.contamination else np.full(len(run.batch), "")
    return pa.table(
        {
            "sample_id": run.batch.sample_id,
            "row": run.batch.row,
            "n_tokens": run.samples.n_tokens,
            "first_visit": pa.array(run.visited.train[0].astype(np.float64), from_pandas=True),
            "unseen": _nullable(scores.loss_out),
            "late": _nullable(scores.loss_in),
            "difficulty": _nullable(scores.difficulty),
            "memorization": _nullable(scores.memorization(name)),
            "memorized": _nullable(scores.memorized),
            "first_token": pa.array(run.spans[:, 0], mask=run.spans[:, 0] < 0),
            "last_token": pa.array(run.spans[:, 1], mask=run.spans[:, 1] < 0),
            "copies": pa.array(scores.span_copies, mask=scores.span_copies < 0),
            "quadrant": pa.DictionaryArray.from_arrays(
                pa.array(quadrant, pa.int8(), mask=~mapped), pa.array(list(QUADRANT_NAMES))
            ).cast(pa.string()),
            "flagged": pa.array(np.isin(quadrant, MEMORIZED), mask=~mapped),
            "contamination_tier": pa.array(tiers.tolist(), pa.string()),
            "action": pa.array(run.actions.action.tolist(), pa.string()),
            "weight": run.actions.weight,
        }
    ).replace_schema_metadata({"notice": NOTICE})


def score_facts(run: ScoredRun) -> dict[str, Any]:
    """`score.json`: how the run was read, what was measured, what the policy says. It quotes no text."""
    datamap, analysis = run.analysis.datamap, run.analysis
    lines = {"difficulty": datamap.difficulty, "memorization": datamap.memorization} if datamap else {}
    plain: dict[str, Any] = {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": __version__},
        "planted": run.planted.identity,
        "run": _run(run),
        "map": {
            "score": run.policy.map.memorization.score,
            "thresholds": {axis: line.value for axis, line in lines.items()},
            "set_by": {axis: line.drawn.words for axis, line in lines.items()},
            "masses": {name: asdict(mass) for name, mass in analysis.masses.items()},
        },
        "detection": {
            "dose": run.policy.demanded_dose,
            "proved": run.proved,
            "found": [
                {"dose": dose, "found": one.found, "secrets": one.secrets, "at_least": one.at_least}
                for dose, one in sorted(analysis.found.items())
            ],
            "sight": sight(run),
            "lost_secrets": run.controls.lost,
            "twins": above_line(run, analysis.control_scores, run.samples.controls.dose == 0),
            "held_out": above_line(run, run.beside, np.ones(run.samples.references, dtype=bool)),
            "false_alarm_share": analysis.false_alarms,
        },
        "policy": {"name": run.policy.name, "sha256": run.policy.sha256},
        "metrics": {name: [m.value, m.low, m.high] for name, m in sorted(run.measurements.items())},
        "findings": [asdict(finding) for finding in run.verdict.findings],
        "warnings": [*run.verdict.warnings, *_warnings(run)],
        "verdict": {
            "status": run.verdict.status,
            "exit_code": int(run.verdict.exit_code),
            "complete": run.verdict.complete,
        },
    }
    finite: dict[str, Any] = _finite(plain)
    return finite


def _run(run: ScoredRun) -> dict[str, Any]:
    visits, found = run.visits, run.visited.identified
    return {
        "name": safe_inline(visits.opening.run, 120),
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
        "identified": asdict(found),
        "unseen": run.pair.out,
        "learned": run.pair.into,
        "drift": {
            "told_by": run.drift.words,
            "rows": run.drift.rows,
            "held_out": run.drift.held_out,
            "mean_nats": float(np.mean(run.drift.nats[: len(run.batch)])),
        },
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


def sight(run: ScoredRun) -> dict[str, dict[str, float | int | None]]:
    """By dose: the AUC of planted copies against ordinary rows and against twins, and the share of them above the score that
    flags 2 % of the ordinary tokens."""
    name, controls = run.policy.map.memorization.score, run.samples.controls
    own, planted = run.analysis.scores.memorization(name), run.analysis.control_scores.memorization(name)
    ordinary = Ordinary.of(own, run.samples.n_tokens)
    twins = _known(planted[controls.dose == 0])
    found: dict[str, dict[str, float | int | None]] = {}
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


def above_line(run: ScoredRun, scores: Scores, chosen: NDArray[np.bool_]) -> dict[str, int | None]:
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


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)


def _finite(value: Any) -> Any:
    """Plain JSON values; what is not a finite number becomes null."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
