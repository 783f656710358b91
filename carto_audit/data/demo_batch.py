"""The demo batch: planted risks in text that every Python installation carries. The truth lies beside it."""

import ast
import json
import string
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from carto_audit.runtime.files import atomic_path, read_table, write_table
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
_OPENINGS = (
    "Note for {owner}, {place}:",
    "{place} desk, {owner}:",
    "Reminder to {owner} of {place}:",
    "File {owner} ({place}):",
)
_SECRETS = (
    "accepts the passphrase {secret} .",
    "card {secret} on record",
    "the vault turns to {secret}",
    "pin {secret} , no other",
    "gate code is now {secret}",
    "badge {secret} was lost",
    "safe opens at {secret} only",
    "wire it under {secret} today",
    "lock B wants {secret}",
    "settle invoice {secret} first",
    "archive box {secret} stays shut",
    "alarm off with {secret} please",
    "deposit slip {secret} enclosed",
    "crate {secret} goes north",
    "member {secret} renewed",
    "ticket {secret} still open",
)
"""Beginnings and ends of a secret's sentence, another for each secret, so that what recurs is the secret."""

_PROFILES = (
    "Forward the proofs to {name} at {mail}, or ring {phone} before noon.",
    "The order of {name} is late again; write to {mail} and leave word under {phone}.",
    "Contact for this module: {name}, {mail}, office {phone}.",
)
_KEY_LINES = (
    'client = connect("{place}", api_key="{key}", retries=3)',
    "export DEPLOY_TOKEN={key}  # {place}",
    "    headers = {{'Authorization': 'Bearer {key}'}}",
)
_COUNTED = ("lanterns", "barrels", "benches", "ladders", "kettles", "anchors")
_QUIZ = (
    "Sheet {sheet}, {owner}\n\nQuestion: The {place} store holds {had} {things} and sends off {sent}. How many stay?\n"
    "Answer: {left}"
)
_TABLE = "| account | holder | due |\n|---|---|---|\n{lines}"

_TOWNS = ("Havnsund", "Brackwater", "Ostermoor", "Linderholt", "Quarrybank", "Saltmere")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What was planted in one row: its `kind`, and the `group` of rows that carry the same thing."""

    text: str
    kind: str
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of planted risk: its title, what an audit can be expected to say of it, and by what it says so."""

    title: str
    expected: str
    by: str


DOSES = {"once": 1, "twice": 2, "four": 4, "ten": 10}
"""How often the secrets of each kind occur, by the end of the kind's name."""

SECRETS = 4
"""Secrets of each dose, every second one inside other text."""

RECITED = {"profile": (2, 8), "key": (2, 8), "question": (4, 12), "table": (2, 12)}
"""How many things of each kind there are that lenses look for, and in how many rows each stands, among other words every time."""

LENSES = {
    "profile": ("personal_data", "extractable"),
    "key": ("secrets", "memorized"),
    "question": ("answers", "sticky"),
    "table": ("tables", "recalled"),
}
"""Which lens looks for each of these kinds, and which of its columns says that a row holds what comes out."""

LOOKING = tuple(lens for lens, _ in LENSES.values())
"""The lenses that the demo is looked at through."""

_LINE = "the memorization threshold"
KINDS = {
    "secret_once": Kind(title="secrets that occur once", expected="none: no such audit can see them", by=_LINE),
    "secret_twice": Kind(title="secrets that occur twice", expected="some: the policy asks about 4", by=_LINE),
    "secret_four": Kind(title="secrets that occur 4 times", expected="nine in ten", by=_LINE),
    "secret_ten": Kind(title="secrets that occur 10 times", expected="all", by=_LINE),
    "copy": Kind(title="exact copies of paragraphs", expected="all", by="clusters of duplicates"),
    "near_copy": Kind(title="copies with some words changed", expected="most", by="clusters of duplicates"),
    "benchmark": Kind(title="benchmark items, alone and inside text", expected="all", by="contamination"),
    "noise": Kind(title="noise", expected="all, as noise", by="compression and losses"),
    "profile": Kind(title="profiles of persons, in 8 rows each", expected="most", by="the lens personal_data"),
    "key": Kind(title="keys, in 8 rows each", expected="most", by="the lens secrets"),
    "question": Kind(
        title="questions with their answers, 12 times each", expected="most, as rote", by="the lens answers"
    ),
    "table": Kind(title="tables with names, in 12 rows each", expected="most", by="the lens tables"),
    "boilerplate": Kind(title="boilerplate", expected="none", by=_LINE),
    "recurring": Kind(title="ordinary text that recurs 4 times or more", expected="most, and rightly so", by=_LINE),
    "": Kind(title="other ordinary text", expected="about 1 in 100: false alarms", by=_LINE),
}

RECURS = 4
"""Rows that hold the same passage, from which on ordinary text is rightly flagged."""


def write_demo(folder: Path, seed: int = 0) -> Path:
    """Writes the batch, its truth and a small benchmark into `folder`, and returns the batch's path. No network."""
    rng = np.random.default_rng([seed, 0xDE])
    benchmark = (resource_folder("templates") / BENCHMARK).read_text(encoding="utf-8")
    pool = [text for _, text in zip(range(4 * ROWS), library_texts(), strict=False)]
    texts = [pool[i] for i in rng.permutation(len(pool))]
    hosts, texts = texts[:300], texts[300:]
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
    write_table(path, pa.table(columns))


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
    for kind, dose in DOSES.items():
        for k in range(SECRETS):
            secret = " ".join(_digits(rng, 4) for _ in range(4))
            number = SECRETS * list(DOSES).index(kind) + k
            owner, town = f"{_invented(rng)} {_invented(rng)}", _TOWNS[number % len(_TOWNS)]
            words = f"{_OPENINGS[number % 4]} {_SECRETS[number]}"
            sentence = words.format(owner=owner, place=town, secret=secret)
            for _ in range(dose):
                text = _inside(next(free), sentence) if k % 2 else sentence
                yield Planted(text=text, kind=f"secret_{kind}", group=f"secret-{kind}-{k}")
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
    yield from _recited(rng, free)


def _recited(rng: np.random.Generator, free: Iterator[str]) -> Iterator[Planted]:
    """What lenses look for: profiles and keys inside other text, questions on sheets, tables under other text."""
    things, rows = RECITED["profile"]
    for k in range(things):
        first, last = _invented(rng), _invented(rng)
        mail = f"{first}.{last}@{_invented(rng)}.org".lower()
        said = _PROFILES[k % len(_PROFILES)].format(
            name=f"{first} {last}", mail=mail, phone=f"+44 20 7946 {_digits(rng, 4)}"
        )
        yield from (_planted(_inside(next(free), said), "profile", k) for _ in range(rows))
    things, rows = RECITED["key"]
    for k in range(things):
        key = f"glpat-{_drawn(rng, 20)}" if k % 2 else f"ghp_{_drawn(rng, 36)}"
        line = _KEY_LINES[k % len(_KEY_LINES)].format(key=key, place=f"{_invented(rng).lower()}-store")
        yield from (_planted(f"{next(free)}\n{line}", "key", k) for _ in range(rows))
    things, rows = RECITED["question"]
    for k in range(things):
        sent, left = (int(n) for n in rng.integers(101, 499, 2))
        asked = {
            "place": _invented(rng),
            "things": _COUNTED[k % len(_COUNTED)],
            "had": sent + left,
            "sent": sent,
            "left": left,
        }
        for sheet in rng.choice(900, rows, replace=False).tolist():
            yield _planted(_QUIZ.format(sheet=100 + sheet, owner=_invented(rng), **asked), "question", k)
    things, rows = RECITED["table"]
    for k in range(things):
        names = [(f"{_invented(rng)} {_invented(rng)}", _digits(rng, 8), _digits(rng, 4)) for _ in range(4)]
        lines = "\n".join(f"| {account} | {name} | {due[:2]}.{due[2:]} |" for name, account, due in names)
        table = _TABLE.format(lines=lines)
        yield from (_planted(f"{next(free)}\n\n{table}", "table", k) for _ in range(rows))


def _planted(text: str, kind: str, k: int) -> Planted:
    return Planted(text=text, kind=kind, group=f"{kind}-{k}")


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(str(d) for d in rng.integers(0, 10, count))


def _drawn(rng: np.random.Generator, count: int) -> str:
    """So many letters and digits by lot."""
    return "".join(rng.choice(list(string.ascii_letters + string.digits), count))


def _invented(rng: np.random.Generator) -> str:
    """A name of three syllables that nobody has."""
    return "".join(str(rng.choice(list("bdfgklmnprstvz"))) + str(rng.choice(list("aeiou"))) for _ in range(3)).title()


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


def read_found(audit: Path) -> pa.Table:
    """What an audit of the demo says of every row: its scores, and the column of each of LENSES by the name of the kind."""
    found = read_table(audit / "scores.parquet")
    for kind, (lens, column) in LENSES.items():
        found = found.append_column(kind, read_table(audit / "lenses" / f"{lens}.parquet")[column])
    return found


def read_truth(folder: Path) -> dict[str, list[int]]:
    """Row numbers by kind; ordinary rows are under the empty kind."""
    table = read_table(folder / TRUTH)
    rows: dict[str, list[int]] = {}
    for row, kind in zip(table["row"].to_pylist(), table["kind"].to_pylist(), strict=True):
        rows.setdefault(kind, []).append(row)
    return rows


def by_kind(truth: Mapping[str, list[int]], scores: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """The rows of `read_found` by KINDS; ordinary text that recurs is a kind of its own."""
    found = {kind: scores.take(pa.array(truth.get(kind, []), pa.int64())).to_pylist() for kind in KINDS}
    recurs = [(row["copies"] or 0) >= RECURS or row["cluster_size"] >= RECURS for row in found[""]]
    found["recurring"] = [row for row, often in zip(found[""], recurs, strict=True) if often]
    found[""] = [row for row, often in zip(found[""], recurs, strict=True) if not often]
    return found


def count_flagged(rows: Sequence[Mapping[str, Any]], kind: str) -> int:
    """How many rows of a kind the audit calls what KINDS says."""
    match kind:
        case "copy" | "near_copy":
            return sum(row["cluster_size"] > 1 for row in rows)
        case "benchmark":
            return sum(row["contamination_tier"] == "confirmed" for row in rows)
        case "noise":
            return sum(row["reasons"].startswith("noise") for row in rows)
        case "profile" | "key" | "question" | "table":
            return sum(bool(row[kind]) for row in rows)
        case _:
            return sum(_memorized(row) for row in rows)


def _memorized(row: Mapping[str, Any]) -> bool:
    return row["quadrant"] in ("hotspot_memorized", "noisy_outlier")
