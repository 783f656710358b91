"""Delimited text: CSV and TSV in their dialects, which the first rows tell where nobody says them."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from carto_audit.data.formats.opened import Reading, utf8_of
from carto_audit.runtime.errors import AuditError, option
from carto_audit.runtime.files import shown_path
from carto_audit.runtime.sealed_path import identity_of

CSV_BLOCK = 64 << 20
"""Bytes. A row must fit in one block, so the block is larger than any sample that is trained on."""

SNIFFED = 1 << 18
"""Characters that tell a dialect."""

DELIMITERS = (",", ";", "\t", "|")
"""In the order in which they are tried, after the one that the suffix says."""

LONGEST_NAME = 120
"""Characters of a column's name. What is longer is no name."""

FEWEST_ALIKE = 3
"""Rows of one value in a column, from which on it is no name of that column either."""

TABS = (".tsv", ".tab")
_QUOTING = (('"', None), ('"', "\\"), (None, None), ("'", None))
"""How values with a delimiter in them are written, the most usual way first: quote and escape. Only tabs do without quotes."""

_WORDS = {"\t": "tab", None: "none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How the rows of a delimited file are written. A quote inside quotes is doubled, or escaped where there is an `escape`."""

    delimiter: str
    quote: str | None
    escape: str | None
    header: bool

    @property
    def words(self) -> str:
        """`; between fields, no header`: all that is not as usual for a CSV file."""
        between = _WORDS.get(self.delimiter, self.delimiter)
        said = [
            f"{between} between fields" if self.delimiter != "," else "",
            f"quote {_WORDS.get(self.quote, self.quote)}" if self.quote != '"' else "",
            f"escape {self.escape}" if self.escape else "",
            "" if self.header else "no header",
        ]
        return ", ".join(filter(None, said))


def dialect_of(path: Path, reading: Reading) -> Dialect:
    """The dialect of a file: what was said of it, and for the rest what its first rows tell.

    A delimiter is taken where it alone gives every row the same number of fields, two or more; where none does, the one that the
    suffix says. Raises AuditError where several would do, and where the first row alone has several fields."""
    return _dialect_of(path, reading, identity_of(path))


@lru_cache(maxsize=1024)
def _dialect_of(path: Path, reading: Reading, _identity: tuple[object, ...]) -> Dialect:
    with utf8_of(path, reading) as stream:
        data, whole = stream.read(SNIFFED), not stream.read(1)
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    delimiter, quote, escape = _find(path, text, whole, reading)
    header = (
        reading.csv_header == "yes" if reading.csv_header else _has_header(_rows(text, delimiter, quote, escape, whole))
    )
    return Dialect(delimiter=delimiter, quote=quote, escape=escape, header=header)


def csv_head(path: Path, reading: Reading) -> pa.Schema:
    """The columns, of the types that their first values look like."""
    with _open_csv(path, reading) as reader:
        return reader.schema


def csv_batches(path: Path, reading: Reading, schema: pa.Schema, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """All rows of some columns, or of all, of the types of the schema."""
    with _open_csv(path, reading, schema, columns) as reader:
        yield from reader


def csv_schema(path: Path, reading: Reading) -> pa.Schema:
    """Columns of strings; of bytes where some are not UTF-8. Costs a pass."""
    names = csv_head(path, reading).names
    valid = dict.fromkeys(names, True)
    for batch in csv_batches(path, reading, pa.schema([(name, pa.large_binary()) for name in names]), None):
        for name in names:
            valid[name] = valid[name] and _is_text(batch[name])
    return pa.schema([(name, pa.large_string() if valid[name] else pa.large_binary()) for name in names])


def csv_has_rows(path: Path, reading: Reading) -> bool:
    """Whether a line follows on the first that holds something, as the header would be."""
    with utf8_of(path, reading) as raw, io.BufferedReader(raw, 1 << 20) as stream:
        lines = (line for line in iter(lambda: stream.readline(CSV_BLOCK), b"") if line.strip())
        return len(list(islice(lines, 2))) == 2


@contextmanager
def _open_csv(
    path: Path, reading: Reading, schema: pa.Schema | None = None, columns: list[str] | None = None
) -> Iterator[Any]:
    """Without a schema, columns are of the types that their first values look like."""
    dialect = dialect_of(path, reading)
    read = pa_csv.ReadOptions(block_size=CSV_BLOCK, use_threads=False, autogenerate_column_names=not dialect.header)
    parse = pa_csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char=dialect.quote or False,
        escape_char=dialect.escape or False,
        newlines_in_values=dialect.quote is not None,
    )
    convert = pa_csv.ConvertOptions(column_types=schema, include_columns=columns, strings_can_be_null=False)
    with (
        utf8_of(path, reading) as source,
        pa_csv.open_csv(source, read_options=read, parse_options=parse, convert_options=convert) as reader,
    ):
        yield reader


def _find(path: Path, text: str, whole: bool, reading: Reading) -> tuple[str, str | None, str | None]:
    """Delimiter, quote and escape."""
    usual = "\t" if _has_suffix(path, TABS) else ","
    known = _said(reading.csv_delimiter)
    tried = (known,) if known else (usual, *(one for one in DELIMITERS if one != usual))
    ways = [
        (quote, escape)
        for quote, escape in _QUOTING
        if (reading.csv_quote is None or quote == _said(reading.csv_quote))
        and (reading.csv_escape is None or escape == _said(reading.csv_escape))
    ] or [(_said(reading.csv_quote or '"'), _said(reading.csv_escape))]
    for quote, escape in ways:
        fitting = [
            delimiter
            for delimiter in tried
            if (quote or delimiter == "\t" or reading.csv_quote) and _width(text, delimiter, quote, escape, whole) > 1
        ]
        if len(fitting) == 1:
            return fitting[0], quote, escape
        if fitting:
            raise _undecided(path, f"rows have as many fields with {_listed(fitting)} between them")
    if not known:
        _check_single(path, _rows(text, usual, *ways[0], whole))
    return known or usual, *ways[0]


def _check_single(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Raises AuditError where the names of several columns stand in one field."""
    if rows and len(rows[0]) == 1:
        inside = [one for one in DELIMITERS if one in rows[0][0]]
        if inside:
            raise _undecided(
                path, f"the first row has several fields with {_listed(inside)} between them, later rows differ"
            )


def _undecided(path: Path, what: str) -> AuditError:
    return AuditError(f"{shown_path(path)}: {what}; say which with {option('csv_delimiter')}")


def _listed(delimiters: Sequence[str]) -> str:
    return " or ".join(_WORDS.get(one, one) for one in delimiters)


def _said(word: str | None) -> str | None:
    """The character that a word of `Reading` means."""
    return {"tab": "\t", "none": None}.get(word or "none", word)


def _has_suffix(path: Path, suffixes: Sequence[str]) -> bool:
    return any(suffix.lower() in suffixes for suffix in path.suffixes[-2:])


def _width(text: str, delimiter: str, quote: str | None, escape: str | None, whole: bool) -> int:
    """How many fields every row has; 0 where rows differ or are not written like this."""
    try:
        widths = {len(row) for row in _strict_rows(text, delimiter, quote, escape, whole)}
    except csv.Error:
        return 0
    return widths.pop() if len(widths) == 1 else 0


def _rows(text: str, delimiter: str, quote: str | None, escape: str | None, whole: bool) -> list[list[str]]:
    """The first rows as far as they can be read."""
    found: list[list[str]] = []
    try:
        for row in _strict_rows(text, delimiter, quote, escape, whole):
            found.append(row)
    except csv.Error:
        pass
    return found


def _strict_rows(text: str, delimiter: str, quote: str | None, escape: str | None, whole: bool) -> Iterator[list[str]]:
    """All rows but the last of a text that goes on. Raises csv.Error where a row is written in another way."""
    limit = csv.field_size_limit(len(text) + 1)
    try:
        reader = csv.reader(
            io.StringIO(text if whole else f"{text}\n", newline=""),
            delimiter=delimiter,
            quotechar=quote,
            escapechar=escape,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=True,
        )
        rows = _until_cut(reader, whole)
        found = [row for row in rows if row]
    finally:
        csv.field_size_limit(limit)
    yield from found if whole else found[:-1]


def _until_cut(reader: Iterator[list[str]], whole: bool) -> Iterator[list[str]]:
    """The rows; where the text was cut inside quotes, an empty last one."""
    try:
        yield from reader
    except csv.Error as error:
        if whole or "unexpected end of data" not in str(error):
            raise
        yield [""]


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: not where it holds a number over numbers, the value that most of its
    column have, or more than a name."""
    if not rows:
        return True
    first, later = rows[0], rows[1:]
    columns = list(zip(*later, strict=False))
    numbers = any(
        _is_number(name) and all(map(_is_number, column)) for name, column in zip(first, columns, strict=False)
    )
    alike = any(
        name.strip() and column.count(name) >= max(FEWEST_ALIKE, len(column) / 2)
        for name, column in zip(first, columns, strict=False)
    )
    return not (numbers or alike or any(len(name) > LONGEST_NAME for name in first))


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _is_text(column: pa.LargeBinaryArray) -> bool:
    try:
        column.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True
