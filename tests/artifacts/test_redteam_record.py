import hashlib
import json
import os
import sys
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.artifacts.redteam_record import PREFIX, check_measured, read_redteam
from carto_audit.policy.metrics import METRICS, Measurement
from carto_audit.policy.model import load_policy
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.policy_texts import WHOLE
from tests.support.redteams import ARMS, estimate, redteam, write_redteam

BATCH = "ab" * 32
NAMES = {name for name in METRICS if name.startswith(PREFIX)}


@pytest.fixture
def read(tmp_path):
    def write_and_read(content):
        return read_redteam(write_redteam(tmp_path / "rt" / "redteam.json", content))

    return write_and_read


def refusal(path):
    with pytest.raises(AuditError) as caught:
        read_redteam(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_red_team_s_numbers_are_measurements(read, tmp_path):
    found = read(redteam(BATCH))
    assert set(found.measurements) == NAMES
    assert found.unseen == {}
    assert found.measurements["redteam.extraction_policy"] == Measurement(value=0.18, low=0.16, high=0.18 + 0.02)
    assert found.measurements["redteam.extraction_reduction"].value == pytest.approx(0.8)
    assert found.measurements["redteam.extraction_pick"].value == 0.05
    assert found.sha256 == hashlib.sha256((tmp_path / "rt" / "redteam.json").read_bytes()).hexdigest()


def test_the_folder_stands_for_its_file(read, tmp_path):
    assert read(redteam(BATCH)) == read_redteam(tmp_path / "rt")


def test_where_there_was_nothing_to_reduce_no_leakage_counts(read):
    content = redteam(BATCH, blind=True)
    found = read(content)
    assert set(found.measurements) == {
        "redteam.extraction_untreated",
        "redteam.perplexity_increase",
        "redteam.perplexity_increase_pick",
    }
    assert set(found.unseen) == NAMES - set(found.measurements)
    assert all("nothing to reduce" in why for why in found.unseen.values())


def test_one_seed_gives_no_measurement_and_says_so(read):
    arms = deepcopy(ARMS)
    arms[2]["perplexity_change"] = estimate(-0.002, None)
    found = read(redteam(BATCH, arms=arms))
    assert "redteam.perplexity_increase" not in found.measurements
    assert "measured with one seed" in found.unseen["redteam.perplexity_increase"]


def test_what_the_red_team_could_not_measure_is_unseen(read):
    found = read(redteam(BATCH, picked=None))
    assert found.unseen["redteam.extraction_pick"] == "the red team could not measure it"
    assert "redteam.extraction_pick" not in found.measurements


def test_an_interval_over_seeds_may_leave_the_range_and_is_cut(read):
    arms = deepcopy(ARMS)
    arms[2]["mi_auc"] = estimate(0.9, 0.3)
    assert read(redteam(BATCH, arms=arms)).measurements["redteam.mi_auc_policy"].high == 1


# What must agree


def change(content, path, value):
    *keys, last = path
    for key in keys:
        content = content[key]
    content[last] = value


LIES = [
    (("metrics", "redteam.extraction_policy"), estimate(0.02), "redteam.extraction_policy is not that of its arm"),
    (("metrics", "redteam.extraction_policy"), None, "redteam.extraction_policy is not that of its arm"),
    (("metrics", "redteam.extraction_pick"), estimate(0.0), "redteam.extraction_pick is not that of its arm"),
    (("metrics", "redteam.extraction_reduction"), estimate(0.99, 0.01), "extraction_reduction is not that of its arms"),
    (("metrics", "redteam.mi_auc_policy"), estimate(1.2), "redteam.mi_auc_policy is outside what it can be"),
    (("metrics", "redteam.extraction_policy"), {"value": 0.1, "low": 0.2, "high": 0.3}, "lies outside its interval"),
    (("metrics", "redteam.\u202eextraction"), estimate(0.5), 'no metric of a red team is called "redteam.extraction"'),
    (("metrics", "batch.rows"), estimate(0.5), 'no metric of a red team is called "batch.rows"'),
    (("policy_pick", "arm"), 3, "policy_pick names no arm"),
    (("arms", 0, "leakage"), estimate(0.0, 0.0), "redteam.extraction_untreated is not that of its arm"),
    (("nothing_to_reduce",), True, "redteam.extraction_policy is not that of its arm"),
]


@pytest.mark.parametrize(("path", "value", "words"), LIES)
def test_a_file_that_contradicts_itself_is_told(tmp_path, path, value, words):
    content = redteam(BATCH)
    change(content, path, value)
    said = refusal(write_redteam(tmp_path / "redteam.json", content))
    assert "contradicts itself" in said
    assert words in said


STRANGE = [
    (("schema_version",), 2, "schema_version"),
    (("schema_version",), True, "schema_version"),
    (("batch", "sha256"), "ab", "batch.sha256"),
    (("batch",), None, "batch"),
    (("policy", "treatment_sha256"), "x", "policy.treatment_sha256"),
    (("metrics", "redteam.extraction_policy"), "0", "metrics.redteam.extraction_policy"),
    (("metrics", "redteam.extraction_policy"), {"value": "0.1"}, "value"),
    (("metrics", "redteam.extraction_policy"), {"value": True}, "value"),
    (("arms",), {}, "arms"),
    (("policy_pick", "arm"), -1, "policy_pick.arm"),
    (("nothing_to_reduce",), "no", "nothing_to_reduce"),
]


@pytest.mark.parametrize(("path", "value", "words"), STRANGE)
def test_a_file_of_another_shape_is_refused_in_one_line(tmp_path, path, value, words):
    content = redteam(BATCH)
    change(content, path, value)
    said = refusal(write_redteam(tmp_path / "redteam.json", content))
    assert "not the result of a red team" in said
    assert words in said


@pytest.mark.parametrize(
    "key", ["schema_version", "batch", "policy", "arms", "nothing_to_reduce", "policy_pick", "metrics"]
)
def test_nothing_that_is_missing_is_filled_in(tmp_path, key):
    content = redteam(BATCH)
    del content[key]
    assert key in refusal(write_redteam(tmp_path / "redteam.json", content))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"schema_version": 1' + b"0" * 5000 + b"}",
    ],
    ids=["empty", "cut", "list", "null", "bytes", "deep", "nan", "long number"],
)
def test_a_file_that_is_no_json_of_ours_is_refused_in_one_line(tmp_path, data):
    path = tmp_path / "redteam.json"
    path.write_bytes(data)
    assert "redteam.json: not the result of a red team" in refusal(path)


@given(st.data())
def test_a_truncated_file_is_never_read(tmp_path_factory, data):
    whole = json.dumps(redteam(BATCH)).encode()
    path = tmp_path_factory.mktemp("cut") / "redteam.json"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    refusal(path)


def test_nan_is_no_measurement(tmp_path):
    path = tmp_path / "redteam.json"
    path.write_text(json.dumps(redteam(BATCH)).replace("0.18", "NaN"))
    assert "finite" in refusal(path)


def test_what_is_not_there_is_a_usage_error(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.json", tmp_path / "no" / "where"):
        with pytest.raises(UsageError, match=r"no such file; name the redteam\.json"):
            read_redteam(path)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "redteam.json")
    assert "not a regular file" in refusal(tmp_path)


def test_a_hostile_name_is_tamed(tmp_path):
    path = tmp_path / "\x1b[31m\n::error::.json"
    path.write_text("{}")
    assert "\x1b" not in refusal(path)


# What it is about


def test_another_batch_is_refused(read):
    record = read(redteam(BATCH))
    check_measured(record, load_policy("default"), BATCH)
    check_measured(None, load_policy("default"), BATCH)
    with pytest.raises(UsageError, match=r"measured on another batch: its sha256 is abab"):
        check_measured(record, load_policy("default"), "cd" * 32)


def written(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return load_policy(path)


ELSE = "interventions: {hotspot_memorized: {action: downweight, weight: 0.25}}\n"


@pytest.mark.parametrize(
    "changed", [ELSE, "map: {memorization: {threshold: {control_dose: 16}}}\n", "never_drop: true\n"]
)
def test_another_treatment_is_refused(read, tmp_path, changed):
    ours = written(tmp_path, f"schema_version: 1\nname: ours\nextends: default\n{changed}")
    with pytest.raises(UsageError, match=r"measured under another policy.*redteam again"):
        check_measured(read(redteam(BATCH)), ours, BATCH)


def test_rules_may_change_after_the_red_team(read, tmp_path):
    rule = "rules: [{id: cut, metric: redteam.extraction_policy, max: 0.2, severity: reject, reason: r}]\n"
    ours = written(tmp_path, f"schema_version: 1\nname: ours\nextends: default\n{rule}")
    check_measured(read(redteam(BATCH)), ours, BATCH)


def test_a_file_that_names_the_whole_policy_alone_is_about_that_one(read, tmp_path):
    content = redteam(BATCH)
    del content["policy"]["treatment_sha256"]
    record = read(content)
    check_measured(record, load_policy("default"), BATCH)
    with pytest.raises(UsageError, match="measured under another policy"):
        check_measured(record, written(tmp_path, WHOLE), BATCH)
