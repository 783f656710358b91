"""Keys in text: found with their exact place in code and in prose, told from what only looks like one, in linear time."""

import re
import sysconfig
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.corpora import docstrings, library_sources
from carto_audit.data.demo_batch import library_texts
from carto_audit.lenses.keys import finder, forms, likely, named
from carto_audit.lenses.keys.finder import KEY_LABELS, find_keys
from carto_audit.lenses.keys.planted import KINDS, in_code, in_prose, look_alike, write_key
from carto_audit.lenses.values.value import Value
from tests.support.data import DATA, needs_data

COUNT = 20
PATTERNS = [each.pattern for each in forms.FORMS] + [
    pattern for each in named.NAMED for pattern in (each.words, each.secret)
]
OTHERS = [finder._BEGIN, finder._AGE, finder._BODY, named._KEY_OF, named._AWS, likely._COUNTED]
SPLIT = "R2x9Vb7Qm4Kt8Lw3Zp6Y"


def found(text):
    return [(text[value.start : value.end], value.label) for value in find_keys(text)]


def per_100_000(texts):
    """False alarms of clean texts, in tokens split at white space."""
    false = tokens = 0
    for text in texts:
        false += len(find_keys(text))
        tokens += len(text.split())
    assert tokens > 100_000
    return 1e5 * false / tokens


def test_there_are_a_dozen_kinds_and_more_and_each_can_be_planted():
    assert sorted(KINDS) == sorted(KEY_LABELS)
    assert len(KEY_LABELS) == len(set(KEY_LABELS)) >= 12


@pytest.mark.parametrize("around", [in_code, in_prose])
@pytest.mark.parametrize("kind", KINDS)
def test_planted_keys_are_found_whole_and_alone_and_named(kind, around):
    for seed in range(3):
        rng, right = np.random.default_rng([seed, KINDS.index(kind)]), 0
        for _ in range(COUNT):
            key = write_key(kind, rng)
            text = around(key, kind, rng)
            start = text.index(key)
            right += find_keys(text) == [Value(start=start, end=start + len(key), label=kind)]
        assert right >= 0.95 * COUNT, seed


def test_what_only_looks_like_a_key_is_left_alone():
    rng = np.random.default_rng(3)
    lines = {look_alike(rng) for _ in range(800)}
    assert len(lines) > 400
    assert {line: found(line) for line in lines if find_keys(line)} == {}


def test_a_seed_plants_the_same_keys_and_another_seed_others():
    def planted(seed):
        rng = np.random.default_rng(seed)
        made = [(write_key(kind, rng), kind) for kind in KINDS]
        return [in_code(key, kind, rng) + in_prose(key, kind, rng) + look_alike(rng) for key, kind in made]

    assert planted(1) == planted(1)
    assert not set(planted(1)) & set(planted(2))


def test_the_first_pages_of_the_documentation_hold_no_false_alarm():
    assert [found(text) for text in islice(library_texts(), 1000) if find_keys(text)] == []


@pytest.mark.long
def test_docstrings_and_sources_of_the_library_hold_few_false_alarms():
    root = Path(sysconfig.get_path("stdlib"))
    assert per_100_000(docstrings()) <= 1
    assert per_100_000((root / name).read_text(encoding="utf-8") for name, _ in library_sources()) <= 1


@needs_data
@pytest.mark.parametrize("name", ["wikitext2", "gsm8k_train", "shakespeare"])
def test_public_corpora_hold_few_false_alarms(name):
    import pyarrow.parquet as pq

    assert per_100_000(pq.read_table(DATA / "corpora" / f"{name}.parquet")["text"].to_pylist()) <= 1


@pytest.mark.parametrize(
    ("text", "secret", "label"),
    [
        ('apiKey: "sk_live_{}"', "sk_live_{}", "stripe_key"),
        ("Authorization: Bearer ghp_{0}{0}", "ghp_{0}{0}", "github_token"),
        ("https://ana:{}@db.example.org/", "{}", "url_password"),
        (
            "hooks.slack.com/services/T0123ABCD/B0123ABCD/{}9Hx4",
            "T0123ABCD/B0123ABCD/{}9Hx4",
            "slack_token",
        ),
        ('{{\\"password\\": \\"{}\\"}}', "{}", "password_assignment"),
        ('password: str = "{}"', "{}", "password_assignment"),
        ("**Password:** {}", "{}", "password_assignment"),
        ("<password>{}</password>", None, None),
        ('login(user, password="{}")', "{}", "password_assignment"),
        ("İİ the api key is {}.", "{}", "generic_api_key"),
        ('f("\\nAKIAQ4TZ7NH2KWX5RJLB")', "AKIAQ4TZ7NH2KWX5RJLB", "aws_access_key"),
        ('dbPass = "{}"', "{}", "password_assignment"),
    ],
)
def test_the_place_is_that_of_the_secret_alone(text, secret, label):
    """In quotes that are escaped, beside letters whose lower case is longer, and under the most telling of two labels."""
    expected = [] if secret is None else [(secret.format(SPLIT), label)]
    assert found(text.format(SPLIT)) == expected


@pytest.mark.parametrize(
    "text",
    [
        'next_page_token = "{}"',
        'public_key = "{}"',
        'compass = "{}"',
        "password = row2.password_field",
        "password = user_2.get_password()",
        "bypass {} now",
        "token {} of the list",
        "XAKIAQ4TZ7NH2KWX5RJLB",
        "https://example.org:8080/a@b1",
        "-----BEGIN PUBLIC KEY-----\n{0}{0}{0}\n-----END PUBLIC KEY-----",
        'password = "$DB_PASSWORD_2"',
        "api_key=api_key_2_of_the_customer",
    ],
)
def test_other_names_and_expressions_are_no_secrets(text):
    assert found(text.format(SPLIT)) == []


def test_a_private_key_is_what_stands_between_the_markers_also_if_it_is_cut_off():
    body = "\n".join([SPLIT * 3] * 4)
    begin = "-----BEGIN RSA PRIVATE KEY-----"
    assert found(f"x\n{begin}\n{body}\n-----END RSA PRIVATE KEY-----\ny") == [(body, "private_key")]
    assert found(f"{begin}\n{body}") == [(body, "private_key")]
    written = body.replace("\n", "\\n")
    assert found(f'"{begin}\\n{written}\\n-----END RSA PRIVATE KEY-----\\n"') == [(written, "private_key")]
    assert found(f"It begins with {begin} and ends elsewhere.") == []


PARTS = st.sampled_from(
    [
        "password", "=", ": ", '"', "'", "\\n", "://", "@", "key", " is ", "token", "eyJ", ".", "AKIA", SPLIT, "sk-", "-----",
        "BEGIN PRIVATE KEY", "Authorization: Bearer ", "pwd=", ";", "Server=a;", "İ", "\ud800", "\x00", "aws secret ", "Q~",
    ]
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(), st.lists(PARTS, max_size=30).map("".join)))
def test_any_text_gives_disjoint_values_in_order(text):
    values = find_keys(text)
    places = [place for value in values for place in (value.start, value.end)]
    assert places == sorted(places)
    assert all(0 <= value.start < value.end <= len(text) and value.label in KEY_LABELS for value in values)
    assert find_keys(text) == values


@pytest.mark.parametrize("pattern", [*PATTERNS, *OTHERS], ids=lambda pattern: pattern.pattern[:30])
def test_no_pattern_repeats_without_a_bound(pattern):
    """So that each costs a bounded number of steps at every character."""
    _, longest = re._parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE).getwidth()
    assert longest <= 12_000


@pytest.mark.parametrize(
    "unit",
    [
        "password=a1", "key=k1", "token=t1;", "://a:b1c2d3@", "eyJa.", "eyJaaaaaaaaaaaa.", "sk-proj-a1-", "server=a;", "pwd=a1;",
        "authorization: bearer a1", "-----BEGIN PRIVATE KEY-----\\n", "-----BEGIN PRIVATE KEY-----" + "Ab3" * 20, "a1", "Q~1",
        "-us1", "aws secret key a", "key for a b c is ", "page_token=", '"', "\\n", "İ",
    ],
)  # fmt: skip
def test_twice_the_text_is_at_most_about_twice_the_work(unit, monkeypatch):
    """The characters of all candidates that are judged, of hostile text."""
    judged = []

    def counting(text, is_blank=likely.is_blank):
        judged.append(len(text))
        return is_blank(text)

    monkeypatch.setattr(likely, "is_blank", counting)
    monkeypatch.setattr(forms, "is_blank", counting)
    work = []
    for length in (5_000, 10_000):
        judged.clear()
        find_keys(unit * (length // len(unit)))
        work.append(sum(judged))
    assert work[1] <= 2.2 * work[0] + 1_000
    assert work[1] <= 64 * 10_000
