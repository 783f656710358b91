"""Fuzzing with atheris: changes the seeds of a target for so long, led by which lines of the package they reach.

python -m tests.fuzz.run batch --seconds 60
python -m tests.fuzz.run all --seconds 300 --corpus FOLDER    # keeps what reaches new lines
"""

import argparse
import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

SEEDS = Path(__file__).parent / "seeds"
NAMES = ("batch", "index", "envelope", "policy", "report", "card")
LIMITS = ("-timeout=60", "-rss_limit_mb=3000", "-max_len=65536")
"""Seconds by the clock that one input may take on a busy machine, and megabytes. More of either is a finding."""

PATIENCE = 600
"""Seconds that a target may take besides, to be loaded on a busy machine and to end."""


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Runs one target in this process, which ends with it: libFuzzer never returns."""
    import atheris

    with atheris.instrument_imports(include=["carto_audit"]):
        from tests.fuzz.targets import run
    libc = ctypes.CDLL(None)
    libc.on_exit(
        libc._exit, None
    )  # libFuzzer exits with the interpreter's lock, for which Arrow's threads would wait for ever
    corpus.mkdir(parents=True, exist_ok=True)
    found = f"-artifact_prefix={corpus.parent}/{name}-"
    arguments = [sys.argv[0], f"-max_total_time={seconds}", found, *LIMITS, "-print_final_stats=1"]
    atheris.Setup([*arguments, str(corpus), str(SEEDS / name)], lambda data: run(name, data))
    atheris.Fuzz()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=(*NAMES, "all"))
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--corpus", type=Path, help="where inputs that reach new lines, and findings, are kept")
    options = parser.parse_args(arguments)
    corpus = options.corpus or Path(tempfile.mkdtemp(prefix="carto-fuzz-"))
    if options.target != "all":
        fuzz(options.target, options.seconds, corpus / options.target)
    for name in NAMES:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.run",
            name,
            "--seconds",
            str(options.seconds),
            "--corpus",
            str(corpus),
        ]
        limit = options.seconds + PATIENCE
        ended = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=limit
        )
        runs = [line for line in ended.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
        print(f"{name}: {'ok' if ended.returncode == 0 else 'FOUND'}", *(line.split()[-1] + " inputs" for line in runs))
        if ended.returncode:
            print(ended.stderr[-6000:], f"the input lies in {corpus}", sep="\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
