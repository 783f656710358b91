"""How often does the gate reject? Batches whose memorized mass is known, and what every shipped policy says of them.

    python -m bench.gate.run --data DATA          # what is missing of the plan: about six CPU hours in all
    python -m bench.gate.run --only table         # the tables of the results at hand
    python -m bench.gate.run --only package       # and what a report tells of them
    python -m bench.gate.run --data DATA --minutes 30

As in acceptance sampling: batches of about 30,000 tokens of three corpora, with secrets planted at one dose until a wanted share
of the tokens is theirs. Each is audited once for the policies that ask about secrets of dose 4, and once more, later in the plan,
for those that ask about dose 2; each policy then judges the same losses. Results are appended to results.jsonl beside this
script, a line per batch, and a batch that is there is not audited again: stop it whenever you like.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.corpora import Corpora, open_corpora, parser_of
from bench.gate.batches import CORPORA, fill, truth_of
from bench.gate.scoring import MASS, audit_under_all
from bench.gate.table import AT_HALF, BATCHES, HALF, Results, operating, table
from bench.nano import thin_if
from carto_audit.benchmarks.index import build_index
from carto_audit.contamination.detectability import measure_detectability
from carto_audit.contamination.index_file import write_index
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.sources import read_source
from carto_audit.gate import operating as operating_module
from carto_audit.pipeline.options import DEFAULT_EPOCHS
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.files import write_json

HERE = Path(__file__).resolve().parent
TOKENS, SMOKE_TOKENS = 30_000, 10_000
"""Of ordinary text in a batch, by bench/detection's count of bytes; the audit's own count is kept with every result."""

FIRST, LATER = (0.0, 0.025, 0.05, 0.10), (0.01, 0.04, 0.075)
"""Planted shares of the tokens: none, half of what `default` allows, the limit and twice of it, and those between."""

DOSES, AT_OTHER_DOSES = (2, 4, 8), 4
"""How often secrets are planted, and the batches per mass at a dose that the audit does not ask about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One batch of the plan: audited by the policies that ask about secrets of dose `asked`."""

    asked: int
    dose: int
    mass: float
    number: int

    @property
    def corpus(self) -> str:
        """The corpora take turns over batches and over masses."""
        return CORPORA[(self.number + sorted(FIRST + LATER).index(self.mass)) % len(CORPORA)]

    @property
    def seed(self) -> int:
        """Every batch of one dose has a text of its own; those for other policies are the same batches."""
        return 10_000 * self.dose + 1_000 * sorted(FIRST + LATER).index(self.mass) + self.number


def plan() -> Iterator[Cell]:
    """All batches, the most telling first: the four masses of the bar, then those between."""
    for asked in (4, 2):
        yield from _rounds(asked, asked, FIRST, BATCHES)
        yield from (Cell(asked=asked, dose=asked, mass=HALF, number=k) for k in range(BATCHES, AT_HALF))
        yield from _rounds(asked, asked, LATER, BATCHES)
        for dose in [dose for dose in DOSES if dose != asked]:
            yield from _rounds(asked, dose, FIRST[1:], AT_OTHER_DOSES)  # where nothing is planted, there is no dose


def _rounds(asked: int, dose: int, masses: Sequence[float], batches: int) -> Iterator[Cell]:
    yield from (Cell(asked=asked, dose=dose, mass=mass, number=number) for number in range(batches) for mass in masses)


def audited(corpora: Corpora, cell: Cell, index: Path, tokens: int, epochs: int) -> dict[str, Any]:
    """One batch: what is in it, what was measured, and what every policy says."""
    rows = fill(corpora, cell.corpus, tokens, cell.dose, cell.mass, cell.seed)
    began = os.times()
    with tempfile.TemporaryDirectory() as folder:
        found = audit_under_all([row.text for row in rows], cell.asked, cell.seed, epochs, index, Path(folder))
    audit = found.audit
    own = found.judged[audit.policy.name].verdict
    assert own == audit.verdict, "losses that were kept do not say what the audit said"
    truth = truth_of([rows[i] for i in audit.batch.row.tolist()], audit.n_tokens, found.encoder)
    spent = [now - then for now, then in zip(os.times(), began, strict=True)]
    return {
        **asdict(cell),
        "corpus": cell.corpus,
        "seed": cell.seed,
        "tokens": int(audit.n_tokens.sum()),
        "token_mass": round(truth.spans, 5),
        "sample_mass": round(truth.samples, 5),
        "measured": {name: _ends(m) for name, m in sorted(audit.measurements.items()) if name.startswith(_KEPT)},
        "policies": {name: judged.facts() for name, judged in found.judged.items()},
        "cpu_seconds": round(sum(spent[:4]), 1),
    }


_KEPT = (*MASS, "detection.found", "duplicates.token_share", "boilerplate.")


def _ends(measured: Measurement) -> list[float]:
    return [round(x, 5) for x in (measured.value, measured.low, measured.high)]


def read_results(path: Path) -> Results:
    """What earlier runs left, in the order in which they left it."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def measure(given: argparse.Namespace, path: Path) -> Results:
    """What is missing of the plan, each result kept in the file as soon as it is there, until the minutes are over."""
    results = read_results(path)
    known = {(r["asked"], r["dose"], r["mass"], r["number"]) for r in results}
    missing = [c for c in plan() if (c.asked, c.dose, c.mass, c.number) not in known]
    wanted = missing[3:4] if given.smoke else [] if given.only else missing
    stop = time.monotonic() + 60 * given.minutes
    with open_corpora(given) as corpora, thin_if(given.smoke), tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "gsm8k.cartoindex"
        if wanted:
            built = build_index([read_source(str(corpora.benchmark("gsm8k")))])
            write_index(index, built, measure_detectability(built, find_matches))
        for cell in wanted:
            if time.monotonic() > stop:
                break
            scale = (SMOKE_TOKENS, 2) if given.smoke else (TOKENS, DEFAULT_EPOCHS)
            results.append(audited(corpora, cell, index, *scale))
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(results[-1], sort_keys=True) + "\n")
            said = ", ".join(f"{name} {one['status']}" for name, one in results[-1]["policies"].items())
            print(f"dose {cell.dose}, {100 * cell.mass:g} %, {cell.corpus} {cell.number}: {said}", flush=True)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and prints the tables."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--only", choices=["table", "package"], help="nothing is measured; `package` renews what reports tell"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no batch is begun after so many")
    parser.add_argument(
        "--results", type=Path, help="default: results.jsonl beside this script; with --smoke none is kept"
    )
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) if given.smoke else HERE
        results = measure(given, given.results or place / "results.jsonl")
    if given.only == "package":
        write_json(Path(str(operating_module.__file__)).with_name("operating.json"), operating(results))
    print(table(results, sum(1 for _ in plan())))


if __name__ == "__main__":
    main()
