"""The commands about policies: what they print, where, and with which exit code."""

import json
import re
import shutil

import pytest

from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.schema import schema_text
from tests.support.audits import run_process
from tests.support.policy_texts import HEAD, WHOLE, writer
from tests.support.records import write_audit
from tests.support.repository import ROOT

GUIDE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
ACME, CASES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the guide's files, two finished audits, and a policy that is wrong."""
    (tmp_path / "acme.yaml").write_text(ACME)
    (tmp_path / "cases.yaml").write_text(CASES)
    (tmp_path / "bad.yaml").write_text(f"{HEAD}extends: defualt\nrulse: []\n")
    write_audit(tmp_path / "audits" / "may")
    write_audit(tmp_path / "audits" / "june", **{"duplicates.token_share": 0.15})
    monkeypatch.chdir(tmp_path)
    return tmp_path


BLOCKS = re.findall(r"```console\n\$ carto-audit ([^\n]*)\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize(("line", "shown"), [b for b in BLOCKS if not b[0].startswith("ingest")], ids=lambda b: b[:40])
def test_the_guide_s_commands_print_what_it_shows(carto, desk, line, shown):
    ended = carto(*line.split())
    assert ended.err == ""
    assert ended.out
    assert ended.out.startswith(shown)  # what follows depends on the day: a waiver that ends


def test_all_errors_of_all_files_are_shown_and_the_good_ones_are_named(carto, desk):
    ended = carto("policy", "check", "acme.yaml", "bad.yaml", "strict")
    assert ended.code == 2
    assert [line.split(":")[0] for line in ended.out.splitlines() if ": valid; " in line] == ["acme.yaml", "strict"]
    assert ended.err.splitlines() == [
        'bad.yaml:3:1: extends: no policy file and no built-in policy is called "defualt"; did you mean "default"?',
        'bad.yaml:4:1: rulse: unknown key; did you mean "rules"?',
    ]


def test_explain_takes_a_policy_a_rule_or_both(carto, desk):
    whole = carto("policy", "explain").out
    assert whole.startswith("default  sha256 ")
    assert carto("policy", "explain", "hotspot-mass").out in whole
    assert "acme.yaml:6:24" in carto("policy", "explain", "acme.yaml", "hotspot-mass").out
    wrong = carto("policy", "explain", "hotspot-mas")
    assert (wrong.code, wrong.out) == (2, "")
    assert 'nor is "hotspot-mas" a rule of default' in wrong.err
    assert carto("policy", "explain", "acme.yaml", "hotspot-mas").code == 2


def test_failing_cases_exit_with_1_and_malformed_ones_with_2(carto, desk):
    assert carto("policy", "test", "cases.yaml").code == 0
    (desk / "broken.yaml").write_text(CASES.replace("failing: []", "failing: [hotspot-mass]", 1))
    failed = carto("policy", "test", "cases.yaml", "broken.yaml")
    assert failed.code == 1
    assert failed.out.splitlines()[-1] == "7 of 8 cases pass"
    assert "FAIL broken.yaml:21:5: as good as the last batch" in failed.out
    (desk / "malformed.yaml").write_text(CASES.replace("expect:", "expct:", 1))
    malformed = carto("policy", "test", "malformed.yaml")
    assert (malformed.code, malformed.out) == (2, "")
    assert 'unknown key; did you mean "expect"?' in malformed.err
    assert carto("policy", "test", "nowhere.yaml").code == 2


def test_a_difference_is_told_in_text_and_json(carto, desk):
    said = json.loads(carto("policy", "diff", "default", "acme.yaml", "--format", "json").out)
    assert [policy["name"] for policy in said["policies"]] == ["default", "acme"]
    first = {"what": "rules.hotspot-mass", "direction": "stricter", "before": "max 0.1", "after": "max 0.03"}
    assert said["differences"][0] == first
    assert carto("policy", "diff", "strict", "strict").out == "no difference: both decide the same\n"


def test_try_exits_by_the_worst_verdict(carto, desk):
    assert carto("policy", "try", "default", "audits/may", "audits/june").code == 0
    (desk / "tight.yaml").write_text(
        f"{HEAD}extends: default\nrules: [{{id: duplicate-mass, max: 0.12, severity: reject, reason: r}}]\n"
    )
    tight = carto("policy", "try", "tight.yaml", "audits/may", "audits/june")
    assert tight.code == 1
    assert tight.out.splitlines()[:2] == ["may: accepted, as it was", "june: rejected; it was accepted"]
    assert carto("policy", "try", "acme.yaml", "audits/june").code == 3
    warned = carto("policy", "try", "acme.yaml", "audits/june", "--baseline", "audits/may", "--format", "json")
    assert warned.code == 1
    (told,) = json.loads(warned.out)["audits"]
    assert told["status"] == "rejected"
    assert [f["rule"] for f in told["findings"] if f["outcome"] == "failed"] == ["hotspot-mass", "fewer-copies"]


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda folder: shutil.rmtree(folder), 3, "not a finished audit"),
        (lambda folder: (folder / "report.json").write_text("{"), 3, "is not one that this version reads"),
        (lambda folder: write_audit(folder, status="rejected"), 2, "so it is no baseline"),
    ],
)
def test_a_baseline_that_is_none_ends_in_one_line(carto, desk, spoil, code, words):
    spoil(desk / "audits" / "may")
    for command in (["policy", "try", "default", "audits/june"], ["ingest", "june.parquet"]):
        ended = carto(*command, "--baseline", "audits/may")
        assert (ended.code, ended.out) == (code, "")
        (line,) = ended.err.splitlines()
        assert words in line


def test_schema_and_metrics_are_printed_whole(carto):
    assert carto("policy", "schema").out == schema_text()
    lines = carto("policy", "metrics").out.splitlines()
    assert any(
        re.match(r"hotspot_memorized\.token_share +share +max +share of the batch's tokens", line) for line in lines
    )
    assert any(re.match(r"detection\.auc_at_dose_4 +AUC +min +power: how well", line) for line in lines)


def test_no_line_of_a_check_looks_like_a_command_of_a_ci_system(tmp_path):
    writer(tmp_path)("::error::stop: 1\n", "::error::.yaml")
    ended = run_process("policy", "check", "::error::.yaml", cwd=tmp_path)
    assert ended.code == 2
    assert "::error" not in ended.err


@pytest.mark.parametrize("name", builtin_policies())
def test_a_checkout_s_own_policies_are_named_by_their_relative_path(carto, monkeypatch, name):
    monkeypatch.chdir(ROOT)
    assert f" policies/{name}.yaml:" in carto("policy", "explain", f"policies/{name}.yaml").out


def test_checking_a_policy_loads_nothing_that_it_does_not_need(tmp_path):
    writer(tmp_path)(WHOLE)
    program = (
        "import sys; from carto_audit.cli import main as cli; "
        "code = cli.run(lambda: cli.cli.main(['policy', 'check', 'policy.yaml'], 'carto-audit', standalone_mode=False)); "
        "heavy = ('torch', 'transformers', 'numpy', 'pyarrow', 'scipy', 'matplotlib', 'rich', 'jinja2', 'jsonschema'); "
        "sys.stderr.write(f'{code} {[name for name in heavy if name in sys.modules]}')"
    )
    assert run_process(cwd=tmp_path, program=program).err == "0 []"


def test_a_check_names_waivers_that_end_without_calling_them_errors(carto, tmp_path):
    waiver = "  - {rule: mass, owner: me, reason: retired in March, expires: 2020-03-31}\n"
    path = writer(tmp_path)(WHOLE + "waivers:\n" + waiver)
    ended = carto("policy", "check", path)
    assert ended.code == 0
    assert ended.out.splitlines()[-1].endswith(
        'the waiver of "mass" by me expired on 2020-03-31; renew it or remove it'
    )


def test_a_check_names_a_policy_that_asks_only_how_secrets_rank(carto, tmp_path):
    (tmp_path / "ours.yaml").write_text(WHOLE)
    ended = carto("policy", "check", tmp_path / "ours.yaml", "default")
    assert ended.code == 0
    (warning,) = [line for line in ended.out.splitlines() if "rank" in line]
    assert "ours.yaml: power asks how secrets rank" in warning
    assert warning.endswith("add one on detection.found_at_dose_4")
