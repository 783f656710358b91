"""The facts of one audit, as `report.json` holds them: a rejected batch with planted risks, deterministic."""

import math
from typing import Any

import numpy as np

from carto_audit.text.numbers import times

QUADRANTS = ("stable_easy", "ambiguous_hard", "hotspot_memorized", "noisy_outlier")
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
    return {1: 0.312, 4: 0.55, 16: 0.86, 64: 0.9}


def _power(auc: float, secrets: int, dose: int, twins: float | None = None) -> dict[str, Any]:
    half = 0.4 * math.sqrt(max(auc * (1 - auc), 0.001) / secrets)
    return {
        "auc": auc,
        "ci": [max(auc - 2 * half, 0.0), min(auc + 2 * half, 1.0)],
        "auc_twins": twins,
        "average_precision": auc / 2,
        "recall_at_1pct": max(0.0, 2 * auc - 1.15),
        "recall_at_2pct": max(0.0, 2 * auc - 1.1),
        "recall_at_5pct": max(0.02, 2 * auc - 1.0),
        "secrets": secrets,
        "copies": secrets * max(dose, 1),
    }


KINDS = {"random": 0.0, "rare_suffix": 0.01, "natural": 0.02}
"""The kinds of planted secret, and how much better each is seen than random ones."""

AUCS = {
    "memorized": {"alone": (0.61, 0.962, 0.97, 0.98), "embedded": (0.58, 0.93, 0.96, 0.97)},
    "memorized_span_share": {"alone": (0.6, 0.95, 0.97, 0.98), "embedded": (0.55, 0.9, 0.95, 0.97)},
    "memorized_share": {"alone": (0.55, 0.91, 0.96, 0.98), "embedded": (0.5, 0.6, 0.76, 0.88)},
    "forget_score": {"alone": (0.52, 0.49, 0.47, 0.48), "embedded": (0.5, 0.48, 0.5, 0.5)},
    "forget_absolute": {"alone": (0.5, 0.5, 0.5, 0.5), "embedded": (0.5, 0.5, 0.5, 0.5)},
    "forget_relative": {"alone": (0.51, 0.49, 0.47, 0.48), "embedded": (0.5, 0.48, 0.5, 0.5)},
    "forget_held_out": {"alone": (0.5, 0.5, 0.51, 0.5), "embedded": (0.5, 0.5, 0.5, 0.5)},
    "lt_iqr": {"alone": (0.5, 0.8, 0.93, 0.95), "embedded": (0.45, 0.62, 0.7, 0.8)},
    "drop": {"alone": (0.48, 0.7, 0.85, 0.9), "embedded": (0.4, 0.55, 0.6, 0.7)},
    "learn_time": {"alone": (0.47, 0.25, 0.2, 0.1), "embedded": (0.5, 0.4, 0.3, 0.2)},
    "rebound": {"alone": (0.46, 0.44, 0.4, 0.4), "embedded": (0.5, 0.5, 0.5, 0.5)},
    "cumulative_loss": {"alone": (0.45, 0.15, 0.1, 0.05), "embedded": (0.5, 0.4, 0.3, 0.2)},
    "low_final_loss": {"alone": (0.55, 0.94, 0.97, 0.98), "embedded": (0.45, 0.62, 0.75, 0.84)},
    "near_duplicate_count": {"alone": (0.45, 0.72, 0.75, 0.75), "embedded": (0.45, 0.45, 0.45, 0.45)},
    "mosaic_count": {"alone": (0.45, 0.74, 0.76, 0.76), "embedded": (0.45, 0.45, 0.45, 0.45)},
}
DOSES = (1, 4, 16, 64)
TWINLESS = tuple(AUCS)[4:13]
"""Statistics of the trace alone: twins are in no training trace, so they have none."""


def _cells(score: str, kind: str, aucs: tuple[float, ...]) -> dict[str, Any]:
    """The powers of one score, kind and form by dose; a natural passage is never planted once."""
    planted = {
        str(dose): _power(min(auc + KINDS[kind], 1.0), 16, dose, None if score in TWINLESS else min(auc + 0.02, 1.0))
        for dose, auc in zip(DOSES, aucs, strict=True)
        if not (kind == "natural" and dose == 1)
    }
    return planted if score in TWINLESS else {"0": _power(0.31, 24, 0, 0.5), **planted}


def _detection() -> dict[str, Any]:
    return {
        "scores": {
            score: {kind: {form: _cells(score, kind, aucs) for form, aucs in forms.items()} for kind in KINDS}
            for score, forms in AUCS.items()
        },
        "demanded_dose": 4,
        "found": [
            {"dose": 1, "found": 3, "secrets": 12, "at_least": 0.072},
            {"dose": 4, "found": 34, "secrets": 36, "at_least": 0.836},
            {"dose": 16, "found": 10, "secrets": 10, "at_least": 0.741},
        ],
        "false_alarm_share": 0.004,
        "missing_tokens": 0,
        "by_copy": {"exact": _power(0.97, 48, 4), "edited": _power(0.94, 48, 4)},
        "above_line": {"1": 0.5, "4": 0.97, "16": 1.0, "64": 1.0},
        "ruler": {str(dose): score for dose, score in control_scores().items()},
        "planted": 1020,
        "twins": 144,
        "capacity_ratio": 1.42,
        "epochs": 12,
        "repeats": 3,
        "agreement": 0.72,
        "warnings": ["few planted secrets, 4.0 of each kind at dose 4, so wide intervals"],
        "remedies": [],
    }


REMEDIES = [
    "two folds, so that there is a proxy that did not see a sample (--folds 2)",
    "more epochs than 12 (--epochs 24)",
    "several pairs of proxies (--repeats 3)",
]


LOGGED = [3, 6, 10, 11, 12]


def _heat() -> list[dict[str, Any]]:
    pieces = ("The access code ", "of the staging host ", "is ", "[code]", ", ask [email]")
    return [{"text": text, "level": level} for level, text in enumerate(pieces)]


def _riskiest(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    samples = []
    for i in range(count):
        quadrant = "noisy_outlier" if i % 7 == 3 else "hotspot_memorized"
        score = round(0.97 - 0.011 * i, 3)
        copies = 34 - i if i < 5 else 2 if i % 2 else 1
        recall = "recite" if i < 5 else "reconstruct" if i % 9 == 5 else "recollect"
        kind = {
            "recite": f"recited: this text occurs {times(copies)}",
            "reconstruct": "reconstructed: a template that an unseen proxy nearly knows",
            "recollect": f"recollected: this text occurs {times(copies)}",
        }[recall]
        dose = None if i == 48 else 64.0 if i < 8 else 1.0 if i > 45 else float(32 - i // 2)
        dose_words = "" if dose is None else f"memorized like a secret that occurs about {dose:.0f} times"
        train = [round(float(x), 3) for x in 7.9 * np.exp(-np.arange(12) / (3 + rng.random())) + 0.3 * rng.random(12)]
        samples.append(
            {
                "sample_id": f"pydoc/asyncio/{i:05d}",
                "row": 37 * i + 4,
                "quadrant": quadrant,
                "difficulty": round(4.0 + 0.03 * i + (2.5 if quadrant == "noisy_outlier" else 0), 3),
                "memorization": score,
                "memorized": score,
                "memorized_share": round(score * 0.7, 3),
                "memorized_span_share": score,
                "forget_score": round(0.05 * (i % 4), 3),
                "n_tokens": 44 + 3 * i,
                "cluster_size": 8 if i < 5 else 1,
                "cluster_rows": [3, 5, 8, 13, 21] if i < 5 else [],
                "copies": copies,
                "recall": recall,
                "equivalent_dose": dose,
                "dose_words": dose_words,
                "contamination_tier": "confirmed" if i == 6 else "",
                "action": "downweight",
                "weight": 0.5,
                "reasons": f"easy and memorized: a risk of verbatim recall; {kind}"
                + (f"; {dose_words}" if dose_words else ""),
                "loss_in": round(1.1 + 0.02 * i, 3),
                "loss_out": round(5.8 - 0.01 * i, 3),
                "excerpt": {
                    "before": "… Return a task that wraps the coroutine. The access code of the staging host is ",
                    "span": "[code], ask [email] for [number]",
                    "after": " before the loop is closed, otherwise the handle is cancelled and the error is logged …",
                },
                "heat": [] if i == 2 else _heat(),
                "losses": {
                    "train": train,
                    "in_fold": [train[epoch - 1] for epoch in LOGGED],
                    "out_of_fold": [7.2, 6.6, 6.1, 6.0, 5.9],
                },
            }
        )
    return samples


def _match(i: int) -> dict[str, Any]:
    passage = "Natalia packs crates of pears on Monday and half as many on Tuesday"
    edited = passage.replace("half", "twice") if i == 2 else passage
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
        "minhash_estimate": None if i == 2 else 0.94 - 0.05 * i,
        "sample_start": 120,
        "sample_end": 320,
        "item_start": 0,
        "item_end": 200,
        "reason": "longest verbatim run of 31 words",
        "near_variant": i == 2,
        "view": "program" if i == 3 else "words",
        "quadrant": ("hotspot_memorized", "hotspot_memorized", "stable_easy", None)[i],
        "difficulty": None if i == 3 else 4.2 + 0.3 * i,
        "memorization": None if i == 3 else 0.7 - 0.25 * i,
        "excerpt_sample": {"before": "… see also the notes. ", "span": edited, "after": ". The decoder then reads …"},
        "testimony": {
            "rows_trained": i + 1,
            "loss_in_question": None if i == 2 else 3.25,
            "loss_out_question": None if i == 2 else 4.5,
            "loss_in_answer": None if i == 2 else 2.75,
            "loss_out_answer": None if i == 2 else 3.75,
            "quiz_in": None if i == 2 else True,
            "quiz_out": None if i == 2 else False,
            "peak_in": None if i == 2 else 0.0,
            "peak_out": None if i == 2 else 0.0,
            "silence": "no row with it was trained on" if i == 2 else "",
        },
        "excerpt_item": {"before": "", "span": passage, "after": ". How many crates does she pack in all?"},
    }


def _voice(items: int, least: int, most: int | None, gain: float) -> dict[str, Any]:
    """What proxies show about some items, each read in `least` to `most` rows."""
    return {
        "items": items,
        "least_rows": least,
        "most_rows": most,
        "loss_in_question": 4.5 - gain,
        "loss_out_question": 4.5,
        "loss_in_answer": 3.75 - 2 * gain,
        "loss_out_answer": 3.75,
        "quiz_in": 0.5 + gain / 4,
        "quiz_out": 0.5,
        "quiz_kappa": gain / 2,
        "peak_in": 0.0,
        "peak_out": 0.0,
    }


def _testimony() -> dict[str, Any]:
    silent = {"rows with it lie on both sides of the split, so both proxies read it": 1}
    return {**_voice(3, 1, None, 0.5), "silent": silent, "by_rows": [_voice(2, 1, 1, 0.25), _voice(1, 8, None, 1.0)]}


def _findings() -> list[dict[str, Any]]:
    def finding(rule: str, metric: str, observed: float | None, limit: float, **rest: Any) -> dict[str, Any]:
        base = {"bound": "min" if rule == "power" else "max", "severity": "reject", "outcome": "passed"}
        base |= {"reason": "", "explanation": f"{metric} is {observed}", "waived_by": None}
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


def _counts() -> list[list[int]]:
    """A coarse map with a group above the threshold and a cloud below it."""
    columns = make_columns()
    seen = np.histogram2d(
        -columns["memorization"], columns["difficulty"], bins=(11, 56), range=((-1.1, 0.1), (2.5, 7.9))
    )
    return [[int(count) for count in row] for row in seen[0]]


def _cut(way: str, value: float, words: str, share: float, drawn: bool) -> dict[str, Any]:
    fixed = way == "percentile"
    return {
        "way": way,
        "value": value,
        "words": words,
        "flagged_share": share,
        "fixed_share": fixed,
        "drawn": drawn,
    }


def _shard(name, confirmed):
    counts = {
        "confirmed_items": confirmed,
        "suspected_items": 1,
        "confirmed_rows": confirmed,
        "suspected_rows": 1,
    }
    return {"name": name, "rows": 1031, "counts": counts, "benchmarks": {"orchard_math": counts} if confirmed else {}}


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
        "excerpts": "redacted",
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
            "held_out_samples": 33,
            "held_out_tokens": 3151,
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
            "sampling": {"key_commitment": "5f" * 32, "rehearsable": False},
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
            "repeats": 3,
            "confidence": 0.975,
            "reference_samples": 250,
            "reference_sha256": "ab" * 32,
            "logged_epochs": LOGGED,
            "max_tokens": None,
            "kinship": {
                "groups": 1623,
                "frequency_cap": 32,
                "boilerplate_runs": 58,
                "boilerplate": [
                    {
                        "samples": 60 - 9 * i,
                        "excerpt": {
                            "before": "… ",
                            "span": "This page belongs to the vendor portal",
                            "after": ". See …",
                        },
                    }
                    for i in range(3)
                ],
                "severed_samples": 41,
                "severed_token_share": 0.021,
                "largest_group_token_share": 0.048,
            },
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
            "score": "memorized",
            "thresholds": dict(THRESHOLDS),
            "threshold_rules": {
                "difficulty": {
                    "rule": {"percentile": 75.0},
                    "words": "percentile 75 of this batch, so a fixed share lies above",
                    "flagged_share": 0.25,
                    "cuts": [
                        _cut("percentile", 5.21, "percentile 75 of this batch, so a fixed share lies above", 0.25, True)
                    ],
                },
                "memorization": {
                    "rule": {"percentile": 95.0, "control_dose": 1},
                    "words": "median of secrets planted once",
                    "flagged_share": 0.11,
                    "cuts": [
                        _cut(
                            "percentile", 0.402, "percentile 95 of this batch, so a fixed share lies above", 0.05, False
                        ),
                        _cut("control_dose", 0.312, "median of secrets planted once", 0.11, True),
                    ],
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
                "epsilon": "each sample's own lowest loss plus 0.1 nats per token",
                "levels": 5,
                "tie_share": 0.934,
                "never_learned_share": 0.12,
                "sweep": [
                    {"delta": 0.05, "forgetting_share": 0.004, "agreement": None},
                    {"delta": 0.1, "forgetting_share": 0.011, "agreement": 0.214},
                    {"delta": 0.2, "forgetting_share": 0.02, "agreement": 0.62},
                ],
            },
            "grid": {"difficulty": [2.5, 7.9], "memorization": [-0.1, 1.1], "counts": _counts()},
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
                    "detectability": {
                        "alone": 0.975,
                        "embedded": 0.975,
                        "rewrapped": 0.975,
                        "recased": 0.95,
                        "with_options": 0.9,
                    },
                    "detectability_disguised": {"markup": 0.97, "line_numbers": 0.91},
                    "clean_items": 35,
                    "confirmed_items": 3,
                    "suspected_items": 1,
                    "confirmed_rows": 3,
                    "suspected_rows": 1,
                    "source_overlap_items": 0,
                    "boilerplate_items": 0,
                },
                {
                    "name": "orchard_reading",
                    "sha256": "c5" * 32,
                    "items": 120,
                    "detectable_items": 120,
                    "detectability": {"embedded": 1.0},
                    "clean_items": 120,
                    "confirmed_items": 0,
                    "suspected_items": 0,
                    "confirmed_rows": 0,
                    "suspected_rows": 0,
                    "source_overlap_items": 0,
                    "boilerplate_items": 0,
                },
            ],
            "shards": [_shard("clean.parquet", 0), _shard("</th><script>alert(1)</script>\x1b[31m\u202e.parquet", 3)],
            "by_quadrant": {
                "stable_easy": {"rows": 1, "tokens": 310},
                "ambiguous_hard": {"rows": 0, "tokens": 0},
                "hotspot_memorized": {"rows": 2, "tokens": 640},
                "noisy_outlier": {"rows": 0, "tokens": 0},
                "unmapped": {"rows": 0, "tokens": 0},
            },
            "drop_first": {"rows": 2, "tokens": 640, "token_share": 0.00155},
            "testimony": _testimony(),
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
