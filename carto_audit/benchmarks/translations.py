"""Translations: the invariant tokens of an item, numbers, names and formulae, in order, in another language.

They propose, and never confirm."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import BACKGROUND, Float, HashTable, Int, Lists, as_lists, hash_table
from carto_audit.benchmarks.programs import is_code
from carto_audit.benchmarks.surprisal import COMMON, is_common
from carto_audit.text.alignment import align
from carto_audit.text.words import Hashes, Ragged, hash_words, word_spans

LEAST_TOKENS = 4
"""Invariant tokens that must stand in a row in the item's order."""

LEAST_PLACES = 3
"""Places where they stand: "European Court of Human Rights" is four names in one."""

LEAST_SHARE = 0.7
"""Share of the item's tokens, by rarity, that must stand there."""

LEAST_NATS = 20.0
"""Nats that they must carry: a common number among evaluation questions carries two, a name seven."""

ENGLISH, FOREIGN, OTHER = 0.25, 0.1, 0.05
"""Share of common English words from which a row is English, below which it is not, and below which an item is not."""

_LEAST_WORDS = 8  # words of letters without which a row has no language: a table
_LEAST_COUNTED = 8
_LEAST_LANGUAGE = 12  # words without which a text has no language that could be told
_NEARLY_ALL = 0.98  # share of English items from which an index has no items of another language
_SAMPLED = 400  # words of a row that are asked for its language
_MOST_CANDIDATES = 5  # items per row that are aligned
_MOST_CROWDED = 1.4  # tokens of the row there, per token of the item


@dataclass(frozen=True, slots=True, kw_only=True)
class InvariantTokens:
    """The invariant tokens of each item, in order, and the items of each token. Items with too few tokens have none."""

    tokens: Ragged  # (items,)
    table: HashTable
    idf: Float  # nats
    items: Lists  # token -> items
    total: Float  # (items,), nats
    is_english: NDArray[np.bool_]  # (items,)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationHit:
    """One item that a row may translate: how much of its tokens, by rarity, and how many; `span` in words of the row."""

    row: int
    item: int
    share: float
    tokens: int
    span: tuple[int, int]


def index_invariant_tokens(items: Sequence[dict[str, Any]]) -> InvariantTokens:
    """The invariant tokens of question, options and answer. Programs have none: their words are no language."""
    texts = ["\n".join([item["question"], *item["choices"], item["answer"]]) for item in items]
    words = hash_words(texts)
    common = frozenset(COMMON)
    rows = [words[k][_is_invariant(text, common)] for k, text in enumerate(texts)]
    is_program = [is_code(item["question"]) or is_code(item["answer"]) for item in items]
    enough = [len(np.unique(row)) >= LEAST_TOKENS and not code for row, code in zip(rows, is_program, strict=True)]
    rows = [row if able else row[:0] for row, able in zip(rows, enough, strict=True)]
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    tokens = Ragged(values=np.concatenate([np.empty(0, np.uint64), *rows]), offsets=offsets)
    values, place = np.unique(tokens.values, return_inverse=True)
    owner = np.repeat(np.arange(len(texts)), np.diff(offsets))
    holders = as_lists(place.astype(np.int64), owner, len(values))
    idf = np.log(max(len(texts), BACKGROUND) / np.maximum(1, np.diff(holders.offsets)))
    total = np.bincount(holders.values, idf[holders.owners()], len(texts))
    return InvariantTokens(
        tokens=tokens,
        table=hash_table(values),
        idf=idf,
        items=holders,
        total=total.astype(np.float64),
        is_english=_english_items(words),
    )


def _is_invariant(text: str, common: frozenset[str]) -> NDArray[np.bool_]:
    """Numbers, words of letters and digits, and capitalized words that are not common and begin no sentence. Numbers that count
    lines or steps are none: they are the same everywhere."""
    token = []
    spans = word_spans(text).tolist()
    counting = _counting([text[start:end] for start, end in spans])
    for place, (start, end) in enumerate(spans):
        word = text[start:end]
        if any(c.isdigit() for c in word):
            token.append(place not in counting)
        else:
            opens = text[:start].rstrip(" \"'(“‘")[-1:] in ("", ".", "?", "!", ":", "\n")
            token.append(word[:1].isupper() and len(word) > 2 and word.casefold() not in common and not opens)
    return np.array(token, dtype=bool)


def _counting(words: Sequence[str]) -> set[int]:
    """The places of numbers that count, one by one, to _LEAST_COUNTED or further, whatever other numbers stand between."""
    numbers = [(k, int(word)) for k, word in enumerate(words) if word.isascii() and word.isdecimal() and len(word) < 9]
    chains: dict[int, list[int]] = {}  # the places that count up to a number
    found: set[int] = set()
    for place, value in numbers:
        chain = chains[value] = chains.pop(value - 1, [])
        chain.append(place)
        if len(chain) >= _LEAST_COUNTED:
            found.update(chain[-_LEAST_COUNTED:])
    return found


def find_translations(words: Ragged, index: InvariantTokens) -> Iterator[TranslationHit]:
    """Items whose invariant tokens stand in a row of another language. One look per row, and one per word of foreign rows."""
    if not len(index.table.values):
        return
    share = _english_shares(words)
    # An English row can only translate an item of another language, and such benchmarks are few.
    others = ~index.is_english
    asked = (share < FOREIGN) | ((share >= ENGLISH) & others.any())
    looked = np.flatnonzero(np.repeat(asked, np.diff(words.offsets)))
    found, token = index.table.find(words.values[looked])
    where = looked[found]
    row = np.searchsorted(words.offsets, where, side="right") - 1
    of_others = np.zeros(len(index.idf), dtype=bool)
    of_others[index.items.owners()[others[index.items.values]]] = True
    wanted = (share[row] < FOREIGN) | of_others[token]
    where, token, row = where[wanted], token[wanted], row[wanted]
    rows, begins = np.unique(row, return_index=True)
    for number, low, high in zip(rows.tolist(), begins.tolist(), np.append(begins, len(row))[1:].tolist(), strict=True):
        size = int(words.offsets[number + 1] - words.offsets[number])
        if high - low >= LEAST_TOKENS and size - (high - low) >= _LEAST_WORDS:
            begin = where[low:high] - words.offsets[number]
            yield from _find(number, words[number], begin, token[low:high], index, share[number] >= ENGLISH)


def _english_items(words: Ragged) -> NDArray[np.bool_]:
    """Which items are English: all, where hardly any looks otherwise, as a few formulae and lists of terms do."""
    english = _english_shares(words) >= OTHER
    return np.ones_like(english) if english.sum() > _NEARLY_ALL * len(english) else english


def _english_shares(words: Ragged) -> Float:
    """Share of common English words among the first of each text; 1 where there are too few to tell a language."""
    running = np.concatenate(([0], np.cumsum(is_common(words.values))))
    sizes = np.minimum(np.diff(words.offsets), _SAMPLED)
    share = (running[words.offsets[:-1] + sizes] - running[words.offsets[:-1]]) / np.maximum(sizes, 1)
    return np.where(sizes >= _LEAST_LANGUAGE, share, 1.0)


def _find(
    row: int, words: Hashes, where: Int, token: Int, index: InvariantTokens, to_english: bool
) -> Iterator[TranslationHit]:
    distinct = np.unique(token)
    if len(distinct) < LEAST_TOKENS:
        return
    hit, item = index.items.expand(distinct)
    items, place = np.unique(item, return_inverse=True)
    shared = np.bincount(place, index.idf[distinct[hit]])
    able = (shared >= np.maximum(LEAST_NATS, LEAST_SHARE * index.total[items])) & (
        index.is_english[items] != to_english
    )
    for item_number in items[able][np.argsort(-shared[able])][:_MOST_CANDIDATES].tolist():
        found = _aligned(row, item_number, words[where], where, token, index)
        if found is not None:
            yield found


def _aligned(
    row: int, item: int, seen: Hashes, where: Int, token: Int, index: InvariantTokens
) -> TranslationHit | None:
    own = index.tokens[item]
    mine, place = align(own, seen)
    if not len(place):
        return None
    between = where[(where >= where[place[0]]) & (where <= where[place[-1]])]
    distinct = np.unique(token[place])
    nats = float(index.idf[distinct].sum())
    share = nats / max(float(index.total[item]), 1e-9)
    crowded = len(between) > _MOST_CROWDED * len(
        place
    )  # the tokens of a long table, of which any few stand in any order
    places = 1 + int((np.diff(where[place]) > 2).sum())
    if crowded or len(distinct) < LEAST_TOKENS or places < LEAST_PLACES or share < LEAST_SHARE or nats < LEAST_NATS:
        return None
    return TranslationHit(
        row=row, item=item, share=share, tokens=len(mine), span=(int(where[place[0]]), int(where[place[-1]]) + 1)
    )
