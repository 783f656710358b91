"""Does the text alone tell what an audit would flag of rows that it did not train on? Secrets in real text, half of it unread.

    python -m bench.lenses.predicted_risk --data DATA --kept FOLDER    # four corpora, two audits each: half an hour on 2 cores

A batch of about 120,000 tokens of a corpus by bench/detection's count of bytes, with secrets planted four times each up to 3 %
of the tokens, is audited with room for 60,000 tokens. What it did not train on is then a batch of its own, audited alike: these
flags are the truth that the lens `predicted_risk`, which sees the first audit alone, is held against. Audits that lie in FOLDER
are not made again.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.corpora import Corpora, open_corpora, parser_of, write_texts
from bench.detection.canaries import NAMES
from bench.gate.batches import Planted, fill
from bench.nano import thin_if
from carto_audit import api
from carto_audit.cartography.quadrants import MEMORIZED, QUADRANT_NAMES
from carto_audit.data.batch import iter_texts, read_batch
from carto_audit.data.duplicates import find_duplicates
from carto_audit.lenses.calls import lens_calls
from carto_audit.lenses.host import look_through
from carto_audit.lenses.lens_run import LensRun
from carto_audit.lenses.mixing import Subject
from carto_audit.lenses.risk.features import NAMES as FEATURES
from carto_audit.lenses.risk.features import read_features
from carto_audit.lenses.risk.regression import rank_share
from carto_audit.lenses.testing import run_here
from carto_audit.pipeline.options import DEFAULT_EPOCHS, AuditOptions
from carto_audit.policy.metrics import Measurement
from carto_audit.text.numbers import number, percent, signed_percent

DOSE, MASS = 4, 0.03
FEW = 0.02
"""Of the tokens: those of highest predicted risk, in which the planted secrets should lie."""

ALONE = ("bits per byte", "length", "rows that hold the same passage")
"""Features that the regression is held against, each by itself, in its better direction."""

FLAGGED = tuple(QUADRANT_NAMES[code] for code in MEMORIZED)

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Tokens of a batch, of what is trained on of it, and epochs."""

    tokens: int
    room: int
    epochs: int


FULL = Scale(tokens=120_000, room=60_000, epochs=DEFAULT_EPOCHS)
SMOKE = Scale(tokens=12_000, room=8_000, epochs=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A batch of N rows, the `scores` of the audit that read half of it, and which rows the second one read (M,) and flagged."""

    rows: list[Planted]
    batch: Path
    scores: pa.Table
    read_later: Index
    flagged_later: Flags


def audit_both(corpora: Corpora, name: str, seed: int, scale: Scale, folder: Path) -> Audited:
    """The two audits, made where they are not kept in the folder."""
    rows = fill(corpora, name, scale.tokens, DOSE, MASS, seed)
    batch = write_texts(folder / "batch.parquet", [row.text for row in rows])
    scores = _scores(batch, folder / "half", seed, scale)
    number_of = scores["row"].to_numpy()
    unread = number_of[~_read(scores)]
    rest = write_texts(folder / "unread.parquet", [rows[i].text for i in unread])
    later = _scores(rest, folder / "other", seed, scale)
    read = _read(later)
    place = {int(row): k for k, row in enumerate(number_of)}
    return Audited(
        rows=[rows[i] for i in number_of],
        batch=batch,
        scores=scores,
        read_later=np.array([place[int(unread[i])] for i in later["row"].to_numpy()[read]], dtype=np.int64),
        flagged_later=_flagged(later)[read],
    )


def _scores(batch: Path, out: Path, seed: int, scale: Scale) -> pa.Table:
    if not (out / "verdict.json").exists():
        options = AuditOptions(seed=seed, epochs=scale.epochs, repeats=1, max_tokens=scale.room)
        api.audit(batch, policy="exploratory", options=options, out=out)
    return pq.read_table(out / "scores.parquet")


def _read(scores: pa.Table) -> Flags:
    return np.array([name is not None for name in scores["quadrant"].to_pylist()], dtype=bool)


def _flagged(scores: pa.Table) -> Flags:
    return np.array([name in FLAGGED for name in scores["quadrant"].to_pylist()], dtype=bool)


def looked_at(audited: Audited, folder: Path) -> tuple[LensRun, dict[str, Floats]]:
    """What the lens says of the first audit, and the features that stand alone, (N,) each."""
    batch = read_batch([audited.batch])
    duplicates = find_duplicates(batch, folder)
    tokens = audited.scores["n_tokens"].to_numpy()
    subject = Subject(
        batch=batch,
        duplicates=duplicates,
        n_tokens=tokens,
        weights=np.ones(len(batch)),
        scores=audited.scores.select(["difficulty", "memorization", "quadrant"]),
        room=(),
        tokens_of=len,
        entropy=0,
        folder=folder,
    )
    (run,) = look_through(lens_calls({"predicted_risk": {}}, ()), subject, run=run_here)
    assert not run.problem, run.problem
    texts = (chunk.texts for chunk in iter_texts(batch))
    values = read_features(texts, tokens, duplicates.copies, duplicates.cluster_id).values
    return run, {name: values[:, FEATURES.index(name)] for name in ALONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How well the lens did on rows that the first audit did not read: ranks, shares of tokens, and planted rows among those of
    highest risk, of all tokens but theirs and of those that the second audit does not flag. None where nothing was flagged."""

    corpus: str
    read: int
    unread: int
    auc: Measurement | None = None
    later: float | None = None
    alone: dict[str, float] | None = None
    predicted: Measurement | None = None
    share: float = 0.0
    in_few: float | None = None
    in_few_unflagged: float | None = None

    @property
    def off(self) -> float | None:
        """How far the prediction is from what was flagged."""
        return self.predicted.value / self.share - 1 if self.predicted and self.share else None

    def row(self) -> str:
        """A row of the table."""
        cells = [
            self.corpus,
            f"{self.read:,} / {self.unread:,}",
            _interval(self.auc, number),
            number(self.later, 3),
            *(number(self.alone[name] if self.alone else None, 3) for name in ALONE),
            _interval(self.predicted, percent),
            percent(self.share),
            signed_percent(self.off),
            number(self.in_few),
            number(self.in_few_unflagged),
        ]
        return f"| {' | '.join(cells)} |"

    def missed(self) -> list[str]:
        """The bars that do not hold, in words."""
        said = []
        if self.later is not None and self.alone is not None:
            best = max(self.alone[name] for name in ALONE[:2])
            if self.later < best + 0.05:
                said.append(f"{self.corpus}: the AUC is {self.later:.3f}, compression or length alone has {best:.3f}")
        if self.off is not None and abs(self.off) > 0.25:
            said.append(f"{self.corpus}: the predicted share is off by {signed_percent(self.off)}")
        if self.in_few is not None and self.in_few < 0.8:
            said.append(f"{self.corpus}: {self.in_few:.2f} of the planted rows lie in 2 % of the tokens")
        return said


def _interval(measured: Measurement | None, words: Any) -> str:
    return "–" if measured is None else f"{words(measured.value)} ({words(measured.low)} to {words(measured.high)})"


def held_against(corpus: str, audited: Audited, run: LensRun, alone: dict[str, Floats]) -> Result:
    """The lens beside the second audit, over the rows that this one read."""
    tokens, at, flagged = audited.scores["n_tokens"].to_numpy(), audited.read_later, audited.flagged_later
    assert run.columns is not None
    read = run.columns["read"].to_numpy(zero_copy_only=False)
    found = {name.rpartition(".")[2]: measured for name, measured in run.measurements.items()}
    share = float(tokens[at][flagged].sum() / max(1, tokens[at].sum()))
    result = Result(corpus=corpus, read=int(read.sum()), unread=int((~read).sum()), auc=found.get("auc"), share=share)
    if "unread_flagged_token_share" not in found or not flagged.any() or flagged.all():
        return result
    risk = run.columns["predicted_risk"].to_numpy()[at]
    planted = np.array([audited.rows[i].end > audited.rows[i].start for i in at], dtype=bool)
    ranks = {name: rank_share(values[at], flagged) for name, values in alone.items()}
    return replace(
        result,
        later=rank_share(risk, flagged),
        alone={name: max(rank, 1 - rank) for name, rank in ranks.items()},
        predicted=found["unread_flagged_token_share"],
        in_few=_in_few(risk, tokens[at], planted, ~planted),
        in_few_unflagged=_in_few(risk, tokens[at], planted, ~planted & ~flagged),
    )


def _in_few(risk: Floats, tokens: Index, planted: Flags, other: Flags) -> float:
    """The share of the planted rows whose risk is above that of all but FEW of the other tokens."""
    order = np.flatnonzero(other)[np.argsort(-risk[other], kind="stable")]
    held = np.cumsum(tokens[order]) / tokens[order].sum()
    return float((risk[planted] > risk[order[np.searchsorted(held, FEW)]]).mean())


HEAD = (
    "corpus",
    "rows read / not",
    "AUC as the lens says",
    "AUC on rows not read",
    "bits per byte alone",
    "length alone",
    "shared passages alone",
    "predicted of the unread tokens",
    "flagged in truth",
    "off by",
    "planted in 2 %",
    "in 2 % of what is not flagged",
)


def table(results: Sequence[Result]) -> str:
    """What was missed, then a row for each corpus."""
    missed = [words for result in results for words in result.missed()]
    lines = [f"Missed: {'; '.join(missed) or 'no bar'}.", "", f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    return "\n".join([*lines, *(result.row() for result in results)])


def measure(given: argparse.Namespace, folder: Path) -> Iterator[Result]:
    """A result for each corpus and seed."""
    scale = SMOKE if given.smoke else FULL
    with open_corpora(given) as corpora, thin_if(given.smoke):
        for name in NAMES[:1] if given.smoke else given.corpus or NAMES:
            for seed in given.seed or [0]:
                place = folder / f"{name}-{seed}"
                place.mkdir(parents=True, exist_ok=True)
                audited = audit_both(corpora, name, seed, scale, place)
                with tempfile.TemporaryDirectory() as work:
                    run, alone = looked_at(audited, Path(work))
                yield held_against(f"{name} {seed}", audited, run, alone)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--kept", type=Path, metavar="FOLDER", help="where audits are kept; default: nowhere")
    parser.add_argument("--corpus", choices=NAMES, action="append")
    parser.add_argument("--seed", type=int, action="append", help="may be repeated; default: 0")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as nowhere:
        print(table(list(measure(given, given.kept or Path(nowhere)))))


if __name__ == "__main__":
    main()
