"""Does anything get past the gate? Every known way, a command each, beside a harmless twin of the same shape.

    python -m bench.evasion.run --data DATA                       # what is missing of the table
    python -m bench.evasion.run --data DATA --only "token ids"    # one attack and its twin
    python -m bench.evasion.run --only table                      # the table of the results at hand

A case is an ordinary command: `ingest`, `verify` or `apply`. An attack is caught where it does not end with 0; a twin is
accepted where it does. Attacks on the map, which cost a training each, are those of `bench.detection`: their lines are read
from its results. Every case is appended to results.jsonl beside this script, and one that is there is not repeated. With
--smoke a few are tried once, and one that gets through, or a twin that does not, ends the script with 1.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from bench.corpora import open_corpora, parser_of
from bench.detection import run as detection
from bench.detection.attacks import ATTACKS as MAPPED
from bench.evasion import audits, files, policies, texts
from bench.evasion.case import Attack, Case, Desk, call
from bench.evasion.table import Result, table
from bench.nano import reshaped, thin_if
from carto_audit.data.batch import Batch
from carto_audit.data.duplicates import Duplicates, find_duplicates
from carto_audit.runtime.progress import Progress

HERE = Path(__file__).resolve().parent
ATTACKS: dict[str, Attack] = {**texts.ATTACKS, **files.ATTACKS, **audits.ATTACKS, **policies.ATTACKS}
SMALLEST = {"vocab_size": 320, "context": 32, "hidden_size": 8, "minibatch_tokens": 16_384}
"""A proxy that learns nothing, for rules that do not need one."""

FEW = ("over columns", "link out", "edited verdict", "replayed audit", "loosened lock")
"""What a smoke run tries, one way of each kind."""


@contextmanager
def cheaply() -> Iterator[None]:
    """Training that costs next to nothing, in this process and on one thread."""
    with thin_if(True), reshaped(SMALLEST):
        torch.set_num_threads(1)
        yield


def tried(attack: Attack, desk: Desk, repetition: int, harmless: bool) -> tuple[int, str]:
    """The exit code of one case, and all that the command said."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        rng = np.random.default_rng([repetition, 20])
        case = Case(folder=Path(name), desk=desk, rng=rng, harmless=harmless)
        arguments = attack.write(case)
        if attack.meanwhile is not None:
            stack.enter_context(patch("carto_audit.pipeline.run.find_duplicates", _after(attack.meanwhile, case)))
        return call(*arguments)


def _after(meanwhile: Callable[[Case], None], case: Case) -> Callable[[Batch, Path, Progress], Duplicates]:
    """The second pass over the batch, with something that happens before it."""

    def find(batch: Batch, folder: Path, progress: Progress) -> Duplicates:
        meanwhile(case)
        return find_duplicates(batch, folder, progress)

    return find


def read_results(path: Path) -> list[Result]:
    """What earlier runs left, in their order."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Result(**json.loads(line)) for line in lines]


def of_the_map() -> list[Result]:
    """The attacks on the map and their twins, as `bench.detection` measured them."""
    kept = detection.read_results(detection.HERE / "results.jsonl")
    codes = {"accepted": 0, "accepted_with_warnings": 0, "rejected": 1, "inconclusive": 3}
    return [
        Result(attack=kind, repetition=repetition, harmless=kept_as.startswith("twin"), code=codes[run["status"]])
        for kind in MAPPED
        for kept_as in (f"attack {kind}", f"twin of {kind}")
        for (experiment, _, repetition), run in kept.items()
        if experiment == kept_as
    ]


def measure(given: argparse.Namespace, path: Path) -> list[Result]:
    """Every case that is wanted and not there, each kept as soon as it has ended."""
    results = read_results(path)
    done = {(one.attack, one.repetition, one.harmless) for one in results}
    names = given.only or (FEW if given.smoke else list(ATTACKS))
    if "table" in names:
        return results
    with open_corpora(given) as corpora, cheaply():
        for repetition in range(1 if given.smoke else given.repetitions):
            with tempfile.TemporaryDirectory() as folder:
                desk = Desk(folder=Path(folder), corpora=corpora, seed=repetition)
                for name, harmless in ((name, twin) for name in names for twin in (False, True)):
                    if (name, repetition, harmless) in done:
                        continue
                    code, said = tried(ATTACKS[name], desk, repetition, harmless)
                    results.append(Result(attack=name, repetition=repetition, harmless=harmless, code=code))
                    with path.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(results[-1].kept(), sort_keys=True) + "\n")
                    if given.verbose or results[-1].is_wrong:
                        print(f"{'twin of ' * harmless}{name} {repetition}: exit code {code}\n{said}", flush=True)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Tries what is missing, and prints the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=[*ATTACKS, "table"], action="append", help="one attack; may be repeated")
    parser.add_argument("--repetitions", type=int, default=2, help="of each attack and twin, each with other texts")
    parser.add_argument("--verbose", action="store_true", help="show what every command said")
    parser.add_argument(
        "--results", type=Path, help="default: results.jsonl beside this script; a smoke run keeps none"
    )
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = given.results or (Path(folder) if given.smoke else HERE) / "results.jsonl"
        results = measure(given, path)
    print(table(results, of_the_map(), {name: attack.what for name, attack in ATTACKS.items()}))
    if given.smoke and any(one.is_wrong for one in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
