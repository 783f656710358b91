"""The preset `nano` in another shape, for as long as a block lasts. Audits inside it are ordinary ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from carto_audit.proxies.model import PRESETS

THIN: dict[str, Any] = {
    "vocab_size": 512,
    "context": 64,
    "hidden_size": 32,
    "heads": 2,
    "learning_rate": 5e-3,
    "minibatch_tokens": 1024,
}
"""The shape for smoke runs: it learns in seconds, and little."""


@contextmanager
def reshaped(shape: dict[str, Any]) -> Iterator[None]:
    """`nano` with these fields of its spec changed."""
    with patch.dict(PRESETS, nano=replace(PRESETS["nano"], **shape)):
        yield
