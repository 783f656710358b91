"""The facts of an audit as one plain dict: `report.json`, from which every page is rendered. Numbers are finite or null."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit import __version__
from carto_audit.artifacts.batch_facts import BatchFacts, DeliveryFacts, ReadingFacts, SkippedRowFacts
from carto_audit.artifacts.evidence_facts import (
    BenchmarkFacts,
    ContaminationFacts,
    CountFacts,
    DropFirstFacts,
    DuplicateFacts,
    ExcerptFacts,
    MatchFacts,
    SampleFacts,
    ShardFacts,
)
from carto_audit.artifacts.report_facts import CallFacts, FindingFacts, ReportFacts, RunFacts, WaiverFacts
from carto_audit.cartography.quadrants import QUADRANT_NAMES, UNMAPPED
from carto_audit.cartography.reasons import NO_RECALL, RECALLS
from carto_audit.cartography.scores import burn_in_epochs
from carto_audit.data.batch import Batch
from carto_audit.data.delivery import EXPLANATIONS, Delivery
from carto_audit.data.hub_layout import HubChoice
from carto_audit.data.layouts import place
from carto_audit.gate.operating import operating_of
from carto_audit.lenses.tables import lens_facts
from carto_audit.pipeline.item_recall_table import figures_by_item, sum_up
from carto_audit.pipeline.judge import loss_on
from carto_audit.pipeline.map_facts import counted, detection_facts, map_facts, place_facts
from carto_audit.text.redaction import Excerpts, excerpt, heat_strip

if TYPE_CHECKING:
    from carto_audit.pipeline.result import AuditResult

MOST_ROWS = 50
"""Matches that the report shows; the Parquet files hold all."""

HEAT_LEVELS = 5
"""Shades of a heat strip."""

MOST_EXAMPLES = 10
MOST_COLUMNS = 50
MOST_WAYS = 20
MOST_FILES = 200
"""Files named that were not read; all are counted."""

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


def report_facts(
    audit: "AuditResult", texts: Texts, excerpts: Excerpts = "redacted", call: CallFacts | None = None
) -> ReportFacts:
    """The whole `report.json`. `texts` holds the samples that `wanted_texts` names; they are redacted here, unless
    `excerpts` asks for none or for all of them. `call` is how the audit was called."""
    said = audit.verdict
    facts: ReportFacts = {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": __version__},
        "batch": _batch(audit),
        "excerpts": excerpts,
        "run": _run(audit, texts, excerpts),
        "map": map_facts(audit),
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
        "verdict": {"status": said.status, "exit_code": int(said.exit_code), "complete": said.complete},
        "riskiest": [_sample(audit, i, texts[i], excerpts) for i in audit.riskiest],
    }
    if known := operating_of(audit.policy):
        facts["operating"] = known
    if audit.vendor is not None:
        facts["vendor"] = audit.vendor.facts
    if audit.decisions is not None:
        facts["decisions"] = audit.decisions.facts
    if audit.copies is not None:
        facts["cross_batch"] = audit.copies.facts
    if audit.lenses:
        facts["lenses"] = lens_facts(audit.lenses)
    if call is not None:
        facts["run"]["call"] = call
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
        "paths": list(batch.names),
        "sha256": batch.sha256,
        "text_column": batch.text_column,
        "layout": {
            "name": batch.layout.name,
            "columns": list(batch.layout.columns),
            "learned": sorted(batch.layout.learned),
            "loss_on": loss_on(audit.policy, audit.run.options),
            "unread": [
                {"column": column.name, "bytes": column.n_bytes, "long_bytes": column.unread_bytes}
                for column in batch.unread[:MOST_COLUMNS]
            ],
        },
        "id_column": batch.id_column,
        "reading": _reading(batch),
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
                "examples": [_skipped_row(batch, int(row)) for row in s.rows[:MOST_EXAMPLES]],
            }
            for s in batch.skipped
        ],
        "delivery": delivery_facts(batch.delivery, batch.choice),
    }


def _skipped_row(batch: Batch, row: int) -> SkippedRowFacts:
    """Where a row stands. Rows are counted from 0 in the batch, and from 1 in their file, as lines are."""
    ends = np.cumsum(batch.file_rows)
    file = int(np.searchsorted(ends, row, side="right"))
    return {"row": row, "file": batch.file_names[file], "file_row": row - int(ends[file]) + batch.file_rows[file] + 1}


def _reading(batch: Batch) -> ReadingFacts:
    written = Counter(filter(None, batch.written))
    return {
        "given": {name: value for name, value in asdict(batch.reading).items() if value is not None},
        "found": [
            {"how": how, "files": files, "first": batch.file_names[batch.written.index(how)]}
            for how, files in written.most_common(MOST_WAYS)
        ],
    }


def delivery_facts(delivery: Delivery, choice: HubChoice | None = None) -> DeliveryFacts:
    """What of a delivery was read, and what was not, unread data first."""
    side = [other for other in delivery.others if not other.is_data]
    facts: DeliveryFacts = {
        "read_files": len(delivery.paths),
        "read_bytes": sum(delivery.sizes),
        "unread_files": len(delivery.unread),
        "unread_bytes": sum(other.n_bytes for other in delivery.unread),
        "side_files": len(side),
        "side_bytes": sum(other.n_bytes for other in side),
        "not_read": [
            {
                "name": other.name,
                "bytes": other.n_bytes,
                "reason": other.reason,
                "explanation": EXPLANATIONS[other.reason],
                "is_data": other.is_data,
            }
            for other in [*delivery.unread, *side][:MOST_FILES]
        ],
    }
    if choice is not None:
        facts["chosen"] = {"config": choice.config, "split": choice.split}
    return facts


def _run(audit: "AuditResult", texts: Texts, excerpts: Excerpts) -> RunFacts:
    run, options = audit.run, audit.run.options
    severed = run.kinship.severed[: len(audit.batch)]
    facts: RunFacts = {
        "seed": options.training_seed,
        "sampling": {"key_commitment": run.key_commitment, "rehearsable": run.key_commitment is None},
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
        "repeats": run.repeats,
        "confidence": run.confidence,
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
                    "excerpt": _quoted(texts[quote.sample], (quote.start, quote.end), excerpts),
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
    if (engine := run.engine) is not None:
        facts["engine"] = {"name": engine.name, "workers": engine.tally.workers, "retries": engine.tally.retries}
    if audit.contamination is not None and audit.contamination.reused:
        facts["reused_samples"] = audit.contamination.reused
    return facts


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
        "matches": _matches(audit, matches, texts, excerpts),
    }


def joined_with_map(
    quadrant: NDArray[np.int8], n_tokens: NDArray[np.int64], confirmed: NDArray[np.bool_]
) -> tuple[dict[str, CountFacts], DropFirstFacts]:
    """Where on the map the rows with confirmed items lie: all (N,). Those in the hotspot are memorized too: drop them first."""
    codes = dict(zip((*QUADRANT_NAMES, "unmapped"), (*range(len(QUADRANT_NAMES)), UNMAPPED), strict=True))
    inside = {name: confirmed & (quadrant == code) for name, code in codes.items()}
    masses = {name: counted(of, n_tokens) for name, of in inside.items()}
    first = masses["hotspot_memorized"]
    share = first["tokens"] / max(1, int(n_tokens.sum()))
    return masses, {"rows": first["rows"], "tokens": first["tokens"], "token_share": share}


def _sample(audit: "AuditResult", i: int, text: str, excerpts: Excerpts) -> SampleFacts:
    """All that the report shows of one sample."""
    scores, start, end = audit.analysis.scores, int(audit.spans.start[i]), int(audit.spans.end[i])
    reasons, cluster = audit.analysis.reasons, audit.duplicates.cluster_id
    copies = [int(audit.batch.row[j]) for j in np.flatnonzero(cluster == cluster[i]) if j != i]
    return {
        "sample_id": str(audit.batch.sample_id[i].as_py()),
        "row": int(audit.batch.row[i]),
        **place_facts(audit, i),
        "memorized": float(scores.memorized[i]),
        "memorized_share": float(scores.memorized_share[i]),
        "memorized_span_share": float(scores.memorized_span_share[i]),
        "forget_score": float(scores.forget_score[i]),
        "n_tokens": int(audit.n_tokens[i]),
        "cluster_size": int(audit.duplicates.cluster_size[i]),
        "cluster_rows": copies[:MOST_EXAMPLES],
        "segment": place(audit.segments.get(i, ()), max(start, 0), max(end, 0)),
        "copies": int(reasons.copies[i]),
        "recall": RECALLS[reasons.recall[i]] if reasons.recall[i] != NO_RECALL else None,
        "equivalent_dose": float(reasons.equivalent_dose[i]),
        "dose_words": reasons.dose_words(i),
        "contamination_tier": str(audit.contamination.tier_names()[i]) if audit.contamination else "",
        "action": str(audit.actions.action[i]),
        "weight": float(audit.actions.weight[i]),
        "reasons": str(audit.actions.reasons[i]),
        "loss_in": float(scores.loss_in[i]),
        "loss_out": float(scores.loss_out[i]),
        "excerpt": _quoted(text, (max(start, 0), max(end, 0)), excerpts),
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


def _quoted(text: str, span: tuple[int, int], excerpts: Excerpts, *, memorized: bool = True) -> ExcerptFacts:
    """A passage of a text in one printable line, masked as `excerpts` asks."""
    found = excerpt(text, *span, memorized=memorized, excerpts=excerpts)
    return {"before": found.before, "span": found.span, "after": found.after}


def _losses(values: NDArray[np.float32]) -> list[float | None]:
    return [round(float(value), 4) for value in values]


def _matches(audit: "AuditResult", matches: pa.Table, texts: Texts, excerpts: Excerpts) -> list[MatchFacts]:
    """The matches that the report shows, each with the two passages and what the proxies recall of the item."""
    items, recalled = _item_texts(audit, matches), figures_by_item(audit.testimony)
    rows = []
    for match in matches.to_pylist():
        sample = match.pop("sample")
        item = items[match["benchmark"], match["item_id"], match["component"]]
        row = {
            **match,
            **place_facts(audit, sample),
            "excerpt_sample": _quoted(
                texts[sample], (match["sample_start"], match["sample_end"]), excerpts, memorized=False
            ),
            "excerpt_item": _quoted(item, (match["item_start"], match["item_end"]), excerpts, memorized=False),
            "testimony": recalled.get((match["benchmark"], match["item_id"])),
        }
        rows.append(cast(MatchFacts, row))
    return rows


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
