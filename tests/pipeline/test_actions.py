"""What happens to a sample follows from its quadrant, except where a benchmark or noise says otherwise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.cartography.reasons import give_reasons
from carto_audit.pipeline.actions import decide
from carto_audit.policy.interventions import KEEP, Intervention
from tests.support.tiny import make_scores

PAPER = {
    "stable_easy": Intervention(action="keep", weight=1.0),
    "ambiguous_hard": Intervention(action="upsample", weight=1.5),
    "hotspot_memorized": Intervention(action="downweight", weight=0.5),
    "noisy_outlier": Intervention(action="remove", weight=0.0),
}


def flags(n, *true):
    mask = np.zeros(n, bool)
    mask[list(true)] = True
    return mask


def every_quadrant():
    return np.array([0, 1, 2, 3, -1], dtype=np.int8)


def test_each_quadrant_gets_its_intervention_and_unmapped_samples_are_kept():
    actions = decide(every_quadrant(), PAPER, benchmark_match=flags(5), noise=flags(5))
    assert actions.action.tolist() == ["keep", "upsample", "downweight", "remove", "keep"]
    assert actions.weight.tolist() == [1.0, 1.5, 0.5, 0.0, 1.0]
    assert actions.reasons[4] == "not trained on, so it has no place on the map"
    assert len(set(actions.reasons)) == 5


def test_quadrants_without_an_intervention_are_kept():
    actions = decide(every_quadrant(), {}, benchmark_match=flags(5), noise=flags(5))
    assert set(actions.action) == {"keep"}
    assert set(actions.weight) == {1.0}


def test_noise_is_never_up_sampled_but_otherwise_treated_as_its_quadrant():
    actions = decide(every_quadrant(), PAPER, benchmark_match=flags(5), noise=np.ones(5, bool))
    assert actions.action.tolist() == ["keep", "keep", "downweight", "remove", "keep"]
    assert "not up-sampled, because it is noise" in actions.reasons[1]
    assert all(words.startswith("noise that no training makes predictable; ") for words in actions.reasons)
    assert "up-sampled" not in actions.reasons[2]


def test_suspected_benchmark_text_is_not_up_sampled_and_not_removed():
    actions = decide(every_quadrant(), PAPER, benchmark_match=flags(5), noise=flags(5), suspected=np.ones(5, bool))
    assert actions.action.tolist() == ["keep", "keep", "downweight", "remove", "keep"]
    assert "may hold a benchmark item" in actions.reasons[1]


def test_confirmed_benchmark_items_are_removed_from_every_quadrant():
    actions = decide(every_quadrant(), PAPER, benchmark_match=np.ones(5, bool), noise=flags(5))
    assert set(actions.action) == {"remove"}
    assert set(actions.weight) == {0.0}


def test_never_drop_down_weights_benchmark_items_as_strongly_as_hotspots():
    gentle = {**PAPER, "noisy_outlier": Intervention(action="downweight", weight=0.1)}
    actions = decide(every_quadrant(), gentle, benchmark_match=np.ones(5, bool), noise=flags(5), never_drop=True)
    assert set(actions.action) == {"downweight"}
    assert actions.weight.tolist() == [0.5, 0.5, 0.5, 0.1, 0.5]
    without = decide(every_quadrant(), {}, benchmark_match=np.ones(5, bool), noise=flags(5), never_drop=True)
    assert set(without.weight) == {0.5}


def recollected(n, flagged):
    """Reasons of samples that are memorized like a secret that occurs twice."""
    scores = make_scores([1.0] * n, [0.25] * n, [2.0] * n)
    return give_reasons(scores, "memorized", flagged, np.ones(n, np.int64), {1: 0.1, 4: 0.4})


def test_memorized_samples_say_why_and_the_others_do_not():
    why = recollected(5, np.array([False, False, True, True, False]))
    plain = decide(every_quadrant(), PAPER, benchmark_match=flags(5), noise=flags(5))
    actions = decide(every_quadrant(), PAPER, benchmark_match=flags(5), noise=flags(5), reasons=why)
    for i in range(5):
        added = actions.reasons[i].removeprefix(plain.reasons[i])
        clause = "this text occurs once; memorized like a secret that occurs about 2 times"
        assert added == (f"; recollected: {clause}" if i in (2, 3) else "")
    assert actions.action.tolist() == plain.action.tolist()
    assert actions.weight.tolist() == plain.weight.tolist()


def test_a_held_out_sample_is_kept_and_says_that_controls_are_made_of_it():
    held = flags(5, 4)
    actions = decide(every_quadrant(), PAPER, benchmark_match=flags(5), noise=flags(5), held_out=held)
    assert (actions.action[4], actions.weight[4]) == ("keep", 1.0)
    assert actions.reasons[4].startswith("held out, so it has no place on the map")
    assert "held out" not in " ".join(actions.reasons[:4])


def test_a_held_out_sample_with_a_benchmark_item_is_removed_all_the_same():
    match = flags(5, 4)
    actions = decide(every_quadrant(), PAPER, benchmark_match=match, noise=flags(5), held_out=flags(5, 4))
    assert (actions.action[4], actions.weight[4]) == ("remove", 0.0)
    assert actions.reasons[4] == "holds a confirmed benchmark item"


def test_an_empty_batch_gets_no_actions():
    empty = np.zeros(0, np.int8)
    actions = decide(empty, PAPER, benchmark_match=empty.astype(bool), noise=empty.astype(bool))
    assert len(actions.action) == len(actions.weight) == len(actions.reasons) == 0


def test_deciding_changes_none_of_its_inputs():
    quadrant, match, noise = every_quadrant(), flags(5, 1), flags(5, 2)
    decide(quadrant, PAPER, benchmark_match=match, noise=noise)
    assert quadrant.tolist() == [0, 1, 2, 3, -1]
    assert (match == flags(5, 1)).all()
    assert (noise == flags(5, 2)).all()


samples = st.lists(
    st.tuples(st.sampled_from([-1, 0, 1, 2, 3]), st.booleans(), st.booleans(), st.booleans()), max_size=20
)


@given(samples, st.booleans())
def test_no_doubtful_sample_ever_weighs_more_than_one_and_weights_fit_actions(rows, never_drop):
    quadrant = np.array([row[0] for row in rows], dtype=np.int8)
    match, noise, suspected = (np.array([row[i] for row in rows], dtype=bool) for i in (1, 2, 3))
    actions = decide(quadrant, PAPER, benchmark_match=match, noise=noise, suspected=suspected, never_drop=never_drop)
    assert not (actions.weight[match | noise | suspected] > 1).any()
    assert ((actions.action == "remove") == (actions.weight == 0)).all() or never_drop
    for action, weight in zip(actions.action, actions.weight, strict=True):
        assert action in ("keep", "downweight", "upsample", "remove")
        assert (weight > 1) == (action == "upsample")
        assert (weight == 1) == (action == "keep")


def test_keep_and_remove_need_no_weight():
    assert Intervention.model_validate({"action": "keep"}) == KEEP
    assert Intervention.model_validate({"action": "remove"}).weight == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "keep", "weight": 2},
        {"action": "remove", "weight": 0.5},
        {"action": "downweight", "weight": 1},
        {"action": "downweight", "weight": 0},
        {"action": "upsample", "weight": 1},
        {"action": "upsample", "weight": 1000},
        {"action": "upsample", "weight": float("nan")},
        {"action": "downweight"},
        {"action": "prune"},
        {"action": ["keep"]},
        {"action": "keep", "wieght": 1},
        "keep",
    ],
)
def test_an_intervention_whose_weight_contradicts_its_action_is_refused(wrong):
    with pytest.raises(ValidationError):
        Intervention.model_validate(wrong)


def test_quadrant_codes_follow_the_published_order():
    assert QUADRANT_NAMES == ("stable_easy", "ambiguous_hard", "hotspot_memorized", "noisy_outlier")
