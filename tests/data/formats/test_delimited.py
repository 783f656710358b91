"""CSV as it comes: read in its dialect, or refused in one line. Never is a whole row one column."""

import csv
import io

import pytest

from carto_audit.data.batch import iter_texts, read_batch
from carto_audit.data.formats.opened import Reading
from carto_audit.data.readers import how_written
from carto_audit.runtime.errors import AuditError

PLAIN = [f"The keeper of lamp number {k} counts the oil twice and writes it down" for k in range(50)]
ODD = [
    f"She said \"{text[:20]}, well\"; then | {text[20:]},\n\tit's {k}; so 'she' said" for k, text in enumerate(PLAIN)
]


def written(texts, delimiter=",", header=("id", "text", "lang"), **options):
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, lineterminator="\n", **options)
    if header:
        writer.writerow(header)
    writer.writerows([k, text, "en"] for k, text in enumerate(texts))
    return sink.getvalue()


def by_hand(texts, form):
    return "id,text\n".replace(",", form[3]) + "".join(form.format(k, text) + "\n" for k, text in enumerate(texts))


def texts_of(path, column=None, **reading):
    batch = read_batch([path], text_column=column, reading=Reading(**reading))
    return [text for chunk in iter_texts(batch) for text in chunk.texts]


@pytest.mark.parametrize("texts", [PLAIN, ODD], ids=["plain", "odd"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_fields_are_told_by_rows_of_equal_width(tmp_path, texts, quoting, delimiter, name):
    path = tmp_path / name
    path.write_text(written(texts, delimiter, quoting=quoting), newline="")
    assert texts_of(path) == texts
    said = how_written(path)
    assert said == {",": "", ";": "; between fields", "\t": "tab between fields", "|": "| between fields"}[delimiter]


def test_a_backslash_before_a_quote_is_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(by_hand([text.replace('"', '\\"') for text in ODD], '{0},"{1}"'), newline="")
    assert texts_of(path) == ODD
    assert how_written(path) == "escape \\"


def test_tabs_need_no_quotes(tmp_path):
    path = tmp_path / "a.tsv"
    texts = [f'"Well" she said, of lamp {k}, and "so' for k in range(40)]
    path.write_text(by_hand(texts, "{0}\t{1}"))
    assert texts_of(path) == texts


def test_single_quotes_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(by_hand([f"{text}, and more" for text in PLAIN], "{0},'{1}'"))
    assert texts_of(path) == [f"{text}, and more" for text in PLAIN]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("texts", [PLAIN, ODD[:1] + PLAIN], ids=["plain", "odd"])
def test_no_row_is_lost_where_no_header_is(tmp_path, delimiter, texts):
    path = tmp_path / "a.csv"
    path.write_text(written(texts, delimiter, header=None), newline="")
    assert texts_of(path) == texts
    assert "no header" in how_written(path)


@pytest.mark.parametrize("first", ["id,text,lang", "id,text,2019", ",text,label"])
def test_a_header_is_a_header(tmp_path, first):
    path = tmp_path / "a.csv"
    path.write_text(written(PLAIN, header=first.split(",")))
    assert texts_of(path, "text") == PLAIN


def test_one_column_is_not_cut_at_commas_that_it_has(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "".join(f'"{text}, or; not"\n' for text in PLAIN))
    assert texts_of(path) == [f"{text}, or; not" for text in PLAIN]


def test_decimal_commas_do_not_make_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id;text;price\n" + "".join(f"{k};{text};{k},50\n" for k, text in enumerate(PLAIN)))
    assert texts_of(path) == PLAIN


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("id;text;lang\n1;some words\n2;more;words;here\n", r"the first row has several fields with ; between them"),
        ("1;so, it is\n2;no, it is not\n", r"as many fields with , or ; between them"),
        ("a|b;c|d\n1|2;3|4\n", r"as many fields with ; or \| between them"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_option_that_decides(tmp_path, data, complaint):
    path = tmp_path / "a.csv"
    path.write_text(data)
    with pytest.raises(AuditError, match=complaint + r"[^\n]*; say which with csv_delimiter$"):
        read_batch([path])


def test_what_is_said_counts(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a|b;c|d\n1|2;3|some words\n")
    assert texts_of(path, "c|d", csv_delimiter=";") == ["3|some words"]
    assert texts_of(path, "d", csv_delimiter="|") == ["some words"]
    path.write_text("0\tfirst words here\n1\tmore words here\n")
    assert texts_of(path, csv_delimiter="tab") == ["first words here", "more words here"]
    assert texts_of(path, "first words here", csv_header="yes") == ["more words here"]
    path.write_text("id,text\n1,'some words, and more'\n2,'so, what'\n")
    assert texts_of(path, "text", csv_quote="'") == ["some words, and more", "so, what"]
    path.write_text('id,text\n1,"five^", wide"\n')
    assert texts_of(path, "text", csv_escape="^") == ['five", wide']
    path.write_text('id\ttext\n1\t"so\n')
    assert texts_of(path, "text", csv_quote="none") == ['"so']
