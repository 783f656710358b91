"""Tables: how many rows of tables the lens finds in seven encodings, what else it takes for one, and which cells come out.

python -m bench.lenses.tables --data DATA --only detector      # a minute, trains nothing
python -m bench.lenses.tables --data DATA --kept FOLDER        # six audits of about 100,000 tokens, some CPU minutes each
"""

import argparse
import ast
import json
import sysconfig
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.corpora import Corpora, library_sources, open_corpora, parser_of, write_texts
from bench.detection.canaries import NAMES, distinct
from bench.lenses.records import Planted, planted_rows
from carto_audit import api
from carto_audit.cartography.proof import lower_bound
from carto_audit.lenses.cells.find import find_records
from carto_audit.lenses.cells.found import SHORTEST
from carto_audit.lenses.cells.record import ENCODINGS
from carto_audit.pipeline.options import AuditOptions

RUNS = (("wikitext", 1), ("wikitext", 2), ("wikitext", 3), ("docstrings", 1), ("gsm8k", 1), ("shakespeare", 1))
DOSES = {1: 10, 4: 2, 16: 2}
"""Records of each encoding in an audit, by dose."""

RECORDS, CHARACTERS, LONGEST = 200, 160_000, 1_200


def main(given: Sequence[str] | None = None) -> None:
    """Prints the tables of the detector, and of what comes out."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=("detector", "audits"), help="half of it")
    parser.add_argument("--kept", type=Path, metavar="FOLDER", help="where audits stay; a finished one is not repeated")
    parser.add_argument("--run", action="append", metavar="CORPUS-SEED", help="audit this alone; may be repeated")
    args = parser.parse_args(given)
    with open_corpora(args) as corpora:
        if args.only != "audits":
            _detector(corpora, 20 if args.smoke else RECORDS)
        if args.only != "detector" and not args.smoke:
            if args.kept is None:
                raise SystemExit("name a folder for the audits by --kept")
            _audits(corpora, args)


# The detector


def _detector(corpora: Corpora, records: int) -> None:
    rng = np.random.default_rng([0, 19])
    words = " ".join(distinct(corpora, "wikitext")[:200]).split()
    rows = planted_rows(words, {1: records}, rng)
    print("\n| encoding | rows found | cells in their place |\n|---|---|---|")
    for encoding in ENCODINGS:
        seen = [_seen(row) for row in rows if row.encoding == encoding]
        print(f"| {encoding} | {np.mean([one[0] for one in seen]):.3f} | {np.mean([one[1] for one in seen]):.3f} |")
    print("\n| text | rows | taken for a table | share |\n|---|---|---|---|")
    for name in (*NAMES, "code"):
        texts = list(_code()) if name == "code" else distinct(corpora, name)
        texts = texts[: 10 * records] if records < RECORDS else texts
        taken = sum(bool(find_records(text)) for text in texts)
        print(f"| {name} | {len(texts):,} | {taken} | {taken / len(texts):.4f} |")


def _seen(row: Planted) -> tuple[bool, float]:
    """Whether a record of the right encoding was found, and how many of its cells stand in their place."""
    found = [record for record in find_records(row.text) if record.encoding == row.encoding]
    said = {row.text[cell.start : cell.end] for record in found for cell in record.cells}
    return bool(found), float(np.mean([value in said for value in row.cells.values()]))


def _code() -> Iterator[str]:
    """The functions of the standard library, as they are written."""
    root = Path(sysconfig.get_path("stdlib"))
    for name, tree in library_sources():
        lines = (root / name).read_text(encoding="utf-8").splitlines()
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield "\n".join(lines[node.lineno - 1 : node.end_lineno])[:LONGEST]


# What comes out


def _audits(corpora: Corpora, args: argparse.Namespace) -> None:
    results = []
    for corpus, seed in RUNS:
        folder = args.kept / f"{corpus}-{seed}"
        if not (folder / "cells.json").is_file():
            if args.run and folder.name not in args.run:
                continue
            _audit(corpora, corpus, seed, folder)
        results.append((folder.name, json.loads((folder / "cells.json").read_text())))
    print(
        "\n| batch | ×1 | ×4 | ×16 | told at dose 8 | twins taken | share of cells recalled |\n|---|---|---|---|---|---|---|"
    )
    for name, kept in results:
        shares = " | ".join(_share([c for c in kept["cells"] if c["dose"] == dose]) for dose in DOSES)
        told = " · ".join(f"{one['found']} of {one['planted']}" for one in kept["power"]) or "–"
        twins = f"{kept['twins']['found']} of {kept['twins']['planted']}"
        print(f"| {name} | {shares} | {told} | {twins} | {kept['metrics']['recalled_cell_share']:.3f} |")
    every = [cell for _, kept in results for cell in kept["cells"]]
    print("\n| encoding | ×1 | ×4 | ×16 |\n|---|---|---|---|")
    for encoding in (*ENCODINGS, "all"):
        chosen = [cell for cell in every if encoding in (cell["encoding"], "all")]
        print(f"| {encoding} | {' | '.join(_share([c for c in chosen if c['dose'] == dose]) for dose in DOSES)} |")


def _share(cells: Sequence[dict[str, Any]]) -> str:
    """The share of the cells that come out, with a two-sided interval of 90 %."""
    asked = [cell["out"] for cell in cells if cell["out"] is not None]
    if not asked:
        return "–"
    low, high = lower_bound(sum(asked), len(asked)), 1 - lower_bound(len(asked) - sum(asked), len(asked))
    return f"{np.mean(asked):.3f} ({low:.2f} to {high:.2f}; {len(asked)})"


def _audit(corpora: Corpora, corpus: str, seed: int, folder: Path) -> None:
    rng = np.random.default_rng([seed, 19, len(corpus)])
    texts = distinct(corpora, corpus)
    rng.shuffle(texts)
    texts = [text[:LONGEST] for text in texts]
    texts = texts[: 1 + int(np.searchsorted(np.cumsum([len(text) for text in texts]), CHARACTERS))]
    planted = planted_rows(" ".join(texts[:200]).split(), DOSES, rng)
    rows: list[str | Planted] = [*texts, *planted]
    order = rng.permutation(len(rows))
    rows = [rows[k] for k in order]
    written = [row.text if isinstance(row, Planted) else row for row in rows]
    batch = write_texts(folder / "batch.parquet", written)
    options = AuditOptions(seed=seed, repeats=1, device="cpu", lens=("tables",))
    audit = api.audit(batch, out=folder / "audit", options=options)
    facts = audit.report.facts["lenses"]["tables"]
    if facts["status"] != "measured":
        raise SystemExit(facts["problem"])
    kept: dict[str, Any] = {"power": facts["power"], "twins": facts["false_alarms"], "metrics": facts["metrics"]}
    kept |= {"tokens": audit.report.facts["batch"]["tokens"], "cost": facts["cost"]}
    kept["cells"] = _cells(folder / "audit" / "lenses" / "tables.spans.parquet", rows)
    (folder / "cells.json").write_text(json.dumps(kept))


def _cells(spans: Path, rows: Sequence["str | Planted"]) -> list[dict[str, Any]]:
    """Of each planted cell of at least four characters whether it comes out; None where it was not found or nobody was asked."""
    said: dict[tuple[int, str], bool | None] = defaultdict(lambda: None)
    for span in pq.read_table(spans).to_pylist():
        row = rows[span["row"]]
        if isinstance(row, Planted) and span["comes_out"] is not None:
            key = (row.record, row.text[span["start"] : span["end"]])
            said[key] = bool(said[key]) or span["comes_out"]
    records = {row.record: row for row in rows if isinstance(row, Planted)}
    return [
        {"encoding": row.encoding, "dose": row.dose, "column": column, "out": said[row.record, value]}
        for row in records.values()
        for column, value in row.cells.items()
        if len(value) >= SHORTEST
    ]


if __name__ == "__main__":
    main()
