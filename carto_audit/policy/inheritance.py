"""Inheritance: the files of a policy from base to child, merged level by level. No locked rule is weakened, none contradicts."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carto_audit.policy.lens_choices import merge_lenses, rules_without_lens
from carto_audit.policy.lens_metrics import find_metric
from carto_audit.runtime.located_yaml import Items, Place, Problem, Table, read_located_yaml
from carto_audit.runtime.resources import resource_folder
from carto_audit.runtime.strict_model import nearest

_MAX_FILES = 8
_OWN_KEYS = ("schema_version", "name", "extends")  # every file says these for itself
_OWN_RULE_KEYS = ("reason", "disabled")  # a parent's reason would explain a number that it never chose


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """The merged policy after each file, base first, and what is wrong so far."""

    levels: list[Table]
    problems: list[Problem]
    complete: bool
    """False when a file of the chain could not be read: what seems missing may stand there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    path: Path
    shown: str


def builtin_policies() -> tuple[str, ...]:
    """The names of the policies that ship with the package."""
    return tuple(sorted(path.stem for path in resource_folder("policies").glob("*.yaml")))


def read_chain(policy: str | Path) -> Chain:
    """Reads a policy and everything it extends; relative paths in `extends` start at the file that names them.

    A plain string is a built-in name first and a path second; a Path is always a path. Raises nothing: what is wrong
    is in `problems`.
    """
    source = _find(policy, None)
    if source is None:
        return Chain(levels=[], problems=[_not_found(str(policy), Place(file=str(policy)))], complete=False)
    trees: list[Table] = []
    problems: list[Problem] = []
    sources: list[_Source] = []
    complete = True
    while source is not None:
        sources.append(source)
        tree, found = read_located_yaml(source.path, source.shown)
        problems += found
        if tree is None:
            complete = False
            break
        trees.append(tree)
        problems += [
            *_repeated(tree, "rules", "id"),
            *_repeated(tree, "waivers", "rule", "subject"),
            *_repeated(tree, "benchmarks", "name"),
        ]
        source, trouble = _next_source(tree, sources)
        if trouble:
            problems.append(trouble)
            complete = False
    return Chain(levels=_merge_all(trees, problems, complete), problems=problems, complete=complete)


def _find(policy: str | Path, named_in: _Source | None) -> _Source | None:
    """A file by its name: the path to read, and the name that messages use, which is the one that was given."""
    if isinstance(policy, str) and policy in builtin_policies():
        path = resource_folder("policies") / f"{policy}.yaml"
        return _Source(path=path.resolve(), shown=f"policies/{policy}.yaml")
    folder, beside = (named_in.path.parent, Path(named_in.shown).parent) if named_in else (Path(), Path())
    path = folder / policy
    try:
        shown = os.path.normpath(beside / policy)
        return _Source(path=path.resolve(), shown=shown) if path.exists() else None
    except (OSError, ValueError):  # a name that is too long, or holds a null byte
        return None


def _not_found(name: str, place: Place) -> Problem:
    known = builtin_policies()
    hint = nearest(Path(name).stem, known) or f"; built in are {', '.join(known)}"
    return Problem(place=place, message=f'no policy file and no built-in policy is called "{name[:80]}"{hint}')


def _next_source(tree: Table, sources: list[_Source]) -> tuple[_Source | None, Problem | None]:
    name = tree.get("extends")
    if not isinstance(name, str):  # absent, or of a wrong type, which the model will say
        return None, None
    place = tree.places["extends"]
    target = _find(name, sources[-1])
    if target is None:
        return None, _not_found(name, place)
    paths = [source.path for source in sources]
    if target.path in paths:
        chain = " -> ".join(path.name for path in [*paths[paths.index(target.path) :], target.path])
        return None, Problem(place=place, message=f"the policies extend each other in a circle: {chain}")
    if len(sources) == _MAX_FILES:
        return None, Problem(place=place, message=f"more than {_MAX_FILES} policies extend each other; merge some")
    return target, None


def _repeated(tree: Table, section: str, *keys: str) -> Iterator[Problem]:
    seen: set[tuple[Any, ...]] = set()
    for name, place, entry in _named(tree.get(section), keys[0]):
        known = (name, *(entry.get(key) for key in keys[1:]))
        if known in seen:
            yield Problem(place=place, message=f'"{name}" is already in this list; keep one entry')
        seen.add(known)


def _named(section: Any, key: str) -> Iterator[tuple[str, Place, Table]]:
    """Each entry by its name: a mapping that says it under `key`, or, for benchmarks, the name alone."""
    for index, entry in enumerate(section) if isinstance(section, Items) else ():
        if isinstance(entry, str):
            yield entry, section.places[index], Table(section.places[index])
        elif isinstance(entry, Table) and isinstance(entry.get(key), str):
            yield entry[key], entry.places[key], entry


def _merge_all(trees: list[Table], problems: list[Problem], complete: bool) -> list[Table]:
    levels: list[Table] = []
    for tree in reversed(trees):
        levels.append(_merge(levels[-1], tree, problems, complete) if levels else tree)
    return levels


def _merge(parent: Table, child: Table, problems: list[Problem], complete: bool) -> Table:
    problems += _moved_axes(parent, child)
    merged = _overlay(parent, child, skip=_OWN_KEYS)
    for key in ("map", "interventions"):
        above, below = parent.get(key), child.get(key)
        if isinstance(above, Table) and isinstance(below, Table):
            merged[key] = _overlay(above, below)
            for axis in below if key == "map" else ():
                if isinstance(above.get(axis), Table) and isinstance(below[axis], Table):
                    merged[key][axis] = _overlay(above[axis], below[axis])
    if isinstance(parent.get("rules"), Items) and isinstance(child.get("rules"), Items):
        merged["rules"] = _merge_rules(parent["rules"], child["rules"], problems, complete)
    if isinstance(parent.get("waivers"), Items) and isinstance(child.get("waivers"), Items):
        merged["waivers"] = _merge_waivers(parent["waivers"], child["waivers"])
    if isinstance(child.get("benchmarks"), Items):
        merged["benchmarks"] = _merge_benchmarks(parent, child["benchmarks"], problems, complete)
    if isinstance(child.get("lenses"), Table):
        merged["lenses"] = merge_lenses(parent, child["lenses"], problems, complete)
    return merged


def _overlay(parent: Table, child: Table, skip: tuple[str, ...] = ()) -> Table:
    merged = Table(child.place)
    for table in (parent, child):
        for key, value in table.items():
            if table is child or key not in skip:
                merged.put(key, value, table.places[key])
    return merged


def _entries(section: Any) -> Iterator[Table]:
    if isinstance(section, Items):
        yield from (entry for entry in section if isinstance(entry, Table))


def _merge_rules(parent: Items, child: Items, problems: list[Problem], complete: bool) -> Items:
    inherited = {entry["id"]: entry for entry in _entries(parent) if isinstance(entry.get("id"), str)}
    overrides: dict[str, Table] = {}
    added = Items(child.place)
    for index, entry in enumerate(child):
        name = entry.get("id") if isinstance(entry, Table) else None
        if isinstance(name, str) and name in inherited:
            problems += _weakening(inherited[name], entry)
            overrides[name] = _overlay(inherited[name], entry, skip=_OWN_RULE_KEYS)
        else:
            added.add(entry, child.places[index])
            if isinstance(name, str) and "metric" not in entry and complete:
                message = f'this key is missing, and no inherited rule is called "{name}"{nearest(name, inherited)}'
                problems.append(Problem(place=entry.place.child("metric"), message=message))
    merged = Items(child.place)
    for index, entry in enumerate(parent):
        override = overrides.get(str(entry.get("id"))) if isinstance(entry, Table) else None
        merged.add(*((override, override.place) if override is not None else (entry, parent.places[index])))
    for index, entry in enumerate(added):
        merged.add(entry, added.places[index])
    return merged


def _merge_waivers(parent: Items, child: Items) -> Items:
    renewed = [_waived(entry) for entry in _entries(child)]
    merged = Items(child.place)
    for items in (parent, child):
        for index, entry in enumerate(items):
            if items is child or not isinstance(entry, Table) or _waived(entry) not in renewed:
                merged.add(entry, items.places[index])
    return merged


def _waived(entry: Table) -> tuple[Any, Any]:
    return entry.get("rule"), entry.get("subject")


def _merge_benchmarks(parent: Table, child: Items, problems: list[Problem], complete: bool) -> Items:
    """The parent's and the child's; an entry of the child replaces one of the same name."""
    inherited = parent.get("benchmarks")
    above = {name: place for name, place, _ in _named(inherited, "name")}
    below = {name: entry for name, _, entry in _named(child, "name")}
    for name, entry in below.items():
        if entry.get("disabled") is True:
            problems += _left_out(name, entry, parent, list(above), complete)
    merged = Items(child.place)
    if isinstance(inherited, Items):
        for index, entry in enumerate(inherited):
            if (entry.get("name") if isinstance(entry, Table) else entry) not in below:
                merged.add(entry, inherited.places[index])
    for index, entry in enumerate(child):
        merged.add(entry, child.places[index])
    return merged


def _left_out(name: str, entry: Table, parent: Table, known: list[str], complete: bool) -> Iterator[Problem]:
    if name not in known and complete:
        message = f'no inherited benchmark is called "{name}", there is nothing to leave out{nearest(name, known)}'
        yield Problem(place=entry.places["disabled"], message=message)
    for rule in _entries(parent.get("rules")):
        if rule.get("locked") is True and str(rule.get("metric")).startswith("contamination."):
            message = f'the locked rule "{rule.get("id")}" counts what is found of it; it cannot be left out'
            yield Problem(place=entry.places["disabled"], message=message)
            return


def _weakening(parent: Table, child: Table) -> Iterator[Problem]:
    """What a child's entry may not do: turn a rule into another one, or weaken one that its parent locked."""
    metric = parent.get("metric")
    if "metric" in child and child["metric"] != metric:
        message = f"the inherited rule is about {metric}; give a rule about another metric another id"
        yield Problem(place=child.places["metric"], message=message)
    if parent.get("locked") is not True:
        return
    where = parent.places["locked"]
    for key, what in _laxer(parent, child):
        message = f'"{child["id"]}" is locked in {where.file}:{where.line} and cannot be {what}'
        yield Problem(place=child.places[key], message=message)


def _laxer(parent: Table, child: Table) -> Iterator[tuple[str, str]]:
    if child.get("disabled") is True:
        yield "disabled", "disabled"
    if child.get("locked") is False:
        yield "locked", "unlocked"
    if parent.get("severity") == "reject" and child.get("severity") == "warn":
        yield "severity", "lowered to a warning"
    for key, sign in (("max", 1), ("min", -1), ("max_increase", 1)):
        above, below = parent.get(key), child.get(key)
        if isinstance(above, int | float) and isinstance(below, int | float) and sign * (below - above) > 0:
            yield key, f"loosened from {above:g} to {below:g}"


def _moved_axes(parent: Table, child: Table) -> Iterator[Problem]:
    """A locked rule measures on the map: moving the map under it would weaken it just as well."""
    above, below = parent.get("map"), child.get("map")
    if not isinstance(above, Table) or not isinstance(below, Table):
        return
    for rule in _entries(parent.get("rules")):
        metric = find_metric(str(rule.get("metric")))
        if rule.get("locked") is not True or metric is None:
            continue
        for key in metric.map_keys:
            *axis, leaf = key.split(".")
            old, new = (table.get(axis[0]) if axis else table for table in (above, below))
            if isinstance(old, Table) and isinstance(new, Table) and leaf in new and new[leaf] != old.get(leaf):
                message = f'the locked rule "{rule.get("id")}" is measured with this; it cannot change'
                yield Problem(place=new.places[leaf], message=message)


def contradictions(tree: Table, complete: bool) -> Iterator[Problem]:
    """What is well-formed but cannot be meant: waivers of nothing, drops under `never_drop`, benchmarks that nobody judges."""
    rules = {entry["id"]: entry for entry in _entries(tree.get("rules")) if isinstance(entry.get("id"), str)}
    for waiver in _entries(tree.get("waivers")):
        name = waiver.get("rule")
        if not isinstance(name, str):
            continue
        message = _unwaivable(rules[name]) if name in rules else f'no rule is called "{name}"{nearest(name, rules)}'
        if message and (name in rules or complete):
            yield Problem(place=waiver.places["rule"], message=message)
        if "max_value" in waiver and name in rules and "min" in rules[name]:
            yield Problem(place=waiver.places["max_value"], message="only a rule with max has a largest accepted value")
    yield from _unjudged_benchmarks(tree, complete)
    yield from rules_without_lens(tree, complete)
    interventions = tree.get("interventions")
    if tree.get("never_drop") is True and isinstance(interventions, Table):
        for quadrant, choice in interventions.items():
            if isinstance(choice, Table) and choice.get("action") == "remove":
                place = choice.places["action"]  # unless inherited: then this file's `never_drop` is what is new
                place = place if place.file == tree.place.file else tree.places["never_drop"]
                message = f"never_drop is true, so {quadrant} may not be removed; use downweight"
                yield Problem(place=place, message=message)


def _unjudged_benchmarks(tree: Table, complete: bool) -> Iterator[Problem]:
    """A demanded benchmark whose items no rule counts would be looked for in vain."""
    entries, rules = tree.get("benchmarks"), _entries(tree.get("rules"))
    if not isinstance(entries, Items) or not complete:
        return
    judged = any(str(r.get("metric")).startswith("contamination.") and r.get("disabled") is not True for r in rules)
    active = [i for i, entry in enumerate(entries) if not isinstance(entry, Table) or entry.get("disabled") is not True]
    if active and not judged:
        message = "no active rule limits what is found of it; add one about contamination.confirmed_items"
        yield Problem(place=entries.places[active[0]], message=message)


def _unwaivable(rule: Mapping[str, Any]) -> str:
    metric = find_metric(str(rule.get("metric")))
    if rule.get("disabled") is True:
        return f'"{rule["id"]}" is disabled, there is nothing to waive'
    if metric is not None and metric.of_audit:
        asked = "saw everything" if metric.kind == "coverage" else "can see at all"
        return f'"{rule["id"]}" asks whether the audit {asked}; that cannot be waived'
    return ""
