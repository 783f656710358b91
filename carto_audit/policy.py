"""The team's risk policy: where the map is cut, what is done to each quadrant, and which numbers stop a batch.

Whatever is not understood is an error with file, line and column; nothing in a policy is ever skipped.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from carto_audit.errors import UsageError
from carto_audit.interventions import KEEP, Intervention
from carto_audit.metrics import METRICS, Metric
from carto_audit.policy_chain import read_chain
from carto_audit.policy_file import Problem, Table, place_of
from carto_audit.strict import NonBlank, NotBoolean, Strict, nearest
from carto_audit.thresholds import QUADRANTS, Epsilon, Quadrant, Threshold

Severity = Literal["reject", "warn"]
Score = Literal["memorized", "memorized_span_share", "memorized_share", "forget_score"]
_ALIASES = {"forget_events": "forget_score"}  # the paper's name for it

RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class Difficulty(Strict):
    """The map's horizontal axis: the mean loss over the first epochs."""

    threshold: Threshold
    burn_in_share: float = Field(default=0.2, gt=0, le=1)
    """The share of the epochs that counts as burn-in; the paper takes 0.1 to 0.2."""

    @field_validator("threshold")
    @classmethod
    def _controls_have_no_difficulty(cls, value: Threshold) -> Threshold:
        if value.control_dose is not None:
            raise ValueError(
                "control_dose measures memorization; cut difficulty by percentile, reference_percentile or absolute"
            )
        return value


class Memorization(Strict):
    """The map's vertical axis."""

    score: Annotated[Score, BeforeValidator(lambda name: _ALIASES.get(name, name) if isinstance(name, str) else name)]
    threshold: Threshold
    epsilon: Epsilon = Epsilon(relative=0.1)
    """When a loss counts as learned, for the forget score. 0.1 nats above a sample's best is the sweep's middle."""


class MapSettings(Strict):
    """Where the two axes are cut."""

    difficulty: Difficulty
    memorization: Memorization


class Rule(Strict):
    """One number that stops a batch or raises a warning, and why. Limits are inclusive: a value on the limit passes."""

    id: RuleId
    metric: str
    max: float | None = None
    min: float | None = None
    severity: Severity
    locked: bool = False
    """Policies that extend this one may tighten the rule, not weaken it."""
    disabled: bool = False
    """The rule is not evaluated; it stays in the resolved policy with its reason."""
    reason: NonBlank

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        if name not in METRICS:
            raise ValueError(f'no metric is called "{name[:80]}"{nearest(name, METRICS)}')
        return name

    @field_validator("max", "min")
    @classmethod
    def _limit_fits_metric(cls, limit: float | None, info: ValidationInfo) -> float | None:
        metric = METRICS.get(info.data.get("metric", ""))
        if limit is None or metric is None:
            return limit
        wrong_way = {"lower": "min", "higher": "max"}.get(metric.better)
        if info.field_name == wrong_way:
            right = "max" if wrong_way == "min" else "min"
            raise ValueError(
                f'{metric.name} is better {metric.better}, so "{wrong_way}" would pass bad batches; use "{right}"'
            )
        _check_range(limit, metric)
        return limit

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.max is None) == (self.min is None):
            raise ValueError("needs exactly one of max and min; for both, write two rules")
        return self

    @property
    def limit(self) -> float:
        """The number itself, whichever way it points."""
        limit = self.max if self.max is not None else self.min
        assert limit is not None  # the model does not exist without one
        return limit


def _check_range(limit: float, metric: Metric) -> None:
    if limit < 0:
        raise ValueError(f"{metric.name} is never negative")
    if metric.upper_bound is not None and limit > metric.upper_bound:
        raise ValueError(f"{metric.name} ends at {metric.upper_bound:g}; 5 % is written 0.05")


class Waiver(Strict):
    """A dated, owned exception: the finding stays visible, but does not reject until the date has passed."""

    rule: RuleId
    owner: NonBlank
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=2000)]
    expires: date
    """Valid through the end of this day, UTC."""
    max_value: float | None = Field(default=None, ge=0)
    """The worst value that was accepted; anything above it is a finding again."""


class Policy(Strict):
    """A whole policy with everything inherited filled in: what `load_policy` returns and every stage reads."""

    schema_version: Annotated[Literal[1], NotBoolean]
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}$")]
    extends: str | None = Field(default=None, exclude=True)
    never_drop: bool = False
    """No sample is removed, only down-weighted: for regulated data, whose distribution must keep its shape."""
    map: MapSettings
    interventions: dict[Quadrant, Intervention] = Field(default_factory=dict, validate_default=True)
    """A quadrant that is not named is kept."""
    rules: tuple[Rule, ...] = Field(strict=False)
    waivers: tuple[Waiver, ...] = Field(default=(), strict=False)

    @field_validator("interventions")
    @classmethod
    def _keep_the_others(cls, given: dict[Quadrant, Intervention]) -> dict[Quadrant, Intervention]:
        return {quadrant: given.get(quadrant, KEEP) for quadrant in QUADRANTS}

    @property
    def active_rules(self) -> tuple[Rule, ...]:
        """The rules that the verdict evaluates."""
        return tuple(rule for rule in self.rules if not rule.disabled)

    def resolved(self) -> dict[str, Any]:
        """The policy as plain JSON, inherited parts included: what the report shows and the digest covers."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def sha256(self) -> str:
        """Digest of the resolved policy: the same for every spelling of the same decisions."""
        return resolved_sha256(self.resolved())


def resolved_sha256(resolved: Mapping[str, Any]) -> str:
    """Hex sha256 of a resolved policy, as `Policy.resolved` gives it and `report.json` quotes it."""
    canonical = json.dumps(resolved, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def load_policy(name_or_path: str | Path) -> Policy:
    """The policy with that built-in name or in that file, with everything that it extends.

    Raises UsageError with one line per problem, all of them at once: `file:line:column: path: message`.
    """
    chain = read_chain(name_or_path)
    problems = list(chain.problems)
    policy = None
    for level in chain.levels:
        try:
            policy = Policy.model_validate(level)
        except ValidationError as error:
            problems += _invalid(error, level, chain.complete)
        problems += _contradictions(level, chain.complete)
    if problems or policy is None:
        raise UsageError("\n".join(_lines(problems)))
    return policy


def _lines(problems: list[Problem]) -> list[str]:
    # The first complaint about a spot is the closest to its cause; a base file comes up once per level.
    first: dict[tuple[str, int, int, str], Problem] = {}
    for problem in problems:
        spot = problem.place
        first.setdefault((spot.file, spot.line, spot.column, spot.path), problem)
    files = list(dict.fromkeys(spot[0] for spot in first))
    ordered = sorted(first.items(), key=lambda item: (files.index(item[0][0]), *item[0][1:3]))
    return [str(problem) for _, problem in ordered]


def _invalid(error: ValidationError, tree: Table, complete: bool) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        path = [part for part in detail["loc"] if part != "[key]"]
        if detail["type"] == "missing" and not complete:  # it may stand in the file that could not be read
            continue
        yield Problem(place=place_of(tree, path), message=_message(detail, path))


def _message(detail: ErrorDetails, path: list[int | str]) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return "this key is missing"
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(path[-1]), _keys_at(path[:-1]))}"
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        hint = nearest(value, known) if isinstance(value, str) else ""
        return f"should be {detail['ctx']['expected']}{hint}"
    plain = {
        "model_type": "should be a mapping of keys",
        "dict_type": "should be a mapping of keys",
        "tuple_type": "should be a list",
        "date_type": "should be a date without quotes, such as 2027-03-31",
        "string_type": "should be text",
    }
    return plain.get(kind) or detail["msg"].removeprefix("Value error, ").replace("Input should", "should").replace(
        "String should", "should"
    )


def _keys_at(path: list[int | str]) -> list[str]:
    model: type[BaseModel] = Policy
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _contradictions(tree: Table, complete: bool) -> Iterator[Problem]:
    """What is well-formed but cannot be meant: waivers of nothing, drops under `never_drop`."""
    rules = {entry["id"]: entry for entry in _tables(tree.get("rules")) if isinstance(entry.get("id"), str)}
    for waiver in _tables(tree.get("waivers")):
        name = waiver.get("rule")
        if not isinstance(name, str):
            continue
        message = _unwaivable(rules[name]) if name in rules else f'no rule is called "{name}"{nearest(name, rules)}'
        if message and (name in rules or complete):
            yield Problem(place=waiver.places["rule"], message=message)
        if "max_value" in waiver and name in rules and "max" not in rules[name]:
            yield Problem(place=waiver.places["max_value"], message="only a rule with max has a largest accepted value")
    interventions = tree.get("interventions")
    if tree.get("never_drop") is True and isinstance(interventions, Table):
        for quadrant, choice in interventions.items():
            if isinstance(choice, Table) and choice.get("action") == "remove":
                place = choice.places["action"]  # unless inherited: then this file's `never_drop` is what is new
                place = place if place.file == tree.place.file else tree.places["never_drop"]
                message = f"never_drop is true, so {quadrant} may not be removed; use downweight"
                yield Problem(place=place, message=message)


def _tables(section: Any) -> list[Table]:
    return [entry for entry in section if isinstance(entry, Table)] if isinstance(section, list) else []


def _unwaivable(rule: Mapping[str, Any]) -> str:
    metric = METRICS.get(str(rule.get("metric")))
    if rule.get("disabled") is True:
        return f'"{rule["id"]}" is disabled, there is nothing to waive'
    if metric is not None and metric.kind == "power":
        return f'"{rule["id"]}" asks whether the audit can see at all; that cannot be waived'
    return ""
