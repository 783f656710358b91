"""Placing: a row and a place at random for every copy of a secret, as if the vendor had delivered it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.controls.canary_writer import TWIN_TEXT_SHARE, NoTextLeftError, Passages
from carto_audit.controls.run_secrets import Copy
from carto_audit.data.batch import Batch
from carto_audit.real_runs.control_rows import ControlRow, control_row
from carto_audit.real_runs.donors import Donors, read_donors
from carto_audit.real_runs.token_count import TokenCount

ASKED_WORDS, FEWEST_ASKED = 14, 4
"""Words of a request, which is the beginning or the middle of one that was delivered."""

REQUEST, REFUSAL = "Please go on.", "I would rather not say."
"""Where the batch has no request to take words from."""

_TRIES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A copy in its row: in the `file` of that number, made like its `donor` of that number, `before` a row of that file."""

    row: ControlRow
    file: int
    donor: int
    before: int


class Placing:
    """Finds a row and a place for copies. `asked` are texts that requests are taken from, of those that nobody trains on."""

    def __init__(self, batch: Batch, asked: Sequence[str], count: TokenCount, rng: np.random.Generator) -> None:
        self._batch, self._count, self._rng = batch, count, rng
        self._starts = np.concatenate([[0], np.cumsum(batch.file_rows)]).astype(np.int64)
        apart = round(TWIN_TEXT_SHARE * len(asked))
        self._asked = {True: Passages(asked[:apart]), False: Passages(asked[apart:])}
        self.donors = lru_cache(maxsize=None)(self._read_donors)

    def rows_of(self, file: int) -> slice:
        """The rows of a file, among those of the batch."""
        return slice(int(self._starts[file]), int(self._starts[file + 1]))

    def place(self, copies: Sequence[Copy], twin: bool) -> tuple[list[Placed], float]:
        """A row and a place for each copy of one secret. Copies that stand alone are asked for in the same words, as copies of a
        row are. Raises NoTextLeftError where no row of the batch can hold one."""
        asked = self._request(twin)
        placed = [self._placed(copy, asked if copy.start == 0 else self._request(twin), twin) for copy in copies]
        return placed, self._count.of([one.row.text for one in placed])

    def around(self) -> float:
        """About how many tokens a row has beside the text that is planted in it. Raises NoTextLeftError as `place` does."""
        probe = Copy(text="probe", start=0, end=5, free_start=0, free_end=5, edited=False)
        tokens = [self.place([probe], False)[1] for _ in range(8)]
        return float(np.mean(tokens)) - self._count.of([probe.text])

    def _placed(self, copy: Copy, asked: str, twin: bool) -> Placed:
        for _ in range(_TRIES):
            place = int(self._rng.integers(self._batch.rows))
            file = int(np.searchsorted(self._starts, place, side="right")) - 1
            donors: Donors = self.donors(file)
            if not len(donors):
                continue
            donor = int(self._rng.integers(len(donors)))
            row = control_row(
                self._batch.layout,
                donors.rows[donor],
                copy,
                column=donors.column,
                asked=asked,
                other=self._request(twin, REFUSAL),
                systems=donors.systems,
            )
            if row is not None:
                return Placed(row=row, file=file, donor=donor, before=place - int(self._starts[file]))
        raise NoTextLeftError

    def _request(self, twin: bool, otherwise: str = REQUEST) -> str:
        try:
            return self._asked[twin].draw(ASKED_WORDS, FEWEST_ASKED, self._rng)
        except NoTextLeftError:
            return otherwise

    def _read_donors(self, file: int) -> Donors:
        rows = self.rows_of(file)
        inside = self._batch.row[self._batch.trainable]
        usable: NDArray[np.bool_] = np.zeros(rows.stop - rows.start, dtype=bool)
        usable[inside[(inside >= rows.start) & (inside < rows.stop)] - rows.start] = True
        return read_donors(self._batch.paths[file], self._batch.reading, self._batch.layout, usable)
