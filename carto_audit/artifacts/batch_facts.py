"""The facts of a batch in `report.json`, typed: what was delivered, how it was read, and what was delivered before."""

from typing import NotRequired

from typing_extensions import TypedDict

from carto_audit.artifacts.evidence_facts import Share, facts_part


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
class ObjectFacts(TypedDict):
    """An object of a bucket, or a file of a data set at a commit: its name in full, what the store calls its bytes, how many."""

    uri: str
    etag: str
    bytes: int


@facts_part
class RemoteFacts(TypedDict):
    """Where the batch was fetched from. Whoever has access sees the same bytes there as long as the tags are the same."""

    given: list[str]
    """What was typed; a data set on the hub at its commit."""
    objects: int
    bytes: int
    listed: list[ObjectFacts]
    """By name, at most 200 of them."""
    sha256: str
    """Of the list of all, `URI, tag, bytes` with tabs between them, a line each."""


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


@facts_part
class EarlierCopiesFacts(TypedDict):
    """One earlier delivery that holds passages of this one. Whose it was the ledger says, not this file, which others receive."""

    entry: int
    day: str
    same_vendor: bool
    rows: int
    """Of this delivery, that hold a passage of that one."""


@facts_part
class CopiedRowFacts(TypedDict):
    """A row that holds a passage of earlier deliveries."""

    row: int
    most_rows: int
    """In how many rows of all deliveries together its most frequent passage stands."""
    deliveries: int
    """In how many deliveries that passage stands, this one included."""
    entry: int
    """The last of the earlier ones."""


@facts_part
class AtDoseFacts(TypedDict):
    """Passages that stand in `dose` or more rows of all deliveries together, and in this one."""

    dose: int
    """In how many rows the policy demands that a secret is found."""
    passages: int
    rows: int
    deliveries: int
    """Over how many deliveries they are spread, this one included."""
    split_passages: int
    """Of the passages, those that no single delivery holds so often: no audit could see them."""


@facts_part
class CrossBatchFacts(TypedDict):
    """What of this delivery stands in earlier ones that were accepted, as far as the ledger keeps fingerprints of them."""

    run_words: int
    guaranteed_words: int
    """A shared passage of so many words is always found where the sampling rates are 1."""
    sampling_rate: Share
    """The chance with which a passage of so many words was compared: below 1 where this delivery has more than are kept."""
    lowest_sampling_rate: Share
    """The same, of this delivery and all that were compared the lowest."""
    compared: int
    """Earlier deliveries that were compared."""
    not_compared: dict[str, int]
    """Accepted ones that were not, by the reason."""
    rows: int
    own_rows: int
    """Rows that hold a passage of an earlier delivery, and of one of the same vendor."""
    token_share: Share
    own_token_share: Share
    earlier: list[EarlierCopiesFacts]
    """Those with the most passages in common, first."""
    most_rows: int
    """In how many rows of all deliveries together the most frequent shared passage stands."""
    at_dose: AtDoseFacts
    boilerplate_passages: int
    """Shared passages that were left out, because they are in more rows of one delivery than its boilerplate cap."""
    examples: list[CopiedRowFacts]
