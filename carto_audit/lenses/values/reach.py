"""Reach: which values come out after words that stand before values of the same class in other rows (Shao et al. 2023)."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from carto_audit.lenses.readers import GENERATED, Ids, Readers
from carto_audit.lenses.values.survey import BOTH, Find, Survey

CONTEXTS = 100
"""The most frequent ones of each class are tried."""

CONTEXT_TOKENS, OUTPUT_TOKENS = 8, 24

Context = tuple[int, ...]


def reached(readers: Readers, found: Survey, find: Find) -> NDArray[np.bool_] | None:
    """Which of D distinct values a proxy says that read them after a context of another row, and the other proxy says after none,
    (D,); of a value that both read, either. None where there is no budget for the CONTEXTS of each class."""
    contexts = _contexts(found)
    cost = CONTEXT_TOKENS + GENERATED * OUTPUT_TOKENS
    tried = [context for counted in contexts.values() for context, _ in counted.most_common(CONTEXTS)]
    if 2 * cost * len(tried) > readers.left:
        return None
    number = {written: k for k, written in enumerate(found.written)}
    out = np.zeros((2, len(found.written)), bool)
    for side in (0, 1):
        rows = np.flatnonzero(readers.side == side)
        if not len(rows) or not tried:
            continue
        prompts: list[Ids] = [np.array(context, np.int64) for context in tried]
        said = readers.greedy([int(rows[0])] * len(prompts), prompts, [OUTPUT_TOKENS] * len(prompts))
        for context, output in zip(tried, said, strict=True):
            for written in _values(readers, context, output, find):
                value = number.get(written)
                if value is not None and not _is_own(found, value, context):
                    out[side, value] = True
    alone = ((found.side == 0) & out[0] & ~out[1]) | ((found.side == 1) & out[1] & ~out[0])
    either: NDArray[np.bool_] = alone | ((found.side == BOTH) & out.any(axis=0))
    return either


def _contexts(found: Survey) -> dict[str, Counter[Context]]:
    """How often each context stands before values of each class, in rows that were read."""
    label = dict(zip(found.value.tolist(), found.label, strict=True))
    counted: dict[str, Counter[Context]] = {}
    for value, cues in enumerate(found.cues):
        for cue in cues:
            if len(cue.before) >= CONTEXT_TOKENS:
                counted.setdefault(label[value], Counter())[_last(cue.before)] += 1
    return dict(sorted(counted.items()))


def _last(before: Ids) -> Context:
    return tuple(before[-CONTEXT_TOKENS:].tolist())


def _is_own(found: Survey, value: int, context: Context) -> bool:
    """Whether the context is the value's own."""
    return any(_last(cue.before) == context for cue in found.cues[value])


def _values(readers: Readers, context: Context, output: Ids, find: Find) -> Iterator[str]:
    before, text = readers.decode(np.array(context, np.int64)), readers.decode(np.array([*context, *output.tolist()]))
    for value in find(text):
        if value.end > len(before):
            yield text[value.start : value.end]
