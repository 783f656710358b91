"""The metrics of lenses, made of their declarations, and the one way to look up a metric by its name."""

from carto_audit.lenses.declared.known import SHIPPED, known_lens
from carto_audit.lenses.declared.spec import FALSE_ALARMS, FOUND
from carto_audit.policy.metrics import METRICS, Metric
from carto_audit.text.numbers import times

LENS = "lens."
"""How the names of their metrics begin."""


def find_metric(name: str) -> Metric | None:
    """The metric of that name: one of METRICS, or `lens.LENS.METRIC` of a lens that is ours or that a policy has named."""
    return METRICS.get(name) or next((metric for metric in lens_metrics(lens_of(name)) if metric.name == name), None)


def lens_of(name: str) -> str:
    """The lens whose metric it is, as far as its name tells; empty where it is of none."""
    return name.removeprefix(LENS).rpartition(".")[0] if name.startswith(LENS) else ""


def shown_metrics() -> list[Metric]:
    """All that rules may limit with nothing else installed: METRICS, then those of the lenses that are ours."""
    return [*METRICS.values(), *(metric for lens in SHIPPED for metric in lens_metrics(lens))]


def lens_metrics(lens: str) -> list[Metric]:
    """The metrics of a lens by their full names, what the host measures of its power last; none where it is not known."""
    known = known_lens(lens)
    if known is None:
        return []
    spec, start = known.spec, f"{LENS}{lens}."
    own = [
        Metric(
            name=start + m.name,
            unit=m.unit,
            meaning=m.meaning,
            better=m.better,
            kind=m.kind,
            of_treatment="weights" in spec.needs,
        )
        for m in spec.metrics
    ]
    found = [
        Metric(
            name=f"{start}{FOUND}{dose}",
            unit="share",
            better="higher",
            kind="power",
            meaning=f"examples planted {times(dose)} among the rows, at least half of whose copies the lens answers right",
        )
        for dose in spec.doses
    ]
    alarms = Metric(
        name=start + FALSE_ALARMS,
        unit="share",
        better="lower",
        kind="power",
        meaning="innocent look-alikes planted among the rows that the lens takes for examples",
    )
    return [*own, *found, *([alarms] if spec.doses else [])]
