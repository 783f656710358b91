"""Untrusted text: hostile until made safe, and normalized one way for every comparison."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Unicode's Default_Ignorable_Code_Point: characters that leave no mark on the page."""

_SPACE = re.compile(r"\s+")


def safe_inline(text: str, limit: int = 240) -> str:
    """One printable line of at most `limit` characters: control, bidi, zero-width and surrogate characters are gone.

    Every vendor string passes through here before it reaches a terminal, a log or a page. It does not escape markup;
    that is each sink's own job.
    """
    head = _SPACE.sub(" ", text[: limit * 8])
    safe = "".join(c for c in unicodedata.normalize("NFC", head) if unicodedata.category(c) not in _UNSAFE)
    clean = _SPACE.sub(" ", safe).strip()  # again: what stood between two spaces may be gone
    cut = len(clean) > limit or len(text) > limit * 8
    return clean[: limit - 1] + "…" if cut else clean


def encodable(value: Any) -> Any:
    """A JSON value without lone surrogates, which are no text in UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {encodable(str(key)): encodable(item) for key, item in value.items()}
    return [encodable(item) for item in value] if isinstance(value, list | tuple) else value
