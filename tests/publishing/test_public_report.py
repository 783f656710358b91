import hashlib
import json

import pyarrow.parquet as pq
import pytest

from carto_audit.publishing.card import card_section
from carto_audit.publishing.public_report import public_facts, read_publication
from carto_audit.report.html import render_html
from carto_audit.runtime.errors import AuditError
from tests.support.audits import FRAGMENTS
from tests.support.finished import attest, write_finished
from tests.support.report_facts import make_facts


def strings_of(value):
    """Every string in a JSON value, keys included."""
    if isinstance(value, dict):
        yield from (text for key, item in value.items() for text in (key, *strings_of(item)))
    elif isinstance(value, list):
        yield from (text for item in value for text in strings_of(item))
    elif isinstance(value, str):
        yield value


def test_nothing_that_quotes_or_names_a_sample_is_public():
    facts = make_facts()
    facts["run"]["kinship"]["quote"] = {"samples": 3, "excerpt": {"before": "", "span": "a passage", "after": ""}}
    facts["novel"] = [{"text": "whatever a later version comes to hold"}]
    public = public_facts(facts, "ab" * 32)
    assert public["riskiest"] == public["contamination"]["matches"] == public["run"]["kinship"]["boilerplate"] == []
    assert public["run"]["kinship"]["quote"] is None
    assert "novel" not in public
    said = "\n".join(strings_of(public))
    for text in ("pydoc/", "orchard-", "Natalia", "access code", "vendor portal", "staging host", "a passage"):
        assert text in "\n".join(strings_of(facts))
        assert text not in said
    for name in ("metrics", "findings", "detection", "map", "policy", "duplicates", "batch"):
        assert public[name] == facts[name]


def test_the_files_agree_with_each_other_and_name_the_full_report(tmp_path):
    folder = write_finished(tmp_path / "audit")
    made = read_publication(folder)
    assert set(made.files) == {
        "report.json", "report.html", "map.png", "map.svg", "verdict.json", "verdict.intoto.json"
    }  # fmt: skip
    assert json.loads(made.files["report.json"]) == made.facts
    subjects = {s["name"]: s["digest"]["sha256"] for s in json.loads(made.files["verdict.intoto.json"])["subject"]}
    published = {n: hashlib.sha256(d).hexdigest() for n, d in made.files.items() if n != "verdict.intoto.json"}
    assert subjects == {"vendor_batch.parquet": "3b" * 32, **published}
    full = hashlib.sha256((folder / "report.json").read_bytes()).hexdigest()
    assert made.facts["published"]["report_sha256"] == full
    assert full in made.files["report.html"].decode()
    assert made.files["map.png"] == (folder / "map.png").read_bytes()


def test_what_is_published_can_be_published_again_unchanged(tmp_path):
    once = read_publication(write_finished(tmp_path / "audit"))
    (tmp_path / "public").mkdir()
    for name, data in once.files.items():
        (tmp_path / "public" / name).write_bytes(data)
    assert read_publication(tmp_path / "public") == once


def test_of_a_real_audit_of_hostile_text_no_word_is_public(audited):
    made = read_publication(audited.folder)
    said = b"\n".join(data for name, data in made.files.items() if not name.startswith("map")).decode()
    ids = pq.read_table(audited.folder / "scores.parquet")["sample_id"].to_pylist()
    assert len(ids) == 49
    assert not [name for name in ids if name in said]
    full = json.loads((audited.folder / "report.json").read_text())
    passages = [s["excerpt"]["span"].strip() for s in full["riskiest"]]
    passages += [m["excerpt_item"]["span"].strip() for m in full["contamination"]["matches"]]
    passages += [m["item_id"] for m in full["contamination"]["matches"]]
    assert len(passages) > 2
    assert not [passage for passage in passages if passage and passage in said]
    assert FRAGMENTS[0] not in made.files["report.html"].decode()


def unfinished(folder):
    (folder / "verdict.json").unlink()


def changed(folder):
    path = folder / "report.json"
    path.write_text(path.read_text().replace("0.0815", "0.0015"))


def disagreeing(folder):
    (folder / "verdict.json").write_text('{"status": "accepted", "exit_code": 0, "complete": true}')


def cut(folder):
    path = folder / "report.json"
    path.write_text(path.read_text()[:500])


def emptied(folder):
    (folder / "report.json").write_text("[]")
    attest(folder, make_facts())


def foreign(folder):
    (folder / "verdict.intoto.json").write_text("{}")


def pictureless(folder):
    (folder / "map.svg").write_bytes(b"\xff\xfe")


BROKEN = {
    unfinished: "not a finished audit: there is no verdict.json in it; name the folder of a finished audit",
    changed: "report.json: changed since the audit ended; run the audit again",
    disagreeing: "report.json: changed since the audit ended; run the audit again",
    cut: "report.json: not valid JSON; run the audit again",
    emptied: "report.json: not the report of an audit",
    foreign: "report.json: not the report of an audit",
    pictureless: "report.json: not the report of an audit",
}


@pytest.mark.parametrize("harm", BROKEN, ids=lambda harm: harm.__name__)
def test_a_broken_audit_is_one_clear_line(tmp_path, harm):
    folder = write_finished(tmp_path / "audit")
    harm(folder)
    with pytest.raises(AuditError) as caught:
        read_publication(folder)
    assert BROKEN[harm] in str(caught.value)
    assert str(caught.value).isprintable()


def lens(**changes):
    """What a report says of a lens that was looked through."""
    section = {
        "headline": "column ada: 3 keys",
        "paragraph": "So it is.",
        "facts": [{"what": "column salary of Ada", "value": "7"}],
        "figures": [{"kind": "bars", "title": "salary of Ada", "unit": "number", "bars": []}],
    }
    known = {"version": 1, "distribution": None, "question": "Which keys?", "judged": True, "status": "measured"}
    power = {"power": [{"dose": 4, "planted": 9, "found": 9, "at_least": 0.72}], "false_alarms": None}
    said = {"problem": "", "metrics": {"memorized": 1.0}, "cost": {"seconds": 2.0, "peak_bytes": 1}, "section": section}
    return {**known, **power, **said, "warnings": ["about Ada"], **changes}


def test_of_lenses_numbers_and_power_are_public_and_no_name_of_a_column():
    facts = make_facts()
    theirs = {"headline": "Ada again", "paragraph": "Ada", "facts": [], "figures": []}
    failed = {"section": None, "status": "failed", "problem": "Ada <b>"}
    facts["lenses"] = {
        "secrets": lens(),
        "acme.x": lens(distribution="acme 1", section=theirs),
        "acme.y": lens(distribution="acme 1", **failed),
    }
    public = public_facts(facts, "ab" * 32)
    assert "ada" not in json.dumps(public["lenses"]).lower()
    assert public["lenses"]["secrets"]["metrics"] == {"memorized": 1.0}
    card = card_section(public)
    assert "| **Lens** `secrets` | memorized 1; finds at least 72 % of what was planted |" in card
    assert "| **Lens** `acme.x` | memorized 1; finds at least 72 % of what was planted |" in card
    assert "| **Lens** `acme.y` | failed |" in card
    page = render_html(public, "<svg></svg>")
    assert "Memorized 1." in page or "memorized 1" in page
    assert "**Lens**" not in card_section(public_facts(make_facts(), "ab" * 32))
