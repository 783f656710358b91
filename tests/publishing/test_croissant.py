import json
import logging
import subprocess
import sys

import pytest

from carto_audit.publishing.croissant import CROISSANT, RAI, merged_croissant
from carto_audit.publishing.public_report import public_facts
from carto_audit.runtime.errors import UsageError
from tests.support.report_facts import make_facts

FACTS = public_facts(make_facts(), "ab" * 32)

VENDOR = {
    "@context": {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "dct": "http://purl.org/dc/terms/",
        "sc": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "rai": "http://mlcommons.org/croissant/RAI/",
    },
    "@type": "sc:Dataset",
    "conformsTo": "http://mlcommons.org/croissant/1.0",
    "name": "pears",
    "description": "Péars and crates",
    "license": "https://spdx.org/licenses/MIT",
    "url": "https://example.org/pears",
    "rai:dataLimitations": "Only pears.",
    "rai:dataCollection": "Picked by hand.",
    "distribution": [
        {
            "@type": "cr:FileObject",
            "@id": "pears.csv",
            "name": "pears.csv",
            "contentUrl": "pears.csv",
            "encodingFormat": "text/csv",
            "sha256": "0" * 64,
        }
    ],
}


def merge(text, facts=FACTS):
    return merged_croissant(text, facts, name="vendor-batch", shown="croissant.json")


def read_by_the_library(path):
    """The metadata as mlcroissant reads it, in a process of its own, because it configures logging; with its errors."""
    program = (
        "import sys, json, mlcroissant as mlc; m = mlc.Dataset(jsonld=sys.argv[1]).metadata; "
        "print(json.dumps({'errors': sorted(m.issues.errors), 'name': m.name, 'conforms_to': m.conforms_to, "
        "'limitations': m.data_limitations, 'cases': m.data_use_cases, 'missing': m.data_collection_missing_data, "
        "'tools': m.machine_annotation_tools, 'collection': m.data_collection, 'again': m.to_json()}, default=str))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_new_file_is_valid_croissant_with_what_the_audit_can_say(tmp_path):
    path = tmp_path / "croissant.json"
    path.write_text(merge(None), encoding="utf-8")
    read, said = read_by_the_library(path)
    assert read["errors"] == []
    assert "not standard" not in said
    assert read["name"] == "vendor-batch"
    assert read["conforms_to"] == [CROISSANT, RAI]
    assert "memorized hotspot 8.2 %" in read["limitations"][0]
    assert "3 confirmed and 1 suspected of 158 detectable items" in read["limitations"][0]
    assert read["cases"][0].endswith(
        "rejected: 2 rules of the policy “default” reject the batch. Read: text of 2,060 rows."
    )
    words = "carto-audit: rows that could not be used: 5 (no text in this row); 7 (a text of zero characters)"
    assert read["missing"] in (words, [words])
    assert "2 language models of 812,000 parameters" in read["tools"][0]
    audit = read["again"]["urn:carto-audit:audit"]
    assert "rejected" in json.dumps(audit)


def test_a_vendors_file_keeps_all_that_it_says(tmp_path):
    path = tmp_path / "croissant.json"
    path.write_text(merge(json.dumps(VENDOR)), encoding="utf-8")
    made = json.loads(path.read_text(encoding="utf-8"))
    ours = {"@context", "conformsTo", "rai:dataLimitations"}
    assert {k: made[k] for k in VENDOR if k not in ours} == {k: v for k, v in VENDOR.items() if k not in ours}
    assert list(made)[: len(VENDOR)] == list(VENDOR)
    assert made["@context"].items() >= VENDOR["@context"].items()
    assert made["conformsTo"] == ["http://mlcommons.org/croissant/1.0", RAI]
    assert made["rai:dataLimitations"][0] == "Only pears."
    assert made["rai:dataLimitations"][1].startswith("carto-audit: ")
    read, _ = read_by_the_library(path)
    assert read["errors"] == []
    assert read["collection"] in ("Picked by hand.", ["Picked by hand."])


@pytest.mark.parametrize("text", [None, "", json.dumps(VENDOR)])
def test_merged_twice_is_merged_once(text):
    once = merge(text)
    assert merge(once) == once


def test_a_later_audit_replaces_what_an_earlier_one_said_and_nothing_else():
    facts = json.loads(json.dumps(FACTS))
    facts["batch"]["skipped"] = []
    facts["verdict"]["status"] = "accepted"
    later = json.loads(merge(merge(json.dumps(VENDOR)), facts))
    assert len(later["rai:dataLimitations"]) == 2
    assert "rai:dataCollectionMissingData" not in later
    assert later["rai:dataUseCases"].startswith("carto-audit: as text to train a language model on, accepted: ")
    assert later["carto:audit"]["carto:verdict"] == "accepted"


BROKEN = {
    "{": "not JSON that can be kept",
    '{"a": NaN}': "NaN is no JSON",
    '{"a": 1, "a": 2}': "a key occurs twice",
    "[" * 100_000: "not JSON that can be kept",
    "[]": "not a JSON object",
    "{}": "its @context is no object",
    '{"@context": "https://schema.org/"}': "its @context is no object",
    '{"@context": {"prov": "https://example.org/"}}': "leaves rai, prov, carto to their own meaning",
}


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:20])
def test_what_cannot_be_merged_into_is_one_clear_line(text):
    with pytest.raises(UsageError) as caught:
        merge(text)
    assert str(caught.value).startswith("croissant.json: ")
    assert BROKEN[text] in str(caught.value)


def test_merging_leaves_logging_alone():
    before = logging.root.handlers[:], logging.root.level
    merge(None)
    assert (logging.root.handlers, logging.root.level) == before


@pytest.mark.parametrize(
    "value", ["1e400", "-1e400", "1e-400", '"\\ud800"', "12345678901234567890.123456789", "1e-99999999999999999999"]
)
def test_a_file_whose_values_could_not_be_kept_is_refused(value):
    with pytest.raises(UsageError, match="not JSON that can be kept"):
        merged_croissant(f'{{"@context": {{}}, "a": {value}}}', make_facts(), name="set", shown="c.json")
