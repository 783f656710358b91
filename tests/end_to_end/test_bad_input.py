"""Every kind of bad input that the product promises to survive, as a user meets it: through the command."""

import json
import os
import signal
import subprocess
import time
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from carto_audit.artifacts.file_list import OUTPUTS
from carto_audit.data.batch import read_batch, read_texts
from carto_audit.data.skips import LONGEST_SAMPLE
from carto_audit.pipeline.facts import report_facts, wanted_texts
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.outputs import write_outputs
from carto_audit.pipeline.result import audit_work
from carto_audit.pipeline.run import run_audit
from carto_audit.policy.model import load_policy
from carto_audit.proxies.model import PRESETS
from carto_audit.report.html import render_html
from carto_audit.runtime.errors import AuditError
from tests.report.test_html import Page
from tests.support.audits import FRAGMENTS, command, hear_ctrl_c, run_process, sentences, snapshot, write_parquet
from tests.support.report_facts import make_facts
from tests.support.small_redteams import THIN

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without room")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to list processes")

DANGEROUS = set("\x00\x07\x1b\u202e\u2066\u200b")
SHORT = ("--folds", 1, "--epochs", 2)


def unfinished(folder):
    """Temporary files and work folders below a folder."""
    return [path.name for path in folder.rglob("*") if path.name.endswith(".tmp") or path.name == ".work"]


def assert_one_line(ended, code, *words):
    assert ended.code == code, ended.err
    said = [line for line in ended.err.splitlines() if not line.startswith("· ")]
    assert len(said) == 1, ended.err
    assert said[0].startswith("Error: ")
    for word in words:
        assert word in said[0]


# Input that cannot be audited


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"text": pa.array([], pa.string())}, ["zero rows"]),
        ({"text": pa.nulls(5)}, ["5 null"]),
        ({"text": pa.array([None, "", " "])}, ["no usable text in 3 rows", "1 null, 1 empty, 1 whitespace"]),
    ],
    ids=["zero-rows", "all-null", "nothing-usable"],
)
def test_a_batch_without_text_ends_with_3(carto, tmp_path, columns, words):
    pq.write_table(pa.table(columns), tmp_path / "b.parquet")
    ended = carto("ingest", tmp_path / "b.parquet", "--out", tmp_path / "out")
    assert_one_line(ended, 3, "b.parquet", *words)
    assert list((tmp_path / "out").iterdir()) == []


def test_zero_rows_end_with_3_in_a_process_of_its_own(tmp_path):
    write_parquet(tmp_path / "b.parquet", pa.array([], pa.string()))
    assert_one_line(run_process("ingest", "b.parquet", cwd=tmp_path), 3, "zero rows")


def test_no_text_column_ends_with_2_and_names_the_columns(carto, tmp_path):
    pq.write_table(pa.table({"n": [1], "\x1b[31m": [2.0]}), tmp_path / "b.parquet")
    ended = carto("ingest", tmp_path / "b.parquet", "--out", tmp_path / "out")
    assert_one_line(ended, 2, "no text column found; name one with --text-column; it has: n, [31m")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_parquet_cut_short_ends_with_3(carto, tmp_path, share):
    path = write_parquet(tmp_path / "b.parquet", sentences(500))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert_one_line(carto("ingest", path, "--out", tmp_path / "out"), 3, "b.parquet: cannot read as parquet")


def test_a_parquet_with_a_damaged_middle_ends_with_3(carto, tmp_path):
    path = write_parquet(tmp_path / "b.parquet", sentences(500))
    data = bytearray(path.read_bytes())
    data[100:8000] = bytes(7900)
    path.write_bytes(data)
    assert_one_line(carto("ingest", path, "--out", tmp_path / "out"), 3, "b.parquet: cannot read as parquet")


@pytest.mark.parametrize("keys", [["a", "b", "a"], ["\x1b[31m::error::"] * 3, ["a", None, "b"]])
def test_ids_that_repeat_or_are_missing_end_with_3(carto, tmp_path, keys):
    path = write_parquet(tmp_path / "b.parquet", sentences(3), key=keys)
    ended = carto("ingest", path, "--id-column", "key", "--out", tmp_path / "out")
    assert_one_line(ended, 3, 'column "key"', "drop --id-column")


def test_ids_that_are_no_text_end_with_3(carto, tmp_path):
    (tmp_path / "b.jsonl").write_text('{"text": "words", "key": "a\\ud800"}\n')
    ended = carto("ingest", tmp_path / "b.jsonl", "--id-column", "key", "--out", tmp_path / "out")
    assert_one_line(ended, 3, 'column "key": cannot serve as ids')


@pytest.mark.parametrize(
    "content", [b"", b'{"prompt": "x"}\n', b'{"question": " "}\n', b'{"question": null}\n', b"{", b"\xff"]
)
def test_a_benchmark_without_questions_ends_with_3(carto, batch_file, tmp_path, content):
    (tmp_path / "bench.jsonl").write_bytes(content)
    ended = carto("ingest", batch_file, "--benchmark", tmp_path / "bench.jsonl", "--out", tmp_path / "out")
    assert_one_line(ended, 3, "bench.jsonl")


def test_a_benchmark_that_is_missing_ends_with_3(carto, batch_file, tmp_path):
    ended = carto("ingest", batch_file, "--benchmark", tmp_path / "nope.parquet", "--out", tmp_path / "out")
    assert_one_line(ended, 3, "nope.parquet: no such benchmark")


# Policies


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("severity: reject", "sevrity: reject", 1), r'did you mean "severity"'),
        (("map:", "name: again\nmap:", 1), "name"),
        (
            ("metric: batch.skipped_row_share", "metric: batch.skiped_row_share", 1),
            r'did you mean "batch.skipped_row_share"',
        ),
        (("max: 0.5", "max: .nan", 1), "rules"),
        (("max: 0.5", "max: .inf", 1), "rules"),
        (("name: gate", "name: gate\nextends: policy.yaml", 1), "extends"),
        (("schema_version: 1", "schema_version: [", 1), "policy.yaml"),
        (("max: 0.5", "max: yes", 1), "rules"),
    ],
    ids=["typo", "duplicate-key", "unknown-metric", "nan", "infinity", "cycle", "no-yaml", "no-number"],
)
def test_a_policy_with_a_mistake_ends_with_2_before_anything_is_read_or_written(
    carto, gate, tmp_path, change, complaint
):
    path = tmp_path / "policy.yaml"
    path.write_text(gate.read_text().replace(*change))
    ended = carto("ingest", tmp_path / "no-such-batch.parquet", "--policy", path, "--out", tmp_path / "out")
    assert ended.code == 2
    assert "policy.yaml:" in ended.err
    assert complaint in ended.err
    assert "no-such-batch" not in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out").exists()
    assert carto("policy", "check", path).code == 2


def test_a_cycle_through_two_policies_is_shown_as_a_chain(carto, gate, tmp_path):
    for name, base in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"extends: {base}.yaml\n{gate.read_text()}")
    ended = carto("policy", "check", tmp_path / "a.yaml")
    assert ended.code == 2
    assert all(name in ended.err for name in ("a.yaml", "b.yaml"))


# Where nothing can be written


@pytest.mark.parametrize("out", ["gate.yaml/below", "gate.yaml", "/proc/nowhere"])
def test_an_output_folder_that_cannot_be_written_ends_with_3_before_the_training(
    carto, batch_file, gate, tmp_path, out
):
    assert_one_line(carto("ingest", batch_file, "--policy", gate, "--out", tmp_path / out), 3, "choose another --out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_ends_with_3(carto, batch_file, gate, tmp_path):
    (tmp_path / "out").mkdir(mode=0o555)
    assert_one_line(carto("ingest", batch_file, "--policy", gate, "--out", tmp_path / "out"), 3, "choose another --out")


def test_an_input_with_the_name_of_an_output_is_never_overwritten(carto, gate, tmp_path):
    path = write_parquet(tmp_path / "scores.parquet", sentences(48))
    before = snapshot(tmp_path)
    assert_one_line(carto("ingest", path, "--policy", gate, "--out", tmp_path), 2, "would overwrite this input")
    assert snapshot(tmp_path) == before


def test_a_failed_audit_takes_an_earlier_verdict_back(carto, gate, tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("verdict.json", "verdict.intoto.json", ".scores.parquet.4711.tmp", "notes.tmp"):
        (tmp_path / "out" / name).write_text('{"status": "accepted"}')
    path = write_parquet(tmp_path / "b.parquet", pa.array([], pa.string()))
    assert carto("ingest", path, "--policy", gate, "--out", tmp_path / "out").code == 3
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["notes.tmp"]


# A disk that fills up: each file in turn lies on a device that has no room

OPTIONS = AuditOptions(folds=1, epochs=2, seed=0)


@needs_dev_full
@pytest.mark.parametrize("name", ["shingles.u32", "bands.u64", "runs-0.bin", "run-0/.proxy-0.pt.PID.tmp"])
def test_a_disk_that_fills_up_while_working_ends_with_3(carto, batch_file, gate, tmp_path, name, thin):
    out = tmp_path / "out"
    work = audit_work(out / ".work", read_batch([batch_file]), None, OPTIONS, load_policy(gate))
    full = work / name.replace("PID", str(os.getpid()))
    full.parent.mkdir(exist_ok=True)
    full.symlink_to("/dev/full")
    ended = carto("ingest", batch_file, "--policy", gate, "--seed", 0, "--out", out, *SHORT)
    assert ended.code == 3, ended.err
    assert "No space left on device" in ended.err
    assert "Traceback" not in ended.err
    assert not (out / "verdict.json").exists()
    assert Path("/dev/full").is_char_device()


@pytest.fixture(scope="module")
def small_audit(tmp_path_factory):
    """An audit's value and facts, with one benchmark match, to be written many times."""
    folder = tmp_path_factory.mktemp("small")
    question = " ".join(sentences(1, seed=9)) + " How many?"
    path = write_parquet(folder / "b.parquet", [*sentences(47), f"{question} Answer: twelve of them"])
    (folder / "bench.jsonl").write_text(json.dumps({"question": question, "answer": "twelve of them"}))
    benchmarks = [folder / "bench.jsonl"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "nano", THIN)
        audit = run_audit(
            [path], policy=load_policy("exploratory"), work=folder / "work", benchmarks=benchmarks, options=OPTIONS
        )
    return audit, report_facts(audit, read_texts(audit.batch, wanted_texts(audit)))


@needs_dev_full
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_disk_that_fills_up_while_writing_leaves_no_verdict_and_nothing_half(small_audit, tmp_path, name):
    (tmp_path / "verdict.json").write_text("of an earlier audit")
    (tmp_path / f".{name}.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(AuditError, match=rf"{name}: cannot write: No space left on device; free some space"):
        write_outputs(*small_audit, tmp_path)
    assert [p.name for p in tmp_path.iterdir() if not p.is_file()] == []
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(OUTPUTS[: OUTPUTS.index(name)])


def test_the_outputs_of_one_audit_are_the_same_bytes_each_time(small_audit, tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_outputs(*small_audit, folder)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(OUTPUTS)
    for name in OUTPUTS:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_limit_on_file_size_stops_both_proxies_with_one_line(tmp_path, batch_file, gate):
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
        "from carto_audit.cli.main import main; main()"
    )
    arguments = ("ingest", batch_file, "--policy", gate, "--epochs", 2, "--out", tmp_path / "out")
    ended = run_process(*arguments, cwd=tmp_path, program=program)
    assert ended.code == 3
    assert "pt: cannot write: File too large" in ended.err
    assert "Traceback" not in ended.err
    assert list((tmp_path / "out").rglob("*.tmp")) == []


# Hostile text, through everything


def test_a_hostile_batch_is_audited_like_any_other(audited):
    assert audited.ended.code == 1, audited.ended.err
    assert sorted(path.name for path in audited.folder.iterdir()) == sorted(OUTPUTS)
    assert unfinished(audited.cwd) == []
    verdict = json.loads((audited.folder / "verdict.json").read_text(encoding="utf-8"))
    assert (verdict["status"], verdict["complete"]) == ("rejected", True)
    assert [f["rule"] for f in verdict["findings"] if f["outcome"] == "failed"] == ["items"]
    json.loads((audited.folder / "verdict.intoto.json").read_text(encoding="utf-8"))


def test_the_input_of_an_audit_is_as_it_was(audited):
    assert snapshot(audited.input) == audited.input_before


def test_no_row_of_a_hostile_batch_is_lost(audited):
    facts = json.loads((audited.folder / "report.json").read_text(encoding="utf-8"))
    skipped = {entry["reason"]: entry["rows"] for entry in facts["batch"]["skipped"]}
    assert skipped == {"null": 1, "whitespace": 1, "undecodable": 3}
    assert facts["batch"]["rows"] == 52
    scores = pq.read_table(audited.folder / "scores.parquet")
    assert scores.num_rows == facts["batch"]["samples"] == 49
    ids = scores["sample_id"].to_pylist()
    shards = {"</script>alert(1)<.parquet", "{{ 7*7 }}[x].parquet", "\n::error::=1+1\u202e.jsonl"}
    assert {sample_id.rpartition(":")[0] for sample_id in ids} == shards


def test_hostile_text_names_and_ids_stay_text_on_the_page(audited):
    html = (audited.folder / "report.html").read_text(encoding="utf-8")
    page, clean = Page(html), Page(render_html(make_facts(), "<svg xmlns='http://www.w3.org/2000/svg'/>"))
    assert {tag: page.tags.get(tag, 0) for tag in ("script", "style", "img")} == {"script": 1, "style": 1, "img": 0}
    assert set(page.tags) <= set(clean.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    text = "".join(page.text)
    assert not DANGEROUS & set(html)
    for shown in ("</script>alert(1)<.parquet", "{{ 7*7 }}[x].parquet", FRAGMENTS[0], "</script> seventeen lanterns"):
        assert shown in text


def test_hostile_text_never_controls_the_terminal_or_the_ci_log(audited):
    said = audited.ended.out + audited.ended.err
    assert not DANGEROUS & set(said)
    assert not any(line.lstrip().startswith(("::", "##[")) for line in said.splitlines())
    assert "{{ 7*7 }}[bold]" in said


@pytest.mark.parametrize("name", ["report.json", "verdict.json", "verdict.intoto.json", "map.svg"])
def test_hostile_text_leaves_every_text_file_well_formed(audited, name):
    text = (audited.folder / name).read_text(encoding="utf-8")
    if name.endswith("json"):
        json.loads(text, parse_constant=pytest.fail)
    else:
        assert "<script" not in text
        assert "onerror" not in text


def test_hostile_ids_and_single_hostile_texts_go_all_the_way(carto, gate, tmp_path, thin):
    folder = tmp_path / "[bold]"
    folder.mkdir()
    texts = [*sentences(40), *FRAGMENTS]
    ids = [f"{FRAGMENTS[k % len(FRAGMENTS)]}{k}" for k in range(len(texts))]
    lines = (json.dumps({"id": i, "text": t}) for i, t in zip(ids, texts, strict=True))
    (folder / "b.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    ended = carto("ingest", folder, "--id-column", "id", "--policy", gate, "--out", out, *SHORT)
    assert ended.code == 0
    assert pq.read_table(out / "scores.parquet")["sample_id"].to_pylist() == ids
    assert not DANGEROUS & set(ended.out + ended.err + (out / "report.html").read_text(encoding="utf-8"))


def test_over_long_texts_are_counted_compared_and_not_trained_on(carto, tmp_path, thin):
    one_word, many_words = "x" * (LONGEST_SAMPLE + 1), "words and " * (LONGEST_SAMPLE // 10 + 1)
    path = write_parquet(tmp_path / "b.parquet", [*sentences(47), one_word, many_words, many_words])
    out = tmp_path / "out"
    ended = carto("ingest", path, "--policy", "exploratory", "--out", out, *SHORT)
    assert ended.code == 3  # exploratory limits masses on the map, which a single proxy does not draw
    facts = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [(s["reason"], s["rows"]) for s in facts["batch"]["skipped"]] == [("over_long", 3)]
    assert facts["duplicates"]["exact_rows"] == 1
    assert facts["batch"]["trained_samples"] == 47
    rows = pq.read_table(out / "scores.parquet").to_pylist()[-3:]
    assert [row["cluster_size"] for row in rows] == [1, 2, 2]
    assert {row["loss_in"] for row in rows} == {row["quadrant"] for row in rows} == {None}


@pytest.mark.parametrize("rows", [1, 3])
def test_a_batch_of_very_few_rows_ends_in_one_line_or_inconclusive(carto, tmp_path, rows, thin):
    path = write_parquet(tmp_path / "b.parquet", sentences(rows, words=3))
    ended = carto("ingest", path, *SHORT, "--out", tmp_path / "out")
    assert ended.code == 3, ended.err


# Killed, interrupted, repeated


def group_of(process):
    """Processes of a process group that still run, by /proc; the command starts a group of its own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == process.pid and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def wait_until(condition, process=None, seconds=180):
    """Polls a condition. A process that ends early or a condition that never comes fails the test."""
    for _ in range(seconds * 20):
        if condition():
            return
        assert process is None or process.poll() is None, "the command ended too early"
        time.sleep(0.05)
    pytest.fail("waited too long")


@lru_cache(maxsize=8)
def epoch_in(path, changed_at):
    return torch.load(path, weights_only=True)["epoch"]


def saved_epochs(folder):
    """The last epoch that each proxy has saved; none while or after the work folder is removed."""
    try:
        return {path.name: epoch_in(path, path.stat().st_mtime_ns) for path in folder.glob(".work/*/run-*/proxy-*.pt")}
    except FileNotFoundError:
        return {}


@pytest.fixture
def start():
    """Starts the command in a process group of its own; what still runs after the test is killed."""
    started = []

    def run(*arguments, cwd):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        session = {"start_new_session": True, "preexec_fn": hear_ctrl_c}
        started.append(subprocess.Popen(command(*arguments), cwd=cwd, **session, **pipes))
        return started[-1]

    yield run
    for process in started:
        for pid in group_of(process):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def loading_workers(process):
    """The training processes while they load torch; the command's own process is not one of them."""
    folders = [Path(f"/proc/{pid}") for pid in group_of(process)]
    workers = [folder for folder in folders if b"spawn_main" in (folder / "cmdline").read_bytes()]
    return [int(folder.name) for folder in workers if "libtorch" in (folder / "maps").read_text()]


@needs_proc
def test_ctrl_c_during_training_ends_with_130_and_leaves_no_process(start, batch_file, gate, tmp_path):
    out = tmp_path / "out"
    process = start("ingest", batch_file, "--policy", gate, "--epochs", 500, "--out", out, cwd=tmp_path)
    wait_until(lambda: len(loading_workers(process)) == 2, process)
    for worker in loading_workers(process):  # a terminal signals all processes at once; only the first may answer
        os.kill(worker, signal.SIGINT)
    wait_until(lambda: saved_epochs(out), process)
    os.killpg(process.pid, signal.SIGINT)
    said = "".join(part.decode() for part in process.communicate(timeout=60))
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Interrupted. Run the same command again")
    wait_until(lambda: not group_of(process), seconds=20)
    assert saved_epochs(out)
    assert not (out / "verdict.json").exists()


@pytest.mark.long
@needs_proc
def test_killed_in_the_training_and_started_again_it_ends_as_if_undisturbed(start, audited, tmp_path):
    out = tmp_path / "out"
    arguments = [*audited.arguments, "--out", out]
    process = start(*arguments, cwd=audited.cwd)
    wait_until(lambda: len(epochs := saved_epochs(out)) == 2 and min(epochs.values()) >= 2, process)
    process.kill()
    process.communicate()
    wait_until(lambda: not group_of(process), seconds=60)  # workers notice that nobody listens
    before = saved_epochs(out)
    assert min(before.values()) < 12
    assert not (out / "verdict.json").exists()

    process = start(*arguments, cwd=audited.cwd)
    while process.poll() is None:
        for name, epoch in saved_epochs(out).items():
            assert epoch >= before[name]  # an epoch that was trained is not trained again
        time.sleep(0.05)
    process.communicate()
    assert process.returncode == 1
    for name in ("scores.parquet", "trace.parquet", "matches.parquet", "verdict.json", "map.svg"):
        assert (out / name).read_bytes() == (audited.folder / name).read_bytes(), name
    assert unfinished(out) == []
    assert snapshot(audited.input) == audited.input_before


def test_two_runs_with_one_seed_give_identical_files(carto, batch_file, gate, tmp_path, thin):
    for name in ("a", "b"):
        assert carto("ingest", batch_file, "--policy", gate, "--seed", 5, "--out", tmp_path / name, *SHORT).code == 0
    for name in ("scores.parquet", "verdict.json", "trace.parquet", "map.svg", "map.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
