"""Where the map is cut, and what its four parts are called. Rules only: a threshold becomes a number on a batch."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from carto_audit.strict import NotBoolean, OneOf

Quadrant = Literal["stable_easy", "ambiguous_hard", "hotspot_memorized", "noisy_outlier"]
QUADRANTS: tuple[Quadrant, ...] = get_args(Quadrant)


class Threshold(OneOf):
    """The value above which a sample counts as difficult or memorized: exactly one of three ways to say it."""

    percentile: float | None = Field(default=None, ge=0, le=100)
    """That percentile of the batch's own scores. It flags the same share of every batch, good or bad."""
    absolute: float | None = None
    """The number itself, in the unit of the score."""
    control_dose: Annotated[Literal[1, 4, 16] | None, NotBoolean] = None
    """The median score of controls planted this often, or the 99th percentile of the never-planted ones if higher."""


class Epsilon(OneOf):
    """The loss, in nats per token, that a sample must cross for a forget event: exactly one of three ways to say it."""

    absolute: float | None = Field(default=None, gt=0)
    """The same loss for every sample."""
    relative: float | None = Field(default=None, gt=0)
    """Each sample's own smallest loss, plus this much."""
    held_out_percentile: float | None = Field(default=None, ge=0, le=100)
    """That percentile of the losses of text which the proxy did not see."""
