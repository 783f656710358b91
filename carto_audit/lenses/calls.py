"""Calls: which lenses look at a batch, each with its options, and what it draws by chance."""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from carto_audit.lenses.declared.known import KnownLens, find_lens
from carto_audit.lenses.declared.spec import LensSpec
from carto_audit.policy.lens_choices import lens_options
from carto_audit.runtime.strict_model import Strict

PLANTING, LOOKING = 1, 2
"""What a lens draws for: what it plants, and where that stands and what it looks at. Neither tells of the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LensCall:
    """A lens with its options. `judged` says whether the policy turned it on; otherwise no rule asks it."""

    known: KnownLens
    options: Strict
    judged: bool

    @property
    def spec(self) -> LensSpec:
        """How it declares itself."""
        return self.known.spec

    @property
    def name(self) -> str:
        """Its name."""
        return self.known.spec.name

    @property
    def recipe(self) -> tuple[str, int, str | None, str]:
        """What decides about what it plants, beside the batch: name, version, whose it is, options."""
        return self.name, self.spec.version, self.known.distribution, self.options.model_dump_json()

    @property
    def columns(self) -> dict[str, str]:
        """The columns that its options name, by option."""
        named = {option: getattr(self.options, option) for option in self.spec.fields}
        return {option: column for option, column in named.items() if column is not None}

    def rng(self, entropy: int, purpose: int) -> np.random.Generator:
        """What it draws from, for PLANTING or LOOKING, in an audit with this entropy."""
        return np.random.default_rng([entropy, zlib.crc32(self.name.encode()), self.spec.version, purpose])


def lens_calls(choices: Mapping[str, Mapping[str, Any]], besides: Iterable[str]) -> tuple[LensCall, ...]:
    """The lenses that a policy turns on, and those that are named besides."""
    on = {name: choice for name, choice in choices.items() if not choice.get("off")}
    others = [name for name in dict.fromkeys(besides) if name not in on]
    return tuple(
        LensCall(known=find_lens(name), options=lens_options(name, choice), judged=judged)
        for name, choice, judged in (
            *((name, choice, True) for name, choice in on.items()),
            *((name, {}, False) for name in others),
        )
    )
