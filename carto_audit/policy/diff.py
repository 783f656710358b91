"""What changes from one policy to another, in words: stricter, looser, new, gone, or changed where neither word is true."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from carto_audit.policy.interventions import Intervention
from carto_audit.policy.lens_metrics import find_metric
from carto_audit.policy.model import Policy, Rule, Waiver
from carto_audit.text.untrusted import safe_inline

Direction = Literal["stricter", "looser", "new", "gone", "changed"]

_SEVERITY = {"warn": 0, "reject": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One change. `what` is the key in the policy; `before` and `after` are None where there was nothing, or is."""

    what: str
    direction: Direction
    before: str | None
    after: str | None

    @property
    def words(self) -> str:
        """One line."""
        if self.before is None or self.after is None:
            return f"{self.direction:<8} {self.what}: {self.after if self.before is None else self.before}"
        return f"{self.direction:<8} {self.what}: {self.before} -> {self.after}"


def diff_policies(one: Policy, other: Policy) -> list[Difference]:
    """Every decision of `other` that is not that of `one`; reasons and names decide nothing and are left out."""
    return [
        *_map(one, other),
        *_flag("never_drop", one.never_drop, other.never_drop),
        *_interventions(one, other),
        *_benchmarks(one, other),
        *_lenses(one, other),
        *_rules(one, other),
        *_waivers(one, other),
    ]


def _map(one: Policy, other: Policy) -> Iterator[Difference]:
    before, after = one.resolved()["map"], other.resolved()["map"]
    for axis in ("difficulty", "memorization"):
        for key in dict.fromkeys([*before[axis], *after[axis]]):
            old, new = before[axis].get(key), after[axis].get(key)
            if old != new:
                lower = key == "threshold" and axis == "memorization" and _is_lower(old, new)
                raised = key == "threshold" and axis == "memorization" and _is_lower(new, old)
                yield Difference(
                    what=f"map.{axis}.{key}",
                    direction="stricter" if lower else "looser" if raised else "changed",
                    before=plain_words(old),
                    after=plain_words(new),
                )


def _is_lower(old: Mapping[str, float], new: Mapping[str, float]) -> bool:
    """Whether every way to set the threshold is the same and none lies higher: then no sample stops being memorized."""
    return old.keys() == new.keys() and all(new[way] <= old[way] for way in old)


def _flag(what: str, old: bool, new: bool) -> Iterator[Difference]:
    if old != new:
        yield Difference(what=what, direction="changed", before=plain_words(old), after=plain_words(new))


def _interventions(one: Policy, other: Policy) -> Iterator[Difference]:
    for quadrant, old in one.interventions.items():
        new = other.interventions[quadrant]
        if old != new:
            what = f"interventions.{quadrant}"
            yield Difference(what=what, direction="changed", before=_action(old), after=_action(new))


def _benchmarks(one: Policy, other: Policy) -> Iterator[Difference]:
    for name in dict.fromkeys([*one.demanded, *other.demanded]):
        if name not in one.demanded:
            yield Difference(
                what=f"benchmarks.{name}", direction="new", before=None, after="every batch is compared with it"
            )
        elif name not in other.demanded:
            yield Difference(
                what=f"benchmarks.{name}", direction="gone", before="every batch was compared with it", after=None
            )


def _lenses(one: Policy, other: Policy) -> Iterator[Difference]:
    for name in dict.fromkeys([*one.lenses_on, *other.lenses_on]):
        if name not in one.lenses_on:
            yield Difference(what=f"lenses.{name}", direction="new", before=None, after="looks at every batch")
        elif name not in other.lenses_on:
            yield Difference(what=f"lenses.{name}", direction="gone", before="looked at every batch", after=None)
        else:
            before, after = one.lenses[name], other.lenses[name]
            for key in dict.fromkeys([*before, *after]):
                old, new = (plain_words(choice.get(key, "none")) for choice in (before, after))
                if old != new:
                    yield Difference(what=f"lenses.{name}.{key}", direction="changed", before=old, after=new)


def _rules(one: Policy, other: Policy) -> Iterator[Difference]:
    before = {rule.id: rule for rule in one.active_rules}
    after = {rule.id: rule for rule in other.active_rules}
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if old is None and new is not None:
            yield Difference(what=f"rules.{name}", direction="new", before=None, after=rule_words(new))
        elif new is None and old is not None:
            yield Difference(what=f"rules.{name}", direction="gone", before=rule_words(old), after=None)
        elif old is not None and new is not None:
            yield from _changed_rule(old, new)


def _changed_rule(old: Rule, new: Rule) -> Iterator[Difference]:
    what = f"rules.{old.id}"
    if (old.metric, old.bound) != (new.metric, new.bound):
        yield Difference(what=what, direction="changed", before=rule_words(old), after=rule_words(new))
        return
    if old.limit != new.limit:
        tighter = (new.limit < old.limit) == (old.bound != "min")
        before, after = f"{old.bound} {old.limit:g}", f"{new.bound} {new.limit:g}"
        yield Difference(what=what, direction="stricter" if tighter else "looser", before=before, after=after)
    if old.severity != new.severity:
        # What says something of the audit ends it inconclusive, whatever the severity.
        harder = "stricter" if _SEVERITY[new.severity] > _SEVERITY[old.severity] else "looser"
        metric = find_metric(old.metric)
        direction: Any = "changed" if metric is not None and metric.of_audit else harder
        yield Difference(what=what, direction=direction, before=old.severity, after=new.severity)
    if old.locked != new.locked:
        direction = "stricter" if new.locked else "looser"
        yield Difference(what=what, direction=direction, before=_locked(old), after=_locked(new))


def _waivers(one: Policy, other: Policy) -> Iterator[Difference]:
    before = {(waiver.rule, waiver.subject): waiver for waiver in one.waivers}
    after = {(waiver.rule, waiver.subject): waiver for waiver in other.waivers}
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        what = f"waivers.{key[0]}"
        if old is None or new is None:
            old_words, new_words = (None if waiver is None else waiver_words(waiver) for waiver in (old, new))
            direction: Direction = "new" if old is None else "gone"
            yield Difference(what=what, direction=direction, before=old_words, after=new_words)
        elif waiver_words(old) != waiver_words(new):
            yield Difference(what=what, direction="changed", before=waiver_words(old), after=waiver_words(new))


def rule_words(rule: Rule) -> str:
    """`hotspot_memorized.token_share max 0.05, reject`."""
    return f"{rule.metric} {rule.bound} {rule.limit:g}, {rule.severity}{', locked' if rule.locked else ''}"


def waiver_words(waiver: Waiver) -> str:
    """`by data-governance until 2027-03-31, up to 3, for vendor-a-*`."""
    cap = "" if waiver.max_value is None else f", up to {waiver.max_value:g}"
    subject = "" if waiver.subject is None else f", for {safe_inline(waiver.subject, 120)}"
    return f"by {safe_inline(waiver.owner, 80)} until {waiver.expires}{cap}{subject}"


def _action(choice: Intervention) -> str:
    return choice.action if choice.action in ("keep", "remove") else f"{choice.action} {choice.weight:g}"


def _locked(rule: Rule) -> str:
    return "locked" if rule.locked else "not locked"


def plain_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return " and ".join(f"{key} {plain_words(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, int | float) else str(value)
