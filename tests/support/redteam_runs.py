"""Finished red teams made by hand: what every proxy answered, so that the figures can be told beforehand."""

import numpy as np

from carto_audit.controls.canary_writer import KINDS
from carto_audit.governance.arms import Arm, Plan
from carto_audit.governance.canaries import DOSES, FORMS
from carto_audit.governance.run import Outcome, RedteamRun, SeedResult, Settings
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.model import load_policy
from tests.support.tiny import make_batch

OFTEN, ONCE = max(DOSES), min(DOSES)
CELLS = tuple((kind, form, dose) for dose in (*DOSES, 0) for kind in KINDS for form in FORMS)
"""A secret of every kind, form and dose, and a twin of every kind and form."""

TOKENS = 10_000
ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "reference", "neighbourhood", "ez", "lt_mia")


def membership(auc=0.6, half=0.05, **others):
    """What `examine` leaves of every attack; `others` name those whose AUC is another, or None."""
    found = {name: others.get(name, auc) for name in ATTACKS}
    return {
        name: {
            "auc": {"value": value, "low": value - half, "high": value + half},
            "tpr_at_1pct_fpr": {"value": 0.02, "low": 0.0, "high": 0.1},
            "tpr_at_01pct_fpr": None,
        }
        for name, value in found.items()
        if value is not None
    }


def look(share, perplexity, leaks=lambda k, cell: False, cells=CELLS):
    """One look at the untreated proxy on its way."""
    return {"steps_share": share, "perplexity": perplexity, "worst": [bool(leaks(k, c)) for k, c in enumerate(cells)]}


def answers(leaks=lambda k, cell: False, perplexity=50.0, cells=CELLS, **changes):
    """What `examine` leaves; `leaks(k, cell)` says which secrets the proxy gives away."""
    worst = [bool(leaks(k, cell)) for k, cell in enumerate(cells)]
    found = {
        "exact": worst,
        "near": worst,
        "worst": worst,
        "run": worst,
        "natural": [False] * len(cells),
        "log_p": [-1.0 if told else -80.0 for told in worst],
        "exposure": [
            None if kind == "natural" else 8.0 if told else 1.0 for (kind, *_), told in zip(cells, worst, strict=True)
        ],
        "membership": membership(),
        "perplexity": perplexity,
        "perplexity_by_part": {"stable_easy": 30.0, "ambiguous_hard": 90.0, "rare_tail": None},
        "distinct_n": {"2": 0.7, "3": 0.9},
        "loss_gap": 0.5,
        "pii": {"email": {"spans": 10, "extracted": 4, "net": 3}},
        "on_the_way": [],
    }
    assert not set(changes) - set(found)
    return found | changes


def outcome(kind, said, pruned=0.0, cut=None, **arm):
    """One arm of one seed that pruned a share of the tokens; `said` are its answers, or why it failed."""
    weight = np.ones(10)
    weight[: round(10 * pruned)] = 0.0
    return Outcome(
        arm=Arm(kind=kind, weight=weight, **arm),
        row_tokens=TOKENS,
        pruned_tokens=round(TOKENS * pruned),
        pruned_canary_share=pruned,
        cut=cut,
        answers=None if isinstance(said, str) else said,
        failure=said if isinstance(said, str) else None,
        newly_flagged=None,
    )


def seed_result(outcomes, seed=0, cells=CELLS, guessed=()):
    return SeedResult(
        seed=seed,
        cells=cells,
        guessed=np.isin(np.arange(len(cells)), list(guessed)),
        outcomes=tuple(outcomes),
        trained_tokens=TOKENS,
        canary_tokens=200,
        held_out_samples=25,
        held_out_tokens=2500,
        epochs=2,
        steps=40,
    )


def finished(folder, *results, policy="default", max_perplexity_increase=0.01):
    """The run whose seeds found this."""
    return RedteamRun(
        batch=make_batch(folder, ["a batch that nothing of this depends on"] * 3),
        tokens=12_345,
        policy=load_policy(policy),
        settings=Settings(
            plan=Plan(levels=(), alphas=(), scores=()),
            seeds=len(results),
            epochs=2,
            again=False,
            max_perplexity_increase=max_perplexity_increase,
            mode="full" if len(results) > 1 else "quick",
            options=AuditOptions(max_tokens=TOKENS),
        ),
        device="cpu",
        proxy="nano",
        parameters=1000,
        results=results,
        started_at="2026-03-01T00:00:00+00:00",
        seconds={"total": 12.5},
        packages={"torch": "2"},
    )
