"""The facts of an audit as one plain dict: `report.json`, from which every page is rendered. Numbers are finite or null."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit import __version__
from carto_audit.artifacts.evidence_facts import (
    Axis,
    BenchmarkFacts,
    ContaminationFacts,
    CountFacts,
    CutFacts,
    DropFirstFacts,
    DuplicateFacts,
    ForgetFacts,
    GridFacts,
    MapFacts,
    Recall,
    ShardFacts,
    SweepFacts,
    ThresholdFacts,
)
from carto_audit.artifacts.report_facts import (
    BatchFacts,
    FindingFacts,
    ReportFacts,
    RunFacts,
    WaiverFacts,
)
from carto_audit.cartography.datamap import Cut, Line
from carto_audit.cartography.map_grid import coarse_counts, map_frame
from carto_audit.cartography.quadrants import QUADRANT_NAMES, UNMAPPED
from carto_audit.cartography.reasons import RECALLS
from carto_audit.cartography.scores import burn_in_epochs
from carto_audit.cartography.thresholds import Epsilon, Threshold
from carto_audit.pipeline.detection_facts import detection_facts
from carto_audit.pipeline.item_recall_table import sum_up
from carto_audit.pipeline.sample_facts import MOST_EXAMPLES, Texts, match_facts, quoted, sample_facts
from carto_audit.text.redaction import Excerpts

if TYPE_CHECKING:
    from carto_audit.pipeline.result import AuditResult

MOST_ROWS = 50
"""Matches that the report shows; the Parquet files hold all."""


def shown_matches(audit: "AuditResult") -> pa.Table | None:
    """The matches of the report's table: confirmed ones first, then by containment."""
    if audit.contamination is None:
        return None
    order = ["confirmed", "suspected", "source_overlap", "boilerplate"]
    tier = np.array([order.index(t) for t in audit.contamination.matches["tier"].to_pylist()], dtype=np.int64)
    containment = audit.contamination.matches["containment"].to_numpy()
    return audit.contamination.matches.take(pa.array(np.lexsort((-containment, tier))[:MOST_ROWS]))


def wanted_texts(audit: "AuditResult") -> list[int]:
    """Sample indices whose text the report quotes."""
    matches = shown_matches(audit)
    quoted = [quote.sample for quote in audit.boilerplate]
    return audit.riskiest + quoted + ([] if matches is None else matches["sample"].to_pylist())


def report_facts(audit: "AuditResult", texts: Texts, excerpts: Excerpts = "redacted") -> ReportFacts:
    """The whole `report.json`. `texts` holds the samples that `wanted_texts` names; they are redacted here, unless
    `excerpts` asks for none or for all of them."""
    facts: ReportFacts = {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": __version__},
        "batch": _batch(audit),
        "excerpts": excerpts,
        "run": _run(audit, texts, excerpts),
        "map": _map(audit),
        "detection": detection_facts(audit),
        "duplicates": _duplicates(audit),
        "contamination": _contamination(audit, texts, excerpts),
        "policy": {"name": audit.policy.name, "sha256": audit.policy.sha256, "resolved": audit.policy.resolved()},
        "metrics": {name: m.value for name, m in audit.measurements.items()},
        "metric_intervals": {n: [m.low, m.high] for n, m in audit.measurements.items() if m.low != m.high},
        "findings": [cast(FindingFacts, asdict(finding)) for finding in audit.verdict.findings],
        "warnings": list(audit.verdict.warnings),
        "waivers": [cast(WaiverFacts, asdict(waiver)) for waiver in audit.verdict.waivers],
        "baseline": audit.verdict.baseline,
        "redteam": audit.redteam.facts() if audit.redteam else None,
        "verdict": {
            "status": audit.verdict.status,
            "exit_code": int(audit.verdict.exit_code),
            "complete": audit.verdict.complete,
        },
        "riskiest": [sample_facts(audit, i, texts[i], excerpts) for i in audit.riskiest],
    }
    return cast(ReportFacts, _finite(facts))


def _finite(value: Any) -> Any:
    """Plain JSON values; what is not a finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _batch(audit: "AuditResult") -> BatchFacts:
    batch = audit.batch
    return {
        "paths": [path.name for path in batch.paths],
        "sha256": batch.sha256,
        "text_column": batch.text_column,
        "id_column": batch.id_column,
        "rows": batch.rows,
        "samples": len(batch),
        "tokens": int(audit.n_tokens.sum()),
        "trained_samples": int(audit.trained.sum()),
        "trained_tokens": int(audit.n_tokens[audit.trained].sum()),
        "held_out_samples": int(audit.held_out.sum()),
        "held_out_tokens": int(audit.n_tokens[audit.held_out].sum()),
        "skipped": [
            {
                "reason": s.reason,
                "explanation": s.explanation,
                "rows": len(s.rows),
                "examples": [{"row": int(row)} for row in s.rows[:MOST_EXAMPLES]],
            }
            for s in batch.skipped
        ],
    }


def _run(audit: "AuditResult", texts: Texts, excerpts: Excerpts) -> RunFacts:
    run, options = audit.run, audit.run.options
    severed = run.kinship.severed[: len(audit.batch)]
    return {
        "seed": options.seed,
        "device": run.device,
        "proxy": {
            "name": run.spec.name,
            "parameters": run.parameters,
            "context": run.spec.context,
            "vocab_size": run.spec.vocab_size,
            "layers": run.spec.layers,
            "hidden_size": run.spec.hidden_size,
            "checkpoint": run.spec.checkpoint,
        },
        "folds": options.folds,
        "epochs": options.epochs,
        "repeats": options.repeats,
        "reference_samples": run.references,
        "reference_sha256": run.reference_sha256,
        "burn_in_epochs": burn_in_epochs(options.epochs, audit.policy.map.difficulty.burn_in_share),
        "logged_epochs": list(audit.trace.logged),
        "max_tokens": run.max_tokens,
        "kinship": {
            "groups": int((np.bincount(run.kinship.group) > 1).sum()),
            "frequency_cap": run.kinship.cap,
            "boilerplate_runs": run.kinship.boilerplate_runs,
            "boilerplate": [
                {
                    "samples": quote.samples,
                    "excerpt": quoted(texts[quote.sample], (quote.start, quote.end), excerpts),
                }
                for quote in audit.boilerplate
            ],
            "severed_samples": int(severed.sum()),
            "severed_token_share": audit.measurements["kinship.severed_token_share"].value,
            "largest_group_token_share": run.kinship.largest_share,
        },
        "packages": run.packages,
        "started_at": run.started_at,
        "seconds": run.seconds,
    }


def _map(audit: "AuditResult") -> MapFacts:
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
    return {name: _counted(of, audit.n_tokens) for name, of in kinds.items()}


def _counted(chosen: NDArray[np.bool_], n_tokens: NDArray[np.int64]) -> CountFacts:
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


def _duplicates(audit: "AuditResult") -> DuplicateFacts:
    found = audit.duplicates
    copies = found.exact | found.near
    return {
        "exact_rows": int(found.exact.sum()),
        "near_rows": int(found.near.sum()),
        "clusters": len(np.unique(found.cluster_id[found.cluster_size > 1])),
        "largest_cluster": int(found.cluster_size.max(initial=1)),
        "row_share": float(copies.mean()),
        "token_share": audit.measurements["duplicates.token_share"].value,
        "jaccard_threshold": found.jaccard_threshold,
        "shingle": found.shingle,
    }


def _contamination(audit: "AuditResult", texts: Texts, excerpts: Excerpts) -> ContaminationFacts:
    matches = shown_matches(audit)
    if audit.contamination is None or matches is None:
        return {
            "benchmarks": [],
            "shards": [],
            "by_quadrant": {},
            "drop_first": None,
            "testimony": None,
            "matches": [],
        }
    by_quadrant, first = joined_with_map(
        audit.analysis.quadrant, audit.n_tokens, audit.contamination.is_tier("confirmed")
    )
    return {
        "benchmarks": [cast(BenchmarkFacts, asdict(benchmark)) for benchmark in audit.contamination.benchmarks],
        "shards": [cast(ShardFacts, asdict(shard)) for shard in audit.contamination.shards],
        "testimony": sum_up(audit.testimony),
        "by_quadrant": by_quadrant,
        "drop_first": first,
        "matches": match_facts(audit, matches, texts, excerpts),
    }


def joined_with_map(
    quadrant: NDArray[np.int8], n_tokens: NDArray[np.int64], confirmed: NDArray[np.bool_]
) -> tuple[dict[str, CountFacts], DropFirstFacts]:
    """Where on the map the rows with confirmed items lie: all (N,). Those in the hotspot are memorized too: drop them first."""
    codes = dict(zip((*QUADRANT_NAMES, "unmapped"), (*range(len(QUADRANT_NAMES)), UNMAPPED), strict=True))
    inside = {name: confirmed & (quadrant == code) for name, code in codes.items()}
    masses = {name: _counted(of, n_tokens) for name, of in inside.items()}
    first = masses["hotspot_memorized"]
    share = first["tokens"] / max(1, int(n_tokens.sum()))
    return masses, {"rows": first["rows"], "tokens": first["tokens"], "token_share": share}
