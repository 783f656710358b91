"""The preset `nano` in another shape, for as long as a block lasts. Audits inside it are ordinary ones."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch

from carto_audit.engines.engine import Engine
from carto_audit.proxies.model import PRESETS

THIN: dict[str, Any] = {
    "vocab_size": 512,
    "context": 64,
    "hidden_size": 32,
    "layers": 1,
    "heads": 2,
    "learning_rate": 5e-3,
    "minibatch_tokens": 2048,
}
"""The shape for smoke runs: it learns in seconds, and little."""


@contextmanager
def reshaped(shape: dict[str, Any]) -> Iterator[None]:
    """`nano` with these fields of its spec changed."""
    with patch.dict(PRESETS, nano=replace(PRESETS["nano"], **shape)):
        yield


@contextmanager
def thin_if(wanted: bool) -> Iterator[None]:
    """`nano` with thin layers and trained in this process, where a smoke run wants it: every other process would first load
    torch for five seconds."""
    if not wanted:
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(reshaped(THIN))
        stack.enter_context(patch.object(Engine, "map_shards", _map_here))
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.callback(torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled())
        yield


_MAP = Engine.map_shards


def _map_here(engine: Engine, *given: Any, **more: Any) -> Iterator[Any]:
    """`map_shards` by one worker, which is this process, however many are asked for."""
    return _MAP(engine.here(), *given, **more)
