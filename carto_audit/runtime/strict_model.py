"""Strict models: pydantic models that refuse unknown keys, NaN, text where a number belongs. Nothing is coerced or ignored."""

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, model_validator


class Strict(BaseModel):
    """The base of everything that a user writes by hand: frozen, finite, no unknown key, no silent conversion."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class OneOf(Strict):
    """A choice between its fields: exactly one of them is given."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        names = list(type(self).model_fields)
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(names)}; has {' and '.join(given) or 'none'}")
        return self

    @property
    def choice(self) -> str:
        """The name of the field that was given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the known name closest to a mistyped one, or nothing where none is close."""
    short, names = name[:80].lower(), list(known)  # difflib is quadratic: nothing long may reach it
    close = difflib.get_close_matches(short, names, n=1) or [
        other for other in names if len(short) > 3 and short in other
    ]
    return f'; did you mean "{close[0]}"?' if close else ""


def _not_a_boolean(value: Any) -> Any:
    # Python holds True equal to 1, so a Literal[1] alone would let `schema_version: true` through.
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    return value


NotBoolean = BeforeValidator(_not_a_boolean)
NonBlank = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
BenchmarkName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
"""How the registry lists a benchmark, and a policy demands it."""
