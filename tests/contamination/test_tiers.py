from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.contamination.tiers import (
    BOILERPLATE,
    CLEAN,
    CONFIRMED,
    SOURCE_OVERLAP,
    SUSPECTED,
    TIERS,
    Evidence,
    judge,
    judge_program,
    judge_translation,
)

WHOLE = Evidence(
    words=30,
    is_passage=False,
    holders=1,
    containment=1.0,
    rare_containment=1.0,
    information=200.0,
    aligned=1.0,
    nats=60.0,
    support=0.0,
    number_share=None,
    other_numbers=False,
    wording=0.0,
    stem_share=1.0,
    is_template=False,
)
GONE = {"containment": 0.3, "rare_containment": 0.3, "aligned": 0.2}
EDITED = {"words": 8, "containment": 0.4, "rare_containment": 0.3, "information": 40.0}
TEMPLATE = {"rare_containment": None}


@pytest.mark.parametrize(
    ("change", "tier"),
    [
        ({}, CONFIRMED),
        ({"words": 40, "containment": 0.6, "rare_containment": 0.54}, CONFIRMED),
        ({"words": 61, "containment": 0.59, "rare_containment": 0.54, "aligned": 0.7}, CLEAN),
        ({"words": 61, "containment": 0.6, "rare_containment": 0.53, "aligned": 0.7}, SUSPECTED),
        ({"containment": 0.45, "rare_containment": 0.35, "support": 0.5, "aligned": 0.4}, CONFIRMED),
        ({"containment": 0.44, "rare_containment": 0.35, "support": 0.5, "aligned": 0.4}, CLEAN),
        ({"containment": 0.5, "rare_containment": 0.45, "information": 60, "aligned": 0.5}, CONFIRMED),
        ({"containment": 0.5, "rare_containment": 0.45, "information": 59, "aligned": 0.5}, CLEAN),
        ({"information": 24}, SUSPECTED),
        ({"information": 24, "support": 0.5}, CONFIRMED),
        ({"words": 61, "stem_share": 0.49}, SOURCE_OVERLAP),
        ({"words": 61, "stem_share": None}, SOURCE_OVERLAP),
        ({"words": 61, "stem_share": 0.49, "support": 0.5}, CONFIRMED),
        ({"words": 60, "stem_share": 0.0}, CONFIRMED),
        ({"words": 6}, CONFIRMED),
        ({"words": 6, "nats": 13.0}, CONFIRMED),
        ({"words": 6, "nats": 12.9}, SUSPECTED),
        ({"words": 6, "nats": 12.9, "support": 0.5}, CONFIRMED),
        ({**EDITED, "aligned": 0.75, "nats": 13.0}, SUSPECTED),
        ({**EDITED, "aligned": 0.74, "nats": 13.0}, CLEAN),
        ({**EDITED, "aligned": 0.75, "nats": 12.9}, CLEAN),
        ({**EDITED, "aligned": 0.6, "nats": 6.5, "support": 0.5}, CONFIRMED),
        ({**EDITED, "aligned": 0.59, "nats": 6.5, "support": 0.5}, CLEAN),
        ({**EDITED, "aligned": 0.3, "nats": 6.5, "support": 0.75}, SUSPECTED),
        ({**EDITED, "aligned": 0.3, "nats": 6.4, "support": 0.75}, CLEAN),
        (TEMPLATE, SUSPECTED),
        ({**TEMPLATE, "is_template": True}, BOILERPLATE),
        ({**TEMPLATE, "is_template": True, "support": 0.75}, CONFIRMED),
        ({**TEMPLATE, "containment": 0.94, "support": 0.49}, CLEAN),
        ({**TEMPLATE, "containment": 0.94, "support": 0.5}, SUSPECTED),
        ({**TEMPLATE, **GONE, "rare_containment": None, "aligned": 0.2, "containment": 0.2, "support": 1.0}, CLEAN),
        ({"is_passage": True, "containment": 0.5}, SUSPECTED),
        ({"is_passage": True, "containment": 0.5, "holders": 2}, SOURCE_OVERLAP),
        ({"is_passage": True, "containment": 0.49}, CLEAN),
    ],
)
def test_each_threshold_of_the_recipe_falls_on_its_edge(change, tier):
    ruling = judge(replace(WHOLE, **change))
    assert TIERS[ruling.tier] == TIERS[tier]
    assert bool(ruling.reason) == (tier != CLEAN)
    assert not ruling.near_variant


TWIN = {"number_share": 0.0, "other_numbers": True}


@pytest.mark.parametrize(
    ("change", "is_twin"),
    [
        (TWIN, True),
        ({**TWIN, "number_share": 0.49}, True),
        ({**TWIN, "number_share": 0.5}, False),
        ({**TWIN, "other_numbers": False}, False),  # its numbers were edited away, not replaced
        ({**TWIN, "support": 0.5}, False),
        ({**TWIN, "is_passage": True}, False),
        ({**TWIN, **GONE, "wording": 0.9}, True),  # so many numbers that no three words in a row are the same
        ({**TWIN, **GONE, "wording": 0.89}, False),
        ({**TWIN, **GONE, "wording": 0.9, "nats": 12.9}, False),
    ],
)
def test_the_same_wording_with_other_numbers_is_a_near_variant_and_gates_nothing(change, is_twin):
    ruling = judge(replace(WHOLE, **change))
    assert ruling.near_variant == is_twin
    if is_twin:
        assert (ruling.tier, ruling.reason) == (SOURCE_OVERLAP, "the same wording with other numbers")


@pytest.mark.parametrize(
    ("kept", "renamed", "tier"),
    [
        (0.6, 0.0, CONFIRMED),
        (0.59, 0.75, CONFIRMED),
        (0.59, 0.74, SUSPECTED),
        (0.5, 0.5, SUSPECTED),
        (0.5, 0.49, CLEAN),
    ],
)
def test_a_program_is_judged_by_its_grams(kept, renamed, tier):
    assert judge_program(kept, renamed).tier == tier


def test_a_translation_is_never_more_than_suspected():
    assert judge_translation(200).tier == SUSPECTED


SHARES = st.sampled_from([0.0, 0.29, 0.3, 0.35, 0.45, 0.5, 0.6, 0.7, 0.75, 0.9, 0.95, 1.0])
NATS = st.sampled_from([0.0, 6.4, 6.5, 12.9, 13.0, 60.0])
MEASURED = st.builds(
    Evidence,
    words=st.integers(1, 120),
    is_passage=st.booleans(),
    containment=SHARES,
    rare_containment=st.none() | SHARES,
    information=st.sampled_from([0.0, 12.0, 25.0, 60.0, 200.0]),
    aligned=SHARES,
    nats=NATS,
    support=SHARES,
    number_share=st.none(),
    other_numbers=st.booleans(),
    wording=SHARES,
    stem_share=st.none() | SHARES,
    is_template=st.booleans(),
)


@given(MEASURED, SHARES, SHARES, NATS)
def test_more_support_or_more_words_in_order_never_make_a_match_clean(seen, support, aligned, nats):
    """Verification leaves a pair early on the strength of this."""
    more = {"support": max(support, seen.support), "aligned": max(aligned, seen.aligned), "nats": max(nats, seen.nats)}
    assert judge(seen).tier == CLEAN or judge(replace(seen, **more)).tier != CLEAN
