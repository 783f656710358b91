"""Progress that does nothing: the library reports to it, and only the terminal and a notebook make it visible."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[float], None]


class Progress:
    """An inert progress display. Subclasses show it; stages only ever call `task` and `note`."""

    @contextmanager
    def task(self, label: str, total: float | None = None, unit: str = "rows") -> Iterator[Advance]:
        """Opens one bar of `total` units; the yielded function moves it forward by an amount."""
        yield lambda amount: None

    def note(self, message: str) -> None:
        """Says one line that the user should see while the audit runs."""


SILENT = Progress()
