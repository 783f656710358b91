"""Finished audits that somebody changed, exchanged or signed anew. The command that must say so is `verify`, or `apply`."""

import json
import shutil
from pathlib import Path
from typing import Any

from bench.corpora import write_texts
from bench.evasion.case import Attack, Case, must
from carto_audit.artifacts.file_list import COVERED, ENVELOPE, STATEMENT, VERDICT
from carto_audit.runtime.files import file_sha256

AUDIT, BATCH = "batch-audit", "batch.parquet"


def verified(case: Case, home: Path, *options: object) -> list[str]:
    """The command that verifies the audit in a folder by the auditor's public key."""
    public = f"{case.desk.key}.pub"
    return [str(part) for part in ("verify", home / AUDIT, home / BATCH, "--key", public, *options)]


def unsigned(home: Path) -> list[str]:
    """The command that verifies it without a key."""
    return ["verify", str(home / AUDIT), str(home / BATCH)]


def edit(path: Path, change: dict[str, Any]) -> None:
    """Changes keys of a JSON document, inner ones by objects."""
    document = json.loads(path.read_text(encoding="utf-8"))

    def put(inner: dict[str, Any], values: dict[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(inner.get(key), dict):
                put(inner[key], value)
            else:
                inner[key] = value

    put(document, change)
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")


def restate(folder: Path) -> None:
    """Makes the digests of the statement right again, as a forger would, and takes the signature away."""
    (folder / ENVELOPE).unlink(missing_ok=True)
    statement = json.loads((folder / STATEMENT).read_text(encoding="utf-8"))
    for subject in statement["subject"]:
        if subject["name"] in COVERED:
            subject["digest"]["sha256"] = file_sha256(folder / subject["name"])
    (folder / STATEMENT).write_text(json.dumps(statement), encoding="utf-8")


def whitewash(folder: Path) -> None:
    """Makes a rejection an acceptance in the report and in the verdict."""
    passed = {"status": "accepted", "exit_code": 0}
    edit(folder / VERDICT, passed)
    edit(folder / "report.json", {"verdict": passed})


def page(case: Case) -> list[str]:
    """A report page that says something else; in the twin it was rendered again."""
    home = case.audited("rejected")
    if case.harmless:
        must("report", home / AUDIT)
    else:
        path = home / AUDIT / "report.html"
        path.write_text(path.read_text(encoding="utf-8").replace("ejected", "ccepted"), encoding="utf-8")
    return unsigned(home)


def verdict(case: Case) -> list[str]:
    """A rejected audit whose report and verdict say accepted; in the twin it was copied."""
    home = case.audited("rejected")
    if not case.harmless:
        whitewash(home / AUDIT)
    return unsigned(home)


def restated(case: Case) -> list[str]:
    """The same with digests that fit, so that only the findings contradict; without a key."""
    home = case.audited("rejected")
    if not case.harmless:
        whitewash(home / AUDIT)
        restate(home / AUDIT)
    return unsigned(home)


def unsigned_now(case: Case) -> list[str]:
    """An audit whose signature was taken away; in the twin it is there."""
    home = case.audited()
    if not case.harmless:
        restate(home / AUDIT)
    return verified(case, home)


def other_signer(case: Case) -> list[str]:
    """An audit that somebody else signed."""
    home = case.audited()
    if not case.harmless:
        (home / AUDIT / ENVELOPE).unlink()
        must("attest", "--new-key", case.folder / "other.key")
        must("attest", home / AUDIT, "--key", case.folder / "other.key")
    return verified(case, home)


def replayed(case: Case) -> list[str]:
    """The accepted audit of another batch, beside the rejected one; in the twin beside a batch of another name."""
    home = case.audited()
    if not case.harmless:
        shutil.copyfile(case.desk.rejected / BATCH, home / BATCH)
        return verified(case, home)
    (home / BATCH).rename(home / "june.parquet")
    return ["verify", str(home / AUDIT), str(home / "june.parquet"), "--key", f"{case.desk.key}.pub"]


def envelope(case: Case) -> list[str]:
    """The signature of the accepted audit in the folder of the rejected one."""
    home = case.audited("accepted" if case.harmless else "rejected")
    shutil.copyfile(case.desk.accepted / AUDIT / ENVELOPE, home / AUDIT / ENVELOPE)
    return verified(case, home)


def one_row_more(case: Case) -> list[str]:
    """A batch that got a row after it was audited; in the twin it was only touched."""
    home = case.audited()
    if case.harmless:
        (home / BATCH).touch()
    else:
        write_texts(home / BATCH, [*(text[:1000] for text in case.ordinary()), *case.planted(1)])
    return verified(case, home)


def one_file_more(case: Case) -> list[str]:
    """A file beside the batch that was not audited; in the twin it is not named to the check."""
    home = case.audited()
    more = write_texts(home / "more.parquet", case.planted(3))
    return verified(case, home) if case.harmless else [*verified(case, home), str(more)]


def other_policy(case: Case) -> list[str]:
    """An audit under a laxer policy than was agreed."""
    policy = case.desk.policy if case.harmless else "strict"
    return verified(case, case.audited(), "--policy", policy)


def decisions(case: Case) -> list[str]:
    """A table of decisions that keeps what was to be removed."""
    home = case.audited("rejected")
    if not case.harmless:
        shutil.copyfile(case.desk.accepted / AUDIT / "scores.parquet", home / AUDIT / "scores.parquet")
    return ["apply", str(home / AUDIT), str(home / BATCH), "--out", str(case.folder / "curated")]


def index(case: Case) -> list[str]:
    """An index of benchmarks in which bytes were changed, so that items are not found."""
    data = bytearray(case.desk.benchmark.read_bytes())
    if not case.harmless:
        for place in case.rng.integers(len(data) // 4, len(data), 40):
            data[place] ^= 255
    (case.folder / "exam.cartoindex").write_bytes(data)
    batch = write_texts(case.folder / BATCH, [*case.ordinary(), *case.planted(1)])
    return case.ingest(batch, benchmark=case.folder / "exam.cartoindex")


ATTACKS = {
    "edited page": Attack(what="a rejected audit whose page says accepted", write=page),
    "edited verdict": Attack(what="a rejected audit whose report and verdict say accepted", write=verdict),
    "restated verdict": Attack(what="the same with digests that fit again, without a signature", write=restated),
    "signature gone": Attack(what="an audit without the signature that is asked for", write=unsigned_now),
    "other signer": Attack(what="an audit that somebody else signed", write=other_signer),
    "replayed audit": Attack(what="an accepted audit beside another batch", write=replayed),
    "other envelope": Attack(what="the signature of an accepted audit beside a rejected one", write=envelope),
    "a row more": Attack(what="a batch that got a row after its audit", write=one_row_more),
    "a file more": Attack(what="a file beside the batch after its audit", write=one_file_more),
    "other policy": Attack(what="an audit under a laxer policy than was agreed", write=other_policy),
    "edited decisions": Attack(what="decisions that keep what was to be removed, under `apply`", write=decisions),
    "edited index": Attack(what="an index of benchmarks with changed bytes", write=index),
}
