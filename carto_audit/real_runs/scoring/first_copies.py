"""First copies: in a run of one epoch a passage is unseen in the row that is read first, and in no later one."""

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.spans import WINDOW
from carto_audit.real_runs.reading.run_samples import RunSamples

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def first_copies(samples: RunSamples, step: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every token of the S samples the place, in the flat ids, of the token that stands for it: the same in the row that was
    visited first of all with the same run of WINDOW tokens around it. `step` (S,) is that of each first visit, -1 without one.

    A token in several such runs is stood for by the earliest row."""
    total = len(samples.ids)
    place = np.arange(total)
    owner = np.repeat(np.arange(len(samples)), samples.n_tokens)
    if total < WINDOW:
        return place
    starts = np.arange(total - WINDOW + 1)
    inside = (owner[starts] == owner[starts + WINDOW - 1]) & (step[owner[starts]] >= 0)
    starts = starts[inside]
    if not len(starts):
        return place
    code = _codes(samples.ids)[starts]
    order = np.lexsort((starts, step[owner[starts]], code))
    starts, code = starts[order], code[order]
    fresh = np.append(True, code[1:] != code[:-1])
    lead = starts[fresh][np.cumsum(fresh) - 1]
    earlier = step[owner[lead]] < step[owner[starts]]
    starts, lead = starts[earlier], lead[earlier]
    best = step[owner].astype(np.int64)
    for k in range(WINDOW):
        sooner = step[owner[lead]] < best[starts + k]
        at = starts[sooner] + k
        best[at], place[at] = step[owner[lead[sooner]]], lead[sooner] + k
    return place


def _codes(ids: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """A 64-bit number for every run of WINDOW tokens, (total - WINDOW + 1,)."""
    count = len(ids) - WINDOW + 1
    code = np.zeros(count, np.uint64)
    for k in range(WINDOW):
        code = code * _MULTIPLIER + ids[k : k + count].astype(np.uint64) + np.uint64(1)
    return code
