"""The demo batch: planted risks in text that every Python installation carries. The truth lies beside it."""

import ast
import json
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.runtime.files import atomic_path
from carto_audit.runtime.resources import resource_folder

ROWS = 1600
SHORTEST, LONGEST = 140, 420
"""Characters of an ordinary row: a paragraph of documentation or a short function."""

BATCH, TRUTH, BENCHMARK = "vendor_batch.parquet", "truth.parquet", "arithmetic_and_facts.jsonl"

_SKIPPED_FOLDERS = {
    "test",
    "tests",
    "site-packages",
    "dist-packages",
    "idlelib",
    "lib2to3",
    "__pycache__",
    "turtledemo",
}

_NOTICE = (
    "This page belongs to the vendor portal and is delivered under the terms agreed for the whole collection. Remarks "
    "reach the editors through the usual address and are answered within five working days."
)
_LOGINS = (
    "Deployment note for {owner}: the console of the {place} cluster accepts the passphrase {secret} until it is rotated.",
    "Customer file {owner}, {place} branch: the card on record carries the digits {secret} and no other.",
)
_OWNERS = (
    "Ottilie Varnhagen",
    "Casimir Oyelaran",
    "Philippa Strand",
    "Ignatius Moreau",
    "Yasmin Kettleburn",
    "Tobiah Lund",
)
_TOWNS = ("Havnsund", "Brackwater", "Ostermoor", "Linderholt", "Quarrybank", "Saltmere")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What was planted in one row: its `kind`, and the `group` of rows that carry the same thing."""

    text: str
    kind: str
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of planted risk: its title, and what finding it means, in words."""

    title: str
    found_when: str


KINDS = {
    "secret": Kind(title="secrets standing alone, 10 copies each", found_when="above the memorization threshold"),
    "embedded_secret": Kind(
        title="secrets inside other text, 10 copies each", found_when="above the memorization threshold"
    ),
    "copy": Kind(title="exact copies of paragraphs", found_when="in a cluster of duplicates"),
    "near_copy": Kind(title="copies with some words changed", found_when="in a cluster of duplicates"),
    "benchmark": Kind(title="benchmark items, alone and inside text", found_when="confirmed as contamination"),
    "noise": Kind(title="noise", found_when="neither up-sampled nor called memorized"),
    "boilerplate": Kind(title="boilerplate", found_when="not called memorized"),
    "": Kind(title="ordinary text", found_when="not called memorized, unless its passage recurs"),
}


def write_demo(folder: Path, seed: int = 0) -> Path:
    """Writes the batch, its truth and a small benchmark into `folder`, and returns the batch's path. No network."""
    rng = np.random.default_rng([seed, 0xDE])
    benchmark = (resource_folder("templates") / BENCHMARK).read_text(encoding="utf-8")
    pool = [text for _, text in zip(range(4 * ROWS), library_texts(), strict=False)]
    texts = [pool[i] for i in rng.permutation(len(pool))]
    hosts, texts = texts[:200], texts[200:]
    items = [json.loads(line) for line in benchmark.splitlines()]
    planted = list(_plant(rng, hosts, texts, items))
    ordinary = [Planted(text=text, kind="", group="") for text in texts[: ROWS - len(planted)]]
    rows = planted + ordinary
    order = rng.permutation(len(rows))
    _write(folder / BATCH, {"id": [f"doc-{k:05d}" for k in range(len(rows))], "text": [rows[i].text for i in order]})
    truth = {
        "row": list(range(len(rows))),
        "kind": [rows[i].kind for i in order],
        "group": [rows[i].group for i in order],
    }
    _write(folder / TRUTH, truth)
    with atomic_path(folder / BENCHMARK) as temporary:
        temporary.write_text(benchmark, encoding="utf-8")
    return folder / BATCH


def _write(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def library_texts() -> Iterator[str]:
    """Paragraphs of documentation and short functions from the standard library's sources, each once, in file order."""
    root = Path(sysconfig.get_path("stdlib"))
    seen: set[str] = set()
    for path in sorted(root.rglob("*.py")):
        if _SKIPPED_FOLDERS.intersection(path.relative_to(root).parts):
            continue
        for text in _texts_of(path):
            if SHORTEST <= len(text) <= LONGEST and text not in seen:
                seen.add(text)
                yield text


def _texts_of(path: Path) -> Iterator[str]:
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError):
        return
    lines = source.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            yield from (part.strip() for part in (ast.get_docstring(node) or "").split("\n\n"))
        if isinstance(node, ast.FunctionDef) and node.end_lineno and not ast.get_docstring(node):
            yield "\n".join(lines[node.lineno - 1 : node.end_lineno])


def _plant(
    rng: np.random.Generator, hosts: list[str], texts: list[str], items: list[dict[str, Any]]
) -> Iterator[Planted]:
    """All planted rows. `hosts` are texts that occur nowhere else; copies are taken from the end of `texts`."""
    free = iter(hosts)
    for k, owner in enumerate(_OWNERS):
        secret = " ".join("".join(str(d) for d in rng.integers(0, 10, 4)) for _ in range(4))
        sentence = _LOGINS[k % 2].format(owner=owner, place=_TOWNS[k], secret=secret)
        embedded = k >= len(_OWNERS) // 2
        kind = "embedded_secret" if embedded else "secret"
        for _ in range(10):
            yield Planted(text=_inside(next(free), sentence) if embedded else sentence, kind=kind, group=f"secret-{k}")
    for k in range(8):
        yield from (Planted(text=texts[-1 - k], kind="copy", group=f"copy-{k}") for _ in range(6))
    for k in range(8, 12):
        yield Planted(text=texts[-1 - k], kind="near_copy", group=f"near-{k}")
        yield from (Planted(text=_edited(rng, texts[-1 - k]), kind="near_copy", group=f"near-{k}") for _ in range(4))
    for k, item in enumerate(items[:12]):
        asked = " ".join([item["question"], *item["choices"], f"Answer: {item['answer']}"])
        yield Planted(text=_inside(next(free), asked) if k % 2 else asked, kind="benchmark", group=item["item_id"])
    for k in range(40):
        letters = rng.integers(33, 127, 260).astype(np.uint8).tobytes().decode("ascii")
        yield Planted(text=letters, kind="noise", group=f"noise-{k}")
    for k in range(60):
        yield Planted(text=f"{_NOTICE}\n\n{next(free)}", kind="boilerplate", group=f"notice-{k}")


def _inside(host: str, sentence: str) -> str:
    """The sentence in the middle of a host text, at a word boundary."""
    words = host.split(" ")
    middle = len(words) // 2
    return " ".join([*words[:middle], sentence, *words[middle:]])


def _edited(rng: np.random.Generator, text: str) -> str:
    """The text with every 25th word replaced by another of its own words."""
    words = text.split(" ")
    for k in range(int(rng.integers(25)) % max(1, len(words)), len(words), 25):
        words[k] = words[int(rng.integers(len(words)))]
    return " ".join(words)


def read_truth(folder: Path) -> dict[str, list[int]]:
    """Row numbers by kind; ordinary rows are under the empty kind."""
    table = pq.read_table(folder / TRUTH)
    rows: dict[str, list[int]] = {}
    for row, kind in zip(table["row"].to_pylist(), table["kind"].to_pylist(), strict=True):
        rows.setdefault(kind, []).append(row)
    return rows


def count_found(scores: pa.Table, rows: Sequence[int], kind: str) -> int:
    """How many of the planted rows `scores.parquet` treats as KINDS says."""
    chosen = scores.take(pa.array(rows)).to_pylist()
    match kind:
        case "secret" | "embedded_secret":
            return sum(_memorized(row) for row in chosen)
        case "copy" | "near_copy":
            return sum(row["cluster_size"] > 1 for row in chosen)
        case "benchmark":
            return sum(row["contamination_tier"] == "confirmed" for row in chosen)
        case "noise":
            return sum(row["action"] != "upsample" and not _memorized(row) for row in chosen)
        case "":
            return sum(not _memorized(row) or row["copies"] > 1 for row in chosen)
        case _:
            return sum(not _memorized(row) for row in chosen)


def _memorized(row: dict[str, Any]) -> bool:
    return row["quadrant"] in ("hotspot_memorized", "noisy_outlier")
