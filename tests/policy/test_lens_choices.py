"""Lenses in a policy: every mistake at its place before anything runs, inherited, locked, part of the digest."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from carto_audit.artifacts.audit_record import compare, read_record
from carto_audit.gate.replay import replay
from carto_audit.lenses.declared import known
from carto_audit.policy.diff import diff_policies
from carto_audit.policy.explain import explain_policy
from carto_audit.policy.lens_choices import lens_options
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.model import Policy, load_policy, read_policy
from carto_audit.policy.schema import policy_schema
from carto_audit.runtime.errors import UsageError
from tests.support.records import report, write_audit

BAND = "lens.repetition.harmful_band_token_share"
LOCKED = f"rules: [{{id: band, metric: {BAND}, max: 0.02, severity: reject, reason: too often, locked: true}}]\n"


@pytest.fixture
def write(tmp_path):
    def written(text, name="policy", extends="default"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"schema_version: 1\nname: {name}\nextends: {extends}\n{text}")
        return path

    return written


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("lenses: {repetitin: {}}\n", "4:10", 'no lens is called "repetitin"; did you mean "repetition"?'),
        ("lenses: {repetition: {epochs: 2}}\n", "4:23", 'no option of this lens; did you mean "planned_epochs"?'),
        ("lenses: {repetition: {planned_epochs: 0}}\n", "4:23", "should be greater than 0"),
        ("lenses: {repetition: {planned_epochs: true}}\n", "4:23", "not true or false"),
        ("lenses: {repetition: 3}\n", "4:10", "should be a mapping of options"),
        ("lenses: {repetition: {version: 9}}\n", "4:23", "the lens that is installed has another version: 1"),
        ("lenses: {repetition: {off: true, reason: x}}\n", "4:23", 'no inherited lens is called "repetition"'),
        (LOCKED, "4:20", 'the lens "repetition" is not on; turn it on under lenses'),
        (
            LOCKED.replace("band_token", "band_tokens") + "lenses: {repetition: {}}\n",
            "4:20",
            'the lens "repetition" has no metric',
        ),
        (LOCKED.replace("repetition", "acme.mark"), "4:20", 'no lens "acme.mark" is on; turn it on under lenses'),
        (LOCKED.replace("max", "min") + "lenses: {repetition: {}}\n", "4:", 'better lower, so "min" would pass'),
    ],
)
def test_a_mistake_is_one_line_at_its_place(write, text, place, why):
    path = write(text)
    with pytest.raises(UsageError) as error:
        load_policy(path)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{path}:{place}")
    assert why in line


def test_a_missing_package_is_named(write, monkeypatch):
    spec = replace(known.SHIPPED["repetition"].spec, extra=("no-such-package",))
    monkeypatch.setitem(known.SHIPPED, "repetition", known.KnownLens(spec=spec))
    with pytest.raises(UsageError, match="needs the package no-such-package"):
        load_policy(write("lenses: {repetition: {}}\n"))


def test_a_policy_without_lenses_keeps_its_digest_and_one_with_them_has_another(write):
    plain, on = load_policy("default"), load_policy(write("lenses: {repetition: {}}\n"))
    assert "lenses" not in plain.resolved()
    assert on.resolved()["lenses"] == {"repetition": {"planned_epochs": 1.0, "version": 1}}
    more = load_policy(write("lenses: {repetition: {planned_epochs: 2}}\n"))
    assert len({plain.sha256, on.sha256, more.sha256}) == 3
    assert plain.sha256 == load_policy(write("", extends="default")).model_copy(update={"name": "default"}).sha256


def test_a_resolved_policy_reads_itself(write):
    policy = load_policy(write("lenses: {repetition: {planned_epochs: 2, corpus_tokens: 1000}}\n"))
    assert Policy.model_validate(policy.resolved()) == policy
    assert lens_options("repetition", policy.lenses["repetition"]).corpus_tokens == 1000


def test_a_child_adds_options_and_turns_off_for_a_reason(write):
    write("lenses: {repetition: {planned_epochs: 3}}\n", "base")
    child = load_policy(write("lenses: {repetition: {corpus_tokens: 50}}\n", "child", "base.yaml"))
    assert child.lenses == {"repetition": {"planned_epochs": 3.0, "corpus_tokens": 50, "version": 1}}
    off = load_policy(write("lenses: {repetition: {off: true, reason: no plan}}\n", "off", "base.yaml"))
    assert (off.lenses_on, off.lenses) == ((), {"repetition": {"off": True, "reason": "no plan"}})
    again = load_policy(write("lenses: {repetition: {planned_epochs: 2}}\n", "again", "off.yaml"))
    with pytest.raises(UsageError, match="a lens that is turned off needs a reason"):
        load_policy(write("lenses: {repetition: {off: true}}\n", "silent", "base.yaml"))
    assert again.lenses == {"repetition": {"planned_epochs": 2.0, "version": 1}}


@pytest.mark.parametrize(
    ("child", "why"),
    [
        ("{off: true, reason: x}", 'the locked rule "band" is measured with it; it cannot be turned off'),
        ("{planned_epochs: 1}", 'the locked rule "band" is measured with this; it cannot change'),
        ("{corpus_tokens: 5}", "cannot change"),
    ],
)
def test_a_locked_rule_keeps_its_lens_as_it_is(write, child, why):
    write("lenses: {repetition: {planned_epochs: 3}}\n" + LOCKED, "base")
    with pytest.raises(UsageError, match=why):
        load_policy(write(f"lenses: {{repetition: {child}}}\n", "child", "base.yaml"))
    same = load_policy(write("lenses: {repetition: {planned_epochs: 3}}\n", "child", "base.yaml"))
    assert same.lenses_on == ("repetition",)


def test_explain_and_diff_tell_lenses(write):
    base = write("lenses: {repetition: {planned_epochs: 3}}\n" + LOCKED, "base")
    lines = explain_policy(read_policy(base))
    assert any(line.startswith("  repetition version 1") and line.endswith("base.yaml:4:10") for line in lines)
    assert any("planned_epochs 3" in line and "base.yaml:4:23" in line for line in lines)
    assert any("means: tokens that the planned training would read 10 to 1,000 times" in line for line in lines)
    changes = [d.words for d in diff_policies(load_policy("default"), load_policy(base))]
    assert "new      lenses.repetition: looks at every batch" in changes
    other = load_policy(write("lenses: {repetition: {planned_epochs: 4}}\n", "other"))
    words = [d.words for d in diff_policies(load_policy(base), other)]
    assert "changed  lenses.repetition.planned_epochs: 3 -> 4" in words
    gone = [d.words for d in diff_policies(other, load_policy("default"))]
    assert "gone     lenses.repetition: looked at every batch" in gone


def test_the_schema_knows_lenses_their_metrics_and_those_of_others(write):
    validator = Draft202012Validator(policy_schema())
    rule = {"id": "x", "max": 0.1, "severity": "warn", "reason": "so"}
    policy = {"schema_version": 1, "name": "x", "extends": "default", "lenses": {"repetition": {"planned_epochs": 2}}}

    def errors(metric):
        return list(validator.iter_errors(policy | {"rules": [rule | {"metric": metric}]}))

    assert not errors(BAND)
    assert not errors("lens.acme.mark.share")
    assert errors("lens.repetition.nothing")


def test_the_metrics_of_lenses_are_listed(carto):
    listed = carto("policy", "metrics").out
    assert f"{BAND} " in listed
    assert "lens.repetition.found_at_dose_8" in listed


def test_checking_a_policy_with_lenses_loads_nothing_heavy(write):
    path = write("lenses: {repetition: {}}\n" + LOCKED)
    program = (
        "import sys, json; from carto_audit.policy.model import load_policy; load_policy(sys.argv[1]); "
        "print(json.dumps(sorted({'numpy', 'pyarrow', 'torch'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=True)
    assert json.loads(done.stdout) == []


def test_numbers_of_another_version_or_other_options_do_not_count(write, tmp_path):
    policy = load_policy(write("lenses: {repetition: {planned_epochs: 3}}\n" + LOCKED))
    content = report(**{BAND: 0.01})
    content["policy"] |= {"resolved": policy.resolved()}
    record = read_record(write_audit(tmp_path / "audit", content))

    def outcome(**changes):
        found = replay(policy, replace(record, **changes)).verdict.findings
        (finding,) = [finding for finding in found if finding.metric == BAND]
        return finding.outcome, finding.explanation

    assert outcome()[0] == "passed"
    for lenses in ({}, {"repetition": {"planned_epochs": 1.0, "version": 1}}, {"repetition": {"planned_epochs": 3.0}}):
        assert outcome(lenses=lenses)[0] == "not_measured"
        assert "another version or other options of the lens" in outcome(lenses=lenses)[1]
    assert "treats the batch otherwise" in outcome(treatment_sha256="")[1]


def test_an_increase_is_measured_only_against_the_same_lens(write, tmp_path):
    policy = load_policy(write("lenses: {repetition: {}}\n"))
    content = report(**{BAND: 0.01})
    content["policy"] |= {"resolved": policy.resolved()}
    record, now = read_record(write_audit(tmp_path / "audit", content)), {BAND: Measurement.exact(0.03)}

    def change(lenses):
        settings = {"drawn": record.map, "benchmarks": record.benchmarks, "setting": record.setting}
        return compare(record, now, lenses=lenses, **settings).change(BAND)

    assert (change(policy.lenses).before, change(policy.lenses).incomparable) == (0.01, "")
    assert "another version" in change({"repetition": {"planned_epochs": 2.0, "version": 1}}).incomparable
