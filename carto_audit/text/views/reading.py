"""Reading: a text as a view shows it, with the way back: where in the delivered text every character came from."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one view did: its name, and the delivered characters that it touched, (changes,) each."""

    view: str
    starts: Int
    ends: Int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """A derived text. Its character `k` stands for the delivered ones `starts[k]` to `ends[k]`, both (characters,)."""

    text: str
    starts: Int
    ends: Int
    changes: tuple[Change, ...] = ()

    @classmethod
    def of(cls, text: str) -> "Reading":
        """The delivered text as it is."""
        places = np.arange(len(text), dtype=np.int64)
        return cls(text=text, starts=places, ends=places + 1)

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The delivered characters that a span of this text came from."""
        if start >= end:
            return (0, 0)
        return int(self.starts[start:end].min()), int(self.ends[start:end].max())

    def views_of(self, start: int, end: int) -> tuple[str, ...]:
        """The views that had a part in a span of the delivered text, in the order in which they were applied."""
        found = [c.view for c in self.changes if ((c.starts < end) & (c.ends > start)).any()]
        return tuple(dict.fromkeys(found))

    def is_within(self, spans: Iterable[tuple[int, int]]) -> bool:
        """Whether all that the views touched lies within some spans of the delivered text."""
        for change in self.changes:
            inside = np.zeros(len(change.starts), dtype=bool)
            for start, end in spans:
                inside |= (change.starts >= start) & (change.ends <= end)
            if not inside.all():
                return False
        return True

    def replaced(self, view: str, edits: Iterable[tuple[int, int, str]]) -> "Reading":
        """Another reading in which some spans of this one are other text. The edits are in order and do not overlap."""
        done = [edit for edit in edits if edit[0] < edit[1] and edit[2] != self.text[edit[0] : edit[1]]]
        if not done:
            return self
        spans = np.array([edit[:2] for edit in done], dtype=np.int64)
        low, high = self._sources(spans)
        text: list[str] = []
        starts: list[Int] = []
        ends: list[Int] = []
        place = 0
        for k, (begin, end, new) in enumerate(done):
            text += (self.text[place:begin], new)
            starts += (self.starts[place:begin], low[k : k + 1].repeat(len(new)))
            ends += (self.ends[place:begin], high[k : k + 1].repeat(len(new)))
            place = end
        return Reading(
            text="".join([*text, self.text[place:]]),
            starts=np.concatenate([*starts, self.starts[place:]]),
            ends=np.concatenate([*ends, self.ends[place:]]),
            changes=(*self.changes, Change(view=view, starts=low, ends=high)),
        )

    def _sources(self, spans: Int) -> tuple[Int, Int]:
        """`source` of many spans that are in order, not empty and do not overlap."""
        edges = spans.ravel()
        low = np.minimum.reduceat(np.append(self.starts, 0), edges)[::2]
        high = np.maximum.reduceat(np.append(self.ends, 0), edges)[::2]
        return low, high

    def moved_behind(self, view: str, parts: Iterable[tuple[int, int, int, int]]) -> "Reading":
        """Another reading without some spans, in order, of each of which a part stands behind all of the text instead.

        A span and its part are four places: where the span begins and ends, and where the part does.
        """
        parts = list(parts)
        kept = self.replaced(view, [(begin, end, "") for begin, end, *_ in parts])
        held = [np.arange(first, last) for *_, first, last in parts if last > first]
        if kept is self or not held:
            return kept
        places = np.concatenate([np.append(part[:1], part) for part in held])  # a space before each
        moved = "".join(f" {self.text[part[0] : part[-1] + 1]}" for part in held)
        return Reading(
            text=kept.text + moved,
            starts=np.concatenate([kept.starts, self.starts[places]]),
            ends=np.concatenate([kept.ends, self.ends[places]]),
            changes=kept.changes,
        )

    def reordered(self, view: str, places: Int, text: str, touched: tuple[int, int]) -> "Reading":
        """Another reading whose characters `text` stand for those of this one at `places`."""
        source = self.source(*touched)
        change = Change(view=view, starts=np.array([source[0]]), ends=np.array([source[1]]))
        return Reading(text=text, starts=self.starts[places], ends=self.ends[places], changes=(*self.changes, change))

    def substituted(self, view: str, pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str]) -> "Reading":
        """Every match of a pattern replaced by a text, or by what a function makes of it."""
        make = by if callable(by) else lambda match: by
        return self.replaced(view, [(m.start(), m.end(), make(m)) for m in pattern.finditer(self.text)])

    def unwrapped(self, view: str, pattern: re.Pattern[str]) -> "Reading":
        """Of every match of a pattern only its first group is left, each character where it stood."""
        edits: list[tuple[int, int, str]] = []
        for match in pattern.finditer(self.text):
            edits += [(match.start(), match.start(1), ""), (match.end(1), match.end(), "")]
        return self.replaced(view, edits)


def line_matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """The matches that begin where a line begins, from left to right. They cost a look per line, not one per character."""
    place = begin = 0
    while begin >= 0:
        match = pattern.match(text, begin) if begin >= place else None
        if match is not None:
            yield match
            place = match.end()
        begin = text.find("\n", begin) + 1 or -1
