"""The registry: an organisation's benchmarks, listed once in YAML, so that commands and policies call them by name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from carto_audit.benchmarks.column_mappings import ColumnMapping, mapped, ready_mapping
from carto_audit.benchmarks.hub_sets import read_hub
from carto_audit.benchmarks.items import Benchmark, read_benchmark, source_sha256
from carto_audit.runtime.errors import CartoError, UsageError
from carto_audit.runtime.hub import COMMIT, PREFIX, HubName, parse_hub_name
from carto_audit.runtime.located_yaml import Problem, Table, place_of, read_located_yaml
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.strict_model import BenchmarkName, NonBlank, NotBoolean, Strict, nearest
from carto_audit.text.untrusted import safe_inline

REGISTRY = "benchmarks.yaml"
"""The registry's usual name; it is found by it in the current folder."""

INDEX = "benchmarks.cartoindex"
"""Where the index lies, beside the registry, unless it says otherwise."""


class Entry(Strict):
    """One benchmark: a file or folder, or a data set on the hub at a commit; what its columns mean; where its index is."""

    path: NonBlank | None = None
    hub: NonBlank | None = None
    revision: str | None = None
    """The hub's commit, in full: a branch or a tag can come to mean another set."""
    config: NonBlank | None = None
    split: NonBlank | None = None
    mapping: NonBlank | dict[str, str] | None = None
    """The name of a ready mapping, or COMPONENT: COLUMN pairs; left out, the columns are recognized."""
    index: NonBlank | None = None
    """The index file that holds this benchmark; left out, the registry's."""

    @field_validator("hub")
    @classmethod
    def _hub_name(cls, name: str | None) -> str | None:
        try:
            pinned = name is not None and parse_hub_name(PREFIX + name).revision
        except CartoError as error:
            raise ValueError("should be OWNER/NAME") from error
        if pinned:
            raise ValueError("the revision goes into a key of its own")
        return name

    @field_validator("revision")
    @classmethod
    def _whole_commit(cls, revision: str | None) -> str | None:
        if revision is not None and not COMMIT.fullmatch(revision):
            raise ValueError("should be a whole commit of 40 hexadecimal digits; a branch or a tag may move")
        return revision

    @field_validator("mapping")
    @classmethod
    def _known_mapping(cls, mapping: str | dict[str, str] | None) -> str | dict[str, str] | None:
        _column_mapping(mapping)
        return mapping

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("needs exactly one of path and hub")
        if self.hub is not None and self.revision is None:
            raise ValueError("a hub data set needs its revision, the commit that was reviewed")
        if self.path is not None and self.revision is not None:
            raise ValueError("only a hub data set has a revision; files are pinned by their digest")
        return self


class _File(Strict):
    schema_version: Annotated[Literal[1], NotBoolean]
    index: NonBlank = INDEX
    benchmarks: dict[BenchmarkName, Entry] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A registry file as it was checked. Its relative paths start at its own folder."""

    path: Path
    index: str
    entries: Mapping[str, Entry]

    def entry(self, name: str) -> Entry:
        """The entry of that name. Raises UsageError with the nearest name."""
        if name not in self.entries:
            known = nearest(name, self.entries) or f"; it lists {', '.join(list(self.entries)[:20])}"
            raise UsageError(f'{_shown(self.path)}: no benchmark is called "{safe_inline(name, 80)}"{known}')
        return self.entries[name]

    def index_path(self, name: str) -> Path:
        """Where the index file that holds this benchmark lies, or will lie."""
        return self.path.parent / (self.entry(name).index or self.index)

    def source(self, name: str) -> str:
        """What the entry names: its file or folder, or `hf:OWNER/NAME`."""
        entry = self.entry(name)
        return f"{PREFIX}{entry.hub}" if entry.hub else str(self.path.parent / str(entry.path))

    def is_current(self, name: str, benchmark: Benchmark) -> bool:
        """Whether this is still the set that the entry names: its commit, its files where they are at hand, its mapping."""
        entry = self.entry(name)
        mapping = _column_mapping(entry.mapping)
        if mapping is not None and mapping.name != benchmark.mapping:
            return False
        if entry.hub:
            return benchmark.source.split("#")[0] == self.source(name) and benchmark.revision == entry.revision
        path = Path(self.source(name))
        if not path.exists():
            return True
        return benchmark.sha256 == source_sha256(path, config=entry.config, split=entry.split)

    def read(self, name: str, progress: Progress = SILENT) -> Benchmark:
        """Reads the benchmark itself, from its files or from the hub at its commit."""
        entry = self.entry(name)
        mapping = _column_mapping(entry.mapping)
        if entry.hub:
            wanted = HubName(dataset=entry.hub, revision=entry.revision)
            return read_hub(
                wanted, name=name, mapping=mapping, config=entry.config, split=entry.split, progress=progress
            )
        return read_benchmark(self.source(name), name=name, mapping=mapping, config=entry.config, split=entry.split)


def find_registry(given: Path | None = None) -> Registry | None:
    """The registry of that path, else `benchmarks.yaml` in the current folder, else None."""
    if given is None and not Path(REGISTRY).is_file():
        return None
    return load_registry(given or Path(REGISTRY))


def load_registry(path: Path) -> Registry:
    """Reads a registry. Raises UsageError with one line per problem, all at once: `file:line:column: path: message`."""
    tree, problems = read_located_yaml(path, str(path), "registry")
    lines = [str(problem) for problem in problems]
    if tree is not None:
        try:
            checked = _File.model_validate(tree)
        except ValidationError as error:
            found = {problem.place: problem for problem in reversed(list(_invalid(error, tree)))}
            lines += map(str, sorted(found.values(), key=lambda problem: (problem.place.line, problem.place.column)))
    if lines or tree is None:
        raise UsageError("\n".join(lines))
    return Registry(path=path, index=checked.index, entries=checked.benchmarks)


def _column_mapping(mapping: str | dict[str, str] | None) -> ColumnMapping | None:
    try:
        if mapping is None:
            return None
        return ready_mapping(mapping) if isinstance(mapping, str) else mapped(mapping)
    except CartoError as error:
        raise ValueError(str(error)) from error


def _shown(path: Path) -> str:
    return safe_inline(str(path), 160)


def _invalid(error: ValidationError, tree: Table) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        loc = detail["loc"]
        # In the path pydantic names a key itself, and the arm of a union, with words that no file said.
        path = [
            part
            for k, part in enumerate(loc)
            if part != "[key]" and not (k == 3 and loc[2] == "mapping" and part in _ARMS)
        ]
        yield Problem(place=place_of(tree, path), message=_message(detail, path))


_ARMS = ("constrained-str", "str", "dict[str,str]")


def _message(detail: ErrorDetails, path: Sequence[int | str]) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(path[-1]), [*_File.model_fields, *Entry.model_fields])}"
    if kind == "string_pattern_mismatch":
        return "a name is letters, digits, dot, dash and underscore, at most 80 of them"
    plain: dict[str, Any] = {
        "missing": "this key is missing",
        "model_type": "should be a mapping of keys",
        "dict_type": "should be a mapping of keys",
        "string_type": "should be text",
        "too_short": "lists no benchmark",
        "literal_error": "should be 1",
    }
    return plain.get(kind) or detail["msg"].removeprefix("Value error, ")
