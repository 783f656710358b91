"""Whole audits by a sampling key: who holds it can repeat them, who does not cannot foresee them, and nobody reads it there."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

import carto_audit
from carto_audit.data import sampling_key
from carto_audit.data.demo_batch import library_texts
from carto_audit.pipeline import run as running
from carto_audit.runtime.errors import UsageError
from tests.conftest import KEY
from tests.support.audits import GATE, sentences, write_parquet
from tests.support.small_redteams import run_here

SHORT = ("--epochs", 2, "--device", "cpu")
SAME = ("scores.parquet", "trace.parquet", "verdict.json", "map.svg")


def furnish(folder):
    write_parquet(folder / "batch.parquet", sentences(48))
    (folder / "gate.yaml").write_text(GATE)
    (folder / "ours.key").write_bytes(KEY)
    (folder / "other.key").write_bytes(KEY + b"\n")
    return folder


@pytest.fixture
def desk(tmp_path, monkeypatch, thin):
    """A batch, two keys, and a policy that any batch meets."""
    monkeypatch.chdir(tmp_path)
    return furnish(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two audits of the batch with seed 3, which no test changes: `keyed` by our key, and `public` by the seed alone."""
    folder = furnish(tmp_path_factory.mktemp("finished"))
    common = ("batch.parquet", "--policy", "gate.yaml", *SHORT, "--seed", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_here("ingest", *common, "--out", "keyed", "--sampling-key", "ours.key", "--format", "sarif") == 0
        assert run_here("ingest", *common, "--out", "public") == 0
    return folder


@pytest.fixture
def ingest(carto, desk):
    """Audits the batch under the policy that it meets; returns the folder."""

    def run(out, *arguments, batch="batch.parquet", policy="gate.yaml"):
        ended = carto("ingest", batch, "--policy", policy, "--out", out, *SHORT, *arguments)
        assert ended.code == 0, ended.err
        return desk / out

    return run


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in SAME}


def sampling_of(folder):
    facts = json.loads((folder / "report.json").read_text())
    return facts["run"]["sampling"], facts["metrics"]["sampling.rehearsable"]


def folds_of(folder):
    return pq.read_table(folder / "trace.parquet")["fold"].to_pylist()


def test_the_same_key_seed_policy_and_batch_give_the_same_bytes(ingest, finished):
    once = finished / "keyed"
    again = ingest("again", "--sampling-key", "ours.key", "--seed", 3)
    assert bytes_of(once) == bytes_of(again)
    assert sampling_of(once) == ({"key_commitment": sampling_key.SamplingKey(KEY).commitment, "rehearsable": False}, 0)


def test_the_key_decides_the_draw_whatever_the_seed(ingest, finished):
    seeded, other = (
        folds_of(ingest(out, "--sampling-key", f"{key}.key", "--seed", seed))
        for out, key, seed in (("b", "ours", 4), ("c", "other", 3))
    )
    assert folds_of(finished / "keyed") == seeded != other


def test_further_pairs_of_proxies_have_other_folds_by_the_same_key(ingest, monkeypatch):
    cut = []
    monkeypatch.setattr(running, "cross_fit", lambda *given: cut.append(given[3]) or CROSS_FIT(*given))
    ingest("out", "--sampling-key", "ours.key", "--repeats", 2)
    first, second, *again = cut
    assert (first != second).any()
    assert not again
    ingest("again", "--sampling-key", "ours.key", "--repeats", 2)
    assert [np.array_equal(one, two) for one, two in zip(cut[:2], cut[2:], strict=True)] == [True, True]


CROSS_FIT = running.cross_fit


def test_without_a_key_no_two_audits_draw_the_same_rows(ingest, desk, random_keys):
    texts = [text for _, text in zip(range(150), library_texts(), strict=False)]
    write_parquet(desk / "large.parquet", texts)
    few = ("--max-tokens", 3000)
    drawn = [
        [score is not None for score in pq.read_table(folder / "scores.parquet")["memorization"].to_pylist()]
        for folder in (ingest(out, *few, batch="large.parquet") for out in ("a", "b"))
    ]
    assert drawn[0] != drawn[1]
    (one, measured), (other, _) = sampling_of(desk / "a"), sampling_of(desk / "b")
    assert one["key_commitment"] != other["key_commitment"]
    assert (one["rehearsable"], measured) == (False, 0)


def test_a_seed_alone_is_public_and_the_report_says_so(ingest, finished):
    once, again = finished / "public", ingest("again", "--seed", 3)
    assert bytes_of(once) == bytes_of(again)
    assert sampling_of(once) == ({"key_commitment": None, "rehearsable": True}, 1)


@pytest.mark.parametrize("policy", ["strict", "regulated-health", "regulated-legal"])
def test_a_strict_policy_refuses_a_seed_alone_before_anything_is_done(carto, desk, policy):
    (desk / "out").mkdir()
    (desk / "out" / "verdict.json").write_text("of an earlier audit")
    ended = carto("ingest", "batch.parquet", "--policy", policy, "--seed", 0, "--out", "out")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line == (
        f'Error: the policy "{policy}" refuses a draw that a vendor can rehearse (foreseeable-draw), and --seed alone is '
        "public: give --sampling-key, or leave --seed out"
    )
    assert (desk / "out" / "verdict.json").read_text() == "of an earlier audit"
    with pytest.raises(UsageError, match="give sampling_key, or leave seed out"):
        carto_audit.audit("batch.parquet", policy=policy, options=carto_audit.AuditOptions(seed=0))


FORESEEN = "  - {{id: foreseen, metric: sampling.rehearsable, max: 0, severity: {severity}, reason: lots are drawn}}\n"
WAIVER = "waivers: [{rule: foreseen, owner: us, reason: a rehearsal of ours, expires: 2099-01-01}]\n"


@pytest.mark.parametrize(("severity", "waivers"), [("warn", ""), ("reject", WAIVER)])
def test_a_warning_or_a_waiver_is_left_to_the_verdict(ingest, desk, severity, waivers):
    (desk / "ours.yaml").write_text(GATE + FORESEEN.format(severity=severity) + waivers)
    folder = ingest("out", "--seed", 0, policy="ours.yaml")
    assert json.loads((folder / "verdict.json").read_text())["status"] == "accepted_with_warnings"


def test_a_finished_audit_is_replayed_by_what_it_says_of_its_draw(carto, finished, desk):
    (desk / "ours.yaml").write_text(GATE + FORESEEN.format(severity="reject"))
    assert "accepted, as it was" in carto("policy", "try", "ours.yaml", finished / "keyed").out
    folder = shutil.copytree(finished / "public", desk / "public")
    ended = carto("policy", "try", "ours.yaml", folder)
    assert "public: rejected; it was accepted" in ended.out
    assert "foreseen: failed (a new rule): sampling.rehearsable is 1, at most 0 allowed" in ended.out
    facts = json.loads((folder / "report.json").read_text())
    del facts["metrics"]["sampling.rehearsable"], facts["run"]["sampling"]
    (folder / "report.json").write_text(json.dumps(facts))
    ended = carto("policy", "try", "ours.yaml", folder)
    assert "public: inconclusive; it was accepted" in ended.out
    assert "sampling.rehearsable was not measured; audit the batch again to know it" in ended.out


def test_verify_holds_the_key_against_the_commitment(carto, finished, desk):
    folder = finished / "keyed"
    held = carto("verify", folder, "batch.parquet", "--sampling-key", "ours.key")
    assert held.code == 0
    assert "+ the sampling key that you named is the one that report.json commits to" in held.out
    assert "or that the rows were drawn by that key: nothing was computed again" in held.out
    wrong = carto("verify", folder, "batch.parquet", "--sampling-key", "other.key")
    assert wrong.code == 1
    told = [line for line in wrong.out.splitlines() if line.startswith("  ! ")]
    assert len(told) == 1
    assert "sampling key: not the one of this audit" in told[0]
    missing = carto("verify", folder, "batch.parquet", "--sampling-key", "no.key")
    assert missing.code == 2
    assert "cannot read the sampling key" in missing.err


def test_an_audit_without_a_commitment_verifies_by_no_key(carto, finished, desk):
    ended = carto("verify", finished / "public", "batch.parquet", "--sampling-key", "ours.key")
    assert ended.code == 1
    assert "report.json records no key" in ended.out


@pytest.mark.parametrize("commitment", ["x" * 64, "\u202e" * 64, "5F" * 32, "5f" * 40, 7])
def test_a_report_whose_commitment_is_none_is_not_read(carto, finished, desk, commitment):
    folder = shutil.copytree(finished / "keyed", desk / "out")
    facts = json.loads((folder / "report.json").read_text())
    facts["run"]["sampling"]["key_commitment"] = commitment
    (folder / "report.json").write_text(json.dumps(facts))
    ended = carto("report", folder)
    assert ended.code == 3
    assert "run.sampling.key_commitment" in ended.err
    told = carto("verify", folder, "batch.parquet", "--sampling-key", "ours.key")
    assert told.code == 1
    assert "\u202e" not in told.out


def test_the_key_is_in_no_file_and_in_no_word_of_an_audit(carto, finished, desk, audited):
    folder = finished / "keyed"
    told = carto("verify", folder, "batch.parquet", "--sampling-key", "ours.key")
    said = (told.out + told.err + audited.ended.out + audited.ended.err).encode()
    for form in (KEY, KEY.hex().encode(), KEY.hex().upper().encode()):
        assert form not in said
        for place in (folder, audited.folder):
            assert not [path.name for path in place.rglob("*") if path.is_file() and form in path.read_bytes()]


def test_a_key_that_would_be_handed_on_or_overwritten_is_refused(carto, desk):
    (desk / "out").mkdir()
    (desk / "out" / "sampling.key").write_bytes(KEY)
    ended = carto(
        "ingest", "batch.parquet", "--policy", "gate.yaml", "--sampling-key", "out/sampling.key", "--out", "out"
    )
    assert ended.code == 2
    assert "the sampling key lies in the folder that others will receive" in ended.err
    ended = carto(
        "ingest", "batch.parquet", "--policy", "gate.yaml", "--sampling-key", "ours.key", "--format", "json=ours.key"
    )
    assert ended.code == 2
    assert (desk / "ours.key").read_bytes() == KEY


def test_a_red_team_draws_by_its_seeds_under_any_policy_and_takes_no_key(desk):
    keyed = carto_audit.AuditOptions(sampling_key="ours.key")
    with pytest.raises(UsageError, match="sampling_key: a red team draws by its seeds; leave it out"):
        carto_audit.redteam("batch.parquet", options=keyed)
    with pytest.raises(UsageError, match="too little text to divide"):
        carto_audit.redteam("batch.parquet", policy="strict", options=carto_audit.AuditOptions(seed=0, proxy="nano"))


def stopped_after_an_epoch(*given):
    """As when the machine goes down after the first proxy was trained."""
    CROSS_FIT(*given)
    raise KeyboardInterrupt


def keys(*secrets):
    made = iter(secrets)
    return lambda: sampling_key.SamplingKey(next(made) * sampling_key.KEY_BYTES)


def test_a_killed_audit_continues_by_its_random_key_and_ends_as_if_undisturbed(carto, ingest, desk, monkeypatch):
    monkeypatch.setattr(sampling_key, "new_sampling_key", keys(b"a", b"a", b"b"))
    undisturbed = ingest("undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(running, "cross_fit", stopped_after_an_epoch)
        arguments = ("ingest", "batch.parquet", "--policy", "gate.yaml", "--out", "out", *SHORT)
        assert carto(*arguments).code == 130
    (kept,) = (desk / "out" / ".work").glob("*/sampling.key")
    assert kept.stat().st_mode & 0o077 == 0
    (trained,) = kept.parent.glob("run-0/proxy-0.pt")
    before = trained.stat().st_mtime_ns
    seen = []
    monkeypatch.setattr(running, "cross_fit", lambda *given: (CROSS_FIT(*given), seen.append(trained.stat()))[0])
    continued = ingest("out")
    assert [found.st_mtime_ns for found in seen] == [before]
    assert bytes_of(continued) == bytes_of(undisturbed)
    assert not (desk / "out" / ".work").exists()


def test_another_key_does_not_continue_the_run_of_the_first(carto, desk, monkeypatch, ingest):
    with monkeypatch.context() as patch:
        patch.setattr(running, "cross_fit", stopped_after_an_epoch)
        arguments = ("ingest", "batch.parquet", "--policy", "gate.yaml", "--out", "out", *SHORT)
        assert carto(*arguments, "--sampling-key", "ours.key").code == 130
    (first,) = (desk / "out" / ".work").iterdir()
    seen = []
    monkeypatch.setattr(
        running, "cross_fit", lambda *given: seen.extend((desk / "out" / ".work").iterdir()) or CROSS_FIT(*given)
    )
    ingest("out", "--sampling-key", "other.key")
    assert len(seen) == 1
    assert seen[0] != first
