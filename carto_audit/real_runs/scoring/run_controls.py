"""The controls of a real run, as an audit's analysis takes them: copies that reached the run, then twins.

A secret that lost a copy, before the run or in it, was not planted as often as it says, and counts for nothing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.controls.controls import PROVING_SECRETS, Controls
from carto_audit.real_runs.reading.planted_run import PlantedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class RunControls:
    """`controls`, and which `sample` (C,) of the run each is; `lost` secrets are not among them."""

    controls: Controls
    sample: NDArray[np.int64]
    lost: int


def controls_of(planted: PlantedRun, known: NDArray[np.bool_]) -> RunControls:
    """The controls of a run in which the samples `known` (N,) of the batch stand."""
    table = planted.controls.to_pylist()
    places = np.flatnonzero(planted.is_copy)
    found = {int(planted.copy[k]): int(k) for k in places}
    missing = {row for row, sample in found.items() if not known[sample]}
    lost = {table[row]["secret"] for row in found if row in missing or table[row]["lost_to"] is not None}
    copies = [row for row in found if table[row]["secret"] not in lost]
    copies.sort(key=lambda row: (table[row]["dose"], table[row]["kind"], table[row]["form"], table[row]["secret"], row))
    first_twin = len(planted.batch)
    twins = planted.twins.tolist()
    sample = [found[row] for row in copies] + [first_twin + k for k in range(len(twins))]
    rows = [table[row] for row in (*copies, *twins)]
    demanded = int(planted.facts["dose"])
    enough = len({row["secret"] for row in rows if row["dose"] == demanded}) >= PROVING_SECRETS
    missing_tokens = int(planted.facts.get("tokens", {}).get("missing", 0))
    return RunControls(
        controls=_table(rows, demanded, 0 if enough else missing_tokens),
        sample=np.array(sample, np.int64),
        lost=len(lost),
    )


def _table(rows: list[dict[str, Any]], demanded: int, missing_tokens: int) -> Controls:
    numbers = {secret: k for k, secret in enumerate(dict.fromkeys(row["secret"] for row in rows))}
    return Controls(
        texts=[row["text"] for row in rows],
        secret=np.array([numbers[row["secret"]] for row in rows], np.int64),
        kind=np.array([row["kind"] for row in rows], np.str_),
        form=np.array([row["form"] for row in rows], np.str_),
        dose=np.array([row["dose"] for row in rows], np.int64),
        edited=np.array([row["edited"] for row in rows], dtype=bool),
        demanded=demanded,
        missing_tokens=missing_tokens,
    )
