"""The red team: a batch is planted, audited, treated in every way of a plan, retrained on, and attacked, seed by seed."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carto_audit.cartography.quadrants import MEMORIZED
from carto_audit.data.batch import Batch, read_batch, read_texts
from carto_audit.engines.engine import LOCAL, Engine
from carto_audit.governance.arms import Arm, Plan, Ranked, cut_score, plan_arms, title_of, without_repeats
from carto_audit.governance.attacks.suite import AttackPlan, quick_check, run_attacks
from carto_audit.governance.canaries import LEAKING_DOSE
from carto_audit.governance.experiment import Experiment, prepare, prepare_batch, write_texts
from carto_audit.governance.retrain import Recipe, retrain
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.result import package_versions, work_folder
from carto_audit.pipeline.run import run_audit
from carto_audit.policy.model import Policy
from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.model import count_parameters, resolve_device
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import write_json
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.sealed_path import LIMITS
from carto_audit.text.untrusted import safe_inline

PAUSES = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the steps after which the untreated proxy is looked at, to compare arms with it at equal perplexity."""

QUICK = Plan(levels=(0.05, 0.1), alphas=(), scores=())
FULL = Plan(levels=(0.01, 0.02, 0.05, 0.1, 0.2), alphas=(0.75, 0.5, 0.25, 0.1), scores=())
"""Levels of pruning, and weights for what the map flags; the policy's own score ranks unless others are named."""

CPU_TOKENS, QUICK_TOKENS, GPU_TOKENS = 180_000, 110_000, 10_000_000
"""Tokens to train on when `max_tokens` is not given: on a CPU an arm then takes about a minute and a half on one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a red team is asked; `epochs` None are as many as a proxy needs. `options.seed` is the first of the `seeds`; `again`
    says whether what a level leaves is audited once more, which shows what it laid bare."""

    plan: Plan
    seeds: int
    epochs: int | None
    again: bool
    max_perplexity_increase: float
    mode: str
    options: AuditOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What retraining and asking one proxy takes; pickles small. Outcomes are kept in `folder`."""

    recipe: Recipe
    attacks: AttackPlan
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One arm of one seed: what it pruned, the score at which it cut, and the proxy's `answers`, None where nothing was left
    or training diverged (`failure` says which)."""

    arm: Arm
    row_tokens: int
    pruned_tokens: int
    pruned_canary_share: float | None
    cut: float | None
    answers: Mapping[str, Any] | None
    failure: str | None
    newly_flagged: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """One seed: its planted secrets and twins as (kind, form, dose), whether an unseen proxy guessed each, and every arm."""

    seed: int
    cells: tuple[tuple[str, str, int], ...]
    guessed: NDArray[np.bool_]
    outcomes: tuple[Outcome, ...]
    trained_tokens: int
    canary_tokens: int
    held_out_samples: int
    held_out_tokens: int
    epochs: int
    steps: int

    @property
    def leaking(self) -> NDArray[np.bool_]:
        """Which of the secrets are planted so often that an untreated proxy should leak them."""
        return np.array([dose >= LEAKING_DOSE for _, _, dose in self.cells], bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedteamRun:
    """All seeds, and how it was done. `tokens` are those of the whole batch."""

    batch: Batch
    tokens: int
    policy: Policy
    settings: Settings
    device: str
    proxy: str
    parameters: int
    results: tuple[SeedResult, ...]
    started_at: str
    seconds: dict[str, float]
    packages: dict[str, str]


def run_redteam(
    inputs: Sequence[str | Path], *, policy: Policy, work: Path, settings: Settings, progress: Progress = SILENT
) -> RedteamRun:
    """The whole governance loop. `work` keeps every finished arm, so that a killed run goes on where it stopped.

    Raises UsageError and AuditError, each with one line that says the way out.
    """
    began, started_at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    device = resolve_device(settings.options.device)
    _check_thresholds(policy)
    options = settings.options
    if options.sampling_key is not None:
        raise UsageError(f"{option('sampling_key')}: a red team draws by its seeds; leave it out")
    most = options.max_tokens or _most_tokens(settings.mode, device)
    options = replace(options, max_tokens=most, seed=options.training_seed)
    settings = replace(settings, options=options)
    batch = read_batch(
        inputs,
        text_column=options.text_column,
        layout=options.layout,
        id_column=options.id_column,
        reading=options.reading,
        choice=options.choice,
        limits=policy.limits or LIMITS,
        progress=progress,
    )
    folder = work_folder(work, batch, None, options, policy.treatment_sha256, settings.epochs)
    results: list[SeedResult] = []
    experiment: Experiment | None = None
    with options.open_engine(progress.note) as engine:
        stock = prepare_batch(batch, options, device, folder, progress, engine)
        for number in range(settings.seeds):
            progress.note(f"seed {number + 1} of {settings.seeds}")
            seed = options.training_seed + number
            place = folder / f"seed-{seed}"
            place.mkdir(exist_ok=True)
            ours = replace(options, seed=seed, text_column=None, layout=None, id_column=None)
            experiment = prepare(stock, policy, ours, settings.epochs, device, place, progress)
            results.append(_try_all(experiment, policy, replace(settings, options=ours), progress, engine))
    assert experiment is not None  # there is always a seed
    return RedteamRun(
        batch=batch,
        tokens=int(stock.n_tokens.sum()),
        policy=policy,
        settings=settings,
        device=device,
        proxy=experiment.recipe.spec.name,
        parameters=count_parameters(experiment.recipe.spec),
        results=tuple(results),
        started_at=started_at,
        seconds={"total": round(time.perf_counter() - began, 1)},
        packages=package_versions(),
    )


def _check_thresholds(policy: Policy) -> None:
    rules = (policy.map.difficulty.threshold, policy.map.memorization.threshold)
    if any(rule.reference_percentile is not None for rule in rules):
        raise UsageError(
            f'the policy "{policy.name}" cuts the map by reference_percentile, and a red team has no trusted text; '
            "give it a policy with another threshold"
        )


def _most_tokens(mode: str, device: str) -> int:
    if device != "cpu":
        return GPU_TOKENS
    return QUICK_TOKENS if mode == "quick" else CPU_TOKENS


def _try_all(
    experiment: Experiment, policy: Policy, settings: Settings, progress: Progress, engine: Engine
) -> SeedResult:
    """Every arm of one seed. Arms of equal weights are retrained once."""
    rows = rank(experiment, policy, settings.plan)
    seed = settings.options.training_seed
    arms = plan_arms(settings.plan, rows, seed)
    answers = try_arms(experiment, arms, progress, f"Seed {seed}: retraining for each arm", engine)
    again = _audit_again(experiment, arms, policy, progress) if settings.again else {}
    doses = np.array([canary.dose for canary in experiment.secrets], np.int64)
    return SeedResult(
        seed=seed,
        cells=tuple((canary.secret.kind, canary.form, canary.dose) for canary in experiment.secrets),
        guessed=experiment.plan.secrets.guessed & (doses > 0),
        outcomes=tuple(_outcome(experiment, rows, arm, answers[arm.digest], again.get(arm.digest)) for arm in arms),
        trained_tokens=int(experiment.n_tokens[experiment.recipe.samples].sum()),
        canary_tokens=int(experiment.n_tokens[experiment.owner >= 0].sum()),
        held_out_samples=len(experiment.plan.membership.held_out),
        held_out_tokens=sum(map(len, experiment.plan.membership.held_out)),
        epochs=experiment.epochs,
        steps=experiment.recipe.steps,
    )


def rank(experiment: Experiment, policy: Policy, plan: Plan) -> Ranked:
    """What the audit of the planted batch says of its rows."""
    analysis, actions = experiment.audit.analysis, experiment.audit.actions
    return Ranked(
        n_tokens=experiment.n_tokens,
        scores={name: analysis.statistics[name] for name in plan.scores or (policy.map.memorization.score,)},
        flagged=np.isin(analysis.quadrant, MEMORIZED),
        policy_weight=actions.weight,
        duplicates=experiment.audit.duplicates,
    )


def _outcome(
    experiment: Experiment, rows: Ranked, arm: Arm, answered: Mapping[str, Any], newly_flagged: float | None
) -> Outcome:
    copies = experiment.dose >= LEAKING_DOSE
    gone = arm.weight == 0
    return Outcome(
        arm=arm,
        row_tokens=int(rows.n_tokens.sum()),
        pruned_tokens=int(rows.n_tokens[gone].sum()),
        pruned_canary_share=float(gone[copies].mean()) if copies.any() else None,
        cut=cut_score(rows.scores[arm.score], arm.weight) if arm.kind == "prune" and arm.score else None,
        answers=answered.get("answers"),
        failure=answered.get("failure"),
        newly_flagged=newly_flagged,
    )


def try_arms(
    experiment: Experiment,
    arms: Sequence[Arm],
    progress: Progress = SILENT,
    label: str = "Retraining",
    engine: Engine = LOCAL,
) -> dict[str, dict[str, Any]]:
    """What the proxy of each arm answers, by the arm's digest; side by side on the cores of a CPU, elsewhere one by one in this
    process."""
    trial = Trial(recipe=experiment.recipe, attacks=experiment.plan, folder=experiment.folder)
    distinct = without_repeats(arms)
    waiting = [arm for arm in distinct if _kept(trial.folder, arm) is None]
    engine = engine if experiment.recipe.device == "cpu" else engine.here()
    cores = os.cpu_count() or 1
    with progress.task(label, len(distinct), "arms") as advance:
        advance(len(distinct) - len(waiting))
        for _ in engine.map_shards(try_arm, trial, waiting, usual=cores, named=_named, folder=experiment.folder):
            advance(1)
    found = {arm.digest: _kept(trial.folder, arm) for arm in distinct}
    lost = next((arm for arm in distinct if found[arm.digest] is None), None)
    if lost is not None:
        raise AuditError(
            f"{safe_inline(str(_path(trial.folder, lost)), 160)}: this result is gone (does another run use the folder?); run "
            "the same command again to continue"
        )
    return {digest: said for digest, said in found.items() if said is not None}


def _named(arm: Arm) -> str:
    return f'the arm "{title_of(*arm.key)}"'


def try_arm(trial: Trial, arm: Arm) -> None:
    """Retrains one proxy, asks it everything, and leaves the answers in the trial's folder."""
    recipe, attacks = trial.recipe, trial.attacks
    weight = arm.weight[recipe.samples]
    seen: list[dict[str, Any]] = []

    def look(proxy: LoadedProxy, step: int) -> None:
        seen.append({"steps_share": step / recipe.steps, **quick_check(attacks, proxy)})

    pauses = [round(share * recipe.steps) for share in PAUSES] if arm.kind == "untreated" else []
    threads = torch.get_num_threads()
    if recipe.device == "cpu":
        torch.set_num_threads(1)
    try:
        proxy = retrain(recipe, weight, pauses=pauses, look=look)
        found: dict[str, Any] = {"answers": {**run_attacks(attacks, proxy), "on_the_way": seen}}
    except AuditError as error:
        found = {"failure": str(error)}
    finally:
        torch.set_num_threads(threads)
    write_json(_path(trial.folder, arm), found)


def _path(folder: Path, arm: Arm) -> Path:
    return folder / f"arm-{arm.digest}.json"


def _kept(folder: Path, arm: Arm) -> dict[str, Any] | None:
    """What is left of an arm that was tried before; None where nothing is, or nothing that can be read."""
    try:
        found: dict[str, Any] = json.loads(_path(folder, arm).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _audit_again(experiment: Experiment, arms: Sequence[Arm], policy: Policy, progress: Progress) -> dict[str, float]:
    """For each level by the policy's score the share of the kept tokens that a second audit flags and the first did not: what
    lay hidden behind what was pruned (Carlini et al. 2022, "The Privacy Onion Effect", arXiv 2206.10469)."""
    found: dict[str, float] = {}
    score = policy.map.memorization.score
    for arm in arms:
        if arm.kind == "prune" and arm.score == score and (arm.weight > 0).any():
            found[arm.digest] = _newly_flagged(experiment, arm, policy, progress)
    return found


def _newly_flagged(experiment: Experiment, arm: Arm, policy: Policy, progress: Progress) -> float:
    folder = experiment.folder / f"again-{arm.digest}"
    folder.mkdir(exist_ok=True)
    kept = np.flatnonzero(arm.weight > 0)
    texts = read_texts(experiment.audit.batch, kept.tolist())
    path = folder / "kept.parquet"
    write_texts(path, [texts[i] for i in kept.tolist()])
    options = experiment.audit.run.options
    second = run_audit([path], policy=policy, work=folder / "audit", options=options, progress=progress)
    before = np.isin(experiment.audit.analysis.quadrant[kept], MEMORIZED)
    fresh = np.isin(second.analysis.quadrant, MEMORIZED) & ~before
    return float(second.n_tokens[fresh].sum() / max(1, second.n_tokens.sum()))
