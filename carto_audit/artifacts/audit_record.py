"""Records: what a finished audit says about itself, as a policy sees it; and what changed since an accepted one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carto_audit.artifacts.audit_folder import first_problem, open_audit_folder
from carto_audit.artifacts.report_facts import BaselineFacts
from carto_audit.policy.lens_metrics import find_metric, lens_of
from carto_audit.policy.metrics import METRICS, Measurement, Metric
from carto_audit.policy.model import treatment_sha256
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.text.untrusted import safe_inline

ACCEPTED = ("accepted", "accepted_with_warnings")

Benchmarks = frozenset[tuple[str, str]]
"""Which benchmarks an audit looked for: name and sha256 each."""


class Part(BaseModel):
    """A part of a JSON file that another version may have written: what is not known is left alone."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class _Batch(Part):
    paths: list[str]
    sha256: str


class _Policy(Part):
    name: str
    sha256: str
    resolved: dict[str, Any]


class _Verdict(Part):
    status: str


class _Finding(Part):
    rule: str
    outcome: str


class _Benchmark(Part):
    name: str
    sha256: str = ""


class _Contamination(Part):
    benchmarks: list[_Benchmark]


class _Proxy(Part):
    name: str


class _Run(Part):
    started_at: str
    proxy: _Proxy
    epochs: int
    folds: int
    repeats: int = 1


class _Report(Part):
    schema_version: Literal[1]
    batch: _Batch
    run: _Run
    contamination: _Contamination
    policy: _Policy
    metrics: dict[str, float | None]
    metric_intervals: dict[str, tuple[float, float]] = Field(default={}, strict=False)
    findings: list[_Finding]
    verdict: _Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """How an audit measured: what moves its numbers besides the batch and the policy."""

    proxy: str
    epochs: int
    folds: int
    repeats: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A finished audit. `name` is its folder's; `map` is the resolved policy's, and `treatment_sha256` the digest of all that
    decides what happens to a sample; `outcomes` are those of its rules."""

    name: str
    batch_names: tuple[str, ...]
    batch_sha256: str
    policy_name: str
    policy_sha256: str
    map: Mapping[str, Any]
    status: str
    day: date
    setting: Setting
    benchmarks: Benchmarks
    measurements: Mapping[str, Measurement]
    outcomes: Mapping[str, str]
    treatment_sha256: str = ""
    lenses: Mapping[str, Any] = field(default_factory=dict)
    """The resolved policy's lenses."""


def read_record(folder: Path) -> Record:
    """Reads the report of a finished audit. Raises AuditError in one line where it is none, or of another version."""
    shown, data = safe_inline(str(folder), 160), open_audit_folder(folder).report_bytes
    try:
        report = _Report.model_validate_json(data)
        day = datetime.fromisoformat(report.run.started_at).date()
    except ValidationError as error:
        raise AuditError(
            f"{shown}: its report.json is not one that this version reads: {first_problem(error)}"
        ) from error
    except ValueError as error:
        raise AuditError(f"{shown}: its report.json says no date when the audit started") from error
    return _record(folder.resolve().name, report, day)


def read_baseline(folder: Path) -> Record:
    """The record of the last accepted batch. Raises UsageError where the audit did not accept its batch."""
    record = read_record(folder)
    if record.status not in ACCEPTED:
        shown = safe_inline(str(folder), 160)
        status = safe_inline(record.status, 40)
        raise UsageError(f"{shown}: this batch was {status}, so it is no baseline; name an audit that accepted one")
    return record


def _record(name: str, report: _Report, day: date) -> Record:
    known = {metric: value for metric, value in report.metrics.items() if value is not None and find_metric(metric)}
    ends = {metric: report.metric_intervals.get(metric, (value, value)) for metric, value in known.items()}
    run = report.run
    drawn, lenses = report.policy.resolved.get("map"), report.policy.resolved.get("lenses")
    return Record(
        name=safe_inline(name, 160),
        batch_names=tuple(report.batch.paths),
        batch_sha256=report.batch.sha256,
        policy_name=safe_inline(report.policy.name, 80),
        policy_sha256=report.policy.sha256,
        map=drawn if isinstance(drawn, dict) else {},
        lenses=lenses if isinstance(lenses, dict) else {},
        status=report.verdict.status,
        day=day,
        setting=Setting(proxy=run.proxy.name, epochs=run.epochs, folds=run.folds, repeats=run.repeats),
        benchmarks=frozenset((b.name, b.sha256) for b in report.contamination.benchmarks),
        measurements={m: Measurement(value=v, low=ends[m][0], high=ends[m][1]) for m, v in known.items()},
        outcomes={finding.rule: finding.outcome for finding in report.findings},
        treatment_sha256=treatment_sha256(report.policy.resolved),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One metric in the last accepted batch and in this one; None: not measured. `incomparable` says why the two numbers
    cannot be set against each other, and is empty where they can."""

    metric: str
    before: float | None
    now: float | None
    incomparable: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """This batch beside the last accepted one: every metric that either of them measured, and what else differs."""

    record: Record
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    def change(self, metric: str) -> Change | None:
        """What became of one metric."""
        return next((change for change in self.changes if change.metric == metric), None)

    def facts(self) -> BaselineFacts:
        """Plain JSON for reports: only what moved, or cannot be compared."""
        record = self.record
        moved = [change for change in self.changes if change.incomparable or change.before != change.now]
        return {
            "audit": record.name,
            "batch": {"names": [safe_inline(name, 160) for name in record.batch_names], "sha256": record.batch_sha256},
            "policy": {"name": record.policy_name, "sha256": record.policy_sha256},
            "status": record.status,
            "changes": [
                {"metric": c.metric, "before": c.before, "now": c.now, "incomparable": c.incomparable} for c in moved
            ],
            "warnings": list(self.warnings),
        }


def compare(
    record: Record | None,
    measurements: Mapping[str, Measurement],
    *,
    drawn: Mapping[str, Any],
    benchmarks: Benchmarks,
    setting: Setting,
    lenses: Mapping[str, Any] = MappingProxyType({}),
) -> Comparison | None:
    """Sets this batch's numbers, measured on the map `drawn` with `setting` and `lenses`, beside those of the record, if there is
    one."""
    if record is None:
        return None
    changes = []
    of_lenses = [find_metric(name) for name in dict.fromkeys([*record.measurements, *measurements]) if lens_of(name)]
    for metric in (*METRICS.values(), *filter(None, of_lenses)):
        old, new = record.measurements.get(metric.name), measurements.get(metric.name)
        if old is None and new is None:
            continue
        why = incomparable(metric, record, drawn, benchmarks) or other_lens(metric.name, record, lenses)
        changes.append(
            Change(
                metric=metric.name,
                before=None if old is None else old.value,
                now=None if new is None else new.value,
                incomparable=why or ("" if old is not None else "the baseline did not measure it"),
            )
        )
    return Comparison(record=record, changes=tuple(changes), warnings=tuple(_other_setting(record.setting, setting)))


def incomparable(metric: Metric, record: Record, drawn: Mapping[str, Any], benchmarks: Benchmarks | None) -> str:
    """Why the record's number for a metric means something else under another map or other benchmarks, or nothing."""
    moved = moved_keys(metric, record.map, drawn)
    if moved:
        return f"measured with another {' and '.join(f'map.{key}' for key in moved)}"
    if benchmarks is not None and metric.name.startswith("contamination.") and benchmarks != record.benchmarks:
        return "measured against other benchmarks"
    return ""


def other_lens(metric: str, record: Record, lenses: Mapping[str, Any]) -> str:
    """Why the record's number for a lens's metric means something else under these `lenses` of a resolved policy, or nothing."""
    lens = lens_of(metric)
    return (
        "measured with another version or other options of the lens"
        if record.lenses.get(lens) != lenses.get(lens)
        else ""
    )


def moved_keys(metric: Metric, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys of the policy's `map` that decide a metric and differ between two resolved maps."""
    return [key for key in metric.map_keys if _at(one, key) != _at(other, key)]


def _at(drawn: Mapping[str, Any], key: str) -> Any:
    *axis, leaf = key.split(".")
    part = drawn.get(axis[0]) if axis else drawn
    return part.get(leaf) if isinstance(part, Mapping) else None


def _other_setting(before: Setting, now: Setting) -> Iterator[str]:
    pairs: Sequence[tuple[str, object, object]] = (
        ("the proxy", before.proxy, now.proxy),
        ("epochs", before.epochs, now.epochs),
        ("folds", before.folds, now.folds),
        ("repeats", before.repeats, now.repeats),
    )
    for what, old, new in pairs:
        if old != new:
            yield (
                f"the baseline was measured with {what} {safe_inline(str(old), 80)}, this batch with "
                f"{safe_inline(str(new), 80)}; part of the change may come from that"
            )
