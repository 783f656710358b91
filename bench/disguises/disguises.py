"""Disguises that the check was written against: how other media write a text, and how somebody might hide one."""

import base64
import codecs
import html
import json
import random
import re
import textwrap
import unicodedata
import urllib.parse
from collections.abc import Callable

Disguise = Callable[[str, random.Random], str]
"""Writes a text in another way; the second value decides what is left to chance."""

FILLER = "harbour lantern ferry ledger meadow curtain pepper saddle velvet gravel orchard chimney".split()
_TAGS = "NN VBZ DT IN JJ RB CD".split()
_LIKE = str.maketrans("aceopxyijs", "асеорхуіјѕ")
_LEET = str.maketrans("aeiost", "431057")
_FULL = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_BOLD = {ord("a") + k: 0x1D41A + k for k in range(26)} | {ord("A") + k: 0x1D400 + k for k in range(26)}
_CAPITALS = str.maketrans("abcdefghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ")


def rows(text: str, size: int = 4) -> list[str]:
    """The words of a text in lines of so many."""
    words = text.split()
    return [" ".join(words[k : k + size]) for k in range(0, len(words), size)]


def each(text: str, write: Callable[[int, str], str], between: str = " ") -> str:
    """Every word written in another way, with its number."""
    return between.join(write(k, word) for k, word in enumerate(text.split()))


def inside(text: str, sign: str) -> str:
    """A sign behind the second letter of every longer word."""
    return re.sub(r"\b([^\W\d_]{2})([^\W\d_]{2,})", rf"\1{sign}\2", text)


def of_lines(write: Callable[[int, str], str], between: str = "\n") -> Disguise:
    """A disguise that writes lines of four words, with their numbers."""
    return lambda text, rng: between.join(write(k, row) for k, row in enumerate(rows(text)))


def of_words(write: Callable[[int, str], str], between: str = " ") -> Disguise:
    """A disguise that writes every word, with its number."""
    return lambda text, rng: each(text, write, between)


def _with_accents(text: str, rng: random.Random) -> str:
    return "".join(c + chr(0x300 + rng.randrange(0x20)) * rng.randrange(1, 4) if c.isalpha() else c for c in text)


def _typo(word: str, rng: random.Random) -> str:
    if len(word) < 5 or not word.isalpha():
        return word
    k = rng.randrange(1, len(word) - 2)
    return word[:k] + word[k + 1] + word[k] + word[k + 2 :]


def _replaced(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join(rng.choice(FILLER) if k % 5 == 4 and not w[0].isdigit() else w for k, w in enumerate(words))


def _shuffled_within(text: str, rng: random.Random) -> str:
    words = text.split()
    parts = [words[k : k + 5] for k in range(0, len(words), 5)]
    for part in parts:
        rng.shuffle(part)
    return " ".join(word for part in parts for word in part)


def _swapped(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join(word for k in range(0, len(words), 2) for word in words[k : k + 2][::-1])


def _halves(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join([*words[: len(words) // 2], *rng.choices(FILLER, k=60), *words[len(words) // 2 :]])


HONEST: dict[str, Disguise] = {
    "HTML, a tag round every word": of_words(lambda k, w: f'<span class="w{k}"><b>{html.escape(w)}</b></span>'),
    "HTML, tags inside words": lambda text, rng: inside(text, "<wbr>"),
    "HTML, a comment in every word": lambda text, rng: inside(text, "<!-- x -->"),
    "HTML table, one word a cell": of_words(lambda k, w: f"<tr><td>{w}</td></tr>", "\n"),
    "ruby": of_words(lambda k, w: f"<ruby>{w}<rt>{w[:2]}</rt></ruby>"),
    "entities between words": lambda text, rng: "&nbsp;".join(html.escape(text).split()),
    "entities for every letter": lambda text, rng: "".join(f"&#x{ord(c):x};" for c in text),
    "entities, escaped twice": lambda text, rng: html.escape("".join(f"&#{ord(c)};" for c in text)),
    "JSON in JSON": lambda text, rng: json.dumps(json.dumps({"text": "\n".join(rows(text, 2))})),
    "Unicode escapes": lambda text, rng: text.replace(" ", "\\u0020"),
    "bytes as \\x": lambda text, rng: "".join(f"\\x{b:02x}" for b in text.encode()),
    "octal escapes": lambda text, rng: text.replace(" ", "\\040"),
    "percent encoding": lambda text, rng: urllib.parse.quote(text),
    "percent encoding, twice": lambda text, rng: urllib.parse.quote(urllib.parse.quote(text)),
    "quoted-printable": lambda text, rng: re.sub(r"(.{20}[a-z])", r"\1=\n", text.replace(" ", "=20")),
    "base64": lambda text, rng: base64.b64encode(text.encode()).decode(),
    "base64, wrapped": lambda text, rng: base64.encodebytes(text.encode()).decode(),
    "base32": lambda text, rng: base64.b32encode(text.encode()).decode(),
    "base85": lambda text, rng: base64.b85encode(text.encode()).decode(),
    "hex": lambda text, rng: text.encode().hex(),
    "PDF, words hyphenated": lambda text, rng: re.sub(r"([^\W\d_]{3})([^\W\d_]{3,})", r"\1-\n\2", text),
    "PDF, soft hyphens": lambda text, rng: inside(text, "\u00ad"),
    "ligatures": lambda text, rng: text.replace("ffi", "ﬃ").replace("fi", "ﬁ").replace("fl", "ﬂ").replace("st", "ﬆ"),
    "subtitles, SRT": of_lines(
        lambda k, row: f"{k + 1}\n00:00:{k % 60:02d},000 --> 00:00:{k % 60:02d},900\n{row}", "\n\n"
    ),
    "subtitles, WebVTT": of_lines(lambda k, row: f"00:{k % 60:02d}.000 --> 00:{k % 60:02d}.900\n{row}", "\n\n"),
    "karaoke cues": of_words(lambda k, w: f"<00:00:{k % 60:02d}.100><c>{w}</c>"),
    "lyrics with times": of_lines(lambda k, row: f"[00:{k % 60:02d}.50]{row}"),
    "line numbers": of_lines(lambda k, row: f"{k + 1:4d}  {row}"),
    "numbered list, one word each": of_words(lambda k, w: f"{k + 1}. {w}", "\n"),
    "speakers": of_lines(lambda k, row: f"SPEAKER {k % 2}: {row}"),
    "log lines": of_lines(lambda k, row: f"2024-05-01 12:00:{k % 60:02d},123 INFO {row}"),
    "footnote marks": of_words(lambda k, w: f"{w}[{k}]"),
    "LaTeX, a command round every word": of_words(lambda k, w: f"\\textbf{{{w}}}"),
    "LaTeX spaces": lambda text, rng: "\\ ".join(text.split()),
    "Markdown links": of_words(lambda k, w: f"[{w}](https://example.org/{k})"),
    "Markdown emphasis in words": lambda text, rng: inside(text, "**"),
    "wiki links": of_words(lambda k, w: f"[[Page {k}|{w}]]"),
    "BBCode": of_words(lambda k, w: f"[b]{w}[/b]"),
    "mail quotes": of_lines(lambda k, row: f"> > {row}"),
    "word tags, slash": of_words(lambda k, w: f"{w}/{_TAGS[k % 7]}"),
    "word tags, underscore": of_words(lambda k, w: f"{w}_{_TAGS[k % 7]}"),
    "treebank": of_words(lambda k, w: f"(S ({_TAGS[k % 7]} {w}))"),
    "CoNLL": of_words(lambda k, w: f"{k + 1}\t{w}\t_\tNOUN\t{_TAGS[k % 7]}\t0\troot", "\n"),
    "BPE, @@": lambda text, rng: inside(text, "@@ "),
    "word pieces, ##": lambda text, rng: inside(text, " ##"),
    "sentence pieces": of_words(lambda k, w: "\u2581" + w[:3] + (" " + w[3:] if w[3:] else "")),
    "C string literals": of_lines(lambda k, row: f'printf("{row}\\n");'),
    "C++ streams": of_lines(lambda k, row: f'std::cout << "{row}" << std::endl;'),
    "Python string, one word each": of_words(lambda k, w: f"'{w}',", "\n"),
    "CSV, one row": lambda text, rng: ",".join(f'"{w}"' for w in text.split()),
    "YAML block": lambda text, rng: "question: |\n" + textwrap.indent("\n".join(rows(text)), "    "),
    "terminal colours": of_words(lambda k, w: f"\x1b[1;3{k % 8}m{w}\x1b[0m"),
    "Markdown table": of_lines(lambda k, row: f"| {' | '.join(row.split())} |"),
}
"""How other media write a text."""

TRICKS: dict[str, Disguise] = {
    "Cyrillic and Greek lookalikes": lambda text, rng: text.translate(_LIKE),
    "full width": lambda text, rng: text.translate(_FULL),
    "mathematical bold": lambda text, rng: text.translate(_BOLD),
    "small capitals": lambda text, rng: text.translate(_CAPITALS),
    "piled accents": _with_accents,
    "zero-width spaces": lambda text, rng: inside(text, "\u200b"),
    "control characters": lambda text, rng: inside(text, "\x07"),
    "private-use characters": lambda text, rng: inside(text, "\ue000"),
    "direction marks": of_words(lambda k, w: f"\u202e{w}\u202c"),
    "leet": lambda text, rng: text.translate(_LEET),
    "rot13": lambda text, rng: codecs.encode(text, "rot13"),
    "rot5 of letters": lambda text, rng: re.sub("[a-z]", lambda m: chr((ord(m[0]) - 92) % 26 + 97), text.lower()),
    "backwards": lambda text, rng: text[::-1],
    "binary": lambda text, rng: " ".join(f"{b:08b}" for b in text.encode()),
    "decimal codes": lambda text, rng: " ".join(
        str(b) for b in unicodedata.normalize("NFKD", text).encode("ascii", "ignore")
    ),
    "base64, word by word": of_words(lambda k, w: base64.b64encode(w.encode()).decode()),
    "base64, twice": lambda text, rng: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "no spaces": lambda text, rng: text.replace(" ", ""),
    "letter by letter": lambda text, rng: " ".join(text.replace(" ", "")),
    "groups of five": lambda text, rng: " ".join(textwrap.wrap(text.replace(" ", ""), 5)),
    "camel case": lambda text, rng: "".join(w[:1].upper() + w[1:] for w in text.split()),
    "a sign in every word": lambda text, rng: inside(text, "€"),
    "a dot between letters": lambda text, rng: each(text, lambda k, w: ".".join(w)),
    "words backwards in order": lambda text, rng: " ".join(text.split()[::-1]),
    "pairs swapped": _swapped,
    "shuffled in fives": _shuffled_within,
    "filler behind every word": lambda text, rng: each(text, lambda k, w: f"{w} {rng.choice(FILLER)}"),
    "filler behind every second word": lambda text, rng: each(
        text, lambda k, w: f"{w} {rng.choice(FILLER)}" if k % 2 else w
    ),
    "every fifth word replaced": _replaced,
    "a typo in every longer word": lambda text, rng: each(text, lambda k, w: _typo(w, rng)),
    "plurals": of_words(lambda k, w: f"{w}s" if w.isalpha() and len(w) > 3 else w),
    "without vowels": of_words(lambda k, w: w[:1] + re.sub("[aeiou]", "", w[1:]) if len(w) > 4 else w),
    "halves sixty words apart": _halves,
    "trade marks in words": lambda text, rng: inside(text, "™"),
}
"""How somebody might hide a text."""
