"""A ledger beside whole audits: entered with the verdict or not at all, and what it knows decides the next one."""

import json

import pytest

from carto_audit.ledger import vendor_ledger
from carto_audit.ledger.chain import check_chain
from carto_audit.ledger.history import trends
from carto_audit.pipeline import outputs
from carto_audit.runtime.errors import AuditError
from tests.support.audits import GATE, sentences, write_parquet

CUSUM = "  - {id: creep, metric: ledger.cusum, max: 1000, severity: reject, reason: a slow rise}\n"
SPLIT = (
    "  - {id: split, metric: ledger.split_copies, max: 0.001, severity: reject, reason: no copies split over months}\n"
)
DRIFT = "  - {id: drift, metric: duplicates.token_share, max_increase: 0.1, severity: reject, reason: no sudden rise}\n"


@pytest.fixture
def team(tmp_path, carto, thin):
    """A folder with policies, and a function that audits rows for acme."""
    (tmp_path / "gate.yaml").write_text(GATE)
    (tmp_path / "drift.yaml").write_text(GATE + DRIFT)
    (tmp_path / "creep.yaml").write_text(GATE + CUSUM)
    (tmp_path / "split.yaml").write_text(GATE + SPLIT)

    def audit(name, texts, *more, policy="gate.yaml", ledger="team.ledger"):
        batch = write_parquet(tmp_path / f"{name}.parquet", texts)
        out = ("--out", tmp_path / f"{name}-audit", "--epochs", "2", "--repeats", "1", "--max-tokens", "2000")
        named = ("--ledger", tmp_path / ledger, "--vendor", "acme") if ledger else ()
        return carto("ingest", batch, "--policy", tmp_path / policy, *out, *named, *more)

    return audit


def entries(tmp_path):
    return trends(tmp_path / "team.ledger").vendors[0].entries


def verdict(tmp_path, name):
    return json.loads((tmp_path / f"{name}-audit" / "verdict.json").read_text())


def test_the_last_accepted_batch_of_the_vendor_is_the_baseline(team, tmp_path, carto):
    ended = team("may", sentences(30))
    assert ended.code == 0
    assert "the audit is entry 1, the first of acme" in ended.err
    again = carto("ledger", "add", tmp_path / "may-audit", "--ledger", tmp_path / "team.ledger", "--vendor", "acme")
    assert (again.code, "stands there already as entry 1" in again.err) == (0, True)
    # Rows that come three times are a rise in the share of copies, and May is what it is held against.
    assert team("june", sentences(20, seed=1) * 3, policy="drift.yaml").code == 1
    june = verdict(tmp_path, "june")
    assert june["baseline"]["audit"] == "entry 1 of the ledger"
    assert {f["rule"]: f["outcome"] for f in june["findings"]}["drift"] == "failed"
    # June was rejected, so July is held against May too; and June again is not held against itself.
    assert team("july", sentences(30, seed=2), policy="drift.yaml").code == 0
    assert verdict(tmp_path, "july")["baseline"]["audit"] == "entry 1 of the ledger"
    found = entries(tmp_path)
    assert [e.verdict.status for e in found] == ["accepted", "rejected", "accepted"]
    assert [rule.rule for rule in found[1].failed] == ["copies", "drift"]
    report = json.loads((tmp_path / "july-audit" / "report.json").read_text())
    assert {name: value for name, (value, _, _) in found[2].metrics.items()} == report["metrics"]
    assert report["run"]["call"]["options"]["vendor"] == "acme"
    assert check_chain(tmp_path / "team.ledger").problems == ()


def test_a_slow_drift_is_measured_from_the_third_accepted_batch_on(team, tmp_path):
    from bench.vendors.made_up import made_up
    from carto_audit.ledger.cusum import CUSUM as NAME
    from carto_audit.ledger.store import enter

    assert team("may", sentences(30)).code == 0
    assert team("june", sentences(30, seed=1), policy="creep.yaml").code == 3
    (finding,) = [f for f in verdict(tmp_path, "june")["findings"] if f["rule"] == "creep"]
    assert (finding["outcome"], "three accepted batches" in finding["explanation"]) == ("not_measured", True)
    (may, _), more = entries(tmp_path), list(made_up(2, vendors=("acme",)))
    like_may = {"policy": may.policy.model_dump(mode="json"), "run": may.run.model_dump(mode="json")}
    accepted = {"verdict": {"status": "accepted", "exit_code": 0}}
    enter(tmp_path / "team.ledger", [draft | like_may | accepted for draft in more])
    assert team("july", sentences(30, seed=2), policy="creep.yaml").code == 0
    report = json.loads((tmp_path / "july-audit" / "report.json").read_text())
    assert report["metrics"][NAME] >= 0
    assert {f["rule"]: f["outcome"] for f in report["findings"]}["creep"] == "passed"


def test_copies_that_are_split_over_two_deliveries_are_found_and_told_to_the_vendor(team, tmp_path, carto):
    secret = sentences(1, seed=70, words=18)[0]

    def month(seed):
        texts = sentences(30, seed=seed)
        return [f"{text} {secret} {text}" if k in (4, 9) else text for k, text in enumerate(texts)]

    # globex delivered a row of June before, which acme must not learn.
    other = sentences(30, seed=2)[20:22] + sentences(28, seed=71)
    assert team("globex", other, "--vendor", "globex").code == 0
    assert team("may", month(1)).code == 0
    ended = team("june", month(2), policy="split.yaml")
    assert ended.code == 1
    assert "4 rows with passages of 2 earlier deliveries" in " ".join(ended.out.split())
    report = json.loads((tmp_path / "june-audit" / "report.json").read_text())
    found = report["cross_batch"]
    assert (found["rows"], found["own_rows"], found["compared"], found["most_rows"]) == (4, 2, 2, 4)
    assert found["at_dose"] == {"dose": 4, "passages": 1, "rows": 2, "deliveries": 2, "split_passages": 1}
    assert [example["row"] for example in found["examples"][:2]] == [4, 9]
    assert {f["rule"]: f["outcome"] for f in report["findings"]}["split"] == "failed"
    assert report["metrics"]["ledger.cross_batch_copies"] > report["metrics"]["ledger.split_copies"] > 0
    page = (tmp_path / "june-audit" / "report.html").read_text()
    assert "1 passage of this delivery stands in 4 or more rows over 2 deliveries" in page
    everything = b"".join(p.read_bytes() for p in (tmp_path / "june-audit").iterdir() if p.is_file())
    assert b"globex" not in everything
    assert carto("reply", tmp_path / "june-audit", "--out", tmp_path / "reply").code == 0
    reply = (tmp_path / "reply" / "reply.html").read_text()
    assert "2 rows, " in reply
    assert "repeat your own earlier deliveries" in reply
    assert "globex" not in reply
    # The rejected June left nothing behind; may and globex did, bound by their entries.
    checked = check_chain(tmp_path / "team.ledger")
    assert (checked.entries, checked.problems, checked.without) == (3, (), ())
    # The same batch again is no copy of itself, and without the key nothing is begun.
    (tmp_path / "team.ledger.key").unlink()
    lost = team("june", month(2))
    assert (lost.code, lost.err.count("\n")) == (3, 1)
    assert "the key of the ledger's fingerprints is missing" in lost.err


def test_without_an_accepted_batch_an_increase_is_not_measured(team, tmp_path):
    assert team("may", sentences(30), policy="drift.yaml").code == 3
    (finding,) = [f for f in verdict(tmp_path, "may")["findings"] if f["rule"] == "drift"]
    assert finding["outcome"] == "not_measured"
    assert "keep a --ledger" in finding["explanation"]
    assert [e.verdict.status for e in entries(tmp_path)] == ["inconclusive"]


def test_what_cannot_be_entered_is_not_accepted_and_a_rerun_mends_it(team, tmp_path, monkeypatch, random_keys):
    def refuse(path, drafts, fingerprints):
        raise AuditError("team.ledger: cannot be written: the disk is full; free some space and run again")

    with monkeypatch.context() as patch:
        patch.setattr(vendor_ledger, "enter", refuse)
        ended = team("may", sentences(30))
    assert ended.code == 3
    assert ended.err.splitlines()[-1].startswith("Error: team.ledger: cannot be written")
    assert not (tmp_path / "may-audit" / "verdict.json").exists()
    trained = sorted((tmp_path / "may-audit" / ".work").rglob("run-0/*"))
    assert trained
    assert team("may", sentences(30)).code == 0
    assert [e.number for e in entries(tmp_path)] == [1]


def test_an_audit_that_is_killed_between_its_entry_and_its_verdict_is_entered_once(
    team, tmp_path, monkeypatch, random_keys
):
    write = outputs.write_bytes

    def killed(path, data):
        if path.name == "verdict.json":
            raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(outputs, "write_bytes", killed)
        assert team("may", sentences(30)).code == 130
    assert not (tmp_path / "may-audit" / "verdict.json").exists()
    assert len(entries(tmp_path)) == 1
    ended = team("may", sentences(30))
    assert ended.code == 0
    assert "stands there already as entry 1" in ended.err
    assert len(entries(tmp_path)) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--ledger", "a"], "--ledger needs --vendor"),
        (["--vendor", "acme"], "--vendor needs --ledger"),
        (["--ledger", "a", "--vendor", "a\u202eb"], "--vendor ab: one line of 1 to 80 visible characters"),
        (["--ledger", "out/a", "--vendor", "acme"], "the ledger lies in the folder that others will receive"),
        (["--ledger", "nowhere/a", "--vendor", "acme"], "no such folder"),
    ],
)
def test_a_ledger_that_makes_no_sense_is_refused_before_the_training(
    carto, batch_file, gate, tmp_path, monkeypatch, given, words
):
    monkeypatch.chdir(tmp_path)
    ended = carto("ingest", batch_file, "--policy", gate, "--out", "out", *given)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("\n") == 1
    assert words in ended.err
    assert not (tmp_path / "a").exists()


def test_a_ledger_that_was_tampered_with_ends_an_audit_before_the_training(carto, batch_file, gate, tmp_path):
    path = tmp_path / "team.ledger"
    path.write_text("no ledger at all")
    ended = carto("ingest", batch_file, "--policy", gate, "--ledger", path, "--vendor", "acme")
    assert ended.code == 3
    assert ended.err == f"Error: {path}: not a ledger: it is no SQLite file\n"


def test_only_an_audit_that_is_as_its_statement_says_is_added(carto, audited, tmp_path):
    import shutil

    copy = shutil.copytree(audited.folder, tmp_path / "copy")
    ended = carto("ledger", "add", copy, "--ledger", tmp_path / "it", "--vendor", "acme")
    assert (ended.code, check_chain(tmp_path / "it").entries) == (0, 1)
    (copy / "report.json").write_bytes((copy / "report.json").read_bytes().replace(b"rejected", b"accepted"))
    ended = carto("ledger", "add", copy, "--ledger", tmp_path / "it", "--vendor", "acme")
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    assert "cannot be relied upon" in ended.err
    assert check_chain(tmp_path / "it").entries == 1


def test_verify_says_what_it_found_and_what_a_chain_cannot_show(carto, tmp_path):
    from bench.vendors.made_up import made_up
    from carto_audit.ledger.store import enter
    from tests.ledger.test_chain import tamper

    path = tmp_path / "it"
    enter(path, list(made_up(30)))
    ended = carto("ledger", "verify", path)
    assert ended.code == 0
    assert ended.out.startswith(f"INTACT: {path}: 30 entries")
    head = ended.out.split("Head: ")[1].split()[0]
    assert "Not shown: that its end was not cut off" in ended.out
    assert carto("ledger", "verify", path, "--head", head).code == 0
    tamper(path, "UPDATE entries SET body = replace(body, '2026', '2025')")
    ended = carto("ledger", "verify", path)
    assert ended.code == 1
    assert ended.out.startswith(f'TAMPERED WITH: {path}: 30 entries\n  ! entry 1 ("acme") was changed')
    assert ended.out.endswith("and 10 more\n")
    assert carto("ledger", "verify", tmp_path / "none").code == 2
