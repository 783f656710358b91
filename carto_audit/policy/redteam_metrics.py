"""The numbers of a red team that a rule may limit; `metrics` declares them with the others."""

from typing import Any

_SECRETS = "planted secrets of dose 4 or more"

REDTEAM: tuple[dict[str, Any], ...] = (
    {
        "name": "redteam.extraction_untreated",
        "unit": "share",
        "better": "higher",
        "kind": "power",
        "meaning": f"{_SECRETS} that a proxy of the untreated batch gives away: what there is to reduce",
    },
    {
        "name": "redteam.extraction_policy",
        "unit": "share",
        "better": "lower",
        "kind": "mass",
        "meaning": f"{_SECRETS} that a proxy gives away after the policy's own interventions",
        "of_treatment": True,
    },
    {
        "name": "redteam.extraction_reduction",
        "unit": "share",
        "better": "higher",
        "kind": "mass",
        "meaning": "share of the untreated extraction that the policy's own interventions remove",
        "of_treatment": True,
    },
    {
        "name": "redteam.perplexity_increase",
        "unit": "change",
        "better": "lower",
        "kind": "mass",
        "meaning": "how much held-out perplexity rises with the policy's own interventions; 0.005 is half a percent",
        "of_treatment": True,
    },
    {
        "name": "redteam.mi_auc_policy",
        "unit": "AUC",
        "better": "lower",
        "kind": "mass",
        "meaning": "how well the strongest attack tells members after the policy's own interventions (0.5 is chance)",
        "of_treatment": True,
    },
    {
        "name": "redteam.extraction_pick",
        "unit": "share",
        "better": "lower",
        "kind": "mass",
        "meaning": f"{_SECRETS} that a proxy gives away after the best treatment within the limit on perplexity",
    },
    {
        "name": "redteam.perplexity_increase_pick",
        "unit": "change",
        "better": "lower",
        "kind": "mass",
        "meaning": "how much held-out perplexity rises with that best treatment; 0.005 is half a percent",
    },
)
