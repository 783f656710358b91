"""Cases: unit tests for a policy. Measurements that a batch might have, and the verdict that the team expects on them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from carto_audit.artifacts.audit_record import Change, Comparison, Record, Setting
from carto_audit.artifacts.report_facts import BLIND, Status
from carto_audit.gate.verdict import Verdict, evaluate, explained
from carto_audit.gate.waivers import BatchName
from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.lens_metrics import find_metric
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.model import Policy, RuleId, load_policy, unknown_metric
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.located_yaml import Items, Place, Problem, Table, read_located_yaml
from carto_audit.runtime.strict_model import NonBlank, NotBoolean, Strict, nearest
from carto_audit.runtime.validation_errors import problem_lines, refused
from carto_audit.text.untrusted import safe_inline


def _known(name: str) -> str:
    if find_metric(name) is None:
        raise ValueError(unknown_metric(name))
    return name


_MetricName = Annotated[str, AfterValidator(_known)]


class Value(Strict):
    """A metric's value; `low` and `high` are the ends of its interval, where it is uncertain."""

    value: float
    low: float | None = None
    high: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_number_alone(cls, value: Any) -> Any:
        return {"value": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.measurement.low <= self.value <= self.measurement.high:
            raise ValueError("the value lies between low and high")
        return self

    @property
    def measurement(self) -> Measurement:
        """The value as an audit would have measured it."""
        low, high = (self.value if end is None else end for end in (self.low, self.high))
        return Measurement(value=self.value, low=low, high=high)


class CaseBatch(Strict):
    """What the batch is called, for waivers that are for certain batches."""

    name: NonBlank = "batch.parquet"
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = "0" * 64


class Expected(Strict):
    """The verdict: its status, and, where they are given, exactly which rules fail and which findings are waived."""

    status: Status
    failing: tuple[RuleId, ...] | None = Field(default=None, strict=False)
    """All rules that failed, were not measured, or asked for more power than there was."""
    waived: tuple[RuleId, ...] | None = Field(default=None, strict=False)


class Case(Strict):
    """Measurements and the verdict that is expected on them."""

    name: NonBlank
    metrics: dict[_MetricName, Value] = Field(default={})
    """In addition to the file's, or instead of them."""
    not_measured: tuple[_MetricName, ...] = Field(default=(), strict=False)
    """Metrics of the file that this case is without."""
    baseline: dict[_MetricName, Value] | None = None
    """What the last accepted batch measured, for rules with max_increase."""
    batch: CaseBatch = CaseBatch()
    today: date | None = None
    expect: Expected


class _File(Strict):
    schema_version: Annotated[Literal[1], NotBoolean]
    policy: NonBlank
    today: date | None = None
    metrics: dict[_MetricName, Value] = Field(default={})
    cases: tuple[Case, ...] = Field(min_length=1, strict=False)

    @field_validator("cases")
    @classmethod
    def _names_once(cls, cases: tuple[Case, ...]) -> tuple[Case, ...]:
        names = [case.name for case in cases]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two cases are called "{name[:80]}"')
        return cases


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """How one case went: no `mismatches` means that the verdict is the expected one."""

    name: str
    place: Place
    mismatches: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """One line, and one more per mismatch."""
        sign = "FAIL" if self.mismatches else "ok  "
        where = f"{safe_inline(self.place.file, 200)}:{self.place.line}:{self.place.column}"
        return [f"{sign} {where}: {safe_inline(self.name, 160)}", *(f"       {line}" for line in self.mismatches)]


def run_cases(path: Path, today: date) -> list[CaseResult]:
    """Runs a file of cases; `today` (UTC) counts where the file names no day.

    Raises UsageError with one line per problem of the file, or of the policy that it names.
    """
    file, tree = _read(path)
    policy = load_policy(_policy_of(path, file.policy))
    places = tree["cases"].places
    return [
        CaseResult(
            name=case.name,
            place=places[index],
            mismatches=tuple(_mismatches(case.expect, _verdict(policy, file, case, today), _measured(file, case))),
        )
        for index, case in enumerate(file.cases)
    ]


def _read(path: Path) -> tuple[_File, Table]:
    tree, problems = read_located_yaml(path, str(path))
    file = None
    if tree is not None:
        unknown = list(_unknown_rules(tree, path))  # which makes the policy's lenses known
        try:
            file = _File.model_validate(tree)
        except ValidationError as error:
            problems += refused(error, tree, _File)
        problems += unknown
    if problems or tree is None or file is None:
        raise UsageError(
            "\n".join(line.replace("is this a policy?", "too many cases") for line in problem_lines(problems))
        )
    return file, tree


def _policy_of(path: Path, name: str) -> str | Path:
    """A built-in name, or a path that starts at the file of cases."""
    return name if name in builtin_policies() else path.parent / name


def _unknown_rules(tree: Table, path: Path) -> Iterator[Problem]:
    """Rules that the policy does not have: a case about one would pass without looking."""
    name, cases = tree.get("policy"), tree.get("cases")
    if not isinstance(name, str) or not isinstance(cases, Items):
        return
    try:
        known = [rule.id for rule in load_policy(_policy_of(path, name)).rules]
    except UsageError:  # said when the policy is loaded to run the cases
        return
    for case in cases:
        expect = case.get("expect") if isinstance(case, Table) else None
        for key in ("failing", "waived"):
            rules = expect.get(key) if isinstance(expect, Table) else None
            for index, rule in enumerate(rules if isinstance(rules, Items) else ()):
                if isinstance(rule, str) and isinstance(rules, Items) and rule not in known:
                    message = f'the policy has no rule "{rule}"{nearest(rule, known)}'
                    yield Problem(place=rules.places[index], message=message)


def _measured(file: _File, case: Case) -> dict[str, Measurement]:
    values = {**file.metrics, **case.metrics}
    return {name: value.measurement for name, value in values.items() if name not in case.not_measured}


def _verdict(policy: Policy, file: _File, case: Case, today: date) -> Verdict:
    measured = _measured(file, case)
    return evaluate(
        policy,
        measured,
        case.today or file.today or today,
        batch=BatchName(names=(case.batch.name,), sha256=case.batch.sha256),
        baseline=None if case.baseline is None else _baseline(policy, case.baseline, measured),
    )


def _baseline(policy: Policy, before: Mapping[str, Value], now: Mapping[str, Measurement]) -> Comparison:
    """An accepted batch that was measured like this one."""
    record = Record(
        name="baseline",
        batch_names=("baseline",),
        batch_sha256="0" * 64,
        policy_name=policy.name,
        policy_sha256=policy.sha256,
        map=policy.resolved()["map"],
        status="accepted",
        day=date.min,
        setting=Setting(proxy="", epochs=0, folds=0, repeats=0),
        benchmarks=frozenset(),
        measurements={name: value.measurement for name, value in before.items()},
        outcomes={},
    )
    changes = tuple(
        Change(metric=name, before=old.value, now=now[name].value if name in now else None, incomparable="")
        for name, old in before.items()
    )
    return Comparison(record=record, changes=changes, warnings=())


def _mismatches(expect: Expected, verdict: Verdict, measured: Mapping[str, Measurement]) -> Iterator[str]:
    if verdict.status != expect.status:
        yield f"status: expected {expect.status}, got {verdict.status}"
    said = {finding.rule: explained(finding, measured) for finding in verdict.findings}
    blind = {finding.rule for finding in verdict.findings if finding.outcome in BLIND}
    failing = [finding.rule for finding in verdict.findings if finding.outcome in ("failed", *BLIND)]
    waived = [finding.rule for finding in verdict.findings if finding.outcome == "waived"]
    for what, wanted, got in (("fail", expect.failing, failing), ("be waived", expect.waived, waived)):
        if wanted is not None:
            yield from (
                f"- {rule}: expected to {what}, which it does not: {said.get(rule, 'disabled')}"
                for rule in wanted
                if rule not in got
            )
            yield from (
                f"+ {rule}: not expected to {what}, which it does: {said[rule]}" for rule in got if rule not in wanted
            )
    if verdict.status != expect.status and expect.failing is None:
        yield from (f"  {rule} {'could not see' if rule in blind else 'fails'}: {said[rule]}" for rule in failing)
