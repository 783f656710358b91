"""The facts of one run of the governance loop, as `redteam.json` holds them: the numbers of three seeds on a small corpus."""

import copy

DOSES = ("1", "4", "16")
KINDS = ("random", "rare_suffix", "natural")
FORMS = ("alone", "embedded", "edited")
ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "reference", "neighbourhood", "ez", "lt_mia")
# How well each attack tells members, as a part of the strongest one's advantage.
_ADVANTAGE = dict(zip(ATTACKS, (0.55, 0.62, 0.6, 0.72, 0.9, 0.68, 0.8, 1.0), strict=True))

YAML = (
    "# Paste into your policy, in place of the keys that it has; quadrants that are not named stay as they are.\n"
    "map:\n"
    "  memorization:\n"
    "    score: memorized\n"
    "    threshold: {absolute: 0.61}\n"
    "interventions:\n"
    "  hotspot_memorized: {action: remove}\n"
    "  noisy_outlier: {action: remove}\n"
)
NO_YAML = "# No arm that was measured leaks less within the limit on perplexity: nothing to recommend.\n"


def estimate(value, half=0.03, low=None, high=None):
    """A value with its interval, shares kept inside 0..1."""
    return {
        "value": value,
        "low": value - half if low is None else low,
        "high": value + half if high is None else high,
    }


def _share(value, half=0.03):
    return estimate(value, low=max(value - half, 0.0), high=min(value + half, 1.0))


def arm(name, title, leakage, change, **changes):
    """One arm whose figures follow from how much it leaks and what it costs."""
    alone, embedded, edited = changes.pop("forms", (leakage, leakage * 0.96, leakage * 0.9))
    auc = changes.pop("auc", 0.5 + 0.24 * leakage)
    by_dose = {"1": _share(leakage * 0.12), "4": _share(leakage * 0.93), "16": _share(min(leakage * 1.04, 1.0))}
    forms = dict(zip(FORMS, (alone, embedded, edited), strict=True))
    return {
        "arm": name,
        "title": title,
        "level": None,
        "weight": None,
        "score": None,
        "seeds": 3,
        "pruned_tokens": 0,
        "pruned_token_share": 0.0,
        "pruned_canary_share": 0.0,
        "extraction": {kind: copy.deepcopy(by_dose) for kind in KINDS},
        "extraction_by_form": {
            form: {"1": _share(share * 0.12), "4": _share(share * 0.94), "16": _share(min(share * 1.03, 1.0))}
            for form, share in forms.items()
        },
        "leakage": _share(leakage),
        "leakage_by_form": {form: _share(share, 0.04) for form, share in forms.items()},
        "leakage_by_attack": {
            "exact": _share(leakage * 0.88),
            "near_verbatim": _share(leakage * 0.95),
            "worst_case": _share(leakage),
            "twins": _share(0.004, 0.004),
        },
        "exposure": {
            "1": estimate(1.2 + 1.5 * leakage, 0.4),
            "4": estimate(1.4 + 11 * leakage, 0.8),
            "16": estimate(1.6 + 15 * leakage, 0.6),
        },
        "queries": {
            "1": None if leakage < 0.5 else 48211.0,
            "4": 6800.0 if leakage < 0.5 else 2.0,
            "16": 410.0 if leakage < 0.5 else 1.0,
        },
        "propensity": _share(leakage * 0.04, 0.01),
        "mi_auc": estimate(auc, 0.012),
        "tpr_at_1pct_fpr": _share((auc - 0.5) * 0.6 + 0.01, 0.01),
        "membership": {
            attack: {
                "auc": estimate(0.5 + (auc - 0.5) * part, 0.012),
                "tpr_at_1pct_fpr": _share((auc - 0.5) * part * 0.6 + 0.01, 0.01),
                "tpr_at_01pct_fpr": _share((auc - 0.5) * part * 0.2 + 0.001, 0.002),
            }
            for attack, part in _ADVANTAGE.items()
        },
        "heldout_perplexity": estimate(61.4 * (1 + change), 1.1),
        "perplexity_change": estimate(change, 0.0015 + 0.1 * abs(change)),
        "perplexity_by_part": {
            "stable_easy": {"value": 38.2 * (1 + change * 0.8), "change": change * 0.8},
            "ambiguous_hard": {"value": 101.7 * (1 + change * 1.1), "change": change * 1.1},
            "rare_tail": {"value": 188.0 * (1 + change * 1.9), "change": change * 1.9},
        },
        "distinct_n": {"2": 0.712 - 0.05 * change, "3": 0.931 - 0.02 * change},
        "loss_gap": 0.4 + 3.1 * leakage,
        "pii": {
            "email": {"spans": 62, "extracted": round(31 * leakage), "net": round(29 * leakage)},
            "phone": {"spans": 18, "extracted": round(9 * leakage), "net": round(9 * leakage)},
            "iban": {"spans": 4, "extracted": round(2 * leakage), "net": round(2 * leakage)},
        },
        "newly_flagged": None,
        "matched": {"steps_share": 0.985, "perplexity": 61.4 * (1 + change), "leakage": 0.94},
        "beats_random": None,
    } | changes


def _arms():
    arms = [arm("untreated", "the batch as it is", 0.953, 0.0, perplexity_change=estimate(0.0, 0.0), matched=None)]
    prune = (
        (0.01, 0.71, 0.0006, (0.62, 0.78, 0.74), 0.011),
        (0.02, 0.33, 0.0012, (0.21, 0.41, 0.38), 0.019),
        (0.05, 0.021, 0.0031, (0.008, 0.03, 0.027), 0.012),
        (0.1, 0.009, 0.0102, (0.004, 0.012, 0.01), 0.016),
        (0.2, 0.007, 0.0289, (0.003, 0.01, 0.008), 0.021),
    )
    for level, leakage, change, forms, flagged in prune:
        better = 0.9 - leakage
        arms.append(
            arm(
                "prune",
                f"prune {100 * level:g} % by memorized",
                leakage,
                change,
                forms=forms,
                level=level,
                score="memorized",
                newly_flagged=flagged,
                beats_random=estimate(better, 0.05),
                pruned_tokens=round(412_345 * level),
                pruned_token_share=level,
                pruned_canary_share=1 - leakage,
            )
        )
    arms.append(
        arm(
            "prune",
            "prune 5 % by forget events",
            0.79,
            0.0044,
            level=0.05,
            score="forget_score",
            newly_flagged=0.031,
            beats_random=estimate(0.11, 0.05),
            pruned_tokens=20_617,
            pruned_token_share=0.05,
            pruned_canary_share=0.17,
        )
    )
    for level, leakage, change in (
        (0.01, 0.951, 0.0012),
        (0.02, 0.946, 0.0027),
        (0.05, 0.921, 0.0068),
        (0.1, 0.902, 0.0131),
        (0.2, 0.858, 0.0322),
    ):
        arms.append(
            arm(
                "random",
                f"prune {100 * level:g} % at random",
                leakage,
                change,
                level=level,
                pruned_tokens=round(412_345 * level),
                pruned_token_share=level,
                pruned_canary_share=level,
            )
        )
    arms.append(
        arm(
            "deduplicate",
            "deduplicate only",
            0.587,
            0.0008,
            forms=(0.012, 0.91, 0.84),
            pruned_tokens=9_811,
            pruned_token_share=0.0238,
            pruned_canary_share=0.33,
        )
    )
    for weight, leakage, change in ((0.75, 0.931, 0.0004), (0.5, 0.87, 0.0009), (0.25, 0.612, 0.0016)):
        arms.append(
            arm(
                "downweight",
                f"down-weight to {weight:g}",
                leakage,
                change,
                weight=weight,
                level=0.05,
                score="memorized",
            )
        )
    arms.append(
        arm(
            "remove_flagged",
            "remove all that is flagged",
            0.014,
            0.0052,
            pruned_tokens=27_314,
            pruned_token_share=0.0662,
            pruned_canary_share=0.99,
        )
    )
    arms.append(arm("policy", "the policy's interventions", 0.84, 0.0011))
    return arms


def redteam_facts(**changes):
    """The facts of a full run whose pick prunes 5 %; `changes` replace whole entries."""
    arms = _arms()
    facts = {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": "0.4.0"},
        "batch": {
            "paths": ["vendor/vendor_batch.parquet"],
            "sha256": "c0ffee" * 10 + "cafe",
            "rows": 4120,
            "tokens": 412_345,
        },
        "policy": {"name": "default", "sha256": "ab" * 32},
        "run": {
            "mode": "full",
            "seeds": [0, 1, 2],
            "device": "cpu",
            "proxy": "nano",
            "parameters": 712_448,
            "epochs": 8,
            "max_tokens": None,
            "score": "memorized",
            "max_perplexity_increase": 0.01,
            "started_at": "2026-03-04T08:15:00Z",
            "seconds": {"audit": 812.2, "arms": 6312.9, "attacks": 905.0},
            "packages": {"torch": "2.6.0", "numpy": "2.2.1"},
        },
        "protocol": {
            "trained_tokens": 371_110,
            "held_out_samples": 402,
            "held_out_tokens": 41_235,
            "canary_token_share": 0.0194,
            "steps": 5800,
            "secrets": {form: dict.fromkeys(DOSES, 54) for form in FORMS},
            "twins": 162,
            "strongest_attack": "lt_mia",
        },
        "arms": arms,
        "nothing_to_reduce": False,
        "knee": {
            "arm": 3,
            "reason": "prune 5 % lies furthest from the chord and beats random pruning beyond the interval.",
        },
        "policy_pick": {"arm": 3, "reason": "The least leakage among arms that cost at most 1 % of perplexity."},
        "recommended": {"arm": 3, "yaml": YAML},
        "metrics": {
            "redteam.extraction_pick": _share(0.021),
            "redteam.perplexity_increase_pick": estimate(0.0031, 0.0018),
        },
        "verdict": None,
        "warnings": [],
    }
    return copy.deepcopy(facts | changes)


def quick_facts():
    """A quick run: one seed, three arms, intervals over secrets only."""
    facts = redteam_facts()
    facts["run"] |= {"mode": "quick", "seeds": [0], "max_tokens": 200_000}
    facts["arms"] = [a for a in facts["arms"] if a["level"] in (None, 0.05) and a["score"] != "forget_score"]
    for entry in facts["arms"]:
        entry["seeds"] = 1
    at = next(i for i, a in enumerate(facts["arms"]) if a["arm"] == "prune")
    for part in ("knee", "policy_pick", "recommended"):
        facts[part]["arm"] = at
    facts["knee"] = {"arm": None, "reason": "A knee needs at least three levels; a quick run has one."}
    facts["warnings"] = ["One seed: the intervals are over secrets and say nothing about another training."]
    return facts


def nothing_to_reduce():
    """A run whose untreated proxy hardly learned a secret."""
    facts = redteam_facts(
        nothing_to_reduce=True,
        knee={"arm": None, "reason": "There is nothing to reduce."},
        policy_pick={"arm": None, "reason": "There is nothing to reduce."},
        recommended={"arm": None, "yaml": NO_YAML},
        warnings=["The untreated proxy extracts 3 % of the secrets that occur at least 4 times: train longer."],
    )
    facts["arms"] = [
        arm("untreated", "the batch as it is", 0.031, 0.0, perplexity_change=estimate(0.0, 0.0), matched=None)
    ]
    return facts


def no_knee():
    """A run in which no level beats random pruning, and none reduces leakage at the price allowed."""
    facts = redteam_facts(
        knee={"arm": None, "reason": "No level beats random pruning beyond the interval."},
        policy_pick={"arm": None, "reason": "No arm leaks less than the untreated batch at a price of at most 1 %."},
        recommended={"arm": None, "yaml": NO_YAML},
    )
    facts["arms"] = [
        entry | {"leakage": _share(0.94), "beats_random": estimate(0.01, 0.04) if entry["beats_random"] else None}
        for entry in facts["arms"]
    ]
    return facts


def without_estimates():
    """A run of which nothing that may be null was measured."""
    facts = redteam_facts(knee={"arm": None, "reason": "nothing was measured"}, policy_pick={"arm": None, "reason": ""})
    facts["recommended"] = {"arm": None, "yaml": ""}
    facts["metrics"] = dict.fromkeys(facts["metrics"])
    facts["arms"] = [_emptied(entry) for entry in facts["arms"]]
    return facts


def _emptied(value):
    if isinstance(value, dict):
        if set(value) == {"value", "low", "high"}:
            return None
        return {key: _emptied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_emptied(item) for item in value]
    return value if isinstance(value, str | int) or value is None else None


FINDING = {
    "rule": "measured-reduction",
    "metric": "redteam.extraction_policy",
    "observed": 0.051,
    "limit": 0.05,
    "bound": "max",
    "severity": "reject",
    "outcome": "failed",
    "reason": "The treatment must leave at most 5 % of the planted secrets to extract.",
    "explanation": "",
    "waived_by": None,
    "file": "policy.yaml",
    "line": 12,
    "column": 5,
    "subject": None,
}
"""A rule about the loop, broken."""


def failed_arm():
    """A run of which one arm could not be trained, and which picks the batch as it is."""
    facts = redteam_facts(
        policy_pick={"arm": 0, "reason": "no treatment leaks less within the limit"},
        knee={"arm": None, "reason": "no knee: 4 levels are one line"},
    )
    facts["recommended"] = {"arm": 0, "yaml": NO_YAML}
    facts["protocol"]["strongest_attack"] = None
    failed = _emptied(facts["arms"][5])
    failed |= {part: {} for part in ("exposure", "queries", "perplexity_by_part", "pii")}
    failed |= {"extraction_by_form": {form: {} for form in FORMS}, "seeds": 0, "pruned_canary_share": None}
    facts["arms"][5] = failed
    return facts


def judged_facts():
    """A run whose policy demands a measured reduction and does not get it."""
    return redteam_facts(verdict={"status": "rejected", "exit_code": 1, "findings": [dict(FINDING)]})
