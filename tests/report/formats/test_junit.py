from xml.etree import ElementTree

from hypothesis import given
from junitparser import Error, Failure, JUnitXml, Skipped

from carto_audit.report.formats.junit import render_junit
from tests.support.hostile_facts import hostile_facts, slim_facts


def suite_of(facts):
    """The one suite, as the parser that others use reads it; its counts are those of its cases."""
    xml = render_junit(facts)
    (suite,) = JUnitXml.fromstring(xml.encode())
    cases = list(suite)
    found = [result for case in cases for result in case.result]
    assert suite.tests == len(cases)
    counted = [sum(isinstance(result, kind) for result in found) for kind in (Failure, Error, Skipped)]
    assert [suite.failures, suite.errors, suite.skipped] == counted
    root = ElementTree.fromstring(xml)
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        name: root[0].get(name) for name in ("tests", "failures", "errors", "skipped")
    }
    return suite, {case.name: case for case in cases}


def test_every_rule_is_a_test_case():
    suite, cases = suite_of(slim_facts())
    assert suite.name == "vendor_batch.parquet"
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (6, 2, 0, 1)
    assert set(cases) == {"power", "hotspot-mass", "benchmark-items", "near-copies", "noise", "skipped"}
    assert {case.classname for case in cases.values()} == {"carto-audit.default"}


def test_a_rejecting_rule_fails_with_value_limit_reason_and_place():
    facts = slim_facts()
    facts["findings"][1] |= {"file": "ours.yaml", "line": 7, "column": 3}
    (failure,) = suite_of(facts)[1]["hotspot-mass"].result
    assert isinstance(failure, Failure)
    assert failure.message == "hotspot-mass: rejects: 8.2 %, at most 2.0 %"
    assert "(ours.yaml:7:3)" in failure.text


def test_a_warning_passes_and_says_so_and_a_waiver_skips():
    cases = suite_of(slim_facts())[1]
    assert cases["near-copies"].result == []
    assert "warns: 6.1 %, at most 5.0 %" in cases["near-copies"].system_out
    (skipped,) = cases["noise"].result
    assert "waived: logs are wanted here (data-governance, until 2026-06-30)" in skipped.message
    assert cases["power"].system_out == "passed: 0.96, at least 0.90"


def test_what_could_not_be_judged_is_an_error_not_a_failure():
    facts = slim_facts()
    facts["findings"][0] |= {"outcome": "not_measured", "observed": None}
    (error,) = suite_of(facts)[1]["power"].result
    assert isinstance(error, Error)
    facts["findings"] = []
    assert suite_of(facts)[0].errors == 1


def test_the_warnings_of_the_audit_stand_in_the_suite():
    facts = slim_facts()
    said = ElementTree.fromstring(render_junit(facts)).findtext("testsuite/system-out")
    assert said.splitlines() == [f"warning: {text}" for text in (*facts["warnings"], *facts["detection"]["warnings"])]


@given(facts=hostile_facts())
def test_hostile_text_leaves_well_formed_xml_with_the_same_elements(facts):
    suite, _ = suite_of(facts)
    assert suite.tests == max(1, len(facts["findings"]))
    for element in ElementTree.fromstring(render_junit(facts)).iter():
        assert element.tag in {"testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out"}
