"""The commands about benchmarks: build an index, and list what is in one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carto_audit.runtime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from carto_audit.benchmarks.registry import Registry
    from carto_audit.contamination.index_file import IndexFile

_PLAIN_WIDTH = 160
"""Columns of a table that no terminal shows: a log has no edge to fold at."""


@click.group()
def benchmarks() -> None:
    """Build an index of evaluation sets, and list what it can find. Never trains anything."""


@benchmarks.command()
@click.argument("source", nargs=-1, metavar="[SOURCE]...")
@click.option("--out", type=click.Path(path_type=Path), help="The index file.  [default: benchmarks.cartoindex]")
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="List of benchmarks.  [default: benchmarks.yaml]",
)
@click.option("--name", metavar="NAME", help="What a single SOURCE is called.  [default: its file's name]")
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="NAME|PART=COLUMN",
    help="A ready mapping, or question=stem choices=options …; may be repeated.  [default: by the columns]",
)
@click.option("--config", metavar="NAME", help="Configuration of a data set folder or hub data set.")
@click.option("--split", metavar="NAME", help="Split of a data set folder or hub data set.  [default: test]")
def build(
    source: tuple[str, ...],
    out: Path | None,
    registry: Path | None,
    name: str | None,
    columns: tuple[str, ...],
    config: str | None,
    split: str | None,
) -> int:
    """Build one index file from evaluation sets.

    SOURCE is a Parquet, JSONL, JSON, CSV, TSV or Arrow file, a Hugging Face data set folder, hf:OWNER/NAME@REVISION
    on the hub (needs carto-audit[hub]), or a name of the registry. Without any, all that the registry lists is built.

    Every item is planted into filler in several forms and looked for, which takes a few milliseconds each: the index
    holds what it can find, and `list` shows it. The columns of GSM8K, MMLU, AGIEval, ARC, HellaSwag, HumanEval, MBPP,
    TruthfulQA, WinoGrande, BoolQ and MATH are known.

    \b
    Examples:
      carto-audit benchmarks build
      carto-audit benchmarks build gsm8k_test.parquet mmlu/ --out evals.cartoindex
      carto-audit benchmarks build house.csv --map question=stem --map choices=a,b,c,d --map answer=key
      carto-audit benchmarks build hf:allenai/ai2_arc@210d026faf9955653af8916fad021475a3f00453 --config ARC-Easy
    """
    from carto_audit.benchmarks.column_mappings import parse_map
    from carto_audit.benchmarks.registry import INDEX, find_registry
    from carto_audit.contamination.sources import Reading, read_source
    from carto_audit.report.formats.terminal import RichProgress, open_console

    if name is not None and len(source) != 1:
        raise UsageError("--name needs exactly one SOURCE; the others are called by their files")
    reading = Reading(name=name, mapping=parse_map(columns), config=config, split=split)
    progress = RichProgress(open_console(stderr=True))
    listed = find_registry(registry)
    if source:
        read = [read_source(text, reading=reading, registry=listed, progress=progress) for text in source]
        return _build(read, out or Path(INDEX), progress)
    if listed is None:
        raise UsageError("nothing to build: name a file, or list the benchmarks in benchmarks.yaml")
    if reading != Reading():
        raise UsageError("--name, --map, --config and --split are about a SOURCE; the registry says its own")
    for path, names in _by_index(listed, out).items():
        _build([listed.read(entry, progress) for entry in names], path, progress)
    return ExitCode.ACCEPTED


@benchmarks.command("list")
@click.argument("name", required=False)
@click.option(
    "--index",
    "index_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Index file.  [default: the registry's, else benchmarks.cartoindex]",
)
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="List of benchmarks.  [default: benchmarks.yaml]",
)
@click.option("--items", is_flag=True, help="A line per item of NAME: in which forms it is found.")
def list_benchmarks(name: str | None, index_path: Path | None, registry: Path | None, items: bool) -> int:
    """List the benchmarks of an index, and the share of their items that can be found.

    "detectable" is found from the question alone in every form: by itself, embedded in a paragraph, rewrapped and recased.
    "with options" counts the items that are found when their answer options stand beside the question. "disguised" is the
    lowest share of a sample in honest disguises: markup, escapes, hyphens, subtitles and others.

    \b
    Examples:
      carto-audit benchmarks list
      carto-audit benchmarks list --index evals.cartoindex
      carto-audit benchmarks list mmlu --items
    """
    from carto_audit.benchmarks.registry import INDEX, find_registry
    from carto_audit.contamination.index_file import read_index
    from carto_audit.report.formats.terminal import open_console

    listed = None if index_path else find_registry(registry)
    if items and name is None:
        raise UsageError("--items needs the NAME of one benchmark")
    if listed is not None and name is not None:
        listed.entry(name)
    wanted = [name] if name is not None else list(listed.entries) if listed else []
    paths = [listed.index_path(entry) for entry in wanted] if listed else [index_path or Path(INDEX)]
    files = {path: read_index(path) for path in dict.fromkeys(paths) if listed is None or path.exists()}
    console = open_console()
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    if items and name is not None:
        _check_held(name, files, paths)
        for file in files.values():
            _echo_items(file, name)
        return ExitCode.ACCEPTED
    if name is not None and listed is None:
        _check_held(name, files, paths)
    console.print(_table([(name, file) for file in files.values()], listed, wanted))
    return ExitCode.ACCEPTED


def _by_index(listed: "Registry", out: Path | None) -> dict[Path, list[str]]:
    """The registry's names by the index file that will hold them."""
    names: dict[Path, list[str]] = {}
    for name in listed.entries:
        names.setdefault(out or listed.index_path(name), []).append(name)
    return names


def _build(read: Sequence[Any], path: Path, progress: Any) -> int:
    from carto_audit.benchmarks.index import build_index
    from carto_audit.contamination.detectability import measure_detectability
    from carto_audit.contamination.index_file import IndexFile, current_setting, write_index
    from carto_audit.contamination.matching import find_matches
    from carto_audit.report.formats.terminal import open_console, tame

    with progress.task("Indexing benchmark items", sum(b.items.num_rows for b in read), "items") as advance:
        built = build_index(read)
        advance(len(built.item_benchmark))
    found = measure_detectability(built, find_matches, progress)
    write_index(path, built, found)
    console = open_console()
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    console.print(_table([(None, IndexFile(index=built, detectability=found, setting=current_setting()))], None, []))
    click.echo(f"Index: {tame(str(path), 400)}")
    return ExitCode.ACCEPTED


def _check_held(name: str, files: dict[Path, "IndexFile"], paths: Sequence[Path]) -> None:
    from carto_audit.runtime.strict_model import nearest
    from carto_audit.text.untrusted import safe_inline

    held = [benchmark.name for file in files.values() for benchmark in file.index.benchmarks]
    if name not in held:
        where = safe_inline(str(paths[0]), 160)
        known = nearest(name, held) or (f"; it holds {', '.join(held[:20])}" if held else "")
        missing = (
            "is not built yet; run carto-audit benchmarks build"
            if not files
            else f'holds no "{safe_inline(name, 80)}"{known}'
        )
        raise UsageError(f"{where}: {missing}")


def _table(
    chosen: Sequence[tuple[str | None, "IndexFile"]], listed: "Registry | None", wanted: Sequence[str]
) -> "Table":
    """A row per benchmark: how many items, how many distinct questions, what is found of them, and where they came from."""
    from carto_audit.contamination.detectability import FORMS
    from carto_audit.report.formats.terminal import cell, empty_table

    heads = [
        "benchmark",
        "items",
        "groups",
        "detectable",
        *(form.replace("_", " ") for form in FORMS),
        "disguised",
        "source",
        "revision",
    ]
    table = empty_table(*heads)
    for column in table.columns[1 : 5 + len(FORMS)]:
        column.justify, column.no_wrap = "right", True
    rows: dict[str, list[str]] = {}
    for only, file in chosen:
        for number, benchmark in enumerate(file.index.benchmarks):
            if only in (None, benchmark.name) and (not wanted or benchmark.name in wanted):
                rows[benchmark.name] = _row(file, number)
    for name in wanted:
        if name not in rows and listed is not None:
            entry = listed.entry(name)
            blank = [""] * (4 + len(FORMS))
            rows[name] = [name, *blank[:2], "not built", *blank[3:], listed.source(name), (entry.revision or "")[:12]]
    for row in rows.values():
        table.add_row(*(cell(value) for value in row))
    return table


def _row(file: "IndexFile", number: int) -> list[str]:
    import numpy as np

    from carto_audit.benchmarks.index import QUESTION
    from carto_audit.contamination.detectability import FORMS

    index, benchmark = file.index, file.index.benchmarks[number]
    asked = (index.component == QUESTION) & (np.diff(index.words.offsets) > 0)
    own = (index.item_benchmark[index.items.values] == number) & asked[index.items.owners()]
    groups = len(np.unique(index.items.owners()[own]))
    shares = file.detectability.shares(index, number)
    found = [f"{100 * shares[form]:.1f} %" for form in ("detectable", *FORMS)]
    found.append(f"{100 * min(file.detectability.disguised[number].values(), default=0.0):.1f} %")
    revision = benchmark.revision or f"sha256 {benchmark.sha256}"
    short = revision[: 12 + (7 if benchmark.revision is None else 0)]
    return [benchmark.name, f"{benchmark.items.num_rows:,}", f"{groups:,}", *found, benchmark.source, short]


def _echo_items(file: "IndexFile", name: str) -> None:
    """`+` an item that is found in every form from its question alone, `-` one that is not, and in which forms it is."""
    from carto_audit.contamination.detectability import FORMS
    from carto_audit.report.formats.terminal import tame

    for number, benchmark in enumerate(file.index.benchmarks):
        if benchmark.name != name:
            continue
        own = file.index.item_benchmark == number
        found, sure = file.detectability.found[:, own].T, file.detectability.detectable[own]
        columns = (benchmark.items[column].to_pylist() for column in ("item_id", "question"))
        for item_id, question, forms, is_sure in zip(*columns, found, sure, strict=True):
            seen = ", ".join(form.replace("_", " ") for form, hit in zip(FORMS, forms, strict=True) if hit)
            shown = "all forms" if forms.all() else seen or "no form"
            click.echo(f"{'+' if is_sure else '-'} {tame(item_id, 60)}  [{shown}]  {tame(question, 80)}")
