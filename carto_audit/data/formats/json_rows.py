"""JSON rows: one object a line, or one document: a list of objects, a list inside an object, or a table by columns."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from carto_audit.data.formats.columnar import ROWS_PER_READ
from carto_audit.data.formats.json_values import BLOCK, Decoder, ValueStream
from carto_audit.data.formats.opened import Reading, utf8_of
from carto_audit.data.formats.turns import strings, turns_of
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import shown_path
from carto_audit.runtime.sealed_path import identity_of
from carto_audit.text.untrusted import safe_inline

LONGEST_LINE = 64 << 20
"""Bytes. A longer line is no sample but a broken file."""

CHUNK_CHARACTERS = 16 << 20
"""Of the rows that are held at once."""

JSON_TEXT = b"carto_audit.json"
"""Field metadata of a column of JSON text: values of several kinds that no single Arrow type holds."""

ROW_LISTS = ("data", "rows", "records", "examples", "samples", "items")
"""Keys under which documents keep their rows: an empty list there is of no rows, under another key it is a value of one row."""

LONGEST_NOTE = 32
"""Bytes of all text beside an empty list of rows, such as a version. Whoever says more delivers a row, which is read."""

PROSE_WORDS = 3
"""Words of a value that is taken for prose, in a document that is called as one about the data."""

Kind = Literal["lines", "list", "inside", "split", "columns", "index", "row"]


def holds_prose(document: Mapping[str, object]) -> bool:
    """Whether prose stands where documents keep their rows. Lists of files have names there, no prose."""
    lists = [value for key in ROW_LISTS if isinstance(value := document.get(key), list)]
    rows = [row for listed in lists for row in listed]
    values = [value for row in rows for value in (row.values() if isinstance(row, dict) else [row])]
    return any(isinstance(value, str) and len(value.split()) >= PROSE_WORDS for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Where the rows of a JSON file are: `lines`, a `list`, a list `inside` an object under `key`, or pandas' `split`,
    `columns` and `index`; a `row` is one object alone. `outside` is the text beside the list, in bytes by key."""

    kind: Kind
    key: str = ""
    outside: Mapping[str, int]

    @property
    def words(self) -> str:
        """`the list "data"`: where it is not one row a line."""
        named = f'the list "{safe_inline(self.key, 40)}"'
        table = f"a table as pandas writes it ({self.kind})"
        return {"lines": "", "list": "one list", "inside": named, "row": "one object"}.get(self.kind, table)


_LINES = Form(kind="lines", outside={})


def form_of(path: Path, reading: Reading) -> Form:
    """Where the rows of a JSON file are. Lines are told by the first; a document is read once for it.

    Raises AuditError where an object has several lists of objects, and names them."""
    return _form_of(path, reading, identity_of(path))


def json_head(path: Path, reading: Reading) -> pa.Schema:
    """The columns of the first rows; int64 stands for whatever is no text."""
    columns: dict[str, pa.DataType] = {}
    for _, (row, _size) in zip(range(ROWS_PER_READ), _rows(path, reading), strict=False):
        for name, value in row.items():
            kind = pa.large_string() if isinstance(value, str) else pa.null() if value is None else pa.int64()
            if columns.get(name, pa.null()) == pa.null():
                columns[name] = kind
    return pa.schema(list(columns.items()))


def json_schema(path: Path, reading: Reading) -> pa.Schema:
    """One Arrow type per key where there is one; keys in the order in which they first occur. Costs a pass."""
    kinds: dict[str, pa.DataType | None] = {}
    for rows in json_chunks(path, reading):
        for name in dict.fromkeys(name for row in rows for name in row):
            kinds[name] = _common(kinds.get(name, pa.null()), _kind([row.get(name) for row in rows]))
    return pa.schema([_json_field(name, kind) for name, kind in kinds.items()])


def json_batches(path: Path, reading: Reading, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """All rows, of the types of the schema."""
    for rows in json_chunks(path, reading):
        yield pa.record_batch([_json_column(rows, field) for field in schema], schema=schema)


def json_has_rows(path: Path, reading: Reading) -> bool:
    """Whether there is a row, told from the first."""
    return next(_rows(path, reading), None) is not None


def json_chunks(path: Path, reading: Reading) -> Iterator[list[dict[str, Any]]]:
    """All rows, at most ROWS_PER_READ or about CHUNK_CHARACTERS of text at once; a row with a key twice is RepeatedKeys.

    Raises AuditError, which names the line that is no object. Lone surrogates, which strict parsers refuse for the whole
    file, stay one row's problem, and so do bytes that are not UTF-8."""
    rows: list[dict[str, Any]] = []
    held = 0
    for row, size in _rows(path, reading):
        rows.append(row)
        held += size
        if len(rows) == ROWS_PER_READ or held > CHUNK_CHARACTERS:
            yield rows
            rows, held = [], 0
    if rows:
        yield rows


def outside_text(path: Path, reading: Reading) -> str:
    """What a document says beside its list of rows; empty where there is none."""
    form = form_of(path, reading)
    if not form.outside:
        return ""
    said: list[str] = []
    with _open_text(path, reading) as values:
        for key in values.each_key():
            if key == form.key:
                for _ in values.items():
                    pass
            else:
                said += [key, *strings(values.value())]
    return "\n".join(said)


def json_bytes(value: Any) -> bytes | None:
    """A string's bytes, lone surrogates included (they are then undecodable); other scalars as JSON writes them."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def _rows(path: Path, reading: Reading) -> Iterator[tuple[dict[str, Any], int]]:
    """Every row and its size in characters, roughly."""
    form = form_of(path, reading)
    if form.kind == "lines":
        yield from _lines(path, reading)
        return
    with _open_text(path, reading) as values:
        if form.kind == "list":
            yield from _objects(path, values)
        elif form.kind == "inside":
            for key in values.each_key():
                yield from _objects(path, values) if key == form.key else _passed(values)
        else:
            yield from ((row, 0) for row in _table(form.kind, values.value()))
        values.end()


def _lines(path: Path, reading: Reading) -> Iterator[tuple[dict[str, Any], int]]:
    decoder = Decoder()
    with _open_bytes(path, reading) as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), start=1):
            text = line.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip(" \t\r\n")
            if not text:
                continue
            try:
                value, end = decoder.decode(text)
            except (ValueError, RecursionError) as error:
                raise _no_object(path, number, "not JSON") from error
            if end < len(text):
                raise _no_object(path, number, "not JSON")
            if not isinstance(value, dict):
                raise _no_object(path, number, "not a JSON object")
            yield value, len(text)


def _objects(path: Path, values: ValueStream) -> Iterator[tuple[dict[str, Any], int]]:
    """The objects of the list that follows."""
    before = values.place
    for number, value in enumerate(values.items(), start=1):
        if not isinstance(value, dict):
            raise AuditError(f"{shown_path(path)}: entry {number:,} of the list is not a JSON object")
        yield value, values.place - before
        before = values.place


def _passed(values: ValueStream) -> Iterator[tuple[dict[str, Any], int]]:
    """Nothing of the value that follows."""
    if values.peek() == "[":
        for _ in values.items():
            pass
    else:
        values.value()
    yield from ()


def _no_object(path: Path, number: int, what: str) -> AuditError:
    return AuditError(f"{shown_path(path)}:{number}: {what}; one object per line is expected")


@lru_cache(maxsize=1024)
def _form_of(path: Path, reading: Reading, _identity: tuple[object, ...]) -> Form:
    if not is_document(path):
        return _LINES
    with _open_text(path, reading) as values:
        first = values.peek()
    if first == "[":
        return Form(kind="list", outside={})
    if first != "{" or _begins_with_a_line(path, reading):
        return _LINES
    with _open_text(path, reading) as values:
        found = _document_form(path, _members(values))
        values.end()
    return found


def is_document(path: Path) -> bool:
    """Whether a file may be one JSON document, by its suffix: `.json`, which is also used for lines."""
    return any(suffix.lower() == ".json" for suffix in path.suffixes[-2:])


def _begins_with_a_line(path: Path, reading: Reading) -> bool:
    """Whether the first line is an object and others follow."""
    with _open_bytes(path, reading) as stream:
        lines = (line for line in iter(lambda: stream.readline(LONGEST_LINE), b"") if line.strip())
        first, second = next(lines, b""), next(lines, b"")
    text = first.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip()
    if not second or not text.startswith("{"):
        return False
    try:
        return Decoder().decode(text)[1] == len(text)
    except (ValueError, RecursionError):
        return False


@dataclass(frozen=True, slots=True)
class _Member:
    """What stands under one key of an object: a list of objects, of turns, of lists or of others; an object with or
    without numbers for keys; or another value."""

    kind: Literal["objects", "turns", "lists", "values", "numbered", "object", "scalar"]
    length: int
    n_bytes: int


def _members(values: ValueStream) -> dict[str, _Member]:
    return {key: _listed(values) if values.peek() == "[" else _single(values.value()) for key in values.each_key()}


def _listed(values: ValueStream) -> _Member:
    first: list[Any] = []
    kinds: set[type] = set()
    length = n_bytes = 0
    for value in values.items():
        first = first or [value]
        kinds.add(dict if isinstance(value, dict) else type(value))
        length += 1
        n_bytes += _text_bytes(value)
    if kinds == {dict}:
        return _Member("turns" if turns_of(first) is not None else "objects", length, n_bytes)
    return _Member("lists" if kinds == {list} else "values", length, n_bytes)


def _single(value: Any) -> _Member:
    if not isinstance(value, dict) or not value:
        return _Member("scalar", 0, _text_bytes(value))
    kind: Literal["numbered", "object"] = "numbered" if all(map(str.isdecimal, value)) else "object"
    return _Member(kind, len(value), _text_bytes(value))


def _document_form(path: Path, members: Mapping[str, _Member]) -> Form:
    """Where the rows of one object are."""
    kinds = {member.kind for member in members.values()}
    inside = [key for key, member in members.items() if member.kind == "objects"]
    if len(inside) > 1 and "turns" not in kinds:
        named = ", ".join(f'"{safe_inline(key, 40)}"' for key in inside[:6])
        raise AuditError(f"{shown_path(path)}: holds {len(inside)} lists of objects: {named}; deliver a file for each")
    if inside and "turns" not in kinds:
        outside = {key: member.n_bytes + _name_bytes(key) for key, member in members.items() if key != inside[0]}
        outside = {key: n_bytes for key, n_bytes in outside.items() if n_bytes}
        return Form(kind="inside", key=inside[0], outside=outside)
    if hollow := _list_without_rows(members):
        return Form(kind="inside", key=hollow, outside={})
    if {"columns", "data"} <= set(members) <= {"columns", "index", "data"} and members["data"].kind == "lists":
        return Form(kind="split", outside={})
    if kinds == {"object"} and all(map(str.isdecimal, members)):
        return Form(kind="index", outside={})
    listed = kinds <= {"lists", "values"} and len({member.length for member in members.values()}) == 1
    if not members or listed or kinds == {"numbered"}:
        return Form(kind="columns", outside={})
    return Form(kind="row", outside={})


def _name_bytes(key: str) -> int:
    """The bytes of a name that says more than a name does."""
    return len(key.encode("utf-8", "surrogatepass")) if " " in key else 0


def _list_without_rows(members: Mapping[str, _Member]) -> str | None:
    """The key of an empty list that is there for rows, in a document that says no more than notes beside it."""
    beside = [member for member in members.values() if member.length or member.n_bytes]
    if any(member.kind in ("turns", "lists") for member in beside) or sum(m.n_bytes for m in beside) > LONGEST_NOTE:
        return None
    return next((key for key in ROW_LISTS if key in members and members[key] == _Member("values", 0, 0)), None)


def _table(kind: Kind, value: Any) -> Iterator[dict[str, Any]]:
    """The rows of a document that is held whole."""
    if kind == "row":
        yield value
    elif kind == "index":
        yield from value.values()
    elif kind == "split":
        names = list(map(str, value["columns"]))
        index = value.get("index", [])
        named = any(isinstance(name, str) for name in index) and len(index) == len(value["data"])
        names += ["index" if "index" not in names else "index of the table"] * named
        places = [[name] for name in index] if named else [[]] * len(value["data"])
        yield from (
            dict(zip(names, [*row, *place], strict=True)) for row, place in zip(value["data"], places, strict=True)
        )
    else:
        columns = {
            name: column if isinstance(column, dict) else dict(enumerate(column)) for name, column in value.items()
        }
        for place in dict.fromkeys(place for column in columns.values() for place in column):
            yield {name: column.get(place) for name, column in columns.items()}


def _text_bytes(value: Any) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in strings(value))


@contextmanager
def _open_bytes(path: Path, reading: Reading) -> Iterator[io.BufferedReader]:
    with utf8_of(path, reading) as raw, io.BufferedReader(raw, BLOCK) as stream:
        yield stream


@contextmanager
def _open_text(path: Path, reading: Reading) -> Iterator[ValueStream]:
    with (
        _open_bytes(path, reading) as stream,
        io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="") as text,
    ):
        yield ValueStream(text)


def _json_field(name: str, kind: pa.DataType | None) -> pa.Field:
    if kind is None or _is_hollow(kind):
        return pa.field(name, pa.large_string(), metadata={JSON_TEXT: b"1"})
    return pa.field(name, kind)


def _kind(values: list[Any]) -> pa.DataType | None:
    """The Arrow type of these values, None where they have none in common."""
    try:
        return pa.array(values).type
    except (pa.ArrowException, OverflowError, UnicodeError):
        return None


def _common(a: pa.DataType | None, b: pa.DataType | None) -> pa.DataType | None:
    if a is None or b is None:
        return None
    try:
        schemas = [pa.schema([("x", kind)]) for kind in (a, b)]
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return None


def _is_hollow(kind: pa.DataType) -> bool:
    """Whether an object without any key lies inside, which Parquet has no type for."""
    if pa.types.is_struct(kind):
        return kind.num_fields == 0 or any(_is_hollow(field.type) for field in kind)
    return pa.types.is_list(kind) and _is_hollow(kind.value_type)


def _json_column(rows: list[dict[str, Any]], field: pa.Field) -> pa.Array:
    if field.metadata and JSON_TEXT in field.metadata:
        return pa.array([json.dumps(row[field.name]) if field.name in row else None for row in rows], field.type)
    return pa.array([row.get(field.name) for row in rows], field.type)
