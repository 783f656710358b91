"""Every value that is in force, with the line that set it."""

from pathlib import Path

import pytest

from carto_audit.policy.explain import explain_policy, explain_rule
from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.metrics import METRICS
from carto_audit.policy.model import read_policy
from carto_audit.runtime.errors import UsageError
from tests.support.policy_texts import HEAD, WAIVER, WHOLE, writer

CHILD = f"""\
{HEAD}extends: base.yaml
map:
  memorization: {{threshold: {{absolute: 0.3}}}}
rules:
  - id: mass
    max: 0.02
    reason: tighter
waivers:
{WAIVER}"""


@pytest.fixture
def chain(tmp_path, monkeypatch):
    write = writer(tmp_path)
    write(WHOLE, "base.yaml")
    write(CHILD, "child.yaml")
    monkeypatch.chdir(tmp_path)
    return read_policy("child.yaml")


def squeezed(lines):
    return [" ".join(line.split()) for line in lines]


def test_a_rule_is_explained_with_the_line_of_every_value_and_what_it_replaced(chain):
    assert squeezed(explain_rule(chain, "mass")) == [
        "rule mass",
        "metric hotspot_memorized.token_share base.yaml:7:16",
        "max 0.02 child.yaml:8:5 (was 0.05 in base.yaml:7:55)",
        "severity reject base.yaml:7:66",
        f"means: {METRICS['hotspot_memorized.token_share'].meaning}",
        "unit: share; lower is better",
        "because: tighter",
        "waived by me until 2027-03-31: retired in March",
    ]


def test_a_place_is_where_the_value_stands(chain, tmp_path):
    for level in chain.levels:
        for entry in level["rules"]:
            for key, place in entry.places.items():
                text = (tmp_path / place.file).read_text().splitlines()[place.line - 1][place.column - 1 :]
                assert text.startswith(f"{key}: {entry[key]}")


def test_a_policy_is_explained_whole(chain):
    said = squeezed(explain_policy(chain))
    assert said[0] == f"test sha256 {chain.policy.sha256}"
    assert said[1:3] == ["from base.yaml", "then child.yaml"]
    assert "threshold absolute 0.3 child.yaml:5:18" in said
    assert "threshold percentile 75 base.yaml:4:16" in said
    assert "noisy_outlier keep (not named, so it is kept)" in said
    assert [line for line in said if line.startswith("rule ")] == ["rule mass", "rule size", "rule power"]
    assert (
        "unit: AUC; higher is better; a failing value means that the audit could not see, and is inconclusive" in said
    )


@pytest.mark.parametrize("name", builtin_policies())
def test_every_shipped_policy_can_be_explained_with_relative_places(name):
    lines = explain_policy(read_policy(name))
    assert any(f"policies/{name}.yaml:" in line for line in lines)
    assert not any(str(Path.cwd()) in line for line in lines)


def test_disabled_rules_and_left_out_benchmarks_keep_their_reason(tmp_path):
    write = writer(tmp_path)
    items = "  - {id: items, metric: contamination.confirmed_items, max: 0, severity: reject, reason: r}\n"
    write(WHOLE + items + "benchmarks: [arc, mmlu]\n", "base.yaml")
    body = "rules: [{id: size, disabled: true, reason: all are small}]\nbenchmarks: [{name: arc, disabled: true, reason: old}]\n"
    said = squeezed(explain_policy(read_policy(write(f"{HEAD}extends: base.yaml\n{body}"))))
    assert "rule size (disabled)" in said
    assert "because: all are small" in said
    assert any(line.startswith("arc left out: old ") for line in said)
    assert any(line.startswith("mmlu ") for line in said)


def test_an_unknown_rule_is_answered_with_the_nearest(chain):
    with pytest.raises(UsageError, match=r'the policy "test" has no rule "mas"; did you mean "mass"\?'):
        explain_rule(chain, "mas")


def test_hostile_words_in_a_policy_stay_one_harmless_line(tmp_path):
    text = WHOLE.replace("reason: leaks", 'reason: "\\e[31m\\n::error::\\u202e"')
    lines = explain_policy(read_policy(writer(tmp_path)(text)))
    assert all(line.isprintable() for line in lines)
