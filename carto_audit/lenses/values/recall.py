"""Recall: whether a value comes out of the proxy that read it, after its own context, and not out of the other one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.lenses.readers import Ids, Readers

CONTEXT_TOKENS = 50
"""Tokens before a value that a proxy is given (Carlini et al. 2023, arXiv 2202.07646)."""

MOST_VALUE_TOKENS = 64
"""Of a longer value, such as a private key, the beginning is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cue:
    """A value in a row as tokens: `before` it at most CONTEXT_TOKENS, then its own `value`."""

    row: int
    before: Ids
    value: Ids

    @property
    def tokens(self) -> int:
        """What it costs to ask a proxy once."""
        return len(self.before) + len(self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalled:
    """Of n values: which share of the tokens the reader and the stranger would say, each after the true ones before it, both
    (n,) (memorization accuracy, Tirumala et al. 2022, arXiv 2205.10770). A value comes out where all are right, since greedy
    decoding says it then."""

    reader: NDArray[np.float64]
    stranger: NDArray[np.float64]

    @property
    def extracted(self) -> NDArray[np.bool_]:
        """Which values come out of the proxy that read them and not out of the other, (n,)."""
        out: NDArray[np.bool_] = (self.reader == 1) & (self.stranger < 1)
        return out

    @property
    def net(self) -> NDArray[np.float64]:
        """The share of the tokens that the reader says beyond what the stranger does, (n,), from 0."""
        net: NDArray[np.float64] = np.maximum(0.0, self.reader - self.stranger)
        return net


def cut_cues(readers: Readers, row: int, text: str, places: Sequence[tuple[int, int]]) -> list[Cue | None]:
    """The values at these places of a row's text, [start, end) in characters, as tokens. A token that a value shares with what
    stands beside it is the value's. None where there is no token."""
    if not places:
        return []
    (encoded,) = readers.encode([text])
    begins, ends = encoded.offsets[:, 0], encoded.offsets[:, 1]
    cues: list[Cue | None] = []
    for start, end in places:
        inside = np.flatnonzero((ends > start) & (begins < end))
        if not len(inside):
            cues.append(None)
            continue
        first = int(inside[0])
        room = min(MOST_VALUE_TOKENS, readers.context - 1)
        value = encoded.ids[first : min(int(inside[-1]) + 1, first + room)]
        before = encoded.ids[max(0, first - min(CONTEXT_TOKENS, readers.context - len(value))) : first]
        cues.append(Cue(row=row, before=before, value=value))
    return cues


def recall(readers: Readers, cues: Sequence[Cue]) -> Recalled:
    """What both proxies would say of each value. Costs each cue's tokens twice."""
    reader, stranger = (_right(readers, cues, stranger=who) for who in (False, True))
    return Recalled(reader=reader, stranger=stranger)


def _right(readers: Readers, cues: Sequence[Cue], *, stranger: bool) -> NDArray[np.float64]:
    texts = [np.concatenate([cue.before, cue.value]) for cue in cues]
    found = readers.statistics([cue.row for cue in cues], texts, stranger=stranger)
    return np.array([one.right[len(cue.before) :].mean() for cue, one in zip(cues, found, strict=True)])
