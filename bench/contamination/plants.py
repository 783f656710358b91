"""What the bench plants and what it must not find: items in seven forms, and negatives from this machine."""

import hashlib
import random
import re
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from bench.corpora import Corpora, Item, docstrings

FORMS = ("question", "question+answer", "embedded", "rewrapped", "recased", "edited")
LEAST_TOKENS = 6
"""The bars hold for questions of at least so many words; shorter ones are listed under detectability."""

SHORTEST = 60
"""Characters that a paragraph of documentation or of a licence has more than."""


def in_tuning_half(item_id: str) -> bool:
    """Every rule and threshold was chosen on this half of the items; the other half is reported."""
    return hashlib.sha256(item_id.encode()).digest()[0] % 2 == 0


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def question_of(item: Item) -> str:
    return f"{item['passage']}\n{item['question']}" if item["passage"] else str(item["question"])


def with_answer(item: Item) -> str:
    options = "".join(f"\n{'ABCDEFGHIJ'[k]}. {choice}" for k, choice in enumerate(item["choices"][:10]))
    return f"{question_of(item)}{options}\nAnswer: {item['answer']}"


def embed(text: str, prose: list[str], rng: random.Random) -> str:
    start = rng.randrange(len(prose) - 300)
    return " ".join([*prose[start : start + 150], text, *prose[start + 150 : start + 300]])


def rewrap(text: str, width: int = 8) -> str:
    parts = text.split()
    return "\n".join(" ".join(parts[k : k + width]) for k in range(0, len(parts), width))


def recase(text: str, rng: random.Random) -> str:
    """Upper case or lower case, and other punctuation: none at the end, dashes and semicolons for commas and colons."""
    text = re.sub(r"[.?!]+(\s|$)", r"\1", text).replace(",", " --").replace(":", ";").replace("'", "’")
    return text.upper() if rng.random() < 0.5 else text.lower()


def edit(text: str, prose: list[str], rng: random.Random) -> str:
    return re.sub(r"\S+", lambda m: rng.choice(prose) if rng.random() < 0.1 else m[0], text)


def plants(items: list[Item], prose: list[str], seed: int) -> dict[str, list[str]]:
    """Each item in each of FORMS; `embedded`, `rewrapped` and `recased` hold the bare question, the hardest case."""
    rng = random.Random(seed)
    makers: dict[str, Callable[[Item], str]] = {
        "question": question_of,
        "question+answer": with_answer,
        "embedded": lambda item: embed(question_of(item), prose, rng),
        "rewrapped": lambda item: rewrap(question_of(item)),
        "recased": lambda item: recase(question_of(item), rng),
        "edited": lambda item: edit(with_answer(item), prose, rng),
    }
    return {form: [makers[form](item) for item in items] for form in FORMS}


def translate(text: str, rng: random.Random) -> str:
    """A simulated translation: another word for every word but numbers and names, some of them in another order."""
    shifted = str.maketrans("aeioulrsntmdbcpgh", "eouaimnlrstbdgkth")

    def other(word: str, opens: bool) -> str:
        if any(c.isdigit() for c in word) or (word[:1].isupper() and not opens and len(word) > 2):
            return word
        return word[::-1].lower().translate(shifted) + rng.choice(("en", "a", "ir", "os"))

    out, opens = [], True
    for part in re.findall(r"[^\W_]+|[\W_]+", text):
        out.append(other(part, opens) if part[0].isalnum() else part)
        opens = not part[0].isalnum() and any(c in ".?!:\n" for c in part)
    for k in range(0, len(out) - 4, 2):
        if rng.random() < 0.15:
            out[k], out[k + 2] = out[k + 2], out[k]
    return "".join(out)


def negatives(corpora: Corpora, most: int | None) -> dict[str, list[str]]:
    """Texts that hold no benchmark item, by kind, at most so many of each."""
    return {
        "gsm8k_train": corpora.texts("gsm8k")[:most],
        "wikitext2": corpora.texts("wikitext")[:most],
        "shakespeare": corpora.texts("shakespeare")[:most],
        "docstrings": list(dict.fromkeys(islice((text for text in docstrings() if len(text) > SHORTEST), most))),
        "licences": licences()[:most],
        "number tables": list(number_tables(most or 1000)),
    }


def licences() -> list[str]:
    """Paragraphs of the licence texts of this machine's packages."""
    files = {*Path(sys.prefix).rglob("LICEN[SC]E*"), *Path("/usr/share/common-licenses").glob("*")}
    files |= set(Path("/usr/share/doc").glob("*/copyright"))
    parts: dict[str, None] = {}
    for path in sorted(path for path in files if path.is_file())[:400]:
        text = path.read_text(encoding="utf-8", errors="replace")
        parts.update(dict.fromkeys(part.strip() for part in text.split("\n\n") if len(part.strip()) > SHORTEST))
    return list(parts)


def number_tables(count: int) -> Iterator[str]:
    """Tables of numbers with a head line, as reports and logs have them."""
    rng = random.Random(4)
    heads = ("year,total,share", "x y z", "id\tvalue\tmean\tmax", "| n | time | size |")
    for _ in range(count):
        head = rng.choice(heads)
        lines = (", ".join(str(rng.choice((rng.randrange(100), rng.random()))) for _ in range(4)) for _ in range(20))
        yield "\n".join([head, *lines])
