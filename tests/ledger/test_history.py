import re
import sqlite3
from contextlib import closing
from xml.etree import ElementTree

import pytest

from bench.vendors.made_up import made_up
from carto_audit.ledger import store
from carto_audit.ledger.entry import body_hash
from carto_audit.ledger.history import last_audits, trends
from carto_audit.ledger.history_table import sparkline
from carto_audit.ledger.pages.history_page import render_history
from carto_audit.ledger.pages.trend_chart import BOTTOM, TOP, trend_chart
from carto_audit.ledger.store import enter
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.browser import IN_A_BROWSER, open_browser, opener_of

HOSTILE = "</script><img src=x onerror=alert(1)>{{ 7*7 }}[bold]"


def test_each_vendor_has_its_own_audits_the_newest_vendor_first(book):
    found = trends(book)
    assert [one.vendor for one in found.vendors] == ["globex", "acme"]
    assert [[e.number for e in one.entries] for one in found.vendors] == [[2, 4, 6, 8], [1, 3, 5, 7]]
    assert (found.entries, found.head.number, found.left_out) == (8, 8, 0)


def test_only_the_last_are_read(book):
    (one,) = trends(book, vendor="acme", last=2).vendors
    assert ([e.number for e in one.entries], one.audits) == ([5, 7], 4)


def test_vendors_beyond_the_most_that_are_shown_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("carto_audit.ledger.history.MOST_VENDORS", 3)
    enter(tmp_path / "it", list(made_up(5, vendors=("a", "b", "c", "d", "e"))))
    found = trends(tmp_path / "it")
    assert ([one.vendor for one in found.vendors], found.left_out) == (["e", "d", "c"], 2)


def test_a_batch_that_was_audited_before_is_marked(book):
    (again,) = made_up(1, vendors=("acme",))
    enter(book, [again | {"audit": "5" * 64}])
    (one,) = trends(book, vendor="acme", last=2).vendors
    assert one.again == {9}
    assert [e.number for e in last_audits(book, "acme", 2)] == [7, 9]
    assert [e.number for e in last_audits(book, "acme", 9)] == [3, 5, 7, 9]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"vendor": "acmee"}, 'no audit of a vendor "acmee"; did you mean "acme"?'),
        ({"vendor": "zzz"}, "without --vendor lists them"),
        ({"metrics": ["memorised.token_share"]}, 'did you mean "memorized.token_share"?'),
    ],
)
def test_what_is_not_known_is_a_usage_error(book, asked, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        trends(book, **asked)


def test_a_changed_entry_ends_the_history_in_one_line(book):
    with closing(sqlite3.connect(book, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER entries_hold")
        connection.execute("UPDATE entries SET body = replace(body, '2026', '2025') WHERE number = 3")
        connection.execute(store.SCHEMA["entries_hold"])
    with pytest.raises(AuditError, match="entry 3 was changed"):
        trends(book)


def test_a_sparkline_has_a_bar_for_each_value_newest_last():
    values = [Measurement.exact(0.0), None, Measurement.exact(0.5), Measurement.exact(1.0)]
    assert sparkline(values, plain=False) == "▁·▅█"
    assert sparkline(values, plain=True) == "_?+#"
    assert sparkline([Measurement.exact(0.0)] * 2, plain=False) == "▁▁"
    assert sparkline([None], plain=False) == "·"


def test_the_command_shows_a_line_a_vendor_or_one_vendor_in_full(carto, book):
    ended = carto("history", "--ledger", book)
    assert ended.code == 0
    assert "8 audits in " in ended.out
    assert "globex" in ended.out
    assert "acme" in ended.out
    ended = carto("history", "--ledger", book, "--vendor", "acme", "--metric", "batch.tokens")
    assert "batch.tokens" in ended.out
    assert "globex" not in ended.out
    assert "acme-00006.parquet" in ended.out.replace("\n", "")
    assert carto("history", "--ledger", book.with_name("none")).code == 2


def test_hostile_names_reach_neither_terminal_nor_page_as_they_are(carto, tmp_path):
    (draft,) = made_up(1, vendors=(HOSTILE,))
    draft["batch"]["names"] = [f"::error::{HOSTILE}"]
    draft["policy"]["name"] = HOSTILE
    draft["verdict"]["status"] = HOSTILE
    enter(tmp_path / "it", [draft])
    ended = carto("history", "--ledger", tmp_path / "it", "--html", tmp_path / "page.html")
    assert ended.code == 0
    assert "::error" not in ended.out
    page = (tmp_path / "page.html").read_text()
    assert "<img" not in page
    assert "</script>" not in page
    assert "49" not in re.sub(r"\d{3,}", "", page.split("<main", 1)[1].split("<svg", 1)[0])


@pytest.mark.parametrize("name", ["\x1b[31m", "a\u202eb", "two\nlines", "\ud800"])
def test_an_entry_with_what_does_not_print_is_refused(tmp_path, name):
    (draft,) = made_up(1, vendors=("acme",))
    draft["policy"]["name"] = name
    if name == "\ud800":  # as JSON may spell what no text holds
        draft["policy"]["name"] = "SURROGATE"
    enter(tmp_path / "it", [draft])
    with closing(sqlite3.connect(tmp_path / "it", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER entries_hold")
        (body,) = connection.execute("SELECT body FROM entries").fetchone()
        body = body.replace("SURROGATE", "\\ud800")
        connection.execute("UPDATE entries SET body = ?, hash = ?", (body, body_hash(body)))
        connection.execute(store.SCHEMA["entries_hold"])
    with pytest.raises(AuditError, match="it holds characters that are not printable"):
        trends(tmp_path / "it")


def entries_of(path, vendor="acme"):
    return trends(path, vendor=vendor).vendors[0].entries


def test_a_chart_has_a_mark_for_each_audit_inside_its_axes(book):
    entries = entries_of(book)
    drawn = trend_chart(entries, "memorized.token_share")
    assert len(drawn.marks) == 4
    assert all(TOP <= mark.high <= mark.y <= mark.low <= BOTTOM for mark in drawn.marks)
    assert [mark.x for mark in drawn.marks] == sorted(mark.x for mark in drawn.marks)
    assert len(drawn.limits) == 1
    assert drawn.levels[0][1] == "0.0 %"
    assert trend_chart(entries, "redteam.extraction_pick") is None
    assert len(trend_chart(entries[:1], "memorized.token_share").marks) == 1


def test_the_page_is_well_formed_and_asks_for_nothing(book):
    page = render_history(trends(book), "team.ledger")
    assert not re.search(r"(src|href)=\"(?!#)", page)
    body = re.sub(r"<style>.*?</style>|<meta[^>]*>|<!doctype html>", "", page, flags=re.S)
    root = ElementTree.fromstring(body.replace("<br>", "<br/>"))
    assert len(root.findall(".//figure")) == 8


class TestInABrowser:
    pytestmark = IN_A_BROWSER

    def test_the_page_opens_without_trouble_and_fits_a_phone(self, book, tmp_path):
        with (
            open_browser() as browser,
            opener_of(browser, tmp_path / "page.html", lambda found: render_history(found, "team.ledger")) as show,
        ):
            page, troubles = show(trends(book), viewport={"width": 390, "height": 800})
            assert page.locator("svg.trend circle.dot").count() == 8 * 4
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert troubles == []
