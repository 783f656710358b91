"""Decisions beside a whole audit: no figure moves, rows follow them, everybody in the house reads them and nobody outside."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from carto_audit.cli import main as cli
from carto_audit.decisions.file import read_decisions
from carto_audit.ledger.history import trends
from carto_audit.runtime.errors import UsageError
from tests.support.audits import FRAGMENTS, GATE, NO_ITEMS, QUESTION, sentences, write_benchmark, write_parquet
from tests.support.decisions import decision, digest_of, write_decisions
from tests.support.small_redteams import make_thin

ASKED = f"{QUESTION} 12 lanterns, 17 lanterns, 22 lanterns. Answer: 12 lanterns"
TEXTS = [*sentences(40), ASKED, f"Before it. {ASKED} After it.", f"And again. {ASKED} At the end."]
KEPT, CLEARED, OPEN, GONE = 40, 41, 42, 3
WHO, WHY = "Ann </b>\x1b[31m", "\u202e::error:: <script>alert(1)</script> {{ 7*7 }} told in DG-7"
UNREVIEWED = """\
  - {id: open-items, metric: contamination.unreviewed_confirmed_rows, max: 1, severity: reject, reason: somebody looks at each}
  - {id: waved, metric: decisions.waved_token_share, max: 0.2, severity: reject, reason: no more is waved through}
  - {id: lapsed, metric: decisions.lapsed, max: 1, severity: reject, reason: decisions are kept up to date}
"""
FORBIDDEN = """\
  - {id: no-decisions, metric: decisions.waved_token_share, max: 0, severity: reject, reason: no exceptions, locked: true}
"""


@dataclass(frozen=True, kw_only=True)
class Team:
    """A folder with an audit without decisions, `before`, and one with them, `after`."""

    home: Path

    @property
    def before(self):
        return self.home / "before"

    @property
    def after(self):
        return self.home / "after"

    def report(self, name="after"):
        return json.loads((self.home / name / "report.json").read_text())

    def scores(self, name="after"):
        return pq.read_table(self.home / name / "scores.parquet")


def run(*arguments):
    return cli.run(lambda: cli.cli.main([str(a) for a in arguments], "carto-audit", standalone_mode=False))


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """Nobody changes it."""
    home = tmp_path_factory.mktemp("team")
    batch = write_parquet(home / "given" / "june.parquet", TEXTS)
    (home / "gate.yaml").write_text(GATE + NO_ITEMS)
    quiz = write_benchmark(home / "quiz.jsonl") or home / "quiz.jsonl"
    call = ("ingest", batch, "--policy", home / "gate.yaml", "--benchmark", quiz, "--epochs", "2", "--repeats", "1")
    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        assert run(*call, "--out", home / "before") == 1
        sha256 = json.loads((home / "before" / "report.json").read_text())["contamination"]["benchmarks"][0]["sha256"]
        item = {"benchmark": "quiz", "id": FRAGMENTS[0], "sha256": sha256[:32]}
        signed = {"who": WHO, "why": WHY}
        write_decisions(
            home / "ours" / "decisions.yaml",
            decision("keep", row=KEPT, text=digest_of(TEXTS[KEPT]), **signed),
            decision("false alarm", row=CLEARED, text=digest_of(TEXTS[CLEARED]), item=item, **signed),
            decision("remove", row=GONE, text=digest_of(TEXTS[GONE]), **signed),
            decision("keep", row=OPEN, text=digest_of("what stood there in May"), **signed),
        )
        entered = ("--ledger", home / "team.ledger", "--vendor", "acme")
        given = ("--decisions", home / "ours" / "decisions.yaml", "--format", "github", *entered)
        assert run(*call, "--out", home / "after", *given) == 1
    return Team(home=home)


def test_no_figure_that_was_measured_moves_and_the_batch_is_rejected_as_before(team):
    before, after = team.report("before"), team.report()
    own = ("unreviewed", "decisions.", "ledger.")  # only the second audit was entered in a ledger
    for name in ("metrics", "metric_intervals"):
        same = [
            {k: v for k, v in facts[name].items() if not any(word in k for word in own)} for facts in (before, after)
        ]
        assert same[0] == same[1]
    for name in ("map", "detection", "contamination", "duplicates", "findings", "verdict"):
        assert before[name] == after[name], name
    assert "decisions" not in before
    assert (team.before / "matches.parquet").read_bytes() == (team.after / "matches.parquet").read_bytes()
    acted = ["action", "weight", "reasons"]
    assert team.scores("before").drop_columns(acted).equals(team.scores().drop_columns([*acted, "decision"]))
    assert after["metrics"]["contamination.unreviewed_confirmed_rows"] == 1
    assert after["metrics"]["decisions.kept_confirmed_rows"] == 2
    assert before["metrics"]["contamination.unreviewed_confirmed_rows"] == 3


def test_the_rows_follow_what_was_decided(team):
    before, after = team.scores("before").to_pylist(), team.scores().to_pylist()
    actions = {row: (after[row]["action"], after[row]["decision"]) for row in (KEPT, CLEARED, OPEN, GONE)}
    assert actions == {KEPT: ("keep", 1), CLEARED: ("keep", 2), OPEN: ("remove", None), GONE: ("remove", 3)}
    assert {row["action"] for row in before[KEPT:]} == {"remove"}
    others = [row for row in range(len(TEXTS)) if row not in actions]
    acted = ("action", "weight", "reasons")
    assert [[before[row][key] for key in acted] for row in others] == [
        [after[row][key] for key in acted] for row in others
    ]
    states = [(one["state"], one["covers"]["rows"]) for one in team.report()["decisions"]["decisions"]]
    assert states == [("used", 1), ("used", 1), ("used", 1), ("stale", 0)]


def test_a_policy_of_the_team_may_count_what_is_not_reviewed_and_one_may_forbid_it(team, tmp_path, carto):
    own = GATE + UNREVIEWED
    for name, text in (("own", own), ("strict", own.replace("max: 1,", "max: 0,")), ("none", GATE + FORBIDDEN)):
        (tmp_path / f"{name}.yaml").write_text(text)
    assert carto("policy", "try", tmp_path / "own.yaml", team.after).code == 0
    assert carto("policy", "try", tmp_path / "own.yaml", team.before).code == 1
    ended = carto("policy", "try", tmp_path / "strict.yaml", team.after)
    assert (ended.code, "open-items" in ended.out, "lapsed" in ended.out) == (1, True, True)
    assert carto("policy", "try", tmp_path / "none.yaml", team.after).code == 1
    assert carto("policy", "try", tmp_path / "none.yaml", team.before).code == 0


def test_apply_divides_by_them_and_they_go_before_remove(team, tmp_path, carto):
    batch = team.home / "given" / "june.parquet"
    ended = carto(
        "apply",
        team.after,
        batch,
        "--out",
        tmp_path / "c",
        "--remove",
        "hotspot_memorized",
        "--remove",
        "noisy_outlier",
    )
    assert ended.code == 0, ended.err
    kept = pq.read_table(tmp_path / "c" / "curated")["text"].to_pylist()
    assert TEXTS[KEPT] in kept
    assert not {TEXTS[OPEN], TEXTS[GONE]} & set(kept)
    assert "by decision kept: 1 row, 1 with a confirmed benchmark item" in ended.out
    gone = dict(zip(*pq.read_table(tmp_path / "c" / "quarantine").to_pydict().values(), strict=True))
    assert gone[TEXTS[GONE]].startswith("removed by decision of Ann </b>[31m: ::error:: <script>")
    weights = pq.read_table(tmp_path / "c" / "weights.parquet")["sample_weight"].to_pylist()
    assert (weights[KEPT], weights[OPEN], weights[GONE]) == (1, 0, 0)


def test_the_decisions_are_what_the_statement_binds(team, tmp_path, carto):
    folder = shutil.copytree(team.after, tmp_path / "audit")
    facts = json.loads((folder / "report.json").read_text())
    facts["decisions"]["decisions"][0]["who"] = "Bob"
    (folder / "report.json").write_text(json.dumps(facts))
    batch = team.home / "given" / "june.parquet"
    assert carto("verify", team.after, batch).code == 0
    assert carto("verify", folder, batch).code == 1
    assert carto("apply", folder, batch, "--out", tmp_path / "c").code == 3


def test_the_house_reads_who_decided_and_hostile_words_stay_words(team, carto):
    page = (team.after / "report.html").read_text()
    assert "Ann &lt;/b&gt;[31m" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7*7 }} told in DG-7" in page
    assert "2 rows with a confirmed benchmark item stay by decision" in page
    assert "the row has another text now" in page
    for form in ("text", "github", "markdown", "json"):
        said = carto("report", team.after, "--format", form).out
        assert "2 rows with a confirmed benchmark item stay by decision" in said
        assert not any(line.lstrip().startswith("::error:: <script>") for line in said.splitlines())
        assert form == "json" or all(line.isprintable() for line in said.splitlines())
    said = " ".join(carto("report", team.after, "--format", "text").out.replace("│", " ").split())
    assert "4 decisions in decisions.yaml: 3 used, 1 stale" in said


def test_show_tells_the_decision_of_a_row_and_lines_for_the_next_one(team, tmp_path, carto):
    ended = carto("show", team.after, f"row:{KEPT}", f"row:{OPEN}")
    said = " ".join(ended.out.replace("│", " ").split())
    assert "Decided number 1: keep, by Ann </b>[31m until" in said
    assert all(line.isprintable() for line in ended.out.splitlines())
    lines = [line for line in ended.out.splitlines() if line.startswith(("  - ", "    "))]
    filled = [{"    who:": "    who: Ann", "    why:": "    why: looked at it twice"}.get(line, line) for line in lines]
    path = tmp_path / "decisions.yaml"
    path.write_text("\n".join(["schema_version: 1", "decisions:", *filled]))
    batch = team.home / "given" / "june.parquet"
    read = read_decisions(str(path), [batch], never_drop=False).decisions
    assert [(one.decision, one.row, one.text) for one in read] == [
        (kind, row, digest_of(TEXTS[row])) for row in (KEPT, OPEN) for kind in ("keep", "false alarm")
    ]
    assert read[1].items == (("quiz", FRAGMENTS[0]),)
    path.write_text("\n".join(["schema_version: 1", "decisions:", *lines]))
    with pytest.raises(UsageError, match="who: this is empty"):
        read_decisions(str(path), [batch], never_drop=False)


def test_neither_the_vendor_nor_the_public_learns_who_decided_and_why(team, tmp_path, carto, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert carto("reply", team.after, "--out", tmp_path / "reply").code == 0
    lines = {
        line["row"]: line for line in map(json.loads, (tmp_path / "reply" / "rows.jsonl").read_text().splitlines())
    }
    assert lines[GONE]["reason"] == "removed after somebody looked at it"
    assert "evaluation_items" in lines[OPEN]
    assert KEPT not in lines
    assert "evaluation_items" not in lines.get(CLEARED, {})
    (tmp_path / "README.md").write_text("# June\n")
    assert carto("card", team.after, "--readme", tmp_path / "README.md").code == 0
    card = (tmp_path / "README.md").read_text()
    assert "| **Kept by decision** | 2 rows with a confirmed benchmark item |" in card
    public = [path.read_bytes() for path in (tmp_path / ".carto-audit").iterdir()]
    for data in (*public, card.encode(), *(path.read_bytes() for path in (tmp_path / "reply").iterdir())):
        assert b"Ann" not in data
        assert b"DG-7" not in data
    assert any(b"decisions.kept_confirmed_rows" in data for data in public)


def test_the_ledger_keeps_those_that_were_used(team):
    (entry,) = trends(team.home / "team.ledger").vendors[0].entries
    assert [(one.decision, one.rows, one.who) for one in entry.decisions] == [
        (kind, 1, "Ann </b>[31m") for kind in ("keep", "false alarm", "remove")
    ]


def test_a_bad_file_is_refused_before_anything_is_trained_and_an_earlier_verdict_stands(team, tmp_path, carto):
    folder = shutil.copytree(team.after, tmp_path / "audit")
    batch, text = team.home / "given" / "june.parquet", digest_of(TEXTS[GONE])
    path = write_decisions(
        tmp_path / "ours" / "bad.yaml", decision("keep", row=GONE, text=text), decision("remove", row=GONE, text=text)
    )
    call = ("ingest", batch, "--policy", team.home / "gate.yaml", "--out", folder)
    ended = carto(*call, "--decisions", path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        f"Error: {path}:9:5: decisions.1: row {GONE} is decided already, in decisions.0; leave one"
    ]
    ended = carto(*call, "--decisions", write_decisions(batch.parent / "decisions.yaml"))
    (batch.parent / "decisions.yaml").unlink()
    assert (ended.code, "lies in or beside what is delivered" in ended.err) == (2, True)
    never = tmp_path / "never.yaml"
    never.write_text(GATE.replace("name: gate", "name: never\nnever_drop: true"))
    path = write_decisions(tmp_path / "ours" / "drop.yaml", decision("remove", row=GONE, text=text))
    ended = carto("ingest", batch, "--policy", never, "--out", folder, "--decisions", path)
    assert (ended.code, "the policy never drops a row" in ended.err) == (2, True)
    assert (folder / "verdict.json").exists()
