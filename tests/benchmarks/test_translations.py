import json

import numpy as np
import pytest

from carto_audit.benchmarks.index import build_index
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.benchmarks.translations import find_translations, index_invariant_tokens
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.tiers import SUSPECTED
from carto_audit.text.words import hash_words

QUESTION = (
    "On Monday the baker Ottla sold 412 rolls to the hotel of Mr Brask and 77 loaves to the Ottersund mill. Every roll "
    "had 38 grams of rye, every loaf 950. How many grams of rye did Ottla need?"
)
GERMAN = (
    "Am Montag verkaufte die Bäckerin Ottla 412 Brötchen an das Hotel von Herrn Brask und 77 Brote an die Mühle von "
    "Ottersund. Jedes Brötchen enthielt 38 Gramm Roggen, jedes Brot 950. Wie viel Gramm Roggen brauchte Ottla?"
)
CHINESE = (
    "星期一，面包师 Ottla 把 412 个小面包卖给 Brask 先生的旅馆，把 77 个大面包卖给 Ottersund 磨坊。"
    "每个小面包含有 38 克黑麦，每个大面包 950 克。Ottla 需要多少克黑麦？"
)
OTHER_GERMAN = (
    "Am Dienstag fuhren 412 Züge durch den Tunnel, davon hielten 77 nicht an. Der Bahnhof hat elf Gleise und liegt sehr "
    "nahe am Fluss, wo jeden Abend viele Menschen stehen und den Booten nachsehen, bis es dunkel wird."
)
ITEMS = [
    {"item_id": "rye", "question": QUESTION, "answer": "88806", "choices": [], "passage": ""},
    {"item_id": "plain", "question": "Why do bakers get up early?", "answer": "rolls", "choices": [], "passage": ""},
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    path = tmp_path_factory.mktemp("rye") / "rye.jsonl"
    path.write_text("\n".join(map(json.dumps, ITEMS)), encoding="utf-8")
    return build_index([read_benchmark(path)])


@pytest.mark.parametrize("text", [GERMAN, CHINESE], ids=["german", "chinese"])
def test_a_translated_item_is_suspected_and_named(index, text):
    (match,) = find_matches([text], index)
    assert (match.item, match.tier, match.view) == (0, SUSPECTED, "skeleton")
    assert match.reason.endswith("a translation?")
    start, end = match.sample_span
    assert "412" in text[start:end]


@pytest.mark.parametrize(
    "text",
    [
        OTHER_GERMAN,
        "412 77 38 950 " * 4,  # a table has no language
        "The hotel of Brask had 412 rooms and 77 lamps; Ottla saw 38 of them, and the mill of Ottersund had 950 which "
        "were for the people who had been there before them.",  # English, so no translation
        " ".join(reversed(GERMAN.split())),  # another order
    ],
    ids=["other", "table", "english", "order"],
)
def test_the_same_numbers_elsewhere_are_no_translation(index, text):
    assert [m for m in find_matches([text], index) if m.view == "skeleton"] == []


def test_items_without_numbers_and_programs_have_no_skeleton():
    code = {**ITEMS[0], "question": "def f(x):\n    return Alpha(3, 4, 5, 6)\n"}
    assert [len(index_invariant_tokens([item]).tokens[0]) for item in (*ITEMS, code)] == [10, 0, 0]


def test_numbers_that_count_lines_are_no_skeleton():
    lines = "\n".join(f"Line {k}: stir the pot {k % 3}" for k in range(1, 13))
    item = {"question": f"What does the cook do, with 412 spoons?\n{lines}", "choices": [], "answer": "stir"}
    kept = {"question": "Use 412, 77, 38 and 950 of the 13 spoons, and then 14 more.", "choices": [], "answer": "all"}
    tokens = index_invariant_tokens([item, kept]).tokens
    assert not np.isin(hash_words(["8 9 10 11 12"]).values, tokens[0]).any()
    assert np.isin(hash_words(["412 77 38 950 13 14"]).values, tokens[1]).all()


def test_an_english_translation_of_a_foreign_item_is_proposed():
    index = index_invariant_tokens([{**ITEMS[0], "question": CHINESE}])
    assert [hit.item for hit in find_translations(hash_words([QUESTION]), index)] == [0]


def test_no_rows_and_no_items_cost_nothing():
    assert list(find_translations(hash_words([]), index_invariant_tokens(ITEMS))) == []
    assert list(find_translations(hash_words([GERMAN]), index_invariant_tokens([]))) == []


@pytest.mark.parametrize(
    "texts", [[QUESTION], ["", "12"], [QUESTION, GERMAN.replace("412", "x")[:20]], [OTHER_GERMAN[80:]]]
)
def test_rows_of_which_nothing_is_wanted_are_no_error(texts):
    assert list(find_translations(hash_words(texts), index_invariant_tokens(ITEMS))) == []
