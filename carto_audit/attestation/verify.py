"""The proof: every file is hashed again and held against the statement; nothing is computed again, every mismatch is told."""

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from carto_audit.artifacts.audit_folder import LARGEST_JSON, read_file
from carto_audit.artifacts.file_list import COVERED, ENVELOPE, LENSES, PER_ROW, REPORT, STATEMENT, VERDICT, lens_files
from carto_audit.attestation.dsse import Envelope, is_signed_by, parse_envelope, sign
from carto_audit.attestation.statement import (
    BATCH,
    Statement,
    batch_subjects,
    follows,
    read_statement,
    restated,
    why,
)
from carto_audit.data.readers import name_of
from carto_audit.data.sampling_key import SamplingKey
from carto_audit.policy.model import Policy, resolved_sha256
from carto_audit.runtime.errors import AuditError, ExitCode
from carto_audit.runtime.files import file_sha256, open_regular, read_regular, write_json
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

_MOST_NAMED = 20
_STATED = ("result", "configuration", "passedTests", "warnedTests", "failedTests")

Outcome = Literal["holds", "changed", "unreadable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was compared. `words` say what holds, or what is wrong; a file that holds needs none."""

    name: str
    outcome: Outcome
    words: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What was found, and in words what it does not show. `status` is that of the verdict, None if it cannot be read."""

    status: str | None
    checks: tuple[Check, ...]
    unproven: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if check.outcome != "holds")

    @property
    def exit_code(self) -> ExitCode:
        """0: all holds, whatever the verdict says; 1: something changed; 3: something could not be read."""
        outcomes = {check.outcome for check in self.checks}
        if "unreadable" in outcomes:
            return ExitCode.INCOMPLETE
        return ExitCode.REJECTED if "changed" in outcomes else ExitCode.ACCEPTED


def verify(
    folder: Path,
    batch: Sequence[Path],
    *,
    policy: Policy | None = None,
    key: "SSlibKey | None" = None,
    sampling_key: SamplingKey | None = None,
    progress: Progress = SILENT,
) -> Proof:
    """Holds the files of an audit, the files of the batch, the policy, the signature and the sampling key against the statement.

    Raises AuditError only when there is no statement to hold anything against.
    """
    statement = read_statement(folder)
    status, report, checks = _check_folder(folder, statement)
    checks += _check_batch(statement, batch, progress)
    if sampling_key is not None:
        checks.append(_check_sampling(report, sampling_key))
    if policy is not None:
        checks.append(_check_policy(statement, policy))
    envelope, found = _check_envelope(folder, statement, required=key is not None)
    checks += found
    if key is not None and envelope is not None:
        checks.append(_check_signature(envelope, key))
    unproven = _unproven(folder, statement, envelope, policy, key, sampling_key)
    return Proof(status=status, checks=tuple(checks), unproven=tuple(unproven))


def check_intact(folder: Path, key: "SSlibKey | None" = None) -> None:
    """Raises AuditError in one line unless the files of an audit are those of its statement and, with a `key`, the statement is
    signed by it. The batch is not looked at."""
    statement = read_statement(folder)
    _, _, checks = _check_folder(folder, statement)
    envelope, found = _check_envelope(folder, statement, required=key is not None)
    checks += found
    if key is not None and envelope is not None:
        checks.append(_check_signature(envelope, key))
    for check in Proof(status=None, checks=tuple(checks)).failed:
        raise AuditError(f"{name_of(folder)}: cannot be relied upon: {check.name}: {check.words}")


def attest(folder: Path, signer: "CryptoSigner") -> Proof:
    """Signs the statement of an audit as `verdict.dsse.json`, beside the signatures of other keys that are there.

    Nothing is signed unless the folder agrees with its statement; the checks are returned either way.
    """
    statement = read_statement(folder)
    status, _, checks = _check_folder(folder, statement)
    envelope, found = _check_envelope(folder, statement, required=False)
    proof = Proof(status=status, checks=(*checks, *found))
    if not proof.failed:
        beside = envelope.signatures if envelope else ()
        write_json(folder / ENVELOPE, sign(statement.data, signer, beside))
    return proof


def _check_folder(folder: Path, statement: Statement) -> tuple[str | None, Any, list[Check]]:
    """The status of the verdict and the report, each None where it does not hold; whether each file of the audit is the recorded
    one, and whether they agree."""
    documents: dict[str, Any] = {}
    of_lenses = sorted({*lens_files(folder), *(name for name in statement.files if name not in COVERED)})
    found = [_check_file(folder, name, statement.files.get(name), documents) for name in (*COVERED, *of_lenses)]
    checks = [check for check in found if check is not None]
    verdict, report = documents.get(VERDICT), documents.get(REPORT)
    if verdict is not None:
        checks += _check_statement(statement, verdict, report)
    if verdict is not None and report is not None:
        checks += _check_report(report, verdict)
    status = _at(verdict, "status")
    return (status if isinstance(status, str) else None), report, checks


def _check_file(folder: Path, name: str, expected: str | None, documents: dict[str, Any]) -> Check | None:
    """A file against its recorded digest. The content of a JSON file that holds goes into `documents`, from the bytes
    that were hashed."""
    path = folder / name
    if expected is None and name in PER_ROW and not os.path.lexists(path):
        return None
    try:
        if path.parent != folder and path.parent.is_symlink():
            raise OSError(errno.ELOOP, "a symbolic link")
        if name.endswith(".json"):
            data = read_file(path)
            digest = hashlib.sha256(data).hexdigest()
            if digest == expected:
                documents[name] = json.loads(data.decode("utf-8"))
        else:
            with open_regular(path, follow=False) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return Check(name=name, outcome="unreadable", words=why(error))
    except (ValueError, RecursionError):
        return Check(name=name, outcome="unreadable", words="not JSON")
    if expected is None:
        words = f"nothing in {STATEMENT} records it, so nothing shows that it is of this audit"
        return Check(name=name, outcome="changed", words=words)
    if digest != expected:
        return Check(name=name, outcome="changed", words=_differs(digest, expected))
    return Check(name=name, outcome="holds")


def _differs(digest: str, expected: str) -> str:
    return f"changed: its sha256 is {_short(digest)}, {STATEMENT} records {_short(expected)}"


def _short(digest: str) -> str:
    return f"{digest[:12]}…"


def _at(document: Any, *path: str) -> Any:
    """The value at a path of keys, None where the document has another shape."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _check_statement(statement: Statement, verdict: Any, report: Any) -> Iterator[Check]:
    """Whether the statement says what the verdict says. Their digests alone would not tell."""
    expected = restated(verdict)
    if expected is None:
        yield Check(name=VERDICT, outcome="unreadable", words="not the verdict of an audit")
        return
    wrong = [f"{key} ({VERDICT})" for key in _STATED if statement.predicate.get(key) != expected[key]]
    if not follows(verdict):
        wrong.append(f"what its findings amount to ({VERDICT})")
    if _at(verdict, "batch", "sha256") != statement.batch_sha256:
        wrong.append(f"the batch ({VERDICT})")
    if report is not None and not _names_agree(_at(report, "batch", "paths"), statement):
        wrong.append(f"the names of the batch's files ({REPORT})")
    if wrong:
        words = f"changed: another file of the audit says otherwise on {', '.join(wrong)}"
        yield Check(name=STATEMENT, outcome="changed", words=words)


def _names_agree(names: Any, statement: Statement) -> bool:
    digests = list(statement.shards.values())
    if not isinstance(names, list) or len(names) != len(digests) or not all(isinstance(name, str) for name in names):
        return False
    subjects = batch_subjects(names, digests)
    return [name for name in subjects if name != BATCH] == list(statement.shards)


def _check_report(report: Any, verdict: Any) -> Iterator[Check]:
    """Whether the report has the verdict's batch, status and policy, and quotes in full the policy that it names."""
    wrong = [
        ".".join(path)
        for path in (("batch", "sha256"), ("policy", "sha256"), ("policy", "name"))
        if _at(report, *path) != _at(verdict, *path)
    ]
    for key in ("status", "exit_code", "complete"):
        if _at(report, "verdict", key) != _at(verdict, key):
            wrong.append(f"verdict.{key}")
    if _ruled(report) != _ruled(verdict):
        wrong.append("findings")
    resolved = _at(report, "policy", "resolved")
    digest = resolved_sha256(resolved) if isinstance(resolved, Mapping) else ""
    if digest != _at(verdict, "policy", "sha256"):
        wrong.append("policy.resolved")
    if wrong:
        words = f"changed: {VERDICT} says otherwise on {', '.join(wrong)}"
        yield Check(name=REPORT, outcome="changed", words=words)
        return
    words = f"the policy that {REPORT} quotes in full is the one that was applied (sha256 {_short(digest)})"
    yield Check(name="policy", outcome="holds", words=words)


def _ruled(document: Any) -> list[tuple[Any, ...]] | None:
    """What a document says of each rule."""
    findings = _at(document, "findings")
    if not isinstance(findings, list):
        return None
    return [tuple(_at(finding, key) for key in ("rule", "outcome", "severity", "observed")) for finding in findings]


def _check_policy(statement: Statement, policy: Policy) -> Check:
    name = f'policy "{safe_inline(policy.name, 80)}"'
    listed = statement.predicate.get("configuration")
    applied = [_at(entry, "digest", "sha256") for entry in listed] if isinstance(listed, list) else []
    if applied != [policy.sha256]:
        known = ", ".join(_short(str(digest)) for digest in applied) or "none"
        words = (
            f"not the one that was applied: it resolves to sha256 {_short(policy.sha256)}, {STATEMENT} records {known}"
        )
        return Check(name=name, outcome="changed", words=words)
    words = f"the {name} is the one that was applied (sha256 {_short(policy.sha256)})"
    return Check(name=name, outcome="holds", words=words)


def _check_sampling(report: Any, key: SamplingKey) -> Check:
    """The key against the commitment in the report. A report that does not hold has none."""
    recorded = _at(report, "run", "sampling", "key_commitment")
    if recorded == key.commitment:
        words = f"the sampling key that you named is the one that {REPORT} commits to ({_short(key.commitment)})"
        return Check(name="sampling key", outcome="holds", words=words)
    named = safe_inline(recorded, 13) if isinstance(recorded, str) else "no key"
    words = f"not the one of this audit: its commitment is {_short(key.commitment)}, {REPORT} records {named}"
    return Check(name="sampling key", outcome="changed", words=words)


def _check_batch(statement: Statement, batch: Sequence[Path], progress: Progress) -> list[Check]:
    """The batch that was given, file by file, against the one that was audited."""
    unreadable: list[Check] = []
    found: list[tuple[Path, str]] = []
    with progress.task("Hashing the batch", len(batch), "files") as advance:
        for path in batch:
            try:
                if not path.is_file():
                    raise OSError("not a regular file")
                found.append((path, file_sha256(path)))
            except OSError as error:
                unreadable.append(Check(name=name_of(path), outcome="unreadable", words=why(error)))
            advance(1)
    if not unreadable and [digest for _, digest in found] == list(statement.shards.values()):
        what = name_of(batch[0]) if len(batch) == 1 else f"the batch of {len(batch)} files"
        words = f"{what} is what was audited, byte for byte (sha256 {_short(statement.batch_sha256)})"
        return [Check(name=BATCH, outcome="holds", words=words)]
    return _capped(unreadable) + _capped(list(_mismatches(found, statement.shards, complete=not unreadable)))


def _mismatches(found: Sequence[tuple[Path, str]], shards: Mapping[str, str], *, complete: bool) -> Iterator[Check]:
    """The files that are not of the batch, and those of the batch that are not there; in pairs where they pair up."""
    foreign = _beyond([digest for _, digest in found], shards.values())
    absent = _beyond(list(shards.values()), [digest for _, digest in found])
    names = list(shards)
    if not foreign and not absent:
        order = ", ".join(safe_inline(name.rpartition("/")[2], 60) for name in names[:_MOST_NAMED])
        yield Check(
            name=BATCH, outcome="changed", words=f"its files are in another order; give them as audited: {order}"
        )
    elif len(foreign) == len(absent):
        for given, audited in zip(foreign, absent, strict=True):
            path, digest = found[given]
            yield Check(name=name_of(path), outcome="changed", words=_differs(digest, shards[names[audited]]))
    else:
        for given in foreign:
            words = f"changed, or not of this batch: {STATEMENT} does not record its sha256 {_short(found[given][1])}"
            yield Check(name=name_of(found[given][0]), outcome="changed", words=words)
        for name in (names[audited] for audited in absent if complete):
            words = f"this file of the batch was not given, or is changed; its sha256 was {_short(shards[name])}"
            yield Check(name=safe_inline(name, 160), outcome="changed", words=words)


def _beyond(digests: Sequence[str], others: Sequence[str] | Any) -> list[int]:
    """Places in `digests` of what `others` does not hold as often."""
    left = Counter(others)
    places = []
    for place, digest in enumerate(digests):
        if left[digest] > 0:
            left[digest] -= 1
        else:
            places.append(place)
    return places


def _capped(checks: list[Check]) -> list[Check]:
    if len(checks) <= _MOST_NAMED:
        return checks
    words = f"{len(checks) - _MOST_NAMED} more files are like that"
    return [*checks[:_MOST_NAMED], Check(name=BATCH, outcome=checks[0].outcome, words=words)]


def _check_envelope(folder: Path, statement: Statement, *, required: bool) -> tuple[Envelope | None, list[Check]]:
    """The signed envelope if there is one, and what is wrong with it."""
    if not required and not os.path.lexists(folder / ENVELOPE):
        return None, []
    try:
        envelope = parse_envelope(read_regular(folder / ENVELOPE, 2 * LARGEST_JSON), ENVELOPE)
    except OSError as error:
        words = "missing: the audit is not signed" if error.errno == errno.ENOENT else why(error)
        return None, [Check(name=ENVELOPE, outcome="unreadable", words=words)]
    except AuditError as error:
        return None, [Check(name=ENVELOPE, outcome="unreadable", words=str(error).removeprefix(f"{ENVELOPE}: "))]
    if envelope.payload != statement.data:
        words = f"changed: what {ENVELOPE} signs is another statement"
        return envelope, [Check(name=STATEMENT, outcome="changed", words=words)]
    return envelope, []


def _check_signature(envelope: Envelope, key: "SSlibKey") -> Check:
    if not is_signed_by(envelope, key):
        words = f"none of its {len(envelope.signatures)} signatures was made with the key {_short(key.keyid)}"
        return Check(name=ENVELOPE, outcome="changed", words=words)
    words = f"the statement was signed with the private half of the key that you named (fingerprint {key.keyid})"
    return Check(name="signature", outcome="holds", words=words)


def _unproven(
    folder: Path,
    statement: Statement,
    envelope: Envelope | None,
    policy: Policy | None,
    key: "SSlibKey | None",
    sampling_key: SamplingKey | None,
) -> Iterator[str]:
    """What all this does not show, most important first."""
    if key is not None:
        yield "whose key it is: get the public key, or its fingerprint, from the signer on a way of your own"
    elif envelope is not None:
        yield f"who vouches for it: the {len(envelope.signatures)} signatures were not checked; name the key with --key"
    else:
        yield "who vouches for it: nobody signed; whoever can change the files can change what they are held against"
    if policy is None:
        yield "which policy file was applied: only its recorded sha256 is known; name the file with --policy"
    drawn = ", or that the rows were drawn by that key" if sampling_key else ""
    yield f"that the figures are right{drawn}: nothing was computed again; the same command on the same batch does that"
    yield "when it was made: dates are what the clock of the machine said"
    absent = [name for name in PER_ROW if name not in statement.files]
    if absent:
        yield f"what was found in single rows: the statement does not cover {', '.join(absent)}"
    others = sorted(path.name for path in folder.iterdir() if path.name not in (*COVERED, STATEMENT, ENVELOPE, LENSES))
    if others:
        named = ", ".join(safe_inline(name, 60) for name in others[:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        yield f"anything about other files in the folder: {named}{more}"
