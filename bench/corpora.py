"""Corpora: public texts and evaluation sets, parquet files in one folder. Nothing is downloaded; a smoke run writes its own."""

import argparse
import ast
import functools
import gzip
import itertools
import os
import re
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.data.demo_batch import library_texts

VARIABLE = "CARTO_AUDIT_DATA"
TEXTS = {
    "wikitext": "corpora/wikitext2.parquet",
    "shakespeare": "corpora/shakespeare.parquet",
    "gsm8k": "corpora/gsm8k_train.parquet",
}
BENCHMARKS = {"gsm8k": "benchmarks/gsm8k_test.parquet", "mmlu": "benchmarks/mmlu_test.parquet"}

SMALL_TEXTS, SMALL_ITEMS = 300, 40
"""Rows of each corpus and of each evaluation set that a smoke run writes."""

_SKIPPED_FOLDERS = {"test", "tests", "site-packages", "idlelib", "lib2to3"}

Item = dict[str, Any]
"""A row of an evaluation set: item_id, passage, question, choices, answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpora:
    """A folder of public sets, or none. Each is asked for only where it is needed: one that is not at hand ends the script with
    one line that says the way out."""

    folder: Path | None

    def texts(self, name: str) -> list[str]:
        """The texts of a corpus, in file order."""
        texts: list[str] = pq.read_table(self._file(TEXTS[name]))["text"].to_pylist()
        return texts

    def items(self, name: str) -> list[Item]:
        """The items of an evaluation set."""
        items: list[Item] = pq.read_table(self.benchmark(name)).to_pylist()
        return items

    def benchmark(self, name: str) -> Path:
        """The file of an evaluation set, as an audit takes it."""
        return self._file(BENCHMARKS[name])

    def _file(self, name: str) -> Path:
        way_out = f"give --data FOLDER or set {VARIABLE} (bench/README.md says what belongs there), or try --smoke"
        if self.folder is None:
            raise SystemExit(f"{name}: no folder of public sets was named; {way_out}")
        if not (self.folder / name).is_file():
            raise SystemExit(f"{self.folder / name}: no such file; {way_out}")
        return self.folder / name


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help=f"public sets; default: what {VARIABLE} names")
    parser.add_argument(
        "--smoke", action="store_true", help="seconds, on text of the standard library: shows that it runs, no more"
    )
    return parser


@contextmanager
def open_corpora(given: argparse.Namespace) -> Iterator[Corpora]:
    """The public sets that the command line names, or small ones until the end of the block."""
    if given.smoke:
        with tempfile.TemporaryDirectory() as folder:
            yield write_small(Path(folder))
    else:
        named = given.data or os.environ.get(VARIABLE)
        yield Corpora(folder=Path(named) if named else None)


def write_small(folder: Path) -> Corpora:
    """Sets of the same names and columns, made of the standard library's text. No item stands in any corpus."""
    pool = _library_pool()
    for number, name in enumerate(TEXTS.values(), 1):
        first, second = pool[:SMALL_TEXTS], pool[SMALL_TEXTS : 2 * SMALL_TEXTS]
        others = second[number:] + second[:number]
        write_texts(folder / name, ["\n".join(pair) for pair in zip(first, others, strict=True)])
    rest = iter(pool[2 * SMALL_TEXTS :])
    for name in BENCHMARKS.values():
        items = [_small_item(number, next(rest), next(rest)) for number in range(SMALL_ITEMS)]
        write_items(folder / name, items)
    return Corpora(folder=folder)


@functools.cache
def _library_pool() -> tuple[str, ...]:
    return tuple(itertools.islice(library_texts(), 2 * SMALL_TEXTS + 2 * len(BENCHMARKS) * SMALL_ITEMS))


def _small_item(number: int, question: str, passage: str) -> Item:
    """Every fourth item opens with a passage, as the history questions of MMLU do."""
    if number % 4 == 0:
        question = f"This question refers to the following information. {passage}\n{' '.join(question.split())}"
    choices = ["every one of them", "none of them", "only the first", "only the last"]
    return {"item_id": f"small/{number}", "passage": None, "question": question, "choices": choices, "answer": "A"}


def write_texts(path: Path, texts: Sequence[str]) -> Path:
    """A batch that holds nothing but texts."""
    return _write(path, pa.table({"text": texts}))


def write_items(path: Path, items: Sequence[Item]) -> Path:
    """An evaluation set, as a file such as users have."""
    return _write(path, pa.Table.from_pylist(items))


def _write(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def library_sources() -> Iterator[tuple[str, ast.Module]]:
    """The modules of the standard library, by name."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if not _SKIPPED_FOLDERS.intersection(path.relative_to(root).parts):
            try:
                yield str(path.relative_to(root)), ast.parse(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, SyntaxError):
                continue


def manuals(language: str = "de") -> Iterator[str]:
    """Paragraphs of this machine's manual pages in another language than English, without their markup."""
    pages = sorted(Path("/usr/share/man", language).glob("man*/*.gz"))
    if not pages:
        raise SystemExit(f"/usr/share/man/{language}: no manual pages are installed; choose another --corpus")
    for page in pages:
        source = gzip.decompress(page.read_bytes()).decode("utf-8", "replace")
        for part in re.split(r"\n[.'][^\n]*", f"\n{source}"):
            yield " ".join(_ROFF.sub("", part.replace(r"\-", "-")).split())


_ROFF = re.compile(r"\\(?:f.|\(..|\*\(..|\[[^]]*\]|s[-+]?\d|.)")
"""Changes of font and size, and special characters, of manual pages."""


def docstrings() -> Iterator[str]:
    """Paragraphs of the docstrings of the standard library."""
    for _, tree in library_sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                yield from (part.strip() for part in (ast.get_docstring(node) or "").split("\n\n"))
