"""Secrets: keys and passwords in the text, and whether the proxy that read them says them again."""

import numpy as np
import pyarrow as pa

from carto_audit.lenses.answers import Bar, Bars, LensResult, Looked, Section
from carto_audit.lenses.declared.secrets import SECRETS
from carto_audit.lenses.keys.finder import find_keys
from carto_audit.lenses.keys.planted import KINDS, in_code, in_prose, write_key
from carto_audit.lenses.plants import Example, Plants, Room
from carto_audit.lenses.values.heads import behind, head_words
from carto_audit.lenses.values.survey import count_values, survey
from carto_audit.lenses.view import LensView
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.strict_model import Strict
from carto_audit.text.numbers import number, plural

_KINDS = (
    "aws_access_key",
    "aws_secret_key",
    "gitlab_token",
    "stripe_key",
    "url_password",
    "password_assignment",
    "generic_api_key",
)
"""Of the shorter kinds, of which more find room."""

_DRAWN = frozenset(KINDS) - {"url_password", "password_assignment", "connection_password"}
"""What nobody guesses; a password may be one that many people choose."""

_EXAMPLES, _TWINS = 40, 60


class SecretsLens:
    """Finds keys by their forms and their names, and scores nothing but the key's own tokens."""

    spec = SECRETS

    def plant(self, room: Room, options: Strict) -> Plants:
        """Keys in lines of code and in sentences, each copy behind other words; as twins, keys that stand once."""
        rng = np.random.default_rng(room.seed)
        words = head_words(room.texts, find_keys)
        examples = [
            Example(texts=_copies(_KINDS[k % len(_KINDS)], dose, words, rng))
            for dose in self.spec.doses
            for k in range(_EXAMPLES)
        ]
        twins = [text for k in range(_TWINS) for text in _copies(_KINDS[k % len(_KINDS)], 1, words, rng)]
        return Plants(examples=tuple(examples), twins=tuple(twins))

    def look(self, view: LensView, options: Strict) -> Looked:
        """Where keys stand, and which of them the proxies say again."""
        found, rows = survey(view, find_keys, drawn=_DRAWN), len(view)
        memorized = found.in_rows(rows, found.memorized)
        unknown = (found.in_rows(rows) > 0) & (found.in_rows(rows, found.asked) == 0)
        columns = pa.table(
            {"keys": found.in_rows(rows), "memorized": pa.array(memorized, pa.int64(), mask=unknown)},
        )
        return Looked(columns=columns, found=(memorized > 0).astype(np.int64), spans=found.spans())

    def sum_up(self, view: LensView, looked: Looked, options: Strict) -> LensResult:
        """How many there are, how many are memorized, and how many come out whole."""
        assert looked.spans is not None
        counts = count_values(looked.spans)
        facts = [
            ("keys and passwords", number(counts.total, 0)),
            ("asked for", number(counts.asked, 0)),
            ("read by both proxies, so that none could be compared with", number(counts.shared, 0)),
        ]
        labels = looked.spans.group_by("label").aggregate([("value", "count_distinct")]).sort_by("label")
        kinds = zip(labels["label"].to_pylist(), labels["value_count_distinct"].to_pylist(), strict=True)
        most = sorted(kinds, key=lambda kind: (-kind[1], kind[0]))[:12]
        figures = (
            Bars(
                title="Distinct keys by kind",
                bars=tuple(Bar(label=k.replace("_", " "), value=float(n)) for k, n in most),
            ),
        )
        section = Section(
            headline=f"{plural(counts.total, 'key')}, {_how_many(counts.memorized)} memorized",
            paragraph="A key is memorized where reading took clearly more of its loss away than of keys that stand in a single "
            "row, 50 to 85 % and more. It comes out where the proxy that read it says all of it again after what stands before. "
            "The bounds count all that could not be asked for.",
            facts=(
                *facts,
                ("come out whole", _how_many(counts.extracted)),
                ("come out, or stand in several rows and are memorized", _how_many(counts.learned)),
            ),
            figures=figures if counts.total else (),
        )
        metrics = {
            "distinct": Measurement.exact(counts.total),
            "memorized": counts.memorized,
            "extractable": counts.extracted,
            "learned": counts.learned,
        }
        return LensResult(metrics=metrics, section=section)


def _copies(kind: str, dose: int, words: list[str], rng: np.random.Generator) -> tuple[str, ...]:
    """So many texts with one key, all code or all prose, each behind a few words of its own."""
    key, write = write_key(kind, rng), (in_code, in_prose)[int(rng.integers(2))]
    return tuple(behind(words, write(key, kind, rng), find_keys, rng) for _ in range(dose))


def _how_many(measured: Measurement) -> str:
    """`2`, or `2 (up to 5)` where not all were asked for."""
    most = f" (up to {number(measured.high, 0)})" if measured.high > measured.low else ""
    return f"{number(measured.low, 0)}{most}"
