"""Programs: benchmark items that are code, seen twice: with their names, and with every variable renamed alike."""

import builtins
import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import BACKGROUND, Float, HashTable, Int, Lists, as_lists, hash_table
from carto_audit.text.words import Hashes, Ragged, hash_tokens, inside_texts, mix64, ngram_hashes

GRAM = 10
"""Tokens per gram: a statement and a half. Shorter ones are idioms such as `for i in range(len(x))`."""

LEAST_GRAMS = 16
"""Grams that tell a program from another; a shorter one has no code view."""

TELLING = 5
"""Tokens of a gram that must be something else than the first mention of some variable."""

_STATEMENT = re.compile(
    r"^[ \t]*(?:def \w+[ \t]*\(|class \w+|return\b|import \w|from \w+ import|(?:for|while|if|elif|with)\b.+:[ \t]*$|"
    r"[\w.]+[ \t]*[-+*/]?=[^=]|#include|(?:public|private|static|int|void|func|fn|let|const|var)\b.*[({;=])",
    re.MULTILINE,
)
_SILENT = re.compile(r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|#[^\n]*|/\*[\s\S]*?\*/')
_MEMBER = np.uint64(0x9E3779B97F4A7C15)
_FIRST_MENTION = np.uint64(0xA24BAED4963EE407)
_FIXED = tuple(
    sorted({*keyword.kwlist, *dir(builtins), "self", "cls"} | set("function var let const public void".split()))
)
_CHUNK = 1 << 20  # characters tokenized at once


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The grams of all programs in one view, and whose they are."""

    table: HashTable
    idf: Float
    programs: Lists  # gram -> programs
    total: Float  # (programs,), summed idf
    count: Int  # (programs,), distinct grams


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The items that are code. `item[p]` is whose program `p` is, `size[p]` its tokens."""

    item: Int
    size: Int
    kept: View
    renamed: View


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramHit:
    """One program in one text: how much of it, with its own names and with names renamed alike; characters."""

    row: int
    item: int
    kept: float
    renamed: float
    grams: int
    span: tuple[int, int]


def is_code(text: str) -> bool:
    """Whether a text is a program: two statements, or one definition, at the beginning of lines."""
    found = _STATEMENT.findall(text)
    return len(found) >= 2 or any(statement.lstrip().startswith("def ") for statement in found)


def index_programs(items: Sequence[dict[str, Any]]) -> Programs:
    """The code of each item: its question and its answer, as far as they are programs. Others have none."""
    parts = [[item[name] for name in ("question", "answer") if is_code(item[name])] for item in items]
    owners = np.array([number for number, part in enumerate(parts) if part], dtype=np.int64)
    tokens = _Tokens.of(["\n".join(part) for part in parts if part])
    kept, renamed = (_view(tokens, grams) for grams in tokens.grams())
    return Programs(item=owners, size=np.diff(tokens.words.offsets), kept=kept, renamed=renamed)


def find_programs(texts: Sequence[str], programs: Programs) -> Iterator[ProgramHit]:
    """Every program of the index in some texts, the surest first in each; rows that are no code cost three counts."""
    if not len(programs.renamed.table.values):
        return
    rows = [k for k, text in enumerate(texts) if text.count("(") >= 2 and ("=" in text or "return" in text)]
    while rows:
        size, taken = 0, 0
        while taken < len(rows) and size < _CHUNK:
            size, taken = size + len(texts[rows[taken]]), taken + 1
        yield from _find([texts[k] for k in rows[:taken]], rows[:taken], programs)
        rows = rows[taken:]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    """Names, numbers and signs of some programs. `mention[p]`: how far back the name at `p` stood; 0 at the first."""

    words: Ragged
    spans: Int
    is_variable: NDArray[np.bool_]
    mention: Int

    @classmethod
    def of(cls, texts: Sequence[str]) -> "_Tokens":
        silent = [_SILENT.sub(lambda found: " " * len(found[0]), text) for text in texts]
        words, spans, is_name, after_dot = hash_tokens(silent)
        fixed = np.unique(hash_tokens([" ".join(_FIXED)])[0].values)
        is_variable = is_name & ~after_dot & ~np.isin(words.values, fixed)
        return cls(words=words, spans=spans, is_variable=is_variable, mention=_mentions(words.values, is_variable))

    def grams(self) -> tuple[Hashes, Hashes]:
        """Grams at each token with the names kept, and with variables as distances; 0 where one tells nothing."""
        values, n = self.words.values, max(0, len(self.words.values) - GRAM + 1)
        renamed, telling = np.zeros(n, dtype=np.uint64), np.zeros(n, dtype=np.int64)
        for k in range(GRAM):
            back, variable = self.mention[k : k + n], self.is_variable[k : k + n]
            is_back = variable & (back > 0) & (back <= k)
            value = np.where(variable, np.where(is_back, back.astype(np.uint64), _FIRST_MENTION), values[k : k + n])
            renamed = renamed * _MEMBER + value
            telling += ~variable | is_back
        useful = (telling >= TELLING) & inside_texts(self.words.offsets, GRAM)
        zero = np.uint64(0)
        return np.where(useful, ngram_hashes(values, GRAM), zero), np.where(useful, mix64(renamed), zero)


def _mentions(values: Hashes, is_variable: NDArray[np.bool_]) -> Int:
    place = np.flatnonzero(is_variable)
    order = place[np.argsort(values[place], kind="stable")]
    back = np.zeros(len(values), dtype=np.int64)
    same = values[order[1:]] == values[order[:-1]]
    back[order[1:][same]] = np.diff(order)[same]
    return back


def _view(tokens: _Tokens, grams: Hashes) -> View:
    owner = (np.searchsorted(tokens.words.offsets, np.arange(len(grams)), side="right") - 1)[grams > 0]
    values, place = np.unique(grams[grams > 0], return_inverse=True)
    n = len(tokens.words)
    programs = as_lists(place.astype(np.int64), owner, len(values))
    idf = np.log(max(n, BACKGROUND) / np.maximum(1, np.diff(programs.offsets)))
    holder = programs.owners()
    return View(
        table=hash_table(values),
        idf=idf,
        programs=programs,
        total=np.bincount(programs.values, idf[holder], n).astype(np.float64),
        count=np.bincount(programs.values, minlength=n),
    )


def _find(texts: list[str], rows: list[int], programs: Programs) -> Iterator[ProgramHit]:
    tokens = _Tokens.of(texts)
    kept, renamed = tokens.grams()
    where, place = programs.renamed.table.find(renamed)
    hit, program = programs.renamed.programs.expand(place)
    where, place = where[hit], place[hit]
    row = np.searchsorted(tokens.words.offsets, where, side="right") - 1
    codes, count = np.unique(row * len(programs.item) + program, return_counts=True)
    for code in codes[count >= LEAST_GRAMS // 2].tolist():
        text, number = divmod(code, len(programs.item))
        if programs.renamed.count[number] < LEAST_GRAMS:
            continue
        own = (row == text) & (program == number)
        low, high = _fullest(where[own], place[own], int(1.5 * programs.size[number]) + GRAM)
        share = _share(renamed[low : high + 1], number, programs.renamed)
        end = min(high + GRAM, int(tokens.words.offsets[text + 1]))
        yield ProgramHit(
            row=rows[text],
            item=int(programs.item[number]),
            kept=_share(kept[low : high + 1], number, programs.kept),
            renamed=share,
            grams=int(programs.renamed.count[number]),
            span=(int(tokens.spans[low, 0]), int(tokens.spans[end - 1, 1])),
        )


def _fullest(position: Int, gram: Int, width: int) -> tuple[int, int]:
    """First and last position of the window of `width` tokens that holds most grams."""
    last = np.searchsorted(position, position + width) - 1
    best = int(np.argmax(last - np.arange(len(position))))
    return int(position[best]), int(position[last[best]])


def _share(grams: Hashes, program: int, view: View) -> float:
    _, place = view.table.find(np.unique(grams))
    hit, holder = view.programs.expand(place)
    found = float(view.idf[place[hit[holder == program]]].sum())
    return found / max(float(view.total[program]), 1e-9)
