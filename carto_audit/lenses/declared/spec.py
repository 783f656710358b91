"""The declaration of a lens: what it asks, reads, answers and measures. Light, since policies are checked by it."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from carto_audit.runtime.strict_model import Strict

Need = Literal["texts", "kin", "weights", "scores", "proxies", "fields"]
NEEDS: tuple[Need, ...] = get_args(Need)
"""What a lens may ask for. The view of one that asks for less has no more."""

ColumnType = Literal["integer", "number", "text", "flag"]

RESERVED = ("version", "distribution", "requires", "off", "reason")
"""Keys of a lens in a policy that are no option of its own."""

FOUND, FALSE_ALARMS = "found_at_dose_", "false_alarm_share"
"""Metrics of every lens that plants: the host measures them."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}(\.[a-z][a-z0-9_]{0,39})?")
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class LensMetric:
    """A number that rules may limit as `lens.NAME.<name>`, and which way is good."""

    name: str
    unit: Literal["rows", "tokens", "items", "passages", "share", "ratio", "AUC"]
    meaning: str
    better: Literal["lower", "higher", "neither"]
    kind: Literal["mass", "count", "power"] = "mass"


@dataclass(frozen=True, kw_only=True, slots=True)
class LensColumn:
    """A column of `lenses/NAME.parquet`: a value for every row, null where there is none."""

    name: str
    type: ColumnType
    meaning: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LensCost:
    """What a lens costs, about: passes over the texts, and `seconds` for a million tokens on two cores."""

    text_passes: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LensSpec:
    """A lens as it declares itself. Raises ValueError in one line where the declaration makes no sense.

    `load` names the lens as `module:attribute`; nothing is imported from there until a run needs it. `options` is a model that
    refuses what it does not know; `fields` are those of them that name a column, for a lens that needs them. `doses` say how
    often each planted example occurs, none where the lens plants nothing; the proxies train on its plants where it is `trained`,
    and `room` is how much of the tokens for such plants it asks for, beside other lenses. `span_columns` stand beside each
    place, where it has `spans`; `extra` are packages that it needs besides. A number that comes to mean something else is a new
    `version`.
    """

    name: str
    version: int
    question: str
    sources: tuple[str, ...]
    needs: tuple[Need, ...]
    options: type[Strict]
    metrics: tuple[LensMetric, ...]
    columns: tuple[LensColumn, ...]
    cost: LensCost
    load: str
    fields: tuple[str, ...] = ()
    doses: tuple[int, ...] = ()
    trained: bool = False
    room: float = 1.0
    spans: bool = False
    span_columns: tuple[LensColumn, ...] = ()
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name.endswith(".spans"):
            raise ValueError(f'"{self.name[:60]}" is no name of a lens; write small letters, digits and _')
        for need in self.needs:
            if need not in NEEDS:
                raise ValueError(f'the need "{str(need)[:40]}" is not known; known are {", ".join(NEEDS)}')
        for name in (*(m.name for m in self.metrics), *(c.name for c in (*self.columns, *self.span_columns))):
            if (
                not _PLAIN_NAME.fullmatch(name)
                or name.startswith((FOUND, FALSE_ALARMS))
                or name in ("sample_id", "row", "start", "end", "label")
            ):
                raise ValueError(f'"{name[:60]}" cannot be the name of a metric or column')
        for kind, named in (("metrics", self.metrics), ("columns", self.columns), ("span_columns", self.span_columns)):
            names = [one.name for one in named]
            if len(set(names)) != len(names) or len(names) > _MOST:
                raise ValueError(f"{kind} need distinct names, at most {_MOST}")
        if "scores" in self.needs and self.doses:
            raise ValueError("a lens that reads scores cannot plant text: it has none")
        if self.trained and not (self.doses and self.room > 0):
            raise ValueError("a lens whose plants are trained on needs doses, and room for them")
        if "proxies" in self.needs and self.doses and not self.trained:
            raise ValueError("a lens that asks the proxies cannot plant text that none of them read")
        taken = [name for name in RESERVED if name in self.options.model_fields]
        if taken:
            raise ValueError(f'"{taken[0]}" is a key of every lens and cannot be an option')
        if ("fields" in self.needs) != bool(self.fields) or not set(self.fields) <= set(self.options.model_fields):
            raise ValueError("a lens that needs fields names the options that say their columns")
        if self.span_columns and not self.spans:
            raise ValueError("columns of places need places: declare spans")
        if ":" not in self.load or self.version < 1 or any(dose < 1 for dose in self.doses):
            raise ValueError("needs load as module:attribute, a version from 1, and doses from 1")
