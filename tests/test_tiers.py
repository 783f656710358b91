from dataclasses import replace

import pytest

from carto_audit.tiers import BOILERPLATE, CLEAN, CONFIRMED, SOURCE_OVERLAP, SUSPECTED, TIERS, Evidence, judge

WHOLE = Evidence(
    words=30,
    is_passage=False,
    containment=1.0,
    rare_containment=1.0,
    information=200.0,
    support=0.0,
    number_share=None,
    stem_share=1.0,
    stands_alone=False,
    is_template=False,
)


@pytest.mark.parametrize(
    ("change", "tier"),
    [
        ({}, CONFIRMED),
        ({"words": 40, "containment": 0.6, "rare_containment": 0.54}, CONFIRMED),
        ({"words": 61, "containment": 0.59, "rare_containment": 0.54}, CLEAN),
        ({"words": 61, "containment": 0.6, "rare_containment": 0.53}, SUSPECTED),
        ({"containment": 0.45, "rare_containment": 0.35, "support": 0.5}, CONFIRMED),
        ({"containment": 0.44, "rare_containment": 0.35, "support": 0.5}, CLEAN),
        ({"containment": 0.5, "rare_containment": 0.45, "information": 60}, CONFIRMED),
        ({"containment": 0.5, "rare_containment": 0.45, "information": 59}, CLEAN),
        ({"information": 24}, SUSPECTED),
        ({"information": 24, "support": 0.5}, CONFIRMED),
        ({"words": 61, "stem_share": 0.49}, SOURCE_OVERLAP),
        ({"words": 61, "stem_share": None}, SOURCE_OVERLAP),
        ({"words": 61, "stem_share": 0.49, "support": 0.5}, CONFIRMED),
        ({"words": 60, "stem_share": 0.0}, CONFIRMED),
        ({"number_share": 0.49}, SOURCE_OVERLAP),
        ({"number_share": 0.0}, SOURCE_OVERLAP),
        ({"number_share": 0.5}, CONFIRMED),
        ({"number_share": 0.0, "support": 0.5}, CONFIRMED),
        ({"words": 11}, SUSPECTED),
        ({"words": 11, "stands_alone": True}, CONFIRMED),
        ({"words": 11, "support": 0.5}, CONFIRMED),
        ({"words": 11, "containment": 0.94, "stands_alone": True}, CLEAN),
        ({"words": 12}, CONFIRMED),
        ({"rare_containment": None}, SUSPECTED),
        ({"rare_containment": None, "is_template": True}, BOILERPLATE),
        ({"rare_containment": None, "is_template": True, "support": 0.75}, CONFIRMED),
        ({"rare_containment": None, "containment": 0.94, "support": 1.0}, CLEAN),
        ({"is_passage": True, "containment": 0.5}, SOURCE_OVERLAP),
        ({"is_passage": True, "containment": 0.49}, CLEAN),
    ],
)
def test_each_threshold_of_the_recipe_falls_on_its_edge(change, tier):
    found, reason = judge(replace(WHOLE, **change))
    assert TIERS[found] == TIERS[tier]
    assert bool(reason) == (tier != CLEAN)
