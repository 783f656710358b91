"""The file of decisions: what people decided about single rows and benchmark items, read as strictly as a policy."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StrictInt, StringConstraints, ValidationError, model_validator

from carto_audit.data.shards import expand_paths
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.located_yaml import Problem, Table, place_of, read_located_bytes
from carto_audit.runtime.strict_model import NotBoolean, Strict
from carto_audit.runtime.validation_errors import problem_lines, refused
from carto_audit.text.untrusted import safe_inline

Choice = Literal["keep", "remove", "false alarm"]

KIND = "file of decisions"
MOST_DAYS = 366
"""No decision holds longer: whoever made it looks again."""

NOTICE_DAYS = 14
"""So many days before its end a decision is announced."""

DIGEST_DIGITS = 32
"""Hexadecimal digits by which a text, a batch or a benchmark is told: of fewer, two that share them can be made in an hour."""

Digest = Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{DIGEST_DIGITS},64}}$")]
Row = Annotated[StrictInt, NotBoolean, Field(ge=0)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Item(Strict):
    """Items of one benchmark, as `matches.parquet` names them."""

    benchmark: Name
    """The benchmark's name."""
    id: Name | None = None
    """The id of one item."""
    ids: tuple[Name, ...] = Field(default=(), strict=False)
    """The ids of several."""
    sha256: Digest
    """The benchmark's digest, its first 32 digits or more: in another version an id may be another item's."""

    @model_validator(mode="after")
    def _some_ids(self) -> Self:
        if (self.id is None) == (not self.ids):
            raise ValueError("needs exactly one of id and ids")
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """The ids."""
        return self.ids if self.id is None else (self.id,)


class Decision(Strict):
    """What somebody decided about rows of a delivery or items of a benchmark, and until when that holds."""

    decision: Choice
    """keep: the rows stay, with weight 1. remove: they go. false alarm: the items are not meant where they were found."""
    row: Row | None = None
    """The row of the delivery, counted from 0."""
    rows: tuple[Row, ...] = Field(default=(), strict=False)
    """Several rows of one delivery, which `batch` names."""
    id: Name | None = None
    """The sample's id, in place of its row."""
    text: Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{DIGEST_DIGITS}}}$")] | None = None
    """The digest of the row's text, as `carto-audit show` prints it: a row with another text is not meant."""
    batch: Digest | None = None
    """The digest of the delivery, its first 32 digits or more, in place of the text's."""
    item: Item | None = None
    """The benchmark items that it is about."""
    who: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
    """Who answers for it."""
    why: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=2000)]
    """What was seen, and why that leads to the decision."""
    until: date
    """Holds through the end of this day, UTC; at most 366 days ahead."""

    @model_validator(mode="after")
    def _names_what_it_is_about(self) -> Self:
        if wrong := _unfit(self):
            raise ValueError(wrong)
        return self

    @property
    def of_rows(self) -> bool:
        """Whether it is about single rows, and not about items wherever they stand."""
        return self.row is not None or self.id is not None or bool(self.rows)

    @property
    def named_rows(self) -> tuple[int, ...]:
        """The rows that it names by number."""
        return self.rows if self.row is None else (self.row,)

    @property
    def items(self) -> tuple[tuple[str, str], ...]:
        """The items that it names, each by benchmark and id."""
        return () if self.item is None else tuple((self.item.benchmark, name) for name in self.item.named)


def _unfit(made: Decision) -> str:
    """Why a decision cannot be meant, empty where it can."""
    ways = [name for name in ("row", "rows", "id") if getattr(made, name) not in (None, ())]
    bound = [name for name in ("text", "batch") if getattr(made, name) is not None]
    if len(ways) > 1:
        return f"names rows by {' and '.join(ways)}; keep one"
    if not ways and made.item is None:
        return "is about nothing: name a row, rows, an id or an item"
    if not ways and bound:
        return f"{bound[0]} belongs to a row; an item is told by the sha256 of its benchmark"
    if ways == ["rows"] and bound != ["batch"]:
        return "several rows are told by the digest of their batch: give batch, and no text"
    if ways and len(bound) != 1:
        return "a row is told by exactly one of text, which `carto-audit show` prints, and batch"
    if made.decision == "false alarm":
        return "" if made.item is not None else "a false alarm names its item; to keep a row whatever it holds, keep it"
    if made.item is not None and ways:
        return f"{made.decision} is about rows or about an item, not both"
    if made.item is not None and made.decision == "keep":
        return "an item cannot be kept: keep single rows, or say that the item is a false alarm"
    return ""


class _File(Strict):
    schema_version: Annotated[Literal[1], NotBoolean]
    """The version of this format."""
    decisions: tuple[Decision, ...] = Field(strict=False)
    """The decisions, in any order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionFile:
    """The decisions of one file, its bare name and its hex sha256. `today` is the day on which they are held to their ends."""

    name: str
    sha256: str
    decisions: tuple[Decision, ...]
    today: date

    def expired(self, made: Decision) -> bool:
        """Whether its last day is over."""
        return self.today > made.until

    def ends_soon(self, made: Decision) -> bool:
        """Whether its last day is near."""
        return 0 <= (made.until - self.today).days <= NOTICE_DAYS


def read_decisions(
    given: str | None, inputs: Sequence[str | Path], *, never_drop: bool, today: date | None = None
) -> DecisionFile | None:
    """The file of decisions that was named, None where none was. `never_drop` is the policy's.

    Raises UsageError with one line per problem for what cannot be meant, and for a file that lies in what was delivered or
    beside it.
    """
    if given is None:
        return None
    path, shown, day = Path(given), safe_inline(given, 160), today or datetime.now(UTC).date()
    _check_apart(path, shown, inputs)
    data, tree, problems = read_located_bytes(path, shown, KIND)
    read = None
    if tree is not None:
        try:
            read = _File.model_validate(tree)
        except ValidationError as error:
            problems += refused(error, tree, _File)
    if read is not None and tree is not None:
        problems += _too_far(read, tree, day)
        problems += _twice(read, tree)
        problems += _dropping(read, tree) if never_drop else ()
    if problems or read is None:
        raise UsageError("\n".join(problem_lines(problems)))
    return DecisionFile(
        name=safe_inline(path.name, 160), sha256=hashlib.sha256(data).hexdigest(), decisions=read.decisions, today=day
    )


def _check_apart(path: Path, shown: str, inputs: Sequence[str | Path]) -> None:
    """A file in a delivered folder or beside a delivered file may have come with the delivery, which decides nothing."""
    places = {path.resolve(), path.parent.resolve() / path.name}
    folders = [folder.resolve() for folder in map(Path, inputs) if folder.is_dir()]
    files = expand_paths(inputs)
    beside = {file.resolve().parent for file in files} | {file.parent.resolve() for file in files}
    if any(place.parent in beside or any(place.is_relative_to(folder) for folder in folders) for place in places):
        raise UsageError(
            f"{shown}: lies in or beside what is delivered, and may have come with it; keep it in a folder of its own"
        )


def _too_far(read: _File, tree: Table, today: date) -> Iterator[Problem]:
    for number, made in enumerate(read.decisions):
        if (made.until - today).days > MOST_DAYS:
            place = place_of(tree, ["decisions", number, "until"])
            yield Problem(
                place=place, message=f"more than {MOST_DAYS} days ahead; decide for a year at most, then look again"
            )


def _twice(read: _File, tree: Table) -> Iterator[Problem]:
    """What is decided more than once, alike or not: one of the two would be forgotten when the other is changed."""
    first: dict[tuple[object, ...], int] = {}
    for number, made in enumerate(read.decisions):
        for key, words in _decided(made):
            if key in first:
                place = place_of(tree, ["decisions", number])
                yield Problem(place=place, message=f"{words} is decided already, in decisions.{first[key]}; leave one")
                break
            first[key] = number


def _decided(made: Decision) -> Iterator[tuple[tuple[object, ...], str]]:
    """What a decision decides, each as a key and in words."""
    rows: list[tuple[object, str]] = [(row, f"row {row}") for row in made.named_rows]
    rows += [] if made.id is None else [(made.id, f'the sample "{safe_inline(made.id, 80)}"')]
    bound = made.text or made.batch
    for row, words in rows:
        for item in made.items or ((),):
            said = f'{words} with the item "{safe_inline(item[1], 80)}"' if item else words
            yield ("row", row, bound, *item), said
    for item in () if rows else made.items:
        yield ("item", *item), f'the item "{safe_inline(item[1], 80)}" of {safe_inline(item[0], 80)}'


def _dropping(read: _File, tree: Table) -> Iterator[Problem]:
    for number, made in enumerate(read.decisions):
        if made.decision == "remove":
            place = place_of(tree, ["decisions", number, "decision"])
            yield Problem(
                place=place, message="the policy never drops a row, so no decision may; down-weight in the policy"
            )
