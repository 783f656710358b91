"""Thresholds: where the map is cut. Rules only: a threshold becomes a number on a batch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from carto_audit.runtime.strict_model import NotBoolean, OneOf, Strict

LossOn = Literal["all", "completions"]
"""Of what the map is drawn: of whole samples, or of the parts alone that trainers learn."""

DifficultyMeasure = Literal["evaluation", "training"]
"""Which losses make up difficulty: those of one evaluation at the end of the burn-in, or those of the burn-in's training
steps."""


class Threshold(Strict):
    """The value above which a sample counts as difficult or memorized: one of four ways to say it, or `control_dose` and
    `percentile` together, of which the stricter (lower) value holds."""

    percentile: float | None = Field(default=None, ge=0, le=100)
    """That percentile of the batch's own scores. It flags the same share of every batch, good or bad."""
    absolute: float | None = None
    """The number itself, in the unit of the score."""
    control_dose: Annotated[Literal[1, 2, 4, 8, 16, 64] | None, NotBoolean] = None
    """Between what ordinary text and never-planted controls reach and what controls planted this often reach (`proof`)."""
    reference_percentile: float | None = Field(default=None, ge=0, le=100)
    """That percentile of the scores of a trusted slice, given with --reference and trained on in the same run."""

    @model_validator(mode="after")
    def _one_way_or_the_stricter_of_two(self) -> Self:
        if len(self.ways) != 1 and self.ways != ("percentile", "control_dose"):
            names = ", ".join(type(self).model_fields)
            raise ValueError(
                f"needs exactly one of {names}, or control_dose and percentile together; has "
                f"{' and '.join(self.ways) or 'none'}"
            )
        return self

    @property
    def ways(self) -> tuple[str, ...]:
        """The names of the fields that were given."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)


class Epsilon(OneOf):
    """The loss, in nats per token, that a sample must cross for a forget event: exactly one of three ways to say it."""

    absolute: float | None = Field(default=None, gt=0)
    """The same loss for every sample."""
    relative: float | None = Field(default=None, gt=0)
    """Each sample's own smallest loss, plus this much."""
    held_out_percentile: float | None = Field(default=None, ge=0, le=100)
    """That percentile of the losses of text which the proxy did not see."""
