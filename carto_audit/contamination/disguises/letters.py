"""Letters: items without word borders, or with false ones. Given its letters, the item itself says where its words end.

A row that holds the letters of an item is read again with the item's own word borders, and then judged like any other text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Int
from carto_audit.benchmarks.index import Index
from carto_audit.text.letters import RUN, Spelling, sample_runs, spell
from carto_audit.text.views.reading import Change, Reading
from carto_audit.text.words import FoldedWords

JOINED = "joined"
"""The view that ignores where words begin and end."""

LEAST_SHARE = 0.3
"""Of a group's sampled runs, that must stand near one another in a row; at least LEAST_RUNS, or all."""

LEAST_RUNS = 2

_LEAST_RUN = 5  # letters in a row that are taken for the item's own
_MOST_PLACES = 16  # of one run in an item
LEAST_HIDDEN = 0.15
"""Of a group's sampled runs, that must stand in a row with other word borders: what has its own is found by words."""

_LONGEST = 4000  # letters of a group that are aligned; longer ones are found by their windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A group whose letters a text holds, and between which of its letters."""

    text: int
    group: int
    first: int
    end: int


def find_letters(words: FoldedWords, index: Index) -> Iterator[Candidate]:
    """Groups of which some texts hold enough runs of letters, one place for each pair of text and group."""
    runs = sample_runs(words)
    hit, place = index.letters.table.find(runs.values)
    is_hidden = np.ones(len(hit), dtype=bool)
    is_hidden[index.letters.spaced.find(runs.spaced(hit))[0]] = False
    hiding = np.zeros(len(words.text_ends), dtype=bool)
    hiding[runs.text[hit][is_hidden]] = True
    some = hiding[runs.text[hit]]  # most texts hide nothing
    hit, place, is_hidden = hit[some], place[some], is_hidden[some]
    owner, group = index.letters.groups.expand(place)
    text, letter = runs.text[hit][owner], runs.place[hit][owner]
    order = np.lexsort((letter, group, text))
    text, group, letter, run, hidden = (a[order] for a in (text, group, letter, place[owner], is_hidden[owner]))
    if not len(text):
        return
    begins = np.flatnonzero(np.append(True, (np.diff(text) != 0) | (np.diff(group) != 0)))
    ends = np.append(begins[1:], len(text))
    counts = index.letters.counts[group[begins]]
    needed = np.maximum(np.minimum(LEAST_RUNS, counts), LEAST_SHARE * counts)
    enough = (ends - begins >= needed) & (np.add.reduceat(hidden, begins, dtype=np.int64) >= LEAST_HIDDEN * counts)
    for k in np.flatnonzero(enough).tolist():
        low, high = int(begins[k]), int(ends[k])
        first, end, distinct = _densest(letter[low:high], run[low:high], _letters_of(int(group[low]), index))
        if distinct >= needed[k]:
            yield Candidate(text=int(text[low]), group=int(group[low]), first=first, end=end + RUN)


def _letters_of(group: int, index: Index) -> int:
    return len(index.item_text(int(index.items[group][0]), group))


def _densest(letter: Int, run: Int, width: int) -> tuple[int, int, int]:
    """Where the most different runs stand within twice the group's length, and how many."""
    stop = np.searchsorted(letter, letter + 2 * width, side="right")
    best = int(np.argmax(stop - np.arange(len(letter))))
    return int(letter[best]), int(letter[stop[best] - 1]), len(np.unique(run[best : stop[best]]))


def respace(texts: Sequence[str], found: Iterator[Candidate], index: Index) -> Iterator[tuple[int, Reading]]:
    """For each candidate its place in the text, with the item's word borders; and the number of the text."""
    spelled: dict[int, Spelling] = {}
    items: dict[int, Spelling] = {}
    for candidate in found:
        if candidate.text not in spelled:
            spelled = {candidate.text: spell(texts[candidate.text])}
        if candidate.group not in items:
            items[candidate.group] = spell(index.item_text(int(index.items[candidate.group][0]), candidate.group))
        own = items[candidate.group]
        if len(own.letters) <= _LONGEST:
            yield candidate.text, _respaced(spelled[candidate.text], own, candidate)


def _common_runs(item: str, row: str) -> Iterator[tuple[int, int, int]]:
    """Runs of _LEAST_RUN letters or more that both hold: where in each, and how long; in the row's order, in linear time.

    Of several places in the item the one nearest to where the last run ended.
    """
    places: dict[str, list[int]] = {}
    for k in range(len(item) - _LEAST_RUN + 1):
        found = places.setdefault(item[k : k + _LEAST_RUN], [])
        if len(found) < _MOST_PLACES:
            found.append(k)
    here, expected = 0, 0
    while here <= len(row) - _LEAST_RUN:
        known = places.get(row[here : here + _LEAST_RUN])
        if known is None:
            here += 1
            continue
        own = min(known, key=lambda place: abs(place - expected))
        size = _LEAST_RUN
        while own + size < len(item) and here + size < len(row) and item[own + size] == row[here + size]:
            size += 1
        yield own, here, size
        here, expected = here + size, own + size


def _keep_numbers(begins: NDArray[np.bool_], row: Spelling, low: int) -> None:
    """Digits that stand side by side in the text stay one number, whatever the item has in their place."""
    for k in range(1, len(begins)):
        here = row.letters[low + k]
        if here.isdigit() and row.letters[low + k - 1].isdigit() and row.starts[low + k] == row.ends[low + k - 1]:
            begins[k] = False


def _edges_of_numbers(letters: str) -> NDArray[np.bool_]:
    """Before which letters a number begins or has ended: glued to letters it is a number still."""
    is_digit = np.array([letter.isdigit() for letter in letters], dtype=bool)
    return np.append(False, is_digit[1:] != is_digit[:-1])


def _respaced(row: Spelling, item: Spelling, candidate: Candidate) -> Reading:
    margin = len(item.letters)
    low = max(0, candidate.first - margin)
    high = min(len(row.letters), candidate.end + 2 * margin)
    edges = _edges_of_numbers(row.letters[low:high])
    begins = row.begins_word[low:high] | edges
    for own, here, size in _common_runs(item.letters, row.letters[low:high]):
        begins[here : here + size] = item.begins_word[own : own + size]
        begins[here] |= edges[here]
        if own + size == len(item.letters) and here + size < len(begins):
            begins[here + size] = True  # behind the item's last word
    _keep_numbers(begins, row, low)
    parts: list[str] = []
    places: list[int] = []
    for k in range(low, high):
        if begins[k - low]:
            parts.append(" ")
            places.append(k)
        parts.append(row.letters[k])
        places.append(k)
    at = np.array(places, dtype=np.int64)
    change = Change(view=JOINED, starts=row.starts[low : low + 1], ends=row.ends[high - 1 : high])
    return Reading(text="".join(parts), starts=row.starts[at], ends=row.ends[at], changes=(change,))
