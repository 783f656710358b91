"""The whole loop, on real text, as a user runs it: undisturbed, killed and continued, and with arms that cannot be trained."""

import html
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from carto_audit.artifacts.redteam_record import read_redteam
from carto_audit.governance.report.page import render_redteam
from carto_audit.proxies.model import parameters_of
from tests.support.audits import snapshot
from tests.support.small_redteams import (
    COPIES,
    DEMAND,
    POLICY,
    QUICK,
    THIN,
    ended,
    kept_arms,
    read,
    run_here,
    start,
    timeless,
    wait_for,
    write_batch,
)

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to list processes")


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """A finished run, how it ended, and the folder of its batch as it was before."""

    cwd: Path
    code: int
    out: Path
    before: dict


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("redteam")
    batch = write_batch(cwd / "batch.parquet")
    (cwd / "loose.yaml").write_text(POLICY + COPIES)
    (cwd / "demanding.yaml").write_text(POLICY + COPIES + DEMAND)
    before = snapshot(cwd)
    out = cwd / "out" / "undisturbed"
    code = run_here("redteam", batch, "--policy", cwd / "loose.yaml", "--out", out, *QUICK)
    return Undisturbed(cwd=cwd, code=code, out=out, before=before)


@pytest.fixture(scope="session")
def facts(undisturbed):
    return read(undisturbed.out)


@pytest.fixture
def stoppable():
    """Starts the command; what still runs of it after the test is killed."""
    started = []

    def run(*arguments, cwd):
        started.append(start(*arguments, cwd=cwd))
        return started[-1]

    yield run
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.communicate()


def test_a_red_team_ends_with_0_and_leaves_its_result_and_nothing_else(undisturbed):
    assert undisturbed.code == 0
    assert sorted(path.name for path in undisturbed.out.iterdir()) == ["redteam.html", "redteam.json"]
    after = snapshot(undisturbed.cwd)
    assert {path: after[path] for path in undisturbed.before} == undisturbed.before


def test_the_page_is_rendered_from_the_file_and_the_gate_reads_it(undisturbed, facts):
    assert (undisturbed.out / "redteam.html").read_text() == render_redteam(facts)
    record = read_redteam(undisturbed.out)
    assert record.batch_sha256 == facts["batch"]["sha256"]
    shown = html.unescape((undisturbed.out / "redteam.html").read_text()).casefold()
    for arm in facts["arms"]:
        assert arm["title"].casefold() in shown


def test_every_arm_of_a_quick_plan_was_measured(facts):
    kinds = [arm["arm"] for arm in facts["arms"]]
    assert kinds[:4] == ["untreated", "prune", "random", "deduplicate"]
    assert kinds[-2:] == ["remove_flagged", "policy"]
    for arm in facts["arms"]:
        assert arm["seeds"] == 1
        assert arm["heldout_perplexity"]["value"] < THIN.vocab_size
        assert arm["leakage_by_attack"]["twins"]["value"] == 0
        assert 0.3 < arm["mi_auc"]["value"] <= 1
    assert facts["run"]["parameters"] == parameters_of(THIN)
    assert facts["warnings"]


def test_pruning_and_its_control_take_what_the_level_allows(facts):
    for arm in facts["arms"]:
        if arm["level"] is not None:
            assert 0 <= arm["pruned_token_share"] <= arm["level"]
    prune, chance = (next(arm for arm in facts["arms"] if arm["arm"] == kind) for kind in ("prune", "random"))
    assert prune["pruned_token_share"] > 0
    assert chance["pruned_token_share"] > 0
    assert (
        prune["newly_flagged"] is None or 0 <= prune["newly_flagged"] <= 1
    )  # a quick run may leave the second audit out
    assert chance["newly_flagged"] is None


def test_arms_of_equal_weights_are_one_and_have_the_same_figures(facts):
    """The policy flags nothing, so its own arm, removal and every down-weighting are the batch as it is."""
    base, *others = facts["arms"]
    alike = [arm for arm in others if arm["arm"] in ("downweight", "remove_flagged", "policy")]
    assert len(alike) >= 2
    for arm in alike:
        assert arm["pruned_tokens"] == 0
        assert arm["perplexity_change"]["value"] == 0
        for figure in ("leakage", "membership", "heldout_perplexity", "exposure", "queries", "distinct_n", "pii"):
            assert arm[figure] == base[figure], figure
    pruned = next(arm for arm in others if arm["arm"] == "prune")
    assert pruned["heldout_perplexity"] != base["heldout_perplexity"]


def test_what_is_planted_stays_within_its_share_and_every_secret_is_counted(facts):
    protocol = facts["protocol"]
    planted = sum(count for doses in protocol["secrets"].values() for count in doses.values())
    assert planted > 0
    assert protocol["twins"] > 0
    assert 0 < protocol["canary_token_share"] < 0.05
    assert protocol["held_out_samples"] >= 20
    assert protocol["strongest_attack"] in facts["arms"][0]["membership"]


def batch_of(undisturbed, policy="loose"):
    return ("redteam", "batch.parquet", "--policy", f"{policy}.yaml", *QUICK)


def test_held_out_text_is_counted_as_far_as_it_is_read(facts):
    """Every row of the batch is longer than the thin proxy's context."""
    protocol = facts["protocol"]
    assert 0 < protocol["held_out_tokens"] <= THIN.context * protocol["held_out_samples"]


@pytest.mark.long
@needs_proc
def test_killed_after_an_arm_and_continued_it_repeats_no_arm_and_ends_as_if_undisturbed(undisturbed, facts, stoppable):
    """It goes on under a policy that now demands a reduction: its treatment is the same one, and its rules decide how it ends."""
    out = undisturbed.cwd / "out" / "killed"
    process = stoppable(*batch_of(undisturbed), "--out", out, cwd=undisturbed.cwd)
    wait_for(lambda: kept_arms(out), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for_group_to_end(process)
    kept = kept_arms(out)
    assert kept
    assert not (out / "redteam.json").exists()
    if len(kept) > 1:  # one that was cut short is tried again
        cut = next(out.glob(f".redteam-work/*/seed-*/{min(kept)}"))
        cut.write_bytes(cut.read_bytes()[:100])
        del kept[min(kept)]

    process = stoppable(*batch_of(undisturbed, "demanding"), "--out", out, "--quiet", cwd=undisturbed.cwd)
    last = {}
    while process.poll() is None:
        last |= kept_arms(out)  # what is there no more was removed when all was done
        time.sleep(0.05)
    done = ended(process)
    assert (done.code, done.err) == (3, "")
    assert done.out == f"{out}/redteam.html\n"
    assert {name: last[name] for name in kept} == kept  # not written a second time
    assert len(last) == len({arm["heldout_perplexity"]["value"] for arm in facts["arms"]})
    found = read(out)
    (finding,) = found["verdict"]["findings"]
    assert (finding["rule"], finding["outcome"]) == ("cut", "not_measured")
    same = timeless(found) | {"policy": facts["policy"], "verdict": facts["verdict"]}
    assert same == timeless(facts)
    assert found["policy"]["treatment_sha256"] == facts["policy"]["treatment_sha256"]
    assert sorted(path.name for path in out.iterdir()) == ["redteam.html", "redteam.json"]


def wait_for_group_to_end(process):
    """Workers notice that nobody listens."""
    for _ in range(1200):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a worker outlived its parent")
