"""Negatives in markup: pages, documents and papers made of this machine's own prose. None of them holds a benchmark item."""

import ast
import html
import json
import random
from collections.abc import Iterator
from itertools import islice

from bench.contamination import plants
from bench.corpora import Corpora, docstrings, library_sources

_NAMES = "alpha beta gamma delta theta lambda kappa sigma".split()


def made(corpora: Corpora, count: int, most: int | None, seed: int) -> dict[str, list[str]]:
    """So many HTML pages, JSON documents and LaTeX paragraphs, of three paragraphs each; and at most so many of each kind of
    negatives that the contamination bench has."""
    plain = plants.negatives(corpora, most)
    prose = [text for name in ("docstrings", "licences", "wikitext2", "gsm8k_train") for text in plain[name]]
    rng = random.Random(seed)
    draw = {name: [rng.choices(prose, k=3) for _ in range(count)] for name in ("HTML", "JSON", "LaTeX", "annotated")}
    return {
        **plain,
        "HTML pages": [_page(parts, rng) for parts in draw["HTML"]],
        "JSON documents": [_document(parts, rng) for parts in draw["JSON"]],
        "LaTeX paragraphs": [_paper(parts, rng) for parts in draw["LaTeX"]],
        "numbered, tagged and timed": [_annotated(parts, rng) for parts in draw["annotated"]],
        "source files": list(islice(_sources(), most)),
        "docstrings as Markdown": [_markdown(text, rng) for text in islice(docstrings(), most or count)],
    }


def _page(parts: list[str], rng: random.Random) -> str:
    body = "\n".join(
        f'<p class="c{rng.randrange(9)}">{"".join(_inline(word, rng) for word in part.split())}</p>' for part in parts
    )
    links = "".join(f'<li><a href="/p/{rng.randrange(999)}?a=1&amp;b=2">{name}</a></li>' for name in _NAMES)
    head = f"<!DOCTYPE html><html><head><title>{rng.choice(_NAMES)}</title><style>p {{ margin: 1em }}</style></head>"
    return f"{head}<body><ul>{links}</ul>\n{body}<br/>&copy; 2024 &mdash; {rng.randrange(99)}%</body></html>"


def _inline(word: str, rng: random.Random) -> str:
    word = html.escape(word)
    if rng.random() < 0.1:
        return f"<b>{word}</b> "
    return f"{word}&nbsp;" if rng.random() < 0.1 else f"{word} "


def _document(parts: list[str], rng: random.Random) -> str:
    made = {
        "id": rng.getrandbits(64),
        "digest": f"{rng.getrandbits(256):064x}",
        "score": rng.random(),
        "tags": _NAMES[:3],
    }
    made["paragraphs"] = [{"n": k, "text": part, "words": part.split()[:8]} for k, part in enumerate(parts)]
    made["inner"] = json.dumps({"text": parts[0]})
    return json.dumps(made, indent=rng.choice((None, 2)), ensure_ascii=rng.random() < 0.5)


def _paper(parts: list[str], rng: random.Random) -> str:
    lines = []
    for k, part in enumerate(parts):
        words = [f"\\emph{{{w}}}" if rng.random() < 0.08 else w for w in part.replace("%", "\\%").split()]
        formula = f"$\\{rng.choice(_NAMES)}_{{{k}}} = \\frac{{{rng.randrange(99)}}}{{n}} \\times {rng.randrange(9)}$"
        lines.append(f"\\section{{Part {k}}} {' '.join(words)}~\\cite{{ref{k}}} where {formula}, see \\ref{{eq:{k}}}.")
    return "\n\n".join(lines)


def _annotated(parts: list[str], rng: random.Random) -> str:
    words = " ".join(parts).split()
    lines = [" ".join(words[k : k + 8]) for k in range(0, len(words), 8)]
    kind = rng.randrange(4)
    if kind == 0:
        return "\n".join(f"{k + 1}: {line}" for k, line in enumerate(lines))
    if kind == 1:
        return "\n".join(
            f"00:{k // 60:02d}:{k % 60:02d},000 --> 00:59:59,000\n{line}\n" for k, line in enumerate(lines)
        )
    if kind == 2:
        return " ".join(f"{word}/NN" for word in words)
    return "\n".join(f"{k}\t{word}\tNN\tO" for k, word in enumerate(words))


def _sources() -> Iterator[str]:
    """Modules of the standard library as they are written back from their trees."""
    for _, tree in library_sources():
        yield ast.unparse(tree)[:20_000]


def _markdown(text: str, rng: random.Random) -> str:
    words = (
        f"**{w}**" if rng.random() < 0.05 else f"[{w}](#x{rng.randrange(9)})" if rng.random() < 0.05 else w
        for w in text.split()
    )
    return f"# {rng.choice(_NAMES)}\n\n* {' '.join(words)}\n"
