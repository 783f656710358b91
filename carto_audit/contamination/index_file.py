"""The index as one file: arrays behind a header, sealed by a digest. Made for one version of everything, refused by any other.

Nothing in it is executed, and nothing is read before the digest fits; what is read is still checked for its shape.
"""

import hashlib
import io
import json
import math
import types
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import datasketch
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carto_audit import __version__
from carto_audit.benchmarks import hash_tables, index, letter_runs, programs, rare_words, surprisal, translations
from carto_audit.benchmarks.hash_tables import HashTable, Lists, hash_table
from carto_audit.benchmarks.index import Index
from carto_audit.benchmarks.items import ITEM_SCHEMA
from carto_audit.contamination.detectability import FORMS, Detectability
from carto_audit.contamination.disguises.honest import DISGUISES
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import atomic_path, open_regular, reason
from carto_audit.text import alignment, folding, letters, lookalikes, loose_words, minhash, words
from carto_audit.text.minhash import permutations
from carto_audit.text.untrusted import safe_inline
from carto_audit.text.words import Ragged

MAKERS: tuple[types.ModuleType, ...] = (
    hash_tables,
    index,
    letter_runs,
    programs,
    rare_words,
    surprisal,
    translations,
    alignment,
    folding,
    letters,
    lookalikes,
    loose_words,
    minhash,
    words,
)
"""The modules that an index is built with, however deep. How items are read does not count: an index holds them as read."""

_MAGIC = b"carto-audit index 1\n"
_DIGEST = 64  # hex digits
_DTYPES = ("|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")
_BITS = "bits"  # booleans, eight to a byte
_REBUILD = "carto-audit benchmarks build"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """An index, what it can find, and the setting that both were made under."""

    index: Index
    detectability: Detectability
    setting: Mapping[str, Any]


def current_setting() -> dict[str, Any]:
    """Everything that an index depends on besides its items. Two settings that differ in any of it are not comparable.

    The constants of the modules that make an index are taken as they stand there; `permutations` pins what datasketch draws.
    """
    sampled = permutations(index.NUM_PERM, index.SEED)
    return {
        "carto_audit": __version__,
        "layout": hashlib.sha256(_layout(Index).encode()).hexdigest()[:16],
        "normalization": words.HASHES,
        "unicode": unicodedata.unidata_version,
        "datasketch": datasketch.__version__.split(".")[0],
        "scheme": "affine32",
        "permutations": hashlib.sha256(b"".join(part.tobytes() for part in sampled)).hexdigest()[:16],
        "forms": [*FORMS, *DISGUISES],
        **{name: value for module in MAKERS for name, value in _constants(module).items()},
    }


def _constants(module: types.ModuleType) -> dict[str, Any]:
    """A module's constants, tuples as the lists that JSON makes of them."""
    plain = {name: value for name, value in vars(module).items() if name.isupper() and _is_plain(value)}
    maker = module.__name__.rpartition(".")[2]
    return {f"{maker}.{name}": json.loads(json.dumps(plain[name])) for name in sorted(plain)}


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple) else isinstance(value, bool | int | float | str)


def write_index(path: Path, built: Index, detectability: Detectability) -> None:
    """Writes the index, whole or not at all; the same index gives the same bytes. Raises AuditError on a full disk."""
    payload = _Payload()
    header = {
        "setting": current_setting(),
        "made_with": {"numpy": np.__version__, "datasketch": datasketch.__version__, "pyarrow": pa.__version__},
        "index": payload.put(built),
        "detectability": payload.put(detectability),
        "arrays": payload.arrays,
    }
    head = json.dumps(header, sort_keys=True).encode("utf-8")
    parts = [f"{len(head)}\n".encode(), head, *payload.blocks]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(_MAGIC + digest.hexdigest().encode() + b"\n")
        stream.writelines(parts)


def read_index(path: Path) -> IndexFile:
    """Reads an index. Raises AuditError in one line when it is damaged, or was made under another setting."""
    shown = safe_inline(str(path), 160)
    try:
        with open_regular(path, follow=True) as stream:
            data = stream.read()
    except OSError as error:
        raise AuditError(f"{shown}: cannot read this index: {reason(error)}; build it with {_REBUILD}") from error
    start = len(_MAGIC) + _DIGEST + 1
    if not data.startswith(_MAGIC):
        kind = "made by another version" if data.startswith(_MAGIC[:17]) else "no carto-audit index"
        raise AuditError(f"{shown}: {kind}; build it with {_REBUILD}")
    sealed = memoryview(data)[start:]
    if hashlib.sha256(sealed).hexdigest().encode() + b"\n" != data[len(_MAGIC) : start]:
        raise AuditError(f"{shown}: this index is damaged or not whole; build it again with {_REBUILD}")
    try:
        return _decode(sealed, shown)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError, pa.ArrowException) as error:
        detail = safe_inline(str(error), 120)
        raise AuditError(
            f"{shown}: this index contradicts itself ({detail}); build it again with {_REBUILD}"
        ) from error


def is_index_file(path: Path) -> bool:
    """Whether the file begins as an index does, of whatever version."""
    try:
        with open_regular(path, follow=True) as stream:
            return stream.read(17) == _MAGIC[:17]
    except OSError:
        return False


def _decode(sealed: memoryview, shown: str) -> IndexFile:
    line, _, _ = bytes(sealed[:20]).partition(b"\n")
    begin = len(line) + 1
    header = json.loads(bytes(sealed[begin : begin + int(line)]))
    if not isinstance(header["setting"], dict) or not isinstance(header["made_with"], dict):
        raise TypeError("its setting is no list of names")
    if trouble := _difference(header["setting"], header["made_with"]):
        raise AuditError(f"{shown}: {trouble}; build it again with {_REBUILD}")
    source = _Source(sealed[begin + int(line) :], header["arrays"])
    built = source.get(Index, header["index"])
    detectability = source.get(Detectability, header["detectability"])
    _check(built, detectability)
    return IndexFile(index=built, detectability=detectability, setting=header["setting"])


def _difference(made: Mapping[str, Any], made_with: Mapping[str, Any]) -> str:
    """The first thing in which the setting of a file differs from ours, in words."""
    ours = current_setting()
    for name in [*ours, *made]:
        if made.get(name) != ours.get(name):
            version = safe_inline(str(made.get("carto_audit")), 20)
            libraries = ", ".join(f"{safe_inline(k, 20)} {safe_inline(str(v), 20)}" for k, v in made_with.items())
            theirs, here = (safe_inline(str(setting.get(name)), 60) for setting in (made, ours))
            told = f"is {theirs}; here it is {here}" if theirs != here else "is another"
            return f"made by carto-audit {version} with {libraries}, where {safe_inline(name, 40)} {told}"
    return ""


def _check(built: Index, detectability: Detectability) -> None:
    """What the rest of the package takes on trust: items, their rows and their benchmarks belong together."""
    items = [benchmark.items.num_rows for benchmark in built.benchmarks]
    owner = np.repeat(np.arange(len(items)), items)
    row = np.concatenate([np.arange(count) for count in items] or [np.empty(0, np.int64)])
    if not np.array_equal(built.item_benchmark, owner) or not np.array_equal(built.item_row, row):
        raise ValueError("its items and its benchmarks do not belong together")
    if len(built.items) != len(built.component) or len(built.words) != len(built.component):
        raise ValueError("its groups are of different numbers")
    if len(built.items.values) and not 0 <= built.items.values.min() <= built.items.values.max() < len(owner):
        raise ValueError("a group holds an item that does not exist")
    if detectability.forms != FORMS or detectability.found.shape != (len(FORMS), len(owner)):
        raise ValueError("detectability is not about these items")
    if [set(shares) for shares in detectability.disguised] != [set(DISGUISES)] * len(built.benchmarks):
        raise ValueError("detectability in disguise is not about these benchmarks")


class _Payload:
    """Values on their way into a file: arrays go into blocks, everything else into the header."""

    def __init__(self) -> None:
        self.arrays: list[dict[str, Any]] = []
        self.blocks: list[bytes] = []

    def put(self, value: Any) -> Any:
        """The header's stand-in for a value: a dataclass by its fields, an array by its number."""
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, pa.Table):
            sink = io.BytesIO()
            pq.write_table(value, sink, compression="zstd")
            return self._array(np.frombuffer(sink.getvalue(), np.uint8))
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: self.put(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, tuple | list):
            return [self.put(inner) for inner in value]
        if isinstance(value, dict):
            return {str(key): self.put(inner) for key, inner in value.items()}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"an index cannot hold a {type(value).__name__}")

    def _array(self, array: NDArray[Any]) -> int:
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        is_bits = plain.dtype == np.bool_
        stored = np.packbits(plain) if is_bits else plain
        self.arrays.append({"dtype": _BITS if is_bits else plain.dtype.str, "shape": list(array.shape)})
        self.blocks.append(stored.tobytes())
        return len(self.arrays) - 1


class _Source:
    """Values on their way out of a file. What a value is follows from our own annotations, never from the file."""

    def __init__(self, payload: memoryview, arrays: list[dict[str, Any]]) -> None:
        self._arrays = arrays
        self._payload = payload
        self._begins = [0]
        for entry in arrays:
            self._begins.append(self._begins[-1] + _size(entry))
        if self._begins[-1] != len(payload):
            raise ValueError("its arrays and its length disagree")

    def get(self, hint: Any, node: Any) -> Any:
        """The value of type `hint` that `put` made `node` of. Raises ValueError or TypeError when it is none."""
        if hint is pa.Table:
            return self._table(node)
        if isinstance(hint, type) and is_dataclass(hint):
            hints = get_type_hints(hint)
            if not isinstance(node, dict) or set(node) != {field.name for field in fields(hint)}:
                raise ValueError(f"its {hint.__name__} has other fields")
            made = hint(**{name: self.get(hints[name], inner) for name, inner in node.items()})
            _CHECKS.get(hint, lambda value: None)(made)
            return made
        origin, inner = get_origin(hint), get_args(hint)
        if origin is np.ndarray:
            return self._array(node, _dtype_of(hint))
        if origin in (tuple, list):
            return self._sequence(origin, inner, node)
        if origin in (dict, Mapping) and isinstance(node, dict):
            return {key: self.get(inner[1], value) for key, value in node.items()}
        if origin in (Union, types.UnionType):
            return None if node is None else self.get(next(kind for kind in inner if kind is not type(None)), node)
        if hint in (bool, int, str) and type(node) is hint:
            return node
        if hint is float and type(node) in (int, float):
            return float(node)
        raise TypeError(f"it holds a {type(node).__name__} where a {hint} belongs")

    def _sequence(self, origin: Any, inner: tuple[Any, ...], node: Any) -> Any:
        if not isinstance(node, list):
            raise TypeError("it holds one value where several belong")
        if origin is tuple and inner[-1:] != (...,):
            return tuple(self.get(kind, value) for kind, value in zip(inner, node, strict=True))
        return origin(self.get(inner[0], value) for value in node)

    def _array(self, node: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        if type(node) is not int or not 0 <= node < len(self._arrays):
            raise ValueError("an array is missing")
        entry = self._arrays[node]
        block = self._payload[self._begins[node] : self._begins[node + 1]]
        if entry["dtype"] == _BITS:
            count = math.prod(entry["shape"])
            array = np.unpackbits(np.frombuffer(block, np.uint8), count=count).astype(bool)
        else:
            array = np.frombuffer(block, np.dtype(entry["dtype"])).astype(np.dtype(entry["dtype"]).newbyteorder("="))
        if array.dtype != dtype:
            raise ValueError(f"an array of {dtype} is one of {array.dtype}")
        return array.reshape(entry["shape"])

    def _table(self, node: Any) -> pa.Table:
        table = pq.read_table(pa.BufferReader(self._array(node, np.dtype(np.uint8)).tobytes()))
        if table.schema != ITEM_SCHEMA:
            raise ValueError("its items have other columns")
        table.validate(full=True)
        return table


def _size(entry: Mapping[str, Any]) -> int:
    """Bytes of one array. Raises ValueError for a type or a shape that no index has."""
    shape, dtype = entry["shape"], entry["dtype"]
    if not isinstance(shape, list) or len(shape) > 3 or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise ValueError("an array has an impossible shape")
    count = math.prod(shape)
    if dtype == _BITS:
        return (count + 7) // 8
    if dtype not in _DTYPES:
        raise ValueError("an array has an impossible type")
    return count * int(np.dtype(dtype).itemsize)


def _dtype_of(hint: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(get_args(get_args(hint)[1])[0])
    return dtype


def _check_offsets(value: Any) -> None:
    offsets, values = value.offsets, value.values
    if offsets.ndim != 1 or values.ndim != 1 or not len(offsets) or offsets[0] or offsets[-1] != len(values):
        raise ValueError("a list's offsets and its values disagree")
    if (np.diff(offsets) < 0).any():
        raise ValueError("a list's offsets go back")


def _check_table(value: HashTable) -> None:
    size = len(value.bitmap)
    if value.values.ndim != 1 or (value.values[1:] <= value.values[:-1]).any():
        raise ValueError("a table of hashes is not in order")
    if size < 2 or size & (size - 1):
        raise ValueError("a table of hashes has a broken bitmap")
    if not np.array_equal(value.begins, hash_table(value.values).begins):
        raise ValueError("a table of hashes says wrong where its values begin")


_CHECKS: dict[type, Callable[[Any], None]] = {
    Ragged: _check_offsets,
    Lists: _check_offsets,
    HashTable: _check_table,
}


def _layout(hint: Any) -> str:
    """A type spelled out down to its arrays: it changes when a field is added, renamed or stored otherwise."""
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint)
        return f"{hint.__name__}({', '.join(f'{f.name}: {_layout(hints[f.name])}' for f in fields(hint))})"
    inner = get_args(hint)
    if get_origin(hint) is np.ndarray:
        return str(_dtype_of(hint))
    name = getattr(hint, "__name__", str(hint))
    return f"{name}[{', '.join(_layout(kind) for kind in inner)}]" if inner else name
