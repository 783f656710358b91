"""A policy as it is in force: every value, the file and line that set it, what it replaced, and what its number means."""

from collections.abc import Iterator
from typing import Any

from carto_audit.lenses.declared.spec import RESERVED
from carto_audit.policy.diff import plain_words, waiver_words
from carto_audit.policy.lens_metrics import find_metric
from carto_audit.policy.model import BOUNDS, LoadedPolicy, Policy
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.located_yaml import Items, Place, Table
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline

_LIMITED = {"lower": "lower is better", "higher": "higher is better", "neither": "neither way is better"}
_FAILING = {
    "power": "; a failing value means that the audit could not see, and is inconclusive",
    "coverage": "; a failing value means that the audit did not read everything, and is inconclusive",
}
_WIDTH = 44


def explain_policy(loaded: LoadedPolicy) -> list[str]:
    """The whole policy in lines."""
    policy, tree = loaded.policy, loaded.levels[-1]
    files = list(dict.fromkeys(level.place.file for level in loaded.levels))
    lines = [f"{policy.name}  sha256 {policy.sha256}"]
    lines += [f"  {'from' if not n else 'then'} {safe_inline(file, 200)}" for n, file in enumerate(files)]
    lines += ["", "map", *_section(tree.get("map"), "  ")]
    lines += ["", "interventions", *_interventions(policy, tree)]
    if policy.benchmarks:
        lines += ["", "benchmarks", *_benchmarks(policy, tree)]
    if policy.lenses:
        lines += ["", "lenses", *_lenses(policy, tree)]
    for rule in policy.rules:
        lines += ["", *explain_rule(loaded, rule.id)]
    return lines


def explain_rule(loaded: LoadedPolicy, name: str) -> list[str]:
    """One rule in lines. Raises UsageError with the nearest name."""
    policy = loaded.policy
    rule = next((rule for rule in policy.rules if rule.id == name), None)
    if rule is None:
        known = [rule.id for rule in policy.rules]
        hint = nearest(name, known) or f"; its rules are {', '.join(known)}"
        raise UsageError(f'the policy "{policy.name}" has no rule "{safe_inline(name, 80)}"{hint}')
    metric = find_metric(rule.metric)
    assert metric is not None  # a policy with another one is refused
    history = [table for level in loaded.levels if (table := _rule_table(level, name)) is not None]
    lines = [f"rule {name}{'  (disabled)' if rule.disabled else ''}"]
    for key in ("metric", *BOUNDS, "severity", "locked"):
        if key in history[-1]:
            lines.append(_line(f"  {key} {_shown(history[-1][key])}", history[-1].places[key], _replaced(history, key)))
    lines.append(f"  means: {metric.meaning}")
    lines.append(f"  unit: {metric.unit}; {_LIMITED[metric.better]}{_FAILING.get(metric.kind, '')}")
    lines.append(f"  because: {safe_inline(rule.reason, 600)}")
    lines += [
        f"  waived {waiver_words(waiver)}: {safe_inline(waiver.reason, 600)}"
        for waiver in policy.waivers
        if waiver.rule == name
    ]
    return lines


def _rule_table(level: Table, name: str) -> Table | None:
    rules = level.get("rules")
    entries = rules if isinstance(rules, Items) else Items(level.place)
    return next((entry for entry in entries if isinstance(entry, Table) and entry.get("id") == name), None)


def _replaced(history: list[Table], key: str) -> str:
    """What an earlier file said, where it said something else."""
    now = history[-1]
    for table in reversed(history[:-1]):
        if key in table and table[key] != now[key]:
            return f"was {_shown(table[key])} in {_where(table.places[key])}"
    return ""


def _section(section: Any, indent: str) -> Iterator[str]:
    """The leaves of a table with their places; a threshold, which is one value, counts as a leaf."""
    for key, value in section.items() if isinstance(section, Table) else ():
        if isinstance(value, Table) and key not in ("threshold", "epsilon"):
            yield f"{indent}{key}"
            yield from _section(value, indent + "  ")
        else:
            yield _line(f"{indent}{key} {_shown(value)}", section.places[key])


def _interventions(policy: Policy, tree: Table) -> Iterator[str]:
    written = tree.get("interventions")
    for quadrant, choice in policy.interventions.items():
        weight = "" if choice.action in ("keep", "remove") else f", weight {choice.weight:g}"
        place = written.places.get(quadrant) if isinstance(written, Table) else None
        yield _line(f"  {quadrant} {choice.action}{weight}", place, "" if place else "not named, so it is kept")


def _benchmarks(policy: Policy, tree: Table) -> Iterator[str]:
    places = tree["benchmarks"].places
    for index, benchmark in enumerate(policy.benchmarks):
        out = f" left out: {safe_inline(benchmark.reason or '', 300)}" if benchmark.disabled else ""
        yield _line(f"  {benchmark.name}{out}", places[index])


def _lenses(policy: Policy, tree: Table) -> Iterator[str]:
    written = tree["lenses"]
    for name, choice in policy.lenses.items():
        if choice.get("off"):
            yield _line(f"  {name} turned off: {safe_inline(choice['reason'], 300)}", written.places[name])
            continue
        whose = f" of {choice['distribution']}" if "distribution" in choice else ""
        yield _line(f"  {name} version {choice['version']}{whose}", written.places[name])
        for key, value in choice.items():
            if key not in RESERVED:
                place = written[name].places.get(key)
                yield _line(f"    {key} {_shown(value)}", place, "" if place else "not named, so this is its value")


def _line(text: str, place: Place | None, note: str = "") -> str:
    where = _where(place) if place else ""
    return f"{text:<{_WIDTH}} {where}{f'  ({note})' if note else ''}".rstrip()


def _where(place: Place) -> str:
    return f"{safe_inline(place.file, 200)}:{place.line}:{place.column}"


def _shown(value: Any) -> str:
    return safe_inline(plain_words(value), 120)
