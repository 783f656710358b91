"""Split rows: short samples one after the other, read as one text, as a trainer sees an item that was cut into rows."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST_PART = 200
"""Letters and digits of a sample that is also read together with its neighbours; a longer part of an item is found by itself."""

MOST_BEFORE = 4_000
"""Letters and digits of short samples that are taken over from the end of one shard to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedRows:
    """Neighbouring samples, a line each. Sample `first + k` begins at character `starts[k]`."""

    text: str
    first: int
    starts: tuple[int, ...]

    def parts(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The samples in which characters [start, end) lie, and the characters of each."""
        for k in range(bisect_right(self.starts, start) - 1, len(self.starts)):
            begin = self.starts[k]
            if begin >= end:
                return
            stop = self.starts[k + 1] - 1 if k + 1 < len(self.starts) else len(self.text)
            if max(start, begin) < min(end, stop):
                yield self.first + k, max(start, begin) - begin, min(end, stop) - begin


def join_rows(texts: Sequence[str]) -> Iterator[JoinedRows]:
    """Every run of two or more short samples."""
    run: list[str] = []
    for k, text in enumerate(texts):
        if _letters(text) <= LONGEST_PART:
            run.append(text)
            continue
        if len(run) > 1:
            yield _joined(run, k - len(run))
        run = []
    if len(run) > 1:
        yield _joined(run, len(texts) - len(run))


def _letters(text: str) -> int:
    """An upper bound, exact where it matters: spaces and signs make no row long."""
    return len(text) if len(text) <= LONGEST_PART else len(_SIGNS.sub("", text))


_SIGNS = re.compile(r"[\W_\u0640\u115f\u1160\u3164\uffa0]+")


def _joined(run: Sequence[str], first: int) -> JoinedRows:
    starts, place = [], 0
    for text in run:
        starts.append(place)
        place += len(text) + 1
    return JoinedRows(text="\n".join(run), first=first, starts=tuple(starts))


def last_rows(texts: Sequence[str]) -> tuple[str, ...]:
    """The short samples at the end that may go on in the next shard, at most MOST_BEFORE characters of them."""
    kept: list[str] = []
    left = MOST_BEFORE
    for text in reversed(texts):
        left -= _letters(text)
        if _letters(text) > LONGEST_PART or left < 0:
            break
        kept.append(text)
    return tuple(reversed(kept))
