"""Interventions: what a policy does with the samples of a quadrant. `pipeline.actions` decides on each sample."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from carto_audit.runtime.strict_model import Strict

Action = Literal["keep", "downweight", "upsample", "remove"]

_FIXED_WEIGHT = {"keep": 1.0, "remove": 0.0}


class Intervention(Strict):
    """What a quadrant's samples become: an action and the weight that training gives them."""

    action: Action
    weight: float = Field(ge=0, le=10)
    """1 for keep and 0 for remove (may be left out); inside 0..1 for downweight, above 1 for upsample."""

    @model_validator(mode="before")
    @classmethod
    def _fill_fixed_weight(cls, value: Any) -> Any:
        if isinstance(value, dict) and "weight" not in value and value.get("action") in ("keep", "remove"):
            return {**value, "weight": _FIXED_WEIGHT[value["action"]]}
        return value

    @model_validator(mode="after")
    def _weight_fits_action(self) -> Self:
        fixed = _FIXED_WEIGHT.get(self.action)
        if fixed is not None and self.weight != fixed:
            raise ValueError(f"{self.action} has weight {fixed:g}; leave the weight out")
        if self.action == "downweight" and not 0 < self.weight < 1:
            raise ValueError("downweight needs a weight between 0 and 1; to drop samples use remove")
        if self.action == "upsample" and self.weight <= 1:
            raise ValueError("upsample needs a weight above 1")
        return self


KEEP = Intervention(action="keep", weight=1.0)
