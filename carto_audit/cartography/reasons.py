"""Reasons: why a sample is flagged, in the terms of the controls: how often a secret must occur to be memorized like it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.scores import Scores
from carto_audit.controls.controls import Controls
from carto_audit.text.numbers import times
from carto_audit.traces.trace import TokenLosses

Recall = Literal["recite", "reconstruct", "recollect"]
RECALLS: tuple[Recall, ...] = ("recite", "reconstruct", "recollect")

MOST_RECOLLECTED = 5
"""Copies. A text with more is recited (Prashanth et al., "Recite, Reconstruct, Recollect", ICLR 2025)."""

KNOWN_PERCENTILE = 25
"""An unseen reader that finds a sample easier than this percentile of the batch nearly knows it: a template."""

NO_RECALL = -1

MOST_SHOWN = 50
"""Samples that a report shows; the Parquet files hold all."""

FEWEST_OF_KIND = 10
"""Of each kind of recall that there is, so that many recited samples do not hide the few recollected ones."""

AROUND = 40
"""Tokens on either side of a span whose heat is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why each flagged sample is flagged, (N,). `recall` holds codes into RECALLS, NO_RECALL where not flagged; `copies`
    how often its span occurs, or the sample itself; `equivalent_dose` how often a planted secret occurs that is
    memorized as strongly, NaN where unknown, never beyond the lowest and highest dose of `ruler`."""

    recall: NDArray[np.int8]
    copies: NDArray[np.int64]
    equivalent_dose: NDArray[np.float64]
    ruler: Mapping[int, float]

    def words(self, i: int) -> str:
        """One clause on sample `i`; empty where it is not flagged."""
        if self.recall[i] == NO_RECALL:
            return ""
        copies = int(self.copies[i])
        return {
            "recite": f"recited: this text occurs {times(copies)}",
            "reconstruct": "reconstructed: a template that an unseen proxy nearly knows",
            "recollect": f"recollected: this text occurs {times(copies)}",
        }[RECALLS[self.recall[i]]] + (f"; {dose}" if (dose := self.dose_words(i)) else "")

    def dose_words(self, i: int) -> str:
        """`memorized like a secret that occurs about 9 times`; empty where no control says."""
        dose = float(self.equivalent_dose[i])
        if not np.isfinite(dose):
            return ""
        lowest, highest = min(self.ruler), max(self.ruler)
        if dose <= lowest:
            return f"memorized at most like a secret that occurs {times(lowest)}"
        if dose >= highest:
            return f"memorized at least like a secret that occurs {times(highest)}"
        return f"memorized like a secret that occurs about {times(round(dose))}"


def give_reasons(
    scores: Scores, score: str, flagged: NDArray[np.bool_], cluster_size: NDArray[np.int64], ruler: Mapping[int, float]
) -> Reasons:
    """The kind of recall, the copies and the control-equivalent dose of every flagged sample. `ruler` gives the median
    score of the controls by dose."""
    copies = np.maximum(np.maximum(scores.span_copies, cluster_size), 1)
    unseen = scores.loss_out[np.isfinite(scores.loss_out)]
    known = scores.loss_out < (np.percentile(unseen, KNOWN_PERCENTILE) if len(unseen) else -np.inf)
    recall = np.where(copies > MOST_RECOLLECTED, 0, np.where(known, 1, 2))
    return Reasons(
        recall=np.where(flagged, recall, NO_RECALL).astype(np.int8),
        copies=copies,
        equivalent_dose=equivalent_dose(scores.memorization(score), ruler),
        ruler=ruler,
    )


def control_ruler(planted: NDArray[np.float64], controls: Controls) -> dict[int, float]:
    """The median score of the planted controls by dose, ascending."""
    doses = np.unique(controls.dose[controls.dose > 0])
    found = {int(dose): planted[(controls.dose == dose) & np.isfinite(planted)] for dose in doses}
    return {dose: float(np.median(values)) for dose, values in found.items() if len(values)}


def equivalent_dose(values: NDArray[np.float64], ruler: Mapping[int, float]) -> NDArray[np.float64]:
    """How often a secret occurs that scores as high, (N,), read off the ruler on a logarithmic scale of doses. NaN where
    the ruler has less than two doses, or does not rise."""
    doses = sorted(ruler)
    marks = np.array([ruler[dose] for dose in doses])
    if len(doses) < 2 or (np.diff(marks) <= 0).any():
        return np.full(len(values), np.nan)
    exponent = np.interp(values, marks, np.log2(doses))
    return np.where(np.isfinite(values), 2.0**exponent, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """The tokens around a sample's span: where each stands in the text, [start, end) in characters (T, 2), and the share of
    its loss that training on the sample removed, 0 to 1 (T,)."""

    offsets: NDArray[np.int64]
    share: NDArray[np.float64]


def riskiest(memorization: NDArray[np.float64], group: NDArray[np.int64], recall: NDArray[np.int8]) -> list[int]:
    """The samples that a report shows, (<= MOST_SHOWN,), of those that are flagged, by memorization and one per kinship
    group: the highest of all, but room for FEWEST_OF_KIND of each kind of recall."""
    order = np.argsort(-np.where(np.isfinite(memorization), memorization, -np.inf), kind="stable")
    order = order[np.isfinite(memorization[order]) & (recall[order] != NO_RECALL)]
    _, first = np.unique(group[order], return_index=True)
    ranked = order[np.sort(first)]
    kinds = [ranked[recall[ranked] == code][:FEWEST_OF_KIND] for code in range(len(RECALLS))]
    reserved = np.concatenate(kinds)
    others = ranked[~np.isin(ranked, reserved)][: MOST_SHOWN - len(reserved)]
    chosen = np.isin(ranked, np.concatenate([reserved, others]))
    return [int(i) for i in ranked[chosen]]


def heats(
    chosen: Sequence[int], scores: Scores, tokens: TokenLosses, offsets: Mapping[int, NDArray[np.int64]]
) -> dict[int, Heat]:
    """What lights up around the spans of some samples. `offsets` gives the character offsets of all tokens of each."""
    found = {}
    for i in chosen:
        if i not in offsets:
            continue
        low, high = max(0, int(scores.span_first[i]) - AROUND), int(scores.span_last[i]) + 1 + AROUND
        begin = int(tokens.offsets[i])
        end = min(begin + high, int(tokens.offsets[i + 1]))
        unseen = tokens.loss_out[begin + low : end].astype(np.float64)
        gain = unseen - tokens.loss_in[begin + low : end]
        share = np.clip(gain / np.maximum(unseen, 1.0), 0.0, 1.0)
        found[i] = Heat(offsets=offsets[i][low : low + len(share)], share=share)
    return found
