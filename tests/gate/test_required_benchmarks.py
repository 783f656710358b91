"""What a policy demands to be looked for, and that a demand which is not met is no pass."""

import re
from pathlib import Path

import pytest

from carto_audit.benchmarks.registry import load_registry
from carto_audit.gate.required_benchmarks import demanded_names, unmet
from carto_audit.policy.metrics import METRICS
from carto_audit.policy.model import load_policy
from carto_audit.runtime.errors import UsageError
from tests.support.policy_texts import HEAD, WHOLE, refusal, writer
from tests.support.repository import ROOT

REGISTRY = Path("benchmarks.yaml")

ITEMS = "  - {id: items, metric: contamination.confirmed_items, max: 0, severity: reject, reason: r}\n"
BASE = WHOLE + ITEMS + "benchmarks: [gsm8k, mmlu]\n"


@pytest.fixture
def write(tmp_path):
    return writer(tmp_path)


@pytest.fixture
def registry(write):
    entries = "".join(f"  {name}: {{path: {name}.jsonl}}\n" for name in ("gsm8k-test", "mmlu"))
    return load_registry(write(f"schema_version: 1\nbenchmarks:\n{entries}", "benchmarks.yaml"))


def child(body):
    return f"{HEAD}extends: base.yaml\n{body}"


def test_a_policy_without_demands_needs_no_registry(write):
    policy = load_policy(write(WHOLE))
    assert demanded_names(policy, None, REGISTRY) == ()
    assert unmet(policy, []) == {}
    assert "benchmarks" not in policy.resolved()


def test_benchmarks_are_inherited_added_to_and_left_out_with_a_reason(write):
    write(BASE, "base.yaml")
    assert load_policy(write(child("benchmarks: [arc, mmlu]\n"))).demanded == ("gsm8k", "arc", "mmlu")
    out = load_policy(write(child('benchmarks: [{name: gsm8k, disabled: true, reason: "retired"}]\n')))
    assert out.demanded == ("mmlu",)
    assert {"name": "gsm8k", "disabled": True, "reason": "retired"} in out.resolved()["benchmarks"]


@pytest.mark.parametrize(
    ("base", "body", "message"),
    [
        (
            BASE,
            "benchmarks: [{name: gsm8k, disabled: true}]\n",
            "benchmarks.0: a benchmark that is left out needs a reason",
        ),
        (BASE, "benchmarks: [{name: gsm, disabled: true, reason: r}]\n", 'no inherited benchmark is called "gsm"'),
        (BASE, "benchmarks: [arc, arc]\n", '"arc" is already in this list; keep one entry'),
        (BASE, 'benchmarks: ["../arc"]\n', "benchmarks.0.name: should match pattern"),
        (BASE, "benchmarks: [{nam: arc}]\n", 'benchmarks.0.nam: unknown key; did you mean "name"?'),
        (BASE, "benchmarks: arc\n", "benchmarks: should be a list"),
        (
            BASE.replace("id: items,", "id: items, locked: true,"),
            "benchmarks: [{name: gsm8k, disabled: true, reason: r}]\n",
            'the locked rule "items" counts what is found of it; it cannot be left out',
        ),
        (WHOLE, "benchmarks: [arc]\n", "no active rule limits what is found of it; add one about contamination."),
    ],
)
def test_a_demand_that_cannot_be_meant_is_refused_at_its_place(write, base, body, message):
    write(base, "base.yaml")
    lines = refusal(write(child(body)))
    assert any(line.startswith("policy.yaml:4:") and message in line for line in lines), lines


def test_demanded_names_are_those_of_the_registry(write, registry):
    policy = load_policy(write(BASE.replace("gsm8k", "gsm8k-test")))
    assert demanded_names(policy, registry.entries, registry.path) == ("gsm8k-test", "mmlu")


def test_a_name_that_no_registry_lists_is_refused_with_the_nearest_and_the_way_out(write, registry):
    policy = load_policy(write(BASE))
    with pytest.raises(
        UsageError, match=r'policy.yaml:11:14: the policy "test" .* "gsm8k".* did you mean "gsm8k-test"\?'
    ):
        demanded_names(policy, registry.entries, registry.path)
    with pytest.raises(
        UsageError, match=r"there is no benchmarks.yaml here; list it there, or say where with registry"
    ):
        demanded_names(policy, None, REGISTRY)


def test_what_was_not_looked_for_leaves_no_count_of_items(write):
    policy = load_policy(write(BASE))
    assert set(unmet(policy, ["mmlu"])) == {name for name in METRICS if name.startswith("contamination.")}
    assert "demands gsm8k, which" in unmet(policy, ["mmlu"])["contamination.confirmed_items"]
    assert unmet(policy, ["mmlu", "gsm8k", "arc"]) == {}


def test_the_documented_refusal_reads_as_documented(write, registry, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "policy.md").read_text()
    section = text[text.index("## `benchmarks`") :]
    (example,), (shown,) = (re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("yaml", "text"))
    write(example, "evals-first.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        demanded_names(load_policy("evals-first.yaml"), load_registry(REGISTRY).entries, REGISTRY)
    assert f"{caught.value}\n" == shown
