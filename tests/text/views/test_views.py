import base64
import binascii
import codecs
import cProfile
import functools
import gzip
import html
import json
import re
import unicodedata
import urllib.parse
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.text.views.names import in_words
from carto_audit.text.views.reading import Reading
from carto_audit.text.views.signs import BREAK, ORNAMENT, TAG, Signs
from carto_audit.text.views.spelled_numbers import value_of, with_digits
from carto_audit.text.views.through import _STEPS, read_through, readings
from carto_audit.text.words import hash_words

PLAIN = "Janet sells sixteen duck eggs at the farmers market every morning for her friends and keeps what is left"
WORDS = PLAIN.split()
ROWS = [" ".join(WORDS[k : k + 3]) for k in range(0, len(WORDS), 3)]
MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..".split(),
        strict=True,
    )
)


def words(text):
    return hash_words([text])[0].tolist()


def read(text):
    """All readings of one text, by the views that had a part in it."""
    found = read_through([text], hash_words([text]))
    return {"+".join(reading.views_of(0, len(text))): reading for _, reading in found}


def rotated(text, by):
    return "".join(chr((ord(c) - 97 + by) % 26 + 97) if c.isalpha() else c for c in text)


CASES = {
    "tags": " ".join(f"<b>{w}</b>" for w in WORDS),
    "tags inside words": "<p>" + PLAIN.replace("sells", "se<wbr>lls").replace("duck", "d<!-- x -->uck") + "</p>",
    "tokens": "\n".join(f'<w id="{k}" pos="NN">{w}</w>' for k, w in enumerate(WORDS)),
    "entities": "&nbsp;".join(WORDS),
    "entities twice": html.escape("".join(f"&#{ord(c)};" for c in PLAIN)),
    "json": json.dumps(json.dumps("\n".join(WORDS))),
    "unicode escapes": PLAIN.replace(" ", "\\u0020"),
    "octal": PLAIN.replace(" ", "\\040"),
    "bytes": "".join(f"\\x{b:02x}" for b in PLAIN.encode()),
    "percent": urllib.parse.quote(urllib.parse.quote(PLAIN)),
    "quoted printable": re.sub(r"(.{20}[a-z])", r"\1=\n", PLAIN.replace(" ", "=20")),
    "hyphens": PLAIN.replace("sixteen", "six-\nteen").replace("market", "mar-\r\n   ket"),
    "latex": "\\quad ".join(f"\\textit{{{w}}}" for w in WORDS),
    "latex hyphens": PLAIN.replace("sixteen", "six\\-teen").replace("friends", "fr\\'iends"),
    "links": " ".join(f"[{w}](https://x.org/{k})" for k, w in enumerate(WORDS)),
    "wiki links": " ".join(f"[[Page {k}|{w}]]" for k, w in enumerate(WORDS)),
    "emphasis inside": PLAIN.replace("Janet", "Ja**net**").replace("market", "mar__ket"),
    "board codes": " ".join(f"[b]{w}[/b]" for w in WORDS),
    "terminal": " ".join(f"\x1b[1m{w}\x1b[0m" for w in WORDS),
    "subtitles": "\n\n".join(f"{k + 1}\n00:00:{k:02d},000 --> 00:00:{k:02d},900\n{row}" for k, row in enumerate(ROWS)),
    "web subtitles": "\n\n".join(f"00:{k:02d}.000 --> 00:{k:02d}.900\n{row}" for k, row in enumerate(ROWS)),
    "timestamps": "\n".join(f"[00:{k:02d}] {row}" for k, row in enumerate(ROWS)),
    "log": "\n".join(f"2024-05-01 12:00:{k:02d} INFO {row}" for k, row in enumerate(ROWS)),
    "line numbers": "\n".join(f"{5 * k:4d}  {row}" for k, row in enumerate(ROWS)),
    "numbered list": "\n".join(f"{k + 1}. {w}" for k, w in enumerate(WORDS)),
    "speakers": "\n".join(f"SPEAKER {k % 2}: {row}" for k, row in enumerate(ROWS)),
    "notes": " ".join(f"{w}[{k}]" if k % 2 else w for k, w in enumerate(WORDS)),
    "word tags": " ".join(f"{w}/NN" for w in WORDS),
    "word tags, underscores": " ".join(f"{w}_VBZ" for w in WORDS),
    "tree": " ".join(f"(NN {w})" for w in WORDS),
    "columns": "\n".join(f"{k + 1}\t{w}\t_\tNOUN\tNN\t0\troot" for k, w in enumerate(WORDS)),
    "columns, spaces": "\n".join(f"{w} NNP B-NP O" for w in WORDS),
    "word parts": PLAIN.replace("sixteen", "six@@ teen")
    .replace("market", "mar@@ ket")
    .replace("friends", "fri@@ ends"),
    "word pieces": PLAIN.replace("sixteen", "six ##teen")
    .replace("market", "mar ##ket")
    .replace("friends", "fri ##ends"),
    "sentence pieces": " ".join("\u2581" + w[:3] + (" " + w[3:] if w[3:] else "") for w in WORDS),
    "string literals": "\n".join(f'printf("{row}\\n");' for row in ROWS),
    "streams": "\n".join(f'std::cout << "{row}" << std::endl;' for row in ROWS),
    "trade marks": " ".join(w[:1] + "™" + w[1:] for w in WORDS),
    "digits for letters": PLAIN.translate(str.maketrans("aeo", "430")),
    "base64": base64.b64encode(PLAIN.encode()).decode(),
    "base64, wrapped": base64.encodebytes(PLAIN.encode()).decode(),
    "base64, twice": base64.b64encode(base64.b64encode(PLAIN.encode())).decode(),
    "base64, word by word": " ".join(base64.b64encode(w.encode()).decode() for w in WORDS),
    "base32": base64.b32encode(PLAIN.encode()).decode(),
    "base85": base64.b85encode(PLAIN.encode()).decode(),
    "hex": PLAIN.encode().hex(),
    "hex, spaced": PLAIN.encode().hex(" "),
    "binary": " ".join(f"{b:08b}" for b in PLAIN.encode()),
    "decimal codes": " ".join(str(b) for b in PLAIN.encode()),
    "rot13": codecs.encode(PLAIN, "rot13"),
    "backwards": PLAIN[::-1],
    "backwards, word by word": " ".join(w[::-1] for w in WORDS),
    "doubled letters": re.sub("([A-Za-z])", r"\1\1", PLAIN),
    "upside down": PLAIN.lower().translate(str.maketrans("abcdefghijklmnopqrtuvwyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹʇnʌʍʎz"))[::-1],
    "the next key": PLAIN.lower().translate(str.maketrans("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz")),
    "rot47": "".join(chr(33 + (ord(c) + 14) % 94) if c != " " else c for c in PLAIN),
    "dump": "\n".join(
        f"{k:08x}: {PLAIN[k : k + 16].encode().hex(' ', 2):39}  {PLAIN[k : k + 16]}" for k in range(0, 104, 16)
    ),
    "dump, canonical": "\n".join(
        f"{k:08x}  {PLAIN[k : k + 16].encode().hex(' '):47}  |{PLAIN[k : k + 16]}|" for k in range(0, 104, 16)
    ),
    "calls of chr": " + ".join(f"chr({b})" for b in PLAIN.encode()),
    "octal codes": " ".join(f"{b:03o}" for b in PLAIN.encode()),
    "bytes of C": ", ".join(f"0x{b:02x}" for b in PLAIN.encode()),
    "places": " ".join("-".join(str(ord(c) - 96) for c in w.lower()) for w in WORDS),
    "Morse": " / ".join(" ".join(MORSE[c] for c in w.lower()) for w in WORDS),
    "tag characters": "".join(chr(0xE0000 + ord(c)) for c in PLAIN),
    "regional indicators": re.sub("[a-z]", lambda m: chr(0x1F1E6 + ord(m[0]) - 97), PLAIN.lower()),
    "gzip": base64.b64encode(gzip.compress(f"{PLAIN} {PLAIN}".encode())).decode(),
    "zlib": base64.b64encode(zlib.compress(PLAIN.encode())).decode(),
    "uuencode": f"begin 644 a.txt\n{binascii.b2a_uu(PLAIN[:45].encode()).decode()}"
    f"{binascii.b2a_uu(PLAIN[45:90].encode()).decode()}{binascii.b2a_uu(PLAIN[90:].encode()).decode()}`\nend",
    "Ascii85": base64.a85encode(PLAIN.encode(), adobe=True).decode(),
    "overstruck": "".join(f"{c}\b{c}" if c != " " else c for c in PLAIN),
    "Org links": " ".join(f"[[https://example.org/{k}][{w}]]" for k, w in enumerate(WORDS)),
    "percent units": "".join(f"%u{ord(c):04X}" for c in PLAIN),
    "CDATA": " ".join(f"<w><![CDATA[{w}]]></w>" for w in WORDS),
    "roff fonts": " ".join(f"\\fB{w}\\f(CW" for w in WORDS),
    "attributes": "\n".join(f'<w n="{k}" form="{w}"/>' for k, w in enumerate(WORDS)),
    "escapes of CSS": "".join(f"\\{ord(c):06x}" for c in PLAIN),
    "base64 of a page": base64.b64encode(json.dumps("".join(f"<p>{w}</p>" for w in WORDS)).encode()).decode(),
    "base64 in a comment": f"<!-- {base64.b64encode(PLAIN.encode()).decode()} -->",
    "base64 in a script": f"<script>x = '{base64.b64encode(PLAIN.encode()).decode()}'</script>",
    "base64 in an address": f'<a href="data:text/html;base64,{base64.b64encode(PLAIN.encode()).decode()}">x</a>',
    "base64 behind letters": "ab" + base64.b64encode(PLAIN.encode()).decode(),
    "base64 in tags": "<wbr>".join(re.findall(".{1,10}", base64.b64encode(PLAIN.encode()).decode())),
    "base64 of UTF-16": base64.b64encode(PLAIN.encode("utf-16-le")).decode(),
    "base64, parted by nothing": "\u200b".join(base64.b64encode(PLAIN.encode()).decode()),
    "base64 of rot13": base64.b64encode(codecs.encode(PLAIN, "rot13").encode()).decode(),
    "base64, five times": functools.reduce(lambda data, _: base64.b64encode(data), range(5), PLAIN.encode()).decode(),
    "entities with zeros": "".join(f"&#{ord(c):09d};" for c in PLAIN),
    "entities, six times": functools.reduce(lambda text, _: html.escape(text), range(6), "&nbsp;".join(WORDS)),
    "not shown": " ".join(f'{w}<span style="display: none">quay</span>' for w in WORDS),
    "only in what is not shown": "".join(f"<ruby>quay<rt>{w}</rt></ruby>" for w in WORDS),
    "in an attribute": '<img alt="' + "&#32;".join(WORDS) + '">',
    "unknown tags never closed": " ".join(f"{w[:2]}<foo>{w[2:]}" for w in WORDS),
    "tags of many letters": " ".join(f'<b class="{"x" * 3000}">{w}</b>' for w in WORDS),
    "tags of rot13": " ".join(f"<i>{w}</i>" for w in codecs.encode(PLAIN, "rot13").split()),
    "rot13, lookalikes": codecs.encode(PLAIN, "rot13").translate(str.maketrans("aeo", "\u0430\u0435\u043e")),
    "code points": " ".join(f"U+{ord(c):04X}" for c in PLAIN),
    "decimal codes, lines": "\n".join(str(b) for b in PLAIN.encode()),
    "binary, quoted": json.dumps([f"{b:08b}" for b in PLAIN.encode()]),
    "variation selectors": "".join(chr(0xE0100 + b - 16) for b in PLAIN.encode()),
    "digits behind words": " ".join(f"{w}{k % 7}" for k, w in enumerate(WORDS)),
    "letters of another script": " ".join(w[:1] + "\u0436" + w[1:] for w in WORDS),
    "trade marks and digits for letters": " ".join(w[:1] + "™" + w[1:] for w in WORDS).translate(
        str.maketrans("aeo", "430")
    ),
    "records, on lines": "\n".join(f"- form: {w}\n  tag: NN" for w in WORDS),
    "records": json.dumps([{"id": k, "word": w, "tag": "NN"} for k, w in enumerate(WORDS)]),
    "base64 with odd bytes": base64.b64encode(b"\xff" + PLAIN.encode() + b"\xfe").decode(),
    "base64 in word parts": "@@ ".join(re.findall(".{1,10}", base64.b64encode(PLAIN.encode()).decode())),
    "codes in a comment": f"<!-- {'&#32;'.join(WORDS)} -->",
    "not shown, with markup": " ".join(f"{w}<div hidden><b>quay</b></div>" for w in WORDS),
    "rot13 far from other ciphers": " ".join(
        [*(rotated("the and for how many she her his with that", k) for k in range(1, 13)), "quay " * 200]
        + [codecs.encode(PLAIN, "rot13")]
    ),
    "bytes, quoted": json.dumps([f"0x{b:02x}" for b in PLAIN.encode()]),
    "octal codes, lines": "\n".join(f"{b:03o}" for b in PLAIN.encode()),
    "columns, commas": "\n".join(f'{k},"{w}",NN,O' for k, w in enumerate(WORDS)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("frame", ["{}", "Before it.\n{}\nAnd behind it."])
def test_what_has_a_right_answer_is_undone(name, frame):
    text = frame.format(CASES[name])
    assert words(text)[: len(WORDS)] != words(PLAIN)
    read_words = [np.array(words(reading.text), np.uint64).tobytes() for reading in read(text).values()]
    assert any(np.array(words(PLAIN), np.uint64).tobytes() in found for found in read_words)


@pytest.mark.parametrize("name", CASES)
def test_every_view_has_a_name_in_words_and_leads_back(name):
    for views, reading in read(CASES[name]).items():
        assert not re.search(r"cipher (?!rot)", in_words(views.split("+")))
        assert len(reading.starts) == len(reading.ends) == len(reading.text)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "The sum is 4*5=20 and 48/2=24, so x<y and a<b; see section 3.2 (p. 7), or so he said: 'no'.",
        "1 apple\n2 pears and some\nplums, then home.",
        "An aside at 12:30, and again at 12:45.",
        "Costs rose 5% in May, 7% in June.",
        "<unk> wrote of <unk> and of @-@ signs, x <y and <z.",
        "On 12-11-2020, 1-2-3 and 4-5-6: call 020-7946-0018 or 020-7946-0019 between 9-12 and 14-17.",
        "- one\n- two - three -- four ... five --- and so on - - - - - - -",
        "Totals 101 102 103 104 105 106 107 108 110 111 112 were odd.",
        "def f(x):\n    return x_1 + x_2",
        "Python 3.11 on x86 reads utf8, H2O, B2B, mp3, 5G, the 3rd and the 4th, 2x and 10kg of CO2.",
        "The word дом is a house, окно a window, кот a cat; река is a river, лес a wood, and Москва is Moscow.",
        '{"name": "Ada", "born": "1815", "of": "London"} {"name": "Alan", "born": "1912", "of": "London"}',
    ],
)
def test_plain_text_has_no_other_reading(text):
    assert read(text) == {}


ANY = st.text(st.sampled_from(" ab1=%\\<>&;[]()*_-\n\t:./|@#'\"eé™Ⓐ\x1b[0m\u2581u0020x41nrt-->{}$"), max_size=60)


@settings(deadline=None, max_examples=300)
@given(ANY)
def test_every_character_of_a_reading_comes_from_the_delivered_text(text):
    for _, reading in readings([text], np.ones((len(_STEPS), 1), dtype=bool)):
        assert len(reading.starts) == len(reading.ends) == len(reading.text)
        assert ((reading.starts >= 0) & (reading.starts < reading.ends) & (reading.ends <= len(text))).all()
        assert reading.changes
        for change in reading.changes:
            assert ((change.starts >= 0) & (change.ends <= len(text))).all()


@given(st.lists(ANY, min_size=1, max_size=5))
def test_signs_are_counted_for_each_text(texts):
    signs = Signs.of(texts)
    for sign in "<%=\\[":
        assert signs.counts[sign].tolist() == [text.count(sign) for text in texts]
    assert signs.counts["\n"].tolist() == [text.count("\n") for text in texts]


def test_what_is_packed_expands_to_a_megabyte_at_most():
    text = base64.b64encode(zlib.compress(b"and so on " * 1_000_000)).decode()
    assert [len(reading.text) for reading in read(text).values()] == [(1 << 20) + 2]


def test_signs_of_tags_and_ornaments_are_those_that_views_look_for():
    shown = Signs.of(["<unk> < b", "</p>", "<B>", "<x/>", "™", "Ⓐ", "㎏", "⼀", "é", "a-\nb", "a - b"])
    assert shown.counts[TAG].tolist() == [0, 1, 1, 1, *[0] * 7]
    assert shown.counts[ORNAMENT].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    assert shown.counts[BREAK].tolist() == [*[0] * 9, 1, 0]


def test_every_sign_that_folds_to_letters_shows():
    signs = [chr(c) for c in range(128, 0x20000) if unicodedata.category(chr(c))[0] == "S"]
    ornaments = [c for c in signs if any(map(str.isalnum, unicodedata.normalize("NFKC", c)))]
    assert len(ornaments) > 500
    assert Signs.of(ornaments).has(ORNAMENT).all()


def test_a_span_is_led_back_to_what_was_delivered():
    text = "x &amp;amp; <b>Ja</b>net"
    reading = read(text)["entities+tags"]
    assert reading.text == "x & Janet"
    assert text[slice(*reading.source(2, 3))] == "&amp;amp;"
    assert text[slice(*reading.source(4, 9))] == "Ja</b>net"
    assert reading.views_of(*reading.source(4, 9)) == ("tags",)
    assert in_words(("entities", "tags")) == "undoing character entities and removing HTML or XML tags"


def test_an_edit_keeps_what_it_does_not_touch():
    reading = Reading.of("abcdef").replaced("one", [(1, 3, "XYZ")]).replaced("two", [(0, 2, "")])
    assert reading.text == "YZdef"
    assert [reading.source(k, k + 1) for k in range(5)] == [(1, 3), (1, 3), (3, 4), (4, 5), (5, 6)]
    assert reading.views_of(1, 2) == ("one", "two")
    assert reading.views_of(5, 6) == ()


def test_a_reading_is_within_spans_that_hold_all_its_changes():
    reading = Reading.of("abcdefgh").replaced("one", [(1, 2, "X"), (5, 6, "Y")])
    assert reading.is_within([(0, 3), (4, 8)])
    assert reading.is_within([(0, 8)])
    assert not reading.is_within([(0, 3)])
    assert not reading.is_within([])


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("sixteen", 16),
        ("forty-two", 42),
        ("four hundred and twelve", 412),
        ("three thousand, two hundred", 3200),
        ("two million five thousand and one", 2_005_001),
    ],
)
def test_spelled_numbers_are_written_in_digits(spelled, value):
    assert value_of(spelled) == value
    assert with_digits(f"She has {spelled} ducks, someone said.").text == f"She has {value} ducks, someone said."


HOSTILE = {
    "records": '"a": "b" ' * 10_000,
    "fields on lines": "- a: b\n" * 15_000,
    "names of fields": '"a": ' * 20_000,
    "what is not shown": '<b style="display:none' * 5_000,
    "nothing shown": "<b hidden>x</b>" * 5_000,
    "never shown": "".join(f"<a{k} hidden>" for k in range(7_500)),
    "hidden in one tag": "<b " + "hidden " * 15_000,
    "words in one tag": "<b " + 'a="x y z w v u t s r q" ' * 5_000 + ">",
    "words in many tags": '<b a="x y z w v u t s r q"' * 5_000,
    "unknown tags": "a<b>" * 25_000,
    "zeros": "&#" + "0" * 100_000,
    "digits beside letters": "ab12 " * 20_000,
    "letters of two scripts": "a\u0436" * 50_000,
    "selectors": "\U000e0150" * 50_000,
    "codes on lines": "65\n" * 30_000,
    "every cipher": " ".join(rotated("the and for how many she her his with that", k) for k in range(1, 26)) * 50,
    "code within code": functools.reduce(lambda data, _: base64.b64encode(data), range(30), PLAIN.encode()).decode(),
    "comments": "<!--" * 25_000,
    "comments and dashes": "<!-- - -- " * 10_000,
    "quotes and spaces": ('"' + " " * 25_000 + "x\n") * 4,
    "tags": "<a " * 30_000,
    "closed tags": "<b>" * 30_000 + "</b>",
    "scripts": "<script>x" * 10_000,
    "links": "[a](" * 25_000,
    "escapes": "\\" * 100_000,
    "unicode escapes": "\\u0041" * 15_000,
    "percent": "%25" * 30_000,
    "entities": "&amp;" * 20_000,
    "letters and digits": "a1" * 50_000,
    "hex": "4a" * 50_000,
    "base64": "QUJD" * 25_000,
    "digits": "65 " * 30_000,
    "numbered lines": "1 a\n2 b\n" * 10_000,
    "columns": "a b c\n" * 15_000,
    "timecodes": "00:00:00,000 --> x\n" * 5_000,
    "spaces": " " * 200_000,
    "newlines": "\n" * 100_000,
    "word parts": "a@@ " * 20_000,
    "marks": "a" + "\u0301" * 50_000,
    "trade marks": "™" * 50_000,
    "brackets": "(NN " * 20_000,
    "upper case": "A: " * 30_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_costs_more_than_its_length(name):
    """Twice the text may cost about twice the calls; an expression that tries all ways of matching would never end."""
    text = HOSTILE[name]
    work("é" + PLAIN)  # tables that are made once
    assert work(text) < 3 * work(text[: len(text) // 2]) + 50_000


def work(text):
    """Calls of functions that reading a text takes, of Python and of C."""
    counted = cProfile.Profile(builtins=True)
    counted.runcall(lambda: list(read_through([text], hash_words([text]))))
    return sum(entry.callcount for entry in counted.getstats())
