"""The in-toto statement of an audit: which bytes the verdict is about. Reading it trusts nothing, not even the names in it."""

import errno
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from carto_audit.artifacts.audit_folder import read_file
from carto_audit.artifacts.file_list import COVERED, STATEMENT, is_covered
from carto_audit.data.batch import batch_sha256
from carto_audit.gate.verdict import EXIT_CODES, intoto_statement, status_of
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import json_bytes, reason
from carto_audit.text.untrusted import safe_inline

BATCH = "batch"
"""The subject that stands for a batch of several files."""


class _Digest(BaseModel):
    model_config = ConfigDict(strict=True)

    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class _Subject(BaseModel):
    model_config = ConfigDict(strict=True)

    name: Annotated[str, StringConstraints(min_length=1)]
    digest: _Digest


class _Document(BaseModel):
    model_config = ConfigDict(strict=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: list[_Subject]
    predicateType: Literal["https://in-toto.io/attestation/test-result/v0.1"]  # noqa: N815 (the name is in-toto's)
    predicate: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """What `verdict.intoto.json` says, and its bytes, which are what is signed. Digests are hex sha256."""

    data: bytes
    predicate: dict[str, Any]
    files: dict[str, str]
    """Digests of the audit's own files, by name."""
    batch_sha256: str
    shards: dict[str, str]
    """Digests of the files of the batch, by the name of their subject, in order."""


def batch_subjects(names: Sequence[str], digests: Sequence[str]) -> dict[str, str]:
    """The subjects that stand for a batch, from the names and digests of its files, in order.

    One file is called by its name. Several are `batch`, the digest of their digests, and `batch/<number>/<name>` each.
    """
    plain = [safe_inline(name.encode("utf-8", "replace").decode(), 160) for name in names]
    if len(plain) == 1 and plain[0] and plain[0] not in COVERED:
        return {plain[0]: digests[0]}
    shards = {f"{BATCH}/{n}/{name}": digest for n, (name, digest) in enumerate(zip(plain, digests, strict=True), 1)}
    return shards if len(shards) == 1 else {BATCH: batch_sha256(digests), **shards}


def read_statement(folder: Path) -> Statement:
    """The statement of a finished audit. Raises AuditError in one line when there is none, or it is damaged."""
    shown = safe_inline(str(folder / STATEMENT), 160)
    try:
        data = read_file(folder / STATEMENT)
    except OSError as error:
        raise AuditError(f"{shown}: {why(error)}; without it nothing can be proven: run the audit again") from error
    try:
        document = json.loads(data.decode("utf-8"))
        found = _statement(data, _Document.model_validate(document))
        if json_bytes(document) != data:
            raise ValueError("it is not laid out as carto-audit writes it")
    except ValidationError as error:
        raise AuditError(f"{shown}: not the statement of an audit: {first_problem(error)}") from error
    except (ValueError, RecursionError) as error:
        detail = safe_inline(str(error), 160)
        raise AuditError(f"{shown}: damaged or changed: {detail}; run the audit again") from error
    return found


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong with a document, in one line: where and what."""
    first = error.errors()[0]
    return safe_inline(f"{'.'.join(str(part) for part in first['loc']) or 'it'}: {first['msg']}", 160)


def why(error: OSError) -> str:
    """Why a file of an audit cannot be read."""
    if error.errno == errno.ENOENT:
        return "missing"
    if error.errno == errno.ELOOP:
        return "a symbolic link; only files in the folder itself count"
    return f"cannot be read: {reason(error)}"


def _statement(data: bytes, document: _Document) -> Statement:
    digests = {subject.name: subject.digest.sha256 for subject in document.subject}
    if len(digests) != len(document.subject):
        raise ValueError("two subjects have the same name")
    batch = {name: digest for name, digest in digests.items() if not is_covered(name)}
    whole = batch.pop(BATCH, None) or next(iter(batch.values()), "")
    strange = [name for name in batch if not name.startswith(f"{BATCH}/")]
    if len(batch) > 1 and strange:
        raise ValueError(f'it names "{safe_inline(strange[0], 80)}", which this version does not know')
    if not batch or (BATCH in digests) != (len(batch) > 1) or whole != batch_sha256(list(batch.values())):
        raise ValueError("it names no batch, or one that is not the sum of its files")
    files = {name: digest for name, digest in digests.items() if is_covered(name)}
    return Statement(data=data, predicate=document.predicate, files=files, batch_sha256=whole, shards=batch)


def restated(verdict: Any) -> dict[str, Any] | None:
    """The predicate that belongs to the content of a `verdict.json`; None when that holds no verdict."""
    try:
        read = json.loads(json.dumps(verdict), object_hook=lambda entry: SimpleNamespace(**entry))
        predicate: dict[str, Any] = intoto_statement(read, read.policy, {})["predicate"]
    except (AttributeError, TypeError):
        return None
    return predicate


def follows(verdict: Any) -> bool:
    """Whether the status, the exit code and the completeness in a `verdict.json` are those that its findings amount to."""
    try:
        read = json.loads(json.dumps(verdict), object_hook=lambda entry: SimpleNamespace(**entry))
        status = status_of(read.findings)
        return bool(
            (read.status, read.exit_code, read.complete) == (status, EXIT_CODES[status], status != "inconclusive")
        )
    except (AttributeError, TypeError, ValueError):
        return False
