"""The files of lenses: their answers about rows and places as Parquet, and what the report says of them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.artifacts.file_list import LENSES, lens_files
from carto_audit.lenses.answers import Bars, Figure, Histogram, Section
from carto_audit.lenses.declared.facts import FigureFacts, LensAlarmFacts, LensBarFacts, LensFacts, LensSectionFacts
from carto_audit.lenses.declared.known import find_lens
from carto_audit.lenses.declared.spec import FALSE_ALARMS, FOUND
from carto_audit.lenses.lens_run import LensRun
from carto_audit.policy.lens_metrics import LENS
from carto_audit.runtime.files import made_folder, write_table


def write_lenses(folder: Path, runs: Iterable[LensRun], sample_id: pa.Array, row: NDArray[np.int64]) -> None:
    """Writes `lenses/NAME.parquet` and `lenses/NAME.spans.parquet` of those that answered, and removes what an earlier audit left
    there. A row of the batch is a row of the first; the second tells places, never text."""
    for name in lens_files(folder):
        (folder / name).unlink()
    for run in runs:
        if run.columns is None:
            continue
        place = made_folder(folder / LENSES)
        columns = {name: run.columns[name] for name in run.columns.column_names}
        write_table(place / f"{run.name}.parquet", pa.table({"sample_id": sample_id, "row": row, **columns}), "zstd")
        if run.spans is not None:
            at = run.spans["row"].to_numpy()
            spans = {name: run.spans[name] for name in run.spans.column_names if name != "row"}
            named = pa.table({"sample_id": sample_id.take(pa.array(at)), "row": row[at], **spans})
            write_table(place / f"{run.name}.spans.parquet", named, "zstd")


def lens_facts(runs: Iterable[LensRun]) -> dict[str, LensFacts]:
    """What `report.json` says of each lens."""
    return {run.name: _facts(run) for run in runs}


def _facts(run: LensRun) -> LensFacts:
    start = f"{LENS}{run.name}."
    facts: LensFacts = {
        "version": run.version,
        "distribution": run.distribution,
        "question": find_lens(run.name).spec.question,
        "judged": run.judged,
        "status": "failed" if run.problem else "measured",
        "problem": run.problem,
        "power": [
            {
                "dose": one.dose,
                "planted": one.planted,
                "found": one.counted,
                "at_least": run.measurements[f"{start}{FOUND}{one.dose}"].low,
            }
            for one in run.power
            if one.dose
        ],
        "false_alarms": _alarms(run),
        "metrics": {name.removeprefix(start): m.value for name, m in run.measurements.items()},
        "cost": {"seconds": run.seconds, "peak_bytes": run.peak_bytes},
        "section": None if run.section is None else _section(run.section),
        "warnings": list(run.warnings),
    }
    return facts | {"plants_read": run.plants_read} if run.plants_read else facts


def _alarms(run: LensRun) -> LensAlarmFacts | None:
    found = next((one for one in run.power if not one.dose), None)
    if found is None:
        return None
    most = run.measurements[f"{LENS}{run.name}.{FALSE_ALARMS}"].high
    return {"planted": found.planted, "found": found.counted, "at_most": most}


def _section(section: Section) -> LensSectionFacts:
    return {
        "headline": section.headline,
        "paragraph": section.paragraph,
        "facts": [{"what": what, "value": value} for what, value in section.facts],
        "figures": [_figure(figure) for figure in section.figures],
    }


def _figure(figure: Figure) -> FigureFacts:
    if isinstance(figure, Bars):
        bars: list[LensBarFacts] = [
            {"label": b.label, "value": b.value, "low": b.low, "high": b.high} for b in figure.bars
        ]
        return {"kind": "bars", "title": figure.title, "unit": figure.unit, "bars": bars}
    if isinstance(figure, Histogram):
        bins: list[LensBarFacts] = [
            {"label": label, "value": amount, "low": None, "high": None}
            for label, amount in zip(figure.labels, figure.amounts, strict=True)
        ]
        return {"kind": "histogram", "title": figure.title, "unit": figure.unit, "bars": bins}
    return {
        "kind": "table",
        "title": figure.title,
        "columns": list(figure.columns),
        "rows": [list(r) for r in figure.rows],
    }
