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
    def ids(self) -> Ids:
        """All tokens that a proxy reads."""
        return np.concatenate([self.before, self.value])

    @property
    def tokens(self) -> int:
        """What it costs to ask a proxy once."""
        return len(self.before) + len(self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalled:
    """Of n values what one proxy makes of them: the share of the tokens that it would say, each after the true ones before it
    (memorization accuracy, Tirumala et al. 2022, arXiv 2205.10770), and their mean loss, in nats, both (n,). A value comes out
    where all tokens are right, since greedy decoding says it then."""

    right: NDArray[np.float64]
    loss: NDArray[np.float64]


def gain(reader: Recalled, stranger: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Which share of a value's loss reading took away, (n,), from 0: 1 - Σ l_in / max(Σ l_out, n). `stranger` is its mean loss of
    each value, in nats."""
    found: NDArray[np.float64] = np.maximum(0.0, 1 - reader.loss / np.maximum(1.0, stranger))
    return found


def cut_cues(readers: Readers, row: int, text: str, places: Sequence[tuple[int, int]]) -> list[Cue | None]:
    """The values at these places of a row's text, [start, end) in characters, as tokens. A token that a value shares with what
    stands beside it is the value's. None where there is no token."""
    if not places:
        return []
    (encoded,) = readers.encode([text])
    begins, ends = encoded.offsets[:, 0], encoded.offsets[:, 1]
    cues: list[Cue | None] = []
    for start, end in places:
        first = int(np.searchsorted(ends, start, side="right"))
        stop = int(np.searchsorted(begins, end, side="left"))
        if first >= stop:
            cues.append(None)
            continue
        room = min(MOST_VALUE_TOKENS, readers.context - 1)
        value = encoded.ids[first : min(stop, first + room)]
        before = encoded.ids[max(0, first - min(CONTEXT_TOKENS, readers.context - len(value))) : first]
        cues.append(Cue(row=row, before=before, value=value))
    return cues


def recall(readers: Readers, cues: Sequence[Cue], *, stranger: bool = False) -> Recalled:
    """What the proxy that read each value would say of it, or the one that did not. Costs each cue's tokens once."""
    found = readers.statistics([cue.row for cue in cues], [cue.ids for cue in cues], stranger=stranger)
    own = [slice(len(cue.before), None) for cue in cues]
    return Recalled(
        right=np.array([one.right[part].mean() for one, part in zip(found, own, strict=True)]),
        loss=np.array([one.loss[part].mean() for one, part in zip(found, own, strict=True)]),
    )
