"""A delivery: every file behind the inputs is read, or named with a reason. Costs the first bytes of each file, no more."""

import json
import os
import stat
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Literal

from carto_audit.data.formats.side_files import LARGEST_DOCUMENT, SIDE_DOCUMENTS, has_side_name, is_document, is_packed
from carto_audit.data.readers import (
    KNOWN_FORMATS,
    KNOWN_SUFFIXES,
    format_of,
    has_rows,
    mentions_format,
    name_of,
)
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import not_fetched, read_regular, reason, told_below
from carto_audit.text.untrusted import safe_inline

STATE = "state.json"
"""Names the files of a data set that `save_to_disk` of `datasets` wrote; others in its folder are of no data set."""

UNFINISHED = "_temporary"
"""The folder in which writers keep what they did not finish, and readers look no more than in a hidden one."""

EXPLANATIONS = {
    "dangling_link": "a link to nothing",
    "link_out": "a link out of the delivery",
    "same_file": "a link to a file that is counted itself",
    "not_regular": "a pipe, socket or device",
    "side_file": "about the data, not data",
    "missing": "named by state.json, but not there",
    "not_listed": "not of the saved data set, as its state.json says",
    "hidden": "hidden",
    "unknown_format": "unknown format",
    "empty": "no rows",
    "not_chosen": "not of the configuration and split that were chosen",
    "other_columns": "none of the columns that the others have",
    "holds_items": "not data by its name, but it holds benchmark items",
}
"""Why a file was not read."""

Reason = (
    Literal["missing", "dangling_link", "link_out", "same_file", "not_regular", "side_file", "hidden"]
    | Literal["not_listed", "unknown_format", "empty", "not_chosen", "other_columns", "holds_items"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherFile:
    """A file of the delivery that is not read."""

    path: Path
    name: str
    """Below what was given, safe to print."""
    n_bytes: int
    """0 for a link: its target is counted where it lies."""
    reason: Reason
    is_data: bool
    """Whether it counts as data that went unread, not as a file beside the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What lies behind the inputs, each file once: in `paths` the data files to read, in order, and all `others` by name."""

    paths: tuple[Path, ...]
    sizes: tuple[int, ...]
    """Bytes of each, aligned with `paths`."""
    names: tuple[str, ...]
    """The name of each below what was given, safe to print, aligned with `paths`."""
    given: tuple[bool, ...]
    """Whether each was given itself, not found in a folder or by a glob, aligned with `paths`."""
    others: tuple[OtherFile, ...]

    def without(self, places: Collection[int], reason: Reason) -> "Delivery":
        """The same delivery, where some of `paths` are data that is not read after all."""
        kept = [place for place in range(len(self.paths)) if place not in places]
        left = tuple(
            OtherFile(
                path=self.paths[place],
                name=self.names[place],
                n_bytes=self.sizes[place],
                reason=reason,
                is_data=True,
            )
            for place in sorted(places)
        )
        return Delivery(
            paths=tuple(self.paths[place] for place in kept),
            sizes=tuple(self.sizes[place] for place in kept),
            names=tuple(self.names[place] for place in kept),
            given=tuple(self.given[place] for place in kept),
            others=(*self.others, *left),
        )

    @property
    def beside(self) -> tuple[OtherFile, ...]:
        """The files that count as no data and hold something."""
        return tuple(other for other in self.others if not other.is_data and other.n_bytes)

    def with_items(self, paths: Collection[Path]) -> "Delivery":
        """The same delivery, where some files beside the data count as data that is not read, for they hold benchmark items."""
        others = tuple(
            replace(other, reason="holds_items", is_data=True) if other.path in paths else other
            for other in self.others
        )
        return replace(self, others=others)

    def with_items_beside_rows(self, path: Path) -> "Delivery":
        """The same delivery, where what a document says beside its rows counts as data that is not read."""
        name = f"{self.names[self.paths.index(path)]}, beside its rows"
        return replace(
            self, others=(*self.others, OtherFile(path=path, name=name, n_bytes=0, reason="holds_items", is_data=True))
        )

    @property
    def unread(self) -> tuple[OtherFile, ...]:
        """The data files among the others."""
        return tuple(other for other in self.others if other.is_data)

    @property
    def unread_share(self) -> float:
        """Of all data files, those that are not read."""
        return len(self.unread) / max(1, len(self.unread) + len(self.paths))

    def check_read(self) -> None:
        """Raises AuditError where a data file is not read."""
        if self.unread:
            raise AuditError(
                f"{_unread_words(self.unread)}; deliver all data as plain files in a known format, "
                f"or leave out {option('strict_input')}"
            )


def find_delivery(inputs: Sequence[str | Path], *, apart: Path | None = None) -> Delivery:
    """The files behind files, folders and globs, sorted inside each input. Nothing below `apart` is of the delivery.

    A link that was given itself is followed, no other. Raises UsageError for a path that does not exist or has no known format,
    AuditError for a folder with nothing to read.
    """
    entries: dict[Path, _Entry] = {}
    folders: list[Path] = []
    for given in map(Path, inputs):
        matches = _matches(given)
        found = _found(given, matches, apart.resolve() if apart else None)
        _check(given, found)
        folders += [match.resolve() for match in matches if _is_walked(match, given)]
        for entry in found:
            known = entries.get(entry.place, entry)
            entries[entry.place] = max(known, entry, key=lambda one: (one.is_named, not one.is_hidden))
    named = {entry.name for entry in entries.values() if entry.is_named}
    once = [entry for entry in entries.values() if entry.is_named or entry.name not in named]
    return _sorted_out(once, _Whole(folders=tuple(folders), places=frozenset(entries)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One name in the file system."""

    path: Path
    below: Path
    """Below what was given."""
    is_named: bool
    """Whether it was given itself, not found in a folder or by a glob."""
    name: Path
    """Its own full name, links in the folders above followed."""
    place: Path
    """Where it lies: the same, or its target where it is a link that was named."""
    is_link: bool
    mode: int | None
    """None where there is nothing."""
    n_bytes: int
    is_unlisted: bool = False
    """Whether the state.json of its folder names the files of a saved data set, and not this one."""

    @property
    def is_hidden(self) -> bool:
        """Whether readers that are told a folder would pass it over. What was named is not hidden."""
        parts = self.below.parts
        return not self.is_named and any(part.startswith(".") or part == UNFINISHED for part in parts)

    @property
    def may_be_read(self) -> bool:
        """Whether it is a data file to read, though it may have no rows. What was named is one by its format alone."""
        regular = self.mode is not None and stat.S_ISREG(self.mode) and not self.is_link
        beside = not self.is_named and (self.is_hidden or self.is_side_file or self.is_unlisted)
        return regular and format_of(self.path) is not None and not beside

    @property
    def above(self) -> Path:
        """The full name of the folder that was given, or of the folder of a file that was given."""
        return self.name.parents[len(self.below.parts) - 1]

    @property
    def is_side_file(self) -> bool:
        """Whether it is about the data, by its name and, where the name is one of data too, by its content."""
        if self.path.name.lower() in SIDE_DOCUMENTS:
            return is_document(self.path)
        return format_of(self.path) is None and has_side_name(self.path) and self.n_bytes <= LARGEST_DOCUMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """All that was given: a link that leads into it leads to what is counted itself."""

    folders: tuple[Path, ...]
    places: frozenset[Path]

    def holds(self, entry: _Entry) -> bool:
        target = Path(os.path.realpath(entry.path))
        return target in self.places or any(target.is_relative_to(folder) for folder in self.folders)


@dataclass(frozen=True, slots=True)
class _Kind:
    """One reason not to read a file, whether such a file counts as data, and how it is told."""

    reason: Reason
    is_data: bool
    fits: Callable[[_Entry, _Whole], bool]


_KINDS = (
    _Kind("missing", True, lambda entry, _: entry.mode is None and not entry.is_link),
    _Kind("dangling_link", True, lambda entry, _: entry.mode is None),
    _Kind("link_out", True, lambda entry, whole: entry.is_link and not whole.holds(entry)),
    _Kind("same_file", False, lambda entry, _: entry.is_link),
    _Kind("not_regular", True, lambda entry, _: not stat.S_ISREG(entry.mode or 0)),
    _Kind("side_file", False, lambda entry, _: entry.is_side_file),
    _Kind("hidden", False, lambda entry, _: entry.is_hidden and entry.n_bytes == 0),
    _Kind("hidden", True, lambda entry, _: entry.is_hidden and (mentions_format(entry.path) or is_packed(entry.path))),
    _Kind("hidden", True, lambda entry, _: entry.is_hidden and entry.n_bytes > LARGEST_DOCUMENT),
    _Kind("hidden", False, lambda entry, _: entry.is_hidden),
    _Kind("not_listed", True, lambda entry, _: entry.is_unlisted and format_of(entry.path) is not None),
    _Kind("unknown_format", False, lambda entry, _: format_of(entry.path) is None and entry.n_bytes == 0),
    _Kind("unknown_format", True, lambda entry, _: format_of(entry.path) is None),
    _Kind("empty", False, lambda entry, _: _is_empty(entry)),
)
"""In order: the first that fits. What none fits is read."""


def _sorted_out(entries: list[_Entry], whole: _Whole) -> Delivery:
    """The entries that are read, and the others with their reasons. Where nothing is left to read, empty files are read after
    all, which says so, and documents that were named."""
    kinds = [next((kind for kind in _KINDS if kind.fits(entry, whole)), None) for entry in entries]
    if None not in kinds:
        kinds = [None if entry.may_be_read else kind for entry, kind in zip(entries, kinds, strict=True)]
    read = [entry for entry, kind in zip(entries, kinds, strict=True) if kind is None]
    root = Path(os.path.commonpath([entry.above for entry in entries])) if entries else Path()
    return Delivery(
        paths=tuple(entry.path for entry in read),
        sizes=tuple(entry.n_bytes for entry in read),
        names=tuple(_shown(told_below(entry.name, root)) for entry in read),
        given=tuple(entry.is_named for entry in read),
        others=tuple(
            OtherFile(
                path=entry.path,
                name=_shown(told_below(entry.name, root)),
                n_bytes=0 if entry.is_link else entry.n_bytes,
                reason=kind.reason,
                is_data=kind.is_data,
            )
            for entry, kind in zip(entries, kinds, strict=True)
            if kind is not None
        ),
    )


def _matches(given: Path) -> list[Path]:
    """The files and folders that an input names, sorted. Raises UsageError for a name that the system does not take."""
    try:
        return [given] if given.exists() else sorted(Path(match) for match in glob(str(given), recursive=True))
    except OSError as error:
        raise UsageError(f"{name_of(given)}: {reason(error)}") from error


def _is_walked(match: Path, given: Path) -> bool:
    return match.is_dir() and (match == given or not match.is_symlink())


def _found(given: Path, matches: list[Path], apart: Path | None) -> list[_Entry]:
    """All files behind an input, sorted. Raises UsageError for a folder that the system does not open."""
    found: list[_Entry] = []
    try:
        for match in matches:
            found += _walk(match, apart) if _is_walked(match, given) else [_entry(match, is_named=match == given)]
    except OSError as error:
        raise UsageError(f"{name_of(given)}: {reason(error)}") from error
    return sorted(found, key=lambda entry: entry.path)


def _walk(folder: Path, apart: Path | None) -> list[_Entry]:
    """Everything in a folder that is no folder itself; no link is followed."""
    folders, files = [folder], []
    while folders:
        with os.scandir(folders.pop()) as listed:
            for entry in listed:
                if not entry.is_dir(follow_symlinks=False):
                    files.append(Path(entry.path))
                elif Path(entry.path).resolve() != apart:
                    folders.append(Path(entry.path))
    where = folder.resolve()
    found = [_entry(path, where, path.relative_to(folder)) for path in files]
    states = {path.parent: _listed(path) for path in files if path.name == STATE}
    return [part for entry in found for part in _as_listed(entry, states.get(entry.path.parent, ()))]


def _listed(state: Path) -> tuple[str, ...]:
    """The files of a data set that `save_to_disk` wrote, as its state.json names them; none where it is no such document."""
    try:
        named = json.loads(read_regular(state, LARGEST_DOCUMENT, follow=True))["_data_files"]
        return tuple(str(file["filename"]) for file in named)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ()


def _as_listed(entry: _Entry, listed: Sequence[str]) -> list[_Entry]:
    """The entry, marked where it is not of the data set; with the state itself, what it names and is not there."""
    if not listed:
        return [entry]
    if entry.path.name != STATE:
        return [replace(entry, is_unlisted=entry.path.name not in listed)]
    lost = [name for name in dict.fromkeys(listed) if not os.path.lexists(entry.path.with_name(_inside(name)))]
    return [entry, *(_missing(entry, _inside(name)) for name in lost)]


def _inside(name: str) -> str:
    """A name that leads nowhere but to a file beside."""
    safe = name.encode("utf-8", "replace").decode().replace("/", "_").replace("\0", "_")
    return "_" if safe in ("", ".", "..") else safe


def _missing(state: _Entry, name: str) -> _Entry:
    """A file that is named beside its state and not there."""
    beside = {part: getattr(state, part).with_name(name) for part in ("path", "below", "name", "place")}
    return replace(state, **beside, mode=None, n_bytes=0, is_link=False)


def _entry(path: Path, above: Path | None = None, below: Path | None = None, *, is_named: bool = False) -> _Entry:
    """The file at `below` in the folder `above`, by default in its own. A link to nothing has no mode. Raises OSError."""
    is_link, mode, n_bytes = path.is_symlink(), None, 0
    try:
        status = path.stat()
        mode, n_bytes = status.st_mode, status.st_size
    except OSError:
        if not is_link:
            raise
    above, below = above or path.parent.resolve(), below or Path(path.name)
    return _Entry(
        path=path,
        below=below,
        is_named=is_named,
        name=above / below,
        place=Path(os.path.realpath(path)) if is_named else above / below,
        is_link=is_link and not is_named,
        mode=mode,
        n_bytes=n_bytes if mode is not None and stat.S_ISREG(mode) else 0,
    )


def _check(given: Path, found: list[_Entry]) -> None:
    """Raises where an input has nothing that could be read."""
    if any(entry.may_be_read for entry in found):
        return
    if given.is_dir():
        others = [_shown(told_below(entry.name, entry.above)) for entry in found]
        instead = f"; it holds {others[0]}" + (f" and {len(others) - 1:,} more" if others[1:] else "") if others else ""
        raise AuditError(f"{name_of(given)}: no {KNOWN_FORMATS} file in this folder: nothing to audit{instead}")
    if given.exists():
        what = "unknown format" if stat.S_ISREG(given.stat().st_mode) else "not a file"
        raise UsageError(f"{name_of(given)}: {what}; give {KNOWN_SUFFIXES}")
    raise UsageError(
        f"{name_of(given)}: no such file or folder{' that can be read' if found else ''}{not_fetched(given)}"
    )


def _is_empty(entry: _Entry) -> bool:
    """Whether a data file has no rows. What cannot be read is not empty, and reading it says what is wrong."""
    try:
        return entry.n_bytes == 0 or not has_rows(entry.path)
    except AuditError:
        return False


def _shown(name: str) -> str:
    """A name that is safe to print; bytes that are no text stand as they are written in a program."""
    return safe_inline(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), 160)


def _unread_words(unread: Sequence[OtherFile]) -> str:
    """`part-1.jsonl.7z (unknown format) and 4 more data files are not read`."""
    first = f"{unread[0].name} ({EXPLANATIONS[unread[0].reason]})"
    return f"{first} and {len(unread) - 1:,} more data files are not read" if unread[1:] else f"{first} is not read"
