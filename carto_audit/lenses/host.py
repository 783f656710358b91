"""The host: runs each lens in a process of its own and reads its answers at the plants. What fails in one reaches no further."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.cartography.proof import lower_bound
from carto_audit.data.batch import read_texts
from carto_audit.engines.apart import run_apart
from carto_audit.lenses.answers import Looked
from carto_audit.lenses.apart import Left, Task, look_apart
from carto_audit.lenses.calls import LOOKING, LensCall
from carto_audit.lenses.checking import checked_looked, checked_result
from carto_audit.lenses.declared.spec import FALSE_ALARMS, FOUND, LensSpec
from carto_audit.lenses.lens_run import LensRun, Power, keep, kept_path, read_kept
from carto_audit.lenses.mixing import Mixed, Subject, mix
from carto_audit.lenses.planting import LensFaultError, Runner, TrainedPlants, in_one_line, texts_of, write_plants
from carto_audit.lenses.plants import Plants
from carto_audit.lenses.view import RowTexts
from carto_audit.policy.lens_metrics import LENS, lens_of
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.model import Rule
from carto_audit.runtime.errors import CartoError
from carto_audit.runtime.limits import Limits
from carto_audit.runtime.progress import SILENT, Progress


def look_through(
    calls: Sequence[LensCall],
    subject: Subject,
    planted: TrainedPlants | None = None,
    limits: Limits | None = None,
    progress: Progress = SILENT,
    run: Runner = run_apart,
) -> tuple[LensRun, ...]:
    """What the lenses say that are called, `planted` being what they planted for training. Each has the time and memory that
    `limits` allow.

    `run` gives each a process of its own. What one said before an audit was killed is taken over.
    Raises AuditError only where the batch itself cannot be read any more.
    """
    bounds, known = limits or Limits(), planted or TrainedPlants()
    runs = []
    with progress.task("Looking through lenses", len(calls), "lenses") as advance:
        for call in calls:
            path = kept_path(call, subject)
            found = read_kept(path)
            if found is None:
                found = _look(call, subject, known, bounds, run)
                keep(path, found)
            runs.append(found)
            advance(1)
    return tuple(runs)


def _look(call: LensCall, subject: Subject, planted: TrainedPlants, limits: Limits, run: Runner) -> LensRun:
    spec, began = call.spec, time.perf_counter()
    about: dict[str, Any] = {"name": call.name, "version": spec.version, "distribution": call.known.distribution}
    about |= {"judged": call.judged, "plants_read": len(texts_of(planted.plants.get(call.name, Plants())))}
    rng = call.rng(subject.entropy, LOOKING)
    try:
        plants, first = _plants_of(call, subject, planted, limits, run)
        task = Task(load=spec.load, options=call.options, needs=spec.needs, seed=int(rng.integers(2**31)))
        mixed = mix(spec, plants, subject, rng, first, call.columns)
        answers = _Answers(spec=spec, subject=subject, mixed=mixed)
        seconds, most_bytes = limits.of_lens
        result, peak = run(look_apart, (task, mixed.offered), seconds, subject.folder, answers, most_bytes=most_bytes)
        measured, said = checked_result(spec, result)
        power = tuple(_power(spec, mixed, answers.found))
    except CartoError:  # of the batch or of the disk, not of the lens
        raise
    except Exception as error:  # whatever a lens hands back
        return LensRun(**about, problem=in_one_line(error), seconds=_since(began))
    return LensRun(
        **about,
        power=power,
        measurements={f"{LENS}{call.name}.{key}": m for key, m in (measured | _measured_power(power)).items()},
        columns=answers.left.columns,
        spans=answers.left.spans,
        section=said.section,
        warnings=said.warnings,
        seconds=_since(began),
        peak_bytes=peak,
    )


def _plants_of(
    call: LensCall, subject: Subject, planted: TrainedPlants, limits: Limits, run: Runner
) -> tuple[Plants, int]:
    """The plants of a lens, and the number of the first among those that were trained on."""
    if call.name in planted.problems:
        raise LensFaultError(planted.problems[call.name])
    if call.spec.trained:
        return planted.plants.get(call.name, Plants()), planted.first.get(call.name, 0)
    texts = list(read_texts(subject.batch, sorted(subject.room)).values()) if call.spec.doses else []
    return write_plants(call, texts, subject.entropy, limits, subject.folder, run), 0


@dataclass(slots=True)
class _Answers:
    """Answers what a lens asks while it looks, and keeps what it said. The one mutable value here; it never leaves."""

    spec: LensSpec
    subject: Subject
    mixed: Mixed
    found: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    left: Looked = field(init=False)
    _chunks: Iterator[RowTexts] | None = None

    def __call__(self, question: Any) -> Any:
        match question:
            case ("texts",):
                if self._chunks is None:
                    self._chunks = self.mixed.chunks(self.subject.batch)
                return next(self._chunks, None)
            case ("looked", looked):
                return self._without_plants(checked_looked(self.spec, len(self.mixed.planted), looked))
        raise LensFaultError("it asked for what there is not")

    def _without_plants(self, looked: Looked) -> Left:
        rows = ~self.mixed.planted
        self.found = looked.found
        columns = looked.columns.filter(pa.array(rows)) if self.spec.columns else looked.columns
        number = np.cumsum(rows) - 1  # of each row once the plants are gone
        spans = looked.spans
        if spans is not None:
            spans = spans.filter(pa.array(rows[spans["row"].to_numpy()]))
            spans = spans.set_column(0, "row", pa.array(number[spans["row"].to_numpy()], pa.int64()))
            spans = spans.sort_by([("row", "ascending"), ("start", "ascending"), ("end", "ascending")])
        self.left = Looked(columns=columns, found=looked.found[rows], spans=spans)
        return Left(offered=self.mixed.clean, looked=self.left)


def _power(spec: LensSpec, mixed: Mixed, found: NDArray[np.int64]) -> Iterator[Power]:
    """Of each dose how many examples were answered right about at least half of their copies, then of the twins how many were
    not."""
    right = found[mixed.planted] == mixed.answer
    for dose in spec.doses:
        plants = np.unique(mixed.plant[mixed.dose == dose])
        if len(plants):
            counted = sum(2 * int(right[mixed.plant == plant].sum()) >= dose for plant in plants)
            yield Power(dose=dose, planted=len(plants), counted=counted)
    twins = mixed.plant < 0
    if twins.any():
        yield Power(dose=0, planted=int(twins.sum()), counted=int((~right[twins]).sum()))


def _measured_power(power: Iterable[Power]) -> dict[str, Measurement]:
    """What rules may limit of it: at least so much is found, at most so many alarms are false (Clopper and Pearson)."""
    measured = {}
    for one in power:
        share = one.counted / one.planted
        if one.dose:
            low = lower_bound(one.counted, one.planted)
            measured[f"{FOUND}{one.dose}"] = Measurement(value=share, low=low, high=1.0)
        else:
            high = 1 - lower_bound(one.planted - one.counted, one.planted)
            measured[FALSE_ALARMS] = Measurement(value=share, low=0.0, high=high)
    return measured


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)


def unseen_by(runs: Iterable[LensRun], rules: Iterable[Rule]) -> dict[str, str]:
    """Why metrics of lenses that failed, and that rules ask for, were not measured."""
    failed = {run.name: run.problem for run in runs if run.problem}
    return {
        rule.metric: f"the lens failed: {failed[lens]}" for rule in rules if (lens := lens_of(rule.metric)) in failed
    }
