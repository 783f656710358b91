"""Whether the losses of a run are logged under the oldest and the newest trainers that are supported.

    python -m bench.real_runs.trainers [--only table]

For each pair of versions an environment of its own is made, with what pip finds, and the tests of the integrations run in it. The
smoke run takes the environment that it runs in.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.real_runs.run import commit, read_results

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "trainers.jsonl"
PAIRS = {"oldest": ("transformers==5.0.0", "trl==1.0.0"), "newest": ("transformers<6", "trl")}
TESTS = "tests/real_runs/integrations"
NAMES = ("transformers", "trl", "torch")

_COUNTS = re.compile(r"(\d+) (passed|failed|skipped|error)")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the tests under every pair, keeps the counts and prints their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one test, in the environment that is there")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", choices=["table"], help="print the table of what is kept")
    given = parser.parse_args(argv)
    if given.smoke:
        one = f"{TESTS}/test_token_losses.py"
        print_table([{"pair": "installed", "commit": commit(), **tested(Path(sys.executable), one)}])
        return
    if not given.only:
        lines = [{"pair": pair, "commit": commit(), **measured(wanted)} for pair, wanted in PAIRS.items()]
        given.results.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    print_table(read_results(given.results))


def measured(wanted: Sequence[str]) -> dict[str, Any]:
    """The counts under some versions, in an environment that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            f"{ROOT}[dev]",
            *wanted,
        ]
        subprocess.run(install, check=True)
        return tested(python, TESTS)


def tested(python: Path, tests: str) -> dict[str, Any]:
    """How the tests ended, and with which versions."""
    found = subprocess.run(
        [str(python), "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--numprocesses", "0", tests],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    told = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {NAMES!r}}}))"
    versions = subprocess.run([str(python), "-c", told], capture_output=True, encoding="utf-8", check=True)
    counts = {name: int(number) for number, name in _COUNTS.findall(found.stdout.splitlines()[-1])}
    return {"versions": json.loads(versions.stdout), "counts": counts}


def print_table(lines: Sequence[dict[str, Any]]) -> None:
    """The table of all lines, in Markdown."""
    print("| trainers | versions | passed | failed | skipped |")
    print("|---|---|---|---|---|")
    for line in lines:
        versions = ", ".join(f"{name} {version}" for name, version in line["versions"].items())
        passed, failed, skipped = (line["counts"].get(name, 0) for name in ("passed", "failed", "skipped"))
        print(f"| {line['pair']} | {versions} | {passed} | {failed + line['counts'].get('error', 0)} | {skipped} |")


if __name__ == "__main__":
    main()
