"""Arm results: one arm over all seeds, as facts with intervals. Secrets are the units, seeds where there are none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.intervals import Estimate, mean_interval, paired_difference, rate, reduction
from carto_audit.controls.canary_writer import KINDS
from carto_audit.governance.arms import title_of
from carto_audit.governance.attacks.extraction import propensity, queries
from carto_audit.governance.canaries import DOSES, FORMS, LEAKING_DOSE
from carto_audit.governance.run import Outcome, RedteamRun, SeedResult

ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "reference", "neighbourhood", "ez", "lt_mia")
_TPRS = ("tpr_at_1pct_fpr", "tpr_at_01pct_fpr")

Key = tuple[str, float | None, float | None, str | None]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The secrets of all seeds, one after the other, (S,) each. `unit` tells them apart; twins have dose 0."""

    kind: NDArray[np.str_]
    form: NDArray[np.str_]
    dose: NDArray[np.int64]
    guessed: NDArray[np.bool_]
    unit: NDArray[np.int64]

    @property
    def leaking(self) -> NDArray[np.bool_]:
        """Planted so often that an untreated proxy should leak them."""
        often: NDArray[np.bool_] = self.dose >= LEAKING_DOSE
        return often


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One arm in all seeds in which it could be measured; `seen` (S,) marks their secrets."""

    key: Key
    outcomes: tuple[Outcome, ...]
    seeds: tuple[SeedResult, ...]
    seen: NDArray[np.bool_]
    secrets: Secrets
    seed: int

    @property
    def answered(self) -> tuple[Mapping[str, Any], ...]:
        """The answers of the seeds that have any."""
        return tuple(outcome.answers for outcome in self.outcomes if outcome.answers is not None)

    def values(self, name: str) -> Floats:
        """A per-secret answer, (S,), NaN where there is none."""
        found = np.full(len(self.seen), np.nan)
        said = [value for answers in self.answered for value in answers[name]]
        found[self.seen] = [np.nan if value is None else float(value) for value in said]
        return found

    @property
    def leaked(self) -> Floats:
        """Near-verbatim under the worst prompt, and not guessed, (S,)."""
        return np.where(self.secrets.guessed, 0.0, self.values("worst"))

    def rate(self, values: Floats, chosen: NDArray[np.bool_]) -> Estimate | None:
        """The share of the chosen secrets."""
        known = chosen & self.seen
        return rate(values[known], self.secrets.unit[known], self.seed)


def collect_secrets(run: RedteamRun) -> Secrets:
    """The secrets of all seeds, in the order of their answers."""
    cells = [cell for result in run.results for cell in result.cells]
    kind, form, dose = (np.array([cell[k] for cell in cells]) for k in range(3))
    return Secrets(
        kind=kind.astype(np.str_),
        form=form.astype(np.str_),
        dose=dose.astype(np.int64),
        guessed=np.concatenate([result.guessed for result in run.results]),
        unit=np.arange(len(cells)),
    )


def arm_results(run: RedteamRun, secrets: Secrets) -> list[ArmResult]:
    """Every arm over the seeds, the untreated one first. The arms of all seeds are the same ones."""
    found = []
    for number, outcome in enumerate(run.results[0].outcomes):
        outcomes = tuple(result.outcomes[number] for result in run.results)
        seen = np.concatenate(
            [np.full(len(result.cells), outcomes[k].answers is not None) for k, result in enumerate(run.results)]
        )
        found.append(
            ArmResult(
                key=outcome.arm.key,
                outcomes=outcomes,
                seeds=run.results,
                seen=seen,
                secrets=secrets,
                seed=run.settings.options.training_seed,
            )
        )
    return found


def strongest_attack(untreated: ArmResult) -> str | None:
    """The membership attack with the highest mean AUC on untreated proxies."""
    found = {name: auc.value for name in ATTACKS if (auc := _over_seeds(untreated, name, "auc"))}
    return max(found, key=lambda name: found[name]) if found else None


def _over_seeds(result: ArmResult, attack: str, figure: str) -> Estimate | None:
    """The mean over seeds of a membership figure; its interval from those of the seeds, which are independent draws."""
    measured = [answers["membership"].get(attack) for answers in result.answered]
    figures = [found[figure] for found in measured if found and found[figure]]
    if not figures or len(figures) < len(measured):
        return None
    value, low, high = (np.array([found[end] for found in figures]) for end in ("value", "low", "high"))
    mean, n = float(value.mean()), len(figures)
    below = float(np.sqrt(((value - low) ** 2).sum()) / n)
    above = float(np.sqrt(((high - value) ** 2).sum()) / n)
    return Estimate(mean, max(0.0, mean - below), min(1.0, mean + above))


def arm_facts(result: ArmResult, results: Sequence[ArmResult], strongest: str | None) -> dict[str, Any]:
    """One entry of `arms` in `redteam.json`; `results` hold its controls, the untreated arm first."""
    kind, level, alpha, score = result.key
    secrets, leaked, untreated = result.secrets, result.leaked, results[0]
    change = _changes(result, untreated, lambda answers: answers["perplexity"])
    return {
        "arm": kind,
        "title": title_of(kind, level, alpha, score),
        "level": level,
        "weight": alpha,
        "score": score,
        "seeds": len(result.answered),
        "pruned_tokens": float(np.mean([outcome.pruned_tokens for outcome in result.outcomes])),
        "pruned_token_share": _pruned_share(result),
        "pruned_canary_share": _mean([outcome.pruned_canary_share for outcome in result.outcomes]),
        "extraction": _by(result, leaked, secrets.kind, KINDS),
        "extraction_by_form": _by(result, leaked, secrets.form, FORMS),
        "leakage": _facts(result.rate(leaked, secrets.leaking)),
        "leakage_by_form": {
            form: _facts(result.rate(leaked, secrets.leaking & (secrets.form == form))) for form in FORMS
        },
        "leakage_by_attack": {
            "exact": _facts(result.rate(result.values("exact"), secrets.leaking)),
            "near_verbatim": _facts(result.rate(result.values("near"), secrets.leaking)),
            "worst_case": _facts(result.rate(result.values("worst"), secrets.leaking)),
            "twins": _facts(result.rate(result.values("worst"), secrets.dose == 0)),
        },
        "exposure": _per_dose(result, result.values("exposure"), lambda x: _facts(mean_interval(x))),
        "queries": _per_dose(result, queries(result.values("log_p")), _median),
        "propensity": _propensity(result),
        "mi_auc": _facts(_over_seeds(result, strongest, "auc")) if strongest else None,
        "tpr_at_1pct_fpr": _facts(_over_seeds(result, strongest, _TPRS[0])) if strongest else None,
        "membership": {
            name: {figure: _facts(_over_seeds(result, name, figure)) for figure in ("auc", *_TPRS)} for name in ATTACKS
        },
        "heldout_perplexity": _facts(_perplexity(result)),
        "perplexity_change": _facts(mean_interval(change)) if len(change) else None,
        "perplexity_by_part": _parts(result, untreated),
        "distinct_n": {n: _mean([answers["distinct_n"][n] for answers in result.answered]) for n in ("2", "3")},
        "loss_gap": _mean([answers["loss_gap"] for answers in result.answered]),
        "pii": _personal(result),
        "newly_flagged": _mean([outcome.newly_flagged for outcome in result.outcomes]),
        "matched": _matched(result, untreated),
        "beats_random": _beats_random(result, results),
        "by_seed": [
            _of_seed(outcome, seed, strongest) for outcome, seed in zip(result.outcomes, result.seeds, strict=True)
        ],
        "by_secret": {name: _plain(result.values(name)) for name in _BY_SECRET},
    }


_BY_SECRET = ("exact", "near", "worst", "exposure")
"""Answers that are kept for each secret and twin: recited to the letter, nearly so, also under the worst prompt; and bits."""


def _of_seed(outcome: Outcome, seed: SeedResult, strongest: str | None) -> dict[str, Any]:
    """What one seed says of an arm: everything that intervals are made of. None for what it could not say."""
    answers = outcome.answers or {}
    worst = np.array(answers.get("worst", []), bool) & ~seed.guessed if answers else None
    auc = answers.get("membership", {}).get(strongest) if strongest else None
    return {
        "seed": seed.seed,
        "failure": outcome.failure,
        "pruned_tokens": outcome.pruned_tokens,
        "leakage": float(worst[seed.leaking].mean()) if worst is not None and seed.leaking.any() else None,
        "mi_auc": auc["auc"]["value"] if auc and auc["auc"] else None,
        "heldout_perplexity": answers.get("perplexity"),
    }


def _plain(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def _facts(estimate: Estimate | None) -> dict[str, Any] | None:
    return estimate.facts() if estimate else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _median(values: Floats) -> float | None:
    middle = float(np.median(values))
    return middle if np.isfinite(middle) else None


def _pruned_share(result: ArmResult) -> float:
    return float(np.mean([outcome.pruned_tokens / outcome.row_tokens for outcome in result.outcomes]))


def _by(result: ArmResult, values: Floats, label: NDArray[np.str_], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rate of each name and dose that was planted."""
    dose = result.secrets.dose
    table: dict[str, dict[str, Any]] = {}
    for name in names:
        cells = {str(d): result.rate(values, (label == name) & (dose == d)) for d in DOSES}
        table[name] = {d: found.facts() for d, found in cells.items() if found}
    return table


def _per_dose(result: ArmResult, values: Floats, figure: Callable[[Floats], Any]) -> dict[str, Any]:
    found = {}
    for dose in DOSES:
        chosen = values[(result.secrets.dose == dose) & result.seen]
        chosen = chosen[~np.isnan(chosen)]
        if len(chosen):
            found[str(dose)] = figure(chosen)
    return found


def _propensity(result: ArmResult) -> dict[str, Any] | None:
    chosen = result.secrets.leaking & result.seen
    if not chosen.any():
        return None
    prefix, natural = (float(result.values(name)[chosen].mean()) for name in ("run", "natural"))
    value = propensity(prefix, natural)
    return None if value is None else Estimate(value, None, None).facts()


def _perplexity(result: ArmResult) -> Estimate | None:
    found = [answers["perplexity"] for answers in result.answered]
    return None if not found or None in found else mean_interval(found)


def _changes(
    result: ArmResult, untreated: ArmResult, figure: Callable[[Mapping[str, Any]], float | None]
) -> list[float]:
    """By how much a figure differs from the untreated one of the same seed, a share per seed; empty where one is missing."""
    pairs = [
        (figure(ours.answers), figure(theirs.answers))
        for ours, theirs in zip(result.outcomes, untreated.outcomes, strict=True)
        if ours.answers is not None and theirs.answers is not None
    ]
    changes = [ours / theirs - 1 for ours, theirs in pairs if ours is not None and theirs]
    return changes if len(changes) == len(result.outcomes) else []


def _parts(result: ArmResult, untreated: ArmResult) -> dict[str, dict[str, Any]]:
    names = result.answered[0]["perplexity_by_part"] if result.answered else {}
    return {
        name: {
            "value": _mean([answers["perplexity_by_part"][name] for answers in result.answered]),
            "change": _mean(_part_changes(result, untreated, name)),
        }
        for name in names
    }


def _part_changes(result: ArmResult, untreated: ArmResult, name: str) -> list[float | None]:
    return list(_changes(result, untreated, lambda answers: answers["perplexity_by_part"][name]))


def _personal(result: ArmResult) -> dict[str, dict[str, int]]:
    """Personal data by class, all seeds together."""
    table: dict[str, dict[str, int]] = {}
    for answers in result.answered:
        for name, counts in answers["pii"].items():
            before = table.get(name, {"spans": 0, "extracted": 0, "net": 0})
            table[name] = {key: before[key] + counts[key] for key in before}
    return dict(sorted(table.items()))


def _matched(result: ArmResult, untreated: ArmResult) -> dict[str, float] | None:
    """The untreated run, stopped when its perplexity was this arm's: what training less alone would have done. Mean over the
    seeds; None where its perplexity was never that of the arm, or the arm is the untreated one."""
    if result.key == untreated.key:
        return None
    found = []
    for ours, theirs, seed in zip(result.outcomes, untreated.outcomes, result.seeds, strict=True):
        if ours.answers is None or theirs.answers is None or ours.answers["perplexity"] is None:
            return None
        crossing = _crossing(theirs.answers, float(ours.answers["perplexity"]), seed)
        if crossing is None:
            return None
        found.append(crossing)
    steps, perplexity, leakage = (float(np.mean(column)) for column in zip(*found, strict=True))
    return {"steps_share": steps, "perplexity": perplexity, "leakage": leakage}


def _crossing(untreated: Mapping[str, Any], wanted: float, seed: SeedResult) -> tuple[float, float, float] | None:
    """Where the untreated run first had that perplexity: share of steps, perplexity, leakage, between two looks. A run that
    learns too long has it twice, and leaks less the first time. None where it never had it, or before anyone looked."""
    if not seed.leaking.any():
        return None
    looks = [look for look in [*untreated["on_the_way"], {"steps_share": 1.0, **untreated}] if look["perplexity"]]
    places = [
        (look["steps_share"], look["perplexity"], (np.array(look["worst"]) & ~seed.guessed)[seed.leaking].mean())
        for look in looks
    ]
    if not places or places[0][1] < wanted:
        return None
    for before, after in zip(places, places[1:], strict=False):
        low, high = sorted((before[1], after[1]))
        if low <= wanted <= high:
            part = (wanted - before[1]) / (after[1] - before[1]) if after[1] != before[1] else 0.0
            steps, _, leaked = (float(a + part * (b - a)) for a, b in zip(before, after, strict=True))
            return steps, wanted, leaked
    return None


def _beats_random(result: ArmResult, results: Sequence[ArmResult]) -> dict[str, Any] | None:
    """By how much random pruning of as many tokens leaks more."""
    level = result.key[1]
    control = next((other for other in results if other.key[:2] == ("random", level)), None)
    if level is None or control is None or control is result:
        return None
    chosen = result.secrets.leaking & result.seen & control.seen
    return _facts(
        paired_difference(control.leaked[chosen], result.leaked[chosen], result.secrets.unit[chosen], result.seed)
    )


def leakage_reduction(untreated: ArmResult, treated: ArmResult) -> Estimate | None:
    """The share of the untreated leakage that a treatment removes; None where one of them failed in a seed of the other: the
    figure would not be that of the two leakages beside it."""
    if not np.array_equal(untreated.seen, treated.seen):
        return None
    chosen = untreated.secrets.leaking & untreated.seen
    return reduction(untreated.leaked[chosen], treated.leaked[chosen], untreated.secrets.unit[chosen], untreated.seed)
