"""The view: what a lens sees of a batch, which is what it declared that it needs. It cannot tell plants from rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.lenses.declared.spec import Need
from carto_audit.lenses.readers import Proxies, Readers


@dataclass(frozen=True, kw_only=True, slots=True)
class Kin:
    """Who is a copy of whom, an entry per row: `copies` (N,) counts the rows that are the same byte for byte, `cluster` (N,) is
    the first row of those that are exact or near copies of one another."""

    copies: NDArray[np.int64]
    cluster: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowTexts:
    """Consecutive rows: `texts[k]` is that of row `start + k`."""

    start: int
    texts: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Offered:
    """What a view is made of; None where the lens did not declare it. `n_tokens` (N,) everybody has."""

    n_tokens: NDArray[np.int64]
    kin: Kin | None = None
    weights: NDArray[np.float64] | None = None
    scores: pa.Table | None = None
    proxies: Proxies | None = None
    fields: Mapping[str, pa.LargeStringArray] | None = None


class LensView:
    """The rows of a batch as a lens sees them. Reading what was not declared raises ValueError."""

    def __init__(
        self, offered: Offered, needs: tuple[Need, ...], seed: int, ask: Callable[[Any], Any] | None = None
    ) -> None:
        self._offered, self._needs, self._ask = offered, needs, ask
        self._readers = Readers(offered.proxies) if offered.proxies else None
        self.seed = seed
        """For what a lens draws by chance: of the run, its name and its version."""

    def __len__(self) -> int:
        return len(self._offered.n_tokens)

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each row, (N,)."""
        return self._offered.n_tokens

    @property
    def kin(self) -> Kin:
        """Copies of each row."""
        found: Kin = self._declared("kin", self._offered.kin)
        return found

    @property
    def weights(self) -> NDArray[np.float64]:
        """How often a trainer who follows the policy reads each row in an epoch, (N,): 0 where it is removed."""
        found: NDArray[np.float64] = self._declared("weights", self._offered.weights)
        return found

    @property
    def scores(self) -> pa.Table:
        """What the audit measured of each row: `memorization`, `difficulty`, `quadrant`; null where it was not trained on."""
        return self._declared("scores", self._offered.scores)

    @property
    def proxies(self) -> Readers:
        """The proxy that read each row, and the one that did not."""
        found: Readers = self._declared("proxies", self._readers)
        return found

    def field(self, option: str) -> pa.LargeStringArray | None:
        """What the column says of each row that this option names, (N,), null where it says nothing; None where none is named."""
        found: Mapping[str, pa.LargeStringArray] = self._declared("fields", self._offered.fields)
        return found.get(option)

    def texts(self) -> Iterator[RowTexts]:
        """All texts in their order, once, in chunks of at most about 8 MB."""
        self._declared("texts", self._ask)
        ask, self._ask = self._ask, None
        while ask is not None and (chunk := ask(("texts",))) is not None:
            yield chunk

    def _declared(self, need: Need, value: Any) -> Any:
        if need not in self._needs:
            raise ValueError(f'the lens reads "{need}" and did not declare that it needs it')
        if value is None:
            raise ValueError(f'"{need}" can be read once, while the lens looks')
        return value
