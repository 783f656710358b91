"""Every test works on the bytes of a real audit, signed with a real key."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from carto_audit.artifacts.file_list import COVERED, ENVELOPE, OUTPUTS, STATEMENT, VERDICT
from carto_audit.attestation.dsse import PAYLOAD_TYPE, load_public_key, load_signer, make_key, parse_envelope
from carto_audit.attestation.statement import batch_subjects, read_statement
from carto_audit.attestation.verify import attest, verify
from carto_audit.data.shards import expand_paths
from carto_audit.pipeline.outputs import clear_verdict
from carto_audit.policy.model import load_policy
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import file_sha256, json_bytes, write_json
from tests.support.audits import FRAGMENTS, GATE, command, run_process, sentences, write_parquet
from tests.support.repository import ROOT

DOCUMENT = ROOT / "docs" / "proof.md"
FLIPPABLE = [name for name in COVERED if name not in ("matches.parquet", "clean_items.parquet", "testimony.parquet")]


@dataclass(frozen=True, kw_only=True)
class Signed:
    """An audit, its batch and policy, and the key that signed it. Tests may change all of it."""

    folder: Path
    batch: Path
    policy: Path
    key: Path

    @property
    def public(self):
        return self.key.with_name(f"{self.key.name}.pub")

    def read(self, name):
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


def never_asked():
    raise AssertionError("no passphrase is needed")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """One audit of one file, signed. Nobody changes it."""
    from tests.support.small_redteams import run_here  # loads torch

    home = tmp_path_factory.mktemp("signed")
    batch = write_parquet(home / "batch.parquet", sentences(48))
    (home / "gate.yaml").write_text(GATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert run_here("ingest", "batch.parquet", "--policy", "gate.yaml", "--folds", 1, "--epochs", 2) == 0
    make_key(home / "audit.key")
    signed = Signed(folder=home / "batch-audit", batch=batch, policy=home / "gate.yaml", key=home / "audit.key")
    assert not attest(signed.folder, load_signer(signed.key, never_asked)).failed
    return signed


def copy_of(signed, home):
    shutil.copytree(signed.folder.parent, home, dirs_exist_ok=True)
    names = {"folder": signed.folder, "batch": signed.batch, "policy": signed.policy, "key": signed.key}
    return Signed(**{name: home / path.name for name, path in names.items()})


@pytest.fixture
def signed(pristine, tmp_path):
    return copy_of(pristine, tmp_path / "home")


@pytest.fixture(scope="module")
def flipped(pristine, tmp_path_factory):
    """A copy whose bytes are flipped and flipped back, many times."""
    return copy_of(pristine, tmp_path_factory.mktemp("flipped"))


@pytest.fixture(scope="module")
def unsigned(pristine, tmp_path_factory):
    copied = copy_of(pristine, tmp_path_factory.mktemp("unsigned"))
    (copied.folder / ENVELOPE).unlink()
    return copied


class Flip:
    """Changes one byte of a file for the length of a block."""

    def __init__(self, path, data):
        self.path, self.before = path, path.read_bytes()
        place = data.draw(st.integers(0, len(self.before) - 1))
        bits = data.draw(st.integers(1, 255))
        self.after = self.before[:place] + bytes([self.before[place] ^ bits]) + self.before[place + 1 :]

    def __enter__(self):
        self.path.write_bytes(self.after)

    def __exit__(self, *_):
        self.path.write_bytes(self.before)


def told(folder, batch, **options):
    """A line for each thing that does not hold, or for the statement that cannot be read."""
    try:
        return [f"{check.name}: {check.words}" for check in verify(folder, [batch], **options).failed]
    except AuditError as error:
        return [Path(str(error)).relative_to(folder).as_posix()]


# What is covered


def test_the_statement_records_every_file_of_an_audit(audited):
    statement = read_statement(audited.folder)
    assert set(statement.files) == set(OUTPUTS) - {STATEMENT} == set(COVERED)
    assert statement.files == {name: file_sha256(audited.folder / name) for name in COVERED}


def test_the_subjects_of_several_files_are_the_batch_and_each_of_them(audited):
    statement = read_statement(audited.folder)
    paths = expand_paths([audited.input])
    assert list(statement.shards.values()) == [file_sha256(path) for path in paths]
    assert [re.match(r"batch/(\d+)/", name)[1] for name in statement.shards] == ["1", "2", "3"]
    joined = "\n".join(statement.shards.values()).encode()
    assert statement.batch_sha256 == hashlib.sha256(joined).hexdigest()
    assert not any(set("\n\x1b\u202e") & set(name) for name in statement.shards)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_no_two_subjects_have_the_same_name(names):
    digests = [f"{n:064x}" for n in range(len(names))]
    subjects = batch_subjects(names, digests)
    assert [digest for name, digest in subjects.items() if name != "batch"] == digests
    assert not set(subjects) & {*COVERED, STATEMENT}


@given(st.sampled_from(FLIPPABLE), st.data())
def test_any_changed_byte_of_a_file_is_told_by_its_name(flipped, name, data):
    with Flip(flipped.folder / name, data):
        proof = verify(flipped.folder, [flipped.batch], key=load_public_key(flipped.public))
    assert {check.name for check in proof.failed} == {name}
    assert proof.exit_code == 1


@given(st.data())
def test_any_changed_byte_of_the_batch_is_told_by_its_name(flipped, data):
    with Flip(flipped.batch, data):
        proof = verify(flipped.folder, [flipped.batch])
    assert [check.name for check in proof.failed] == [str(flipped.batch)]
    assert proof.exit_code == 1


@given(st.data())
def test_any_changed_byte_of_a_signed_statement_is_told_by_its_name(flipped, data):
    with Flip(flipped.folder / STATEMENT, data):
        lines = told(flipped.folder, flipped.batch)
    assert any(line.startswith(f"{STATEMENT}: ") for line in lines)


@given(st.data())
def test_any_changed_byte_of_an_unsigned_statement_is_noticed(unsigned, data):
    with Flip(unsigned.folder / STATEMENT, data):
        lines = told(unsigned.folder, unsigned.batch)
    assert any(STATEMENT in line for line in lines)


@given(st.data())
def test_a_changed_envelope_is_told_or_still_holds_the_same_signature(flipped, data):
    path = flipped.folder / ENVELOPE
    before = parse_envelope(path.read_bytes(), ENVELOPE)
    with Flip(path, data):
        lines = told(flipped.folder, flipped.batch, key=load_public_key(flipped.public))
        if not lines:
            after = parse_envelope(path.read_bytes(), ENVELOPE)
            assert (after.payload, after.signatures[0][1]) == (before.payload, before.signatures[0][1])
    assert {line.split(": ")[0] for line in lines} <= {STATEMENT, ENVELOPE}


def test_everything_that_was_changed_is_told_at_once(signed, carto):
    for name in ("report.html", "scores.parquet", VERDICT):
        (signed.folder / name).write_bytes(b"changed")
    signed.batch.write_bytes(signed.batch.read_bytes() + b" ")
    ended = carto("verify", signed.folder, signed.batch, "--policy", "strict", "--key", signed.public)
    assert ended.code == 1
    told = re.findall(r"^  ! (.*?): ", ended.out, flags=re.MULTILINE)
    assert told == ["scores.parquet", "report.html", VERDICT, str(signed.batch), 'policy "strict"']
    assert ended.out.startswith("NOT VERIFIED")


# What is said


def test_an_untouched_audit_is_verified_and_says_what_that_does_not_prove(signed, carto):
    ended = carto("verify", signed.folder, signed.batch, "--policy", signed.policy, "--key", signed.public)
    assert ended.code == 0
    assert "VERIFIED" in ended.out
    assert "the verdict is ACCEPTED" in ended.out
    proven, unproven = ended.out.split("Not proven:")
    for words in (*FLIPPABLE, "byte for byte", 'the policy "gate" is the one', "the private half of the key"):
        assert words in proven
    assert "whose key it is" in unproven
    assert "the figures are right" in unproven
    assert "policy file" not in unproven


def test_without_key_and_policy_it_says_so(unsigned, carto):
    ended = carto("verify", unsigned.folder, unsigned.batch)
    assert ended.code == 0
    unproven = ended.out.split("Not proven:")[1]
    assert "nobody signed" in unproven
    assert "only its recorded sha256 is known" in unproven


def test_a_signature_that_nobody_checked_is_not_proven(signed, carto):
    unproven = carto("verify", signed.folder, signed.batch).out.split("Not proven:")[1]
    assert "the 1 signatures were not checked; name the key with --key" in unproven


def test_other_files_in_the_folder_are_named_as_not_proven(signed, carto):
    (signed.folder / "notes\x1b[31m.html").write_text("hello")
    ended = carto("verify", signed.folder, signed.batch)
    assert ended.code == 0
    assert "anything about other files in the folder: notes[31m.html" in ended.out


def test_a_rejected_audit_of_hostile_files_is_verified_and_stays_inert(audited, carto):
    ended = carto("verify", audited.folder, audited.input, "--policy", audited.cwd / "policy.yaml")
    assert ended.code == 0, ended.out
    assert "the verdict is REJECTED" in ended.out
    assert "matches.parquet, clean_items.parquet, testimony.parquet" in ended.out
    assert not set("\x1b\u202e") & set(ended.out)
    assert "::error" not in ended.out


def test_hostile_names_stay_inert_when_nothing_holds(audited, tmp_path, carto):
    folder = tmp_path / FRAGMENTS[5]
    shutil.copytree(audited.folder, folder)
    (folder / "report.html").write_text("x")
    batch = shutil.copytree(audited.input, tmp_path / audited.input.name)
    for path in expand_paths([batch]):
        path.write_bytes(path.read_bytes() + b" ")
    ended = carto("verify", folder, batch, "--key", make_and_sign(folder, tmp_path))
    assert ended.code == 3
    assert ended.out.count("\n  ! ") == 5
    assert not set("\x1b\u202e") & set(ended.out)
    assert "::error" not in ended.out


def make_and_sign(folder, home):
    """A public key that signed nothing."""
    make_key(home / "other.key")
    return home / "other.key.pub"


def test_rendering_the_page_again_keeps_the_proof(audited, tmp_path, carto):
    folder = shutil.copytree(audited.folder, tmp_path / "again")
    assert carto("report", folder).code == 0
    assert carto("verify", folder, audited.input).code == 0


# Several files


@pytest.fixture
def shards(audited, tmp_path):
    """The three files of the hostile batch, under plain names, in the order of the audit."""
    paths = [tmp_path / f"{n}{path.suffix}" for n, path in enumerate(expand_paths([audited.input]))]
    for path, source in zip(paths, expand_paths([audited.input]), strict=True):
        shutil.copyfile(source, path)
    return paths


def test_a_batch_may_be_renamed_and_moved(audited, shards, carto):
    assert carto("verify", audited.folder, *shards).code == 0


def test_a_changed_file_among_several_is_the_only_one_told(audited, shards):
    shards[1].write_bytes(shards[1].read_bytes() + b" ")
    failed = verify(audited.folder, shards).failed
    assert [(check.name, check.outcome) for check in failed] == [(str(shards[1]), "changed")]


def test_a_file_that_is_not_given_is_told(audited, shards):
    (check,) = verify(audited.folder, shards[:2]).failed
    assert check.name.startswith("batch/3/")
    assert "was not given" in check.words


def test_a_file_too_many_is_told_also_when_it_is_a_copy(audited, shards):
    (check,) = verify(audited.folder, [*shards, shards[0]]).failed
    assert check.name == str(shards[0])
    assert "not of this batch" in check.words


def test_another_order_is_no_proof_and_says_the_right_one(audited, shards):
    (check,) = verify(audited.folder, shards[::-1]).failed
    assert check.name == "batch"
    assert re.search(r"another order; give them as audited: .*\.jsonl, .*1\)<\.parquet, .*\.parquet$", check.words)


def test_ten_thousand_foreign_files_are_a_short_answer(audited, shards, tmp_path):
    (tmp_path / "x.csv").write_text("x")
    failed = verify(audited.folder, [tmp_path / "x.csv"] * 300).failed
    assert len(failed) == 21
    assert "280 more" in failed[-1].words or "283 more" in failed[-1].words


def test_the_files_of_the_audit_are_no_part_of_a_batch_that_holds_them(signed, carto):
    inside = signed.folder.rename(signed.folder.parent / "shards-audit")
    home = signed.folder.parent / "shards"
    home.mkdir()
    signed.batch.rename(home / "batch.parquet")
    inside.rename(home / "shards-audit")
    assert carto("verify", home / "shards-audit", home).code == 0


# The policy


def test_another_policy_is_told_with_both_digests(signed):
    other = load_policy("exploratory")
    (check,) = verify(signed.folder, [signed.batch], policy=other).failed
    assert check.name == 'policy "exploratory"'
    assert other.sha256[:12] in check.words
    assert load_policy(signed.policy).sha256[:12] in check.words


def test_a_policy_in_other_words_is_the_same_policy(signed):
    spelled = signed.policy.read_text().replace("reason: too little was read", 'reason: "too little was read"')
    signed.policy.write_text(f"# ours\n{spelled}")
    assert not verify(signed.folder, [signed.batch], policy=load_policy(signed.policy)).failed


def test_an_invalid_policy_is_a_usage_error(signed, carto):
    signed.policy.write_text("rulse: []\n")
    ended = carto("verify", signed.folder, signed.batch, "--policy", signed.policy)
    assert (ended.code, ended.out) == (2, "")


# Forgeries that change the digests as well


def restate(signed):
    """Makes the digests of an unsigned statement right again, as a forger would."""
    (signed.folder / ENVELOPE).unlink(missing_ok=True)
    statement = signed.read(STATEMENT)
    for subject in statement["subject"]:
        if subject["name"] in COVERED:
            subject["digest"]["sha256"] = file_sha256(signed.folder / subject["name"])
    write_json(signed.folder / STATEMENT, statement)


def change(signed, name, path, value):
    document = signed.read(name)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    write_json(signed.folder / name, document)
    restate(signed)


@pytest.mark.parametrize(
    ("name", "path", "value", "told"),
    [
        (VERDICT, ["status"], "rejected", {STATEMENT: "result", "report.json": "verdict.status"}),
        (VERDICT, ["findings", 0, "outcome"], "failed", {STATEMENT: "failedTests"}),
        (VERDICT, ["batch", "sha256"], "0" * 64, {STATEMENT: "the batch", "report.json": "batch.sha256"}),
        (VERDICT, ["policy", "sha256"], "0" * 64, {STATEMENT: "configuration", "report.json": "policy.sha256"}),
        (VERDICT, ["findings"], None, {VERDICT: "not the verdict"}),
        (VERDICT, ["policy"], "x", {VERDICT: "not the verdict"}),
        ("report.json", ["policy", "resolved", "rules", 0, "max"], 0.9, {"report.json": "policy.resolved"}),
        ("report.json", ["policy", "resolved"], [], {"report.json": "policy.resolved"}),
        ("report.json", ["batch", "paths"], ["other.parquet"], {STATEMENT: "the names of the batch's files"}),
        ("report.json", ["batch"], 7, {STATEMENT: "names", "report.json": "batch.sha256"}),
        ("report.json", ["verdict", "status"], "rejected", {"report.json": "verdict.status"}),
        ("report.json", ["verdict", "exit_code"], 1, {"report.json": "verdict.exit_code"}),
        ("report.json", ["findings"], [], {"report.json": "findings"}),
        ("report.json", ["findings", 0, "outcome"], "failed", {"report.json": "findings"}),
        (VERDICT, ["exit_code"], 1, {STATEMENT: "what its findings amount to"}),
        (VERDICT, ["complete"], False, {STATEMENT: "what its findings amount to"}),
        (STATEMENT, ["predicate", "result"], "WARNED", {STATEMENT: "result"}),
        (STATEMENT, ["predicate", "passedTests"], [], {STATEMENT: "passedTests"}),
    ],
)
def test_files_that_contradict_each_other_are_told(signed, name, path, value, told):
    change(signed, name, path, value)
    failed = {check.name: check.words for check in verify(signed.folder, [signed.batch]).failed}
    for file, words in told.items():
        assert words in failed[file]


def test_a_forger_who_makes_all_files_agree_is_stopped_by_the_signature_alone(signed, carto):
    envelope = (signed.folder / ENVELOPE).read_bytes()
    signed.batch.write_bytes(signed.batch.read_bytes() + b" ")
    digest = file_sha256(signed.batch)
    change(signed, VERDICT, ["batch", "sha256"], digest)
    change(signed, "report.json", ["batch", "sha256"], digest)
    statement = signed.read(STATEMENT)
    statement["subject"][0]["digest"]["sha256"] = digest
    write_json(signed.folder / STATEMENT, statement)
    assert carto("verify", signed.folder, signed.batch).code == 0
    (signed.folder / ENVELOPE).write_bytes(envelope)
    ended = carto("verify", signed.folder, signed.batch)
    assert ended.code == 1
    assert f"! {STATEMENT}: changed: what {ENVELOPE} signs is another statement" in ended.out


def test_a_statement_that_does_not_cover_a_file_proves_nothing_about_it(signed):
    (signed.folder / ENVELOPE).unlink()
    statement = signed.read(STATEMENT)
    statement["subject"] = [entry for entry in statement["subject"] if entry["name"] != "report.html"]
    write_json(signed.folder / STATEMENT, statement)
    (check,) = verify(signed.folder, [signed.batch]).failed
    assert (check.name, check.outcome) == ("report.html", "changed")
    assert "nothing in verdict.intoto.json records it" in check.words


def test_a_file_that_was_added_is_told(signed):
    write_parquet(signed.folder / "matches.parquet", ["no match"])
    (check,) = verify(signed.folder, [signed.batch]).failed
    assert (check.name, check.outcome) == ("matches.parquet", "changed")


# What cannot be read


def blocked(path, how):
    before = path.read_bytes()
    path.unlink()
    if how == "link":
        (path.parent.parent / "same").write_bytes(before)
        path.symlink_to(path.parent.parent / "same")
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "huge":
        with path.open("wb") as stream:
            stream.truncate(3 << 30)


WORDS = {"missing": "missing", "link": "a symbolic link", "pipe": "not a regular file", "folder": "Is a directory"}


@pytest.mark.parametrize("name", ["report.html", VERDICT, STATEMENT, ENVELOPE])
@pytest.mark.parametrize("how", WORDS)
def test_a_file_that_cannot_be_read_is_told_and_ends_with_3(signed, carto, name, how):
    blocked(signed.folder / name, how)
    ended = carto("verify", signed.folder, signed.batch, "--key", signed.public)
    assert ended.code == 3
    (line,) = [line for line in (ended.out + ended.err).splitlines() if f"{name}: " in line]
    assert WORDS[how] in line


@pytest.mark.parametrize("name", ["report.json", VERDICT, STATEMENT, ENVELOPE])
def test_a_huge_file_is_refused_before_it_fills_the_memory(signed, carto, name):
    blocked(signed.folder / name, "huge")
    ended = carto("verify", signed.folder, signed.batch)
    assert ended.code == 3
    assert f"{name}: cannot be read: larger than" in ended.out + ended.err


def test_a_link_is_refused_although_it_leads_to_the_right_bytes(signed):
    blocked(signed.folder / "map.svg", "link")
    assert {check.name for check in verify(signed.folder, [signed.batch]).failed} == {"map.svg"}


def test_what_cannot_be_read_outranks_what_was_changed(signed):
    (signed.folder / "map.svg").unlink()
    (signed.folder / "map.png").write_bytes(b"")
    proof = verify(signed.folder, [signed.batch])
    assert [check.outcome for check in proof.failed] == ["unreadable", "changed"]
    assert proof.exit_code == 3


def test_a_batch_that_cannot_be_read_is_told_with_the_rest(signed):
    os.mkfifo(signed.folder.parent / "pipe.parquet")
    (signed.folder / "map.png").write_bytes(b"")
    proof = verify(signed.folder, [signed.folder.parent / "pipe.parquet"])
    assert [check.name.rpartition("/")[2] for check in proof.failed] == ["map.png", "pipe.parquet"]
    assert proof.exit_code == 3


def edited(document, **changes):
    return json_bytes({**document, **changes})


STRANGE = {
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe",
    "deep": b"[" * 200_000,
    "a list": b"[]",
    "number": b"1" * 5000,
    "NaN": b'{"predicate": NaN}',
    "empty": b"",
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=list(STRANGE))
@pytest.mark.parametrize("name", [STATEMENT, ENVELOPE])
def test_malformed_json_is_one_clear_line(signed, carto, name, content):
    (signed.folder / name).write_bytes(content)
    ended = carto("verify", signed.folder, signed.batch, "--key", signed.public)
    assert ended.code == 3
    assert "Traceback" not in ended.err
    (line,) = [line for line in (ended.out + ended.err).splitlines() if f"{name}: " in line]
    assert len(line) < 600


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_nothing_in_an_envelope_surprises_the_parser(data):
    with pytest.raises(AuditError):
        parse_envelope(data, ENVELOPE)


SUBJECT = {"name": "x.parquet", "digest": {"sha256": "0" * 64}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "_type"),
        ({"predicateType": "https://slsa.dev/provenance/v1"}, "predicateType"),
        ({"subject": []}, "it names no batch"),
        ({"subject": [SUBJECT, SUBJECT]}, "two subjects have the same name"),
        ({"subject": [SUBJECT, {**SUBJECT, "name": "../../etc/passwd"}]}, "which this version does not know"),
        ({"subject": [{**SUBJECT, "name": "batch"}]}, "it names no batch"),
        ({"subject": [{**SUBJECT, "name": "batch"}, {**SUBJECT, "name": "batch/1/x"}]}, "it names no batch"),
        ({"subject": [{**SUBJECT, "digest": {"sha256": "0" * 63}}]}, "subject.0.digest.sha256"),
        ({"subject": [{**SUBJECT, "digest": {"md5": "0" * 32}}]}, "subject.0.digest.sha256"),
        ({"subject": [{**SUBJECT, "name": 7}]}, "subject.0.name"),
        ({"predicate": []}, "predicate"),
    ],
)
def test_a_statement_of_another_shape_says_where(signed, changes, words):
    (signed.folder / STATEMENT).write_bytes(edited(signed.read(STATEMENT), **changes))
    with pytest.raises(AuditError, match=r"verdict\.intoto\.json: ") as caught:
        read_statement(signed.folder)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_statement_in_another_layout_is_not_the_same(signed):
    (signed.folder / STATEMENT).write_text(json.dumps(signed.read(STATEMENT)))
    with pytest.raises(AuditError, match="not laid out as carto-audit writes it"):
        read_statement(signed.folder)


def test_no_name_in_a_statement_leads_out_of_the_folder(signed):
    outside = signed.folder.parent / "secret.txt"
    outside.write_text("secret")
    statement = signed.read(STATEMENT)
    statement["subject"].append({"name": "../secret.txt", "digest": {"sha256": file_sha256(outside)}})
    write_json(signed.folder / STATEMENT, statement)
    opened = (
        "import sys; sys.addaudithook(lambda event, args: "
        "event == 'open' and 'secret.txt' in str(args[0]) and sys.exit('opened it')); "
        "from carto_audit.cli.main import main; sys.argv[0] = 'carto-audit'; main()"
    )
    ended = run_process("verify", signed.folder, signed.batch, cwd=signed.folder.parent, program=opened)
    assert ended.code == 3
    assert "does not know" in ended.err
    assert "opened it" not in ended.err


# Signatures


def envelope_of(signed):
    return signed.read(ENVELOPE)


def verified_by(signed, public):
    return not verify(signed.folder, [signed.batch], key=load_public_key(public)).failed


def test_the_envelope_signs_the_bytes_of_the_statement(signed):
    document = envelope_of(signed)
    assert document["payloadType"] == PAYLOAD_TYPE
    assert base64.b64decode(document["payload"]) == (signed.folder / STATEMENT).read_bytes()


def test_several_may_sign_and_each_is_verified(signed, tmp_path, carto):
    make_key(tmp_path / "second.key")
    ended = carto("attest", signed.folder, "--key", tmp_path / "second.key")
    assert ended.code == 0, ended.err
    assert len(envelope_of(signed)["signatures"]) == 2
    assert verified_by(signed, signed.public)
    assert verified_by(signed, tmp_path / "second.key.pub")


def test_signing_twice_with_one_key_is_one_signature(signed, carto):
    before = (signed.folder / ENVELOPE).read_bytes()
    assert carto("attest", signed.folder, "--key", signed.key).code == 0
    assert (signed.folder / ENVELOPE).read_bytes() == before


def test_the_key_of_somebody_else_did_not_sign(signed, tmp_path, carto):
    make_key(tmp_path / "other.key")
    ended = carto("verify", signed.folder, signed.batch, "--key", tmp_path / "other.key.pub")
    assert ended.code == 1
    assert f"! {ENVELOPE}: none of its 1 signatures was made with the key" in ended.out


def test_a_key_id_is_only_a_hint(signed, tmp_path):
    document = envelope_of(signed)
    good = document["signatures"][0]
    make_key(tmp_path / "other.key")
    forged = {"keyid": good["keyid"], "sig": base64.b64encode(b"0" * 64).decode()}
    write_json(signed.folder / ENVELOPE, {**document, "signatures": [forged, {"sig": good["sig"]}]})
    assert verified_by(signed, signed.public)
    other = load_public_key(tmp_path / "other.key.pub").keyid
    write_json(signed.folder / ENVELOPE, {**document, "signatures": [{**good, "keyid": other}]})
    assert not verified_by(signed, tmp_path / "other.key.pub")


def test_url_safe_base64_is_read_as_well(signed):
    document = envelope_of(signed)
    document["payload"] = base64.urlsafe_b64encode(base64.b64decode(document["payload"])).decode()
    document["signatures"][0]["sig"] = base64.urlsafe_b64encode(
        base64.b64decode(document["signatures"][0]["sig"])
    ).decode()
    write_json(signed.folder / ENVELOPE, document)
    assert verified_by(signed, signed.public)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"payloadType": "application/vnd.\x1b[31mother"}, 'payloadType is "application/vnd.[31mother"'),
        ({"payloadType": None}, "payloadType: "),
        ({"payload": "%%%"}, "not base64"),
        ({"payload": 7}, "payload: "),
        ({"signatures": []}, "signatures: "),
        ({"signatures": [{"sig": "AAAA"}] * 5000}, "signatures: List should have at most 100 items"),
        ({"signatures": [{"sig": "A" * 10_000}]}, "signatures.0.sig: "),
        ({"signatures": [{"sig": "%"}]}, "not base64"),
        ({"signatures": ["x"]}, "signatures.0: "),
        ({"signatures": [{"sig": "AAAA"}] * 99}, "none of its 99 signatures"),
        ({"signatures": [{"sig": "AAAA", "keyid": "\ud800"}]}, ""),
    ],
)
def test_an_envelope_of_another_shape_says_where(signed, carto, changes, words):
    (signed.folder / ENVELOPE).write_text(json.dumps({**envelope_of(signed), **changes}))
    ended = carto("verify", signed.folder, signed.batch, "--key", signed.public)
    assert ended.code in (1, 3)
    (line,) = [line for line in ended.out.splitlines() if line.startswith("  ! ")]
    assert line.startswith(f"  ! {ENVELOPE}: ")
    assert words in line


def test_a_key_without_a_signature_is_incomplete(unsigned, carto):
    ended = carto("verify", unsigned.folder, unsigned.batch, "--key", unsigned.public)
    assert ended.code == 3
    assert f"! {ENVELOPE}: missing: the audit is not signed" in ended.out


def test_a_folder_that_contradicts_its_statement_is_not_signed(signed, carto):
    (signed.folder / ENVELOPE).unlink()
    (signed.folder / "report.html").write_text("other")
    ended = carto("attest", signed.folder, "--key", signed.key)
    assert ended.code == 1
    assert "NOT SIGNED" in ended.out
    assert "! report.html: changed" in ended.out
    assert not (signed.folder / ENVELOPE).exists()


def test_a_signature_of_another_statement_is_not_replaced(signed, carto):
    document = envelope_of(signed)
    document["payload"] = base64.b64encode(b"{}").decode()
    write_json(signed.folder / ENVELOPE, document)
    before = (signed.folder / ENVELOPE).read_bytes()
    assert carto("attest", signed.folder, "--key", signed.key).code == 1
    assert (signed.folder / ENVELOPE).read_bytes() == before


def test_a_new_audit_ends_the_old_signature(signed):
    clear_verdict(signed.folder)
    assert not {VERDICT, STATEMENT, ENVELOPE} & {path.name for path in signed.folder.iterdir()}


def test_an_input_called_like_the_signature_is_not_deleted(tmp_path, carto):
    (tmp_path / ENVELOPE).write_text('{"text": "a b c"}\n')
    ended = carto("ingest", tmp_path / ENVELOPE, "--policy", "exploratory", "--out", tmp_path)
    assert ended.code == 2
    assert "would overwrite this input" in ended.err
    assert (tmp_path / ENVELOPE).exists()


# Keys


def write_key(path, private, encryption=None, form=PrivateFormat.PKCS8, mode=0o600):
    path.write_bytes(private.private_bytes(Encoding.PEM, form, encryption or NoEncryption()))
    path.chmod(mode)
    return path


def test_a_new_key_is_private_and_signs(signed, tmp_path, carto):
    ended = carto("attest", "--new-key", tmp_path / "keys" / "audit.key")
    assert ended.code == 0
    key = tmp_path / "keys" / "audit.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in key.parent.iterdir()) == ["audit.key", "audit.key.pub"]
    assert load_public_key(tmp_path / "keys" / "audit.key.pub").keyid in ended.out
    assert carto("attest", signed.folder, "--key", key).code == 0
    assert verified_by(signed, tmp_path / "keys" / "audit.key.pub")


@pytest.mark.parametrize("taken", ["audit.key", "audit.key.pub"])
def test_a_key_is_never_overwritten(tmp_path, carto, taken):
    (tmp_path / taken).write_text("precious")
    ended = carto("attest", "--new-key", tmp_path / "audit.key")
    assert ended.code == 2
    assert "never overwritten" in ended.err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_openssl_commands_of_the_document_make_a_key_that_signs(signed, tmp_path, monkeypatch, carto):
    (block,) = re.findall(r"```console\n((?:openssl [^\n]*\n)+)```", DOCUMENT.read_text(encoding="utf-8"))
    *make, last = block.splitlines()
    for line in make:
        line = line.replace("-aes256", "-aes256 -pass env:SECRET")
        line = line.replace("-pubout", "-pubout -passin env:SECRET")
        subprocess.run(line, shell=True, check=True, cwd=tmp_path, env={**os.environ, "SECRET": "horse"})
    monkeypatch.setenv("CARTO_AUDIT_KEY_PASSPHRASE", "horse")
    ended = carto("attest", signed.folder, "--key", tmp_path / "audit.key")
    assert ended.code == 0, ended.err
    assert verified_by(signed, tmp_path / "audit.key.pub")
    shown = subprocess.run(last, shell=True, check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert shown.split()[0] in ended.out


def test_an_encrypted_key_needs_its_passphrase(signed, tmp_path, monkeypatch, carto):
    key = write_key(tmp_path / "k", ed25519.Ed25519PrivateKey.generate(), BestAvailableEncryption(b"horse"))
    ended = carto("attest", signed.folder, "--key", key)
    assert ended.code == 2
    assert "encrypted; set CARTO_AUDIT_KEY_PASSPHRASE" in ended.err
    for wrong in ("battery", ""):
        monkeypatch.setenv("CARTO_AUDIT_KEY_PASSPHRASE", wrong)
        ended = carto("attest", signed.folder, "--key", key)
        assert ended.code == 2
        assert "the passphrase is wrong" in ended.err
        assert "battery" not in ended.err
    monkeypatch.setenv("CARTO_AUDIT_KEY_PASSPHRASE", "horse")
    assert carto("attest", signed.folder, "--key", key).code == 0


PRIVATE = ed25519.Ed25519PrivateKey.generate()
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def other_keys(home):
    """Files that are no key to sign with, and what is said of them."""
    small = rsa.generate_private_key(65537, 2048)
    (home / "public").write_bytes(PUBLIC)
    (home / "garbage").write_bytes(b"\x00garbage" * 9)
    (home / "damaged").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (home / "huge").write_bytes(b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 100_000)
    (home / "folder").mkdir()
    os.mkfifo(home / "pipe")
    for name in ("public", "garbage", "damaged", "huge", "pipe"):
        (home / name).chmod(0o600)
    write_key(home / "open", PRIVATE, mode=0o640)
    write_key(home / "rsa", small)
    write_key(home / "ssh", PRIVATE, form=PrivateFormat.OpenSSH)
    return {
        "public": "a public key; sign with the private one",
        "garbage": "not a private key in PEM",
        "damaged": "cannot be read as a private key",
        "huge": "too large to be a key",
        "folder": "Is a directory",
        "pipe": "not a regular file",
        "open": "other users may read this private key; chmod 600 it",
        "rsa": "not an ed25519 key",
        "ssh": "an OpenSSH key",
        "nowhere": "No such file or directory",
    }


def test_a_file_that_is_no_key_to_sign_with_is_one_clear_line(signed, tmp_path, carto):
    for name, words in other_keys(tmp_path).items():
        ended = carto("attest", signed.folder, "--key", tmp_path / name)
        assert (ended.code, ended.out) == (2, ""), name
        assert words in ended.err
        assert ended.err.count("\n") == 1


def test_a_file_that_is_no_key_to_verify_with_is_one_clear_line(signed, tmp_path, carto):
    told = {**other_keys(tmp_path), "open": "a private key, which nobody should be given", "ssh": "a private key"}
    (tmp_path / "rsa.pub").write_bytes(
        rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    told |= {"garbage": "cannot be read as a public key", "damaged": "a private key", "rsa": "a private key"}
    told |= {"rsa.pub": "not an ed25519 key"}
    for name, words in told.items():
        if name != "public":
            ended = carto("verify", signed.folder, signed.batch, "--key", tmp_path / name)
            assert (ended.code, ended.out) == (2, ""), name
            assert words in ended.err
            assert ended.err.count("\n") == 1


def test_a_private_key_in_the_folder_that_is_handed_out_is_refused(signed, carto):
    key = signed.key.rename(signed.folder / "audit.key")
    ended = carto("attest", signed.folder, "--key", key)
    assert ended.code == 2
    assert "keep it elsewhere" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "attest needs AUDIT_DIR and --key"),
        (["--key", "k"], "attest needs AUDIT_DIR and --key"),
        (["."], "attest needs AUDIT_DIR and --key"),
        ([".", "--new-key", "k"], "--new-key makes a key and nothing else"),
        (["--key", "k", "--new-key", "n"], "--new-key makes a key and nothing else"),
    ],
)
def test_a_wrong_call_of_attest_is_a_usage_error(tmp_path, monkeypatch, carto, arguments, words):
    monkeypatch.chdir(tmp_path)
    ended = carto("attest", *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_does_not_exist_is_a_usage_error(signed, carto):
    assert carto("verify", signed.folder, signed.folder.parent / "nowhere.parquet").code == 2
    assert carto("verify", signed.folder).code == 2


@pytest.mark.parametrize("missing", ["securesystemslib", "securesystemslib.signer", "cryptography"])
def test_without_the_extra_one_line_says_how_to_get_it(signed, tmp_path, carto, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    for arguments in (
        ["attest", signed.folder, "--key", signed.key],
        ["attest", "--new-key", tmp_path / "k"],
        ["verify", signed.folder, signed.batch, "--key", signed.public],
    ):
        ended = carto(*arguments)
        assert (ended.code, ended.out) == (3, "")
        assert "pip install 'carto-audit[sign]'" in ended.err
        assert ended.err.count("\n") == 1
    assert carto("verify", signed.folder, signed.batch).code == 0


# The document


def workflow():
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    return YAML(typ="safe").load(text)


def step(name):
    (found,) = [entry for entry in workflow()["jobs"]["audit"]["steps"] if entry.get("id") == name]
    return found


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_workflow_hands_the_statement_to_github_as_it_is(signed):
    home = signed.folder.parent
    env = {**os.environ, "RUNNER_TEMP": str(home), "AUDIT": "batch-audit"}
    subprocess.run(["bash", "-euo", "pipefail", "-c", step("statement")["run"]], check=True, cwd=home, env=env)
    inputs = step("attest")["with"]
    statement = signed.read(STATEMENT)
    assert inputs["predicate-type"] == statement["predicateType"]
    predicate = home / Path(inputs["predicate-path"]).name
    assert json.loads(predicate.read_text()) == statement["predicate"]
    lines = (home / Path(inputs["subject-checksums"]).name).read_text().splitlines()
    named = dict(line.split("  ", 1)[::-1] for line in lines)
    assert named == {entry["name"]: entry["digest"]["sha256"] for entry in statement["subject"]}


def test_the_workflow_may_write_attestations_and_nothing_else():
    found = workflow()
    assert found["permissions"] == {}
    assert found["jobs"]["audit"]["permissions"] == {
        "attestations": "write",
        "contents": "read",
        "id-token": "write",
    }
    runs = [entry["run"] for entry in found["jobs"]["audit"]["steps"] if "run" in entry]
    assert not any("${{" in run for run in runs)


def test_the_commands_of_the_document_exist(signed, carto):
    lines = re.findall(r"^carto-audit (attest|verify) (.*)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {name for name, _ in lines} == {"attest", "verify"}
    for name, rest in lines:
        known = carto(name, "--help").out
        assert all(flag in known for flag in re.findall(r"--[a-z-]+", rest)), rest


def test_the_process_says_it_as_well(signed):
    done = subprocess.run(
        command("verify", signed.folder, signed.batch), capture_output=True, cwd=signed.folder.parent, timeout=300
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"VERIFIED")
