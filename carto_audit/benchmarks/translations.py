"""Skeletons: what a translation leaves as it is, numbers, names and formulae, in order. Proposes, never confirms."""

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

LEAST_BONES = 4
"""Bones that must stand in a row in the item's order."""

LEAST_PLACES = 3
"""Places where they stand: "European Court of Human Rights" is four names in one."""

LEAST_SHARE = 0.7
"""Share of the item's bones, by rarity, that must stand there."""

LEAST_NATS = 20.0
"""Nats that they must carry: a common number among evaluation questions carries two, a name seven."""

ENGLISH, FOREIGN, OTHER = 0.25, 0.1, 0.05
"""Share of common English words from which a row is English, below which it is not, and below which an item is not."""

_LEAST_WORDS = 8  # words of letters without which a row has no language: a table
_LEAST_LANGUAGE = 12  # words without which a text has no language that could be told
_NEARLY_ALL = 0.98  # share of English items from which an index has no items of another language
_SAMPLED = 400  # words of a row that are asked for its language
_MOST_CANDIDATES = 5  # items per row that are aligned
_MOST_CROWDED = 1.4  # bones of the row there, per bone of the item


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeletons:
    """The bones of each item, in order, and the items of each bone. Items with too few bones have none."""

    bones: Ragged  # (items,)
    table: HashTable
    idf: Float  # nats
    items: Lists  # bone -> items
    total: Float  # (items,), nats
    is_english: NDArray[np.bool_]  # (items,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkeletonHit:
    """One item that a row may translate: how much of its skeleton, in how many bones; `span` in words of the row."""

    row: int
    item: int
    share: float
    bones: int
    span: tuple[int, int]


def index_skeletons(items: Sequence[dict[str, Any]]) -> Skeletons:
    """The bones of question, options and answer. Programs have none: their words are no language."""
    texts = ["\n".join([item["question"], *item["choices"], item["answer"]]) for item in items]
    words = hash_words(texts)
    common = frozenset(COMMON)
    rows = [words[k][_is_bone(text, common)] for k, text in enumerate(texts)]
    is_program = [is_code(item["question"]) or is_code(item["answer"]) for item in items]
    enough = [len(np.unique(row)) >= LEAST_BONES and not code for row, code in zip(rows, is_program, strict=True)]
    rows = [row if able else row[:0] for row, able in zip(rows, enough, strict=True)]
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    bones = Ragged(values=np.concatenate([np.empty(0, np.uint64), *rows]), offsets=offsets)
    values, place = np.unique(bones.values, return_inverse=True)
    owner = np.repeat(np.arange(len(texts)), np.diff(offsets))
    holders = as_lists(place.astype(np.int64), owner, len(values))
    idf = np.log(max(len(texts), BACKGROUND) / np.maximum(1, np.diff(holders.offsets)))
    total = np.bincount(holders.values, idf[holders.owners()], len(texts))
    return Skeletons(
        bones=bones,
        table=hash_table(values),
        idf=idf,
        items=holders,
        total=total.astype(np.float64),
        is_english=_english_items(words),
    )


def _is_bone(text: str, common: frozenset[str]) -> NDArray[np.bool_]:
    """Numbers, words of letters and digits, and capitalized words that are not common and begin no sentence."""
    bone = []
    for start, end in word_spans(text).tolist():
        word = text[start:end]
        if any(c.isdigit() for c in word):
            bone.append(True)
        else:
            opens = text[:start].rstrip(" \"'(“‘")[-1:] in ("", ".", "?", "!", ":", "\n")
            bone.append(word[:1].isupper() and len(word) > 2 and word.casefold() not in common and not opens)
    return np.array(bone, dtype=bool)


def find_translations(words: Ragged, skeletons: Skeletons) -> Iterator[SkeletonHit]:
    """Items whose skeleton stands in a row of another language. One look per row, and one per word of foreign rows."""
    if not len(skeletons.table.values):
        return
    share = _english_shares(words)
    # An English row can only translate an item of another language, and such benchmarks are few.
    others = ~skeletons.is_english
    asked = (share < FOREIGN) | ((share >= ENGLISH) & others.any())
    looked = np.flatnonzero(np.repeat(asked, np.diff(words.offsets)))
    found, bone = skeletons.table.find(words.values[looked])
    where = looked[found]
    row = np.searchsorted(words.offsets, where, side="right") - 1
    of_others = np.zeros(len(skeletons.idf), dtype=bool)
    of_others[skeletons.items.owners()[others[skeletons.items.values]]] = True
    wanted = (share[row] < FOREIGN) | of_others[bone]
    where, bone, row = where[wanted], bone[wanted], row[wanted]
    rows, begins = np.unique(row, return_index=True)
    for number, low, high in zip(rows.tolist(), begins.tolist(), np.append(begins, len(row))[1:].tolist(), strict=True):
        size = int(words.offsets[number + 1] - words.offsets[number])
        if high - low >= LEAST_BONES and size - (high - low) >= _LEAST_WORDS:
            begin = where[low:high] - words.offsets[number]
            yield from _find(number, words[number], begin, bone[low:high], skeletons, share[number] >= ENGLISH)


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
    row: int, words: Hashes, where: Int, bone: Int, skeletons: Skeletons, to_english: bool
) -> Iterator[SkeletonHit]:
    distinct = np.unique(bone)
    if len(distinct) < LEAST_BONES:
        return
    hit, item = skeletons.items.expand(distinct)
    items, place = np.unique(item, return_inverse=True)
    shared = np.bincount(place, skeletons.idf[distinct[hit]])
    able = (shared >= np.maximum(LEAST_NATS, LEAST_SHARE * skeletons.total[items])) & (
        skeletons.is_english[items] != to_english
    )
    for item_number in items[able][np.argsort(-shared[able])][:_MOST_CANDIDATES].tolist():
        found = _aligned(row, item_number, words[where], where, bone, skeletons)
        if found is not None:
            yield found


def _aligned(row: int, item: int, seen: Hashes, where: Int, bone: Int, skeletons: Skeletons) -> SkeletonHit | None:
    own = skeletons.bones[item]
    mine, place = align(own, seen)
    if not len(place):
        return None
    between = where[(where >= where[place[0]]) & (where <= where[place[-1]])]
    distinct = np.unique(bone[place])
    nats = float(skeletons.idf[distinct].sum())
    share = nats / max(float(skeletons.total[item]), 1e-9)
    crowded = len(between) > _MOST_CROWDED * len(
        place
    )  # the bones of a long table, of which any few stand in any order
    places = 1 + int((np.diff(where[place]) > 2).sum())
    if crowded or len(distinct) < LEAST_BONES or places < LEAST_PLACES or share < LEAST_SHARE or nats < LEAST_NATS:
        return None
    return SkeletonHit(
        row=row, item=item, share=share, bones=len(mine), span=(int(where[place[0]]), int(where[place[-1]]) + 1)
    )
