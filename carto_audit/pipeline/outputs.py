"""What an audit leaves behind: every file whole or absent, and `verdict.json` last, so its presence means completeness."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carto_audit.artifacts.file_list import ENVELOPE, EVIDENCE, LENSES, OUTPUTS, STATEMENT, VERDICT, lens_files
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.attestation.statement import batch_subjects
from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.cartography.reasons import NO_RECALL, RECALLS
from carto_audit.contamination.check import write_clean, write_matches
from carto_audit.data.duplicates import Duplicates
from carto_audit.data.readers import name_of
from carto_audit.data.shards import expand_paths
from carto_audit.gate.verdict import intoto_statement, verdict_document
from carto_audit.lenses.tables import write_lenses
from carto_audit.pipeline.item_recall_table import write_testimony
from carto_audit.report.html import write_report
from carto_audit.report.map_figure import figure_png, figure_svg, map_figure
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import file_sha256, json_bytes, reason, write_bytes, write_json, write_table
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.trace import write_trace

if TYPE_CHECKING:
    from carto_audit.pipeline.result import AuditResult

T = TypeVar("T")


def prepare_folder(
    folder: Path, inputs: Sequence[str | Path], files: Sequence[str] = (*OUTPUTS, ENVELOPE), *, nested: bool = True
) -> None:
    """Makes the folder of a result, before anything is computed. Raises UsageError where it would be read as part of an input
    (also from inside one, unless `nested`), or where one of its `files` would overwrite one; AuditError where it cannot be
    written."""
    where, place, files_of_batch = safe_inline(str(folder), 160), folder.resolve(), expand_paths(inputs)
    for given in map(Path, inputs):
        if given.is_dir() and (place == given.resolve() or (not nested and place.is_relative_to(given.resolve()))):
            raise UsageError(
                f"{where}: the batch lies there, and the result would be read as part of it; choose another {option('out')}"
            )
    ours = {place / name for name in files}
    for path in files_of_batch:
        if path.resolve() in ours or path.resolve().parent == place / LENSES:
            raise UsageError(f"{name_of(path)}: the result would overwrite this input; choose another {option('out')}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(f"{where}: cannot be written: {reason(error)}; choose another {option('out')}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AuditError(f"{where}: cannot be written: permission denied; choose another {option('out')}")


def open_folder(folder: Path) -> None:
    """Makes a folder ready for a new audit: no earlier verdict, and nothing that a killed run had half written."""
    clear_verdict(folder)
    for name in OUTPUTS:
        for unfinished in folder.glob(f".{name}.*.tmp"):
            unfinished.unlink()


def clear_verdict(folder: Path) -> None:
    """Removes the verdict of an earlier audit, which says nothing about this one."""
    for name in (VERDICT, STATEMENT, ENVELOPE):
        (folder / name).unlink(missing_ok=True)


def write_outputs(
    audit: "AuditResult", facts: ReportFacts, folder: Path, enter: Callable[[Mapping[str, str]], T] | None = None
) -> T | None:
    """Writes all files of an audit into `folder`, the verdict last. `enter` is told the digests of all of them by name before
    there is a verdict, and where it raises there is none; what it returns is returned."""
    clear_verdict(folder)
    write_table(folder / "scores.parquet", scores_table(audit), "zstd")
    write_trace(folder / "trace.parquet", audit.batch.sample_id, audit.fold, audit.trace)
    if audit.contamination is not None:
        write_matches(folder / "matches.parquet", audit.contamination.matches)
        write_clean(folder / "clean_items.parquet", audit.benchmarks, audit.contamination)
    else:
        for name in ("matches.parquet", "clean_items.parquet"):
            (folder / name).unlink(missing_ok=True)
    if audit.testimony is not None:
        write_testimony(folder / "testimony.parquet", audit.testimony)
    else:
        (folder / "testimony.parquet").unlink(missing_ok=True)
    write_lenses(folder, audit.lenses, audit.batch.sample_id, audit.batch.row)
    figure = map_figure(
        difficulty=audit.analysis.scores.difficulty,
        memorization=audit.analysis.scores.memorization(audit.policy.map.memorization.score),
        n_tokens=audit.n_tokens,
        facts=facts,
        control_scores=audit.analysis.reasons.ruler,
        confirmed=audit.contamination.is_tier("confirmed") if audit.contamination else None,
    )
    write_report(folder, facts, figure_svg(figure), figure_png(figure))
    verdict = json_bytes(verdict_document(audit.verdict, audit.policy, audit.batch.sha256))
    subjects = {
        **batch_subjects(audit.batch.names, audit.batch.digests),
        **{name: file_sha256(folder / name) for name in EVIDENCE if (folder / name).exists()},
        **{name: file_sha256(folder / name) for name in lens_files(folder)},
        VERDICT: hashlib.sha256(verdict).hexdigest(),
    }
    write_json(folder / STATEMENT, intoto_statement(audit.verdict, audit.policy, subjects))
    entered = enter(subjects) if enter else None
    write_bytes(folder / VERDICT, verdict)
    return entered


def scores_table(audit: "AuditResult") -> pa.Table:
    """`scores.parquet`: a row per sample. Scores and quadrant are null where a sample was not trained on; `decision` is the
    number of the one that a row follows, where a file of decisions was named."""
    scores, duplicates, actions = audit.analysis.scores, audit.duplicates, audit.actions
    reasons, settled = audit.analysis.reasons, audit.decisions
    names = [*QUADRANT_NAMES, None]
    quadrant = audit.analysis.quadrant
    tiers = audit.contamination.tier_names() if audit.contamination else np.full(len(audit.batch), "")
    return pa.table(
        {
            "sample_id": audit.batch.sample_id,
            "row": audit.batch.row,
            "n_tokens": audit.n_tokens,
            "difficulty": _nullable(scores.difficulty),
            "memorization": _nullable(scores.memorization(audit.policy.map.memorization.score)),
            "forget_score": _nullable(scores.forget_score),
            "memorized_share": _nullable(scores.memorized_share),
            "memorized_span_share": _nullable(scores.memorized_span_share),
            "memorized": _nullable(scores.memorized),
            "span_start": pa.array(audit.spans.start, mask=audit.spans.start < 0),
            "span_end": pa.array(audit.spans.end, mask=audit.spans.end < 0),
            "copies": pa.array(reasons.copies, mask=scores.span_copies < 0),
            "recall": pa.DictionaryArray.from_arrays(
                pa.array(reasons.recall, pa.int8(), mask=reasons.recall == NO_RECALL), pa.array(RECALLS)
            ).cast(pa.string()),
            "equivalent_dose": _nullable(reasons.equivalent_dose),
            "loss_in": _nullable(scores.loss_in),
            "loss_out": _nullable(scores.loss_out),
            "quadrant": pa.DictionaryArray.from_arrays(
                pa.array(quadrant, pa.int8(), mask=quadrant < 0), pa.array(names[:-1])
            ).cast(pa.string()),
            "cluster_id": duplicates.cluster_id,
            "cluster_size": duplicates.cluster_size,
            "text_hash": pa.array(duplicates.text_hash, mask=duplicates.text_hash == 0),
            "text_digest": _digests(duplicates),
            "contamination_tier": pa.array(tiers.tolist(), pa.string()),
            "action": pa.array(actions.action.tolist(), pa.string()),
            "weight": actions.weight,
            "reasons": pa.array(actions.reasons.tolist(), pa.string()),
            **({"decision": pa.array(settled.number, mask=settled.number == 0)} if settled else {}),
        }
    )


def _digests(duplicates: Duplicates) -> pa.Array:
    """The sixteen bytes of each text's digest, null where there is no text."""
    data = pa.py_buffer(np.ascontiguousarray(duplicates.digest))
    whole = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(duplicates.digest), [None, data])
    return pc.if_else(pa.array(duplicates.text_hash != 0), whole, None)


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)
