"""The index over benchmark items that a batch is compared with. Costs seconds and about 100 MB for 15,000 items."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import BACKGROUND, Float, HashTable, Int, Lists, as_lists, hash_table
from carto_audit.benchmarks.items import Benchmark
from carto_audit.benchmarks.letter_runs import LetterIndex, index_letters
from carto_audit.benchmarks.programs import Programs, index_programs
from carto_audit.benchmarks.rare_words import RareWords, index_rare_words
from carto_audit.benchmarks.surprisal import surprise
from carto_audit.benchmarks.translations import InvariantTokens, index_invariant_tokens
from carto_audit.runtime.errors import UsageError
from carto_audit.text.folding import fold
from carto_audit.text.minhash import signatures
from carto_audit.text.untrusted import safe_inline
from carto_audit.text.words import (
    Hashes,
    Ragged,
    hash_words,
    inside_texts,
    is_letter_run,
    is_number,
    mix64,
    ngrams,
    word_spans,
)

SHINGLE = 3
"""Words per shingle, the unit of containment. One edited word costs three shingles."""

ANCHOR = 5
"""Words per anchor, the unit of the pre-filter. No anchor, no match."""

BRIEF, BRIEFEST = 16, 8
"""Questions below so many words have anchors of 4 and of 3 words, so that one edited word leaves at least one."""

ANCHOR_NATS = 6.0
"""An anchor below ANCHOR words must say so much: "the end of" leads nowhere, unless a question has no other."""

HOT = 25
"""A shingle or anchor that more items than this share is a template of the benchmark, not a trace of one item."""

NUM_PERM, BAND_ROWS, SEED = 126, 3, 1
"""42 bands of 3: a window at Jaccard 0.5 is proposed with probability 0.996, at 0.4 with 0.94, at 0.1 with 0.04."""

_NAME = re.compile(r"(?<![.?!:\"\u201c] )(?<!^)(?<!\n)\b[A-Z][a-z]{2,}\b")  # in the middle of a sentence

QUESTION, PASSAGE = 0, 1
COMPONENTS = ("question", "passage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """The runs of `n` words that lead from a text to groups."""

    n: int
    table: HashTable
    groups: Lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Shingles:
    """The shingles of all groups, named by their place in `table`. `df` counts the items that hold one.

    An item that several benchmarks share counts once; items of one benchmark that share a question but not their
    options count each, because such a question names none of them.
    """

    table: HashTable
    df: Int
    idf: Float  # nats
    of_group: Lists  # group -> its distinct shingles
    groups: Lists  # shingle -> groups; empty above HOT
    total_idf: Float  # (groups,)
    hot_idf: Float  # (groups,), the part of total_idf that shingles above HOT carry


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """MinHash signatures of the groups' cold shingles, (NUM_PERM, groups), and the bands that find them again."""

    signatures: NDArray[np.uint32]
    table: HashTable
    groups: Lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Answer options. `weight` is what one says about its item: nothing for "True" or "2", most for a rare sentence."""

    words: Ragged
    shingles: Ragged  # those that no other option of the item has
    of_item: Lists
    weight: Float
    is_gold: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """All items of all benchmarks. A group is one distinct question or passage: identical questions share one."""

    benchmarks: tuple[Benchmark, ...]
    item_benchmark: Int  # (items,), the items of all benchmarks behind one another
    item_row: Int  # (items,), the row in its benchmark
    items: Lists  # group -> items
    item_group: Int  # (items,), the group of its question
    component: Int  # (groups,), a place in COMPONENTS
    words: Ragged  # (groups,)
    nats: Float  # (words of all groups,), what each word adds, see `rarity`
    numbers: Ragged  # (groups,), the distinct numbers: those in digits, where there are any
    slots: Ragged  # (groups,), the distinct words for which a twin has others: numbers and names
    shingles: Shingles
    anchors: tuple[Anchors, ...]
    anchor_count: Int  # (groups,)
    bands: Bands
    choices: Choices
    answers: Ragged  # (items,), free-form answers; empty where there are choices
    programs: Programs
    letters: LetterIndex
    rare_words: RareWords
    invariant_tokens: InvariantTokens

    def question_of(self, item: int) -> int:
        """The group of the item's question."""
        return int(self.item_group[item])

    def item_id(self, item: int) -> str:
        """The name of an item in its benchmark."""
        return str(self.benchmarks[self.item_benchmark[item]].items["item_id"][int(self.item_row[item])].as_py())

    def item_text(self, item: int, group: int) -> str:
        """The text of the item's question or passage, whichever `group` is about."""
        column = self.benchmarks[self.item_benchmark[item]].items[COMPONENTS[self.component[group]]]
        return str(column[int(self.item_row[item])].as_py())


def build_index(benchmarks: Sequence[Benchmark]) -> Index:
    """Indexes all items of all benchmarks. Raises UsageError when two benchmarks share a name."""
    for position, benchmark in enumerate(benchmarks):
        if benchmark.name in {other.name for other in benchmarks[:position]}:
            raise UsageError(f'two benchmarks are called "{safe_inline(benchmark.name, 60)}"; rename one of the files')
    items = [item for benchmark in benchmarks for item in benchmark.items.to_pylist()]
    sizes = np.array([benchmark.items.num_rows for benchmark in benchmarks], dtype=np.int64)
    item_benchmark = np.repeat(np.arange(len(sizes)), sizes)
    texts, words, nats, numbers, slots, component, members = _groups(items)
    holders = _holders(members, items, item_benchmark)
    choices = _choices(items)
    anchors = _anchors(words, nats, holders, _context(members, choices))
    shingles = _shingles(words, holders)
    counted = [np.bincount(found.groups.values, minlength=len(words)) for found in anchors]
    return Index(
        benchmarks=tuple(benchmarks),
        item_benchmark=item_benchmark,
        item_row=np.arange(len(items)) - np.repeat(np.cumsum(sizes) - sizes, sizes),
        items=members,
        item_group=_question_groups(members, component, len(items)),
        component=component,
        words=words,
        nats=nats,
        numbers=numbers,
        slots=slots,
        shingles=shingles,
        anchors=anchors,
        anchor_count=np.sum(counted, axis=0) if counted else np.zeros(len(words), np.int64),
        bands=_bands(shingles),
        choices=choices,
        answers=hash_words(["" if item["choices"] else item["answer"] for item in items]),
        programs=index_programs(items),
        letters=index_letters(texts),
        rare_words=index_rare_words(texts, nats),
        invariant_tokens=index_invariant_tokens(items),
    )


def _only(lists: Lists, keep: NDArray[np.bool_]) -> Lists:
    """The same keys with some of their values."""
    counts = np.bincount(lists.owners()[keep], minlength=len(lists))
    return Lists(values=lists.values[keep], offsets=np.concatenate(([0], np.cumsum(counts))))


def _groups(items: list[dict[str, Any]]) -> tuple[list[str], Ragged, Float, Ragged, Ragged, Int, Lists]:
    """Distinct questions and passages: text, words, what each adds, numbers, slots, component, items."""
    parts = [
        (component, item[name], number)
        for component, name in enumerate(COMPONENTS)
        for number, item in enumerate(items)
        if component == QUESTION or item[name]
    ]
    words = hash_words([text for _, text, _ in parts])
    seen: dict[tuple[int, bytes], int] = {}
    first: list[int] = []
    group = np.empty(len(parts), dtype=np.int64)
    for k, (kind, _, _) in enumerate(parts):
        group[k] = seen.setdefault((kind, words[k].tobytes()), len(seen))
        if len(first) < len(seen):
            first.append(k)
    component = np.array([parts[k][0] for k in first], dtype=np.int64)
    members = as_lists(group, np.array([number for *_, number in parts], dtype=np.int64), len(seen))
    kept = _pack([words[k] for k in first])
    texts = [parts[k][1] for k in first]
    in_digits, is_number, is_ideograph = _kinds(texts, kept)
    digits, numbers = _chosen(kept, in_digits), _chosen(kept, is_number)
    names = hash_words([" ".join(_NAME.findall(text)) for text in texts])
    slots = [np.unique(np.concatenate([numbers[k], names[k]])) for k in range(len(kept))]
    told = [own if len(own) else every for own, every in zip(digits, numbers, strict=True)]
    adds = surprise(kept.values, kept.offsets, is_ideograph)
    return texts, kept, adds, _pack(told), _pack(slots), component, members


def _chosen(words: Ragged, flags: NDArray[np.bool_]) -> list[Hashes]:
    """Of each group the distinct words that are marked."""
    return [np.unique(words[k][flags[slice(*words.offsets[k : k + 2])]]) for k in range(len(words))]


def _question_groups(members: Lists, component: Int, n_items: int) -> Int:
    group = np.zeros(n_items, dtype=np.int64)
    owner = members.owners()
    is_question = component[owner] == QUESTION
    group[members.values[is_question]] = owner[is_question]
    return group


def _holders(members: Lists, items: list[dict[str, Any]], item_benchmark: Int) -> Int:
    """As how many items each group counts: the most that one benchmark has with different options or answers."""
    counts = np.ones(len(members), dtype=np.int64)
    for group in np.flatnonzero(np.diff(members.offsets) > 1).tolist():
        distinct = {(int(item_benchmark[i]), *items[i]["choices"], items[i]["answer"]) for i in members[group].tolist()}
        counts[group] = np.bincount([key[0] for key in distinct]).max()
    return counts


def _kinds(texts: list[str], words: Ragged) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which words are in digits, which are numbers, and which are letters of a script: once for each distinct word."""
    _, first, inverse = np.unique(words.values, return_index=True, return_inverse=True)
    owner = np.searchsorted(words.offsets, first, side="right") - 1
    spelled: list[str] = []
    spans: dict[int, Int] = {}
    for text, place in zip(owner.tolist(), (first - words.offsets[owner]).tolist(), strict=True):
        if text not in spans:
            spans[text] = word_spans(texts[text])
        start, end = spans[text][place]
        spelled.append(fold(texts[text][start:end]))
    numbers = np.array([is_number(word) for word in spelled], dtype=bool)
    digits = np.array([word.isdecimal() for word in spelled], dtype=bool)
    ideographs = np.array([is_letter_run(word) for word in spelled], dtype=bool)
    return digits[inverse], numbers[inverse], ideographs[inverse]


def _pack(rows: Sequence[Hashes]) -> Ragged:
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    values = np.concatenate(rows) if len(rows) else np.empty(0, np.uint64)
    return Ragged(values=values, offsets=np.concatenate(([0], np.cumsum(lengths))))


def _shingles(words: Ragged, holders: Int) -> Shingles:
    every = ngrams(words, SHINGLE)
    values, place = np.unique(every.values, return_inverse=True)
    group = np.repeat(np.arange(len(words)), np.diff(every.offsets))
    of_group = as_lists(group, place, len(words))
    groups = as_lists(place, group, len(values))
    df = np.bincount(groups.owners(), holders[groups.values], len(values)).astype(np.int64)
    idf = np.log(max(holders.sum(), BACKGROUND) / df)
    owner, weight = of_group.owners(), idf[of_group.values]
    hot_weight = np.where(df[of_group.values] > HOT, weight, 0.0)
    return Shingles(
        table=hash_table(values),
        df=df,
        idf=idf,
        of_group=of_group,
        groups=_only(groups, df[groups.owners()] <= HOT),
        total_idf=np.bincount(owner, weight, len(words)).astype(np.float64),
        hot_idf=np.bincount(owner, hot_weight, len(words)).astype(np.float64),
    )


def _choices(items: list[dict[str, Any]]) -> Choices:
    texts = [choice for item in items for choice in item["choices"]]
    counts = np.array([len(item["choices"]) for item in items], dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    words = hash_words(texts)
    keys = [words[k].tobytes() for k in range(len(texts))]
    holders: dict[bytes, int] = {}
    for number in range(len(items)):
        for key in set(keys[offsets[number] : offsets[number + 1]]):
            holders[key] = holders.get(key, 0) + 1
    lengths = np.diff(words.offsets)
    background = max(len(items), BACKGROUND)
    rarity = np.array([max(0.0, math.log(background / holders[key]) - 3.0) for key in keys])
    is_short = np.array([len(text.strip()) <= 3 for text in texts], dtype=bool)  # "4", "II", "No": anywhere by chance
    gold = [choice == item["answer"] for item in items for choice in item["choices"]]
    return Choices(
        words=words,
        shingles=_own_shingles(words, np.repeat(np.arange(len(items)), counts)),
        of_item=Lists(values=np.arange(len(texts)), offsets=offsets),
        weight=np.where(is_short, 0.0, rarity * np.minimum(1.0, lengths / 3)),
        is_gold=np.array(gold, dtype=bool),
    )


def _own_shingles(words: Ragged, item: Int) -> Ragged:
    """The shingles of each option that no other option of its item has: one option is no evidence of the next."""
    every = ngrams(words, SHINGLE)
    option = np.repeat(np.arange(len(words)), np.diff(every.offsets))
    _, place = np.unique(every.values, return_inverse=True)
    code, inverse = np.unique(item[option] * max(1, len(place)) + place, return_inverse=True)
    pairs = np.unique(inverse * max(1, len(words)) + option) // max(1, len(words))
    own = np.bincount(pairs, minlength=len(code))[inverse] == 1
    offsets = np.concatenate(([0], np.cumsum(np.bincount(option[own], minlength=len(words)))))
    return Ragged(values=every.values[own], offsets=offsets)


def _context(members: Lists, choices: Choices) -> tuple[Ragged, Int]:
    """The options of each group's items, and whose they are: what identifies a question that is only a template."""
    place, item = members.expand(np.arange(len(members)))
    which, choice = choices.of_item.expand(item)
    return _pack([choices.words[k] for k in choice.tolist()]), place[which]


def _anchors(words: Ragged, nats: Float, holders: Int, context: tuple[Ragged, Int]) -> tuple[Anchors, ...]:
    """Anchors of every length that some group needs; groups whose every anchor is hot get those of their options."""
    found = [_drop_hot(*_question_anchors(words, nats, n), holders) for n in range(SHINGLE, ANCHOR + 1)]
    anchored = np.unique(np.concatenate([group for _, group in found]))
    option_words, option_group = context
    lost = ~np.isin(option_group, anchored)
    options = _pack([option_words[k] for k in np.flatnonzero(lost).tolist()])
    made = []
    for n, (grams, group) in zip(range(SHINGLE, ANCHOR + 1), found, strict=True):
        more = _drop_hot(*_anchor_pairs(options, option_group[lost], n), np.ones_like(holders))
        values, place = np.unique(np.concatenate([grams, more[0]]), return_inverse=True)
        if len(values):
            groups = as_lists(place, np.concatenate([group, more[1]]), len(values))
            made.append(Anchors(n=n, table=hash_table(values), groups=groups))
    return tuple(made)


def _question_anchors(words: Ragged, nats: Float, n: int) -> tuple[Hashes, Int]:
    """(anchor, group) pairs of the groups whose anchors have `n` words: those that say something, else all."""
    lengths = np.diff(words.offsets)
    size = np.where(lengths < BRIEFEST, SHINGLE, np.where(lengths < BRIEF, SHINGLE + 1, ANCHOR))
    grams = ngrams(words, n)
    owner = np.repeat(np.arange(len(words)), np.diff(grams.offsets))
    total = np.concatenate(([0.0], np.cumsum(nats)))
    begin = np.arange(len(words.values) - n + 1 if len(words.values) >= n else 0)[inside_texts(words.offsets, n)]
    tells = (total[begin + n] - total[begin] >= ANCHOR_NATS) | (n == ANCHOR)
    has_telling = np.bincount(owner[tells], minlength=len(words)) > 0
    keep = (size[owner] == n) & (tells | ~has_telling[owner])
    return grams.values[keep], owner[keep]


def _anchor_pairs(words: Ragged, group: Int, n: int) -> tuple[Hashes, Int]:
    """(anchor, group) pairs: every run of ANCHOR words, and texts of exactly `n` words when `n` is less."""
    lengths = np.diff(words.offsets)
    grams = ngrams(words, n)
    owner = np.repeat(np.arange(len(words)), np.diff(grams.offsets))
    fits = (lengths[owner] == n) | (n == ANCHOR)
    return grams.values[fits], group[owner[fits]]


def _drop_hot(grams: Hashes, group: Int, holders: Int) -> tuple[Hashes, Int]:
    values, place = np.unique(grams, return_inverse=True)
    groups = as_lists(place, group, len(values))
    df = np.bincount(groups.owners(), holders[groups.values], len(values))
    keep = df[place] <= HOT
    return grams[keep], group[keep]


def _bands(shingles: Shingles) -> Bands:
    cold = _only(shingles.of_group, shingles.df[shingles.of_group.values] <= HOT)
    sketched = Ragged(values=shingles.table.values[cold.values], offsets=cold.offsets)
    signed = signatures(sketched, NUM_PERM, SEED)
    filled = np.flatnonzero(np.diff(cold.offsets))
    keys = band_keys(signed[:, filled])  # (bands, groups)
    values, place = np.unique(keys.ravel(), return_inverse=True)
    groups = as_lists(place.astype(np.int64), np.tile(filled, len(keys)), len(values))
    return Bands(signatures=signed, table=hash_table(values), groups=groups)


def band_keys(signed: NDArray[np.uint32]) -> Hashes:
    """(bands, n): the values of each band in 64 bits, different bands apart."""
    values = signed.reshape(len(signed) // BAND_ROWS, BAND_ROWS, signed.shape[1]).astype(np.uint64)
    keys = np.arange(1, len(values) + 1, dtype=np.uint64)[:, None] << np.uint64(40)
    for k in range(BAND_ROWS):
        keys = mix64(keys ^ values[:, k])
    return keys
