"""The folder of a finished audit, read back with suspicion: regular files only, none larger than an audit writes."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic import TypeAdapter, ValidationError

from carto_audit.artifacts.file_list import REPORT, VERDICT
from carto_audit.artifacts.report_facts import SCHEMA_VERSION, ReportFacts, VerdictFacts, report_type
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import open_regular, read_regular, reason
from carto_audit.text.untrusted import encodable, safe_inline

if TYPE_CHECKING:
    from pyarrow import Table

LARGEST_JSON = 32 << 20
"""Bytes. The report of the largest batch is below a tenth of it."""

WAY_OUT = "name the folder of a finished audit, or run the audit again"


@dataclass(frozen=True, kw_only=True)
class AuditFolder:
    """A finished audit. Each file is read once, when it is asked for; AuditError in one line where it cannot be."""

    path: Path

    def shown(self, name: str) -> str:
        """The path of a file, fit to be printed."""
        return safe_inline(str(self.path / name), 160)

    def data(self, name: str) -> bytes:
        """The bytes of one of its files."""
        try:
            return read_file(self.path / name)
        except OSError as error:
            raise AuditError(f"{self.shown(name)}: cannot read: {reason(error)}; {WAY_OUT}") from error

    def document(self, name: str) -> Any:
        """One of its JSON files, as it is: nothing is known about its content."""
        return self._parsed(name, self.data(name))

    @cached_property
    def report_bytes(self) -> bytes:
        """`report.json`, from whose bytes `report` is parsed."""
        return self.data(REPORT)

    @cached_property
    def report(self) -> ReportFacts:
        """The facts in `report.json`, checked; keys that a later version added are kept and ignored."""
        facts = self._parsed(REPORT, self.report_bytes)
        tool = facts.get("tool") if isinstance(facts, dict) else None
        if not isinstance(tool, dict) or tool.get("name") != "carto-audit":
            raise self.not_a_report()
        if facts.get("schema_version") != SCHEMA_VERSION:
            version = safe_inline(str(tool.get("version")), 20)
            words = f"written by carto-audit {version} in another schema; read it with that version"
            raise AuditError(f"{self.shown(REPORT)}: {words}")
        self._check(report_type(), REPORT, facts)
        return cast(ReportFacts, facts)

    @cached_property
    def verdict(self) -> VerdictFacts:
        """What `verdict.json` says: status, exit code, and whether the audit could decide."""
        found = self.document(VERDICT)
        self._check(TypeAdapter(VerdictFacts), VERDICT, found)
        return cast(VerdictFacts, found)

    def scores(self, columns: list[str] | None = None) -> "Table":
        """`scores.parquet`, a row per sample."""
        return self.table("scores.parquet", columns)

    def table(self, name: str, columns: list[str] | None = None) -> "Table":
        """One of its Parquet files."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with open_regular(self.path / name, follow=False) as stream:
                return pq.read_table(stream, columns=columns)
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            words = f"cannot read: {safe_inline(str(error), 160)}; run the audit again"
            raise AuditError(f"{self.shown(name)}: {words}") from error

    def matches(self, columns: list[str] | None = None) -> "Table | None":
        """`matches.parquet`, a row per match; None where no benchmark was looked for."""
        return self.table("matches.parquet", columns) if (self.path / "matches.parquet").exists() else None

    def not_scores(self, error: Exception) -> AuditError:
        """What to raise where `scores.parquet` is not what an audit writes."""
        words = f"not the scores of an audit: {safe_inline(str(error), 120)}; run the audit again"
        return AuditError(f"{self.shown('scores.parquet')}: {words}")

    def not_a_report(self, why: str = "", name: str = REPORT) -> AuditError:
        """What to raise where a file is not what an audit writes; `why` says where and what."""
        words = f"not the {'report' if name == REPORT else 'verdict'} of an audit{f': {why}' if why else ''}"
        return AuditError(f"{self.shown(name)}: {words}; run the audit again")

    def _parsed(self, name: str, data: bytes) -> Any:
        try:
            return json.loads(data.decode("utf-8"), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise AuditError(f"{self.shown(name)}: not valid JSON; run the audit again") from error

    def _check(self, kind: TypeAdapter[Any], name: str, facts: Any) -> None:
        try:
            kind.validate_python(encodable(facts))
        except (ValidationError, RecursionError) as error:
            why = first_problem(error) if isinstance(error, ValidationError) else ""
            raise self.not_a_report(why, name) from error


def open_audit_folder(path: Path) -> AuditFolder:
    """The folder of an audit that ended: `verdict.json` is written last. AuditError in one line where there is none."""
    if not (path / VERDICT).is_file():
        shown = safe_inline(str(path), 160)
        raise AuditError(f"{shown}: not a finished audit: there is no {VERDICT} in it; {WAY_OUT}")
    return AuditFolder(path=path)


def read_file(path: Path, *, follow: bool = False) -> bytes:
    """The bytes of a file of an audit. Raises OSError for a pipe, for one of more than LARGEST_JSON bytes, and for a link
    unless `follow`."""
    return read_regular(path, LARGEST_JSON, follow=follow)


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong with a document, in one line: where and what."""
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return safe_inline(f"{where + ': ' if where else ''}{detail['msg']}", 200)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
