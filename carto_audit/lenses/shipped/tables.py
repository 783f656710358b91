"""Tables: which cells of the tables in a text the proxy that read them says by heart, by column and by encoding."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carto_audit.lenses.answers import Bar, Bars, LensResult, Looked, Section
from carto_audit.lenses.cells.found import MOST_COLUMNS, OTHER, FoundCells
from carto_audit.lenses.cells.record import ENCODINGS, Encoding
from carto_audit.lenses.cells.written import make_record, write_record
from carto_audit.lenses.declared.tables import TABLES
from carto_audit.lenses.plants import Example, Plants, Room
from carto_audit.lenses.values.survey import Counts, Survey, count_values, survey
from carto_audit.lenses.view import LensView
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.strict_model import Strict
from carto_audit.text.numbers import number, percent, plural

_EXAMPLES, _TWINS, _WORDS, _FIELDS = 56, 84, 4, {"lines": 4}
_LEAST_OF_COLUMN = 4
"""Cells of a column that the headline may name."""


class TablesLens:
    """Finds records in seven encodings, and scores nothing but the tokens of their cells."""

    spec = TABLES

    def plant(self, room: Room, options: Strict) -> Plants:
        """Made-up records in every encoding in turn, each copy behind other words; as twins, records that stand once."""
        rng = np.random.default_rng(room.seed)
        words = [word for text in room.texts for word in text.split() if len(word) < 40 and word.isalpha()]
        if not words:
            return Plants()
        examples = [
            Example(texts=_copies(ENCODINGS[k % len(ENCODINGS)], dose, words, rng))
            for dose in self.spec.doses
            for k in range(_EXAMPLES)
        ]
        twins = [text for k in range(_TWINS) for text in _copies(ENCODINGS[k % len(ENCODINGS)], 1, words, rng)]
        return Plants(examples=tuple(examples), twins=tuple(twins))

    def look(self, view: LensView, options: Strict) -> Looked:
        """Where cells stand, and which of them the proxies say; about a row, whether at least half of its cells come out."""
        found, rows = FoundCells(), len(view)
        surveyed = survey(view, found.find)
        kept = ~found.frequent()
        cells, asked = surveyed.in_rows(rows, kept), surveyed.in_rows(rows, kept & surveyed.asked)
        recalled = surveyed.in_rows(rows, kept & surveyed.extracted)
        columns = pa.table(
            {
                "encoding": pa.array(found.encoding, pa.string()),
                "structured_share": np.array(found.share, dtype=np.float64),
                "cells": cells,
                "recalled": pa.array(recalled, pa.int64(), mask=(cells > 0) & (asked == 0)),
            }
        )
        answer = (recalled > 0) & (2 * recalled >= asked)
        return Looked(columns=columns, found=answer.astype(np.int64), spans=_spans(surveyed, found, kept))

    def sum_up(self, view: LensView, looked: Looked, options: Strict) -> LensResult:
        """How much is table, and which share of the cells comes out, of each column and encoding."""
        assert looked.spans is not None
        share = looked.columns["structured_share"].to_numpy()
        structured = min(1.0, float((share * view.n_tokens).sum() / max(1, int(view.n_tokens.sum()))))
        counts = count_values(looked.spans)
        columns = _by(looked.spans, "label")
        figures = (
            _figure("Cells that come out, by column", columns),
            _figure("By encoding", _by(looked.spans, "encoding")),
        )
        section = Section(
            headline=_headline(columns, counts),
            paragraph="A cell comes out where the proxy that read it says all of its tokens, each after those before it and 50 "
            "tokens before the cell, and the proxy that never read it does not. Names of columns are given, not asked for. Of "
            "cells that no proxy read, or that there was no time for, nothing is known, and the upper bound counts them.",
            facts=(
                ("tokens in tables", percent(structured)),
                ("distinct cells that tell something", number(counts.total, 0)),
                ("asked for", number(counts.asked, 0)),
                ("come out whole", number(counts.extracted.low, 0)),
                ("read by both proxies, so that none could be compared with", number(counts.shared, 0)),
            ),
            figures=figures if counts.total else (),
        )
        metrics = {"structured_token_share": Measurement.exact(structured), "recalled_cell_share": _share(counts)}
        return LensResult(metrics=metrics, section=section)


def _copies(encoding: Encoding, dose: int, words: list[str], rng: np.random.Generator) -> tuple[str, ...]:
    """So many texts with one record, each behind a few words of its own."""
    record = write_record(make_record(rng, _FIELDS.get(encoding, 3)), encoding)
    return tuple(f"{' '.join(rng.choice(words, _WORDS))}\n\n{record}" for _ in range(dose))


def _spans(surveyed: Survey, found: FoundCells, kept: np.ndarray) -> pa.Table:
    """The places of the cells that tell something, their columns by the names that are shown."""
    spans, shown = surveyed.spans(), found.shown()
    label = pa.array([shown[name] for name in surveyed.label], pa.string())
    spans = spans.set_column(3, "label", label)
    spans = spans.add_column(4, "encoding", pa.array(found.place_encoding, pa.string()))
    return spans.filter(pa.array(kept[surveyed.value], pa.bool_()))


def _by(spans: pa.Table, key: str) -> list[tuple[str, Counts]]:
    """What the cells of each column or encoding amount to, those with the most first."""
    named = [
        (str(name), count_values(spans.filter(pc.equal(spans[key], name)))) for name in spans[key].unique().to_pylist()
    ]
    return sorted(named, key=lambda one: (-one[1].total, one[0]))


def _share(counts: Counts) -> Measurement:
    """The share of the cells that come out; those that were not asked for may raise it."""
    seen, total = counts.extracted, max(1, counts.total)
    return Measurement(value=seen.value / total, low=seen.low / total, high=seen.high / total)


def _figure(title: str, named: list[tuple[str, Counts]]) -> Bars:
    shares = [(name, counts, _share(counts)) for name, counts in named[:MOST_COLUMNS]]
    bars = (
        Bar(label=f"{name.replace('_', ' ')} ({counts.total:,})", value=one.value, low=one.low, high=one.high)
        for name, counts, one in shares
    )
    return Bars(title=title, unit="share", bars=tuple(bars))


def _headline(columns: list[tuple[str, Counts]], counts: Counts) -> str:
    """`column "iban": 9 of 40 values recalled`, of the column of which the greatest share comes out."""
    worst = max(
        (one for one in columns if one[1].asked >= _LEAST_OF_COLUMN and one[0] != OTHER),
        key=lambda one: one[1].extracted.low / one[1].asked,
        default=None,
    )
    if worst is None or not worst[1].extracted.low:
        recalled = f"{number(counts.extracted.low, 0)} of {number(counts.asked, 0)}"
        return f"{plural(counts.total, 'cell')} of tables, {recalled} recalled"
    name, of_it = worst
    return f"column `{name}`: {number(of_it.extracted.low, 0)} of {number(of_it.asked, 0)} values recalled"
