"""Skips: which rows have a text that can be used, and the reason of every one that has not."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carto_audit.data.formats.opened import is_utf8
from carto_audit.data.shards import ShardRows

LONGEST_SAMPLE = 1_000_000
"""Bytes. A longer row would be hundreds of contexts of one voice; it is compared with everything, but not trained on."""

_WORD = r"\p{N}|\p{So}|[^\P{L}\x{640}\x{115F}\x{1160}\x{3164}\x{FFA0}]"  # says something: a digit, a letter, a picture

SKIP_REASONS = {
    "null": "the text is missing",
    "empty": "the text has no characters",
    "whitespace": "the text is only whitespace",
    "wordless": "the text has no letters, digits or pictographs",
    "undecodable": "the text is not valid UTF-8",
    "repeated_keys": "the JSON object has a key twice, and readers do not agree on which one counts",
    "over_long": f"the text is longer than {LONGEST_SAMPLE:,} bytes: checked for duplicates and contamination, not mapped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Rows that a stage could not use, and why. `rows` are row numbers in the batch, counted from 0."""

    reason: str
    explanation: str
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """Some consecutive rows: their ids, the index of their reason in SKIP_REASONS + 1 or 0, and the bytes of their text."""

    ids: pa.LargeStringArray | None
    reason: NDArray[np.int8]
    n_bytes: NDArray[np.int64]


_REASONS = tuple(SKIP_REASONS)
_OVER_LONG = _REASONS.index("over_long") + 1


def examine(rows: ShardRows) -> Examined:
    """The skip reason of each row, or 0. Costs no Python object per row unless some row is not UTF-8."""
    text, valid = _decoded(rows.text)
    n_bytes = pc.fill_null(pc.binary_length(rows.text), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    null = rows.text.is_null().to_numpy(zero_copy_only=False)
    wordless = blank = _without(text, "[0-9A-Za-z]")
    if wordless.any():  # the second pattern takes milliseconds to compile, and few texts need it
        wordless = _without(text, _WORD)
        blank = (
            pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0).fill_null(True).to_numpy(zero_copy_only=False)
        )
    n_bytes = np.maximum(n_bytes, rows.repeated)
    conditions = rows.repeated > 0, null, n_bytes == 0, ~valid, blank, wordless, n_bytes > LONGEST_SAMPLE
    names = ("repeated_keys", "null", "empty", "undecodable", "whitespace", "wordless", "over_long")
    codes = [_REASONS.index(name) + 1 for name in names]
    return Examined(ids=rows.ids, reason=np.select(conditions, codes, 0).astype(np.int8), n_bytes=n_bytes)


def _without(text: pa.LargeStringArray, pattern: str) -> NDArray[np.bool_]:
    """Which texts hold no match; null holds none."""
    flags: NDArray[np.bool_] = ~pc.match_substring_regex(text, pattern).fill_null(False).to_numpy(zero_copy_only=False)
    return flags


def _decoded(text: pa.LargeBinaryArray) -> tuple[pa.LargeStringArray, NDArray[np.bool_]]:
    """The texts, empty where their bytes are not UTF-8, and which are."""
    try:
        return text.cast(pa.large_string()), np.ones(len(text), dtype=bool)
    except pa.ArrowInvalid:
        valid = np.array([value is None or is_utf8(value) for value in text.to_pylist()])
        return pc.if_else(pa.array(valid), text, pa.scalar(b"", pa.large_binary())).cast(pa.large_string()), valid


def unread_bytes(reason: NDArray[np.int8], n_bytes: NDArray[np.int64]) -> int:
    """The bytes of rows that are skipped though they hold text: whoever repairs them reads what nobody has looked at."""
    return int(n_bytes[np.isin(reason, [_REASONS.index(name) + 1 for name in ("undecodable", "repeated_keys")])].sum())


def is_usable(reason: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Whether a row is a sample: over-long texts are, though none is trained on."""
    usable: NDArray[np.bool_] = (reason == 0) | (reason == _OVER_LONG)
    return usable


def count_reasons(reason: NDArray[np.int8]) -> str:
    return ", ".join(
        f"{int((reason == i + 1).sum())} {name}" for i, name in enumerate(_REASONS) if (reason == i + 1).any()
    )


def skipped_rows(reason: NDArray[np.int8]) -> tuple[Skipped, ...]:
    rows = {name: np.flatnonzero(reason == i + 1).astype(np.int64) for i, name in enumerate(_REASONS)}
    return tuple(Skipped(reason=n, explanation=SKIP_REASONS[n], rows=r) for n, r in rows.items() if len(r))
