"""Engines: the same audit by one process, by several and on Ray, undisturbed and with a worker killed in each stage.

    python -m bench.scale.engines            # every engine, some minutes of 2 cores; without Ray only `local`
    python -m bench.scale.engines --redteam  # the arms of a red team too

Every audit is the command itself, in a process of its own. A worker is killed with SIGKILL while it holds a shard: for the
training once a checkpoint is there. What is compared are whole files, byte for byte; none of them holds a time or a path.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.corpora import docstrings, parser_of

ROOT = Path(__file__).resolve().parents[2]
COMPARED = ("verdict.json", "scores.parquet", "trace.parquet", "matches.parquet", "testimony.parquet")
LARGE = 300_000
"""Bytes of text in each file but the last: so large a file is a shard of its own."""

STAGES = {"duplicates": r"[0-9a-f]{16}", "search": r"[0-9a-f]{16}", "training": r"run-\d+", "arms": r"seed-\d+"}
"""Where a stage has its `setting-…` or `shared-…` while it works: the folder's name."""

_MARK = re.compile("(setting|shared)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run: flags, the stage in which a worker is killed, and whether the whole run is, and goes on with `then`."""

    title: str
    flags: tuple[str, ...]
    killed_in: str | None = None
    then: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it went: the pid that was killed, seconds in all, who worked, and digests of what was left."""

    pid: int | None
    seconds: float
    engine: dict[str, Any] | None
    digests: tuple[str, ...]


def cases(with_ray: bool, smoke: bool) -> Iterator[Case]:
    """What is run; the first is what the others are compared with."""
    one, two = ("--workers", "1"), ("--workers", "2")
    ray_one, ray_two = ("--engine", "ray", *one), ("--engine", "ray", *two)
    yield Case(title="local, 1", flags=one)
    if smoke:
        yield Case(title="local, 2", flags=two, killed_in="search")
        return
    yield Case(title="local, 2", flags=two)
    for stage in ("duplicates", "search", "training"):
        yield Case(title="local, 2", flags=two, killed_in=stage)
    if not with_ray:
        return
    yield Case(title="ray, 1", flags=ray_one)
    yield Case(title="ray, 2", flags=ray_two)
    for stage in ("duplicates", "search", "training"):
        yield Case(title="ray, 2", flags=ray_two, killed_in=stage)
    yield Case(title="ray, 2, the run killed; then local, 1", flags=ray_two, killed_in="training", then=one)


def red_cases(with_ray: bool) -> Iterator[Case]:
    """The same for the arms of a red team."""
    two = ("--workers", "2")
    yield Case(title="local, 1", flags=("--workers", "1"))
    yield Case(title="local, 2", flags=two, killed_in="arms")
    if with_ray:
        yield Case(title="ray, 2", flags=("--engine", "ray", *two), killed_in="arms")


def write_batch(folder: Path, smoke: bool) -> tuple[Path, Path]:
    """Docstrings of the standard library in three files, and an evaluation set of which some items stand among them."""
    texts = [text for text in docstrings() if len(text) > 60]
    items = [text for text in texts if 200 < len(text) < 400][:8]
    delivery, quiz = folder / "batch", folder / "quiz.jsonl"
    delivery.mkdir()
    rest = iter(texts)
    for number in range(3):
        size, rows = 0, []
        for text in islice(rest, 60) if smoke else rest:
            rows.append(text)
            size += len(text)
            if size > LARGE:
                break
        pq.write_table(pa.table({"text": rows}), delivery / f"{number}.parquet")
    quiz.write_text("".join(json.dumps({"question": text}) + "\n" for text in items), encoding="utf-8")
    return delivery, quiz


def run(case: Case, command: Sequence[str], out: Path, files: Sequence[str]) -> Ended:
    """Runs one command, and kills what the case says."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    environment["XDG_CACHE_HOME"] = f"{out}-cache"
    begin, pid = time.perf_counter(), None
    for flags in [case.flags, *([case.then] if case.then else [])]:
        words = [sys.executable, "-c", "from carto_audit.cli.main import main; main()", *command, *flags]
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            process = subprocess.Popen([*words, "--out", str(out)], env=environment, stderr=said, stdout=said)
            if case.killed_in and pid is None:
                pid = kill_in(case.killed_in, process, out, whole=case.then is not None)
            process.wait()
            said.seek(0)
            is_over = flags is case.then or case.then is None
            if (is_over and not (out / files[0]).exists()) or (case.killed_in and pid is None):
                raise SystemExit(f"{case.title}: ended with {process.returncode}\n{said.read()[-2000:]}")
    facts = json.loads((out / "report.json").read_bytes()) if (out / "report.json").exists() else {"run": {}}
    return Ended(
        pid=pid,
        seconds=time.perf_counter() - begin,
        engine=facts["run"].get("engine"),
        digests=tuple(digest(out / name) for name in files),
    )


def kill_in(stage: str, process: "subprocess.Popen[bytes]", out: Path, whole: bool) -> int | None:
    """The pid of a worker that is killed while a stage works, or of the run; None where it ended before."""
    while process.poll() is None:
        pid = next(busy(process.pid), None) if is_in(stage, out) else None
        if pid is not None:
            victim = process.pid if whole else pid
            os.kill(victim, signal.SIGKILL)
            return victim
        time.sleep(0.02)
    return None


def is_in(stage: str, out: Path) -> bool:
    """Whether workers have been given this stage; in the training, whether one has finished an epoch."""
    for place, folders, files in os.walk(out):  # which minds no folder that is gone meanwhile
        if re.fullmatch(STAGES[stage], Path(place).name) and any(map(_MARK.match, folders)):
            is_hashing = "shingles.u32" in files
            has_epoch = any(re.fullmatch(r"proxy-\d+\.pt", name) for name in files)
            return {"duplicates": is_hashing, "search": not is_hashing, "training": has_epoch}.get(stage, True)
    return False


def busy(parent: int) -> Iterator[int]:
    """Workers below a process: those of its own, and of Ray's those that hold a task."""
    children: dict[int, list[int]] = {}
    commands: dict[int, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid, above = int(folder.name), (folder / "stat").read_text().rpartition(")")[2].split()[1]
            commands[pid] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        children.setdefault(int(above), []).append(pid)
    waiting = [parent]
    while waiting:
        waiting += (below := children.get(waiting.pop(), []))
        yield from (pid for pid in below if b"multiprocessing-fork" in commands[pid] or b"ray::_work" in commands[pid])


def digest(path: Path) -> str:
    """Of a file; of what a red team found without what tells times."""
    if not path.exists():
        return "none"
    data = path.read_bytes()
    if path.name == "redteam.json":
        facts = json.loads(data)
        data = json.dumps({k: v for k, v in facts.items() if k != "run"}, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def table(rows: Sequence[tuple[Case, Ended]], files: Sequence[str]) -> str:
    """A line a run: what was killed, what it took, and which files are the first run's."""
    lines = [
        "| engine, workers | killed | begun again | seconds | the same bytes | others |",
        "|---|---|---|---|---|---|",
    ]
    first = rows[0][1].digests
    for case, ended in rows:
        killed = f"pid {ended.pid}, {case.killed_in}" if ended.pid else "–"
        same = [
            name for name, ours, theirs in zip(files, ended.digests, first, strict=True) if ours == theirs != "none"
        ]
        others = [name for name in files if name not in same]
        again = ended.engine["retries"] if ended.engine else "–"
        lines.append(
            f"| {case.title} | {killed} | {again} | {ended.seconds:.0f} | {', '.join(same)} | {', '.join(others) or '–'} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table, and ends with 1 where a file differs."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", metavar="ENGINE", default="", help="compare the first run with those of one engine")
    parser.add_argument("--redteam", action="store_true", help="the arms of a red team, in place of audits")
    given: argparse.Namespace = parser.parse_args(arguments)
    with_ray = importlib.util.find_spec("ray") is not None
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        delivery, quiz = write_batch(place, given.smoke)
        command = [
            "ingest",
            str(delivery),
            "--benchmark",
            str(quiz),
            "--seed",
            "1",
            "--repeats",
            "1",
            "--fail-on",
            "never",
        ]
        command += (
            ["--epochs", "2", "--max-tokens", "4000"] if given.smoke else ["--epochs", "3", "--max-tokens", "20000"]
        )
        files: tuple[str, ...] = COMPARED
        chosen = cases(with_ray, given.smoke)
        if given.redteam:
            command = ["redteam", str(delivery), "--quick", "--level", "0.1", "--epochs", "2", "--max-tokens", "20000"]
            files, chosen = ("redteam.json",), red_cases(with_ray)
        rows: list[tuple[Case, Ended]] = []
        for number, case in enumerate(chosen):
            if rows and not case.title.startswith(given.only):
                continue
            rows.append((case, run(case, [*command, "--quiet"], place / f"out-{number}", files)))
            print(table([rows[0], rows[-1]], files).splitlines()[-1], file=sys.stderr)
        print(table(rows, files))
    if any(ended.digests != rows[0][1].digests for _, ended in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
