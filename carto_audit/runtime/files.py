"""Files: whole or absent. Everything is written under a temporary name and renamed, so a file that exists is complete."""

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.lock import locked
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from pyarrow import Schema, Table

_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into an AuditError of one line: a full disk, a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        where = safe_inline(str(path), 160)
        raise AuditError(f"{where}: cannot write: {reason(error)}; free some space or choose another place") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it when the block ends well, deletes it when it does not.

    Raises AuditError in one line when the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder beside `path`; it takes the place of `path` when the block ends well, and is gone
    when it does not. Where the system can swap two names, one of the two folders stands at any moment; what a killed run left
    is removed. Raises AuditError in one line when the disk is full, the folder cannot be written, or another run writes it.
    """
    temporary, former = (path.with_name(f".{path.name}.{kind}") for kind in ("tmp", "old"))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock")):
            if former.exists() and not path.exists():
                former.rename(path)
            try:
                for leftover in (temporary, former):
                    shutil.rmtree(leftover, ignore_errors=True)
                temporary.mkdir()
                yield temporary
                if path.exists() and not _swapped(temporary, path):
                    path.rename(former)
                if not path.exists():
                    temporary.rename(path)
            finally:
                for leftover in (temporary, former):
                    shutil.rmtree(leftover, ignore_errors=True)


def _swapped(one: Path, other: Path) -> bool:
    """Swaps two names in one step. False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return rename is not None and not rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)


def reason(error: OSError) -> str:
    """Why the system refused, in its own words: libraries wrap them in their own, or lose them."""
    return os.strerror(error.errno) if error.errno else safe_inline(str(error), 160) or type(error).__name__


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (NaN is a bug, not a number) with sorted keys, so equal values give equal bytes."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """The bytes that `write_json` writes. Raises ValueError for what strict JSON in UTF-8 cannot hold."""
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n").encode("utf-8")


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    with open_regular(path, follow=True) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_table(path: Path, table: "Table", compression: str = "snappy") -> None:
    """Writes a table as Parquet, whole or not at all. Arrow itself opens only what is called by UTF-8."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        pq.write_table(table, stream, compression=compression)


def read_table(path: Path, columns: list[str] | None = None, schema: "Schema | None" = None) -> "Table":
    """A Parquet file as a table, whatever it is called. Raises OSError and what Arrow raises."""
    import pyarrow.parquet as pq

    with open_regular(path, follow=True) as stream:
        return pq.read_table(stream, columns=columns, schema=schema)


def name_text(path: str | Path) -> str:
    """A path or a name as the text that its bytes are, the same in every locale: in that of C, the system's names are ASCII to
    Python. Bytes that are not UTF-8 are surrogates."""
    try:
        return os.fsencode(path).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no name that this locale could give to a file
        return str(path)


def path_of(text: str) -> Path:
    """The path that has this text for its name, in every locale."""
    try:
        return Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))
    except UnicodeEncodeError:  # no name of any file
        return Path(os.fsdecode(text.encode("utf-8", "replace")))


def open_regular(path: Path, *, follow: bool) -> BufferedReader:
    """Opens a regular file for reading: never a pipe, which would wait, and no symbolic link unless `follow`.

    Raises OSError, with `errno.ELOOP` for a link.
    """

    def opener(name: str, flags: int) -> int:
        links = 0 if follow else getattr(os, "O_NOFOLLOW", 0)
        return os.open(name, flags | links | getattr(os, "O_NONBLOCK", 0))

    if not follow and path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    stream = open(path, "rb", opener=opener)  # noqa: SIM115 (the caller closes it)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError("not a regular file")
    return stream


def read_regular(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """The bytes of a regular file that is no link, unless `follow`. Raises OSError, also for more than `limit` bytes."""
    with open_regular(path, follow=follow) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"larger than {limit >> 20} MB")
    return data


def made_folder(path: Path) -> Path:
    """The folder, made where it is missing. Raises AuditError in one line where it cannot be."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


SPOOL = "CARTO_AUDIT_SPOOL"
"""The variable that names the folder for copies of what is fetched, where that is not in this user's cache."""

VIEWS = "views"
"""Inside it: a folder for each delivery, with every object below its scheme, its store and its key."""

_MARK = "\x1a"
"""Begins what stands in the name of a copy in place of what no file can be called: `-` for nothing, two hexadecimal digits for a
character, `+` for the rest of a part that is too long for one folder, `=` for a file of whose name there is a folder."""

_LONGEST_PART = 160
"""Bytes of one part of a copy's name: a key has parts of any length, a folder takes 255."""


def spool_root() -> Path:
    """Where copies of what is fetched lie, one place for all runs. Raises RuntimeError where there is no home."""
    named = os.environ.get(SPOOL)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(named) if named else cache / "carto-audit" / "spool").resolve()


def copy_name(key: str) -> str:
    """What the copy of an object is called below its store: the key itself where a file can be called so, and never a name that
    leads anywhere else. `told` reads it back."""
    return "/".join("/".join(_pieces(part)) for part in key.split("/"))


def beside_folder(name: str) -> str:
    """The name of a copy whose own name a folder has."""
    above, _, last = name.rpartition("/")
    return f"{above}/{_MARK}={last}" if above else f"{_MARK}={last}"


def _pieces(part: str) -> list[str]:
    part = part.replace(_MARK, f"{_MARK}1a").replace("\0", f"{_MARK}00")
    part = {"": f"{_MARK}-", ".": f"{_MARK}2e", "..": f"{_MARK}2e{_MARK}2e"}.get(part, part)
    pieces, room = [part], _LONGEST_PART
    for place in range(len(part) - 1, 0, -1):  # from the end, so that the suffix stays whole
        room -= len(part[place].encode("utf-8", "surrogatepass"))
        if room < 4:  # bytes of one character
            pieces[:1] = [part[:place], f"{_MARK}+{part[place : len(pieces[0])]}"]
            room = _LONGEST_PART
    return pieces


def told(path: str | Path) -> str:
    """A path as whoever runs the command knows it: of a copy of what was fetched the URI, of every other file its own name as
    text."""
    text = name_text(path)
    if f"/{VIEWS}/" not in text:
        return text
    views = f"{name_text(spool_root() / VIEWS)}/"
    if not text.startswith(views):
        return text
    below = text.removeprefix(views).partition("/")[2]
    below = below.replace(f"{_MARK}=", "").replace(f"/{_MARK}+", "").replace(f"{_MARK}-", "")
    return re.sub(f"{_MARK}([0-9a-f]{{2}})", lambda found: chr(int(found[1], 16)), below.replace("/", "://", 1))


def told_below(path: Path, folder: Path) -> str:
    """The name of a file below a folder, as `told` says it."""
    return told(path).removeprefix(f"{told(folder)}/")


def shown_path(path: str | Path) -> str:
    """A path in one line, safe to print."""
    return safe_inline(told(path), 160)


def not_fetched(path: Path) -> str:
    """The way out for a path that looks like an address; empty for any other."""
    address = re.match(r"[a-z][a-z0-9]{1,9}:", str(path))
    return "; only what a command takes as its BATCH is fetched: download this first" if address else ""


@contextmanager
def folder_for(named: Path | None) -> Iterator[Path]:
    """The folder that was named, or a temporary one that is removed where nothing comes of it."""
    if named is not None:
        yield named
        return
    folder = Path(tempfile.mkdtemp(prefix="carto-audit-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
