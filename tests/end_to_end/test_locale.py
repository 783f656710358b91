"""The C locale without UTF-8, and names that are no text: every command says what it has to say, and reads what there is."""

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from tests.support.audits import GATE, MAIN, ONE_BY_ONE, codes_of, command, one_by_one, sentences, write_parquet
from tests.support.finished import write_finished

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
THIN = "import pytest; from tests.support.small_redteams import make_thin; make_thin(pytest.MonkeyPatch()); "
SHORT = ("--folds", "1", "--epochs", "2", "--seed", "1", "--quiet")


def run_in_c(*arguments, cwd, program=MAIN):
    words = [os.fsencode(word) for word in command(program=program)]
    roots = {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*words, *map(os.fsencode, arguments)], cwd=cwd, env={**os.environ, **C_LOCALE, **roots}, capture_output=True
    )


def codes_in_c(*commands, cwd):
    """How the commands ended, one after the other in one process."""
    ended = run_in_c(*one_by_one(commands), cwd=cwd, program=ONE_BY_ONE)
    assert ended.returncode == 0, ended.stderr
    assert b"Internal error" not in ended.stderr
    return codes_of(ended.stderr.decode(errors="replace"))


@pytest.mark.parametrize("name", [b"audit-\xff", "audit-grün".encode()])
def test_a_finished_audit_is_read_in_any_locale_under_any_name(tmp_path, name):
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    write_finished(folder)
    (tmp_path / "batch.jsonl").write_text('{"text": "words of one row"}\n')
    report, text, verify, card = codes_in_c(
        ("report", folder),
        ("report", folder, "--format", "text"),
        ("verify", folder, "batch.jsonl"),
        ("card", folder, "--readme", folder / "README.md"),
        cwd=tmp_path,
    )
    assert (report, text, card) == (0, 0, 0)
    assert verify in (1, 3)


def test_a_batch_of_other_letters_is_audited_and_divided_as_in_any_locale(tmp_path):
    batch = tmp_path / "größe"
    write_parquet(batch / "tafel-é.parquet", [f"{text} 東京" for text in sentences(12)], größe=["grün"] * 12)
    (batch / "tafel-é.parquet").rename(batch / os.fsdecode(b"st\xff.parquet"))
    lines = "".join(json.dumps({"text": f"{text} grüßt"}, ensure_ascii=False) + "\n" for text in sentences(12, 1))
    (batch / "zeile-日.jsonl").write_text(lines, encoding="utf-8")
    (batch / "é.csv").write_text("text,größe\n" + "".join(f'"{text} ñ",ü\n' for text in sentences(12, 2)), "utf-8")
    (tmp_path / "exam-ß.jsonl").write_text(
        '{"question": "Wie groß ist die Brücke über dem Fluß?", "answer": "ß"}\n', "utf-8"
    )
    (tmp_path / "regel-ä.yaml").write_text(
        GATE.replace("reason: too little", "reason: größtenteils too little"), "utf-8"
    )
    out = tmp_path / "prüfung"
    given = ("größe", "--policy", "regel-ä.yaml", "--benchmark", "exam-ß.jsonl", "--out", out.name)
    ended = run_in_c("ingest", *given, *SHORT, "--format", "markdown=ü.md", cwd=tmp_path, program=THIN + MAIN)
    assert ended.returncode == 0, ended.stderr
    facts = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert facts["batch"]["paths"] == ["st?.parquet", "zeile-日.jsonl", "é.csv"]
    assert facts["batch"]["layout"]["unread"][0]["column"] == "größe"
    assert facts["contamination"]["benchmarks"][0]["name"] == "exam-ß"
    assert pq.read_table(out / "scores.parquet")["sample_id"][-1].as_py() == "é.csv:11"
    assert "Accepted" in (tmp_path / "ü.md").read_text(encoding="utf-8")
    apply = ("apply", out.name, "größe", "--out", "geteilt-ö")
    again = apply  # what is there already is known as its own, and replaced
    assert codes_in_c(apply, again, ("verify", out.name, "größe"), cwd=tmp_path) == [0, 0, 0]
    parts = {path.name: path for path in (tmp_path / "geteilt-ö" / "curated").iterdir()}
    assert set(parts) == {"00000-st.parquet", "00001-zeile-日.jsonl", "00002-é.csv"}
    assert parts["00001-zeile-日.jsonl"].read_text(encoding="utf-8") == lines
