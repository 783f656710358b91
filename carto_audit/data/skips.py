"""Skips: which rows have a text that can be used, and the reason of every one that has not."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carto_audit.data.columns import LEAST_BESIDE
from carto_audit.data.shards import ShardRows

LONGEST_SAMPLE = 1_000_000
"""Bytes. A longer row would be hundreds of contexts of one voice; it is compared with everything, but not trained on."""

_WORD = r"\p{N}|\p{So}|[^\P{L}\x{640}\x{115F}\x{1160}\x{3164}\x{FFA0}]"  # says something: a digit, a letter, a picture

SKIP_REASONS = {
    "null": "the text is missing",
    "empty": "the text has no characters",
    "whitespace": "the text is only whitespace",
    "wordless": "the text has no letters, digits or pictographs",
    "undecodable": "the text is not valid UTF-8: what can be read of it is checked for duplicates and contamination, not mapped",
    "repeated_keys": (
        "the JSON object has a key twice, and readers do not agree on which one counts: checked for duplicates and "
        "contamination, not mapped"
    ),
    "over_long": f"the text is longer than {LONGEST_SAMPLE:,} bytes: checked for duplicates and contamination, not mapped",
}


MOST_STRAY = 0.05
"""Of the bytes of a text: where more are no UTF-8 it is written in another encoding, and none of it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Rows that a stage could not use, and why. `rows` are row numbers in the batch, counted from 0."""

    reason: str
    explanation: str
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """Some consecutive rows: their ids, the index of their reason in SKIP_REASONS + 1 or 0, whether their text is compared
    nonetheless, its bytes, and those of them that nobody can read."""

    ids: pa.LargeStringArray | None
    reason: NDArray[np.int8]
    is_sample: NDArray[np.bool_]
    n_bytes: NDArray[np.int64]
    lost_bytes: NDArray[np.int64]


_REASONS = tuple(SKIP_REASONS)
_COMPARED = [_REASONS.index(name) + 1 for name in ("over_long", "undecodable", "repeated_keys")]


def examine(rows: ShardRows) -> Examined:
    """The skip reason of each row, or 0. Costs no Python object per row unless some row is not UTF-8."""
    text, lost = _decoded(rows.text)
    n_bytes = pc.fill_null(pc.binary_length(rows.text), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    null = rows.text.is_null().to_numpy(zero_copy_only=False)
    wordless = blank = _without(text, "[0-9A-Za-z]")
    if wordless.any():  # the second pattern takes milliseconds to compile, and few texts need it
        wordless = _without(text, _WORD)
        blank = (
            pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0).fill_null(True).to_numpy(zero_copy_only=False)
        )
    conditions = rows.repeated, null, n_bytes == 0, lost > 0, blank, wordless, n_bytes > LONGEST_SAMPLE
    names = ("repeated_keys", "null", "empty", "undecodable", "whitespace", "wordless", "over_long")
    codes = [_REASONS.index(name) + 1 for name in names]
    reason = np.select(conditions, codes, 0).astype(np.int8)
    is_sample = (reason == 0) | (np.isin(reason, _COMPARED) & ~wordless)
    is_sample |= (reason > 0) & (rows.beside_bytes >= LEAST_BESIDE)  # what stands beside no text is compared
    lost = np.where(wordless & (lost > 0) | (lost > MOST_STRAY * n_bytes), n_bytes, lost)
    return Examined(ids=rows.ids, reason=reason, is_sample=is_sample, n_bytes=n_bytes, lost_bytes=lost)


def readable(value: bytes) -> str:
    """Bytes as text, with U+FFFD in place of what is no UTF-8: one for each that stands for no character."""
    try:
        text = value.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return value.decode("utf-8", "replace")
    return _SURROGATES.sub("\ufffd", text)


_SURROGATES = re.compile("[\ud800-\udfff]")


def _without(text: pa.LargeStringArray, pattern: str) -> NDArray[np.bool_]:
    """Which texts hold no match; null holds none."""
    flags: NDArray[np.bool_] = ~pc.match_substring_regex(text, pattern).fill_null(False).to_numpy(zero_copy_only=False)
    return flags


def _decoded(text: pa.LargeBinaryArray) -> tuple[pa.LargeStringArray, NDArray[np.int64]]:
    """The texts, without the bytes that are not UTF-8, and how many of these there are."""
    try:
        return text.cast(pa.large_string()), np.zeros(len(text), dtype=np.int64)
    except pa.ArrowInvalid:
        values = text.to_pylist()
    kept = [None if value is None else value.decode("utf-8", "ignore").encode() for value in values]
    lost = [len(value or b"") - len(rest or b"") for value, rest in zip(values, kept, strict=True)]
    return pa.array(kept, pa.large_binary()).cast(pa.large_string()), np.array(lost, dtype=np.int64)


def count_reasons(reason: NDArray[np.int8]) -> str:
    return ", ".join(
        f"{int((reason == i + 1).sum())} {name}" for i, name in enumerate(_REASONS) if (reason == i + 1).any()
    )


def skipped_rows(reason: NDArray[np.int8]) -> tuple[Skipped, ...]:
    rows = {name: np.flatnonzero(reason == i + 1).astype(np.int64) for i, name in enumerate(_REASONS)}
    return tuple(Skipped(reason=n, explanation=SKIP_REASONS[n], rows=r) for n, r in rows.items() if len(r))
