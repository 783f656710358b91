"""Forecast: the shares of an audit without the rows that `apply` removes. Sums over its facts, nothing is measured anew."""

from collections.abc import Iterable
from dataclasses import dataclass

from carto_audit.artifacts.decision_facts import used
from carto_audit.artifacts.report_facts import FindingFacts, ReportFacts
from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.policy.decision_metrics import KEPT_ROWS

MEMORIZED = tuple(name for name, quadrant in QUADRANTS.items() if quadrant.memorized)
"""The quadrants above the memorization threshold, the hotspot first."""

_PARTS: dict[str, tuple[str, ...]] = {**{name: (name,) for name in QUADRANTS}, "memorized": MEMORIZED}
_PASSAGES = ("memorized.span_token_share", "memorized.spans", "memorized.sensitive_spans")
_ITEMS = ("contamination.confirmed_items", "contamination.confirmed_rows", "contamination.confirmed_token_share")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What a metric would be: `value` None where only its worst is known, `worst` the end that a rule would go by."""

    value: float | None
    worst: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """The rows that `apply` takes out of a batch: those in some quadrants, and those with a confirmed benchmark item."""

    facts: ReportFacts
    quadrants: frozenset[str]

    @classmethod
    def of(cls, facts: ReportFacts, besides: Iterable[str] = ()) -> "Removal":
        """What the policy removes, and `besides` what `--remove` names."""
        interventions = facts["policy"]["resolved"].get("interventions", {})
        advised = {name for name, what in interventions.items() if what.get("action") == "remove"}
        return cls(facts=facts, quadrants=frozenset({*advised, *besides}))

    @property
    def tokens(self) -> int:
        """How many of the batch's tokens go."""
        masses = self.facts["map"]["quadrants"].values()
        unmapped = self._items("unmapped", "tokens")
        return sum(mass["tokens"] for mass in masses) - sum(self._left(n, "tokens") for n in QUADRANTS) + unmapped

    def outlook(self, metric: str) -> Outlook | None:
        """What the metric would be on what is left; None where the facts do not say."""
        part, _, mass = metric.partition(".")
        if metric in _ITEMS:
            known = self.facts["contamination"]["benchmarks"] and not self.facts["metrics"].get(KEPT_ROWS)
            return Outlook(value=0.0, worst=0.0) if known else None
        if not self.facts["map"]["quadrants"] or (self._fixed("memorization") and part in _PARTS):
            return None
        if metric in _PASSAGES:
            return self._passages(metric)
        if part in _PARTS and mass in ("token_share", "row_share"):
            return self._share(part, "tokens" if mass == "token_share" else "rows", mass)
        return None

    def _share(self, part: str, unit: str, mass: str) -> Outlook:
        """Rows that were never mapped stay, and count as what was measured of the others."""
        unseen, mapped = self._unseen(unit), sum(self._left(name, unit) for name in QUADRANTS)
        stays = self._decided(unit)  # in whichever quadrant
        rest = max(1, mapped + unseen + stays)
        metric = f"{part}.{mass}"
        measured = self.facts["metrics"].get(metric) or 0.0
        _, high = self.facts["metric_intervals"].get(metric) or [measured, measured]
        held = sum(self._left(name, unit) for name in _PARTS[part]) + stays
        value, worst = ((held + unseen * share) / rest for share in (measured, high))
        if part in MEMORIZED and self._fixed(
            "difficulty"
        ):  # its border moves with the batch, and the rest may change sides
            worst = max(worst, self._share("memorized", unit, mass).worst)
        return Outlook(value=value, worst=worst)

    def _passages(self, metric: str) -> Outlook | None:
        """A memorized passage makes its sample memorized, so that samples bound their passages."""
        whole = self._share("memorized", "tokens", "token_share")
        if metric == "memorized.span_token_share":
            return Outlook(value=None, worst=whole.worst)
        return Outlook(value=None, worst=0.0) if not whole.worst else None

    def _left(self, quadrant: str, unit: str) -> int:
        """Rows or tokens of a quadrant that stay."""
        mass = self.facts["map"]["quadrants"].get(quadrant)  # type: ignore[call-overload]
        if mass is None or quadrant in self.quadrants:
            return 0
        return max(0, int(mass[unit]) - self._items(quadrant, unit))

    def _items(self, quadrant: str, unit: str) -> int:
        """Rows or tokens of a quadrant that hold a confirmed benchmark item."""
        held = self.facts["contamination"]["by_quadrant"].get(quadrant)
        return int(held[unit]) if held else 0  # type: ignore[literal-required]

    def _decided(self, unit: str) -> int:
        """Rows or tokens that stay by decision, whatever else would remove them."""
        found = self.facts.get("decisions")
        stays = used(found, "keep", "false alarm") if found else []
        return sum(one["covers"]["tokens" if unit == "tokens" else "rows"] for one in stays)

    def _unseen(self, unit: str) -> int:
        """Rows or tokens that no proxy was trained on and that lent nothing to controls."""
        batch, mapped = self.facts["batch"], self.facts["map"]["quadrants"].values()
        if unit == "tokens":
            return max(0, batch["tokens"] - batch["held_out_tokens"] - sum(mass["tokens"] for mass in mapped))
        return max(0, batch["samples"] - batch["held_out_samples"] - sum(mass["rows"] for mass in mapped))

    def _fixed(self, axis: str) -> bool:
        """Whether the threshold in use flags the same share of every batch."""
        rule = self.facts["map"]["threshold_rules"].get(axis)  # type: ignore[call-overload]
        return any(cut["drawn"] and cut["fixed_share"] for cut in rule["cuts"]) if rule else False


def holds(finding: FindingFacts, outlook: Outlook | None, facts: ReportFacts) -> bool:
    """Whether a rule would hold; one whose outlook is unknown would not."""
    return outlook is not None and outlook.worst - before(finding, facts) <= finding["limit"]


def before(finding: FindingFacts, facts: ReportFacts) -> float:
    """What a rule on an increase subtracts: the value of the last accepted batch; 0 for any other rule."""
    if finding["bound"] != "max_increase" or finding["observed"] is None:
        return 0.0
    value = facts["metrics"].get(finding["metric"]) or 0.0
    high = (facts["metric_intervals"].get(finding["metric"]) or [value, value])[1]
    return high - finding["observed"]


def least_removal(findings: Iterable[FindingFacts], facts: ReportFacts) -> Removal:
    """The removal that costs the fewest tokens of those after which all these rules would hold; the largest where none is
    enough."""
    hot, odd = MEMORIZED
    tried = sorted(
        (Removal.of(facts, chosen) for chosen in ((), (hot,), (odd,), MEMORIZED)), key=lambda one: one.tokens
    )
    rules = list(findings)
    enough = (one for one in tried if all(holds(f, one.outlook(f["metric"]), facts) for f in rules))
    return next(enough, tried[-1])
