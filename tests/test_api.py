"""The library as a notebook calls it: every public name, loaded lazily; errors that are raised, verdicts that are values."""

import html.parser
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import carto_audit
from carto_audit import AuditOptions, ExitCode
from carto_audit.artifacts.file_list import OUTPUTS
from carto_audit.runtime.errors import option
from docs.architecture import modules, wings
from tests.support.audits import GATE, sentences, write_parquet
from tests.support.redteam_facts import judged_facts
from tests.support.small_redteams import make_thin

TINY = AuditOptions(epochs=2)

EVERY_NAME = """
import importlib, pkgutil, sys
import carto_audit
heavy = {"torch", "transformers", "matplotlib", "numpy", "pyarrow"} & set(sys.modules)
assert not heavy, heavy
for module in sys.argv[1:]:
    importlib.import_module(f"carto_audit.{module}")
for name in carto_audit.__all__:
    assert getattr(carto_audit, name) is getattr(carto_audit, name), name
    assert not isinstance(getattr(carto_audit, name), type(sys)), name
assert set(carto_audit.__all__) <= set(dir(carto_audit))
"""


def test_the_public_names_survive_the_import_of_every_module_and_importing_the_package_is_free():
    done = subprocess.run([sys.executable, "-c", EVERY_NAME, *modules(), *wings()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_public_names_are_these():
    assert carto_audit.__all__ == [
        "Audit",
        "AuditError",
        "AuditOptions",
        "CartoError",
        "ExitCode",
        "Plant",
        "PlantOptions",
        "Policy",
        "Redteam",
        "Report",
        "UsageError",
        "Verdict",
        "audit",
        "load_policy",
        "open_audit",
        "plant",
        "redteam",
        "sampler",
        "score",
    ]
    assert not set(carto_audit.__all__) & {module.split(".")[0] for module in [*modules(), *wings()]}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ingest'"):
        carto_audit.ingest  # noqa: B018


@pytest.fixture(scope="module", autouse=True)
def thin_proxies():
    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        yield


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    (folder / "gate.yaml").write_text(GATE)
    return write_parquet(folder / "<b>batch.parquet", sentences(48))


@pytest.fixture(scope="module")
def audit(batch):
    return carto_audit.audit(batch, policy=batch.parent / "gate.yaml", options=TINY)


def test_an_audit_is_a_value_with_its_verdict_scores_and_report(audit, tmp_path):
    assert audit.verdict.status == "accepted"
    assert audit.verdict.exit_code == ExitCode.ACCEPTED
    assert audit.scores.num_rows == 48
    assert audit.scores.equals(pq.read_table(audit.path / "scores.parquet"))
    page = audit.report.save(tmp_path / "report.html")
    assert page.read_text() == audit.report.html() == (audit.path / "report.html").read_text()
    facts = audit.report.save(tmp_path / "facts.json")
    with pytest.raises(carto_audit.UsageError, match=r"report\.pdf: a report is saved as \.html or \.json"):
        audit.report.save(tmp_path / "report.pdf")
    assert json.loads(facts.read_text()) == json.loads(audit.report.render("json"))
    assert {path.name for path in audit.path.iterdir()} <= set(OUTPUTS)


def test_a_second_call_gives_an_equal_verdict_and_equal_scores(audit, batch, tmp_path):
    again = carto_audit.audit(
        [batch], policy=carto_audit.load_policy(batch.parent / "gate.yaml"), options=TINY, out=tmp_path / "kept"
    )
    assert again.verdict.findings == audit.verdict.findings
    assert again.scores.equals(audit.scores)
    opened = carto_audit.open_audit(tmp_path / "kept")
    assert opened.verdict == again.verdict
    assert opened.report.facts == again.report.facts


def test_the_files_of_an_audit_without_a_folder_go_with_the_value_unless_they_are_saved(batch, tmp_path):
    once = carto_audit.audit(batch, policy=batch.parent / "gate.yaml", options=TINY)
    place, saved = once.path, once.save(tmp_path / "saved")
    with pytest.raises(carto_audit.UsageError, match="an audit lies there already"):
        once.save(saved)
    assert carto_audit.open_audit(saved).verdict == once.verdict
    del once
    assert not place.exists()


def test_a_rejection_is_a_value_and_bad_input_is_raised(batch, tmp_path):
    strict = tmp_path / "strict.yaml"
    strict.write_text(f"{GATE}  - {{id: rows, metric: batch.rows, min: 1000, severity: reject, reason: too few}}\n")
    rejected = carto_audit.audit(batch, policy=strict, options=TINY)
    assert rejected.verdict.status == "rejected"
    assert rejected.verdict.exit_code == ExitCode.REJECTED
    assert "<td>rows</td><td>failed</td><td>48, at least 1,000</td><td>too few</td>" in rejected._repr_html_()
    (tmp_path / "broken.parquet").write_bytes(b"no Parquet")
    with pytest.raises(carto_audit.AuditError) as caught:
        carto_audit.audit(tmp_path / "broken.parquet", policy=strict, options=TINY)
    assert caught.value.exit_code == ExitCode.INCOMPLETE
    with pytest.raises(carto_audit.UsageError) as caught:
        carto_audit.audit(batch, policy="nope", options=TINY)
    assert caught.value.exit_code == ExitCode.USAGE


def test_an_error_names_options_as_its_reader_spells_them(batch):
    with pytest.raises(carto_audit.UsageError, match=r"; choose another out$") as caught:
        carto_audit.audit(batch.parent, policy=batch.parent / "gate.yaml", options=TINY, out=batch.parent)
    assert caught.value.for_command_line().endswith("; choose another --out")
    raised = carto_audit.UsageError(f"raise {option('max_tokens', 5)}")
    assert str(raised) == "raise max_tokens=5"
    assert raised.for_command_line() == "raise --max-tokens 5"
    several = carto_audit.UsageError(f"{option('levels', 2)}: too large")
    assert str(several) == "levels=2: too large"
    assert several.for_command_line() == "--level 2: too large"


@pytest.mark.parametrize("nothing", [[], "", ["", "more.parquet"]], ids=str)
@pytest.mark.parametrize("call", [carto_audit.audit, carto_audit.redteam], ids=["audit", "redteam"])
def test_a_batch_that_is_not_named_is_not_the_folder_that_one_stands_in(batch, monkeypatch, call, nothing):
    monkeypatch.chdir(batch.parent)
    with pytest.raises(carto_audit.UsageError, match=r"^no batch was named"):
        call(nothing, policy=batch.parent / "gate.yaml", options=TINY)


def test_a_name_that_no_system_takes_is_an_error_of_one_line():
    with pytest.raises(carto_audit.UsageError, match=r"a…: File name too long$"):
        carto_audit.audit("a" * 5000, options=TINY)


def test_excerpts_of_an_unknown_kind_are_refused(batch):
    with pytest.raises(carto_audit.UsageError, match=r"^excerpts=lots: one of none, redacted, full$"):
        carto_audit.audit(batch, options=TINY, excerpts="lots")


def test_one_score_may_be_named_without_a_list(batch):
    with pytest.raises(carto_audit.UsageError, match=r'^scores "memory": no such score'):
        carto_audit.redteam(batch, scores="memory")
    with pytest.raises(carto_audit.UsageError, match=r"^levels=2: "):
        carto_audit.redteam(batch, levels=[2])


def test_a_result_that_cannot_be_saved_raises_one_line(audit, batch):
    with pytest.raises(carto_audit.AuditError, match=r"batch\.parquet: cannot write: File exists; free some space or "):
        audit.save(batch)
    (batch.parent / "folder.html").mkdir()
    with pytest.raises(carto_audit.AuditError, match=r"cannot write: .*; free some space or choose another place$"):
        audit.report.save(batch.parent / "folder.html")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 1},
        {"folds": 3},
        {"repeats": 0},
        {"seed": -1},
        {"sampling_key": b"a key itself, not where it lies"},
        {"max_tokens": 0},
        {"device": "tpu"},
        {"epochs": True},
        {"proxy": 3},
        {"text_column": 3},
    ],
    ids=str,
)
def test_options_check_themselves(wrong):
    with pytest.raises(carto_audit.UsageError, match=f"^{next(iter(wrong))}="):
        AuditOptions(**wrong)


def test_what_no_red_team_can_do_is_refused_at_every_call(batch):
    asked = ({"scores": ["charm"]}, {"seeds": 0}, {"levels": [1.5]}, {"max_perplexity_increase": 2}, {"epochs": 1})
    for wrong in (*asked, *asked):
        with pytest.raises(carto_audit.UsageError, match=r"^(scores|seeds|levels|max_perplexity_increase|epochs)[ =]"):
            carto_audit.redteam(batch, **wrong)


def test_a_red_team_is_a_value_that_can_be_saved(tmp_path):
    facts = judged_facts()
    found = carto_audit.Redteam(facts=facts)
    assert found.exit_code == facts["verdict"]["exit_code"]
    assert carto_audit.Redteam(facts={**facts, "verdict": None}).exit_code == 0
    saved = found.save(tmp_path / "redteam")
    assert json.loads((saved / "redteam.json").read_text()) == json.loads(json.dumps(facts))
    assert (saved / "redteam.html").read_text() == found.html()


def test_weights_are_drawn_at_every_call(tmp_path):
    path = tmp_path / "weights.parquet"
    pq.write_table(pa.table({"sample_weight": [1.0, 0.0, 0.5]}), path)
    for _ in range(2):
        assert set(carto_audit.sampler(path, num_samples=50)) == {0, 2}


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.attributes = set(), set()

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attributes}


@pytest.mark.parametrize("shown", ["audit", "verdict"])
def test_a_notebook_shows_it_as_inert_html(audit, shown):
    text = (audit if shown == "audit" else audit.verdict)._repr_html_()
    tags = Tags()
    tags.feed(text)
    assert "Accepted" in text
    assert tags.seen <= {"div", "p", "table", "tbody", "tr", "td", "img"}
    assert tags.attributes <= {"style", "alt", "width", "src"}
    assert "<b>batch" not in text
    assert ("data:image/png" in text) == (shown == "audit")
