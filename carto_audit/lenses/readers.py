"""Readers: what the two proxies of a run say of texts, the one that read a row and the one that did not. Costs forward passes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from carto_audit.proxies.loaded_proxy import LoadedProxy
    from carto_audit.proxies.model import ProxySpec
    from carto_audit.proxies.tokens import Encoder
    from carto_audit.traces.trace import TokenStatistics

UNREAD = -1
"""The side of a row that neither proxy trained on."""

GENERATED = 3
"""Tokens of reading that a generated one costs, about."""

LOGITS = 1 << 23
"""Of whole distributions, so many numbers at once: a lens should take no more memory than it must."""

Ids = NDArray[np.int64]
Asking = Callable[["LoadedProxy", list[int]], Sequence[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxies:
    """The pair of proxies that a run trained. `side` (N,) is where each row lies: proxy 1 - side has read it; UNREAD where
    neither has. `budget` is how many tokens a lens may have them read. `held_out` (N,) marks those that a lot left out of the
    training; None where anybody could foresee which."""

    spec: "ProxySpec"
    encoder: "Encoder"
    folder: Path
    device: str
    side: NDArray[np.int8]
    budget: int
    held_out: NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A text as T tokens: `ids` (T,), and the characters [start, end) of each, `offsets` (T, 2)."""

    ids: Ids
    offsets: NDArray[np.int64]


class Readers:
    """Asks, of each row, its reader or its stranger. Raises ValueError where a row was not read, or the budget is spent."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._loaded: dict[int, LoadedProxy] = {}
        self.left = proxies.budget
        """Tokens that may still be read; a generated one costs GENERATED."""

    @property
    def read(self) -> NDArray[np.bool_]:
        """Which rows one proxy trained on and the other did not, (N,)."""
        found: NDArray[np.bool_] = self._proxies.side != UNREAD
        return found

    @property
    def side(self) -> NDArray[np.int8]:
        """Rows of one number, 0 or 1, were read by one proxy; UNREAD, by neither: (N,)."""
        return self._proxies.side

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Which rows no proxy read because a lot that nobody could foresee left them out, (N,): such as share no text with
        others."""
        held = self._proxies.held_out
        return np.zeros(len(self.side), dtype=bool) if held is None else held

    @property
    def context(self) -> int:
        """Tokens that a proxy sees at once."""
        return self._proxies.spec.context

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Texts as the proxies read them."""
        found = self._proxies.encoder.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            Encoded(ids=np.array(e.ids, np.int64), offsets=np.array(e.offsets, np.int64).reshape(-1, 2)) for e in found
        ]

    def decode(self, ids: Ids) -> str:
        """Tokens as text."""
        text: str = self._proxies.encoder.tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        return text

    def losses(self, rows: Sequence[int], texts: Sequence[Ids], *, stranger: bool = False) -> list[NDArray[np.float64]]:
        """The loss of every token of a text, in nats, as the proxy of the row finds it. A text is no longer than the context."""
        from carto_audit.proxies.likelihood import text_losses

        self._spend(sum(map(len, texts)))
        return self._ask(rows, lambda proxy, chosen: text_losses(proxy, [texts[k] for k in chosen]), stranger)

    def statistics(
        self, rows: Sequence[int], texts: Sequence[Ids], *, stranger: bool = False
    ) -> "list[TokenStatistics]":
        """More of the same: also whether each token is the likeliest."""
        from carto_audit.proxies.likelihood import read_statistics

        self._spend(sum(map(len, texts)))
        return self._ask(
            rows, lambda proxy, chosen: read_statistics(proxy, [texts[k] for k in chosen], LOGITS), stranger
        )

    def greedy(
        self, rows: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int], *, stranger: bool = False
    ) -> list[Ids]:
        """What the proxy of each row says after a prompt, so many tokens, the likeliest each time. Prompt and output fit into the
        context."""
        from carto_audit.proxies.generation import greedy

        self._spend(sum(map(len, prompts)) + GENERATED * sum(lengths))

        def said(proxy: "LoadedProxy", chosen: list[int]) -> list[Ids]:
            return greedy(proxy, [prompts[k] for k in chosen], [lengths[k] for k in chosen])

        return self._ask(rows, said, stranger)

    def unprompted(self, side: int, outputs: int, length: int, seed: int) -> Ids:
        """What the proxy that read the rows of this side says by itself: so many outputs of `length` tokens, drawn by chance,
        each as at the beginning of a row, (outputs, length). Equal seeds draw alike. `length` is less than the context."""
        from carto_audit.proxies.generation import MINIBATCH_TOKENS, sample
        from carto_audit.proxies.likelihood import one_thread

        self._spend(outputs * GENERATED * length)
        at_once, nothing = max(1, MINIBATCH_TOKENS // (1 + length)), np.empty(0, np.int64)
        drawn = [np.empty((0, length), np.int64)]
        with one_thread():
            for first in range(0, outputs, at_once):
                count = min(at_once, outputs - first)
                drawn += sample(self._proxy(1 - side), [nothing], length, count, seed + first)
        return np.concatenate(drawn)

    def _ask(self, rows: Sequence[int], ask: Asking, stranger: bool) -> list[Any]:
        """The answers in order of the rows, each from its own proxy."""
        from carto_audit.proxies.likelihood import one_thread

        side = self._proxies.side[np.asarray(rows, np.int64)]
        if (side == UNREAD).any():
            raise ValueError("the lens asks about a row that no proxy read")
        answers: list[Any] = [None] * len(rows)
        with one_thread():
            for index in (0, 1):
                chosen = np.flatnonzero((side if stranger else 1 - side) == index).tolist()
                if not chosen:
                    continue
                for k, answer in zip(chosen, ask(self._proxy(index), chosen), strict=True):
                    answers[k] = answer
        return answers

    def _proxy(self, index: int) -> "LoadedProxy":
        from carto_audit.proxies.cross_fit import load_proxy

        if index not in self._loaded:
            given = self._proxies
            self._loaded[index] = load_proxy(given.spec, given.encoder.bos, given.folder, index, given.device)
        return self._loaded[index]

    def _spend(self, tokens: int) -> None:
        if tokens > self.left:
            raise ValueError("the lens asks the proxies more than its share of the time allows")
        self.left -= tokens
