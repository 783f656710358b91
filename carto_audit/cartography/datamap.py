"""The map: two axes, two thresholds, four quadrants, and the mass in each. A sample on a threshold is below it."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.intervals import CONFIDENCE, around, combined, sampled_share
from carto_audit.cartography.proof import LineControls
from carto_audit.cartography.quadrants import MEMORIZED, QUADRANT_NAMES, UNMAPPED
from carto_audit.cartography.scores import Scores
from carto_audit.cartography.thresholds import Threshold
from carto_audit.text.numbers import times

_NONE = np.empty(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One way to set a threshold: its value on the axis, what set it in words, and the share of tokens above it.
    `fixed_share` says that this share is the same for every batch, by construction."""

    way: str
    value: float
    words: str
    flagged_share: float
    fixed_share: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A threshold as drawn: the strictest of its `cuts`. `interval` says where it might lie as well; both ends are the value
    where nothing was drawn at random to set it."""

    cuts: tuple[Cut, ...]
    interval: tuple[float, float]

    @property
    def drawn(self) -> Cut:
        """The cut that holds."""
        return min(self.cuts, key=lambda cut: cut.value)

    @property
    def value(self) -> float:
        """Where the line lies on its axis."""
        return self.drawn.value


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMap:
    """`quadrant` (N,) holds codes into QUADRANT_NAMES, UNMAPPED where a sample was not trained on; `at_ends` what they would be
    at either end of the memorization line's interval. `score` is that of the vertical axis."""

    score: str
    quadrant: NDArray[np.int8]
    at_ends: tuple[NDArray[np.int8], NDArray[np.int8]]
    difficulty: Line
    memorization: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """What lies in one part of the map: rows and tokens, their shares, and the interval of the shares: over the rows that were
    drawn, the secrets that set the line, and the seed."""

    rows: int
    tokens: int
    row_share: float
    token_share: float
    row_interval: tuple[float, float]
    token_interval: tuple[float, float]


def draw_map(
    scores: Scores,
    n_tokens: NDArray[np.int64],
    score: str,
    rules: tuple[Threshold, Threshold],
    controls: LineControls | None,
    reference: Scores | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> DataMap | None:
    """Sets the thresholds of difficulty and memorization by their `rules`, and partitions the samples.

    None when a threshold cannot be set: the score was not measured, or no control of the demanded dose was planted.
    """
    hard, memorized = scores.difficulty, scores.memorization(score)
    trusted = (reference.difficulty, reference.memorization(score)) if reference else (_NONE, _NONE)
    d_line = _line(rules[0], hard, n_tokens, Yardstick(reference=trusted[0]))
    m_line = _line(rules[1], memorized, n_tokens, Yardstick(controls=controls, reference=trusted[1]))
    if d_line is None or m_line is None:
        return None
    if controls is not None and m_line.drawn.way == "control_dose":
        m_line = replace(m_line, interval=controls.interval(confidence, seed))
    quadrant, low, high = (partition(hard, memorized, d_line.value, at) for at in (m_line.value, *m_line.interval))
    return DataMap(score=score, quadrant=quadrant, at_ends=(low, high), difficulty=d_line, memorization=m_line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What thresholds are set by, beside the batch: controls, None where none was planted, and the scores of a trusted
    slice."""

    controls: LineControls | None = None
    reference: NDArray[np.float64] = field(default_factory=lambda: _NONE)


def cut(rule: Threshold, way: str, values: NDArray[np.float64], by: Yardstick) -> tuple[float, str] | None:
    """The threshold on an axis by one of a rule's ways, and in words what set it. None when nothing was measured to set it
    by."""
    given = getattr(rule, way)
    if way == "absolute":
        return given, "fixed by the policy"
    if way == "control_dose":
        return _control_cut(by.controls) if by.controls else None
    own = way == "percentile"
    measured = _finite(values if own else by.reference)
    words = f"percentile {given:g} of {'this batch, so a fixed share lies above' if own else 'the trusted reference'}"
    return (float(np.percentile(measured, given)), words) if len(measured) else None


def _control_cut(controls: LineControls) -> tuple[float, str]:
    often = f"secrets planted {times(controls.dose)}"
    if controls.line > controls.reached:
        return controls.line, f"exceeded by nine in ten {often}"
    return (
        controls.line,
        f"what ordinary text reaches; fewer than nine in ten {often} exceed it",
    )


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    finite: NDArray[np.float64] = values[np.isfinite(values)]
    return finite


def partition(
    difficulty: NDArray[np.float64], memorization: NDArray[np.float64], tau_d: float, tau_m: float
) -> NDArray[np.int8]:
    """Codes into QUADRANT_NAMES, (N,), by the paper's rules: d > tau_d is hard (bit 0), m > tau_m is memorized (bit 1)."""
    codes = (difficulty > tau_d).astype(np.int8) + 2 * (memorization > tau_m).astype(np.int8)
    known = np.isfinite(difficulty) & np.isfinite(memorization)
    return np.where(known, codes, UNMAPPED).astype(np.int8)


def _line(rule: Threshold, values: NDArray[np.float64], n_tokens: NDArray[np.int64], by: Yardstick) -> Line | None:
    known = np.isfinite(values)
    found = [(way, cut(rule, way, values, by)) for way in rule.ways]
    if not known.any() or any(place is None for _, place in found):
        return None
    total = max(1, n_tokens[known].sum())
    cuts = tuple(
        Cut(
            way=way,
            value=place[0],
            words=place[1],
            flagged_share=float(n_tokens[known & (values > place[0])].sum() / total),
            fixed_share=way == "percentile",
        )
        for way, place in found
        if place is not None
    )
    lowest = min(cut.value for cut in cuts)
    return Line(cuts=cuts, interval=(lowest, lowest))


def masses(
    datamap: DataMap,
    n_tokens: NDArray[np.int64],
    group: NDArray[np.int64],
    mappable: int,
    seed: int,
    *,
    weight: NDArray[np.float64] | None = None,
    spread: float = 0.0,
    confidence: float = CONFIDENCE,
) -> dict[str, Mass]:
    """The mass of each quadrant, and of `memorized` (both above the memorization threshold).

    Shares are of the mapped samples, each of which stands for `weight` (N,) like it. An interval has three reasons: where these
    hold fewer tokens than the `mappable` ones of the batch, kinship groups are resampled, narrowed as the sample nears the
    whole (finite population correction); the line might lie elsewhere; and with another seed a share m may differ by
    `spread` times the root of m (1 - m).
    """
    mapped = datamap.quadrant != UNMAPPED
    tokens, kin = n_tokens[mapped], np.unique(group[mapped], return_inverse=True)[1]
    stands = np.ones(len(tokens)) if weight is None else weight[mapped]
    unseen = max(0.0, 1 - float(tokens.sum()) / max(1, mappable))
    found = {}
    for name, wanted in _MASSES.items():
        inside, *at_ends = (np.isin(codes[mapped], wanted) for codes in (datamap.quadrant, *datamap.at_ends))
        shares: list[tuple[float, tuple[float, float]]] = []
        for of in (stands, stands * tokens):
            share, *ends = (float((of * part).sum() / max(1.0, of.sum())) for part in (inside, *at_ends))
            rows = sampled_share(share, inside, of, kin, unseen, seed, confidence)
            shares.append((share, combined(share, rows, (min(ends), max(ends)), around(share, spread))))
        (row_share, row_interval), (token_share, token_interval) = shares
        found[name] = Mass(
            rows=int(inside.sum()),
            tokens=int(tokens[inside].sum()),
            row_share=row_share,
            token_share=token_share,
            row_interval=row_interval,
            token_interval=token_interval,
        )
    return found


_MASSES = {name: (code,) for code, name in enumerate(QUADRANT_NAMES)} | {"memorized": MEMORIZED}
"""Of which quadrants each mass is, by code."""
