"""Spelled numbers: "four hundred and twelve" as 412. Tried only where an item stands with other numbers, or seems to."""

import re

from carto_audit.text.views.reading import Reading

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {word: k for k, word in enumerate(_UNITS)} | {word: 10 * (k + 2) for k, word in enumerate(_TENS)}
_FACTORS = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_WORD = "(?:" + "|".join(sorted([*_VALUES, *_FACTORS], key=len, reverse=True)) + ")"
_RUN = re.compile(rf"\b{_WORD}(?:(?:[ -]|[ ]and[ ]|,[ ]){_WORD})*\b", re.IGNORECASE)


def with_digits(text: str) -> Reading:
    """The text with its spelled numbers in digits."""
    return Reading.of(text).substituted("spelled numbers", _RUN, lambda match: str(value_of(match[0])))


def value_of(spelled: str) -> int:
    """What English number words say together: hundreds multiply what stands before them, thousands all of it."""
    whole, part = 0, 0
    for word in re.findall(r"[a-z]+", spelled.lower()):
        if word in _VALUES:
            part += _VALUES[word]
        elif word == "hundred":
            part = max(1, part) * 100
        elif word in _FACTORS:
            whole, part = whole + max(1, part) * _FACTORS[word], 0
    return whole + part
