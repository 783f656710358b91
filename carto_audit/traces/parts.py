"""The files of a run's trace: parts and notes, each whole or absent. A file's name carries a seal of its bytes."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import json_bytes, read_regular, reason
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.keys import SampleKeys
from carto_audit.traces.visits import VisitRows

FORMAT = "carto-audit losses of a run 1"

NOTICE = (
    "Personal data: with its key, this trace tells whether a text was trained on, and how well it was learned. "
    "Keep both as you keep the texts, and delete the key first."
)
"""What every file of a trace says of itself."""

MOST_NOTE_BYTES, MOST_PART_BYTES = 1 << 16, 1 << 30

_NAME = re.compile(r"(visits|open|close)-g(\d{4,9})-r(\d{5,9})(?:-p(\d{6,12}))?-([0-9a-f]{32})\.(parquet|json)")
_KINDS = {"visits": "parquet", "open": "json", "close": "json"}

_INTEGERS = {"key": pa.uint64(), "step": pa.int64(), "epoch": pa.int32(), "length": pa.int32(), "unscored": pa.int32()}
SCHEMA = pa.schema([*_INTEGERS.items(), ("loss", pa.float32()), ("token_losses", pa.binary())])
"""Of a part. `unscored` is how many of the `length` tokens have no loss; `token_losses` is null where they were not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a rank says of itself when it begins, or begins again: one file for each generation, which is a start of the run.
    All but the last four agree in all files of a trace. `resumed_at` is the first step that this generation logs."""

    key_id: str
    run: str
    tokenizer: str
    share: float
    token_share: float
    world: int
    generation: int
    rank: int
    resumed_at: int

    @property
    def identity(self) -> tuple[Any, ...]:
        """What may not change within a trace."""
        return self.key_id, self.run, self.tokenizer, self.share, self.token_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What did not reach the disk so far: batches that found the queue full, and visits that could not be written."""

    dropped_batches: int = 0
    dropped_visits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What a rank says at its end: how much it wrote, and what it had to drop."""

    parts: int
    visits: int
    dropped_batches: int
    dropped_visits: int


@dataclass(frozen=True, slots=True, order=True)
class FileName:
    """What the name of a file says: its kind, whose it is, and the seal. `part` is None of a note."""

    kind: str
    generation: int
    rank: int
    part: int | None
    seal: str

    def __str__(self) -> str:
        part = "" if self.part is None else f"-p{self.part:06d}"
        return f"{self.kind}-g{self.generation:04d}-r{self.rank:05d}{part}-{self.seal}.{_KINDS[self.kind]}"


def named_files(folder: Path) -> list[FileName]:
    """Every file of a trace in a folder, by name alone, in order. Raises OSError where the folder cannot be listed, AuditError
    for a name that looks like one of ours and is none."""
    return sorted(_named(folder), key=lambda name: (name.generation, name.rank, name.kind, name.part or 0, name.seal))


def _named(folder: Path) -> Iterator[FileName]:
    for path in folder.iterdir():
        if path.name.partition("-")[0] not in _KINDS:
            continue
        found = _NAME.fullmatch(path.name)
        if not found or _KINDS[found[1]] != found[6] or (found[4] is None) == (found[1] == "visits"):
            raise AuditError(
                f"{_shown(folder, path.name)}: not the name of a file of a trace; it was renamed or forged"
            )
        yield FileName(found[1], int(found[2]), int(found[3]), None if found[4] is None else int(found[4]), found[5])


def write_part(folder: Path, keys: SampleKeys, opening: Opening, part: int, rows: VisitRows, losses: Losses) -> None:
    """Writes visits as a part, whole or not at all. Raises OSError."""
    _write(folder, keys, opening, "visits", part, _part_bytes(rows, losses))


def write_note(folder: Path, keys: SampleKeys, opening: Opening, note: Opening | Closing) -> None:
    """Writes what a rank says at its beginning or end, whole or not at all. Raises OSError."""
    kind = "open" if isinstance(note, Opening) else "close"
    data = json_bytes({"format": FORMAT, "notice": NOTICE, **asdict(note)})
    _write(folder, keys, opening, kind, None, data)


def _write(folder: Path, keys: SampleKeys, opening: Opening, kind: str, part: int | None, data: bytes) -> None:
    unsealed = FileName(kind, opening.generation, opening.rank, part, "")
    name = str(FileName(kind, opening.generation, opening.rank, part, keys.seal(_place(unsealed, opening), data)))
    temporary = folder / f".{name}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):  # the file is there; not every file system can say so of a folder
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, rank: int) -> None:
    """Removes what a killed process of this rank had not finished writing."""
    for path in folder.glob(f".*-r{rank:05d}-*.tmp"):
        path.unlink(missing_ok=True)


def _place(name: FileName, opening: Opening) -> str:
    """Where a file belongs, so that one cannot stand in for another: of another run, rank, generation or number."""
    return json.dumps([FORMAT, name.kind, name.generation, name.rank, name.part, opening.run])


def _part_bytes(rows: VisitRows, losses: Losses) -> bytes:
    columns: dict[str, Any] = {name: getattr(rows, name) for name in ("key", "step", "epoch", "length", "loss")}
    columns["unscored"] = rows.length - rows.tokens
    numbers = [_numbers(columns[name], SCHEMA.field(name).type) for name in SCHEMA.names if name in columns]
    metadata = {"carto_audit": json.dumps({"format": FORMAT, "notice": NOTICE, **asdict(losses)})}
    table = pa.table([*numbers, _binary(rows)], SCHEMA.with_metadata(metadata))
    sink = pa.BufferOutputStream()
    seen_again = len(np.unique(rows.key)) < len(rows) / 2
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=9,
        use_dictionary=["epoch", "length", "unscored", *(["key"] if seen_again else [])],
        column_encoding={
            "step": "DELTA_BINARY_PACKED",
            "loss": "BYTE_STREAM_SPLIT",
            "token_losses": "DELTA_LENGTH_BYTE_ARRAY",
        },
        write_statistics=False,
    )
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _numbers(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Values as they lie in memory: `pa.array` would load pandas, for seconds, and fails while a process ends."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _binary(rows: VisitRows) -> pa.Array:
    """The losses of tokens as one value for each visit, null where none were kept."""
    kept = np.packbits(np.diff(rows.offsets) > 0, bitorder="little")
    data = (kept, rows.offsets.astype(np.int32), np.ascontiguousarray(rows.steps))
    return pa.Array.from_buffers(pa.binary(), len(rows), [pa.py_buffer(values) for values in data])


def read_opening(folder: Path, keys: SampleKeys, name: FileName) -> Opening:
    """What a rank said when it began. Raises AuditError in one line for one of another key, or that is not as it was written."""
    data = _bytes_of(folder, name, MOST_NOTE_BYTES)
    opening = _note(folder, name, data, Opening)
    if opening.key_id != keys.key_id:
        raise AuditError(
            f"{_shown(folder, name)}: written with another key, {safe_inline(str(opening.key_id), 16)}, not with {keys.key_id}"
        )
    _check_seal(folder, keys, opening, name, data)
    if (opening.generation, opening.rank) != (name.generation, name.rank):
        raise AuditError(f"{_shown(folder, name)}: not of the rank that its name says")
    return opening


def read_closing(folder: Path, keys: SampleKeys, opening: Opening, name: FileName) -> Closing:
    """What a rank said at its end. Raises AuditError in one line where it is not as it was written."""
    data = _bytes_of(folder, name, MOST_NOTE_BYTES)
    _check_seal(folder, keys, opening, name, data)
    return _note(folder, name, data, Closing)


def read_part(folder: Path, keys: SampleKeys, opening: Opening, name: FileName) -> tuple[VisitRows, Losses]:
    """The visits of a part and what had been dropped by then. Nothing of it is decoded before its seal is checked. Raises
    AuditError in one line where it is not as it was written."""
    data = _bytes_of(folder, name, MOST_PART_BYTES)
    _check_seal(folder, keys, opening, name, data)
    try:
        table = pq.read_table(pa.BufferReader(data)).combine_chunks()
        facts = json.loads(table.schema.metadata[b"carto_audit"])
        losses = Losses(dropped_batches=facts["dropped_batches"], dropped_visits=facts["dropped_visits"])
        return _rows(table.select(SCHEMA.names).cast(SCHEMA), opening.rank), losses
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise AuditError(f"{_shown(folder, name)}: not a part of a trace: {safe_inline(str(error), 120)}") from error


def _rows(table: pa.Table, rank: int) -> VisitRows:
    columns = {name: table[name].to_numpy() for name in (*_INTEGERS, "loss")}
    column = pa.concat_arrays([pc.fill_null(table["token_losses"], b"").combine_chunks()])
    offsets = np.frombuffer(column.buffers()[1], np.int32)[: len(table) + 1].astype(np.int64)
    steps = np.frombuffer(column.buffers()[2] or b"", np.uint8)[: offsets[-1]]
    return VisitRows(
        key=columns["key"],
        step=columns["step"],
        epoch=columns["epoch"],
        rank=np.full(len(table), rank, np.int32),
        length=columns["length"],
        tokens=columns["length"] - columns["unscored"],
        loss=columns["loss"],
        steps=steps,
        offsets=offsets,
    )


def _bytes_of(folder: Path, name: FileName, limit: int) -> bytes:
    try:
        return read_regular(folder / str(name), limit)
    except OSError as error:
        raise AuditError(f"{_shown(folder, name)}: cannot be read: {reason(error)}") from error


def _check_seal(folder: Path, keys: SampleKeys, opening: Opening, name: FileName, data: bytes) -> None:
    if keys.seal(_place(name, opening), data) != name.seal:
        raise AuditError(f"{_shown(folder, name)}: not as it was written: damaged, forged or of another run")


_Note = TypeVar("_Note", Opening, Closing)


def _note(folder: Path, name: FileName, data: bytes, kind: type[_Note]) -> _Note:
    try:
        facts = json.loads(data)
        if facts.pop("format") != FORMAT:
            raise ValueError("of another format")
        facts.pop("notice")
        return kind(**facts)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise AuditError(f"{_shown(folder, name)}: not a note of a trace: {safe_inline(str(error), 80)}") from error


def _shown(folder: Path, name: FileName | str) -> str:
    return safe_inline(str(folder / str(name)), 240)
