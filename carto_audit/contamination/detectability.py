"""Detectability: what this configuration can find at all: items are planted into filler and looked for, in many forms.

Costs a millisecond or two per item and form, once, when the index is built.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Int
from carto_audit.benchmarks.index import QUESTION, Index
from carto_audit.contamination.disguises.honest import DISGUISES
from carto_audit.contamination.tiers import SUSPECTED
from carto_audit.runtime.progress import SILENT, Advance, Progress
from carto_audit.text.words import word_spans

FORMS = ("alone", "embedded", "rewrapped", "recased", "with_options")
"""The question by itself; inside a paragraph; the same in lines of eight words, and in capitals; and, inside a paragraph,
the question with its options, without which a wording that several items share names none of them."""

QUESTION_FORMS = FORMS[:4]
"""The forms that show nothing but the question: an item counts as detectable when it is found in all of them."""

QUICK_FORMS = ("embedded",)
"""What an audit without a built index can afford: the hardest of the question forms, at a quarter of the time."""

DISGUISED = 100
"""Items of each benchmark that are planted in disguises, spread evenly: a share is known to within a few per cent."""

_LINE = 8  # words
_PLANTS_AT_ONCE = 2000
_BEFORE = "The committee met again on the second floor and, before the harbour lights came on, somebody read aloud"
_AFTER = "while the others folded their maps, counted the lanterns and waited for the last ferry to leave"


class Found(Protocol):
    """What a finder says about one place: the text's number, the item, its group and the tier."""

    @property
    def row(self) -> int: ...
    @property
    def item(self) -> int: ...
    @property
    def group(self) -> int: ...
    @property
    def tier(self) -> int: ...


Finder = Callable[[list[str], Index], Sequence[Found]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectability:
    """Which items were found as `suspected` or surer when planted: (forms, items), in the order of `forms`.

    `disguised` has for each benchmark the share found, 0..1, in each of DISGUISES; no more than DISGUISED items were tried.
    An item with a passage was planted with it.
    """

    forms: tuple[str, ...]
    found: NDArray[np.bool_]
    disguised: tuple[dict[str, float], ...]

    @property
    def detectable(self) -> NDArray[np.bool_]:
        """Which items are found from their question alone, in every form that was tried: (items,)."""
        asked = [form in QUESTION_FORMS for form in self.forms]
        return np.asarray(self.found[asked].all(axis=0))

    def shares(self, index: Index, benchmark: int) -> dict[str, float]:
        """The same as `by_form`, and `detectable` for all question forms."""
        own = index.item_benchmark == benchmark
        return self.by_form(index, benchmark) | {"detectable": _share(self.detectable[own])}

    def by_form(self, index: Index, benchmark: int) -> dict[str, float]:
        """The share of one benchmark's items that is found, 0..1, by form."""
        own = index.item_benchmark == benchmark
        return {form: _share(found[own]) for form, found in zip(self.forms, self.found, strict=True)}

    def lowest_share(self, index: Index) -> float:
        """The smallest detectable share of any benchmark: what `contamination.min_detectability` limits."""
        return min(_share(self.detectable[index.item_benchmark == k]) for k in range(len(index.benchmarks)))


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def measure_detectability(
    index: Index, find: Finder, progress: Progress = SILENT, forms: Sequence[str] = FORMS
) -> Detectability:
    """Plants every question in every form and looks for it with `find`. Items without a question are never found."""
    found = {form: np.zeros(len(index.item_benchmark), dtype=bool) for form in forms}
    groups = np.flatnonzero((index.component == QUESTION) & (np.diff(index.words.offsets) > 0))
    asked = [form for form in forms if form in QUESTION_FORMS]
    whole = list(_whole(index, groups))
    tried = [_spread(whole, index, number) for number in range(len(index.benchmarks))]
    listed = list(_listed(index, groups)) if "with_options" in forms else []
    plants = len(whole) * len(asked) + len(listed) + len(DISGUISES) * sum(map(len, tried))
    with progress.task("Planting benchmark items", plants, "plants") as advance:
        for start in range(0, len(whole), _PLANTS_AT_ONCE):
            part = whole[start : start + _PLANTS_AT_ONCE]
            for form in asked:
                texts = [_plant(item.text, form) for item in part]
                _look(found[form], texts, [item.group for item in part], [item.members for item in part], index, find)
                advance(len(part))
        for start in range(0, len(listed), _PLANTS_AT_ONCE):
            options = listed[start : start + _PLANTS_AT_ONCE]
            texts = [_plant(text, "embedded") for text, _ in options]
            _look(found["with_options"], texts, None, [members for _, members in options], index, find)
            advance(len(options))
        disguised = [_find_disguised(some, index, find, advance) for some in tried]
    return Detectability(
        forms=tuple(forms), found=np.array(list(found.values()), dtype=bool), disguised=tuple(disguised)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planted:
    """A question, behind its passage where it has one, and the items that it is the whole of."""

    text: str
    group: int
    members: Int


def _whole(index: Index, groups: Int) -> Iterator[_Planted]:
    passages = [benchmark.items["passage"] for benchmark in index.benchmarks]
    for group in groups.tolist():
        alike: dict[str, list[int]] = {}
        for item in index.items[group].tolist():
            passage = passages[index.item_benchmark[item]][int(index.item_row[item])].as_py()
            alike.setdefault(passage or "", []).append(item)
        for passage, items in alike.items():
            text = "\n".join(part for part in (passage, index.item_text(items[0], group)) if part)
            yield _Planted(text=text, group=group if not passage else -1, members=np.array(items, dtype=np.int64))


def _spread(planted: Sequence[_Planted], index: Index, benchmark: int) -> list[_Planted]:
    """DISGUISED of one benchmark's questions at most, spread over it."""
    own = [item for item in planted if (index.item_benchmark[item.members] == benchmark).any()]
    return [own[k * len(own) // DISGUISED] for k in range(DISGUISED)] if len(own) > DISGUISED else own


def _find_disguised(planted: list[_Planted], index: Index, find: Finder, advance: Advance) -> dict[str, float]:
    shares = {}
    for form, disguise in DISGUISES.items():
        found = np.zeros(len(index.item_benchmark), dtype=bool)
        texts = [_plant(disguise(item.text), "embedded") for item in planted]
        _look(found, texts, [item.group for item in planted], [item.members for item in planted], index, find)
        shares[form] = float(np.mean([found[item.members].any() for item in planted])) if planted else 0.0
        advance(len(planted))
    return shares


def _look(
    found: NDArray[np.bool_],
    texts: list[str],
    groups: Sequence[int] | None,
    members: Sequence[Int],
    index: Index,
    find: Finder,
) -> None:
    """Marks the members of each text that was recognized: by its group where only a question was planted."""
    for match in find(texts, index):
        if match.tier < SUSPECTED:
            continue
        own = members[match.row]
        if (groups is not None and match.group == groups[match.row]) or match.item in own:
            found[own] = True


def _listed(index: Index, groups: Int) -> Iterator[tuple[str, Int]]:
    """Each question with its options, where it has some, and the items that have just these."""
    columns = [benchmark.items["choices"] for benchmark in index.benchmarks]
    for group in groups.tolist():
        alike: dict[tuple[str, ...], list[int]] = {}
        for item in index.items[group].tolist():
            options = columns[index.item_benchmark[item]][int(index.item_row[item])].as_py() or ()
            alike.setdefault(tuple(options), []).append(item)
        for options, items in alike.items():
            lines = [f"({chr(ord('A') + k % 26)}) {option}" for k, option in enumerate(options)]
            yield "\n".join([index.item_text(items[0], group), *lines]), np.array(items, dtype=np.int64)


def _plant(question: str, form: str) -> str:
    if form == "alone":
        return question
    if form == "recased":
        question = question.upper()
    text = f"{_BEFORE} {question} {_AFTER}"
    return rewrap(text, _LINE) if form == "rewrapped" else text


def rewrap(text: str, width: int) -> str:
    """The same words in lines of `width`. A run without spaces, as in Chinese, is broken between its characters."""
    pieces = [part for piece in text.split() for part in _parts(piece, width)]
    return "\n".join(" ".join(pieces[k : k + width]) for k in range(0, len(pieces), width))


def _parts(piece: str, width: int) -> Iterator[str]:
    starts = word_spans(piece)[:, 0].tolist() if len(piece) > width else []
    if len(starts) <= width:
        yield piece
        return
    cuts = [0, *starts[width::width], len(piece)]
    yield from (piece[low:high] for low, high in zip(cuts, cuts[1:], strict=False))
