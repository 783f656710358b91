"""Disguises kept back: thought of when the check was written, and first tried afterwards. README.md says which it read."""

import base64
import binascii
import json
import random
import re
import textwrap
import zlib

from bench.disguises.disguises import FILLER, Disguise, each, inside, of_lines, of_words, rows

_MORSE = (
    "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- v...- w.-- x-..- "
    "y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----."
).split()
_MORSE_OF = {code[0]: code[1:] for code in _MORSE}
_FLIPPED = str.maketrans("abcdefghijklmnopqrtuvwyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹʇnʌʍʎz")
_KEYS = str.maketrans("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz")
_SPELLED = (
    "Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec Romeo Sierra "
    "Tango Uniform Victor Whiskey Xray Yankee Zulu"
).split()
_ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"))
_ONES = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")


def _roman(match: re.Match[str]) -> str:
    value, said = int(match[0]), ""
    if not 0 < value < 4000:
        return match[0]
    for size, letters in _ROMAN:
        said, value = said + letters * (value // size), value % size
    return said + _ONES[value]


def _dump(text: str, rng: random.Random) -> str:
    data = text.encode("ascii", "replace")
    lines = (data[k : k + 16] for k in range(0, len(data), 16))
    return "\n".join(
        f"{16 * k:08x}: {line.hex(' ', 2):39}  {line.decode().replace(chr(10), '.')}" for k, line in enumerate(lines)
    )


def _two_columns(text: str, rng: random.Random) -> str:
    return "\n".join(f"{row:44}{' '.join(rng.choices(FILLER, k=4))}" for row in rows(text))


def _with_page_heads(text: str, rng: random.Random) -> str:
    heads = (f"\n{k + 1}\nQuarterly Review of the Harbour Office\n" for k in range(10_000))
    return "\n".join(row + (next(heads) if k % 2 else "") for k, row in enumerate(rows(text)))


def _uuencoded(text: str, rng: random.Random) -> str:
    data = text.encode()
    body = "".join(binascii.b2a_uu(data[k : k + 45]).decode() for k in range(0, len(data), 45))
    return f"begin 644 text.txt\n{body}`\nend"


def _vigenere(text: str, rng: random.Random) -> str:
    key, k, out = "lantern", 0, []
    for c in text.lower():
        out.append(chr((ord(c) - 97 + ord(key[k % 7]) - 97) % 26 + 97) if "a" <= c <= "z" else c)
        k += "a" <= c <= "z"
    return "".join(out)


def _fence(text: str, rng: random.Random) -> str:
    return text[::2] + text[1::2]


def _interleaved(text: str, rng: random.Random) -> str:
    words = text.split()
    other = rng.choices(FILLER, k=len(words))
    return "\n".join(f"{' '.join(words[k : k + 4])}\n{' '.join(other[k : k + 4])}" for k in range(0, len(words), 4))


def _sentences(text: str, rng: random.Random) -> str:
    parts = re.split(r"(?<=[.?!])\s+", text)
    return " ".join(parts[::-1])


HONEST: dict[str, Disguise] = {
    "JSON, an object for every token": of_words(
        lambda k, w: json.dumps({"id": k, "form": w, "upos": "NOUN", "head": 0}), "\n"
    ),
    "YAML, a mapping for every token": of_words(lambda k, w: f"- form: {w}\n  tag: NN", "\n"),
    "XML, words in attributes": of_words(lambda k, w: f'<w n="{k}" form="{w.strip(chr(34))}"/>', "\n"),
    "CSV, one word a row": of_words(lambda k, w: f'{k},"{w}",NN,O', "\n"),
    "SQL, a row for every word": of_words(lambda k, w: f"INSERT INTO words VALUES ({k}, '{w}');", "\n"),
    "SQL, a row for every line": of_lines(lambda k, row: f"INSERT INTO lines VALUES ({k}, '{row}');"),
    "git blame": of_lines(lambda k, row: f"a1b2c3d4 (Ann Lee 2024-05-01 12:00:{k % 60:02d} +0000 {k + 1:3d}) {row}"),
    "grep -n over files": of_lines(lambda k, row: f"notes/chapter{k // 9}.txt:{k + 1}:{row}"),
    "chat": of_lines(lambda k, row: f"[12:{k % 60:02d}] <ann{k % 3}> {row}"),
    "syslog": of_lines(lambda k, row: f"May  1 12:00:{k % 60:02d} host4 app[{700 + k}]: {row}"),
    "two columns": _two_columns,
    "page heads": _with_page_heads,
    "xxd": _dump,
    "assembler strings": of_lines(lambda k, row: f'.LC{k}:\n\t.string\t"{row}"'),
    "uuencode": _uuencoded,
    "gzip in base64": lambda text, rng: base64.b64encode(zlib.compress(text.encode())).decode(),
    "Ascii85 of Adobe": lambda text, rng: base64.a85encode(text.encode(), adobe=True).decode(),
    "roff fonts": of_words(lambda k, w: f"\\fB{w}\\fR"),
    "roff, a request for every line": of_lines(lambda k, row: f".BR {row}\n.sp"),
    "RTF": of_lines(lambda k, row: f"{{\\rtf1\\ansi\\f0\\fs24 {row}\\par}}"),
    "Texinfo": of_words(lambda k, w: f"@code{{{w}}}"),
    "POD": of_words(lambda k, w: f"B<{w}>"),
    "reStructuredText roles": of_words(lambda k, w: f":emphasis:`{w}`"),
    "LaTeX, commands of one's own": of_words(lambda k, w: f"\\keyterm{{{w}}}"),
    "LaTeX, index entries": of_words(lambda k, w: f"{w}\\index{{{w}}}"),
    "wiki templates": of_words(lambda k, w: f"{{{{nowrap|{w}}}}}"),
    "chords over lyrics": of_words(lambda k, w: f"[{('Am', 'G7', 'C', 'Fmaj7')[k % 4]}]{w}"),
    "gloss lines": _interleaved,
    "verses": of_lines(lambda k, row: f"{3 + k // 9}:{k % 9 + 1} {row}"),
    "words counted inline": of_words(lambda k, w: f"({k + 1}) {w}"),
    "properties": of_lines(lambda k, row: f"text.line.{k:03d}={row}"),
    "HL7": of_lines(lambda k, row: f"OBX|{k + 1}|TX|NOTE^Text||{row}||||||F"),
    "diarized speech": of_lines(lambda k, row: f"[{k}.00s -> {k}.90s] SPEAKER_0{k % 2}: {row}"),
    "CSS escapes": lambda text, rng: "".join(f"\\{ord(c):06x}" if c != " " else " " for c in text),
    "chr() calls": lambda text, rng: "+".join(f"chr({b})" for b in text.encode()),
    "octal dump": lambda text, rng: " ".join(f"{b:03o}" for b in text.encode()),
    "UTF-7": lambda text, rng: text.replace(" ", "+ACA-"),
    "hex bytes of C": lambda text, rng: ", ".join(f"0x{b:02x}" for b in text.encode()),
}
"""How still other media write a text."""

TRICKS: dict[str, Disguise] = {
    "letters of every word reversed": of_words(lambda k, w: w[::-1]),
    "pig Latin": lambda text, rng: re.sub(r"\b([b-df-hj-np-tv-z]+)([a-z]+)", r"\2\1ay", text.lower()),
    "rot47": lambda text, rng: "".join(chr(33 + (ord(c) + 14) % 94) if "!" <= c <= "~" else c for c in text),
    "Vigenère": _vigenere,
    "rail fence": _fence,
    "next key of the keyboard": lambda text, rng: text.lower().translate(_KEYS),
    "Morse": of_words(lambda k, w: " ".join(_MORSE_OF[c] for c in w.lower() if c in _MORSE_OF), " / "),
    "spelling alphabet": lambda text, rng: " ".join(_SPELLED[ord(c) - 97] for c in text.lower() if "a" <= c <= "z"),
    "letters as their numbers": of_words(lambda k, w: "-".join(str(ord(c) - 96) for c in w.lower() if "a" <= c <= "z")),
    "upside down": lambda text, rng: text.lower().translate(_FLIPPED)[::-1],
    "regional indicators": lambda text, rng: re.sub("[a-z]", lambda m: chr(0x1F1E6 + ord(m[0]) - 97), text.lower()),
    "tag characters": lambda text, rng: "".join(chr(0xE0000 + ord(c)) for c in text if " " <= c <= "~"),
    "every letter doubled": lambda text, rng: re.sub(r"([^\W\d_])", r"\1\1", text),
    "asterisks for vowels": lambda text, rng: re.sub(r"(?<=\w)[aeiou]", "*", text),
    "every word twice": of_words(lambda k, w: f"{w} {w}"),
    "stutter": of_words(lambda k, w: f"{w[:1]}-{w[:1]}-{w}"),
    "hesitation": lambda text, rng: each(text, lambda k, w: f"{w} {rng.choice(('um', 'uh', 'you know', 'like'))},"),
    "ob before vowels": lambda text, rng: re.sub("([aeiou]+)", r"ob\1", text),
    "Roman numerals": lambda text, rng: re.sub(r"(?<![\d.,])\d{1,4}(?![\d.,])", _roman, text),
    "sentences in reverse": _sentences,
    "a line of filler after every line": lambda text, rng: "\n".join(
        f"{row}\n{' '.join(rng.choices(FILLER, k=8))}" for row in rows(text)
    ),
    "every seventh word left out": lambda text, rng: " ".join(w for k, w in enumerate(text.split()) if k % 7 != 6),
    "underscores between letters": of_words(lambda k, w: "_".join(w)),
    "ideographic spaces, none between": lambda text, rng: inside(text.replace(" ", ""), "\u3000"),
    "emoji in every word": lambda text, rng: inside(text, "😀"),
    "letters in groups of three, upper case": lambda text, rng: " ".join(
        textwrap.wrap(re.sub(r"\W", "", text).upper(), 3)
    ),
}
"""How still others might hide one."""
