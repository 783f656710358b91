import shlex

import pytest

from carto_audit.artifacts.audit_call import MOST_BENCHMARKS, AuditCall, call_of, recorded_call
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.model import load_policy
from tests.support.audits import FRAGMENTS
from tests.support.report_facts import make_facts


def call(**given):
    return AuditCall(**{"batch": ("b.parquet",), "policy": "default", **given})


@pytest.mark.parametrize("poison", [*FRAGMENTS, "$(reboot)", "a'b;c", "--out", "-x", "a\nb", "`id`", "a|b&"])
def test_a_hostile_name_is_one_argument_and_never_an_option(poison):
    named = call(batch=(poison,), policy=poison, benchmarks=(poison,), out=poison, options={"reference": poison})
    words = shlex.split(named.ingest())
    assert words[:2] == ["carto-audit", "ingest"]
    assert words[3::2] == ["--policy", "--benchmark", "--reference", "--out"]
    assert len(words) == 11
    assert not words[2].startswith("-")
    assert "\n" not in named.ingest() + named.apply((), poison)
    assert not shlex.split(named.apply((), "o"))[2].startswith("-")


def test_the_facts_name_files_and_not_where_they_lie():
    named = call(
        batch=("/home/me/b.parquet",),
        policy="/home/me/ours.yaml",
        benchmarks=("/home/me/exam.jsonl", "gsm8k", "hf:openai/gsm8k@main"),
        out="/home/me/out",
        options={"reference": "/home/me/trusted.parquet", "registry": "/home/me/benchmarks.yaml", "epochs": "16"}
        | {"sampling_key": "/home/me/our.key", "engine": "ray", "address": "/home/me/head:6379"},
    )
    facts = named.facts()
    assert "/home" not in str(facts)
    assert facts["benchmarks"] == ["exam.jsonl", "gsm8k", "hf:openai/gsm8k@main"]
    assert facts["options"] == {"reference": "trusted.parquet", "registry": "benchmarks.yaml", "epochs": "16"} | {
        "sampling_key": "SAMPLING_KEY",
        "engine": "ray",
        "address": "ADDRESS",
    }


def test_many_benchmarks_are_named_in_part():
    facts = call(benchmarks=tuple(f"b{k}" for k in range(50))).facts()
    assert len(facts["benchmarks"]) == MOST_BENCHMARKS + 1
    assert facts["benchmarks"][-1] == "BENCHMARK"


def test_an_audit_of_an_earlier_version_still_says_policy_and_benchmarks():
    again = recorded_call(make_facts(), "may").ingest()
    assert again.startswith("carto-audit ingest vendor_batch.parquet --policy default --benchmark orchard_math")
    assert again.endswith("--out may")


def test_a_call_of_the_library_is_named_as_the_command_line_takes_it():
    options = AuditOptions(epochs=16, text_column="body")
    made = call_of(["in/b.parquet"], out="o", policy="ours.yaml", options=options, baseline="may", excerpts="none")
    assert made.options == {"text_column": "body", "epochs": "16", "baseline": "may", "excerpts": "none"}
    assert shlex.split(made.ingest())[-2:] == ["--out", "o"]
    assert call_of(["b"], out="o", policy=load_policy("strict")).policy == "strict"


def test_a_curated_batch_is_audited_without_the_red_team_of_another():
    curated = call(out="may-audit", options={"redteam": "r", "seed": "3"}).of_curated("may-curated")
    assert (curated.batch, curated.out) == (("may-curated/curated",), "may-curated-audit")
    assert curated.options == {"seed": "3"}


def test_an_audit_of_a_bucket_is_called_again_by_its_uri():
    remote = {"given": ["s3://vendor/june/*.parquet"], "objects": 1, "bytes": 4, "listed": [], "sha256": "0" * 64}
    again = recorded_call({**make_facts(), "remote": remote}, "june-audit")
    assert "ingest 's3://vendor/june/*.parquet' --policy" in again.ingest()
    assert again.apply((), "out") == "carto-audit apply june-audit 's3://vendor/june/*.parquet' --out out"
