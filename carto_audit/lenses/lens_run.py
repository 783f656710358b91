"""A lens's run: what became of it, and what a killed audit keeps of that, so that it goes on with the next lens."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from carto_audit.lenses.answers import Section
from carto_audit.lenses.calls import LensCall
from carto_audit.lenses.mixing import Subject
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.files import write_bytes
from carto_audit.runtime.resume import own_code


@dataclass(frozen=True, kw_only=True, slots=True)
class Power:
    """Of `planted` examples of a dose, or of twins at dose 0, how many were answered right, or taken for examples."""

    dose: int
    planted: int
    counted: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LensRun:
    """What became of one lens. `problem` is one line where it failed; then there is no number of it. `columns` (N rows) and
    `spans` are without plants; `measurements` by the full names of rules; `plants_read` texts were planted for it and trained
    on."""

    name: str
    version: int
    distribution: str | None
    judged: bool
    problem: str = ""
    power: tuple[Power, ...] = ()
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    columns: pa.Table | None = None
    spans: pa.Table | None = None
    section: Section | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_bytes: int = 0
    plants_read: int = 0


def kept_path(call: LensCall, subject: Subject) -> Path:
    """Where an answer of this lens about just this subject lies, if there is one: in the folder of a run, whose name nobody else
    knows, so that what is read back is our own."""
    digest = hashlib.sha256(
        repr((own_code(), call.recipe, call.judged, subject.entropy, subject.batch.sha256)).encode()
    )
    for array in (subject.weights, subject.n_tokens):
        digest.update(array.tobytes())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, subject.scores.schema) as writer:
        writer.write_table(subject.scores)
    digest.update(sink.getvalue())
    budget = subject.proxies.budget if subject.proxies else 0
    digest.update(str(budget).encode())
    return subject.folder / f"{call.name}-{digest.hexdigest()[:16]}.kept"


def read_kept(path: Path) -> LensRun | None:
    """The answer that lies there; None where there is none, or one that was written half."""
    try:
        found = pickle.loads(path.read_bytes())
    except (OSError, EOFError, ValueError, AttributeError, ImportError, pickle.UnpicklingError):
        return None
    return found if isinstance(found, LensRun) else None


def keep(path: Path, run: LensRun) -> None:
    """Keeps an answer; one that failed is tried again."""
    if not run.problem:
        write_bytes(path, pickle.dumps(run))
