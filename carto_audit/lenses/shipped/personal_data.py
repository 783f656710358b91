"""Personal data: which values come out of the proxy that read them, and what each author tells of himself."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carto_audit.lenses.answers import Bar, Bars, Cells, Figure, LensResult, Looked, Section
from carto_audit.lenses.declared.personal_data import PERSONAL_DATA
from carto_audit.lenses.personal.content_type import ContentType, content_type
from carto_audit.lenses.personal.cues import ATTRIBUTES, author_cues
from carto_audit.lenses.personal.finder import find_personal
from carto_audit.lenses.personal.planted import in_text, write_profile
from carto_audit.lenses.plants import Example, Plants, Room
from carto_audit.lenses.values.heads import behind, head_words
from carto_audit.lenses.values.reach import reached
from carto_audit.lenses.values.survey import Counts, count_values, survey
from carto_audit.lenses.view import LensView
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.strict_model import Strict
from carto_audit.text.numbers import number, percent, plural

MANY_CUES = 5
"""Attributes from which on an author is told by them."""

_EXAMPLES, _TWINS = 40, 60
_DRAWN = frozenset({"email", "phone", "card", "iban", "national_id", "passport", "licence", "ip_address", "account"})
"""Classes of planted values, which nobody guesses: a diagnosis, a date or a sum may stand in the batch as well."""

_TYPES: tuple[ContentType, ...] = ("post", "forum", "review", "comment", "record")
_SURVEY_SHARE = 0.6
"""Of the budget; the rest is for contexts of other rows."""


class PersonalDataLens:
    """Finds values by class, asks for each by its own context and by those of other rows, and counts attributes by author."""

    spec = PERSONAL_DATA

    def plant(self, room: Room, options: Strict) -> Plants:
        """Texts with values of invented people, each copy behind other words; as twins, such texts that stand once."""
        rng = np.random.default_rng(room.seed)
        words = head_words(room.texts, find_personal)
        examples = [Example(texts=_copies(dose, words, rng)) for dose in self.spec.doses for _ in range(_EXAMPLES)]
        twins = [text for _ in range(_TWINS) for text in _copies(1, words, rng)]
        return Plants(examples=tuple(examples), twins=tuple(twins))

    def look(self, view: LensView, options: Strict) -> Looked:
        """Where personal values stand, which come out, and of what kind each row is."""
        rows = len(view)
        kinds, cues = [""] * rows, np.zeros(rows, np.int64)

        def read(row: int, text: str) -> None:
            kinds[row], cues[row] = content_type(text), _bits(author_cues(text))

        found = survey(view, find_personal, _SURVEY_SHARE, read, _DRAWN)
        out = reached(view.proxies, found, find_personal)
        unknown = (found.in_rows(rows) > 0) & (found.in_rows(rows, found.asked) == 0)
        columns = pa.table(
            {
                "values": found.in_rows(rows),
                "extractable": pa.array(found.in_rows(rows, found.extracted), pa.int64(), mask=unknown),
                "content_type": pa.array(kinds, pa.string()),
                "author_cues": cues,
            }
        )
        tokens = pa.array(found.tokens, pa.int64(), mask=found.tokens < 0)
        brought = pa.nulls(len(found.value), pa.bool_()) if out is None else pa.array(out[found.value])
        spans = found.spans().append_column("tokens", tokens).append_column("reached", brought)
        remembered = found.in_rows(rows, found.memorized) > 0
        return Looked(columns=columns, found=remembered.astype(np.int64), spans=spans)

    def sum_up(self, view: LensView, looked: Looked, options: Strict) -> LensResult:
        """How many come out, by class and by kind of text, and how much one author tells."""
        assert looked.spans is not None
        spans, counts = looked.spans, count_values(looked.spans)
        coverage = _coverage(spans, counts)
        told = _most_told(looked.columns["author_cues"], view.field("author_column"))
        facts = [
            ("personal values", number(counts.total, 0)),
            ("asked for", number(counts.asked, 0)),
            ("come out, or stand in several rows and are memorized", number(counts.learned.low, 0)),
            ("read by both proxies, so that none could be compared with", number(counts.shared, 0)),
            ("come out after words of other rows", "not asked" if coverage is None else percent(coverage.value)),
            (
                f"authors that tell {MANY_CUES} things of themselves or more",
                number(sum(t >= MANY_CUES for t in told), 0),
            ),
        ]
        section = Section(
            headline=_headline(spans, counts),
            paragraph="A value comes out where the proxy that read it says all its tokens again after what stands before it, and "
            "the proxy that never read it does not. Names of persons are not told. Of values that no proxy read, or that there "
            "was no time for, nothing is known, and the bound counts them.",
            facts=tuple(facts),
            figures=(_by_class(spans), _by_kind(looked.columns, spans)) if counts.total else (),
        )
        metrics = {
            "distinct": Measurement.exact(counts.total),
            "extractable_values": counts.extracted,
            "learned_values": counts.learned,
            **({} if coverage is None else {"coverage": coverage}),
            "memorized_token_share": _token_share(view, spans),
            "max_cues_per_author": Measurement.exact(max(told, default=0)),
        }
        return LensResult(metrics=metrics, section=section)


def _copies(dose: int, words: list[str], rng: np.random.Generator) -> tuple[str, ...]:
    """So many copies of a text with values of one person, none of which anybody else may have, each behind other words."""
    kind = _TYPES[int(rng.integers(len(_TYPES)))]
    text = in_text(write_profile(rng), kind, rng)
    while not _is_drawn(text):
        text = in_text(write_profile(rng), kind, rng)
    return tuple(behind(words, text, find_personal, rng) for _ in range(dose))


def _is_drawn(text: str) -> bool:
    """Whether values are found in it, and all of classes in which chance makes no two alike."""
    labels = {value.label for value in find_personal(text)}
    return bool(labels) and labels <= _DRAWN


def _bits(attributes: frozenset[str]) -> int:
    return sum(1 << k for k, name in enumerate(ATTRIBUTES) if name in attributes)


def _most_told(cues: pa.ChunkedArray, author: pa.LargeStringArray | None) -> list[int]:
    """How many attributes each author tells of, in all rows together; rows without an author by themselves."""
    together: dict[object, int] = {}
    named = [None] * len(cues) if author is None else author.to_pylist()
    for row, (bits, name) in enumerate(zip(cues.to_pylist(), named, strict=True)):
        key = row if name is None else name
        together[key] = together.get(key, 0) | bits
    return [bits.bit_count() for bits in together.values()]


def _coverage(spans: pa.Table, counts: Counts) -> Measurement | None:
    """The share of the distinct values that come out after words of other rows; those that no proxy read may. None where there
    was no time for all contexts."""
    if not counts.total:
        return Measurement.exact(0.0)
    if spans["reached"].null_count:
        return None
    out = len(pc.unique(spans.filter(spans["reached"])["value"]))
    share, unread = out / counts.total, (counts.total - counts.read) / counts.total
    return Measurement(value=share, low=share, high=min(1.0, share + unread))


def _token_share(view: LensView, spans: pa.Table) -> Measurement:
    """Of the tokens of rows that were read, those in memorized values; those that were not asked for may be."""
    read = spans.filter(pc.is_valid(spans["tokens"]))
    total = max(1, int(view.n_tokens[view.proxies.read].sum()))
    inside = int(pc.sum(read.filter(pc.fill_null(read["memorized"], False))["tokens"]).as_py() or 0)
    unasked = int(pc.sum(read.filter(pc.is_null(read["memorized"]))["tokens"]).as_py() or 0)
    share = min(1.0, inside / total)
    return Measurement(value=share, low=share, high=min(1.0, (inside + unasked) / total))


def _headline(spans: pa.Table, counts: Counts) -> str:
    """`7 of 212 personal values come out (e-mail 5, phone 2)`."""
    out = spans.filter(pc.fill_null(spans["comes_out"], False)).group_by("value").aggregate([("label", "min")])
    classes = Counter(out["label_min"].to_pylist()).most_common(3)
    named = f" ({', '.join(f'{_words(name)} {count}' for name, count in classes)})" if classes else ""
    most = f", and up to {counts.extracted.high:,.0f} may" if counts.extracted.high > counts.extracted.low else ""
    return f"{counts.extracted.low:,.0f} of {plural(counts.total, 'personal value')} come out{named}{most}"


def _by_class(spans: pa.Table) -> Figure:
    """Distinct values by class, and how many of them come out."""
    rows = spans.group_by("value").aggregate([("label", "min"), ("comes_out", "max")]).group_by("label_min")
    table = rows.aggregate([("value", "count"), ("comes_out_max", "sum")]).sort_by("label_min")
    cells = zip(*(table[name].to_pylist() for name in ("label_min", "value_count", "comes_out_max_sum")), strict=True)
    return Cells(
        title="Values by class",
        columns=("class", "distinct", "come out"),
        rows=tuple((_words(label), f"{count:,}", f"{out or 0:,}") for label, count, out in cells),
    )


def _by_kind(columns: pa.Table, spans: pa.Table) -> Figure:
    """Places of values by the kind of text."""
    kind = columns["content_type"].take(spans["row"])
    counted = sorted(Counter(kind.to_pylist()).items(), key=lambda one: (-one[1], one[0]))
    return Bars(title="Values by kind of text", bars=tuple(Bar(label=name, value=float(n)) for name, n in counted))


def _words(label: str) -> str:
    return {"email": "e-mail", "ip_address": "IP address", "iban": "IBAN", "national_id": "national id"}.get(
        label, label.replace("_", " ")
    )
