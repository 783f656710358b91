"""Ledger: is it quick when it is large, and is nothing lost when many write to it and are killed? Needs no data and no network.

python -m bench.vendors.ledger                           # 10,000 audits; 4 writers of 250 each, 20 of them killed: two minutes
python -m bench.vendors.ledger --results FILE            # keep the figures elsewhere than in bench/vendors/ledger.json
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.vendors.made_up import VENDORS, made_up, made_up_fingerprints
from carto_audit.ledger.chain import check_chain
from carto_audit.ledger.store import enter, open_ledger, read_rows
from carto_audit.runtime.files import write_json

RESULTS = Path(__file__).with_name("ledger.json")
FINGERPRINTS, _AT_ONCE = 100, 1000
"""Of each accepted audit, a million in all: those of a few hundred words each, since random numbers are slow to enter."""

_ROOT = Path(__file__).resolve().parents[2]
_COMMAND = "import sys; from carto_audit.cli.main import main; sys.argv[0] = 'carto-audit'; main()"
_WRITER = """
import sys
from pathlib import Path
from bench.vendors.made_up import made_up, made_up_fingerprints
from carto_audit.ledger.store import enter
ledger, acknowledged, vendor, first, count = sys.argv[1:]
with open(acknowledged, "a") as kept:
    for draft in made_up(int(count), vendors=(vendor,), first=int(first)):
        enter(Path(ledger), [draft], made_up_fingerprints(draft, 100))
        print(draft["audit"], file=kept, flush=True)
"""
"""Enters its audits one by one and writes down which were acknowledged. Begun anew after a kill, it goes through all of them."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a command takes from start to end, in seconds, the middle and the worst of some runs; and how many seconds of a core,
    which other programs on the machine move less."""

    command: str
    median: float
    worst: float
    cpu: float


@dataclass(frozen=True, kw_only=True)
class Survival:
    """Concurrent writers, some of them killed: what was acknowledged and is not there, what is there twice, what is broken."""

    writers: int
    records: int
    kills: int
    entries: int
    lost: int
    problems: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every record of every writer stands in an intact chain."""
        return not self.lost and not self.problems and self.entries == self.writers * self.records


def measure_speed(folder: Path, audits: int, runs: int, few: Sequence[str] = ()) -> list[Timing]:
    """How long history and compare take on a ledger of so many audits, each as a command of its own; of all or of `few`."""
    path = folder / "large.ledger"
    drafts = list(made_up(audits))
    for start in range(0, audits, _AT_ONCE):
        some = drafts[start : start + _AT_ONCE]
        kept = (made_up_fingerprints(draft, FINGERPRINTS) for draft in some)
        enter(path, some, {audit: one for by_audit in kept for audit, one in by_audit.items()})
    book = ["--ledger", str(path)]
    commands = {
        "history": ["history", *book],
        "history --vendor": ["history", *book, "--vendor", VENDORS[0]],
        "history --html": ["history", *book, "--html", str(folder / "page.html")],
        "compare": ["compare", *VENDORS[:2], *book],
        "compare --html": ["compare", *VENDORS[:4], *book, "--html", str(folder / "page.html")],
        "ledger verify": ["ledger", "verify", str(path)],
    }
    return [_timed(name, arguments, runs) for name, arguments in commands.items() if name in (few or commands)]


def _timed(name: str, arguments: Sequence[str], runs: int) -> Timing:
    taken, used = [], []
    for _ in range(runs):
        began, before = time.perf_counter(), _cpu_of_children()
        subprocess.run(
            [sys.executable, "-c", _COMMAND, *arguments], check=True, capture_output=True, env=_environment()
        )
        taken.append(time.perf_counter() - began)
        used.append(_cpu_of_children() - before)
    middle, cpu = statistics.median(taken), statistics.median(used)
    return Timing(command=name, median=round(middle, 3), worst=round(max(taken), 3), cpu=round(cpu, 3))


def _cpu_of_children() -> float:
    """Seconds of a core that all processes used which this one began and which ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_survival(folder: Path, writers: int, records: int, kills: int, seed: int = 0) -> Survival:
    """Writers that append at once; one of those that still write is killed, again and again, and begun anew."""
    path, luck, began = folder / "shared.ledger", random.Random(seed), time.perf_counter()
    running = {number: _begin(folder, path, number, records) for number in range(writers)}
    killed = 0
    while killed < kills:
        number = luck.randrange(writers)
        if _wait_for_more(folder, number, luck.randint(1, max(1, records // (kills + 2))), running[number]):
            running[number].send_signal(signal.SIGKILL)
        running[number].wait()
        killed += running[number].returncode == -signal.SIGKILL
        running[number] = _begin(folder, path, number, records)
    for process in running.values():
        if process.wait():
            raise RuntimeError(f"a writer ended with {process.returncode}")
    with open_ledger(path) as connection:
        there = {row.audit for row in read_rows(connection)}
    acknowledged = {line for number in range(writers) for line in _acknowledged(folder, number)}
    found = check_chain(path)
    return Survival(
        writers=writers,
        records=records,
        kills=killed,
        entries=found.entries,
        lost=len(acknowledged - there),
        problems=len(found.problems),
        seconds=round(time.perf_counter() - began, 1),
    )


def _begin(folder: Path, path: Path, number: int, records: int) -> "subprocess.Popen[bytes]":
    given = [
        str(path),
        str(folder / f"{number}.txt"),
        VENDORS[number % len(VENDORS)],
        str(number * records),
        str(records),
    ]
    return subprocess.Popen([sys.executable, "-c", _WRITER, *given], env=_environment())


def _wait_for_more(folder: Path, number: int, more: int, process: "subprocess.Popen[bytes]") -> bool:
    """Waits until a writer acknowledged so many more; False where it ended before."""
    before = len(_acknowledged(folder, number))
    while process.poll() is None:
        if len(_acknowledged(folder, number)) >= before + more:
            return True
        time.sleep(0.0005)
    return False


def _acknowledged(folder: Path, number: int) -> list[str]:
    """Whole lines only: the last one of a killed writer may be torn."""
    path = folder / f"{number}.txt"
    text = path.read_text(encoding="ascii") if path.exists() else ""
    return text[: text.rfind("\n") + 1].split()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}


def show(audits: int, timings: Sequence[Timing], survival: Survival) -> None:
    """The two tables of the README."""
    print(f"| command, {audits:,} audits | seconds, median | worst | of a core |")
    print("|---|---|---|---|")
    for one in timings:
        print(f"| `{one.command}` | {one.median:.2f} | {one.worst:.2f} | {one.cpu:.2f} |")
    print()
    print("| writers × records | killed | acknowledged and lost | entries | what `ledger verify` names |")
    print("|---|---|---|---|---|")
    named = f"{survival.writers} × {survival.records}"
    print(f"| {named} | {survival.kills} | {survival.lost} | {survival.entries:,} | {survival.problems or 'nothing'} |")


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, shows, and keeps the figures; exits with 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="a small ledger, one kill, and nothing is kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    given = parser.parse_args(argv)
    audits, runs, writers, records, kills = (200, 1, 2, 12, 1) if given.smoke else (10_000, 5, 4, 250, 20)
    folder = Path(tempfile.mkdtemp(prefix="carto-ledger-"))
    try:
        timings = measure_speed(folder, audits, runs, ("history", "compare") if given.smoke else ())
        survival = measure_survival(folder, writers, records, kills)
    finally:
        shutil.rmtree(folder)
    show(audits, timings, survival)
    if not given.smoke:
        load = round(os.getloadavg()[0], 1)
        facts = {"audits": audits, "load": load, "timings": list(map(asdict, timings)), "survival": asdict(survival)}
        write_json(given.results, json.loads(json.dumps(facts)))
    if not survival.holds:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
