"""Checking: what a lens hands back, held against what it declared. Anything else ends it as failed, with no number of it."""

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carto_audit.lenses.answers import Bar, Bars, Cells, Figure, Histogram, LensResult, Looked, Section
from carto_audit.lenses.declared.spec import ColumnType, LensColumn, LensMetric, LensSpec
from carto_audit.lenses.planting import LensFaultError
from carto_audit.policy.metrics import Measurement
from carto_audit.text.untrusted import safe_inline

TYPES: Mapping[ColumnType, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "flag": pa.bool_(),
}

SPANS = pa.schema([("row", pa.int64()), ("start", pa.int64()), ("end", pa.int64()), ("label", pa.string())])

T = TypeVar("T")

MOST_FACTS, MOST_FIGURES, MOST_MARKS, MOST_WARNINGS = 12, 2, 24, 5
WORDS, PARAGRAPH = 120, 800
"""Characters of a line and of a paragraph."""


def checked_looked(spec: LensSpec, rows: int, looked: object) -> Looked:
    """The answers about so many rows. Raises LensFaultError in one line where they are not what the lens declared."""
    if not isinstance(looked, Looked) or not isinstance(looked.columns, pa.Table):
        raise LensFaultError("look returned something else than Looked with a table")
    declared, columns = _schema(spec.columns), looked.columns
    if not columns.schema.equals(declared) or (spec.columns and len(columns) != rows):
        raise LensFaultError(f"its columns are not the declared ones with {rows:,} rows")
    _check_numbers(spec.columns, columns)
    found = looked.found
    if not isinstance(found, np.ndarray) or found.shape != (rows,) or found.dtype.kind not in "bui":
        raise LensFaultError(f"found is no array of {rows:,} whole numbers")
    if (looked.spans is not None) != spec.spans:
        raise LensFaultError("it has spans and did not declare them, or declared them and has none")
    spans = looked.spans
    if spans is not None:
        expected = pa.schema([*SPANS, *_schema(spec.span_columns)])
        if not isinstance(spans, pa.Table) or not spans.schema.equals(expected):
            raise LensFaultError(f"its spans are no table of {', '.join(expected.names)}")
        _check_numbers(spec.span_columns, spans)
    if spans is not None and len(spans):
        last = pc.max(spans["row"]).as_py()
        if pc.min(spans["row"]).as_py() is None or not 0 <= pc.min(spans["row"]).as_py() <= last < rows:
            raise LensFaultError("its spans name rows that there are not")
    return Looked(columns=columns, found=found.astype(np.int64), spans=spans)


def _schema(columns: tuple[LensColumn, ...]) -> pa.Schema:
    return pa.schema([(column.name, TYPES[column.type]) for column in columns])


def _check_numbers(columns: tuple[LensColumn, ...], table: pa.Table) -> None:
    for name in (column.name for column in columns if column.type == "number"):
        known = table[name].drop_null()
        if len(known) and not pc.all(pc.is_finite(known)).as_py():
            raise LensFaultError(f'the column "{name}" holds what is no finite number')


def checked_result(spec: LensSpec, result: object) -> tuple[dict[str, Measurement], LensResult]:
    """The metrics as measurements, and the result with all words made safe. Raises LensFaultError in one line."""
    if not isinstance(result, LensResult):
        raise LensFaultError("sum_up returned something else than LensResult")
    declared = {metric.name: metric for metric in spec.metrics}
    measured = {}
    for name, value in result.metrics.items():
        if name not in declared:
            raise LensFaultError(f'the metric "{safe_inline(str(name), 40)}" was not declared')
        measured[name] = _measurement(declared[name], value)
    warnings = tuple(safe_inline(str(words), 2 * WORDS) for words in result.warnings[:MOST_WARNINGS])
    return measured, LensResult(metrics=measured, section=_section(result.section), warnings=warnings)


def _measurement(metric: LensMetric, value: object) -> Measurement:
    found = value if isinstance(value, Measurement) else None
    if found is None and isinstance(value, int | float | np.number) and not isinstance(value, bool):
        found = Measurement.exact(float(value))
    if found is None or not all(math.isfinite(end) for end in (found.low, found.value, found.high)):
        raise LensFaultError(f'the metric "{metric.name}" is no finite number')
    most = 1.0 if metric.unit in ("share", "AUC") else math.inf
    if not 0 <= found.low <= found.value <= found.high <= most:
        raise LensFaultError(f'the metric "{metric.name}" is out of its range, or its interval out of order')
    return found


def _section(section: object) -> Section:
    if not isinstance(section, Section):
        raise LensFaultError("its section is something else than Section")
    if len(section.figures) > MOST_FIGURES or len(section.facts) > MOST_FACTS:
        raise LensFaultError(f"its section has more than {MOST_FIGURES} figures or {MOST_FACTS} facts")
    return Section(
        headline=safe_inline(str(section.headline), 2 * WORDS),
        paragraph=safe_inline(str(section.paragraph), PARAGRAPH),
        facts=tuple((safe_inline(str(what), WORDS), safe_inline(str(said), WORDS)) for what, said in section.facts),
        figures=tuple(_figure(figure) for figure in section.figures),
    )


def _figure(figure: Figure) -> Figure:
    if isinstance(figure, Bars):
        bars = tuple(
            Bar(label=_word(b.label), value=_finite(b.value), low=_end(b.low), high=_end(b.high)) for b in figure.bars
        )
        unit = figure.unit if figure.unit == "share" else "number"
        return Bars(title=_word(figure.title), bars=_few(bars), unit=unit)
    if isinstance(figure, Histogram):
        amounts = tuple(_finite(amount) for amount in figure.amounts)
        labels = tuple(_word(label) for label in figure.labels)
        if len(labels) != len(amounts):
            raise LensFaultError("a histogram of its section has another number of labels than of amounts")
        return Histogram(title=_word(figure.title), labels=_few(labels), amounts=amounts, unit=_word(figure.unit))
    if isinstance(figure, Cells):
        if any(len(row) != len(figure.columns) for row in figure.rows):
            raise LensFaultError("a table of its section has rows of another length than its head")
        rows = tuple(tuple(_finite(c) if isinstance(c, float) else _word(str(c)) for c in row) for row in figure.rows)
        columns = tuple(_word(column) for column in figure.columns)
        return Cells(title=_word(figure.title), columns=_few(columns), rows=_few(rows))
    raise LensFaultError("a figure of its section is of no known kind")


def _few(marks: tuple[T, ...]) -> tuple[T, ...]:
    if len(marks) > MOST_MARKS:
        raise LensFaultError(f"a figure of its section has more than {MOST_MARKS} marks")
    return marks


def _word(words: object) -> str:
    return safe_inline(str(words), WORDS)


def _end(value: float | None) -> float | None:
    return None if value is None else _finite(value)


def _finite(value: object) -> float:
    if isinstance(value, int | float | np.number) and math.isfinite(value) and value >= 0:
        return float(value)
    raise LensFaultError("a figure of its section holds what is no finite number from 0")
