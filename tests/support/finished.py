"""The folder of a finished audit without the training: real files, made from the facts of `report_facts`."""

import json
from functools import lru_cache

from carto_audit.report.html import write_report
from carto_audit.report.map_figure import figure_png, figure_svg, map_figure
from carto_audit.runtime.files import file_sha256, write_json
from tests.support.report_facts import control_scores, make_columns, make_facts


def write_finished(folder, facts=None):
    """Writes the files of an audit with these facts, the statement about them included."""
    facts = facts or make_facts()
    write_report(folder, facts, *pictures(json.dumps(facts)))
    attest(folder, facts)
    write_json(folder / "verdict.json", {"schema_version": 1, **facts["verdict"], "findings": facts["findings"]})
    return folder


@lru_cache(maxsize=16)
def pictures(facts):
    """The map of these facts, which are given as JSON: as SVG and as PNG."""
    figure = map_figure(**make_columns(512), facts=json.loads(facts), control_scores=control_scores())
    return figure_svg(figure), figure_png(figure)


def attest(folder, facts):
    """Writes the statement about the report as it stands in the folder."""
    subjects = {"vendor_batch.parquet": facts["batch"]["sha256"], "report.json": file_sha256(folder / "report.json")}
    about = [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()]
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": about, "predicate": {"result": "FAILED"}}
    (folder / "verdict.intoto.json").write_text(json.dumps(statement))
