"""JUnit XML, which every CI system shows: a rule is a test case, and the batch is their suite."""

from collections import Counter
from xml.etree import ElementTree as Xml

from carto_audit.artifacts.report_facts import FindingFacts, ReportFacts
from carto_audit.report.formats.annotations import Annotation, annotations, batch_name, remarks
from carto_audit.report.narrative import finding_words
from carto_audit.text.untrusted import safe_inline


def render_junit(facts: ReportFacts) -> str:
    """One `testsuite`. Rejecting rules fail, rules that could not be judged are errors, waived ones are skipped; a warning
    passes and says so, since JUnit knows none.

    Texts come through `safe_inline`, whose characters are all legal in XML 1.0.
    """
    cases = [_case(annotation, facts) for annotation in annotations(facts)]
    passed = (finding for finding in facts["findings"] if finding["outcome"] == "passed")
    cases += [_passed(finding, facts) for finding in passed]
    kinds = Counter(child.tag for case in cases for child in case)
    counts = {"tests": len(cases), "failures": kinds["failure"], "errors": kinds["error"], "skipped": kinds["skipped"]}
    totals = {name: str(count) for name, count in counts.items()} | {"time": f"{_seconds(facts):.3f}"}
    root = Xml.Element("testsuites", {"name": "carto-audit", **totals})
    started = safe_inline(facts["run"]["started_at"], 40)
    suite = Xml.SubElement(root, "testsuite", {"name": batch_name(facts), **totals, "timestamp": started})
    suite.extend(cases)
    said = [f"{remark.level}: {remark.message}" for remark in remarks(facts)]
    if said:
        Xml.SubElement(suite, "system-out").text = "\n".join(said)
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(root, encoding="unicode")}\n'


def _seconds(facts: ReportFacts) -> float:
    return float(sum(facts["run"]["seconds"].values()))


def _element(rule: str, facts: ReportFacts) -> Xml.Element:
    policy = safe_inline(facts["policy"]["name"], 120) or "policy"
    return Xml.Element("testcase", {"classname": f"carto-audit.{policy}", "name": rule, "time": "0"})


def _case(annotation: Annotation, facts: ReportFacts) -> Xml.Element:
    case = _element(annotation.rule, facts)
    place = f"{annotation.file}:{annotation.line}:{annotation.column}"
    if annotation.waiver is not None:
        Xml.SubElement(case, "skipped", {"message": f"{annotation.title}; waived: {annotation.waiver}"})
    elif annotation.level == "warning":
        Xml.SubElement(case, "system-out").text = f"{annotation.title}. {annotation.message} ({place})"
    else:
        kind = "error" if annotation.blind else "failure"
        about = {"message": annotation.title, "type": annotation.finding["outcome"]}
        Xml.SubElement(case, kind, about).text = f"{annotation.message} ({place})"
    return case


def _passed(finding: FindingFacts, facts: ReportFacts) -> Xml.Element:
    case = _element(safe_inline(finding["rule"], 80), facts)
    Xml.SubElement(case, "system-out").text = safe_inline(f"passed: {finding_words(finding)}", 240)
    return case
