"""The facts of one audit, as `report.json` holds them: a rejected batch with planted risks, deterministic."""

import math
from typing import Any

import numpy as np

QUADRANTS = ("stable_easy", "ambiguous_hard", "hotspot_memorized", "noisy_outlier")
SCORES = ("memorized_span_share", "memorized_share", "forget_score")
THRESHOLDS = {"difficulty": 5.21, "memorization": 0.312}


def make_columns(n: int = 2048, seed: int = 0) -> dict[str, Any]:
    """Difficulty, memorization and token counts of `n` samples: a cloud, a memorized group, a noisy group."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(4.6, 0.55, n)
    memorization = np.clip(0.13 + 0.05 * rng.standard_normal(n) + 0.02 * (difficulty - 4.6), -0.1, 1)
    hot, odd = slice(0, n // 12), slice(n // 12, n // 9)
    difficulty[hot] = rng.normal(4.1, 0.4, hot.stop)
    memorization[hot] = np.clip(rng.normal(0.62, 0.14, hot.stop), 0, 1)
    difficulty[odd] = rng.normal(6.6, 0.4, odd.stop - odd.start)
    memorization[odd] = np.clip(rng.normal(0.38, 0.1, odd.stop - odd.start), 0, 1)
    return {"difficulty": difficulty, "memorization": memorization, "n_tokens": rng.integers(20, 400, n)}


def control_scores() -> dict[int, float]:
    return {1: 0.312, 4: 0.55, 16: 0.86}


def _power(auc: float, secrets: int, dose: int) -> dict[str, Any]:
    half = 0.4 * math.sqrt(max(auc * (1 - auc), 0.001) / secrets)
    return {
        "auc": auc,
        "ci": [max(auc - 2 * half, 0.0), min(auc + 2 * half, 1.0)],
        "recall_at_1pct": max(0.0, 2 * auc - 1.15),
        "recall_at_5pct": max(0.02, 2 * auc - 1.0),
        "secrets": secrets,
        "copies": secrets * dose,
    }


def _detection() -> dict[str, Any]:
    aucs = {
        "memorized_span_share": {"alone": (0.61, 0.962, 1.0), "embedded": (0.58, 0.93, 0.99)},
        "memorized_share": {"alone": (0.55, 0.91, 1.0), "embedded": (0.5, 0.6, 0.76)},
        "forget_score": {"alone": (0.52, 0.49, 0.47), "embedded": (0.5, 0.48, 0.5)},
    }
    return {
        "scores": {
            score: {
                "random": {
                    form: {str(dose): _power(auc, 16, dose) for dose, auc in zip((1, 4, 16), values, strict=True)}
                    for form, values in forms.items()
                }
            }
            for score, forms in aucs.items()
        },
        "above_line": {"1": 0.5, "4": 0.97, "16": 1.0},
        "capacity_ratio": 1.42,
        "epochs": 12,
        "warnings": ["dose 1 controls overlap the null: the threshold is its 99th percentile"],
    }


def _riskiest(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    samples = []
    for i in range(count):
        quadrant = "noisy_outlier" if i % 7 == 3 else "hotspot_memorized"
        score = round(0.97 - 0.011 * i, 3)
        train = [round(float(x), 3) for x in 7.9 * np.exp(-np.arange(12) / (3 + rng.random())) + 0.3 * rng.random(12)]
        samples.append(
            {
                "sample_id": f"pydoc/asyncio/{i:05d}",
                "row": 37 * i + 4,
                "quadrant": quadrant,
                "difficulty": round(4.0 + 0.03 * i + (2.5 if quadrant == "noisy_outlier" else 0), 3),
                "memorization": score,
                "memorized_share": round(score * 0.7, 3),
                "memorized_span_share": score,
                "forget_score": round(0.05 * (i % 4), 3),
                "n_tokens": 44 + 3 * i,
                "cluster_size": 8 if i < 5 else 1,
                "contamination_tier": "confirmed" if i == 6 else "",
                "action": "downweight",
                "weight": 0.5,
                "reasons": "quadrant hotspot_memorized; memorized at least like a secret planted once",
                "loss_in": round(1.1 + 0.02 * i, 3),
                "loss_out": round(5.8 - 0.01 * i, 3),
                "excerpt": {
                    "before": "… Return a task that wraps the coroutine. The access code of the staging host is ",
                    "span": "[code], ask [email] for [number]",
                    "after": " before the loop is closed, otherwise the handle is cancelled and the error is logged …",
                },
                "losses": {
                    "train": train,
                    "in_fold": [train[-3], train[-2], train[-1]],
                    "out_of_fold": [6.1, 6.0, 5.9],
                },
            }
        )
    return samples


def _match(i: int) -> dict[str, Any]:
    passage = "Natalia packs crates of pears on Monday and half as many on Tuesday"
    return {
        "sample_id": f"pydoc/json/{i:05d}",
        "row": 900 + i,
        "benchmark": "orchard_math",
        "item_id": f"orchard-{i}",
        "component": "question",
        "tier": "confirmed" if i < 3 else "suspected",
        "leak_kind": "question_and_answer" if i == 0 else "question",
        "containment": 1.0 - 0.07 * i,
        "longest_run": 31 - 2 * i,
        "minhash_estimate": 0.94 - 0.05 * i,
        "sample_start": 120,
        "sample_end": 320,
        "item_start": 0,
        "item_end": 200,
        "reason": "longest verbatim run of 31 words",
        "excerpt_sample": {"before": "… see also the notes. ", "span": passage, "after": ". The decoder then reads …"},
        "excerpt_item": {"before": "", "span": passage, "after": ". How many crates does she pack in all?"},
    }


def _findings() -> list[dict[str, Any]]:
    def finding(rule: str, metric: str, observed: float | None, limit: float, **rest: Any) -> dict[str, Any]:
        base = {"severity": "reject", "outcome": "passed", "reason": "", "waived_by": None}
        return {"rule": rule, "metric": metric, "observed": observed, "limit": limit, **base, **rest}

    return [
        finding("power", "detection.auc_at_dose_4", 0.962, 0.9, reason="an audit that cannot see is no audit"),
        finding(
            "hotspot-mass",
            "hotspot_memorized.token_share",
            0.0815,
            0.02,
            outcome="failed",
            reason="easy and memorized text is what a model gives away first",
        ),
        finding(
            "benchmark-items",
            "contamination.confirmed_items",
            3,
            0,
            outcome="failed",
            reason="a benchmark that was trained on measures nothing",
        ),
        finding(
            "near-copies",
            "duplicates.near_row_share",
            0.061,
            0.05,
            outcome="failed",
            severity="warn",
            reason="near-copies are paid for twice and memorized first",
        ),
        finding(
            "noise", "noisy_outlier.token_share", 0.024, 0.02, outcome="waived", waived_by="data-governance",
            reason="log excerpts are wanted in this delivery",
        ),
        finding("skipped", "batch.skipped_row_share", 0.0058, 0.01, reason="what was not read was not audited"),
    ]  # fmt: skip


def _policy() -> dict[str, Any]:
    interventions = {
        "stable_easy": {"action": "keep", "weight": 1.0},
        "ambiguous_hard": {"action": "upsample", "weight": 1.5},
        "hotspot_memorized": {"action": "downweight", "weight": 0.5},
        "noisy_outlier": {"action": "downweight", "weight": 0.5},
    }
    rules = [{"id": f["rule"], "metric": f["metric"], "max": f["limit"]} for f in _findings()[1:]]
    rules.insert(0, {"id": "power", "metric": "detection.auc_at_dose_4", "min": 0.9})
    resolved = {"schema_version": 1, "name": "default", "interventions": interventions, "rules": rules}
    return {"name": "default", "sha256": "9f" * 32, "resolved": resolved}


def make_facts() -> dict[str, Any]:
    """One whole `report.json`, every field filled."""
    shares = {
        "stable_easy": 0.688,
        "ambiguous_hard": 0.2065,
        "hotspot_memorized": 0.0815,
        "noisy_outlier": 0.024,
    }
    return {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": "0.1.0"},
        "batch": {
            "paths": ["vendor_batch.parquet"],
            "sha256": "3b" * 32,
            "text_column": "text",
            "id_column": "id",
            "rows": 2060,
            "samples": 2048,
            "tokens": 412_345,
            "trained_samples": 2047,
            "trained_tokens": 410_000,
            "skipped": [
                {"reason": "null", "explanation": "no text in this row", "rows": 5, "examples": [{"row": 12}]},
                {
                    "reason": "empty",
                    "explanation": "a text of zero characters",
                    "rows": 7,
                    "examples": [{"row": 40}, {"row": 41}],
                },
            ],
        },
        "run": {
            "seed": 0,
            "device": "cpu",
            "proxy": {
                "name": "nano",
                "parameters": 812_000,
                "context": 128,
                "vocab_size": 2048,
                "layers": 4,
                "hidden_size": 96,
                "checkpoint": None,
            },
            "folds": 2,
            "epochs": 12,
            "burn_in_epochs": 2,
            "logged_epochs": [10, 11, 12],
            "max_tokens": None,
            "packages": {"torch": "2.8.0", "transformers": "5.0.1", "numpy": "2.4.6", "pyarrow": "25.0.0"},
            "started_at": "2026-03-01T10:00:00+00:00",
            "seconds": {
                "batch": 0.4,
                "duplicates": 1.9,
                "tokens": 1.1,
                "train": 142.7,
                "scores": 0.6,
                "contamination": 0.9,
            },
        },
        "map": {
            "score": "memorized_span_share",
            "thresholds": dict(THRESHOLDS),
            "threshold_rules": {
                "difficulty": {
                    "rule": "percentile 75",
                    "words": "harder than three quarters of the batch",
                    "flagged_share": 0.25,
                },
                "memorization": {
                    "rule": "control_dose 1",
                    "words": "memorized at least as strongly as a secret that occurs once",
                    "flagged_share": 0.11,
                },
            },
            "quadrants": {
                name: {
                    "rows": round(2047 * share),
                    "tokens": round(410_000 * share),
                    "row_share": share,
                    "token_share": share,
                    "token_share_interval": [share * 0.96, share * 1.04] if name == "hotspot_memorized" else None,
                }
                for name, share in shares.items()
            },
            "forget": {
                "epsilon": "relative 0.1",
                "levels": 5,
                "tie_share": 0.934,
                "never_learned_share": 0.12,
            },
        },
        "detection": _detection(),
        "duplicates": {
            "exact_rows": 118,
            "near_rows": 43,
            "clusters": 61,
            "largest_cluster": 16,
            "row_share": 0.078,
            "token_share": 0.0612,
            "jaccard_threshold": 0.7,
            "shingle": 5,
        },
        "contamination": {
            "benchmarks": [
                {
                    "name": "orchard_math",
                    "sha256": "c4" * 32,
                    "items": 40,
                    "detectable_items": 38,
                    "confirmed_items": 3,
                    "suspected_items": 1,
                    "confirmed_rows": 3,
                    "suspected_rows": 1,
                },
                {
                    "name": "orchard_reading",
                    "sha256": "c5" * 32,
                    "items": 120,
                    "detectable_items": 120,
                    "confirmed_items": 0,
                    "suspected_items": 0,
                    "confirmed_rows": 0,
                    "suspected_rows": 0,
                },
            ],
            "matches": [_match(i) for i in range(4)],
        },
        "policy": _policy(),
        "metrics": {
            "hotspot_memorized.token_share": 0.0815,
            "contamination.confirmed_items": 3.0,
            "detection.auc_at_dose_4": 0.962,
        },
        "metric_intervals": {"hotspot_memorized.token_share": [0.0782, 0.0848]},
        "findings": _findings(),
        "warnings": ["waiver for rule noise is used; it expires on 2026-06-30"],
        "verdict": {"status": "rejected", "exit_code": 1, "complete": True},
        "riskiest": _riskiest(50),
    }
