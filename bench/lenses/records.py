"""Records that the lens `tables` does not know of: people and invoices, written in seven encodings, alone and in prose."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from carto_audit.lenses.cells.record import ENCODINGS, Encoding

Rng = np.random.Generator

_FIRST = (
    "Ana",
    "Bruno",
    "Chloe",
    "Dmitri",
    "Elif",
    "Femi",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kirsi",
    "Lamar",
    "Mona",
    "Nils",
)
_LAST = (
    "Abbott",
    "Brandt",
    "Costa",
    "Dvorak",
    "Eriksen",
    "Farkas",
    "Grande",
    "Hoang",
    "Ilves",
    "Jansen",
    "Kowal",
    "Lindqvist",
)
_CITIES = ("Leipzig", "Porto", "Gdansk", "Bergen", "Lyon", "Tartu", "Ghent", "Malaga")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A row of a batch with one record: `cells` by column, those of fewer than four characters too; copies share `record`."""

    text: str
    encoding: Encoding
    cells: Mapping[str, str]
    dose: int
    record: int


def write_cells(rng: Rng) -> dict[str, str]:
    """A person or an invoice, drawn by lot."""
    return _person(rng) if rng.random() < 0.5 else _invoice(rng)


def _drawn(rng: Rng, alphabet: str, count: int) -> str:
    return "".join(rng.choice(list(alphabet), count))


def _person(rng: Rng) -> dict[str, str]:
    first, last = str(rng.choice(_FIRST)), str(rng.choice(_LAST))
    return {
        "name": f"{first} {last}",
        "iban": f"DE{_drawn(rng, '0123456789', 20)}",
        "birth date": f"{rng.integers(1, 29):02}.{rng.integers(1, 13):02}.{rng.integers(1930, 2006)}",
        "phone": f"+49 {rng.integers(30, 990)} {rng.integers(100_000, 9_999_999)}",
        "city": str(rng.choice(_CITIES)),
        "age": str(rng.integers(18, 95)),
    }


def _invoice(rng: Rng) -> dict[str, str]:
    return {
        "invoice": f"R-{rng.integers(2015, 2027)}-{_drawn(rng, '0123456789', 5)}",
        "customer": f"{_drawn(rng, 'ABCDEFGHKLMNPRSTUVWXYZ', 3)}{_drawn(rng, '0123456789', 4)}",
        "amount": f"{rng.integers(10, 99_999)}.{rng.integers(0, 100):02}",
        "paid": str(rng.choice(["yes", "no"])),
        "due": f"{rng.integers(2020, 2031)}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}",
        "e-mail": f"{str(rng.choice(_LAST)).lower()}{rng.integers(10, 9999)}@example.org",
    }


def write(cells: Mapping[str, str], encoding: Encoding, rng: Rng) -> str:
    """A record in one encoding, in one of the ways in which people write it."""
    names, values = list(cells), list(cells.values())
    if encoding == "json":
        return json.dumps(dict(cells), indent=[None, 2][int(rng.integers(2))])
    if encoding == "html":
        head = "".join(f"<th>{name}</th>" for name in names)
        body = "".join(f"<td>{value}</td>" for value in values)
        return f"<table><tr>{head}</tr><tr>{body}</tr></table>" if rng.random() < 0.5 else f"<tr>{body}</tr>"
    if encoding == "markdown":
        row = f"| {' | '.join(values)} |"
        return f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n{row}" if rng.random() < 0.5 else row
    if encoding == "key_value":
        between = "\n" if rng.random() < 0.5 else " | "
        return between.join(f"{name}: {value}" for name, value in cells.items())
    if encoding == "sentences":
        if rng.random() < 0.5:
            return " ".join(f"The {name} is {value}." for name, value in cells.items())
        return ", ".join(f"{name} is {value}" for name, value in cells.items()) + "."
    if encoding == "lines":
        return "\n".join(values)
    return _csv([names, values] if rng.random() < 0.5 else [values])


def _csv(rows: Sequence[Sequence[str]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue().strip()


def in_prose(record: str, words: Sequence[str], rng: Rng) -> str:
    """A record between two lines of other words."""
    before, after = (" ".join(rng.choice(words, 8)) for _ in range(2))
    return f"{before}:\n\n{record}\n\n{after}."


def planted_rows(words: Sequence[str], counts: Mapping[int, int], rng: Rng) -> list[Planted]:
    """Of each encoding so many records of each dose; half of the rows, drawn by lot, hold prose besides."""
    rows: list[Planted] = []
    number = 0
    for dose, count in counts.items():
        for encoding in ENCODINGS * count:
            cells = write_cells(rng)
            record = write(cells, encoding, rng)
            for _ in range(dose):
                text = record if rng.random() < 0.5 else in_prose(record, words, rng)
                rows.append(Planted(text=text, encoding=encoding, cells=cells, dose=dose, record=number))
            number += 1
    return rows
