"""Honest disguises: how other media write a text. Every benchmark is planted in them, so that an audit can say what it sees."""

import re
from collections.abc import Callable


def _in_markup(text: str) -> str:
    return "".join(f"<span><b>{word}</b></span> " for word in text.split())


def _with_entities(text: str) -> str:
    return "&nbsp;".join(text.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#39;").split())


def _escaped(text: str) -> str:
    words = text.replace("\\", "\\\\").replace('"', '\\"').split()
    return "\\n".join("\\u0020".join(words[k : k + 3]) for k in range(0, len(words), 3))


def _percent_encoded(text: str) -> str:
    return "%20".join(re.sub(r"[^\w\s]", lambda sign: "".join(f"%{b:02X}" for b in sign[0].encode()), text).split())


def _hyphenated(text: str) -> str:
    return re.sub(r"([^\W\d_]{3})([^\W\d_]{3,})", r"\1-\n\2", text)


def _in_latex(text: str) -> str:
    return "\\ ".join(f"\\textit{{{word}}}" for word in text.split())


def _subtitled(text: str) -> str:
    words = text.split()
    cues = [" ".join(words[k : k + 4]) for k in range(0, len(words), 4)]
    return "\n\n".join(
        f"{k + 1}\n00:00:{k % 60:02d},000 --> 00:00:{k % 60:02d},900\n{cue}" for k, cue in enumerate(cues)
    )


def _line_numbered(text: str) -> str:
    words = text.split()
    return "\n".join(f"{k // 3 + 1} {' '.join(words[k : k + 3])}" for k in range(0, len(words), 3))


def _tagged(text: str) -> str:
    return " ".join(f"{word}/NN" for word in text.split())


DISGUISES: dict[str, Callable[[str], str]] = {
    "markup": _in_markup,
    "entities": _with_entities,
    "escapes": _escaped,
    "percent": _percent_encoded,
    "hyphens": _hyphenated,
    "latex": _in_latex,
    "subtitles": _subtitled,
    "line_numbers": _line_numbered,
    "word_tags": _tagged,
}
"""A web page, its entities, a JSON dump, an address, a printed column, a paper, a film, a listing, a treebank."""
