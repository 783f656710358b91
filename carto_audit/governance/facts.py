"""What a red team found, as facts: every arm, the knee, the pick, and what to do. The content of `redteam.json`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from carto_audit import __version__
from carto_audit.artifacts.redteam_record import measurements_of, redteam_estimates
from carto_audit.cartography.intervals import Estimate
from carto_audit.governance.arm_results import (
    ArmResult,
    Secrets,
    arm_facts,
    arm_results,
    collect_secrets,
    leakage_reduction,
    strongest_attack,
)
from carto_audit.governance.canaries import ALTERNATIVES, DOSES, FORMS, LEAKING_DOSE
from carto_audit.governance.knee import Choice, Point, find_knee, has_nothing_to_reduce, pick
from carto_audit.governance.recommendation import recommended_block
from carto_audit.governance.run import RedteamRun
from carto_audit.pipeline.judge import judge_redteam
from carto_audit.policy.metrics import Measurement

FULL_EXPOSURE = 0.95
"""Of the bits that the alternatives of a secret allow: from here on it is as exposed as can be measured."""

FEW_SECRETS = 10
ENOUGH_LEAKAGE = 0.9


def redteam_facts(run: RedteamRun) -> dict[str, Any]:
    """The content of `redteam.json`. Holds no vendor text but file names and the policy's name."""
    secrets = collect_secrets(run)
    results = arm_results(run, secrets)
    untreated = results[0]
    strongest = strongest_attack(untreated)
    arms = [arm_facts(result, results, strongest) for result in results]
    leakage = arms[0]["leakage"]
    nothing = has_nothing_to_reduce(Estimate(**leakage) if leakage else None)
    knee, picked = _choose(arms, run, nothing)
    treated = next(result for result in results if result.key[0] == "policy")
    removed = leakage_reduction(untreated, treated)
    metrics = redteam_estimates(arms, removed.facts() if removed else None, picked.arm, nothing)
    chosen = picked.arm if picked.arm is not None else knee.arm
    measured, unseen = measurements_of(metrics, nothing)
    return {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": __version__},
        "batch": {
            "paths": list(run.batch.names),
            "sha256": run.batch.sha256,
            "rows": run.batch.rows,
            "tokens": run.tokens,
        },
        "policy": {
            "name": run.policy.name,
            "sha256": run.policy.sha256,
            "treatment_sha256": run.policy.treatment_sha256,
        },
        "run": _run_facts(run),
        "protocol": _protocol(run, secrets, strongest),
        "secrets": _secrets(run, secrets),
        "arms": arms,
        "nothing_to_reduce": nothing,
        "knee": {"arm": knee.arm, "reason": knee.reason},
        "policy_pick": {"arm": picked.arm, "reason": picked.reason},
        "recommended": {"arm": chosen, "yaml": _recommended(run, arms, results, chosen)},
        "metrics": metrics,
        "verdict": _verdict(run, measured, unseen),
        "warnings": list(_warnings(run, arms, secrets, nothing)),
    }


def _secrets(run: RedteamRun, secrets: Secrets) -> list[dict[str, Any]]:
    """What every secret and twin was, in the order of the arms' `by_secret`; without its text."""
    seeds = np.concatenate([np.full(len(result.cells), result.seed) for result in run.results])
    columns = (x.tolist() for x in (seeds, secrets.kind, secrets.form, secrets.dose, secrets.guessed))
    return [
        dict(zip(("seed", "kind", "form", "dose", "guessed"), row, strict=True)) for row in zip(*columns, strict=True)
    ]


def _point(number: int, arm: Mapping[str, Any]) -> Point:
    leakage, change, beats = arm["leakage"], arm["perplexity_change"], arm["beats_random"]
    return Point(
        arm=number,
        leakage=leakage["value"] if leakage else np.nan,
        perplexity_change=change["value"] if change else np.nan,
        perplexity_high=change["high"] if change else None,
        beats_random=Estimate(**beats) if beats else None,
        pruned_tokens=arm["pruned_tokens"],
        exposed=_exposed(arm),
    )


def _exposed(arm: Mapping[str, Any]) -> bool:
    """Whether secrets that occur often keep their full exposure: nearly all bits that so many alternatives allow."""
    bits = [x["value"] for dose, x in arm["exposure"].items() if x and int(dose) >= LEAKING_DOSE]
    return bool(bits) and min(bits) >= FULL_EXPOSURE * math.log2(ALTERNATIVES + 1)


def _choose(arms: Sequence[Mapping[str, Any]], run: RedteamRun, nothing: bool) -> tuple[Choice, Choice]:
    """The knee among the levels of the policy's score, and the pick among all that is a treatment."""
    if nothing:
        why = "nothing to reduce: the untreated proxy recites too few planted secrets"
        return Choice(arm=None, reason=f"no knee: {why}"), Choice(arm=None, reason=why)
    score = run.policy.map.memorization.score
    levels = [_point(k, arm) for k, arm in enumerate(arms) if arm["arm"] == "prune" and arm["score"] == score]
    allowed = [arm["arm"] != "random" and not (run.policy.never_drop and arm["pruned_tokens"]) for arm in arms]
    treatments = [_point(k, arm) for k, arm in enumerate(arms) if allowed[k]]
    return find_knee(levels, _point(0, arms[0])), pick(treatments, run.settings.max_perplexity_increase)


def _recommended(
    run: RedteamRun, arms: Sequence[Mapping[str, Any]], results: Sequence[ArmResult], chosen: int | None
) -> str:
    if chosen is None:
        return recommended_block(None)
    cuts = [outcome.cut for outcome in results[chosen].outcomes if outcome.cut is not None]
    return recommended_block(
        arms[chosen],
        float(np.mean(cuts)) if cuts else None,
        never_drop=run.policy.never_drop,
        measured_weights=[arm["weight"] for arm in arms if arm["arm"] == "downweight"],
    )


def _run_facts(run: RedteamRun) -> dict[str, Any]:
    settings, options = run.settings, run.settings.options
    return {
        "mode": settings.mode,
        "seeds": [result.seed for result in run.results],
        "device": run.device,
        "proxy": run.proxy,
        "parameters": run.parameters,
        "epochs": run.results[0].epochs,
        "max_tokens": options.max_tokens,
        "score": run.policy.map.memorization.score,
        "max_perplexity_increase": settings.max_perplexity_increase,
        "started_at": run.started_at,
        "seconds": run.seconds,
        "packages": run.packages,
    }


def _protocol(run: RedteamRun, secrets: Secrets, strongest: str | None) -> dict[str, Any]:
    results = run.results
    return {
        "trained_tokens": float(np.mean([result.trained_tokens for result in results])),
        "held_out_samples": float(np.mean([result.held_out_samples for result in results])),
        "held_out_tokens": float(np.mean([result.held_out_tokens for result in results])),
        "canary_token_share": float(np.mean([result.canary_tokens / result.trained_tokens for result in results])),
        "steps": float(np.mean([result.steps for result in results])),
        "secrets": {
            form: {str(d): int(((secrets.form == form) & (secrets.dose == d)).sum()) for d in DOSES} for form in FORMS
        },
        "twins": int((secrets.dose == 0).sum()),
        "strongest_attack": strongest,
    }


def _verdict(run: RedteamRun, measured: Mapping[str, Measurement], unseen: Mapping[str, str]) -> dict[str, Any] | None:
    verdict = judge_redteam(run.policy, measured, batch=run.batch, unseen=unseen)
    if verdict is None:
        return None
    return {
        "status": verdict.status,
        "exit_code": int(verdict.exit_code),
        "findings": [asdict(finding) for finding in verdict.findings],
    }


def _warnings(run: RedteamRun, arms: Sequence[Mapping[str, Any]], secrets: Secrets, nothing: bool) -> Iterator[str]:
    """What a reader must know before believing anything."""
    planted = int(secrets.leaking.sum())
    if planted < FEW_SECRETS:
        yield (
            f"only {planted} secrets were planted {LEAKING_DOSE} times or more, so intervals are wide; a larger batch has "
            "room for more"
        )
    leakage = arms[0]["leakage"]
    if nothing:
        yield (
            f"nothing to reduce: the untreated proxy recites {100 * leakage['value']:.0f} % of the planted secrets; more "
            "epochs or a larger proxy would learn them"
            if leakage
            else "nothing to reduce: no leakage was measured on the untreated batch"
        )
    elif leakage["value"] < ENOUGH_LEAKAGE:
        yield (
            f"the untreated proxy recites {100 * leakage['value']:.0f} % of the planted secrets, so less than it could is "
            "at stake; more epochs would show more"
        )
    if len(run.results) == 1:
        yield "one seed: perplexities have no interval, and another seed may say otherwise"
    for arm, outcomes in zip(arms, zip(*(result.outcomes for result in run.results), strict=True), strict=True):
        failures = sorted({outcome.failure for outcome in outcomes if outcome.failure})
        if failures:
            yield f"{arm['title']}: not measured in every seed: {'; '.join(failures)}"
        elif arm["heldout_perplexity"] is None:
            yield f"{arm['title']}: held-out perplexity diverged"
