"""The statement of a summary: the recipe, counts and root that a vendor vouches for, read as what a stranger wrote."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from carto_audit.artifacts.audit_folder import first_problem
from carto_audit.pipeline.options import MOST_EPOCHS, MOST_REPEATS, MOST_SEED
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import json_bytes
from carto_audit.runtime.strict_model import NotBoolean

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:carto-audit:vendor-summary:v1"

TABLE, STATEMENT, ENVELOPE = "summary.parquet", "summary.intoto.json", "summary.dsse.json"
"""The files of a summary."""

MOST_ROWS = 1 << 31
MOST_LENSES = 64
MASSES = ("hotspot_memorized", "memorized")

Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=400)]
Count = Annotated[int, NotBoolean, Field(ge=0, le=1 << 53)]
Number = Annotated[float, NotBoolean]


class Part(BaseModel):
    """A part of the statement: wrong types, NaN and infinities are refused, keys of a later version left alone."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


class Tool(Part):
    """What made the summary."""

    name: Literal["carto-audit"]
    version: Text


class Batch(Part):
    """The batch, as the vendor read it. `text` says what of its rows."""

    sha256: Hex
    rows: Annotated[int, NotBoolean, Field(ge=1, le=MOST_ROWS)]
    samples: Count
    tokens: Count
    trained_samples: Count
    trained_tokens: Count
    held_out_samples: Count
    text: Text


class Proxy(Part):
    """The model that stood in for the one to come."""

    name: Text
    parameters: Count
    checkpoint: Text | None


class Recipe(Part):
    """How the vendor's audit was done: enough to repeat it. `sampling_key` is the key itself, in hex; None where the seed alone
    decided the draw."""

    policy: Text
    policy_sha256: Hex
    map: dict[str, Any]
    dose: Annotated[int, NotBoolean, Field(ge=1, le=1024)]
    loss_on: Literal["all", "completions"]
    burn_in_epochs: Annotated[float, NotBoolean, Field(gt=0, le=MOST_EPOCHS)]
    seed: Annotated[int, NotBoolean, Field(ge=0, le=MOST_SEED)]
    sampling_key: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){16,4096}$")] | None
    epochs: Annotated[int, NotBoolean, Field(ge=2, le=MOST_EPOCHS)]
    folds: Annotated[int, NotBoolean, Field(ge=1, le=2)]
    repeats: Annotated[int, NotBoolean, Field(ge=1, le=MOST_REPEATS)]
    max_tokens: Annotated[int, NotBoolean, Field(ge=1)] | None
    reference_sha256: Hex | None
    proxy: Proxy
    device: Text
    packages: dict[Text, Text]
    planted_by: list[Text] = Field(default_factory=list, max_length=MOST_LENSES)
    """Lenses for which the proxies read more than the batch and its controls."""


class Mass(Part):
    """What lies in one part of the map."""

    rows: Count
    tokens: Count
    token_share: Annotated[float, NotBoolean, Field(ge=0, le=1)]


class Rows(Part):
    """The rows of `summary.parquet`, and the root that binds them."""

    root: Hex
    count: Annotated[int, NotBoolean, Field(ge=1, le=MOST_ROWS)]
    trained: Count
    flagged: Count


class Audit(Part):
    """The vendor's audit: the digest of its statement, when it began by the vendor's clock, and how it ended."""

    statement_sha256: Hex
    started_at: Text
    status: Text


class Predicate(Part):
    """All that a vendor says of a batch. `detection` are the metrics of detection power, with their intervals."""

    schema_version: Annotated[Literal[1], NotBoolean]
    tool: Tool
    batch: Batch
    recipe: Recipe
    rows: Rows
    masses: dict[Literal["hotspot_memorized", "memorized"], Mass]
    thresholds: dict[Literal["difficulty", "memorization"], Number | None]
    detection: dict[Text, Number | None]
    detection_intervals: dict[Text, list[Number]]
    audit: Audit


class _Digest(Part):
    sha256: Hex


class _Subject(Part):
    name: Text
    digest: _Digest


class _Document(Part):
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[list[_Subject], Field(min_length=2, max_length=2)]
    predicateType: Literal["urn:carto-audit:vendor-summary:v1"]  # noqa: N815 (the name is in-toto's)
    predicate: Predicate


def statement_bytes(predicate: Predicate, table_sha256: str) -> bytes:
    """The statement about a batch and the table of its rows, as it is written and signed."""
    subjects = {"batch": predicate.batch.sha256, TABLE: table_sha256}
    return json_bytes(
        {
            "_type": TYPE,
            "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()],
            "predicateType": PREDICATE,
            "predicate": predicate.model_dump(mode="json"),
        }
    )


def parse_statement(data: bytes, shown: str) -> tuple[Predicate, str]:
    """What a statement says, and the digest of the table that it is about. Raises AuditError in one line for anything else."""
    try:
        document = _Document.model_validate(json.loads(data.decode("utf-8"), parse_constant=_refuse))
    except ValidationError as error:
        raise AuditError(f"{shown}: not the statement of a vendor's summary: {first_problem(error)}") from error
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{shown}: not the statement of a vendor's summary: no valid JSON") from error
    names = [subject.name for subject in document.subject]
    digests = [subject.digest.sha256 for subject in document.subject]
    predicate = document.predicate
    if names != ["batch", TABLE] or digests[0] != predicate.batch.sha256:
        raise AuditError(f"{shown}: not the statement of a vendor's summary: it is about other things than it says")
    if predicate.rows.count != predicate.batch.rows or set(predicate.masses) != set(MASSES):
        raise AuditError(f"{shown}: not the statement of a vendor's summary: its counts contradict one another")
    if not _is_time(predicate.audit.started_at):
        raise AuditError(
            f"{shown}: not the statement of a vendor's summary: predicate.audit.started_at: no time in UTC"
        )
    return predicate, digests[1]


def _is_time(said: str) -> bool:
    """Whether it is a moment in UTC, as a report writes one."""
    try:
        return datetime.fromisoformat(said).isoformat() == said and said.endswith("+00:00")
    except ValueError:
        return False


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
