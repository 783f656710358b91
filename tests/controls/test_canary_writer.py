"""The canary writer: what it invents is new every time, and what it takes from the batch stays as it was."""

import base64
import re
from itertools import pairwise

import numpy as np
import pytest

from carto_audit.controls.canary_writer import FEWEST_EDITED, KINDS, SURPRISING, SecretWriter
from tests.support.audits import sentences

INVENTED = ("random", *SURPRISING)


def writer_of(words_of=(), texts=(), seed=0, **settings):
    settings = {"framed": False, **settings}
    return SecretWriter(texts, [*sentences(20), *words_of], np.random.default_rng(seed), **settings)


def secrets(kind, count=200, **settings):
    writer = writer_of(**settings)
    return [writer.secret(kind) for _ in range(count)]


def texts(kind, count=200, **settings):
    return [secret.text for secret in secrets(kind, count, **settings)]


@pytest.mark.parametrize("kind", INVENTED)
def test_keys_names_foreign_words_and_lines_of_programs_are_different_every_time(kind):
    found = texts(kind, 60)
    assert len(set(found)) == len(found)
    parts = [part for text in found for part in set(re.findall(r"\w{6,}", text)) - {"return", "assert"}]
    assert len(set(parts)) == len(parts)


@pytest.mark.parametrize("kind", INVENTED)
def test_of_what_is_invented_everything_is_free(kind):
    assert {(secret.kind, secret.fixed, secret.free - len(secret.text)) for secret in secrets(kind)} == {(kind, 0, 0)}


def test_a_secret_without_a_frame_is_a_name_and_digits_and_nothing_else():
    assert all(re.fullmatch(r"[A-Z][a-z]{5} [A-Z][a-z]{5} \d{4} \d{4} \d{4}", text) for text in texts("random"))
    framed = writer_of(framed=True).secret("random")
    assert framed.fixed > 0
    assert re.fullmatch(r"\d{4} \d{4} \d{4}", framed.text[framed.fixed : framed.fixed + framed.free])


def test_a_hexadecimal_key_is_two_numbers_and_a_base64_key_one():
    assert all(re.fullmatch(r"[0-9a-f]{16} [0-9a-f]{16}", text) for text in texts("hex"))
    assert {len(base64.b64decode(text, validate=True)) for text in texts("base64")} == {24}


def test_lines_of_programs_are_of_several_forms():
    found = texts("code")
    assert all(re.search(r"[0-9a-f]{8}", text) for text in found)
    assert {re.sub(r"[0-9a-f]{8}|\b(?!return|assert)[a-z]{6}\b", "_", text) for text in found} == {
        "_ = _('_', 0x_)",
        "if _['_'] != 0x_: return _",
        "_._(_=0x_)",
        "assert _(_) == '_:_'",
    }


SCRIPTS = {
    "greek": "το γρήγορο καφέ αλεπού πηδά πάνω από το τεμπέλικο σκυλί",
    "cyrillic": "быстрая коричневая лиса прыгает через ленивую собаку",
    "armenian": "արագ շագանակագույն աղվեսը ցատկում է ծույլ շան վրայով",
    "hebrew": "השועל החום המהיר קופץ מעל הכלב העצלן",
    "devanagari": "तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है",
    "georgian": "სწრაფი ყავისფერი მელა გადახტება ზარმაც ძაღლს",
}


def letters_of(texts):
    return set("".join(texts)) - {" "}


@pytest.mark.parametrize("used", range(len(SCRIPTS)))
def test_foreign_words_are_in_a_script_that_the_batch_hardly_uses(used):
    """However many of the known scripts it uses."""
    batch = list(SCRIPTS.values())[:used]
    found = texts("foreign", words_of=batch)
    assert all(re.fullmatch(r"\w{6} \w{6} \w{6}", text) for text in found)
    assert not letters_of(found) & letters_of([*batch, *sentences(20)])


def test_where_every_script_is_used_the_rarest_is_foreign():
    batch = [text * (1 if script == "hebrew" else 3) for script, text in SCRIPTS.items()]
    assert letters_of(texts("foreign", words_of=batch)) >= letters_of([SCRIPTS["hebrew"]])


def test_a_short_text_is_never_reworded_and_a_longer_one_always_has_its_number_of_words():
    writer = writer_of()
    short, longer = (" ".join(f"a{k}b" for k in range(count)) for count in (FEWEST_EDITED - 1, FEWEST_EDITED))
    assert {writer.edit(short) for _ in range(50)} == {short}
    edited = [writer.edit(longer) for _ in range(50)]
    assert longer not in edited
    assert {sum(a != b for a, b in zip(longer.split(), text.split(), strict=True)) for text in edited} == {1}


@pytest.mark.parametrize("kind", INVENTED)
def test_what_is_invented_is_too_short_to_be_reworded(kind):
    writer = writer_of()
    assert all(writer.edit(text) == text for text in texts(kind))


@pytest.mark.parametrize("kind", [*KINDS, *SURPRISING])
@pytest.mark.parametrize("embedded", [False, True])
def test_what_a_copy_takes_is_known_beforehand_within_a_third(kind, embedded):
    writer = writer_of(texts=sentences(400), passage_words=24, host_words=8, prefix_words=6)
    found = [writer.secret(kind).text for _ in range(40)]
    copies = [writer.embed(text)[0] if embedded else text for text in found]
    assert np.mean([len(text.encode()) for text in copies]) == pytest.approx(
        writer.usual_bytes(kind, embedded=embedded), rel=1 / 3
    )


def test_passages_are_taken_in_order_and_hosts_never_twice():
    numbered = [" ".join(f"w{text}x{k}" for k in range(40)) for text in range(20)]
    writer = writer_of(texts=numbered, host_words=8)
    hosts = [writer.embed("|")[0] for _ in range(20)]
    words = [word for host in hosts for word in host.split() if word != "|"]
    assert len(set(words)) == len(words) == 160
    assert all(host.split().index("|") == 4 for host in hosts)
    numbers = [tuple(map(int, re.findall(r"\d+", word))) for word in words]
    assert all(a < b for a, b in pairwise(numbers))
