"""The facts of an audit as one plain dict: `report.json`, from which every page is rendered. Numbers are finite or null."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit import __version__
from carto_audit.cartography.datamap import Line
from carto_audit.cartography.map_grid import coarse_counts, map_frame
from carto_audit.cartography.quadrants import QUADRANT_NAMES, UNMAPPED
from carto_audit.cartography.reasons import NO_RECALL, RECALLS
from carto_audit.cartography.scores import burn_in_epochs
from carto_audit.cartography.thresholds import Epsilon
from carto_audit.pipeline.detection_facts import detection_facts
from carto_audit.pipeline.item_recall_table import figures_by_item, sum_up
from carto_audit.text.redaction import Excerpts, excerpt, heat_strip

if TYPE_CHECKING:
    from carto_audit.pipeline.result import AuditResult

MOST_ROWS = 50
"""Matches that the report shows; the Parquet files hold all."""

HEAT_LEVELS = 5
"""Shades of a heat strip."""

MOST_EXAMPLES = 10
Texts = Mapping[int, str]


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


def report_facts(audit: "AuditResult", texts: Texts, excerpts: Excerpts = "redacted") -> dict[str, Any]:
    """The whole `report.json`. `texts` holds the samples that `wanted_texts` names; they are redacted here, unless
    `excerpts` asks for none or for all of them."""
    facts: dict[str, Any] = _finite(
        {
            "schema_version": 1,
            "tool": {"name": "carto-audit", "version": __version__},
            "batch": _batch(audit),
            "excerpts": excerpts,
            "run": _run(audit, texts, excerpts),
            "map": _map(audit),
            "detection": detection_facts(audit),
            "duplicates": _duplicates(audit),
            "contamination": _contamination(audit, texts, excerpts),
            "policy": {
                "name": audit.policy.name,
                "sha256": audit.policy.sha256,
                "resolved": audit.policy.resolved(),
            },
            "metrics": {name: m.value for name, m in audit.measurements.items()},
            "metric_intervals": {n: [m.low, m.high] for n, m in audit.measurements.items() if m.low != m.high},
            "findings": [asdict(finding) for finding in audit.verdict.findings],
            "warnings": list(audit.verdict.warnings),
            "waivers": [asdict(waiver) for waiver in audit.verdict.waivers],
            "baseline": audit.verdict.baseline.facts() if audit.verdict.baseline else None,
            "redteam": audit.redteam.facts() if audit.redteam else None,
            "verdict": {
                "status": audit.verdict.status,
                "exit_code": int(audit.verdict.exit_code),
                "complete": audit.verdict.complete,
            },
            "riskiest": [_sample(audit, i, texts[i], excerpts) for i in audit.riskiest],
        }
    )
    return facts


def _finite(value: Any) -> Any:
    """Plain JSON values; what is not a finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _batch(audit: "AuditResult") -> dict[str, Any]:
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


def _run(audit: "AuditResult", texts: Texts, excerpts: Excerpts) -> dict[str, Any]:
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
                    "excerpt": asdict(excerpt(texts[quote.sample], quote.start, quote.end, excerpts=excerpts)),
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


def _map(audit: "AuditResult") -> dict[str, Any]:
    datamap, memorization = audit.analysis.datamap, audit.policy.map.memorization
    lines: dict[str, Line | None] = {
        "difficulty": datamap.difficulty if datamap else None,
        "memorization": datamap.memorization if datamap else None,
    }
    rules = {"difficulty": audit.policy.map.difficulty.threshold, "memorization": memorization.threshold}
    return {
        "score": memorization.score,
        "thresholds": {axis: line.value if line else None for axis, line in lines.items()},
        "threshold_rules": {
            axis: {
                "rule": rules[axis].model_dump(exclude_none=True),
                "words": line.drawn.words if line else "could not be set: nothing was measured to set it by",
                "flagged_share": line.drawn.flagged_share if line else None,
                "cuts": [{**asdict(cut), "drawn": cut is line.drawn} for cut in line.cuts] if line else [],
            }
            for axis, line in lines.items()
        },
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
            for name, mass in audit.analysis.masses.items()
            if name in QUADRANT_NAMES
        },
        "recall": _recall(audit),
        "forget": _forget(audit),
        "grid": _grid(audit, (lines["difficulty"], lines["memorization"])),
    }


def _grid(audit: "AuditResult", lines: tuple[Line | None, Line | None]) -> dict[str, Any]:
    """Samples per field of a coarse map, the most memorized row first, and the ends of its axes."""
    scores = audit.analysis.scores
    points = scores.difficulty, scores.memorization(audit.policy.map.memorization.score)
    placed = np.isfinite(points[0]) & np.isfinite(points[1])
    x, y = (line.value if line else None for line in lines)
    ruler = [score for score in audit.analysis.reasons.ruler.values() if np.isfinite(score)]
    frame = map_frame(points[0][placed], points[1][placed], (x, y), ruler)
    return {**asdict(frame), "counts": coarse_counts(points[0][placed], points[1][placed], frame).tolist()}


def _recall(audit: "AuditResult") -> dict[str, dict[str, int]]:
    """Rows and tokens of flagged samples by kind of recall."""
    kinds = {name: audit.analysis.reasons.recall == code for code, name in enumerate(RECALLS)}
    return {name: {"rows": int(of.sum()), "tokens": int(audit.n_tokens[of].sum())} for name, of in kinds.items()}


def _forget(audit: "AuditResult") -> dict[str, Any]:
    known = audit.analysis.scores.forget_score[np.isfinite(audit.analysis.scores.forget_score)]
    return {
        "epsilon": _epsilon_words(audit.policy.map.memorization.epsilon),
        "levels": len(np.unique(known)),
        "tie_share": audit.measurements["forget.tie_share"].value if len(known) else None,
        "never_learned_share": audit.measurements["forget.never_learned_share"].value if len(known) else None,
        "sweep": [asdict(step) for step in audit.analysis.sweep],
    }


def _epsilon_words(epsilon: Epsilon) -> str:
    if epsilon.absolute is not None:
        return f"{epsilon.absolute:g} nats per token, the same for every sample"
    if epsilon.held_out_percentile is not None:
        return f"percentile {epsilon.held_out_percentile:g} of the losses of unseen samples"
    return f"each sample's own lowest loss plus {epsilon.relative:g} nats per token"


def _duplicates(audit: "AuditResult") -> dict[str, Any]:
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


def _contamination(audit: "AuditResult", texts: Texts, excerpts: Excerpts) -> dict[str, Any]:
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
    items = _item_texts(audit, matches)
    voices = figures_by_item(audit.testimony)
    rows = []
    for match in matches.to_pylist():
        sample = match.pop("sample")
        item = items[match["benchmark"], match["item_id"], match["component"]]
        places = (
            (texts[sample], match["sample_start"], match["sample_end"]),
            (item, match["item_start"], match["item_end"]),
        )
        quoted = (asdict(excerpt(*place, memorized=False, excerpts=excerpts)) for place in places)
        rows.append(
            {
                **match,
                **_place(audit, sample),
                **dict(zip(("excerpt_sample", "excerpt_item"), quoted, strict=True)),
                "testimony": voices.get((match["benchmark"], match["item_id"])),
            }
        )
    return {
        "benchmarks": [asdict(b) for b in audit.contamination.benchmarks],
        "shards": [asdict(shard) for shard in audit.contamination.shards],
        "testimony": sum_up(audit.testimony),
        **joined_with_map(audit.analysis.quadrant, audit.n_tokens, audit.contamination.is_tier("confirmed")),
        "matches": rows,
    }


def joined_with_map(
    quadrant: NDArray[np.int8], n_tokens: NDArray[np.int64], confirmed: NDArray[np.bool_]
) -> dict[str, Any]:
    """Where on the map the rows with confirmed items lie: all (N,). Those in the hotspot are memorized too: drop them first."""
    codes = dict(zip((*QUADRANT_NAMES, "unmapped"), (*range(len(QUADRANT_NAMES)), UNMAPPED), strict=True))
    inside = {name: confirmed & (quadrant == code) for name, code in codes.items()}
    masses = {name: {"rows": int(of.sum()), "tokens": int(n_tokens[of].sum())} for name, of in inside.items()}
    first = masses["hotspot_memorized"]
    share = first["tokens"] / max(1, int(n_tokens.sum()))
    return {"by_quadrant": masses, "drop_first": {**first, "token_share": share}}


def _item_texts(audit: "AuditResult", matches: pa.Table) -> dict[tuple[str, str, str], str]:
    """The text of each matched component, by benchmark, item and component."""
    wanted = set(zip(*(matches[c].to_pylist() for c in ("benchmark", "item_id", "component")), strict=True))
    found = {}
    for benchmark in audit.benchmarks:
        ids = {item_id for name, item_id, _ in wanted if name == benchmark.name}
        for item in benchmark.items.to_pylist() if ids else ():
            for name, item_id, component in wanted:
                if name == benchmark.name and item_id == item["item_id"]:
                    found[name, item_id, component] = str(item.get(component) or "")
    return found


def _place(audit: "AuditResult", i: int) -> dict[str, Any]:
    """Where a sample lies on the map."""
    scores, code = audit.analysis.scores, int(audit.analysis.quadrant[i])
    return {
        "quadrant": QUADRANT_NAMES[code] if code != UNMAPPED else None,
        "difficulty": scores.difficulty[i],
        "memorization": scores.memorization(audit.policy.map.memorization.score)[i],
    }


def _sample(audit: "AuditResult", i: int, text: str, excerpts: Excerpts) -> dict[str, Any]:
    scores, start, end = audit.analysis.scores, int(audit.spans.start[i]), int(audit.spans.end[i])
    reasons, cluster = audit.analysis.reasons, audit.duplicates.cluster_id
    copies = [int(audit.batch.row[j]) for j in np.flatnonzero(cluster == cluster[i]) if j != i]
    return {
        "sample_id": audit.batch.sample_id[i].as_py(),
        "row": int(audit.batch.row[i]),
        **_place(audit, i),
        **{name: values[i] for name, values in scores.selectable().items()},
        "n_tokens": audit.n_tokens[i],
        "cluster_size": audit.duplicates.cluster_size[i],
        "cluster_rows": copies[:MOST_EXAMPLES],
        "copies": reasons.copies[i],
        "recall": RECALLS[reasons.recall[i]] if reasons.recall[i] != NO_RECALL else None,
        "equivalent_dose": reasons.equivalent_dose[i],
        "dose_words": reasons.dose_words(i),
        "contamination_tier": str(audit.contamination.tier_names()[i]) if audit.contamination else "",
        "action": str(audit.actions.action[i]),
        "weight": audit.actions.weight[i],
        "reasons": str(audit.actions.reasons[i]),
        "loss_in": scores.loss_in[i],
        "loss_out": scores.loss_out[i],
        "excerpt": asdict(excerpt(text, max(start, 0), max(end, 0), excerpts=excerpts)),
        "heat": [{"text": piece, "level": level} for piece, level in _heat(audit, i, text, excerpts)],
        "losses": {
            "train": _losses(audit.trace.train[:, i]),
            "in_fold": _losses(audit.trace.loss_in[:, i]),
            "out_of_fold": _losses(audit.trace.loss_out[:, i]),
        },
    }


def _heat(audit: "AuditResult", i: int, text: str, excerpts: Excerpts) -> list[tuple[str, int]]:
    """The text around the sample's span in pieces, each with the share of its loss that training removed, in levels."""
    heat = audit.heats.get(i)
    if heat is None or not len(heat.share) or not np.isfinite(heat.share).all():
        return []
    edges = np.maximum.accumulate([*heat.offsets[:, 0].tolist(), int(heat.offsets[-1, 1])])
    levels = np.minimum((heat.share * HEAT_LEVELS).astype(int), HEAT_LEVELS - 1)
    return heat_strip(text, edges.tolist(), levels.tolist(), excerpts=excerpts)


def _losses(values: NDArray[np.float32]) -> list[float]:
    return [round(float(value), 4) for value in values]
