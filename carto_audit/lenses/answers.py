"""What a lens answers: about every row, then in sum, as numbers and a section of plain words and figures. No markup."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.lenses.declared.spec import LensSpec
from carto_audit.lenses.plants import Plants, Room
from carto_audit.lenses.view import LensView
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.strict_model import Strict


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A value with the ends of its interval, None where it was counted."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """A figure: bars with intervals. `unit` is share, of 0..1, or number."""

    title: str
    bars: tuple[Bar, ...]
    unit: str = "number"


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """A figure: how much lies in each bin. `labels` name the bins, `amounts` are in `unit`, such as tokens."""

    title: str
    labels: tuple[str, ...]
    amounts: tuple[float, ...]
    unit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """A figure: a small table of words and numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]


Figure = Bars | Histogram | Cells


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """What the report says of a lens: a headline, a paragraph, facts as (what, value), at most two figures."""

    headline: str
    paragraph: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What a lens says of every row of its view: `columns` as declared; `found` (N,) its short answer about each row, which the
    host reads at the plants; `spans` with `row`, `start`, `end`, `label`, where it declares spans."""

    columns: pa.Table
    found: NDArray[np.int64]
    spans: pa.Table | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LensResult:
    """What a lens says in sum: values of declared metrics, those that it could not measure left out; a section; warnings."""

    metrics: Mapping[str, float | Measurement]
    section: Section
    warnings: tuple[str, ...] = field(default=())


class Lens(Protocol):
    """What `LensSpec.load` names: a class without arguments. Each method may run in a process of its own."""

    spec: LensSpec

    def plant(self, room: Room, options: Strict) -> Plants:
        """Examples of known truth and innocent twins; asked of lenses that declare doses."""

    def look(self, view: LensView, options: Strict) -> Looked:
        """Answers about every row of the view, among which the plants are."""

    def sum_up(self, view: LensView, looked: Looked, options: Strict) -> LensResult:
        """The same rows and answers without the plants, in sum. The view has no texts any more."""
