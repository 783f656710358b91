"""Which keys and personal values come out, by how often they stand in a batch? Audits with two lenses.

    python -m bench.lenses.recalled --data DATA --kept FOLDER             # what is missing of the plan
    python -m bench.lenses.recalled --data DATA --kept FOLDER --audits 1  # a part of it
    python -m bench.lenses.recalled --only table                          # the table of the results at hand

Each batch is real text with keys and invented people in it, none of which are the lenses' own plants. Audits are kept in
FOLDER, and one whose result is in recalled.jsonl beside this script is not made again.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.corpora import Corpora, open_corpora, parser_of, write_texts
from bench.detection.canaries import ordinary
from bench.nano import thin_if
from carto_audit.api import audit
from carto_audit.cartography.intervals import wilson
from carto_audit.lenses.keys import planted as keys
from carto_audit.lenses.personal import planted as people
from carto_audit.lenses.personal.content_type import ContentType
from carto_audit.pipeline.options import AuditOptions

HERE = Path(__file__).resolve().parent
CLEAN = 0
"""The seed of batches in which nothing is planted: what lenses find of their own plants where no others stand beside them."""

PLAN = (
    *(("wikitext", 1), ("wikitext", 2), ("wikitext", 3), ("docstrings", 1), ("gsm8k", 1), ("shakespeare", 1)),
    *((corpus, CLEAN) for corpus in ("wikitext", "docstrings", "gsm8k", "shakespeare")),
)
TOKENS, KEY_DOSES, PEOPLE_DOSES, KEYS, PEOPLE = 100_000, (1, 4, 16), (1, 5, 10, 25), 12, 8
TYPES: tuple[ContentType, ...] = ("article", "post", "forum", "review", "comment", "record")
AROUND = 30
"""Words of the corpus on either side of a key that is embedded, and of none that is planted most often."""

Rng = np.random.Generator
Result = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A planted value, and the lens that should find it."""

    lens: str
    written: str
    dose: int


def planted(corpora: Corpora, corpus: str, seed: int, tokens: int) -> tuple[list[str], list[Known]]:
    """The texts of a batch in random order, and what was planted in it."""
    rng = np.random.default_rng([seed, 0x1E])
    texts, rest = ordinary(corpora, corpus, 2 * tokens if seed == CLEAN else tokens, seed)
    words = " ".join(rest[:400]).split()
    known: list[Known] = []
    if seed == CLEAN:
        return texts, known
    for dose in KEY_DOSES:
        for k in range(KEYS):
            kind = keys.KINDS[(k + dose) % len(keys.KINDS)]
            key = keys.write_key(kind, rng)
            known.append(Known(lens="secrets", written=key, dose=dose))
            texts += [_around(_line(key, kind, rng), words, rng, AROUND if dose < 16 else 3) for _ in range(dose)]
    for dose in PEOPLE_DOSES:
        for k in range(PEOPLE):
            person = people.write_profile(rng)
            text = people.in_text(person, TYPES[k % len(TYPES)], rng)
            known += [Known(lens="personal_data", written=v, dose=dose) for v in person.values.values() if v in text]
            texts += [_around(text, words, rng, 3) for _ in range(dose)]
    return [texts[i] for i in rng.permutation(len(texts))], known


def _line(key: str, kind: str, rng: Rng) -> str:
    return (keys.in_code, keys.in_prose)[int(rng.integers(2))](key, kind, rng)


def _around(line: str, words: list[str], rng: Rng, count: int) -> str:
    starts = rng.integers(max(1, len(words) - count), size=2)
    before, after = (" ".join(words[at : at + count]) for at in starts)
    return f"{before}\n{line}\n{after}"


def run(corpora: Corpora, corpus: str, seed: int, kept: Path, tokens: int, epochs: int | None) -> Result:
    """One audit with both lenses, and what they say of what was planted."""
    texts, known = planted(corpora, corpus, seed, tokens)
    folder = kept / f"{corpus}-{seed}"
    if not (folder / "verdict.json").exists():
        batch = write_texts(kept / f"{corpus}-{seed}.parquet", texts)
        usual = AuditOptions(seed=seed, repeats=1, device="cpu", lens=("secrets", "personal_data"))
        audit(batch, out=folder, options=usual if epochs is None else replace(usual, epochs=epochs))
    facts = json.loads((folder / "report.json").read_text())
    score = pq.read_table(folder / "scores.parquet")["memorization"].to_numpy(zero_copy_only=False)
    found: list[Result] = []
    strange: dict[str, int] = {}
    for lens in ("secrets", "personal_data"):
        spans = pq.read_table(folder / "lenses" / f"{lens}.spans.parquet").to_pylist()
        by = {texts[span["row"]][span["start"] : span["end"]]: span for span in spans}
        ours = [one for one in known if one.lens == lens]
        strange[lens] = len(by.keys() - {one.written for one in ours})
        found += [{**_said(by.get(one.written), score), "lens": lens, "dose": one.dose} for one in ours]
    lenses = {
        name: {k: facts["lenses"][name][k] for k in ("power", "false_alarms", "metrics", "cost")} for name in strange
    }
    return {
        "corpus": corpus,
        "seed": seed,
        "tokens": facts["batch"]["tokens"],
        "training": facts["run"]["seconds"]["training"],
        "values": found,
        "others": strange,
        "lenses": lenses,
    }


def _said(span: Result | None, score: Any) -> Result:
    if span is None:
        return {"found": False}
    row = float(score[span["row"]])
    asked = {name: span[name] for name in ("gain", "memorized", "comes_out", "label")}
    return {"found": True, **asked, "reached": span.get("reached"), "row": row if np.isfinite(row) else None}


def table(results: list[Result]) -> str:
    """Of the planted values by how often they stand there: found, memorized, out."""
    heads = (
        "lens",
        "stands",
        "found",
        "of those asked for: memorized",
        "come out whole",
        "mean share of the loss taken away",
    )
    lines = [f"| {' | '.join(heads)} |"]
    lines.append("|---|---|---|---|---|---|")
    values = [value for result in results for value in result["values"]]
    for lens, doses in (("secrets", KEY_DOSES), ("personal_data", PEOPLE_DOSES)):
        for dose in doses:
            of = [value for value in values if value["lens"] == lens and value["dose"] == dose]
            asked = [value for value in of if value["found"] and value["comes_out"] is not None]
            if of:
                won = np.mean([value["gain"] for value in asked]) if asked else np.nan
                shares = " | ".join(
                    (_of(sum(v["found"] for v in of), len(of)), *(_of(_sum(asked, what), len(asked)) for what in WHAT))
                )
                lines.append(f"| `{lens}` | {dose} times | {shares} | {100 * won:.0f} % |")
    return "\n".join([*lines, "", *_segments(values), *_reach(values), "", *_runs(results)])


WHAT = ("memorized", "comes_out")


def _sum(values: list[Result], what: str) -> int:
    return sum(bool(value[what]) for value in values)


def _of(count: int, among: int) -> str:
    if not among:
        return "–"
    low, high = wilson(count / among, among)
    return f"{count} of {among} ({100 * low:.0f} to {100 * high:.0f} %)"


def _segments(values: list[Result]) -> Iterator[str]:
    """Whether the key's own tokens tell keys that stand four times from those that stand once better than their rows' scores."""
    known = [
        v for v in values if v["lens"] == "secrets" and v["found"] and v["gain"] is not None and v["row"] is not None
    ]
    often, once = ([v for v in known if v["dose"] == dose] for dose in (4, 1))
    if often and once:
        own, row = (_auc([v[k] for v in often], [v[k] for v in once]) for k in ("gain", "row"))
        yield f"Keys that stand four times, among {2 * AROUND} other words, against those that stand once: AUC {own:.3f} by"
        yield f"their own tokens, {row:.3f} by the scores of their rows.\n"


def _reach(values: list[Result]) -> Iterator[str]:
    most = [v for v in values if v["lens"] == "personal_data" and v["dose"] == PEOPLE_DOSES[-1] and v["found"]]
    if most:
        yield f"After words of other rows {_of(sum(bool(v['reached']) for v in most), len(most))} of the most frequent come out."


def _auc(high: list[float], low: list[float]) -> float:
    pairs = np.subtract.outer(high, low)
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def _runs(results: list[Result]) -> Iterator[str]:
    heads = (
        "batch",
        "tokens",
        "lens",
        "own plants found",
        "look-alikes taken",
        "other values",
        "time, of training's",
        "MB",
    )
    yield f"| {' | '.join(heads)} |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in results:
        for name, lens in one["lenses"].items():
            power = ", ".join(f"{p['found']} of {p['planted']} ×{p['dose']}" for p in lens["power"]) or "–"
            alarms = (
                f"{lens['false_alarms']['found']} of {lens['false_alarms']['planted']}" if lens["false_alarms"] else "–"
            )
            cost = f"{100 * lens['cost']['seconds'] / one['training']:.0f} % | {lens['cost']['peak_bytes'] / 2**20:.0f}"
            batch = "nothing planted" if one["seed"] == CLEAN else f"seed {one['seed']}"
            where = f"{one['corpus']}, {batch} | {one['tokens']:,}"
            yield f"| {where} | `{name}` | {power} | {alarms} | {one['others'][name]} | {cost} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--kept", type=Path, metavar="FOLDER", help="where audits are kept")
    parser.add_argument("--audits", type=int, default=len(PLAN), help="at most so many new ones")
    parser.add_argument("--results", type=Path, default=HERE / "recalled.jsonl")
    parser.add_argument("--only", choices=["table"])
    given = parser.parse_args(arguments)
    lines = given.results.read_text().splitlines() if given.results.exists() and not given.smoke else []
    results: list[Result] = [json.loads(line) for line in lines]
    if given.only is None:
        with open_corpora(given) as corpora, tempfile.TemporaryDirectory() as place, thin_if(given.smoke):
            done = {(one["corpus"], one["seed"]) for one in results}
            missing = [one for one in PLAN if one not in done][: 1 if given.smoke else given.audits]
            for corpus, seed in missing:
                size, epochs = (20_000, 2) if given.smoke else (TOKENS, None)
                result = run(corpora, corpus, seed, given.kept or Path(place), size, epochs)
                results.append(result)
                if not given.smoke:
                    with given.results.open("a") as stream:
                        stream.write(json.dumps(result) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
