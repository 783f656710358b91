"""What a red team measured, as a policy sees it: `redteam.json` held against itself, against the batch and the treatment."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from carto_audit.artifacts.audit_folder import first_problem, read_file
from carto_audit.artifacts.audit_record import Part
from carto_audit.artifacts.report_facts import RedteamFacts
from carto_audit.policy.metrics import METRICS, Measurement
from carto_audit.policy.model import Policy
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import reason
from carto_audit.runtime.strict_model import NotBoolean
from carto_audit.text.untrusted import safe_inline

REDTEAM = "redteam.json"
"""The file's name in a red team's folder."""

PREFIX = "redteam."

_SAME = 1e-6
_BLIND = ("extraction_policy", "extraction_reduction", "mi_auc_policy", "extraction_pick")
"""What a proxy that learned no planted secret cannot tell: that it gives none away is no merit of a treatment."""

_NEVER_NEGATIVE = tuple(
    f"{PREFIX}{name}" for name in ("extraction_untreated", "extraction_policy", "extraction_pick", "mi_auc_policy")
)

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Estimate(Part):
    value: float
    low: float | None = None
    high: float | None = None


class _Batch(Part):
    sha256: Digest


class _Policy(Part):
    name: str
    sha256: Digest
    treatment_sha256: Digest | None = None


class _Arm(Part):
    arm: str
    leakage: _Estimate | None = None
    perplexity_change: _Estimate | None = None
    mi_auc: _Estimate | None = None


class _Choice(Part):
    arm: Annotated[int, Field(ge=0)] | None = None


class _File(Part):
    schema_version: Annotated[Literal[1], NotBoolean]
    batch: _Batch
    policy: _Policy
    arms: list[_Arm]
    nothing_to_reduce: bool
    policy_pick: _Choice
    metrics: dict[str, _Estimate | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class RedteamRecord:
    """A red team's measurements of one batch under one treatment. `unseen` says of the others why they do not count.

    `treatment_sha256` is None in a file that names the whole policy alone. Digests are hex sha256; `sha256` is the file's.
    """

    shown: str
    sha256: str
    batch_sha256: str
    policy_sha256: str
    treatment_sha256: str | None
    measurements: Mapping[str, Measurement]
    unseen: Mapping[str, str]

    def facts(self) -> RedteamFacts:
        """Plain JSON for reports."""
        return {
            "sha256": self.sha256,
            "policy_sha256": self.policy_sha256,
            "metrics": sorted(self.measurements),
            "unseen": dict(self.unseen),
        }


def redteam_file(path: Path) -> Path:
    """The file that a user means who names it or its folder."""
    return path / REDTEAM if path.is_dir() else path


def read_redteam(path: Path) -> RedteamRecord:
    """The record of the red team in this file, or in the `redteam.json` of this folder.

    Raises UsageError where there is none, and AuditError where it is damaged or contradicts itself, in one line.
    """
    file = redteam_file(path)
    shown = safe_inline(str(file), 160)
    try:
        data = read_file(file, follow=True)
    except FileNotFoundError as error:
        raise UsageError(
            f"{shown}: no such file; name the {REDTEAM} that `carto-audit redteam` left, or its folder"
        ) from error
    except OSError as error:
        raise AuditError(f"{shown}: cannot be read: {reason(error)}") from error
    try:
        found = _File.model_validate_json(data)
    except ValidationError as error:
        raise AuditError(
            f"{shown}: not the result of a red team that this version reads: {first_problem(error)}"
        ) from error
    wrong = next(_contradictions(found), None)
    if wrong:
        raise AuditError(f"{shown}: contradicts itself: {wrong}; run carto-audit redteam again")
    told = {name: estimate.model_dump() if estimate else None for name, estimate in found.metrics.items()}
    measurements, unseen = measurements_of(told, found.nothing_to_reduce)
    return RedteamRecord(
        shown=shown,
        sha256=hashlib.sha256(data).hexdigest(),
        batch_sha256=found.batch.sha256,
        policy_sha256=found.policy.sha256,
        treatment_sha256=found.policy.treatment_sha256,
        measurements=measurements,
        unseen=unseen,
    )


def check_measured(record: RedteamRecord | None, policy: Policy, batch_sha256: str) -> None:
    """What was measured on another batch, or after other interventions, says nothing about these. Raises UsageError in one
    line; nothing where there is no record."""
    if record is None:
        return
    if record.batch_sha256 != batch_sha256:
        raise UsageError(
            f"{record.shown}: measured on another batch: its sha256 is {record.batch_sha256[:12]}…, that of this batch "
            f"{batch_sha256[:12]}…; run carto-audit redteam on this one"
        )
    alike = (
        record.treatment_sha256 == policy.treatment_sha256
        if record.treatment_sha256
        else record.policy_sha256 == policy.sha256
    )
    if not alike:
        raise UsageError(
            f'{record.shown}: measured under another policy, whose map or interventions are not those of "{policy.name}"; '
            "run carto-audit redteam again with this one"
        )


def redteam_estimates(
    arms: Sequence[Mapping[str, Any]], reduction: Mapping[str, Any] | None, picked: int | None, nothing_to_reduce: bool
) -> dict[str, Any]:
    """The `metrics` of a `redteam.json` from its arms: an estimate by name, or None where it was not measured.

    `reduction` is the estimate of the share of the untreated leakage that the policy's arm removes, from paired secrets;
    `picked` is the index of the policy's pick.
    """
    untreated, treated = (_arm(arms, name) for name in ("untreated", "policy"))
    best = arms[picked] if picked is not None else {}
    found = {
        "extraction_untreated": untreated.get("leakage"),
        "extraction_policy": treated.get("leakage"),
        "extraction_reduction": reduction,
        "perplexity_increase": treated.get("perplexity_change"),
        "mi_auc_policy": treated.get("mi_auc"),
        "extraction_pick": best.get("leakage"),
        "perplexity_increase_pick": best.get("perplexity_change"),
    }
    return {
        f"{PREFIX}{name}": None if nothing_to_reduce and name in _BLIND else estimate
        for name, estimate in found.items()
    }


def _arm(arms: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next((arm for arm in arms if arm["arm"] == name), {})


def measurements_of(
    metrics: Mapping[str, Mapping[str, Any] | None], nothing_to_reduce: bool
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """What counts as measured, and of the rest why it does not, from the `metrics` of a `redteam.json`."""
    measurements, unseen = {}, {}
    for name in (name for name in METRICS if name.startswith(PREFIX)):
        estimate = metrics.get(name)
        if nothing_to_reduce and name.removeprefix(PREFIX) in _BLIND:
            unseen[name] = (
                "there was nothing to reduce: the proxy of the untreated batch learned too few planted secrets"
            )
        elif estimate is None:
            unseen[name] = "the red team could not measure it"
        elif estimate["low"] is None or estimate["high"] is None:
            unseen[name] = "it was measured with one seed, which gives no interval; run carto-audit redteam with more"
        else:
            most = METRICS[name].upper_bound or math.inf
            measurements[name] = Measurement(
                value=estimate["value"], low=estimate["low"], high=min(estimate["high"], most)
            )
    return measurements, unseen


def _contradictions(found: _File) -> Iterator[str]:
    """What cannot be true, so that a file which was cut, mixed or written by hand is told."""
    for name, estimate in found.metrics.items():
        metric = METRICS.get(name)
        if metric is None or not name.startswith(PREFIX):
            yield f'no metric of a red team is called "{safe_inline(name, 80)}"'
        elif estimate is not None:
            ends = [end for end in (estimate.low, estimate.value, estimate.high) if end is not None]
            least = 0.0 if name in _NEVER_NEGATIVE else -math.inf
            if ends != sorted(ends):
                yield f"{name} lies outside its interval"
            elif not least <= estimate.value <= (metric.upper_bound or math.inf):
                yield f"{name} is outside what it can be"
    picked = found.policy_pick.arm
    if picked is not None and picked >= len(found.arms):
        yield "policy_pick names no arm"
        return
    arms = [arm.model_dump() for arm in found.arms]
    told = redteam_estimates(arms, None, picked, found.nothing_to_reduce)
    for name, estimate in told.items():
        if name == f"{PREFIX}extraction_reduction":
            continue
        said = found.metrics.get(name)
        if (said is None) != (estimate is None) or (said is not None and not _alike(said.model_dump(), estimate)):
            yield f"{name} is not that of its arm"
    yield from _unlike_reduction(found, told)


def _unlike_reduction(found: _File, told: Mapping[str, Any]) -> Iterator[str]:
    said = found.metrics.get(f"{PREFIX}extraction_reduction")
    before, after = (told[f"{PREFIX}extraction_{name}"] for name in ("untreated", "policy"))
    if said is None:
        return
    if not before or not after or before["value"] <= 0:
        yield f"{PREFIX}extraction_reduction is given, and nothing that it could be of"
    elif not math.isclose(said.value, 1 - after["value"] / before["value"], abs_tol=1e-3):
        yield f"{PREFIX}extraction_reduction is not that of its arms"


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    pairs = [(one[key], other[key]) for key in ("value", "low", "high")]
    return all(a == b or (None not in (a, b) and math.isclose(a, b, abs_tol=_SAME)) for a, b in pairs)
