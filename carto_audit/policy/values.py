"""Values: a metric's number in its declared unit, beside its limit. Every page and format prints these strings."""

from carto_audit.policy.lens_metrics import find_metric
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.model import Bound
from carto_audit.text.numbers import number, percent

BOUND_WORDS: dict[Bound, str] = {"max": "at most", "min": "at least", "max_increase": "an increase of at most"}
"""Whether a limit is the most, the least, or the most that may have been added since the last accepted batch."""

_DIGITS = {"AUC": 2, "ratio": 2, "sigma": 2}
_MOST_DIGITS = 4


def show_value(metric: str, value: float | None, more: int = 0) -> str:
    """A metric in its declared unit: shares and changes as percentages, AUCs and ratios as decimals, counts as whole
    numbers. `more` digits are added; an unknown value is a dash."""
    known = find_metric(metric)
    unit = known.unit if known else None
    if unit in ("share", "change"):
        return percent(value, more)
    whole = unit is not None and unit not in _DIGITS
    if whole and value is not None and value != int(value):
        more += 1
    return number(value, (0 if whole else _DIGITS.get(unit or "", 3)) + more)


def estimate_words(metric: str, estimate: float | None, observed: float, bound: Bound, more: int = 0) -> str:
    """A measured value with the end of its interval that counts against the batch: `11.2 % (up to 12.7 %)`, or under `min`
    `93.3 % (down to 80.1 %)`. `observed` is that end; alone where there is no estimate, or none that looks different."""
    worst = show_value(metric, observed, more)
    best = worst if estimate is None else show_value(metric, estimate, more)
    return worst if best == worst else f"{best} ({'down' if bound == 'min' else 'up'} to {worst})"


def observed_and_limit(
    metric: str, observed: float | None, bound: Bound, limit: float, estimate: float | None = None
) -> tuple[str, str]:
    """`11.2 % (up to 12.7 %)` and `at most 5.0 %`. Two numbers that differ never look alike: both get the digits that tell
    them apart."""
    words = BOUND_WORDS.get(bound, "at most")
    if observed is None:
        return "not measured", f"{words} {show_value(metric, limit)}"
    for more in range(_MOST_DIGITS + 1):
        seen, allowed = show_value(metric, observed, more), show_value(metric, limit, more)
        if seen != allowed or observed == limit:
            break
    return estimate_words(metric, estimate, observed, bound, more), f"{words} {allowed}"


def finding_words(
    metric: str, observed: float | None, bound: Bound, limit: float, estimate: float | None = None
) -> str:
    """Observed against limit, as a rule is read: `11.2 % (up to 12.7 %), at most 5.0 %`."""
    return ", ".join(observed_and_limit(metric, observed, bound, limit, estimate))


def interval_words(metric: str, measured: Measurement) -> str:
    """Where an estimated value lies and what a rule on it goes by; empty for a value that was counted."""
    if measured.low == measured.high:
        return ""
    low, high, best = (show_value(metric, value) for value in (measured.low, measured.high, measured.value))
    return f"Estimated as {best}, between {low} and {high}; the rule is judged on the unfavourable end."


def finding_sentence(metric: str, measured: Measurement, observed: float, bound: Bound, limit: float) -> str:
    """`hotspot_memorized.token_share is 4.0 % (up to 4.5 %), at most 4.2 % allowed`.

    `observed` is what the limit was held against: the unfavourable end, or under `max_increase` its distance from the
    value of the last accepted batch."""
    if bound != "max_increase":
        return f"{metric} is {finding_words(metric, observed, bound, limit, measured.value)} allowed"
    words = f"{metric} is {estimate_words(metric, measured.value, measured.high, bound)}"
    increase = observed + (measured.value - measured.high)
    exceeds, allowed = observed_and_limit(metric, observed, bound, limit, increase)
    words += f", which exceeds the baseline's by {exceeds}" if observed > 0 else ", no more than the baseline's"
    return f"{words}, {allowed} allowed"
