import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.governance.recommendation import recommended_block
from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.interventions import Intervention
from carto_audit.policy.model import load_policy

QUADRANTS = ("hotspot_memorized", "noisy_outlier")
REMOVE = Intervention(action="remove", weight=0.0)
COMMENTS = [None, "untreated", "policy", "random", "deduplicate"]


def halve(weight):
    return Intervention(action="downweight", weight=weight)


@pytest.fixture
def pasted(tmp_path):
    """A policy that extends `base`, with a block pasted under it, as it is loaded."""

    def paste(block, base="default"):
        path = tmp_path / "ours.yaml"
        path.write_text(f"schema_version: 1\nname: ours\nextends: {base}\n\n{block}\n", encoding="utf-8")
        return load_policy(path)

    return paste


def treated(policy):
    return {policy.interventions[quadrant] for quadrant in QUADRANTS}


@pytest.mark.parametrize("base", builtin_policies())
def test_a_down_weighting_loads_in_every_shipped_policy(pasted, base):
    policy = pasted(recommended_block({"arm": "downweight", "weight": 0.25}), base)
    assert treated(policy) == {halve(0.25)}
    assert policy.map == load_policy(base).map


@pytest.mark.parametrize("base", ["default", "strict", "exploratory", "gendatacarto"])
def test_a_removal_loads_and_moves_nothing_else(pasted, base):
    policy, before = pasted(recommended_block({"arm": "remove_flagged"}), base), load_policy(base)
    assert treated(policy) == {REMOVE}
    assert policy.map == before.map
    assert policy.rules == before.rules
    assert policy.interventions["ambiguous_hard"] == before.interventions["ambiguous_hard"]


@pytest.mark.parametrize("score", ["memorized", "forget_score"])
def test_a_level_of_pruning_brings_its_line(pasted, score):
    policy = pasted(recommended_block({"arm": "prune", "level": 0.05, "score": score}, 0.3125))
    assert treated(policy) == {REMOVE}
    assert policy.map.memorization.score == score
    assert policy.map.memorization.threshold.ways == ("absolute",)
    assert policy.map.memorization.threshold.absolute == 0.3125
    assert policy.map.difficulty == load_policy("default").map.difficulty


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_line_keeps_every_digit(tmp_path_factory, threshold):
    path = tmp_path_factory.mktemp("pasted") / "ours.yaml"
    block = recommended_block({"arm": "prune", "level": 0.05, "score": "memorized"}, threshold)
    path.write_text(f"schema_version: 1\nname: ours\nextends: default\n{block}", encoding="utf-8")
    assert load_policy(path).map.memorization.threshold.absolute == threshold


@pytest.mark.parametrize("name", COMMENTS)
@pytest.mark.parametrize("never_drop", [True, False])
def test_what_no_policy_can_say_is_a_comment(pasted, name, never_drop):
    block = recommended_block(name and {"arm": name}, never_drop=never_drop)
    assert all(line.startswith("# ") for line in block.splitlines())
    assert pasted(block) == pasted("")


def test_deduplication_is_sent_back_to_before_the_audit():
    assert "before the batch is ingested" in recommended_block({"arm": "deduplicate"})


@pytest.mark.parametrize("base", ["regulated-health", "regulated-legal"])
@pytest.mark.parametrize("arm", [{"arm": "remove_flagged"}, {"arm": "prune", "level": 0.05, "score": "memorized"}])
def test_a_policy_that_never_drops_gets_the_strongest_weight_that_was_measured(pasted, base, arm):
    assert load_policy(base).never_drop
    block = recommended_block(arm, 0.3, never_drop=True, measured_weights=[0.75, 0.25, 0.5])
    policy = pasted(block, base)
    assert treated(policy) == {halve(0.25)}
    assert policy.map == load_policy(base).map
    assert "strongest down-weighting that was measured, 0.25" in block


def test_a_policy_that_never_drops_gets_nothing_where_no_weight_was_measured(pasted):
    block = recommended_block({"arm": "remove_flagged"}, never_drop=True)
    assert "no down-weighting was measured" in block
    assert pasted(block, "regulated-health") == pasted("", "regulated-health")


@pytest.mark.parametrize(
    ("arm", "threshold"),
    [
        ({"arm": "prune", "score": "memorized"}, None),
        ({"arm": "prune", "score": "memorized"}, float("inf")),
        ({"arm": "prune", "score": None}, 0.3),
        ({"arm": "downweight", "weight": 1.0}, None),
        ({"arm": "sprinkle"}, None),
    ],
)
def test_an_arm_without_what_it_needs_is_a_defect(arm, threshold):
    with pytest.raises(ValueError, match=r"needs|is called"):
        recommended_block(arm, threshold)
