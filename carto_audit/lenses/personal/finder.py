"""Personal values in a text, by form and check digit or by a word beside them. Linear in the text; names are not told."""

from collections.abc import Callable, Iterator

from carto_audit.lenses.personal.addresses import addresses
from carto_audit.lenses.personal.births import birth_dates
from carto_audit.lenses.personal.conditions import diagnoses
from carto_audit.lenses.personal.cued import accounts, health_records, licences, passports, pay
from carto_audit.lenses.personal.forms import FORM_LABELS, by_form
from carto_audit.lenses.values.value import Value

Interval = tuple[int, int]

_BY_CUE: tuple[tuple[str, Callable[[str], Iterator[Interval]]], ...] = (
    ("passport", passports),
    ("licence", licences),
    ("health_record", health_records),
    ("birth_date", birth_dates),
    ("address", addresses),
    ("pay", pay),
    ("diagnosis", diagnoses),
    ("account", accounts),
)

LABELS = (*FORM_LABELS, *(label for label, _ in _BY_CUE))
"""Every class of value, and no other. A name of a person is none of them: no pattern can tell one."""

_RANKS = {
    label: 0 if label in ("email", "card", "iban") else len(_BY_CUE) + 1 - (label == "national_id") / 2
    for label in FORM_LABELS
} | {label: float(rank) for rank, (label, _) in enumerate(_BY_CUE, start=1)}
"""Lower wins where two overlap: a form that is no accident, then a word that stands beside the value, "
"then the other forms."""


def find_personal(text: str) -> list[Value]:
    """The personal values of a text, disjoint and in order; of two that overlap the one that is told more surely.

    By form and check digit: `email`, `phone`, `card`, `iban`, `national_id`, and `ip_address` where it is a public one. By a
    word or a form of address beside them: `passport`, `licence` (to drive), `health_record`, `birth_date`, `address`, `pay`,
    `diagnosis`, `account`.
    """
    found = list(by_form(text))
    for label, finder in _BY_CUE:
        found += [(start, end, label) for start, end in finder(text)]
    kept: list[tuple[int, int, str]] = []
    for start, end, label in sorted(found):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end, label))
        elif label == kept[-1][2]:
            kept[-1] = (kept[-1][0], max(end, kept[-1][1]), label)
        elif _RANKS[label] < _RANKS[kept[-1][2]]:
            kept[-1] = (start, end, label)
    return [Value(start=start, end=end, label=label) for start, end, label in kept]
