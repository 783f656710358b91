"""The team's risk policy: where the map is cut, what is done to each quadrant, and which numbers stop a batch.

Whatever is not understood is an error with file, line and column; nothing in a policy is ever skipped.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from carto_audit.cartography.quadrants import QUADRANT_NAMES, QuadrantName
from carto_audit.cartography.thresholds import DifficultyMeasure, Epsilon, LossOn, Threshold
from carto_audit.lenses.declared.known import SHIPPED, known_lens
from carto_audit.policy.inheritance import contradictions, read_chain
from carto_audit.policy.interventions import KEEP, Intervention
from carto_audit.policy.lens_choices import read_choices
from carto_audit.policy.lens_metrics import LENS, find_metric, lens_metrics, lens_of
from carto_audit.policy.metrics import METRICS, Metric
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.limits import Limits
from carto_audit.runtime.located_yaml import Items, Place, Table, anchored
from carto_audit.runtime.strict_model import BenchmarkName, NonBlank, NotBoolean, Strict, nearest
from carto_audit.runtime.validation_errors import problem_lines, refused
from carto_audit.text.untrusted import safe_inline

Severity = Literal["reject", "warn"]
Bound = Literal["max", "min", "max_increase"]
BOUNDS: tuple[Bound, ...] = get_args(Bound)
Score = Literal["memorized", "memorized_span_share", "memorized_share", "forget_score"]
ALIASES = {"forget_events": "forget_score"}
"""Other names of scores: the paper's."""

_FOUND, _DIGEST = "detection.found_at_dose_", "sha256:"
_BARE_DIGEST = re.compile(r"[0-9a-f]{12,64}")

RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class Difficulty(Strict):
    """The map's horizontal axis: how hard a sample is to a proxy that has only begun to learn."""

    threshold: Threshold
    """Samples above it are hard."""
    burn_in_share: float = Field(default=0.2, gt=0, le=0.25)
    """The share of the epochs that counts as burn-in; the paper takes 0.1 to 0.2."""
    measure: DifficultyMeasure = "evaluation"
    """evaluation: the loss at the end of the burn-in, the mean over the proxies. training: the paper's mean
    loss of the training steps of the burn-in, most of which is when a sample happened to be read."""

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

    score: Annotated[Score, BeforeValidator(lambda name: ALIASES.get(name, name) if isinstance(name, str) else name)]
    """How memorization is measured; `forget_events` is the paper's name for `forget_score`."""
    threshold: Threshold
    """Samples above it are memorized."""
    epsilon: Epsilon = Epsilon(relative=0.1)
    """When a loss counts as learned, for the forget score. 0.1 nats above a sample's best is the sweep's middle."""


class MapSettings(Strict):
    """Where the two axes are cut."""

    difficulty: Difficulty
    memorization: Memorization
    loss_on: LossOn | None = None
    """all: the map is of whole samples. completions: only of the parts that trainers take a loss on, such as an assistant's
    turns; contamination and duplicates are looked for in all text nonetheless. Left out, the command line decides, or all."""


class Rule(Strict):
    """One number that stops a batch or raises a warning, and why. Limits are inclusive: a value on the limit passes."""

    id: RuleId
    """Waivers and child policies refer to it."""
    metric: str
    """The number that is limited; `carto-audit policy metrics` lists them."""
    max: float | None = None
    """The largest value that passes."""
    min: float | None = None
    """The smallest value that passes."""
    max_increase: float | None = None
    """By how much the value may exceed that of the last accepted batch (--baseline or --ledger), in the metric's own unit."""
    severity: Severity
    """reject stops the batch, warn does not."""
    locked: bool = False
    """Policies that extend this one may tighten the rule, not weaken it."""
    disabled: bool = False
    """The rule is not evaluated; it stays in the resolved policy with its reason."""
    reason: NonBlank
    """Why the limit is there; printed with every finding."""

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        if find_metric(name) is None:
            raise ValueError(unknown_metric(name))
        return name

    @field_validator("max", "min", "max_increase")
    @classmethod
    def _limit_fits_metric(cls, limit: float | None, info: ValidationInfo) -> float | None:
        metric = find_metric(info.data.get("metric", ""))
        if limit is None or metric is None:
            return limit
        wrong_ways = {"lower": ("min",), "higher": ("max", "max_increase")}.get(metric.better, ())
        if info.field_name in wrong_ways:
            right = "max" if info.field_name == "min" else "min"
            raise ValueError(
                f'{metric.name} is better {metric.better}, so "{info.field_name}" would pass bad batches; use "{right}"'
            )
        _check_range(limit, metric)
        return limit

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if sum(getattr(self, bound) is not None for bound in BOUNDS) != 1:
            raise ValueError("needs exactly one of max, min and max_increase; for two limits, write two rules")
        return self

    @property
    def bound(self) -> Bound:
        """Which way the limit points."""
        return next(bound for bound in BOUNDS if getattr(self, bound) is not None)

    @property
    def limit(self) -> float:
        """The number itself, whichever way it points."""
        return float(getattr(self, self.bound))


def unknown_metric(name: str) -> str:
    """Why no metric has that name, in one line."""
    shown, lens = safe_inline(name, 80), lens_of(name)
    if name.startswith(LENS) and known_lens(lens) is not None:
        return f'the lens "{lens}" has no metric "{shown}"{nearest(name, [m.name for m in lens_metrics(lens)])}'
    if lens:
        hint = nearest(lens, SHIPPED)
        return f'no lens "{safe_inline(lens, 60)}" is on; turn it on under lenses{hint}'
    return f'no metric is called "{shown}"{nearest(name, METRICS)}'


def _check_range(limit: float, metric: Metric) -> None:
    if limit < 0 and metric.unit != "change":
        raise ValueError(f"{metric.name} is never negative, and neither is a limit on it")
    if metric.upper_bound is not None and limit > metric.upper_bound:
        raise ValueError(f"{metric.name} ends at {metric.upper_bound:g}; 5 % is written 0.05")


class Waiver(Strict):
    """A dated, owned exception: the finding stays visible, but does not reject until the date has passed."""

    rule: RuleId
    """The id of an active rule."""
    owner: NonBlank
    """Who answers for it."""
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=2000)]
    """Why the value is accepted."""
    expires: date
    """Valid through the end of this day, UTC."""
    max_value: float | None = Field(default=None, ge=0)
    """The worst value that was accepted; anything above it is a finding again."""
    subject: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    """The batch it is for: a glob on the names of its files, or sha256: and the first 8 or more digits of its digest. Left
    out, every batch."""

    @field_validator("subject")
    @classmethod
    def _glob_or_digest(cls, subject: str | None) -> str | None:
        if subject is None:
            return None
        if _BARE_DIGEST.fullmatch(subject):
            raise ValueError(f'a digest is written "{_DIGEST}{subject[:12]}…"')
        if subject.startswith(_DIGEST) and not re.fullmatch(r"[0-9a-f]{8,64}", subject.removeprefix(_DIGEST)):
            raise ValueError("sha256: needs 8 to 64 hexadecimal digits, in lower case")
        return subject

    def covers(self, names: Sequence[str], sha256: str) -> bool:
        """Whether it is for the batch of these file names and this digest: a glob must fit every name."""
        if self.subject is None:
            return True
        if self.subject.startswith(_DIGEST):
            return sha256.startswith(self.subject.removeprefix(_DIGEST))
        return bool(names) and all(fnmatchcase(name, self.subject) for name in names)


class Demand(Strict):
    """A benchmark that every batch is compared with, by the name that the registry lists it under."""

    name: BenchmarkName
    """Its name in the registry, benchmarks.yaml."""
    disabled: bool = False
    """An inherited benchmark that this policy does not ask for, with the reason."""
    reason: NonBlank | None = None
    """Why it is left out."""

    @model_validator(mode="before")
    @classmethod
    def _a_name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _left_out_for_a_reason(self) -> Self:
        if self.disabled and self.reason is None:
            raise ValueError("a benchmark that is left out needs a reason")
        return self


class Policy(Strict):
    """A whole policy with everything inherited filled in: what `load_policy` returns and every stage reads."""

    schema_version: Annotated[Literal[1], NotBoolean]
    """The version of this format."""
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}$")]
    """Shown in every report."""
    extends: str | None = Field(default=None, exclude=True)
    """A built-in policy, or the path of one relative to this file: everything is inherited, rules change by their id."""
    never_drop: bool = False
    """No sample is removed, only down-weighted: for regulated data, whose distribution must keep its shape."""
    map: MapSettings
    """Where the two axes are cut."""
    interventions: dict[QuadrantName, Intervention] = Field(default_factory=dict, validate_default=True)
    """A quadrant that is not named is kept."""
    benchmarks: tuple[Demand, ...] = Field(default=(), strict=False)
    """What every batch is compared with, by the names of the registry; inherited ones are added to."""
    lenses: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Optional measurements by name, each with its options; a lens that a policy inherits is turned off by `off: true`."""
    rules: tuple[Rule, ...] = Field(strict=False)
    """The limits."""
    waivers: tuple[Waiver, ...] = Field(default=(), strict=False)
    """Dated exceptions."""
    limits: Limits | None = None
    """The most that a delivery may ask of the machine; left out, what any real one stays below."""
    _places: dict[tuple[str, str], Place] = PrivateAttr(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Policies are equal that decide the same, wherever it is written."""
        return isinstance(other, Policy) and self.resolved() == other.resolved()

    __hash__ = None  # type: ignore[assignment]

    @field_validator("interventions")
    @classmethod
    def _keep_the_others(cls, given: dict[QuadrantName, Intervention]) -> dict[QuadrantName, Intervention]:
        return {quadrant: given.get(quadrant, KEEP) for quadrant in QUADRANT_NAMES}

    @field_validator("lenses", mode="before")
    @classmethod
    def _known_lenses(cls, given: Any) -> Any:
        return read_choices(given)

    @property
    def lenses_on(self) -> tuple[str, ...]:
        """The names of the lenses that look at every batch."""
        return tuple(name for name, choice in self.lenses.items() if not choice.get("off"))

    @property
    def active_rules(self) -> tuple[Rule, ...]:
        """The rules that the verdict evaluates."""
        return tuple(rule for rule in self.rules if not rule.disabled)

    @property
    def demanded(self) -> tuple[str, ...]:
        """The names of the benchmarks that every batch is compared with."""
        return tuple(benchmark.name for benchmark in self.benchmarks if not benchmark.disabled)

    @property
    def demanded_dose(self) -> int:
        """How often a secret occurs that every audit has to show it finds: the dose that sets the line, or else the lowest that a
        rule asks about, or 4."""
        asked = [int(r.metric.rpartition("_")[2]) for r in self.active_rules if r.metric.startswith(_FOUND)]
        return self.map.memorization.threshold.control_dose or min(asked, default=4)

    @property
    def relies_on_rank(self) -> tuple[str, ...]:
        """The rules on how secrets rank, where no rule asks how many lie above the line: they can rank first and lie below it."""
        if any(rule.metric.startswith(_FOUND) for rule in self.active_rules):
            return ()
        return tuple(r.id for r in self.active_rules if r.metric.startswith(("detection.auc", "detection.recall")))

    def place(self, section: Literal["rules", "benchmarks"], name: str) -> Place | None:
        """Where the rule or benchmark of that name was last written; None for a policy that came from no file."""
        return self._places.get((section, name))

    def resolved(self) -> dict[str, Any]:
        """The policy as plain JSON, inherited parts included: what the report shows and the digest covers."""
        plain = self.model_dump(mode="json", exclude_none=True)
        # A policy that demands no benchmarks and has no lenses keeps the digest that it always had.
        return {key: value for key, value in plain.items() if value or key not in ("benchmarks", "lenses")}

    @property
    def sha256(self) -> str:
        """Digest of the resolved policy: the same for every spelling of the same decisions."""
        return resolved_sha256(self.resolved())

    @property
    def treatment_sha256(self) -> str:
        """Digest of what decides about the samples, whatever the rules and waivers say."""
        return treatment_sha256(self.resolved())


def treatment_sha256(resolved: Mapping[str, Any]) -> str:
    """Hex sha256 of the part of a resolved policy that decides what happens to a sample."""
    return resolved_sha256({key: resolved.get(key) for key in ("map", "interventions", "never_drop")})


def resolved_sha256(resolved: Mapping[str, Any]) -> str:
    """Hex sha256 of a resolved policy, as `Policy.resolved` gives it and `report.json` quotes it."""
    canonical = json.dumps(resolved, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedPolicy:
    """A policy together with its files: `levels` is the merged policy after each of them, base first, with places."""

    policy: Policy
    levels: list[Table]


def load_policy(name_or_path: str | Path) -> Policy:
    """The policy with that built-in name or in that file, with everything that it extends.

    Raises UsageError with one line per problem, all of them at once: `file:line:column: path: message`.
    """
    return read_policy(name_or_path).policy


def read_policy(name_or_path: str | Path) -> LoadedPolicy:
    """`load_policy`, and where everything was written."""
    chain = read_chain(name_or_path)
    problems = list(chain.problems)
    policy = None
    for level in chain.levels:
        try:
            policy = Policy.model_validate(level)
        except ValidationError as error:
            problems += refused(error, level, Policy, complete=chain.complete)
        problems += contradictions(level, chain.complete)
    if problems or policy is None:
        raise UsageError("\n".join(problem_lines(problems)))
    policy._places.update(_anchors(chain.levels[-1]))
    return LoadedPolicy(policy=policy, levels=chain.levels)


def _anchors(tree: Table) -> Iterator[tuple[tuple[str, str], Place]]:
    """Where each rule and benchmark was last written, as CI formats name it: the same wherever the files lie."""
    for section, key in (("rules", "id"), ("benchmarks", "name")):
        entries = tree.get(section, Items(tree.place))
        for index, entry in enumerate(entries):
            name = entry if isinstance(entry, str) else entry[key]
            yield (section, name), anchored(entries.places[index])
