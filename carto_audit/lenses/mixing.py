"""Mixing: plants among the rows of a batch, in shuffled order, so that nothing in a view tells the one from the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carto_audit.data.batch import Batch, iter_texts, read_batch, read_field
from carto_audit.data.duplicates import Duplicates, find_duplicates
from carto_audit.engines.engine import LOCAL
from carto_audit.lenses.declared.spec import LensSpec
from carto_audit.lenses.planting import LensFaultError, check_plants, texts_of
from carto_audit.lenses.plants import Plants
from carto_audit.lenses.readers import Proxies
from carto_audit.lenses.view import Kin, Offered, RowTexts
from carto_audit.runtime.errors import AuditError

Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The audited batch as far as lenses may see it, all (N,): `weights` by which a trainer reads it, `scores` a table of the
    map. `tokens_of` counts the tokens of a text; `room` are indices of samples that plants are written from, `entropy` decides
    what is drawn; `folder` is for files that nobody keeps. `proxies` know the N samples and then all P plants that they trained
    on; None where no two proxies read different rows."""

    batch: Batch
    duplicates: Duplicates
    n_tokens: Index
    weights: NDArray[np.float64]
    scores: pa.Table
    room: Sequence[int]
    tokens_of: Callable[[str], int]
    entropy: int
    folder: Path
    proxies: Proxies | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixed:
    """A batch of N rows with P planted ones among them. `planted` (N + P,) says which these are; `plant` (P,) in order of the
    rows: the number of the example, -1 for a twin; `dose` and the right `answer` (P,) alike."""

    planted: NDArray[np.bool_]
    plant: Index
    dose: Index
    answer: Index
    texts: tuple[str, ...]
    offered: Offered
    clean: Offered

    def chunks(self, batch: Batch) -> Iterator[RowTexts]:
        """The texts of all rows in order; costs one pass over the batch."""
        place, taken = 0, 0
        for chunk in iter_texts(batch, label="Looking through a lens"):
            mixed: list[str] = []
            for text in chunk.texts:
                while self.planted[place + len(mixed)]:
                    mixed.append(self.texts[taken])
                    taken += 1
                mixed.append(text)
            yield RowTexts(start=place, texts=mixed)
            place += len(mixed)
        if taken < len(self.texts):
            yield RowTexts(start=place, texts=list(self.texts[taken:]))


def mix(
    spec: LensSpec,
    plants: Plants,
    subject: Subject,
    rng: np.random.Generator,
    first: int = 0,
    columns: Mapping[str, str] | None = None,
) -> Mixed:
    """Rows and plants in one order; of plants that were trained on, `first` is the number of the first among all of these.
    `columns` are what the lens's options name, by option; a plant says there what some row does. Raises LensFaultError where a
    lens plants what it did not declare, or a column is not there."""
    check_plants(spec, plants)
    fields = _fields(subject.batch, columns or {})
    texts = texts_of(plants)
    number = [n for n, example in enumerate(plants.examples) for _ in example.texts] + [-1] * len(plants.twins)
    dose = [example.dose for example in plants.examples for _ in example.texts] + [0] * len(plants.twins)
    answer = [example.answer for example in plants.examples for _ in example.texts]
    answer += [plants.innocent] * len(plants.twins)
    n, order = len(subject.batch), rng.permutation(len(texts))
    planted = np.zeros(n + len(texts), dtype=bool)
    planted[rng.choice(len(planted), len(texts), replace=False)] = True
    rows = np.empty(len(planted), dtype=np.int64)  # of the batch's samples, then of the plants, in one order
    rows[~planted], rows[planted] = np.arange(n), n + order
    clean = _offered(spec, subject, subject.n_tokens, subject.weights, _kin(subject.duplicates), np.arange(n), fields)
    if not texts:
        return Mixed(planted=planted, plant=_ints(), dose=_ints(), answer=_ints(), texts=(), offered=clean, clean=clean)
    tokens = np.concatenate([subject.n_tokens, [subject.tokens_of(text) for text in texts]])[rows]
    weights = np.concatenate([subject.weights, rng.choice(subject.weights, len(texts))])[rows]
    kin = _mixed_kin(subject, texts, rows) if "kin" in spec.needs else None
    said = pa.array(np.where(rows < n, rows, rng.integers(n, size=len(rows))))  # which row's fields each has
    known_as = np.where(rows < n, rows, rows + first)
    mixed = {option: values.take(said) for option, values in fields.items()}
    return Mixed(
        planted=planted,
        plant=np.array(number, dtype=np.int64)[order],
        dose=np.array(dose, dtype=np.int64)[order],
        answer=np.array(answer, dtype=np.int64)[order],
        texts=tuple(texts[k] for k in order),
        offered=_offered(spec, subject, tokens, weights, kin, known_as, mixed),
        clean=clean,
    )


def _offered(
    spec: LensSpec,
    subject: Subject,
    n_tokens: Index,
    weights: NDArray[np.float64],
    kin: Kin | None,
    known_as: Index,
    fields: Mapping[str, pa.LargeStringArray],
) -> Offered:
    """What a lens declared, of rows that the proxies know by the numbers `known_as` (N,)."""
    needs, proxies = spec.needs, subject.proxies
    if "proxies" in needs and proxies is None:
        raise LensFaultError("it asks the proxy that did not read a row, which takes two folds")
    return Offered(
        n_tokens=n_tokens,
        kin=kin if "kin" in needs else None,
        weights=weights if "weights" in needs else None,
        scores=subject.scores if "scores" in needs else None,
        proxies=_numbered(proxies, known_as) if proxies and "proxies" in needs else None,
        fields=fields if "fields" in needs else None,
    )


def _numbered(proxies: Proxies, known_as: Index) -> Proxies:
    """What the proxies know of rows by other numbers."""
    held = None if proxies.held_out is None else proxies.held_out[known_as]
    return replace(proxies, side=proxies.side[known_as], held_out=held)


def _fields(batch: Batch, columns: Mapping[str, str]) -> dict[str, pa.LargeStringArray]:
    try:
        return {option: read_field(batch, column) for option, column in columns.items()}
    except AuditError as error:
        raise LensFaultError(str(error)) from error


def _kin(duplicates: Duplicates) -> Kin:
    return Kin(copies=duplicates.copies, cluster=duplicates.cluster_id)


def _mixed_kin(subject: Subject, texts: list[str], rows: Index) -> Kin:
    """The copies of all rows in one order: those of the batch as the audit found them, those of the plants found alike."""
    place = subject.folder / "plants"
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts}), place / "plants.parquet")
    batch = read_batch([place / "plants.parquet"], text_column="text")
    if len(batch) != len(texts):
        raise LensFaultError("it planted something that is no text")
    found = find_duplicates(batch, place / "sketches", engine=LOCAL.here())
    label = np.concatenate([subject.duplicates.cluster_id, len(subject.batch) + found.cluster_id])[rows]
    _, first, member = np.unique(label, return_index=True, return_inverse=True)
    copies = np.concatenate([subject.duplicates.copies, found.copies])[rows]
    return Kin(copies=copies, cluster=first[member].astype(np.int64))


def _ints() -> Index:
    return np.empty(0, dtype=np.int64)
