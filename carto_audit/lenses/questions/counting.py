"""Counting: what the asked questions say of all question rows, with bounds for those that nobody asked."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.lenses.values.survey import most_of
from carto_audit.policy.metrics import Measurement


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """Of the D distinct questions of a batch, (D,): `rows` and `tokens` that each takes; `drawn`, whether it had its turn;
    `asked`, whether the proxies were asked then; `sticky`."""

    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]
    drawn: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    sticky: NDArray[np.bool_]

    def rote(self, sizes: NDArray[np.int64], total: int) -> Measurement:
        """The share of `total` that rote questions take, each as much as its size says: at least those that are seen. At most
        also every one that was drawn and not asked, and of those that were not drawn as many as chance leaves, the largest."""
        if not total or not len(sizes):
            return Measurement.exact(0.0)
        unclear = self.drawn & ~self.asked
        seen = int((self.sticky | unclear).sum())
        more = most_of(len(sizes), int(self.drawn.sum()), seen) - seen
        rest = np.sort(sizes[~self.drawn])[::-1]
        low = sizes[self.sticky].sum() / total
        high = min(1.0, low + (sizes[unclear].sum() + rest[:more].sum()) / total)
        asked = sizes[self.asked].sum()
        likely = sizes[self.sticky].sum() / asked * sizes.sum() / total if asked else low
        return Measurement(value=float(np.clip(likely, low, high)), low=float(low), high=float(high))


def count_questions(columns: pa.Table, n_tokens: NDArray[np.int64]) -> Counted:
    """What the columns of the lens say of each distinct question, those of plants taken out."""
    has = columns["question"].to_numpy()
    number = columns["number"].drop_null().to_numpy()
    _, first, member = np.unique(number, return_index=True, return_inverse=True)
    sticky = columns["sticky"].filter(pa.array(has)).take(pa.array(first))
    return Counted(
        rows=np.bincount(member, minlength=len(first)).astype(np.int64),
        tokens=np.bincount(member, weights=n_tokens[has], minlength=len(first)).astype(np.int64),
        drawn=columns["drawn"].filter(pa.array(has)).take(pa.array(first)).to_numpy(zero_copy_only=False).astype(bool),
        asked=sticky.is_valid().to_numpy(zero_copy_only=False).astype(bool),
        sticky=sticky.fill_null(False).to_numpy(zero_copy_only=False).astype(bool),
    )
