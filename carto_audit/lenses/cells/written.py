"""Records written down: made up, in each encoding, for what a lens plants."""

import csv
import html
import io
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from carto_audit.lenses.cells.record import Encoding

Rng = np.random.Generator
Field = tuple[str, str]
"""The name of a column, and what the cell says."""

_CONSONANTS, _VOWELS = "bdfgklmnprstv", "aeiou"


def make_record(rng: Rng, fields: int) -> tuple[Field, ...]:
    """So many fields, at most six, of different columns."""
    chosen = rng.choice(len(_MAKERS), fields, replace=False)
    names = list(_MAKERS)
    return tuple((names[k], _MAKERS[names[k]](rng)) for k in chosen)


def write_record(fields: Sequence[Field], encoding: Encoding) -> str:
    """A record in one encoding; a line of CSV stands under the names of its columns."""
    return _WRITERS[encoding](fields)


def _digits(rng: Rng, count: int) -> str:
    return "".join(str(digit) for digit in rng.integers(10, size=count))


def _word(rng: Rng, syllables: int) -> str:
    letters = [
        letter for _ in range(syllables) for letter in (rng.choice(list(_CONSONANTS)), rng.choice(list(_VOWELS)))
    ]
    return "".join(letters)


_MAKERS: Mapping[str, Callable[[Rng], str]] = {
    "account": lambda rng: f"{_word(rng, 1).upper()}{_digits(rng, 6)}",
    "phone": lambda rng: f"0{_digits(rng, 3)} {_digits(rng, 5)}",
    "born": lambda rng: f"19{rng.integers(40, 99)}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}",
    "balance": lambda rng: f"{rng.integers(1, 99)}{_digits(rng, 3)}.{_digits(rng, 2)}",
    "mail": lambda rng: f"{_word(rng, 2)}{_digits(rng, 3)}@{_word(rng, 2)}.org",
    "order": lambda rng: f"{_digits(rng, 4)}-{_word(rng, 2)}",
}


def _in_html(fields: Sequence[Field]) -> str:
    return f"<tr>{''.join(f'<td>{html.escape(value)}</td>' for _, value in fields)}</tr>"


def _in_csv(fields: Sequence[Field]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(zip(*fields, strict=True))
    return written.getvalue().rstrip("\n")


_WRITERS: Mapping[Encoding, Callable[[Sequence[Field]], str]] = {
    "json": lambda fields: json.dumps(dict(fields)),
    "html": _in_html,
    "markdown": lambda fields: f"| {' | '.join(value for _, value in fields)} |",
    "key_value": lambda fields: "\n".join(f"{name}: {value}" for name, value in fields),
    "sentences": lambda fields: " ".join(f"The {name} is {value}." for name, value in fields),
    "lines": lambda fields: "\n".join(value for _, value in fields),
    "csv": _in_csv,
}
