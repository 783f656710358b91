import math
import random
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.vendors.made_up import made_up, made_up_audit
from carto_audit.cartography.intervals import wilson
from carto_audit.ledger.compare import compare_sides, folder_sides, mover, notes, vendor_sides
from carto_audit.ledger.compare_table import difference_words, verdict_of
from carto_audit.ledger.row_changes import item_changes, row_changes
from carto_audit.ledger.store import enter
from carto_audit.policy.metrics import Measurement
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.browser import IN_A_BROWSER, open_browser
from tests.support.finished import write_finished

SHARE = "memorized.token_share"


def share_of(count, draws):
    """A share with Wilson's interval."""
    low, high = wilson(count / draws, draws)
    return Measurement(value=count / draws, low=low, high=high)


def test_the_difference_of_two_shares_is_newcombe_s_published_example():
    """Newcombe 1998, table II, method 10: 56/70 - 48/80 lies between 0.0524 and 0.3339."""
    one, other = (
        Measurement(value=x / n, low=low, high=high)
        for x, n in ((48, 80), (56, 70))
        for low, high in [wilson(x / n, n)]
    )
    found = mover(one, other)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert found.told == "more"
    back = mover(other, one)
    assert (back.low, back.high, back.told) == (pytest.approx(-found.high), pytest.approx(-found.low), "less")


@pytest.mark.parametrize(("now", "told"), [(3.0, "more"), (1.0, "less"), (2.0, "same")])
def test_what_was_counted_differs_exactly(now, told):
    found = mover(Measurement.exact(2.0), Measurement.exact(now))
    assert (found.low, found.high, found.told) == (now - 2, now - 2, told)


def test_intervals_of_the_difference_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        one, other = share_of(rng.binomial(200, 0.1), 200), share_of(rng.binomial(300, 0.16), 300)
        covered += mover(one, other).low <= 0.06 <= mover(one, other).high
    assert 0.92 <= covered / 400 <= 0.98


def sides_of(tmp_path, *drafts):
    enter(tmp_path / "it", list(drafts))
    return vendor_sides(tmp_path / "it", [draft["vendor"] for draft in drafts])


def drafted(number, vendor, share, **changed):
    draft = made_up_audit(number, vendor, random.Random(number))
    draft["metrics"][SHARE] = list(share)
    return draft | changed


def test_each_side_is_held_against_the_first(tmp_path):
    sides = sides_of(
        tmp_path,
        drafted(0, "a", (0.05, 0.04, 0.06)),
        drafted(1, "b", (0.02, 0.01, 0.03)),
        drafted(2, "c", (0.055, 0.04, 0.07)),
    )
    (row,) = compare_sides(sides, [SHARE])
    assert [found.told for found in row.differences] == ["less", "unclear"]
    assert [verdict_of(SHARE, found) for found in row.differences] == ["better", "none"]
    assert difference_words(SHARE, row.differences[0]) == "−3.0 pp (−4.4 to −1.6 pp)"
    assert difference_words(SHARE, row.differences[1]).endswith(": may be none")


OTHER_MAP = {"name": "p", "sha256": "e" * 64, "treatment_sha256": "e" * 64, "map": {"memorization": {}}}


@pytest.mark.parametrize(
    ("changed", "metric", "why"),
    [
        (
            {"policy": OTHER_MAP},
            SHARE,
            "another map.",
        ),
        ({"benchmarks": [["gsm8k_test", "9" * 64]]}, "contamination.confirmed_items", "other benchmarks"),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(tmp_path, changed, metric, why):
    sides = sides_of(tmp_path, drafted(0, "a", (0.05, 0.04, 0.06)), drafted(1, "b", (0.02, 0.01, 0.03), **changed))
    (row,) = compare_sides(sides, [metric])
    assert why in row.differences[0].why
    assert difference_words(metric, row.differences[0]).startswith("not compared: ")


def test_what_else_differs_is_said(tmp_path):
    first, second = drafted(0, "a", (0.05, 0.04, 0.06)), drafted(1, "b", (0.02, 0.01, 0.03))
    second["run"] = second["run"] | {"proxy": "small"}
    second["batch"] = first["batch"]
    said = " ".join(notes(sides_of(tmp_path, first, second)))
    assert "audits of the same batch" in said
    assert "other proxies" in said


def test_one_vendor_is_compared_with_its_batch_before(book, tmp_path):
    assert [side.entry.number for side in vendor_sides(book, ["acme"])] == [5, 7]
    assert [side.entry.number for side in vendor_sides(book, ["acme", "globex"])] == [7, 8]
    enter(tmp_path / "one", list(made_up(1)))
    with pytest.raises(UsageError, match="has one batch in the ledger"):
        vendor_sides(tmp_path / "one", ["acme"])


@pytest.mark.parametrize("count", [1, 7])
def test_two_to_six_audits_are_compared(tmp_path, count):
    with pytest.raises(UsageError, match="two to 6 audits are compared"):
        folder_sides([tmp_path] * count)


def scores(folder, texts, memorized, **other):
    """A table of scores as an audit leaves it, of which `texts` are the hashes."""
    n = len(texts)
    columns = {
        "sample_id": pa.array([f"{folder.name}:{k}" for k in range(n)], pa.large_string()),
        "n_tokens": pa.array([10 * (k + 1) for k in range(n)], pa.int64()),
        "memorization": pa.array(memorized, pa.float64()),
        "quadrant": pa.array(["hotspot_memorized" if (m or 0) > 0.5 else "stable_easy" for m in memorized]),
        "text_hash": pa.array(texts, pa.uint64()),
    }
    pq.write_table(pa.table(columns | other), folder / "scores.parquet")


def matches(folder, *rows):
    names = ("benchmark", "item_id", "tier")
    pq.write_table(
        pa.table({name: [row[k] for row in rows] for k, name in enumerate(names)}), folder / "matches.parquet"
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished audit that others are copied from."""
    return write_finished(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def two(finished, tmp_path):
    """Two finished audits with three rows in common."""
    may, june = (shutil.copytree(finished, tmp_path / name) for name in ("may", "june"))
    scores(may, [1, 2, 3, 4, None], [0.1, 0.9, 0.2, 0.8, None])
    scores(june, [2, 3, 1, 9, 9, 2**64 - 1], [0.9, 0.2, 0.1, 0.7, 0.95, None])
    matches(may, ("gsm8k", "a", "confirmed"), ("gsm8k", "b", "suspected"), ("gsm8k", "c", "boilerplate"))
    matches(june, ("gsm8k", "b", "suspected"), ("gsm8k", "b", "confirmed"), ("mmlu", "d\u202e", "suspected"))
    return may, june


def test_rows_are_told_apart_by_their_text(two):
    found = row_changes(*two)
    assert (found.shared_rows, found.shared_tokens) == (3, 10 + 20 + 30)
    assert (found.appeared.rows, found.appeared.tokens, found.appeared.memorized_tokens) == (3, 40 + 50 + 60, 40 + 50)
    assert [row.sample_id for row in found.appeared.examples] == ["june:4", "june:3", "june:5"]
    assert found.appeared.examples[2].memorization is None
    assert (found.went.rows, found.went.tokens) == (1, 40)


def test_items_that_came_and_went_are_named_once_with_their_worst_tier(two):
    found = item_changes(*two)
    assert found.appeared == (("mmlu", "d", "suspected"),)
    assert found.went == (("gsm8k", "a", "confirmed"),)
    assert found.shared == 1
    (two[0] / "matches.parquet").unlink()
    assert item_changes(*two) is None


def test_audits_of_earlier_versions_have_no_hashes_of_texts(two):
    table = pq.read_table(two[0] / "scores.parquet")
    pq.write_table(table.drop_columns("text_hash"), two[0] / "scores.parquet")
    assert row_changes(*two) is None


@pytest.mark.parametrize(
    "column", [{"text_hash": ["a"] * 5}, {"n_tokens": [None] * 5}, {"memorization": ["x"] * 5}, {"quadrant": [[1]] * 5}]
)
def test_a_table_that_is_none_ends_in_one_line(two, column):
    scores(two[0], [1, 2, 3, 4, 5], [0.1] * 5, **column)
    with pytest.raises(AuditError, match=r"scores.parquet: not the scores of an audit") as refused:
        row_changes(*two)
    assert "\n" not in str(refused.value)


def test_the_command_compares_folders_and_writes_a_page(carto, two, tmp_path):
    ended = carto("compare", *two, "--html", tmp_path / "page.html")
    assert ended.code == 0
    assert "Rows in both: 3, 60 tokens" in ended.out
    assert "Rows only in june: 3, 150 tokens, of which 60.0 % lie in memorized rows" in ended.out
    assert "Benchmark items found only in june: 1: mmlu d (suspected)" in ended.out
    page = (tmp_path / "page.html").read_text()
    assert page.count('<svg class="chart"') == 2
    assert "june:4" in page
    assert not re.search(r"(src|href)=\"(?!#)", page)


def test_the_command_compares_vendors_of_a_ledger(carto, book, tmp_path):
    ended = carto("compare", "acme", "globex", "--ledger", book, "--html", tmp_path / "page.html")
    assert ended.code == 0
    assert "no rows: name the audits' folders" in ended.out
    assert "acme 2026-01-02 (entry 7)" in (tmp_path / "page.html").read_text()
    assert carto("compare", "acme", "none", "--ledger", book).code == 2


def test_a_page_takes_the_place_of_no_ledger_and_of_no_file_of_an_audit(carto, two, book):
    before = book.read_bytes(), (two[0] / "report.html").read_bytes()
    for arguments in (
        ("history", "--ledger", book, "--html", book),
        ("history", "--ledger", book, "--html", f"{book}-wal"),
        ("compare", "acme", "--ledger", book, "--html", book),
        ("compare", *two, "--html", two[0] / "report.html"),
    ):
        ended = carto(*arguments)
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
        assert "choose another file" in ended.err
    assert (book.read_bytes(), (two[0] / "report.html").read_bytes()) == before


def test_what_is_no_audit_is_not_compared(carto, two, tmp_path):
    shutil.rmtree(two[1])
    two[1].mkdir()
    ended = carto("compare", *two)
    assert (ended.code, ended.err.count("\n")) == (3, 1)


def test_an_audit_beside_itself_differs_in_nothing(two):
    sides = folder_sides([two[0], two[0]])
    for row in compare_sides(sides, [SHARE, "contamination.confirmed_items", "hotspot_memorized.token_share"]):
        assert all(found.told in ("same", "unclear") and math.isclose(found.value, 0) for found in row.differences)


class TestInABrowser:
    pytestmark = IN_A_BROWSER

    def test_the_page_opens_without_trouble(self, carto, two, tmp_path):
        carto("compare", *two, "--html", tmp_path / "page.html")
        with open_browser() as browser:
            page, troubles = browser.new_page(viewport={"width": 390, "height": 800}), []
            page.on("console", lambda message: troubles.append(message.text))
            page.goto((tmp_path / "page.html").as_uri())
            assert page.locator("figure.map svg path").count() > 10
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert troubles == []
