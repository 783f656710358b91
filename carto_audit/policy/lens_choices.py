"""Lens choices: which lenses a policy turns on, with which options, checked before anything is measured, and inherited."""

from collections.abc import Iterator, Mapping
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from carto_audit.lenses.declared.known import KnownLens, find_lens, known_lens
from carto_audit.lenses.declared.spec import RESERVED
from carto_audit.policy.lens_metrics import LENS, lens_of
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.located_yaml import Items, Problem, Table
from carto_audit.runtime.strict_model import Strict, nearest
from carto_audit.text.untrusted import safe_inline

_MOST_REASON = 2000


def read_choices(given: Any) -> Any:
    """Lenses by name as a policy resolves them: every option with its value, the version, and the distribution of one that is not
    ours. Takes its own answers too. Raises pydantic's ValidationError that knows where; what is no mapping comes back as it is.
    """
    if not isinstance(given, Mapping):
        return given
    found: dict[str, dict[str, Any]] = {}
    problems: list[InitErrorDetails] = []
    for name, entry in given.items():
        try:
            found[str(name)] = _choice(str(name), entry)
        except _RefusedError as refused:
            problems += refused.details
    if problems:
        raise ValidationError.from_exception_data("lenses", problems)
    return found


def lens_options(name: str, choice: Mapping[str, Any]) -> Strict:
    """The options of a lens that a policy has turned on."""
    options: Strict = find_lens(name).spec.options.model_validate(_own(choice))
    return options


def rules_without_lens(tree: Table, complete: bool) -> Iterator[Problem]:
    """Rules on a lens that is not on: nothing would measure them."""
    lenses = tree.get("lenses")
    on = (
        [n for n, c in lenses.items() if not (isinstance(c, Table) and c.get("off") is True)]
        if isinstance(lenses, Table)
        else []
    )
    for rule in _entries(tree.get("rules")):
        lens = lens_of(str(rule.get("metric")))
        if lens and rule.get("disabled") is not True and complete and lens not in on:
            message = f'the lens "{safe_inline(lens, 60)}" is not on; turn it on under lenses'
            yield Problem(place=rule.places["metric"], message=message)


def merge_lenses(parent: Table, child: Table, problems: list[Problem], complete: bool) -> Table:
    """The parent's lenses and the child's, which adds lenses and options. A locked rule keeps what it is measured with."""
    above = parent.get("lenses")
    merged = Table(child.place)
    if isinstance(above, Table):
        for name, entry in above.items():
            merged.put(name, entry, above.places[name])
    for name, entry in child.items():
        inherited = merged.get(name)
        locked = next((rule for rule in _locked(parent) if lens_of(str(rule.get("metric"))) == name), None)
        if isinstance(entry, Table):
            problems += _turned_off(name, entry, isinstance(inherited, Table), locked, complete)
            if isinstance(inherited, Table) and entry.get("off") is not True:
                problems += _moved_options(name, inherited, entry, locked)
                entry = _overlaid(inherited, entry)
        merged.put(name, entry, child.places[name])
    return merged


def _turned_off(name: str, entry: Table, inherited: bool, locked: Table | None, complete: bool) -> Iterator[Problem]:
    if entry.get("off") is not True:
        return
    if not inherited and complete:
        message = f'no inherited lens is called "{safe_inline(name, 60)}", there is nothing to turn off'
        yield Problem(place=entry.places["off"], message=message)
    if locked is not None:
        message = f'the locked rule "{locked.get("id")}" is measured with it; it cannot be turned off'
        yield Problem(place=entry.places["off"], message=message)


def _moved_options(name: str, inherited: Table, entry: Table, locked: Table | None) -> Iterator[Problem]:
    known = known_lens(name)
    fields = known.spec.options.model_fields if known else {}
    for key, value in entry.items() if locked is not None else ():
        usual = fields[key].default if key in fields else None
        if key not in RESERVED and value != inherited.get(key, usual):
            message = f'the locked rule "{locked.get("id") if locked else ""}" is measured with this; it cannot change'
            yield Problem(place=entry.places[key], message=message)


def _overlaid(inherited: Table, entry: Table) -> Table:
    merged = Table(entry.place)
    for table in (inherited, entry):
        for key, value in table.items():
            if table is entry or key not in ("off", "reason"):
                merged.put(key, value, table.places[key])
    return merged


class _RefusedError(Exception):
    """What is wrong with one entry, as pydantic takes it."""

    def __init__(self, details: list[InitErrorDetails]) -> None:
        super().__init__()
        self.details = details


def _choice(name: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise _RefusedError([_detail("should be a mapping of options, {} for none", (name,), entry)])
    if entry.get("off", False) is not False:
        return _off(name, entry)
    if "reason" in entry:
        raise _RefusedError([_detail("only a lens that is turned off has a reason", (name, "reason"), entry["reason"])])
    try:
        known = find_lens(name)
        options = known.spec.options.model_validate(_own(entry))
    except UsageError as error:
        raise _RefusedError([_detail(str(error), (name,), entry)]) from error
    except ValidationError as error:
        raise _RefusedError(list(_option_details(name, error, known))) from error
    stated = {"version": known.spec.version, "distribution": known.distribution}
    for key, value in stated.items():
        if key in entry and entry[key] != value:
            words = f"the lens that is installed has another {key}: {value if value is not None else 'none'}"
            raise _RefusedError([_detail(words, (name, key), entry[key])])
    if "requires" in entry:
        _check_required(name, entry["requires"], known)
        stated["requires"] = entry["requires"]
    kept = {key: value for key, value in stated.items() if value is not None}
    return {**options.model_dump(mode="json", exclude_none=True), **kept}


def _check_required(name: str, wanted: Any, known: KnownLens) -> None:
    """Refuses a lens that is not of the package and the versions which the policy requires."""
    try:
        required = Requirement(wanted if isinstance(wanted, str) else "")
    except InvalidRequirement as error:
        words = 'should name a package and its versions, such as "acme-lenses>=1.2,<2"'
        raise _RefusedError([_detail(words, (name, "requires"), wanted)]) from error
    package, _, version = (known.distribution or "").partition(" ")
    same = canonicalize_name(required.name) == canonicalize_name(package)
    if not (same and required.specifier.contains(version, prereleases=True)):
        words = f"the lens that is installed is {f'of {known.distribution}' if package else 'ours'}, which this does not allow"
        raise _RefusedError([_detail(words, (name, "requires"), wanted)])


def _off(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    reason = entry.get("reason")
    if entry["off"] is not True:
        raise _RefusedError([_detail("should be true, or left out", (name, "off"), entry["off"])])
    if not isinstance(reason, str) or not reason.strip() or len(reason) > _MOST_REASON:
        raise _RefusedError([_detail("a lens that is turned off needs a reason", (name, "off"), entry)])
    others = [key for key in entry if key not in ("off", "reason")]
    if others:
        raise _RefusedError([_detail("a lens that is turned off has no options", (name, str(others[0])), entry)])
    return {"off": True, "reason": reason.strip()}


def _own(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in entry.items() if key not in RESERVED}


def _option_details(name: str, error: ValidationError, known: KnownLens) -> Iterator[InitErrorDetails]:
    for detail in error.errors(include_url=False):
        words = detail["msg"].removeprefix("Value error, ").replace("Input should", "should")
        if detail["type"] == "extra_forbidden":
            options = known.spec.options.model_fields
            listed = f"; it has {', '.join(options)}" if options else "; it has none"
            words = f"no option of this lens{nearest(str(detail['loc'][-1]), options) or listed}"
        yield _detail(words, (name, *detail["loc"]), detail["input"])


def _detail(words: str, loc: tuple[int | str, ...], value: Any) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError("lens", "{words}", {"words": words}), loc=loc, input=value)


def _locked(parent: Table) -> Iterator[Table]:
    for rule in _entries(parent.get("rules")):
        if rule.get("locked") is True and str(rule.get("metric")).startswith(LENS):
            yield rule


def _entries(section: Any) -> Iterator[Table]:
    if isinstance(section, Items):
        yield from (entry for entry in section if isinstance(entry, Table))
