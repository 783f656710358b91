"""Single rows as facts: the riskiest samples and the matches, with their excerpts and their places on the map."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.artifacts.evidence_facts import ExcerptFacts, MatchFacts, PlaceFacts, SampleFacts
from carto_audit.cartography.quadrants import QUADRANT_NAMES, UNMAPPED
from carto_audit.cartography.reasons import NO_RECALL, RECALLS
from carto_audit.pipeline.item_recall_table import figures_by_item
from carto_audit.text.redaction import Excerpts, excerpt, heat_strip

if TYPE_CHECKING:
    from carto_audit.pipeline.result import AuditResult

HEAT_LEVELS = 5
"""Shades of a heat strip."""

MOST_EXAMPLES = 10
Texts = Mapping[int, str]


def place_facts(audit: "AuditResult", i: int) -> PlaceFacts:
    """Where a sample lies on the map."""
    scores, code = audit.analysis.scores, int(audit.analysis.quadrant[i])
    return {
        "quadrant": QUADRANT_NAMES[code] if code != UNMAPPED else None,
        "difficulty": float(scores.difficulty[i]),
        "memorization": float(scores.memorization(audit.policy.map.memorization.score)[i]),
    }


def sample_facts(audit: "AuditResult", i: int, text: str, excerpts: Excerpts) -> SampleFacts:
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
        "excerpt": quoted(text, (max(start, 0), max(end, 0)), excerpts),
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


def quoted(text: str, span: tuple[int, int], excerpts: Excerpts, *, memorized: bool = True) -> ExcerptFacts:
    """A passage of a text in one printable line, masked as `excerpts` asks."""
    found = excerpt(text, *span, memorized=memorized, excerpts=excerpts)
    return {"before": found.before, "span": found.span, "after": found.after}


def _losses(values: NDArray[np.float32]) -> list[float | None]:
    return [round(float(value), 4) for value in values]


def match_facts(audit: "AuditResult", matches: pa.Table, texts: Texts, excerpts: Excerpts) -> list[MatchFacts]:
    """The matches that the report shows, each with the two passages and what the proxies recall of the item."""
    items, recalled = _item_texts(audit, matches), figures_by_item(audit.testimony)
    rows = []
    for match in matches.to_pylist():
        sample = match.pop("sample")
        item = items[match["benchmark"], match["item_id"], match["component"]]
        row = {
            **match,
            **place_facts(audit, sample),
            "excerpt_sample": quoted(
                texts[sample], (match["sample_start"], match["sample_end"]), excerpts, memorized=False
            ),
            "excerpt_item": quoted(item, (match["item_start"], match["item_end"]), excerpts, memorized=False),
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
