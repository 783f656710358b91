"""Readings: the token losses of checkpoints on a planted run, in one Parquet file that is sealed by the key of its samples.

Like a trace, such a file is personal data: with its key it tells how well a text was learned."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.real_runs.reading.planted_run import PlantedRun
from carto_audit.real_runs.reading.run_samples import Pieces, RunSamples, Way, cut
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import atomic_path, read_table
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.keys import SampleKeys
from carto_audit.traces.parts import NOTICE
from carto_audit.traces.visits import nats

PROXIES = "two proxies, each row by the one that never read it"

FORMAT = "carto-audit readings of checkpoints 1"

SCHEMA = pa.schema(
    [
        pa.field("checkpoint", pa.int32(), nullable=False),
        pa.field("piece", pa.int64(), nullable=False),
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("token_losses", pa.large_binary(), nullable=False),
    ]
)
"""A row per checkpoint and piece of a sample, pieces in order: the key of its tokens, and a byte for each of them: sixteenths of
a nat, 255 where a token has no loss, which is the first of a piece."""

_NOTES, _SEAL, _CONTEXT = b"carto_audit.readings", b"carto_audit.seal", "readings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a file of readings says of itself. `planted` is the identity of the planted run, `checkpoints` are names and
    digests of the weights, in the order in which they were given."""

    planted: Mapping[str, str]
    tokenizer: str
    way: Way
    longest: int | None
    precision: str
    checkpoints: Sequence[Mapping[str, Any]]

    def text(self) -> str:
        facts = {
            "format": FORMAT,
            "planted": dict(self.planted),
            "tokenizer": self.tokenizer,
            "way": self.way.facts(),
            "longest": self.longest,
            "precision": self.precision,
            "checkpoints": [dict(one) for one in self.checkpoints],
            "notice": NOTICE,
        }
        return json.dumps(facts, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Losses of a series of checkpoints, (C, tokens) in sixteenths of a nat, aligned with the ids of the run's samples."""

    notes: Notes
    steps: NDArray[np.uint8]

    @property
    def of_proxies(self) -> bool:
        """Whether two proxies took the place of a checkpoint."""
        return any(bool(one.get("proxies")) for one in self.notes.checkpoints)

    def nats(self, checkpoint: int) -> NDArray[np.float32]:
        """The losses under one checkpoint in nats, (tokens,), NaN where a token has none; -1 is the last checkpoint."""
        return nats(self.steps[checkpoint])


def write_readings(
    path: Path, keys: SampleKeys, notes: Notes, samples: RunSamples, pieces: Pieces, steps: NDArray[np.uint8]
) -> None:
    """Writes readings, steps (C, tokens), whole or not at all, for this user's eyes. Raises AuditError where they cannot be."""
    import pyarrow.parquet as pq

    named = keys.keys_of_runs(samples.ids, pieces.bounds)
    table = pa.table(
        {
            "checkpoint": np.repeat(np.arange(len(steps), dtype=np.int32), len(pieces)),
            "piece": np.tile(np.arange(len(pieces)), len(steps)),
            "key": np.tile(named, len(steps)),
            "token_losses": pa.concat_arrays([_binary(row, pieces.bounds) for row in steps]),
        }
    ).cast(SCHEMA)
    text = notes.text()
    seal = _seal(keys, text, named, steps)
    table = table.replace_schema_metadata({_NOTES: text, _SEAL: seal})
    with atomic_path(path) as temporary:
        temporary.touch(mode=0o600, exist_ok=False)
        with temporary.open("wb") as stream:
            pq.write_table(table, stream, compression="zstd")


def _binary(steps: NDArray[np.uint8], bounds: NDArray[np.int64]) -> pa.Array:
    offsets = pa.py_buffer(np.ascontiguousarray(bounds, np.int64))
    return pa.Array.from_buffers(
        pa.large_binary(), len(bounds) - 1, [None, offsets, pa.py_buffer(np.ascontiguousarray(steps))]
    )


def _seal(keys: SampleKeys, text: str, named: NDArray[np.uint64], steps: NDArray[np.uint8]) -> str:
    told = text.encode()
    return keys.seal(_CONTEXT, b"".join((len(told).to_bytes(8, "little"), told, named.tobytes(), steps.tobytes())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A file of readings, read but not yet held against the run's samples."""

    shown: str
    notes: Notes
    table: pa.Table
    seal: str


def open_readings(path: Path, planted: PlantedRun) -> Given:
    """Reads a file of readings. Raises AuditError in one line where it is none, torn, or of another planted batch."""
    shown = safe_inline(str(path), 160)
    try:
        table = read_table(path)
        meta = table.schema.metadata or {}
        notes, seal = _read_notes(meta[_NOTES].decode()), meta[_SEAL].decode()
        table = table.select(SCHEMA.names).replace_schema_metadata(None).cast(SCHEMA)
        table.validate(full=True)
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise AuditError(
            f"{shown}: no readings of a checkpoint, or torn: {safe_inline(str(error), 120)}; read it again"
        ) from error
    if dict(notes.planted) != planted.identity:
        raise AuditError(
            f"{shown}: readings of another planted batch; read the checkpoint again with this one's folder"
        )
    return Given(shown=shown, notes=notes, table=table, seal=seal)


def _read_notes(text: str) -> Notes:
    facts = json.loads(text)
    if facts["format"] != FORMAT:
        raise ValueError("another format")
    way = Way(**{name: bool(facts["way"][name]) for name in ("special", "ends", "joined")})
    longest = facts["longest"]
    return Notes(
        planted={str(name): str(value) for name, value in facts["planted"].items()},
        tokenizer=str(facts["tokenizer"]),
        way=way,
        longest=None if longest is None else int(longest),
        precision=str(facts["precision"]),
        checkpoints=tuple(dict(one) for one in facts["checkpoints"]),
    )


def held_against(given: Given, planted: PlantedRun, samples: RunSamples) -> Readings:
    """The readings, aligned with the run's samples. Raises AuditError where they are of other tokens, not sealed by the run's
    key, or not as they were written."""
    notes = given.notes
    pieces = cut(samples, notes.longest)
    named = planted.keys.keys_of_runs(samples.ids, pieces.bounds)
    series, size = len(notes.checkpoints), len(pieces)
    table = given.table.combine_chunks()
    expected = (
        series > 0
        and len(table) == series * size
        and np.array_equal(table["checkpoint"].to_numpy(), np.repeat(np.arange(series), size))
        and np.array_equal(table["piece"].to_numpy(), np.tile(np.arange(size), series))
        and np.array_equal(table["key"].to_numpy(), np.tile(named, series))
    )
    losses = b"".join(table["token_losses"].to_pylist()) if expected else b""
    if not expected or len(losses) != series * int(samples.offsets[-1]):
        raise AuditError(f"{given.shown}: readings of other tokens than the run's; read the checkpoint again")
    steps = np.frombuffer(losses, np.uint8).reshape(series, -1)
    if _seal(planted.keys, notes.text(), named, steps) != given.seal:
        raise AuditError(f"{given.shown}: not as it was written, or sealed by another key; read the checkpoint again")
    return Readings(notes=notes, steps=steps)
