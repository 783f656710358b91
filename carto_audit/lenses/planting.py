"""Planting: what lenses write, each in a process of its own; of what is trained on, as much as fits in a share of the tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.lenses.apart import Task, plant_apart
from carto_audit.lenses.calls import PLANTING, LensCall
from carto_audit.lenses.declared.spec import LensSpec
from carto_audit.lenses.plants import MOST_ROWS, Example, Plants, Room
from carto_audit.runtime.errors import CartoError
from carto_audit.runtime.limits import Limits
from carto_audit.text.redaction import redact
from carto_audit.text.untrusted import safe_inline

TOKEN_SHARE = 0.02
"""Of the tokens that are trained on, what the trained plants of all lenses together may take."""

MOST_ROOM, ROOM_CHARACTERS = 64, 4_000
"""Texts that plants are written from, and characters of each."""

_WHY, _READ = 200, 2_000
"""Characters of an error that are shown, and looked at."""

Runner = Callable[..., Any]
"""What takes the place of `run_apart`, where a test wants no process."""


class LensFaultError(Exception):
    """What a lens did wrong, in one line: it ends as failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedPlants:
    """What lenses planted for training: by name the plants that found room, and why a lens failed. `texts` (P,) are all of them,
    in order; texts with one number in `example` (P,) are copies of one another; those of a lens begin at `first`."""

    plants: dict[str, Plants] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    example: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def plant_trained(
    calls: Sequence[LensCall],
    texts: Sequence[str],
    trained_tokens: float,
    tokens_of: Callable[[Sequence[str]], int],
    entropy: int,
    limits: Limits,
    folder: Path,
    run: Runner,
) -> TrainedPlants:
    """Plants of the lenses that are called and whose plants are trained on, written from `texts` that nobody trains on: all
    together TOKEN_SHARE of `trained_tokens` at most, shared as the lenses declare. Without texts there are none."""
    planting = [call for call in calls if call.spec.trained and texts]
    total = sum(call.spec.room for call in planting)
    found: dict[str, Plants] = {}
    problems: dict[str, str] = {}
    for call in planting:
        room = TOKEN_SHARE * trained_tokens * call.spec.room / total
        try:
            found[call.name] = fitting(write_plants(call, texts, entropy, limits, folder, run), room, tokens_of)
        except CartoError:
            raise
        except Exception as error:  # whatever a lens hands back
            problems[call.name] = in_one_line(error)
    copies = [group for plants in found.values() for group in groups_of(plants)]
    sizes = [sum(map(len, groups_of(plants))) for plants in found.values()]
    return TrainedPlants(
        plants=found,
        problems=problems,
        first=dict(zip(found, accumulate(sizes, initial=0), strict=False)),
        texts=tuple(text for group in copies for text in group),
        example=np.repeat(np.arange(len(copies)), [len(group) for group in copies]),
    )


def write_plants(
    call: LensCall, texts: Sequence[str], entropy: int, limits: Limits, folder: Path, run: Runner
) -> Plants:
    """What a lens plants, written from these texts; nothing where it declares no doses."""
    if not call.spec.doses:
        return Plants()
    seed = int(call.rng(entropy, PLANTING).integers(2**31))
    room = Room(texts=tuple(text[:ROOM_CHARACTERS] for text in texts), seed=seed)
    task = Task(load=call.spec.load, options=call.options, needs=call.spec.needs, seed=0)
    seconds, most_bytes = limits.of_lens
    plants: Plants = run(plant_apart, (task, room), seconds, folder, most_bytes=most_bytes)
    check_plants(call.spec, plants)
    return plants


def fitting(plants: Plants, tokens: float, tokens_of: Callable[[Sequence[str]], int]) -> Plants:
    """Of these plants as many as take so many tokens: an example of each dose in turn, then a twin, and again."""
    doses = sorted({one.dose for one in plants.examples})
    queues: list[list[Example | str]] = [[one for one in plants.examples if one.dose == dose] for dose in doses]
    turns = [one for turn in zip_longest(*queues, plants.twins) for one in turn if one is not None]
    examples: list[Example] = []
    twins: list[str] = []
    for one in turns:
        cost = tokens_of([one] if isinstance(one, str) else one.texts)
        if cost > tokens:
            continue
        tokens -= cost
        if isinstance(one, str):
            twins.append(one)
        else:
            examples.append(one)
    return Plants(examples=tuple(examples), twins=tuple(twins), innocent=plants.innocent)


def check_plants(spec: LensSpec, plants: object) -> None:
    """Raises LensFaultError in one line where these are not the plants that a lens declared."""
    if not isinstance(plants, Plants):
        raise LensFaultError("plant returned something else than Plants")
    doses = {example.dose for example in plants.examples} - set(spec.doses)
    if doses:
        raise LensFaultError(f"it planted an example {min(doses)} times, which it did not declare")
    texts = texts_of(plants)
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise LensFaultError("it planted something that is no text")
    if len(texts) > MOST_ROWS:
        raise LensFaultError(f"it planted {len(texts):,} rows; at most {MOST_ROWS:,}")


def groups_of(plants: Plants) -> list[tuple[str, ...]]:
    """The copies of every example, then each twin by itself."""
    return [*(example.texts for example in plants.examples), *((twin,) for twin in plants.twins)]


def texts_of(plants: Plants) -> list[str]:
    """Every copy of every example, then the twins."""
    return [text for group in groups_of(plants) for text in group]


def in_one_line(error: Exception) -> str:
    """Why a lens failed, in words that may hold vendor text, which is masked as an excerpt is."""
    return safe_inline(redact(str(error)[:_READ]) or type(error).__name__, _WHY) or "it gave no answer"
