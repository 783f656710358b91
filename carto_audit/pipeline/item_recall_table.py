"""Item recall table: what two proxies, one of which never read it, show about each item that was found. Evidence, no verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.artifacts.evidence_facts import ItemRecallFacts, RecallMeans
from carto_audit.benchmarks.items import Benchmark
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import read_table, write_table
from carto_audit.text.untrusted import safe_inline

MOST_ITEMS = 200
"""Items that the proxies are asked about, the surest first. So many cost a few per cent of a training on a million tokens."""

ASKED_TIERS = ("confirmed", "suspected")

TESTIMONY_SCHEMA = pa.schema(
    {
        "benchmark": pa.string(),
        "item_id": pa.large_string(),
        "tier": pa.string(),
        "leak_kind": pa.string(),
        "rows_trained": pa.int64(),
        "loss_in_question": pa.float64(),
        "loss_out_question": pa.float64(),
        "loss_in_answer": pa.float64(),
        "loss_out_answer": pa.float64(),
        "quiz_in": pa.bool_(),
        "quiz_out": pa.bool_(),
        "peak_in": pa.float64(),
        "peak_out": pa.float64(),
        "silence": pa.string(),
    }
)
"""Losses are nats per token, peaks shares in 0..1. `in` is the proxy that trained on a row with the item, `out` the other.
`quiz` is true where a proxy finds the item likelier than its rewordings. `silence` says why they were not asked about an item."""

MEASURED = tuple(name for name in TESTIMONY_SCHEMA.names if name.endswith(("_question", "_answer", "_in", "_out")))
_PEERLESS = "a single proxy was trained, so none is blind to the item"
_UNTRAINED = "no row with it was trained on"
_HELD_OUT = "a row with it was held out, and may have been planted as a control"
_BOTH = "rows with it lie on both sides of the split, so both proxies read it"
_BEYOND = f"beyond the {MOST_ITEMS} surest items"

ROW_GROUPS = ((1, 1), (2, 7), (8, None))
"""Items are told apart by how many rows with them were trained on: what occurs once is seldom remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item that was found. `fold` is the side of the split where all its trained rows lie, None where `silence` says why
    there is no such side."""

    benchmark: str
    item_id: str
    tier: str
    leak_kind: str
    rows_trained: int
    fold: int | None
    silence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The texts of an item: its question, the question with its options behind it, and the gold answer, "" for none."""

    question: str
    prefix: str
    answer: str


def items_to_ask(
    matches: pa.Table, fold: NDArray[np.int8], trained: NDArray[np.bool_], held_out: NDArray[np.bool_], folds: int
) -> list[Item]:
    """Every confirmed and suspected item of `matches` (MATCH_SCHEMA), the surest first. `fold`, `trained` and `held_out`
    are (N,), by sample."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for match in matches.to_pylist():
        if match["tier"] in ASKED_TIERS:
            found.setdefault((match["benchmark"], match["item_id"]), []).append(match)
    order = sorted(found, key=lambda key: (_doubt(found[key]), key))
    items: list[Item] = []
    for key in order:
        samples = np.unique([match["sample"] for match in found[key]])
        mine = samples[trained[samples]]
        silence = not_asked_reason(fold[mine], bool(held_out[samples].any()), folds)
        if not silence and sum(item.fold is not None for item in items) >= MOST_ITEMS:
            silence = _BEYOND
        items.append(
            Item(
                benchmark=key[0],
                item_id=key[1],
                tier=ASKED_TIERS[_doubt(found[key])[0]],
                leak_kind=max(match["leak_kind"] for match in found[key]),  # "input+answer" sorts behind "input"
                rows_trained=len(mine),
                fold=None if silence else int(fold[mine[0]]),
                silence=silence,
            )
        )
    return items


def _doubt(matches: Sequence[Mapping[str, Any]]) -> tuple[int, float]:
    """By this, items are sorted: the surest tier, then how much of the question is there."""
    return min((ASKED_TIERS.index(match["tier"]), -match["containment"]) for match in matches)


def not_asked_reason(folds_of_rows: NDArray[np.int8], held_out: bool, folds: int) -> str:
    if folds == 1:
        return _PEERLESS
    if not len(folds_of_rows):
        return _UNTRAINED
    if held_out:
        return _HELD_OUT
    return _BOTH if len(np.unique(folds_of_rows)) > 1 else ""


def wordings(benchmarks: Sequence[Benchmark], items: Iterable[Item]) -> list[Wording]:
    """The texts of these items, in their order."""
    wanted = [(item.benchmark, item.item_id) for item in items]
    chosen = set(wanted)
    found = {}
    for benchmark in benchmarks:
        ids = benchmark.items["item_id"].to_pylist()
        for row in (row for row, item_id in enumerate(ids) if (benchmark.name, item_id) in chosen):
            texts = benchmark.items.slice(row, 1).to_pylist()[0]
            found[benchmark.name, ids[row]] = Wording(
                question=texts["question"],
                prefix=" ".join([texts["question"], *(texts["choices"] or [])]),
                answer=texts["answer"] or "",
            )
    return [found[key] for key in wanted]


def tabulate(items: Sequence[Item], measured: Mapping[str, NDArray[np.generic]]) -> pa.Table:
    """A row per item (TESTIMONY_SCHEMA). `measured` has an array per name in MEASURED, one entry per item that was asked
    about, and is empty where none was. NaN becomes null, also where no quiz could be held."""
    asked = np.flatnonzero([item.fold is not None for item in items])
    columns: dict[str, Any] = {name: [getattr(item, name) for item in items] for name in _OWN}
    for name in MEASURED:
        values = np.full(len(items), np.nan)
        if len(asked):
            values[asked] = measured[name]
        column = pa.array(values, pa.float64(), from_pandas=True)
        columns[name] = column.cast(pa.bool_()) if TESTIMONY_SCHEMA.field(name).type == pa.bool_() else column
    return pa.table({name: columns[name] for name in TESTIMONY_SCHEMA.names}, schema=TESTIMONY_SCHEMA)


_OWN = tuple(name for name in TESTIMONY_SCHEMA.names if name not in MEASURED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Means over the items that were asked about, None where nothing was measured. `quiz_kappa` is how much more often the proxy
    that read an item picks it among rewordings, of all that was left to gain over the one that did not (DCQ's kappa)."""

    items: int
    least_rows: int
    most_rows: int | None
    loss_in_question: float | None
    loss_out_question: float | None
    loss_in_answer: float | None
    loss_out_answer: float | None
    quiz_in: float | None
    quiz_out: float | None
    quiz_kappa: float | None
    peak_in: float | None
    peak_out: float | None


def sum_up(testimony: pa.Table | None) -> ItemRecallFacts | None:
    """`contamination.testimony` of report.json: items asked about and left out, and what they show, by rows trained on."""
    if testimony is None:
        return None
    rows = testimony.to_pylist()
    asked = [row for row in rows if not row["silence"]]
    groups = [(summarize(asked, least, most)) for least, most in ROW_GROUPS]
    silences = [row["silence"] for row in rows if row["silence"]]
    return {
        **cast(RecallMeans, asdict(summarize(asked, 1, None))),
        "silent": {reason: silences.count(reason) for reason in sorted(set(silences))},
        "by_rows": [cast(RecallMeans, asdict(group)) for group in groups if group.items],
    }


def figures_by_item(testimony: pa.Table | None) -> dict[tuple[str, str], dict[str, Any]]:
    """What each item's own figures are, or why it has none, by benchmark and item id."""
    names = ("rows_trained", *MEASURED, "silence")
    rows = [] if testimony is None else testimony.to_pylist()
    return {(row["benchmark"], row["item_id"]): {name: row[name] for name in names} for row in rows}


def summarize(asked: Sequence[Mapping[str, Any]], least: int, most: int | None) -> Summary:
    """The items of which `least` to `most` rows were trained on."""
    chosen = [row for row in asked if least <= row["rows_trained"] and (most is None or row["rows_trained"] <= most)]
    means = {name: _mean([row[name] for row in chosen]) for name in MEASURED}
    return Summary(
        items=len(chosen),
        least_rows=least,
        most_rows=most,
        quiz_kappa=kappa(means["quiz_in"], means["quiz_out"]),
        **means,
    )


def kappa(share: float | None, reference: float | None) -> float | None:
    """Agreement beyond a reference, 1 at most and 0 at none; None where the reference leaves nothing to gain."""
    return None if share is None or reference is None or reference == 1 else (share - reference) / (1 - reference)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


def write_testimony(path: Path, testimony: pa.Table) -> None:
    """Writes testimony.parquet, whole or not at all."""
    write_table(path, testimony)


def read_testimony(path: Path) -> pa.Table:
    """Reads what `write_testimony` wrote. Raises AuditError in one line when it cannot."""
    try:
        return read_table(path, schema=TESTIMONY_SCHEMA)
    except (OSError, pa.ArrowException) as error:
        raise AuditError(f"{safe_inline(str(path), 160)}: cannot read: {safe_inline(str(error), 160)}") from error
