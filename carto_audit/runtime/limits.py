"""Limits: how much a delivery may ask of the machine that audits it. They are checked while it is read, not afterwards."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.progress import Advance, Progress
from carto_audit.runtime.strict_model import NotBoolean, Strict

UNSUSPICIOUS = 64 << 20
"""Bytes. What expands to no more than this needs no explanation."""

Count = Annotated[int, NotBoolean, Field(ge=1)]

LENS_SECONDS = 600
"""That one lens may take where no policy says otherwise."""

LENS_BYTES = 8 << 30
"""Memory of its own that the process of a lens may take where no policy says otherwise."""

WAY_OUT = "raise it under limits: in the policy if this is meant"


class Limits(Strict):
    """The most that a delivery may ask for. Whatever exceeds it ends the audit with exit code 3."""

    rows: Count = 200_000_000
    """Rows of the whole batch."""
    text_bytes: Count = 2_000_000_000_000
    """Bytes of the text that is read, after expansion, of the whole batch."""
    expansion: Count = 1000
    """How many times its own size one file may expand to; up to 64 MB it may in any case."""
    stage_seconds: Count = 604_800
    """Seconds that one stage may take: reading, comparing, training."""

    lens_seconds: Count | None = None
    """Seconds that one lens may take; left out, ten minutes."""
    lens_bytes: Annotated[int, NotBoolean, Field(ge=1 << 28)] | None = None
    """Bytes of memory that the process of one lens may take; left out, 8 GiB."""
    lens_time_share: Annotated[float, NotBoolean, Field(gt=0, le=100)] | None = None
    """Of the time that training took, what lenses together may have the proxies read; left out, half of it."""

    @property
    def of_lens(self) -> tuple[float, int]:
        """Seconds and bytes that the process of one lens may take."""
        return self.lens_seconds or LENS_SECONDS, self.lens_bytes or LENS_BYTES

    def most_expanded(self, n_bytes: int) -> int:
        """The bytes to which a file of this size may expand."""
        return max(UNSUSPICIOUS, self.expansion * n_bytes)


class Watch(Progress):
    """A progress display that ends a stage which takes too long: every stage tells how far it is."""

    def __init__(self, shown: Progress, seconds: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._shown, self._seconds, self._clock = shown, seconds, clock
        self._stage, self._began = "", clock()

    def begin(self, stage: str) -> None:
        """From now on the time of another stage counts."""
        self._stage, self._began = stage, self._clock()

    def note(self, message: str) -> None:
        self._shown.note(message)

    @contextmanager
    def task(self, label: str, total: float | None = None, unit: str = "rows") -> Iterator[Advance]:
        with self._shown.task(label, total, unit) as advance:

            def watched(amount: float) -> None:
                if self._clock() - self._began > self._seconds:
                    words = f'the stage "{self._stage}" took longer than limits.stage_seconds ({self._seconds:,})'
                    raise AuditError(f"{words}; {WAY_OUT}")
                advance(amount)

            yield watched
