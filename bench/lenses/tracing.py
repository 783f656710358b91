"""Tracing: what proxies say unasked is traced to the rows that it comes from, and nothing else is.

    python -m bench.lenses.tracing --data DATA --kept FOLDER    # six audits of about 100,000 tokens, some CPU minutes each
    python -m bench.lenses.tracing --data DATA --only gsm8k-1   # one of them

Passages of text that the batch does not hold otherwise stand in it 1, 4 and 16 times, half of them alone in their rows and half
behind other words. They are the benchmark's own: the lens plants word lists. With every audit the lens also looks through two
proxies that were never trained. Audits that lie in --kept are not repeated.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import torch

import carto_audit
from bench.corpora import Corpora, open_corpora, parser_of, write_texts
from bench.detection.canaries import distinct
from bench.nano import thin_if
from carto_audit.lenses.host import look_through
from carto_audit.lenses.mixing import Subject
from carto_audit.pipeline.options import AuditOptions
from carto_audit.proxies.model import build_proxy
from carto_audit.runtime.files import write_json

RUNS = (("wikitext", 1), ("wikitext", 2), ("wikitext", 3), ("docstrings", 1), ("gsm8k", 1), ("shakespeare", 1))
BYTES, SMOKE_BYTES = 350_000, 60_000
"""Of a batch: about 100,000 tokens."""

DOSES, EACH, WORDS, LONGEST = (1, 4, 16), 8, 24, 1_200
"""Passages of each dose and their words; characters of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What stands in the batch so many times, alone in its rows or behind other words."""

    text: str
    dose: int
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one audit says. `right` of `traced` outputs with a planted passage name all rows that hold the run, and no other;
    `said` counts passages by dose, alone and behind other words, that were traced; `untrained` is the share of proxies that were
    never trained."""

    name: str
    facts: dict[str, Any]
    traced: int
    right: int
    said: dict[tuple[int, bool], int]
    untrained: float


def main(arguments: list[str] | None = None) -> None:
    """Prints the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--kept", type=Path, metavar="FOLDER", help="where audits are kept; default: nowhere")
    parser.add_argument("--only", metavar="CORPUS-SEED", help="one audit")
    given = parser.parse_args(arguments)
    runs = [run for run in RUNS if given.only in (None, f"{run[0]}-{run[1]}")]
    with open_corpora(given) as corpora, tempfile.TemporaryDirectory() as passing, thin_if(given.smoke):
        folder = given.kept or Path(passing)
        size = SMOKE_BYTES if given.smoke else BYTES
        results = [measured(corpora, *run, size, folder) for run in (runs[:1] if given.smoke else runs)]
    print("\n".join(table(results)))


def measured(corpora: Corpora, corpus: str, seed: int, size: int, kept: Path) -> Result:
    """One audit, or what is kept of it, held against what was planted."""
    folder = kept / f"{corpus}-{seed}"
    texts, passages = written(corpora, corpus, seed, size)
    audit = folder / "audit"
    if not (folder / "untrained.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        batch = write_texts(folder / "batch.parquet", texts)
        options = AuditOptions(seed=seed, repeats=1, device="cpu", lens=("tracing",))
        with untrained_too(seed) as other:
            carto_audit.audit(batch, options=options, out=audit)
        write_json(folder / "untrained.json", other)
    facts = json.loads((audit / "report.json").read_text(encoding="utf-8"))
    spans = pq.read_table(audit / "lenses" / "tracing.spans.parquet").to_pylist()
    read = set(np.flatnonzero(pq.read_table(audit / "lenses" / "tracing.parquet")["times_traced"].is_valid()).tolist())
    traced, right, said = held_against(texts, passages, spans, read)
    other = json.loads((folder / "untrained.json").read_text(encoding="utf-8"))
    name = f"{corpus} {seed}"
    return Result(name=name, facts=facts, traced=traced, right=right, said=said, untrained=other["share"])


def written(corpora: Corpora, corpus: str, seed: int, size: int) -> tuple[list[str], list[Passage]]:
    """The texts of a batch in random order, and the passages that were planted."""
    rng = np.random.default_rng([seed, 0x7AC])
    texts = distinct(corpora, corpus)
    rng.shuffle(texts)
    count = int(np.searchsorted(np.cumsum([len(text[:LONGEST].encode()) for text in texts]), size))
    rows, rest = [text[:LONGEST] for text in texts[:count]], [text.split() for text in texts[count:]]
    pool = iter([words for words in rest if len(words) > WORDS] or [text.split() for text in texts if len(text) > 300])
    usual = " ".join(rows[:200]).split()
    passages = [
        Passage(text=" ".join(next(pool)[:WORDS]), dose=dose, alone=bool(k % 2)) for dose in DOSES for k in range(EACH)
    ]
    for one in passages:
        before = [[] if one.alone else rng.choice(usual, 8).tolist() for _ in range(one.dose)]
        rows += [" ".join([*words, one.text]) for words in before]
    return [rows[k] for k in rng.permutation(len(rows))], passages


@contextmanager
def untrained_too(seed: int) -> Iterator[dict[str, float]]:
    """Audits within the block also look with two proxies that were never trained; what the lens says of these is added."""
    found: dict[str, float] = {}

    def both(calls: Any, subject: Subject, *rest: Any) -> Any:
        assert subject.proxies is not None
        with tempfile.TemporaryDirectory() as place:
            for index in (0, 1):
                state = build_proxy(subject.proxies.spec, seed + index).state_dict()
                torch.save({"model": state}, Path(place) / f"proxy-{index}.pt")
            blank = replace(subject, proxies=replace(subject.proxies, folder=Path(place)))
            (run,) = look_through(calls, blank, *rest)
        found["share"] = run.measurements["lens.tracing.unprompted_verbatim_share"].value
        found["rows"] = run.measurements["lens.tracing.distinct_sources"].value
        return look_through(calls, subject, *rest)

    with patch("carto_audit.pipeline.run.look_through", both):
        yield found


def held_against(
    texts: list[str], passages: list[Passage], spans: list[dict[str, Any]], read: set[int]
) -> tuple[int, int, dict[tuple[int, bool], int]]:
    """Outputs with a planted passage, and of these how many name all rows that were read and hold the run and no other, searched
    for as words; and how many passages were traced."""
    plain = [" ".join(text.split()) for text in texts]
    outputs: dict[int, dict[int, str]] = {}
    for span in spans:
        run = " ".join(texts[span["row"]][span["start"] : span["end"]].split())
        outputs.setdefault(span["output"], {})[span["row"]] = run
    traced, right, heard = 0, 0, set()
    for named in outputs.values():
        run = next(iter(named.values()))
        of = [k for k, one in enumerate(passages) if any(one.text in plain[row] for row in named)]
        if of:
            traced += 1
            right += set(named) == {row for row in read if run in plain[row]}
            heard |= set(of)
    counts = {(dose, alone): 0 for dose in DOSES for alone in (True, False)}
    for k in heard:
        counts[passages[k].dose, passages[k].alone] += 1
    return traced, right, counts


def table(results: list[Result]) -> Iterator[str]:
    """A row per audit."""
    head: tuple[str, ...] = (
        "batch",
        "tokens",
        "unprompted share",
        "rows",
        "own side",
        "other side",
        "untrained",
        "×16 alone, behind words",
    )
    head += ("×4", "×1", "right source", "lens: found ×16", "lens: false alarms", "lens's share of the time")
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'--:|' * (len(head) - 1)}"
    for one in results:
        lens = one.facts["lenses"]["tracing"]
        found, alarms, metrics = lens["power"], lens["false_alarms"] or {"found": 0, "planted": 0}, lens["metrics"]
        bars = {bar["label"]: bar["value"] for bar in lens["section"]["figures"][0]["bars"]}
        cells = (
            one.name,
            f"{one.facts['batch']['tokens']:,}",
            f"{metrics['unprompted_verbatim_share']:.4f}",
            f"{metrics['distinct_sources']:.0f}",
            f"{bars['that was read']:.3f}",
            f"{bars['that was not read']:.3f}",
            f"{one.untrained:g}",
            *(f"{one.said[dose, True]}, {one.said[dose, False]} of {EACH // 2}" for dose in reversed(DOSES)),
            f"{one.right} of {one.traced}",
            f"{found[0]['found']} of {found[0]['planted']}" if found else "–",
            f"{alarms['found']} of {alarms['planted']}",
            f"{lens['cost']['seconds'] / sum(one.facts['run']['seconds'].values()):.2f}",
        )
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
