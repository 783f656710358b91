"""Conformance: what every lens has to do, as one call for the tests of who writes one."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.data.batch import Batch, iter_texts, read_batch
from carto_audit.data.duplicates import find_duplicates
from carto_audit.engines.apart import ApartError
from carto_audit.lenses.calls import lens_calls
from carto_audit.lenses.declared.known import find_lens
from carto_audit.lenses.host import look_through
from carto_audit.lenses.lens_run import LensRun
from carto_audit.lenses.mixing import Subject
from carto_audit.lenses.planting import MOST_ROOM

HOSTILE = (
    "</script><script>alert(1)</script> \x1b[31m red \u202e turned",
    "{{ 7*7 }} {% raw %} ::error::stop ##[error]stop",
    "\x00 \ud7ff \ue000 \U000e0041 " + "a" * 20_000,
    "=cmd|' /C calc'!A0 \u200b\u2066",
    ".",
)
"""Texts that a program could take for something else."""


def check_lens(name: str, options: Mapping[str, Any] | None = None, texts: tuple[str, ...] = ()) -> LensRun:
    """Runs a lens on ordinary and hostile rows and on a single one, twice each. Raises AssertionError in one line where it fails,
    answers otherwise the second time, or plants examples of which it finds none. Returns what it says of the ordinary rows, to
    which `texts` are added.
    """
    ordinary = [*_sentences(80), *texts]
    first = _same_twice(name, options or {}, ordinary)
    planted = [one for one in first.power if one.dose]
    doses = find_lens(name).spec.doses
    if doses and not planted:
        raise AssertionError(f'the lens "{name}" declares doses and plants nothing in ordinary text')
    if planted and not any(one.counted for one in planted):
        raise AssertionError(f'the lens "{name}" finds none of its own examples')
    for rows in ([*HOSTILE, *ordinary[:20]], ordinary[:1]):
        _same_twice(name, options or {}, rows)
    return first


def run_here(
    function: Callable[[Any, Any], Any],
    setting: Any,
    seconds: float,
    folder: Path | None = None,
    answer: Callable[[Any], Any] = lambda question: None,
    most_bytes: int | None = None,
) -> Any:
    """In place of `run_apart`, in this process: as strict, but without limits."""
    try:
        return function(setting, answer)
    except Exception as error:
        raise ApartError(f"{type(error).__name__}: {error}") from error


def look_here(name: str, options: Mapping[str, Any], texts: list[str], *, seed: int = 0) -> LensRun:
    """What a lens says of some texts, whose rows all weigh 1, in this process."""
    with tempfile.TemporaryDirectory() as place:
        return look_through(lens_calls({name: options}, ()), subject_of(texts, Path(place), seed), run=run_here)[0]


def subject_of(texts: list[str], folder: Path, seed: int = 0) -> Subject:
    """Some texts as an audit shows them to lenses; `folder` is for files."""
    pq.write_table(pa.table({"text": texts}), folder / "batch.parquet")
    return subject_of_batch(read_batch([folder / "batch.parquet"]), folder, seed)


def subject_of_batch(batch: Batch, folder: Path, seed: int = 0) -> Subject:
    """A batch as an audit shows it to lenses that ask no proxy, a word for a token; `folder` is for files."""
    n = len(batch)
    words = [max(1, len(text.split())) for chunk in iter_texts(batch) for text in chunk.texts]
    room = np.random.default_rng(seed).permutation(n)[:MOST_ROOM]
    return Subject(
        batch=batch,
        duplicates=find_duplicates(batch, folder / "duplicates"),
        n_tokens=np.array(words, dtype=np.int64),
        weights=np.ones(n),
        scores=pa.table(
            {
                "difficulty": pa.nulls(n, pa.float64()),
                "memorization": pa.nulls(n, pa.float64()),
                "quadrant": pa.nulls(n, pa.string()),
            }
        ),
        room=np.sort(room).tolist(),
        tokens_of=lambda text: max(1, len(text.split())),
        entropy=seed,
        folder=folder,
    )


def _same_twice(name: str, options: Mapping[str, Any], texts: list[str]) -> LensRun:
    one, other = look_here(name, options, texts), look_here(name, options, texts)
    if one.problem:
        raise AssertionError(f'the lens "{name}" fails: {one.problem}')
    for what in ("columns", "spans", "measurements", "section", "power", "warnings"):
        if getattr(one, what) != getattr(other, what):
            raise AssertionError(f'the lens "{name}" answers otherwise the second time: {what}')
    return one


def _sentences(count: int) -> list[str]:
    """Texts of random syllables: nothing repeats."""
    rng = np.random.default_rng(7)
    syllables = np.array([c + v for c in "bdfgklmnprstvz" for v in "aeiou"], dtype=object)

    def word() -> str:
        return "".join(rng.choice(syllables, int(rng.integers(1, 4))))

    return [" ".join(word() for _ in range(30)) + "." for _ in range(count)]
