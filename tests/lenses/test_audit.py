"""An audit with lenses: files, report, page, terminal, statement; and the same one without, byte for byte."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

import carto_audit
from carto_audit.artifacts.report_facts import report_schema
from carto_audit.attestation.verify import verify
from carto_audit.lenses.declared import known
from carto_audit.pipeline.options import AuditOptions
from carto_audit.report.formats.markdown import render_markdown
from carto_audit.report.formats.render import render_text
from carto_audit.report.html import render_again, render_html
from carto_audit.runtime.errors import UsageError
from tests.lenses import strange
from tests.support.audits import GATE, sentences, write_parquet
from tests.support.small_redteams import make_thin

LENSES = "lenses:\n  repetition: {planned_epochs: 2}\n  predicted_risk: {}\n  good: {}\n  markup: {}\nrules:\n"
RULES = """\
  - {id: band, metric: lens.repetition.harmful_band_token_share, max: 0.02, severity: reject, reason: too often}
  - {id: sight, metric: lens.repetition.found_at_dose_8, min: 0.75, severity: reject, reason: it has to see}
"""
TEXTS = [*sentences(48), *sentences(1) * 9, f"{sentences(1, seed=4)[0]} {strange.MARK}"]
OPTIONS = AuditOptions(epochs=2, seed=5, repeats=1)


@pytest.fixture(scope="module")
def audits(tmp_path_factory):
    """One batch audited with three lenses, of which one fails, and without; all on one thin proxy."""
    folder = tmp_path_factory.mktemp("lenses")
    batch = write_parquet(folder / "batch.parquet", TEXTS)
    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        for lens in (strange.Good, strange.Markup):
            spec = strange.spec_of(lens.__name__, doses=(1, 3) if lens is strange.Good else ())
            patch.setitem(known.SHIPPED, spec.name, known.KnownLens(spec=spec))
        policies = {"plain": GATE, "lenses": GATE.replace("rules:\n", LENSES + RULES)}
        for name, text in policies.items():
            (folder / f"{name}.yaml").write_text(text.replace("name: gate", f"name: {name}"))
        yield {
            name: carto_audit.audit(batch, policy=folder / f"{name}.yaml", options=OPTIONS, out=folder / name)
            for name in policies
        } | {"batch": batch}


def test_lenses_change_no_score_and_no_loss_by_a_byte(audits):
    for name in ("scores.parquet", "trace.parquet"):
        assert audits["lenses"].folder.data(name) == audits["plain"].folder.data(name)
    facts = {name: audits[name].report.facts for name in ("lenses", "plain")}
    assert "lenses" not in facts["plain"]
    assert "lenses" not in facts["plain"]["run"]["seconds"]
    own = {name for name in facts["lenses"]["metrics"] if name.startswith("lens.")}
    assert {n: v for n, v in facts["lenses"]["metrics"].items() if n not in own} == facts["plain"]["metrics"]
    assert facts["lenses"]["map"] == facts["plain"]["map"]


def test_rows_and_places_stand_beside_the_scores(audits):
    scores, folder = audits["lenses"].scores, audits["lenses"].path / "lenses"
    assert sorted(path.name for path in folder.iterdir()) == [
        "good.parquet",
        "good.spans.parquet",
        "predicted_risk.parquet",
        "repetition.parquet",
    ]
    rows = pq.read_table(folder / "repetition.parquet")
    assert rows.column_names == ["sample_id", "row", "effective_repeats"]
    assert rows["sample_id"].equals(scores["sample_id"])
    weight, cluster = scores["weight"].to_numpy(), scores["cluster_id"].to_numpy()
    repeats = 2 * np.bincount(cluster, weights=weight)[cluster]
    assert rows["effective_repeats"].to_numpy() == pytest.approx(repeats)
    assert repeats.max() >= 10
    spans = pq.read_table(folder / "good.spans.parquet").to_pylist()
    (place,) = spans
    assert (place["row"], TEXTS[place["row"]][place["start"] : place["end"]]) == (57, strange.MARK)
    assert strange.MARK not in str(pq.read_table(folder / "good.spans.parquet").to_pydict()).replace("mark", "")


def test_rules_judge_them_and_the_report_fits_its_schema(audits):
    from jsonschema import Draft202012Validator

    audit = audits["lenses"]
    outcomes = {finding.rule: finding.outcome for finding in audit.verdict.findings}
    assert (outcomes["band"], outcomes["sight"]) == ("failed", "passed")
    assert audit.verdict.status == "rejected"
    facts = json.loads(audit.folder.data("report.json"))
    assert not list(Draft202012Validator(report_schema()).iter_errors(facts))
    repetition = facts["lenses"]["repetition"]
    assert (repetition["status"], repetition["judged"], repetition["version"]) == ("measured", True, 1)
    assert [one["dose"] for one in repetition["power"]] == [2, 8, 32]
    assert repetition["section"]["figures"][0]["kind"] == "histogram"
    assert facts["metrics"]["lens.repetition.max_effective_repeats"] == repetition["metrics"]["max_effective_repeats"]
    failed = facts["lenses"]["markup"]
    assert (failed["status"], failed["metrics"], failed["section"]) == ("failed", {}, None)
    assert not any(name.startswith("lens.markup") for name in facts["metrics"])


def test_a_lens_of_scores_gets_what_the_audit_measured(audits):
    quadrant = audits["lenses"].scores["quadrant"].to_pylist()
    facts = audits["lenses"].report.facts["lenses"]["predicted_risk"]
    flagged = sum(name in ("hotspot_memorized", "noisy_outlier") for name in quadrant)
    assert (facts["status"], facts["metrics"], flagged > 8) == ("measured", {}, True)  # copies of one text
    assert (
        f"{flagged} of {len(quadrant)} rows that were trained on are flagged, in 1 group"
        in facts["section"]["headline"]
    )
    rows = pq.read_table(audits["lenses"].path / "lenses" / "predicted_risk.parquet")
    assert rows["read"].to_pylist() == [name is not None for name in quadrant]
    assert set(rows["group"].to_pylist()[48:57]) == {0}
    assert rows["predicted_risk"].null_count == len(rows)


def test_page_and_terminal_show_them(audits):
    audit = audits["lenses"]
    page, text = audit.report.html(), audit.report.render("text")
    assert '<h2 id="lenses">Lenses</h2>' in page
    for words in (
        "read 10 to 1,000 times",
        "Tokens by effective repeats",
        "20 of 20 planted 8 times",
        "of no known kind",
    ):
        assert words in page
    assert "25.0 % to 75.0 %" in page
    assert "Lens repetition" in text
    assert "finds at least 86 % of what was planted" in " ".join(text.replace("│", " ").split())
    assert "Lenses" not in audits["plain"].report.html()
    render_again(audit.path)
    assert audit.report.html() == page


def test_the_statement_covers_their_files_and_verify_reads_them_back(audits, tmp_path):
    copy = tmp_path / "copy"
    audits["lenses"].save(copy)
    proof = verify(copy, [audits["batch"]])
    assert int(proof.exit_code) == 0
    assert {"lenses/good.parquet", "lenses/good.spans.parquet", "lenses/repetition.parquet"} <= {
        check.name for check in proof.checks
    }
    path = copy / "lenses" / "repetition.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert [check.name for check in verify(copy, [audits["batch"]]).failed] == ["lenses/repetition.parquet"]
    path.unlink()
    assert int(verify(copy, [audits["batch"]]).exit_code) == 3


def test_a_file_that_nobody_recorded_is_told(audits, tmp_path):
    copy = tmp_path / "copy"
    audits["lenses"].save(copy)
    shutil.copy(copy / "lenses" / "good.parquet", copy / "lenses" / "acme.other.parquet")
    (check,) = verify(copy, [audits["batch"]]).failed
    assert (check.name, "nothing in" in check.words) == ("lenses/acme.other.parquet", True)


def test_a_folder_of_lenses_elsewhere_is_not_followed(audits, tmp_path):
    copy = tmp_path / "copy"
    audits["lenses"].save(copy)
    (copy / "lenses").rename(tmp_path / "elsewhere")
    (copy / "lenses").symlink_to(tmp_path / "elsewhere")
    assert int(verify(copy, [audits["batch"]]).exit_code) == 3


def test_what_an_earlier_audit_left_goes(audits, tmp_path):
    from carto_audit.lenses.tables import write_lenses

    copy = tmp_path / "copy"
    audits["lenses"].save(copy)
    (copy / "lenses" / "notes.txt").write_text("not ours")
    write_lenses(copy, (), None, None)
    assert [path.name for path in (copy / "lenses").iterdir()] == ["notes.txt"]


def test_a_lens_that_there_is_not_is_refused_before_anything_is_read():
    with pytest.raises(UsageError, match='lens=repetitin: no lens is called "repetitin"; did you mean "repetition"'):
        AuditOptions(lens=("repetitin",))


def test_the_command_takes_lenses_and_says_them_again(carto, tmp_path):
    assert carto("ingest", "x.parquet", "--lens", "nothing").code == 2
    listed = carto("lenses", "list")
    assert listed.code == 0
    assert re.search(r"^repetition +How often", listed.out, re.MULTILINE)
    explained = carto("lenses", "explain", "repetition").out
    assert "    planned_epochs: How often the training will read the batch. (usually 1)" in explained
    assert "lens.repetition.false_alarm_share" in explained
    call = carto_audit.artifacts.audit_call.call_of(["b"], out="o", options=AuditOptions(lens=("repetition",)))
    assert call.ingest() == "carto-audit ingest b --policy default --lens repetition --out o"


def hostile(value):
    """The same shape with hostile text for every string that a lens or its package may have written."""
    if isinstance(value, str):
        return "<script>alert(1)</script>\x1b[31m\u202e{{ 7*7 }}"
    if isinstance(value, dict):
        return {key: item if key in ("status", "kind", "unit") else hostile(item) for key, item in value.items()}
    return [hostile(item) for item in value] if isinstance(value, list) else value


def test_hostile_words_of_a_lens_stay_words(audits):
    facts = audits["lenses"].report.facts
    strange_facts = {**facts, "lenses": {name: hostile(lens) for name, lens in facts["lenses"].items()}}
    page = render_html(strange_facts, "<svg></svg>")
    assert "&lt;script&gt;alert(1)" in page
    for sign in ("<script>alert(1)", "\x1b", "\u202e", "49"):
        assert sign not in page.split('<h2 id="lenses">')[1].split("</section>")[0]
    (line,) = [line for line in render_markdown(strange_facts).splitlines() if "**Lens repetition**" in line]
    assert line.startswith("- **Lens repetition**: `<script>")  # as code, inert
    (plain,) = [line for line in render_markdown(facts).splitlines() if "**Lens repetition**" in line]
    assert "of the tokens would be read 10 to 1,000 times; finds at least" in plain
    text = render_text(strange_facts, audits["lenses"].path)
    assert "\x1b" not in text
    assert "\u202e" not in text
