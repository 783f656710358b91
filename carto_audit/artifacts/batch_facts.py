"""The facts of a batch in `report.json`, typed: what was delivered, how it was read, and what was not."""

from typing import NotRequired

from typing_extensions import TypedDict

from carto_audit.artifacts.evidence_facts import facts_part


@facts_part
class RowFacts(TypedDict):
    """A row of the batch, counted from 0."""

    row: int


@facts_part
class SkippedRowFacts(RowFacts):
    """A row that could not be audited, and its place among the rows of its file, counted from 1 as lines are. Reports of earlier
    versions name the row alone."""

    file: NotRequired[str]
    file_row: NotRequired[int]


@facts_part
class SkippedFacts(TypedDict):
    """Rows that could not be audited, and why."""

    reason: str
    explanation: str
    rows: int
    examples: list[SkippedRowFacts]


@facts_part
class UnreadColumnFacts(TypedDict):
    """A column whose text no stage reads: its bytes, and those that are more than labels."""

    column: str
    bytes: int
    long_bytes: int


@facts_part
class LayoutFacts(TypedDict):
    """Where a sample's text lies: the columns in their order, those that trainers take a loss on, whether the map is
    of these alone ("completions") or of all, and those that went unread."""

    name: str
    columns: list[str]
    learned: list[str]
    loss_on: NotRequired[str]
    unread: list[UnreadColumnFacts]


@facts_part
class OtherFileFacts(TypedDict):
    """A file of the delivery that was not read, and why."""

    name: str
    """Below what was given."""
    bytes: int
    reason: str
    explanation: str
    is_data: bool
    """Whether it counts as data that went unread, not as a file beside the data."""


@facts_part
class ChoiceFacts(TypedDict):
    """What of data set folders was to be read: a configuration, null for the folder's default, and a split, null for all."""

    config: str | None
    split: str | None


@facts_part
class DeliveryFacts(TypedDict):
    """All files behind what was given: data that was read, data that went unread, and files beside the data."""

    read_files: int
    read_bytes: int
    unread_files: int
    unread_bytes: int
    side_files: int
    side_bytes: int
    not_read: list[OtherFileFacts]
    """Unread data first, then the others; at most 200 of them."""
    chosen: NotRequired[ChoiceFacts]
    """Absent where everything was to be read."""


@facts_part
class WrittenFacts(TypedDict):
    """Files that are written in one way that is not as usual for their format."""

    how: str
    """What is not as usual: `; between fields, no header`."""
    files: int
    first: str
    """The name of the first of them."""


@facts_part
class ReadingFacts(TypedDict):
    """How text files were read: what was said of it, and what was found."""

    given: dict[str, str]
    """The options that were given, by name."""
    found: list[WrittenFacts]


@facts_part
class BatchFacts(TypedDict):
    """The vendor's delivery."""

    paths: list[str]
    """The names of its files."""
    sha256: str
    text_column: str
    """What is read of each row: a column, or several as `prompt + completion`."""
    layout: NotRequired[LayoutFacts]
    """Absent in reports of earlier versions, which read one column."""
    id_column: str | None
    reading: NotRequired[ReadingFacts]
    rows: int
    samples: int
    """Rows with usable text."""
    tokens: int
    trained_samples: int
    trained_tokens: int
    held_out_samples: int
    """Those that lent their text to the planted controls."""
    held_out_tokens: int
    skipped: list[SkippedFacts]
    delivery: NotRequired[DeliveryFacts]
