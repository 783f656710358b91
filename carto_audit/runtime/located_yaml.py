"""Located YAML: one hand-written file as plain values that remember their place: file, line and column."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedOrderedMap, CommentedSeq
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLWarning
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scalarbool import ScalarBoolean
from ruamel.yaml.tokens import (
    AliasToken,
    BlockEndToken,
    BlockMappingStartToken,
    BlockSequenceStartToken,
    FlowMappingEndToken,
    FlowMappingStartToken,
    FlowSequenceEndToken,
    FlowSequenceStartToken,
)

from carto_audit.text.untrusted import safe_inline

_MAX_BYTES = 256 * 1024  # a generous policy is 20 KB; ruamel's pure parser reads about 100 KB a second

DEEPEST = 100
"""Lists and objects in each other: the parser's time grows with the square."""

TOO_DEEP, REPEATED = "has lists in lists without end", "repeats itself by aliases"

_OPENING = (BlockMappingStartToken, BlockSequenceStartToken, FlowMappingStartToken, FlowSequenceStartToken)
_CLOSING = (BlockEndToken, FlowMappingEndToken, FlowSequenceEndToken)
_MANY_OPENED = re.compile(rf"(?:[\[{{][ \n]{{0,80}}){{{DEEPEST + 1}}}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A spot in a file; `line` is 0 when the complaint is about the file as a whole."""

    file: str
    line: int = 0
    column: int = 0
    path: str = ""

    def child(self, part: int | str, line: int | None = None, column: int | None = None) -> "Place":
        """The place of a key or item inside this one; without a line of its own it stands where its parent stands."""
        path = f"{self.path}.{part}" if self.path else str(part)
        return Place(file=self.file, line=line or self.line, column=column or self.column, path=path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong in one file."""

    place: Place
    message: str

    def __str__(self) -> str:
        place = self.place
        spot = f":{place.line}:{place.column}" if place.line else ""
        path = f" {safe_inline(place.path, 120)}:" if place.path else ""
        return f"{safe_inline(place.file, 400)}{spot}:{path} {safe_inline(self.message, 500)}"


class Table(dict[str, Any]):
    """A mapping of plain values, with the place of itself and of each key."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[int | str, Place] = {}

    def put(self, key: str, value: Any, place: Place) -> None:
        """Sets a key together with where it was written."""
        self[key] = value
        self.places[key] = place


class Items(list[Any]):
    """A list of plain values, with the place of itself and of each item."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[int | str, Place] = {}

    def add(self, value: Any, place: Place) -> None:
        """Appends an item together with where it was written."""
        self.places[len(self)] = place
        self.append(value)


def place_of(tree: Table, path: Sequence[int | str]) -> Place:
    """Where `path` stands; what is missing is placed at the nearest thing around it."""
    place: Place = tree.place
    node: Any = tree
    for part in path:
        if not isinstance(node, Table | Items) or part not in node.places:
            return place.child(part)
        place = node.places[part]
        node = node.get(str(part)) if isinstance(node, Table) else node[int(part)]
    return place


def anchored(place: Place) -> Place:
    """The place with its file as a CI system names it: relative to the current folder where it lies inside, as it was
    given where that is relative, else by its bare name. So the same policy gives the same bytes from any folder."""
    path = Path(place.file)
    if path.is_absolute():
        path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else Path(path.name)
    return replace(place, file=safe_inline(path.as_posix(), 400))


def read_located_yaml(path: Path, shown: str, kind: str = "policy") -> tuple[Table | None, list[Problem]]:
    """The file's values with their places, and everything that is wrong with it as YAML; None when nothing is readable.

    `shown` is the name that messages use, and `kind` what they call the file. Aliases, tags, merge keys and empty values are
    refused: such a file says everything once and in the open.
    """
    return read_located_bytes(path, shown, kind)[1:]


def read_located_bytes(path: Path, shown: str, kind: str) -> tuple[bytes, Table | None, list[Problem]]:
    """The file's bytes, and what `read_located_yaml` makes of them."""
    top = Place(file=shown)
    try:
        data = _read_data(path, kind)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return b"", None, [Problem(place=top, message=f"not UTF-8 text; a {kind} is a YAML file saved as UTF-8")]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return b"", None, [Problem(place=top, message=f"cannot read the {kind}: {reason or error}")]
    problems: list[Problem] = []
    document = _parse(text, top, problems)
    if document is None:
        return data, None, problems
    tree = _Locator(problems, kind).locate(document, Place(file=shown, line=1, column=1))
    return data, tree, problems


def yaml_excess(text: str) -> str:
    """What makes a few lines of YAML stand for more than can be held, or read in time: TOO_DEEP, REPEATED, or "" where nothing
    does. Costs less than parsing; raises what ruamel raises where the text is no YAML."""
    if _MANY_OPENED.search(text):
        return TOO_DEEP
    depth = 0
    for token in YAML(typ="safe", pure=True).scan(text):
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > DEEPEST or isinstance(token, AliasToken):
            return TOO_DEEP if depth > DEEPEST else REPEATED
    return ""


def _is_too_deep(text: str) -> bool:
    try:
        return yaml_excess(text) == TOO_DEEP
    except Exception:  # no YAML: the parser says where
        return False


def _read_data(path: Path, kind: str) -> bytes:
    if not path.exists():
        raise ValueError("no such file")
    if not path.is_file():
        raise ValueError("not a regular file")
    with path.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES // 1024} KB; is this a {kind}?")
    return data


class _Constructor(RoundTripConstructor):
    """ruamel's constructor, except that bad scalars get a place and all repeated keys are noted, not only the first."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.repeated: list[tuple[Any, Any]] = []

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, ArithmeticError) as error:  # such as the 31st of February, without its line
            raise ConstructorError(None, None, str(error), node.start_mark) from error

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key not in mapping:
            return True
        self.repeated.append((key_node.start_mark, key))
        return False


def _parse(text: str, top: Place, problems: list[Problem]) -> CommentedMap | None:
    if _is_too_deep(text):
        problems.append(Problem(place=top, message="nested too deeply"))
        return None
    yaml = YAML(typ="rt", pure=True)
    yaml.Constructor = _Constructor
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", YAMLWarning)
            document = yaml.load(text)
    except RecursionError:
        problems.append(Problem(place=top, message="nested too deeply"))
        return None
    except Exception as error:  # besides YAMLError, ruamel lets ValueError, TypeError and others through on odd scalars
        problems.append(_syntax_problem(error, text, top))
        return None
    for mark, key in yaml.constructor.repeated:
        place = top.child(str(key), mark.line + 1, mark.column + 1)
        problems.append(Problem(place=place, message="this key is written twice; keep one"))
    if isinstance(document, CommentedMap):
        return document
    place = Place(file=top.file, line=1, column=1)
    what = "the file is empty" if document is None else "the file must be a mapping of keys at the top level"
    problems.append(Problem(place=place, message=f"{what}; start with schema_version: 1"))
    return None


def _syntax_problem(error: Exception, text: str, top: Place) -> Problem:
    place = top
    if isinstance(error, ReaderError):  # a control character: only its position is known
        before = text[: error.position]
        place = Place(file=top.file, line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))
    elif isinstance(error, MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        place = Place(file=top.file, line=mark.line + 1, column=mark.column + 1)
    stated = error.problem if isinstance(error, MarkedYAMLError) else str(error).split("\n")[0]
    return Problem(place=place, message=f"not valid YAML: {stated or type(error).__name__}")


class _Locator:
    """Turns ruamel's nodes into plain values with places, and notes what such a file may not contain."""

    def __init__(self, problems: list[Problem], kind: str) -> None:
        self.problems = problems
        self.instead = ", or use extends" if kind == "policy" else ""
        self.seen: set[int] = set()

    def locate(self, node: Any, place: Place) -> Any:
        if isinstance(node, CommentedMap | CommentedSeq):
            return self._container(node, place)
        if isinstance(node, ScalarBoolean):
            return bool(node)
        for plain in (bool, int, float, str):  # bool first, it is an int; ruamel's scalars are subclasses
            if isinstance(node, plain):
                return plain(node)
        if isinstance(node, date):
            return node
        return self._refuse(place, "this is empty; write a value or leave the key out" if node is None else _PLAIN_ONLY)

    def _container(self, node: CommentedMap | CommentedSeq, place: Place) -> Any:
        if id(node) in self.seen:
            return self._refuse(place, f"aliases (*name) are not allowed; write the value again{self.instead}")
        self.seen.add(id(node))
        if isinstance(node, CommentedOrderedMap) or node.tag.value:
            return self._refuse(place, _PLAIN_ONLY)
        return self._items(node, place) if isinstance(node, CommentedSeq) else self._table(node, place)

    def _items(self, node: CommentedSeq, place: Place) -> Items:
        items = Items(place)
        for index, value in enumerate(node):
            line, column = node.lc.item(index)
            here = place.child(index, line + 1, column + 1)
            items.add(self.locate(value, here), here)
        return items

    def _table(self, node: CommentedMap, place: Place) -> Table:
        table = Table(place)
        if node.merge:
            self._refuse(place, f"merge keys (<<) are not allowed; write the values again{self.instead}")
            return table
        for key, value in node.items():
            line, column = node.lc.key(key)
            here = place.child(str(key), line + 1, column + 1)
            if isinstance(key, str):
                table.put(str(key), self.locate(value, here), here)
            else:
                self._refuse(here, "a key must be plain text")
        return table

    def _refuse(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place=place, message=message))


_PLAIN_ONLY = "only plain text, numbers, true/false, dates, lists and mappings are allowed, no tags such as !!python"
