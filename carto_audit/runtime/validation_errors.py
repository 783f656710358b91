"""Validation errors: what a model refuses in a hand-written file, in plain words and at its place, all of it at once."""

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from carto_audit.runtime.located_yaml import Problem, Table, place_of
from carto_audit.runtime.strict_model import nearest

MOST_PROBLEMS = 100
"""Lines of one answer: a file of a hundred thousand mistakes is told so, not listed."""

_PLAIN = {
    "missing": "this key is missing",
    "model_type": "should be a mapping of keys",
    "dict_type": "should be a mapping of keys",
    "tuple_type": "should be a list",
    "date_type": "should be a date without quotes, such as 2027-03-31",
    "string_type": "should be text",
}


def problem_lines(problems: list[Problem]) -> list[str]:
    """One line per problem, file by file and from top to bottom; the first complaint about a spot is the closest to its
    cause, so the others are left out."""
    first: dict[tuple[str, int, int, str], Problem] = {}
    for problem in problems:
        spot = problem.place
        first.setdefault((spot.file, spot.line, spot.column, spot.path), problem)
    files = list(dict.fromkeys(spot[0] for spot in first))
    ordered = sorted(first.items(), key=lambda item: (files.index(item[0][0]), *item[0][1:3]))
    lines = [str(problem) for _, problem in ordered[:MOST_PROBLEMS]]
    return lines + ([f"and {len(ordered) - len(lines):,} more problems"] if len(ordered) > len(lines) else [])


def refused(error: ValidationError, tree: Table, model: type[BaseModel], *, complete: bool = True) -> Iterator[Problem]:
    """What `model` refused in `tree`. Without `complete`, what is missing may stand in a file that could not be read."""
    for detail in error.errors(include_url=False):
        path = [part for part in detail["loc"] if part != "[key]"]
        if detail["type"] == "missing" and not complete:
            continue
        yield Problem(place=place_of(tree, path), message=_message(detail, path, model))


def _message(detail: ErrorDetails, path: list[int | str], model: type[BaseModel]) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(path[-1]), _keys_at(model, path[:-1]))}"
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        hint = nearest(value, known) if isinstance(value, str) else ""
        return f"should be {detail['ctx']['expected']}{hint}"
    plain = detail["msg"].removeprefix("Value error, ")
    return _PLAIN.get(kind) or plain.replace("Input should", "should").replace("String should", "should")


def _keys_at(model: type[BaseModel], path: list[int | str]) -> list[str]:
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
