"""What do proxies remember of benchmark items? GSM8K test questions with answers, planted in WikiText 1, 4 and 16 times.

    python -m bench.contamination.testimony --data DATA                  # two minutes on two free cores
    python -m bench.contamination.testimony --data DATA --work FOLDER    # continues there, and keeps what was trained

An ordinary audit, proxy `nano`, 8 epochs. The same two proxies are also asked about items that were planted nowhere, each with
one of them at random in the place of the one that read it: what these show is chance.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from bench.corpora import Corpora, open_corpora, parser_of, write_texts
from bench.nano import thin_if
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.pipeline import item_recall
from carto_audit.pipeline.item_recall import recall_items
from carto_audit.pipeline.item_recall_table import MEASURED, Item, Summary, Wording, summarize, wordings
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.result import AuditResult
from carto_audit.pipeline.run import run_audit
from carto_audit.policy.model import load_policy

Recall = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Items planted by dose, items that are not, paragraphs to plant into, bytes of ordinary text, and epochs. Of planted items
    every second copy stands at the end of half a paragraph, the others alone."""

    planted: Mapping[int, int]
    never: int
    hosts: int
    bytes: int
    epochs: int


FULL = Scale(planted={1: 10, 4: 8, 16: 5}, never=40, hosts=400, bytes=102_000, epochs=8)
SMOKE = Scale(planted={1: 3, 4: 3}, never=6, hosts=20, bytes=30_000, epochs=2)


def ordinary(corpora: Corpora, scale: Scale, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Paragraphs to plant into, and those of the batch."""
    texts = [text for text in corpora.texts("wikitext") if len(text) > 60]
    rng.shuffle(texts)
    size = np.cumsum([len(text.encode()) for text in texts[scale.hosts :]])
    return texts[: scale.hosts], texts[scale.hosts :][: int(np.searchsorted(size, scale.bytes))]


def planted(items: Sequence[dict[str, Any]], doses: Sequence[int], hosts: Sequence[str]) -> list[str]:
    """Every copy of every item."""
    rows: list[str] = []
    for item, dose in zip(items, doses, strict=True):
        for copy in range(dose):
            host = hosts[len(rows) % len(hosts)]
            half = host[: host.find(" ", len(host) // 2)]
            text = f"{item['question']} {item['answer']}"
            rows.append(f"{half} {text}" if copy % 2 else text)
    return rows


def audit_planted(corpora: Corpora, scale: Scale, folder: Path) -> tuple[AuditResult, Recall]:
    """The audit, and what the items show that are not in its batch."""
    rng = np.random.default_rng(0)
    hosts, rows = ordinary(corpora, scale, rng)
    items = corpora.items("gsm8k")
    doses = [dose for dose, count in scale.planted.items() for _ in range(count)]
    chosen = [items[k] for k in rng.permutation(len(items))[: len(doses) + scale.never].tolist()]
    rows += planted(chosen[: len(doses)], doses, hosts)
    rng.shuffle(rows)
    benchmark = corpora.benchmark("gsm8k")
    absent = [_absent(benchmark.stem, item) for item in chosen[len(doses) :]]
    strangers = wordings([read_benchmark(benchmark)], absent)
    shown: dict[str, NDArray[np.float64]] = {}

    def recall_more(found: Sequence[Wording], fold: NDArray[np.int8], *rest: Any) -> Recall:
        sides = np.random.default_rng(1).integers(0, 2, len(strangers)).astype(np.int8)
        measured = recall_items([*found, *strangers], np.concatenate([fold, sides]), *rest)
        shown.update({name: values[len(found) :] for name, values in measured.items()})
        return {name: values[: len(found)] for name, values in measured.items()}

    with patch.object(item_recall, "recall_items", recall_more):
        audit = run_audit(
            [write_texts(folder / "batch.parquet", rows)],
            policy=load_policy("exploratory"),
            work=folder / "work",
            benchmarks=[benchmark],
            options=AuditOptions(proxy="nano", epochs=scale.epochs, seed=0),
        )
    return audit, shown


def _absent(benchmark: str, item: Mapping[str, Any]) -> Item:
    """An item of which no row was found."""
    return Item(benchmark=benchmark, item_id=item["item_id"], tier="", leak_kind="", rows_trained=0, fold=0, silence="")


def row_of(name: str, rows: Sequence[Mapping[str, Any]], least: int, most: int | None) -> str:
    """One line of the table: the items of which `least` to `most` rows were trained on."""
    mean: Summary = summarize(rows, least, most)
    counts = [(row["rows_trained"], row["loss_out_answer"] - row["loss_in_answer"]) for row in rows]
    gains = [gain for count, gain in counts if least <= count and (most is None or count <= most)]
    error = float(np.std(gains, ddof=1)) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
    cells = [
        _pair(mean.loss_in_question, mean.loss_out_question, ".2f"),
        _pair(mean.loss_in_answer, mean.loss_out_answer, ".2f"),
        f"{np.mean(gains):.2f} ± {error:.2f}" if gains else "–",
        _pair(mean.quiz_in, mean.quiz_out, ".0%"),
        "–" if mean.quiz_kappa is None else f"{mean.quiz_kappa:.2f}",
        _pair(mean.peak_in, mean.peak_out, ".1%"),
    ]
    return f"| {name} | {mean.items} | {' | '.join(cells)} |"


def _pair(first: float | None, second: float | None, form: str) -> str:
    return ", ".join("–" if value is None else format(value, form) for value in (first, second))


def show(audit: AuditResult, never: Recall, scale: Scale) -> None:
    """Prints the table, and which items could not be asked about."""
    found = audit.testimony.to_pylist() if audit.testimony else []
    print("| planted | items | question seen, unseen | answer seen, unseen | answer gained | quiz | kappa | peak |")
    print("|---|---|---|---|---|---|---|---|")
    strangers = [{"rows_trained": 0, **{name: float(never[name][k]) for name in MEASURED}} for k in range(scale.never)]
    print(row_of("never", strangers, 0, 0))
    asked = [row for row in found if not row["silence"]]
    for dose in scale.planted:
        print(row_of("once" if dose == 1 else f"{dose} times", asked, dose, dose))
    print(f"\nnot asked: {[(row['rows_trained'], row['silence']) for row in found if row['silence']]}")
    print(f"seconds: {audit.run.seconds}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Audits, and prints the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--work", type=Path, metavar="FOLDER")
    given = parser.parse_args(arguments)
    scale = SMOKE if given.smoke else FULL
    with (
        open_corpora(given) as corpora,
        tempfile.TemporaryDirectory() as scratch,
        thin_if(given.smoke),
    ):
        audit, never = audit_planted(corpora, scale, given.work or Path(scratch))
    show(audit, never, scale)


if __name__ == "__main__":
    main()
