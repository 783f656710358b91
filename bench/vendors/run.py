"""Is an honest vendor believed, and is a cheat caught? Summaries of real audits held against audits of the same batch.

    python -m bench.vendors.run --data DATA --kept FOLDER    # what is missing of the plan: some CPU minutes an audit
    python -m bench.vendors.run --only table                 # the tables of the results at hand
    python -m bench.vendors.run --data DATA --kept FOLDER --audits 3 --minutes 30

Two audits of a batch with other keys, seeds and thread counts are a vendor's and a buyer's. Audits are kept in FOLDER, and one
that is there is not made again; nor is a trial whose result is in results.jsonl beside this script: stop it whenever you like.
Cheats change a summary that an honest audit gave, and need no training; only the weak proxy has audits of its own.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.corpora import Corpora, open_corpora, parser_of
from bench.nano import thin_if
from bench.vendors.audits import CORPORA, Side, audited, batch_file, batch_texts, sides
from bench.vendors.cheats import hide, repacked, scored_rows, shave, swapped, without_hot_rows
from bench.vendors.table import table
from carto_audit.data.batch import read_batch
from carto_audit.data.sampling_key import read_sampling_key
from carto_audit.pipeline.result import ScoredRows
from carto_audit.vendors.agreement import Sides, compare_sides, explained_lowering, understated
from carto_audit.vendors.challenge import draw, hold
from carto_audit.vendors.check import align
from carto_audit.vendors.reading import Summary, read_summary
from carto_audit.vendors.summary import summarize

HERE = Path(__file__).resolve().parent
ROWS, PLANTED, EPOCHS = 500, 30, 8
AUDITS, WEAK_EPOCHS, TRIALS = 5, 2, 20
SIZES = ((0.05, 0.5, 400), (0.02, 0.5, 1000), (0.05, 0.3, 950), (0.02, 0.3, 2350))
"""Which share of the rows is flagged, which of the flags is hidden, and how many rows are challenged."""

SHAVED, SWAPPED, SWAP_CHALLENGE = 0.15, 0.01, 459
Result = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One side with its audit, as either party: the summary that it would ship, and what it says as a buyer."""

    side: Side
    summary: Summary
    scored: ScoredRows
    salt: bytes

    @property
    def line(self) -> float:
        """Its memorization line."""
        return self.summary.predicate.thresholds["memorization"] or 0.0


def read_side(corpora: Corpora, side: Side, kept: Path) -> Audited:
    """A side, audited and summarized where it is not yet."""
    folder, batch = audited(corpora, side, kept), read_batch([batch_file(corpora, side, kept)])
    out, salt = kept / f"{side.name}-summary", kept / f"{side.name}.salt"
    if not out.exists():
        summarize(folder, batch, out, salt=salt, sampling_key=read_sampling_key(kept / f"{side.name}.key"))
    return Audited(side=side, summary=read_summary(out), scored=scored_rows(folder, batch), salt=salt.read_bytes())


def pairs(found: Sequence[Audited]) -> list[tuple[Audited, Audited]]:
    """Vendor and buyer: of every corpus the audits beside one another, then those further apart, corpora in turn."""
    corpora = dict.fromkeys(one.side.corpus for one in found)
    by_corpus = [[one for one in found if one.side.corpus == corpus] for corpus in corpora]
    ordered = [list(_apart(audits)) for audits in by_corpus]
    return [pair for pair in itertools.chain(*itertools.zip_longest(*ordered)) if pair is not None]


def _apart(audits: Sequence[Audited]) -> Iterator[tuple[Audited, Audited]]:
    n = len(audits)
    for apart in range(1, n):
        yield from ((audits[k], audits[(k + apart) % n]) for k in range(n))


def judged(vendor: Summary, buyer: Audited, salt: bytes, nonce: str) -> Result:
    """What the check says of all rows."""
    held = hold(vendor, buyer.scored.batch, salt, nonce)
    sides = align(vendor.table, buyer.scored)
    tests = compare_sides(sides, whole=vendor.predicate.recipe.max_tokens is None)
    figures: Result = {test.name: [test.seen, test.among] for test in tests}
    wrong = [test.name for test in tests if test.failed] + (["rows"] if held.missing_share else [])
    hot = sides.our_flags & sides.their_trained
    lower = (sides.our_memorization - np.nan_to_num(sides.their_memorization))[hot]
    figures["shift"] = [round(float(lower.mean()), 4), round(explained_lowering(sides), 4)] if hot.any() else [0.0, 0.0]
    return {"caught": bool(wrong), "by": wrong, "understated": round(understated(tests), 4), **figures}


def at_size(trials: Sequence[Sides], flagged: float, rows: int, rng: np.random.Generator) -> Sides | None:
    """So many rows of these audits together, of which we flag so large a share; None where they have too few."""
    both = {name: np.concatenate([getattr(one, name) for one in trials]) for name in Sides.__dataclass_fields__}
    pooled = Sides(**both)
    hot, cold = np.flatnonzero(pooled.our_flags), np.flatnonzero(~pooled.our_flags)
    wanted = round(flagged * rows)
    if len(hot) < wanted or len(cold) < rows - wanted:
        return None
    chosen = [rng.choice(hot, wanted, replace=False), rng.choice(cold, rows - wanted, replace=False)]
    return pooled.select(np.concatenate(chosen))


def trials(
    corpora: Corpora, found: Sequence[Audited], weak: Sequence[Audited], folder: Path, most: int = TRIALS
) -> Iterator[Result]:
    """Every trial of the plan, whatever is there already: every honest pair, and `most` of each cheat."""
    every = pairs(found)
    for number, (vendor, buyer) in enumerate(every):
        yield _named("honest", number, vendor, buyer, judged(vendor.summary, buyer, vendor.salt, _nonce(number)))
    for number in range(most if every else 0):
        vendor, buyer = every[number % len(every)]
        rng, nonce, place = np.random.default_rng([number, 17]), _nonce(number), folder / str(number)
        altered = {
            "shave": shave(vendor.summary.table, vendor.line, SHAVED),
            "drop rows": without_hot_rows(vendor.summary.table),
        }
        for name, changed in altered.items():
            cheat = repacked(vendor.summary, changed, place / name)
            yield _named(name, number, vendor, buyer, judged(cheat, buyer, vendor.salt, nonce))
        yield _swap(corpora, number, vendor, buyer, rng, nonce, place)
        other = next((one for one in found if one.side.corpus != vendor.side.corpus), None)
        if other is not None:
            yield _named("other batch", number, other, buyer, judged(other.summary, buyer, other.salt, nonce))
        yield from _at_sizes(number, every, rng, folder)
    yield from _ground(found)
    for number, (vendor, buyer) in enumerate(itertools.islice(_against(weak, found), most)):
        yield _named("weak proxy", number, vendor, buyer, judged(vendor.summary, buyer, vendor.salt, _nonce(number)))


def _swap(
    corpora: Corpora,
    number: int,
    vendor: Audited,
    buyer: Audited,
    rng: np.random.Generator,
    nonce: str,
    place: Path,
) -> Result:
    """Rows exchanged after the commitment: whether all rows show it, and whether the challenge alone would have."""
    side = vendor.side
    texts = batch_texts(corpora, side.corpus, side.rows, side.planted)
    others = batch_texts(corpora, side.corpus, side.rows, side.planted, seed=1)
    batch = swapped(buyer.scored.batch, texts, others, SWAPPED, rng, place)
    held = hold(vendor.summary, batch, vendor.salt, nonce, SWAP_CHALLENGE)
    drawn = draw(vendor.summary.predicate.rows.root, nonce, len(texts), SWAP_CHALLENGE)
    found = {
        "caught": bool(held.missing_share),
        "by": ["rows"],
        "by_challenge": bool(np.isin(held.foreign, drawn).any()),
        "foreign": len(held.foreign),
    }
    return _named("swap", number, vendor, buyer, found)


def _at_sizes(
    number: int, every: Sequence[tuple[Audited, Audited]], rng: np.random.Generator, folder: Path
) -> Iterator[Result]:
    """Hidden flags at the sizes of the plan, on the rows of as many pairs as that takes; the same rows unchanged beside them."""
    for flagged, hidden, rows in SIZES:
        name = f"hide {hidden:g} of {flagged:g} in {rows}"
        order = [every[k] for k in rng.permutation(len(every)).tolist()]
        honest, cheats = [], []
        for k, (vendor, buyer) in enumerate(order[: 1 + 2 * rows // ROWS]):
            table = hide(vendor.summary.table, vendor.line, hidden, rng)
            honest.append(align(vendor.summary.table, buyer.scored))
            cheats.append(align(repacked(vendor.summary, table, folder / f"{number}-{k}").table, buyer.scored))
        state = rng.integers(2**32)
        cheated, plain = (at_size(one, flagged, rows, np.random.default_rng(state)) for one in (cheats, honest))
        if cheated is None or plain is None:
            continue
        tests = compare_sides(cheated, whole=True)
        yield {
            "trial": name,
            "number": number,
            "caught": any(test.failed for test in tests),
            "alarm": any(test.failed for test in compare_sides(plain, whole=True)),
            "misses": [tests[0].seen, tests[0].among],
        }


def _ground(found: Sequence[Audited]) -> Iterator[Result]:
    """The mildest of all seeds of a corpus shipped, held against every other audit."""
    number = 0
    for corpus in dict.fromkeys(one.side.corpus for one in found):
        audits = [one for one in found if one.side.corpus == corpus]
        if len(audits) < 2:
            continue
        mildest = min(audits, key=lambda one: one.summary.predicate.masses["memorized"].token_share)
        for buyer in audits:
            if buyer is not mildest and number < TRIALS:
                result = judged(mildest.summary, buyer, mildest.salt, _nonce(number))
                masses = [one.summary.predicate.masses["memorized"].token_share for one in (mildest, buyer)]
                yield _named(
                    "ground seeds", number, mildest, buyer, {**result, "masses": [round(m, 4) for m in masses]}
                )
                number += 1


def _against(weak: Sequence[Audited], found: Sequence[Audited]) -> Iterator[tuple[Audited, Audited]]:
    yield from (
        (vendor, buyer)
        for buyer in found
        for vendor in weak
        if vendor.side.corpus == buyer.side.corpus and vendor.side.number != buyer.side.number
    )


def _named(trial: str, number: int, vendor: Audited, buyer: Audited, found: Result) -> Result:
    return {"trial": trial, "number": number, "vendor": vendor.side.name, "buyer": buyer.side.name, **found}


def _key(result: Result) -> tuple[Any, ...]:
    """What makes a trial another one: its two sides where each pair is tried once, else its number."""
    once = result["trial"] in ("honest", "ground seeds", "weak proxy")
    which = (result["vendor"], result["buyer"]) if once else (result["number"],)
    return (result["on"], result["trial"], *which)


def _nonce(number: int) -> str:
    return f"{number:064x}"


def read_results(path: Path) -> list[Result]:
    """What earlier runs left."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def measure(given: argparse.Namespace, path: Path) -> list[Result]:
    """Audits what is missing until the minutes are over, and makes every trial that these audits allow and that is not there."""
    results = read_results(path)
    if given.only:
        return results
    rows, planted, epochs, count = (120, 40, 2, 2) if given.smoke else (ROWS, PLANTED, EPOCHS, given.audits)
    stop = time.monotonic() + 60 * given.minutes
    with open_corpora(given) as corpora, thin_if(given.smoke), tempfile.TemporaryDirectory() as temporary:
        kept = given.kept or Path(temporary) / "kept"
        known = {_key(one) for one in results}
        for on, names in CORPORA.items() if not given.smoke else [("tuned", ("wikitext",))]:
            wanted = sides(names, count, rows, planted, epochs)
            weaker = [] if given.smoke else sides(names, 1, rows, planted, WEAK_EPOCHS)
            found, weak = (
                [read_side(corpora, side, kept) for side in _in_time(corpora, some, kept, stop)]
                for some in (wanted, weaker)
            )
            for trial in trials(corpora, found, weak, Path(temporary) / on, 2 if given.smoke else TRIALS):
                result = {"on": on, **trial}
                if _key(result) not in known:
                    results.append(result)
                    with path.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(result, sort_keys=True) + "\n")
    return results


def _in_time(corpora: Corpora, wanted: Sequence[Side], kept: Path, stop: float) -> Iterator[Side]:
    """The sides whose audits are kept, or could still be begun in time."""
    for side in wanted:
        if (kept / side.name / "verdict.json").exists() or time.monotonic() < stop:
            audited(corpora, side, kept)
            yield side


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and prints the tables."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=["table"], help="nothing is measured")
    parser.add_argument("--kept", type=Path, metavar="FOLDER", help="where audits are kept; without it they go")
    parser.add_argument("--audits", type=int, default=AUDITS, help="of each corpus; default: %(default)s")
    parser.add_argument("--minutes", type=float, default=240, help="begin no further audit after so many")
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl", help="where results are kept")
    given = parser.parse_args(arguments)
    if not given.smoke:
        print(table(measure(given, given.results)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(table(measure(given, Path(folder) / "results.jsonl")))


if __name__ == "__main__":
    main()
