"""Numbers as words: shares, counts and changes. One home, so that every page and format prints the same string."""


def percent(share: float | None, more: int = 0) -> str:
    """A share in 0..1 as a percentage; small ones keep a digit that tells them from nothing. `more` digits are added."""
    if share is None:
        return "–"
    digits = 1 if share == 0 or abs(share) >= 0.001 else 3
    return f"{100 * share:.{digits + more}f} %"


def whole_percent(share: float | None) -> str:
    """A share in 0..1 as a percentage without decimals, or a dash for unknown."""
    return "–" if share is None else f"{100 * share:.0f} %"


def signed_percent(change: float | None) -> str:
    """A relative change as `+0.42 %`, or a dash for unknown."""
    if change is None:
        return "–"
    digits = 2 if abs(change) < 0.00995 else 1 if abs(change) < 9.995 else 0
    text = f"{100 * change:+,.{digits}f} %"
    return text.replace("-", "−") if float(f"{100 * change:.{digits}f}") else f"{0:.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A measurement with `digits` decimals and thousands separators, or a dash for unknown."""
    return "–" if value is None else f"{value:,.{digits}f}"


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 rule`, `1,200 rules`; `many` is what more than one are called where that is not the noun with an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {many or noun + 's'}"


def times(count: int) -> str:
    """How often something occurs: `once`, `4 times`."""
    return "once" if count == 1 else f"{count:,} times"
