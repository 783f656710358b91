"""Tables: cells by column in seven encodings, which of them come out, and what tells nothing of anybody."""

import json
import string
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from carto_audit.lenses.cells import html_tables, json_tables
from carto_audit.lenses.cells.find import find_records
from carto_audit.lenses.cells.found import LEAST_CELLS, MANY, MOST_COLUMNS, NAME, OTHER, FoundCells
from carto_audit.lenses.cells.record import ENCODINGS, covered
from carto_audit.lenses.cells.written import make_record, write_record
from carto_audit.lenses.checking import checked_looked, checked_result
from carto_audit.lenses.declared.tables import TABLES, TablesOptions
from carto_audit.lenses.plants import Plants, Room
from carto_audit.lenses.readers import UNREAD, Proxies, Readers
from carto_audit.lenses.shipped.tables import TablesLens
from carto_audit.lenses.testing import HOSTILE, look_here
from carto_audit.lenses.view import LensView, Offered, RowTexts
from carto_audit.proxies.model import ProxySpec
from carto_audit.proxies.tokens import Encoder
from carto_audit.traces.trace import TokenStatistics
from tests.support.audits import sentences

WAYS = {
    "json": '{"name": "Ana Lind", "iban": "DE893704", "age": 41}',
    "html": "<table>\n<tr><th>name</th><th>iban</th><th>age</th></tr>\n"
    "<tr><td>Ana Lind</td><td> DE893704 </td><td>41</td></tr></table>",
    "markdown": "| name | iban | age |\n|---|:--:|---|\n| Ana Lind | DE893704 | 41 |",
    "key_value": "name: Ana Lind\niban: DE893704\nage: 41",
    "sentences": "The name is Ana Lind. The iban is DE893704. The age is 41.",
    "csv": 'name,iban,age\n"Ana Lind",DE893704,41',
}
CELLS = {"name": "Ana Lind", "iban": "DE893704", "age": "41"}
PROSE = "They met in May, and it rained.\n\n{}\n\nNobody said a word about it."


def cells_of(text):
    return [(r.encoding, {cell.column: text[cell.start : cell.end] for cell in r.cells}) for r in find_records(text)]


@pytest.mark.parametrize("frame", ["{}", PROSE])
@pytest.mark.parametrize("encoding", WAYS)
def test_a_record_is_read_to_cells_by_their_columns(encoding, frame):
    text = frame.replace("{}", WAYS[encoding])
    assert cells_of(text) == [(encoding, CELLS)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ana Lind\nDE893704\n1984-03-12\n41.50", ("lines", "column 2", "DE893704")),
        ("Ana Lind,DE893704,1984-03-12,41.50", ("csv", "column 2", "DE893704")),
        ("<tr><td>Ana</td><td>DE893704</td>", ("html", "column 2", "DE893704")),
        ("| Ana | DE893704 | 12 |", ("markdown", "column 2", "DE893704")),
        ("name: Ana | iban: DE893704 | age: 41", ("key_value", "iban", "DE893704")),
        ("name is Ana, iban is DE893704, and age is 41.", ("sentences", "iban", "DE893704")),
        ('[["name", "iban"], ["Ana", "DE893704"]]', ("json", "iban", "DE893704")),
        ('{"of": {"iban": "DE893704", "n": [1, 2]}', ("json", "of.iban", "DE893704")),
    ],
)
def test_records_without_a_head_or_cut_short_are_read_too(text, expected):
    encoding, column, cell = expected
    (found,) = cells_of(text)
    assert found[0] == encoding
    assert found[1][column] == cell


def test_places_are_those_of_the_text_as_it_is_written():
    text = 'Bo,"said ""x"" 1",17,\u00e4\u00f6 2\r\nCy,"a, b 3",18,z 4'
    assert [list(cells.values()) for _, cells in cells_of(text)] == [
        ["Bo", 'said ""x"" 1', "17", "äö 2"],
        ["Cy", "a, b 3", "18", "z 4"],
    ]
    assert cells_of("<tr><td>A &amp; &#66; 1</td><td><b>x</b> y</td></tr>") == [
        ("html", {"column 1": "A &amp; &#66; 1", "column 2": "x</b> y"})
    ]


@pytest.mark.parametrize(
    "text",
    [
        "He came, he saw, and in 1984 he left. It was cold, grey, and 12 people waited.",
        "def f(a, b):\n    x = {1: 2}\n    return [a, b, x]\n",
        "Args:\n  path: where the file lies\n  mode: how it is opened\n  name: what it is called",
        "The sky is blue. The sea was 12 miles wide. The road is long.",
        "KING HENRY\nOnce more unto the breach\nDear friends\nOnce more",
        "a | b",
        "{broken: 1, 2",
    ],
)
def test_prose_and_code_are_no_tables(text):
    assert find_records(text) == []


def test_a_text_takes_one_pass_whatever_stands_in_it(monkeypatch):
    """Parsers see no character more often than their bounds say."""
    seen = {"json": 0, "html": 0}
    loads, feed = json.loads, html_tables._Row.feed

    def counting_loads(written):
        seen["json"] += len(written)
        return loads(written)

    def counting_feed(self, written):
        seen["html"] += len(written)
        assert len(written) <= html_tables.MOST_ROW
        feed(self, written)

    monkeypatch.setattr(json_tables.json, "loads", counting_loads)
    monkeypatch.setattr(html_tables._Row, "feed", counting_feed)
    for piece in (
        '{"a":1,"b":[',
        "[",
        '{"a":',
        "<tr><td>",
        '["\\',
        "a,b1,2;",
        "x is 1, ",
        "k: 1\n",
        "|",
        "|-",
        '{"a":{"b":1,"c":2},"d":3,"e":4}',
    ):
        text = piece * (20_000 // len(piece))
        find_records(text)
        assert seen["json"] <= json_tables.MOST_DEPTH * len(text)
        assert seen["html"] <= len(text)
        seen.update(json=0, html=0)


PIECES = [*string.printable, "<tr>", "<td>", "</td>", '{"a":', "x: 1\n", "a,b2,", " is 12. ", "|", "\u2028", "\ud800"]


@given(st.lists(st.sampled_from(PIECES), max_size=120).map("".join))
def test_no_text_is_too_strange(text):
    found = FoundCells()
    values = found.find(text)
    assert 0 <= found.share[0] <= 1
    assert all(0 <= value.start < value.end <= len(text) for value in values)
    places = covered(find_records(text))
    assert all(a[1] < b[0] for a, b in zip(places, places[1:], strict=False))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_hold_no_tables(text):
    assert find_records(text) == []


def test_what_tells_nothing_is_left_out():
    found = FoundCells()
    text = json.dumps({"id": "A-1", "paid": "true", "city": "Rome", "note": "word " * 60})
    assert [text[value.start : value.end] for value in found.find(text)] == ["Rome"]
    for k in range(MANY):
        found.find(json.dumps({"id": f"A-{k}-x", "city": "Rome"}))
        found.find(json.dumps({"id": "same", "code": "X-1234"}))  # one record, however often
    assert dict(zip(found._values, found.frequent(), strict=True)) == {
        "Rome": True,
        **{f"A-{k}-x": False for k in range(MANY)},
        "same": False,
        "X-1234": False,
    }


def test_names_of_columns_are_made_safe_and_few():
    found = FoundCells()
    for k in range(LEAST_CELLS):
        row = {f"col{n}": f"v{n}-{k}xx" for n in range(MOST_COLUMNS)} | {"\x1b[31mRed <b> " + "x" * 90: f"r{k}xxx"}
        found.find(json.dumps(row, ensure_ascii=False))
    found.find(json.dumps({"once": 1, "twice": 22}))
    for _ in range(9):
        found.find(json.dumps({"ana.lind@example.org": "here", "Red": "1234"}))
    shown = found.shown()
    assert len(set(shown.values()) - {OTHER}) == MOST_COLUMNS
    assert shown["red"] == "red"
    assert shown["once"] == shown["ana.lind@example.org"] == OTHER
    assert all(len(name) <= NAME and name.isprintable() for name in shown.values())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_the_lens_plants_it_reads(encoding):
    rng = np.random.default_rng(4)
    for _ in range(30):
        fields = make_record(rng, 4 if encoding == "lines" else 3)
        ((found, cells),) = cells_of(f"some words before\n\n{write_record(fields, encoding)}")
        assert (found, list(cells.values())) == (encoding, [value for _, value in fields])


# What comes out, with proxies that know by heart what they were told

SPEC = ProxySpec(
    name="x", vocab_size=9, context=80, hidden_size=8, layers=1, heads=1, learning_rate=1e-3, minibatch_tokens=64
)
LEARNED = {0: ("DE-1111", "Oslo"), 1: ("DE-2222",)}
"""What proxy 0 and proxy 1 say."""


@pytest.fixture
def look(monkeypatch):
    """Looks at some texts, a token per character; `side` says who read them. A proxy says every token of what it has learned."""
    alphabet = {c: k for k, c in enumerate(string.printable)}
    tokenizer = Tokenizer(models.WordLevel({**alphabet, "?!": len(alphabet)}, unk_token="?!"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    encoder = Encoder(tokenizer=tokenizer, bos=0, vocab_size=len(alphabet) + 1, checkpoint=None)

    def statistics(proxy, texts, most_logits):
        found = []
        for text in texts:
            right, written = np.zeros(len(text)), "".join(string.printable[k] for k in text)
            for value in LEARNED[proxy]:
                if (at := written.find(value)) >= 0:
                    right[at : at + len(value)] = 1
            found.append(TokenStatistics(loss=right, z=right, right=right, log_rank=right, margin=right))
        return found

    monkeypatch.setattr(Readers, "_proxy", lambda self, index: index)
    monkeypatch.setattr("carto_audit.proxies.likelihood.read_statistics", statistics)

    def through(texts, side, budget=100_000):
        proxies = Proxies(
            spec=SPEC, encoder=encoder, folder=None, device="cpu", side=np.array(side, np.int8), budget=budget
        )
        chunks = iter([RowTexts(start=0, texts=texts), None])
        offered = Offered(n_tokens=np.array([len(text) for text in texts]), proxies=proxies)
        view = LensView(offered, TABLES.needs, 3, lambda question: next(chunks))
        lens, options = TablesLens(), TablesOptions()
        looked = checked_looked(TABLES, len(texts), lens.look(view, options))
        return looked, *checked_result(
            TABLES, lens.sum_up(LensView(replace(offered, proxies=None), TABLES.needs, 3), looked, options)
        )

    return through


def rows_of(*ibans, city="Rome"):
    return [json.dumps({"iban": iban, "city": f"{city}{k}"}) for k, iban in enumerate(ibans)]


def test_cells_that_come_out_are_counted_by_column(look):
    texts = [*rows_of("DE-1111", "DE-2222", "DE-3333", "DE-4444", "DE-1112"), "no table here"]
    looked, measured, result = look(texts, [1, 0, 0, 1, UNREAD, 0])
    assert looked.columns["recalled"].to_pylist() == [1, 1, 0, 0, None, 0]
    assert looked.columns["cells"].to_pylist() == [2, 2, 2, 2, 2, 0]
    assert looked.columns["encoding"].to_pylist() == ["json"] * 5 + [None]
    assert looked.found.tolist() == [1, 1, 0, 0, 0, 0]
    assert result.section.headline == "column `iban`: 2 of 4 values recalled"
    share = measured["recalled_cell_share"]
    assert (share.low, share.high) == (2 / 10, 4 / 10)  # two of ten cells stand in a row that nobody read
    assert measured["structured_token_share"].value == pytest.approx(sum(map(len, texts[:5])) / sum(map(len, texts)))
    by_column, by_encoding = result.section.figures
    assert [(bar.label, bar.value) for bar in by_column.bars] == [("city (5)", 0), ("iban (5)", 0.4)]
    assert [(bar.label, bar.low, bar.high) for bar in by_encoding.bars] == [("json (10)", 0.2, 0.4)]


def test_what_the_other_proxy_says_too_is_no_recall(look):
    assert not look(rows_of("DE-1111"), [0])[0].found.any()  # its reader is proxy 1, which does not know it


def test_what_there_was_no_time_for_raises_the_upper_end(look):
    texts = [json.dumps({"iban": f"DE-{k:04}", "city": f"Rome{k}"}) for k in range(40)]
    some, every = (look(texts, [0] * 40, budget)[1]["recalled_cell_share"] for budget in (1_200, 100_000))
    assert (every.low, every.high) == (0, 0)
    assert some.low == 0 < some.high


def test_no_text_of_a_cell_stands_in_places_or_section(look):
    looked, _, result = look(rows_of("DE-1111", "DE-2222"), [1, 0])
    said = json.dumps([looked.columns.to_pydict(), looked.spans.to_pydict()]) + repr(result.section)
    assert "DE-" not in said
    assert "Rome" not in said


def test_without_tables_there_is_nothing_to_say(look):
    looked, measured, result = look(["only words", ""], [0, 1])
    assert measured["recalled_cell_share"].high == 0
    assert (result.section.figures, looked.spans.num_rows) == ((), 0)


def test_plants_are_records_in_every_encoding_and_the_same_for_one_seed():
    lens, room = TablesLens(), Room(texts=tuple(sentences(20)), seed=5)
    plants = lens.plant(room, TablesOptions())
    assert plants == lens.plant(room, TablesOptions())
    assert {cells_of(text)[0][0] for one in plants.examples for text in one.texts} == set(ENCODINGS)
    assert {one.dose for one in plants.examples} == set(TABLES.doses)
    assert len(set(plants.twins)) == len(plants.twins)
    assert lens.plant(Room(texts=("12 34",), seed=5), TablesOptions()) == Plants()


def test_without_proxies_it_says_why_it_fails():
    assert "two folds" in look_here("tables", {}, sentences(3)).problem


def test_a_row_of_html_that_the_library_cannot_read_is_no_table_and_no_end():
    broken = "<tr><![ 123-45-6789 Erika x]><td>one1</td><td>two2</td></tr>"
    whole = "<tr><td>one1</td><td>two2</td></tr>"
    assert len(html_tables.find_html(f"<table>{broken}{whole}</table>")) == 1
