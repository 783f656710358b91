"""The recommended block: an arm of the red team in the policy's own words, to be pasted. What no policy can say is a comment."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from carto_audit.cartography.quadrants import QUADRANTS

_MEMORIZED = tuple(quadrant.name for quadrant in QUADRANTS.values() if quadrant.memorized)

_HEAD = "# Paste into your policy, in place of the keys that it has; quadrants that are not named stay as they are."
_NO_TREATMENT = "# No arm that was measured leaks less within the limit on perplexity: nothing to recommend."
_OWN = "# The interventions of the policy itself are the choice: nothing to change."
_CHANCE = "# Random pruning is a control and no treatment: nothing to recommend."
_DEDUPLICATE = """\
# Deduplication is the choice, and no intervention of a policy: carto-audit finds copies and removes none for being one.
# Keep one row of each cluster (cluster_id in scores.parquet) before the batch is ingested; the interventions stay as they are.
"""
_NEVER = "# The policy never drops, and this arm does: instead the strongest down-weighting that was measured, {:g}."
_NEVER_MEASURED = "# The policy never drops, this arm does, and no down-weighting was measured: nothing to recommend."
_ELSEWHERE = """\
# Above this score lay the pruned tokens of this run; the proxies of another run put the line elsewhere, so measure again
# before a rule depends on it.
"""


def recommended_block(
    arm: Mapping[str, Any] | None,
    threshold: float | None = None,
    *,
    never_drop: bool = False,
    measured_weights: Sequence[float] = (),
) -> str:
    """YAML that makes a policy treat a batch as this arm of `redteam.json` was treated; None recommends nothing.

    `threshold` is the score above which a level of pruning removed everything, which that kind of arm needs. Under
    `never_drop` an arm that drops becomes the strongest of the `measured_weights`, each inside 0..1, since no other is known.
    Raises ValueError for an arm that is not known or lacks its weight, score or threshold: a defect of the caller.
    """
    name = None if arm is None else arm["arm"]
    plain = {None: _NO_TREATMENT, "untreated": _NO_TREATMENT, "policy": _OWN, "random": _CHANCE}
    if arm is None or name in plain:
        return plain[name] + "\n"
    if name == "deduplicate":
        return _DEDUPLICATE
    if name == "downweight":
        return f"{_HEAD}\n{_interventions(_weight(arm['weight']))}"
    if name not in ("prune", "remove_flagged"):
        raise ValueError(f"no arm is called {name!r}")
    if never_drop:
        return _gentler(measured_weights)
    if name == "remove_flagged":
        return f"{_HEAD}\n{_interventions(None)}"
    return f"{_HEAD}\n{_map(arm['score'], threshold)}{_interventions(None)}"


def _gentler(weights: Sequence[float]) -> str:
    if not weights:
        return _NEVER_MEASURED + "\n"
    strongest = _weight(min(weights))
    return f"{_HEAD}\n{_NEVER.format(strongest)}\n{_interventions(strongest)}"


def _interventions(weight: float | None) -> str:
    """What becomes of both memorized quadrants: a weight, or removal."""
    action = "{action: remove}" if weight is None else f"{{action: downweight, weight: {_number(weight)}}}"
    return "interventions:\n" + "".join(f"  {quadrant}: {action}\n" for quadrant in _MEMORIZED)


def _map(score: Any, threshold: float | None) -> str:
    if not isinstance(score, str) or threshold is None or not math.isfinite(threshold):
        raise ValueError("a level of pruning needs its score and its threshold")
    return f"{_ELSEWHERE}map:\n  memorization:\n    score: {score}\n    threshold: {{absolute: {_number(threshold)}}}\n"


def _weight(weight: float) -> float:
    if not 0 < weight < 1:
        raise ValueError("down-weighting needs a weight inside 0..1")
    return weight


def _number(value: float) -> str:
    """All its digits, with the point that YAML wants in a number that has an exponent."""
    shown = repr(float(value))
    mantissa, e, exponent = shown.partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{exponent}" if e else shown
