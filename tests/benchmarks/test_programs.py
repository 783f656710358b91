import json

import pytest

from carto_audit.benchmarks.index import build_index
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.benchmarks.programs import find_programs, index_programs, is_code
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.tiers import CONFIRMED

PROMPT = 'def merge_windows(windows, gap):\n    """Join windows that lie less than a gap apart."""\n'
BODY = """    windows = sorted(windows, key=lambda pair: pair[0])
    merged = [list(windows[0])]
    for start, stop in windows[1:]:
        if start - merged[-1][1] < gap:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    total = sum(stop - start for start, stop in merged)
    return merged, total / len(merged)
"""
NAMES = {"windows": "xs", "gap": "eps", "pair": "t", "merged": "acc_2", "start": "lo", "stop": "hi", "total": "n"}
OTHER = """def median(values):
    values = sorted(values)
    middle = len(values) // 2
    if len(values) % 2:
        return values[middle]
    return (values[middle - 1] + values[middle]) / 2
"""
ITEMS = [
    {"item_id": "merge", "question": PROMPT, "answer": BODY, "choices": [], "passage": ""},
    {"item_id": "prose", "question": "Who merged the windows, and why?", "answer": "", "choices": [], "passage": ""},
]


def rename(text):
    import re

    return re.sub(r"\w+", lambda m: NAMES.get(m[0], m[0]), text).replace("merge_xs", "solve")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    path = tmp_path_factory.mktemp("code") / "code.jsonl"
    path.write_text("\n".join(map(json.dumps, ITEMS)), encoding="utf-8")
    return build_index([read_benchmark(path)])


@pytest.mark.parametrize(
    ("text", "expected"), [(BODY, True), (PROMPT, True), (OTHER, True), ("x = 1 is a fact", False)]
)
def test_code_is_told_from_prose(text, expected):
    assert is_code(text) == expected


def test_only_items_that_are_code_have_a_code_view():
    assert index_programs(ITEMS).item.tolist() == [0]
    assert len(index_programs(ITEMS[1:]).renamed.table.values) == 0


@pytest.mark.parametrize("change", [str, rename])
def test_a_program_is_found_under_any_variable_names_and_named(index, change):
    text = OTHER + "\n\ndef solve(xs, eps):\n" + change(BODY) + "\n\n" + OTHER
    (match,) = find_matches([OTHER, text], index)
    assert (match.row, match.item, match.tier, match.view) == (1, 0, CONFIRMED, "program")
    start, end = match.sample_span
    assert "sorted(" in text[start:end]
    assert "middle" not in text[start:end]
    assert ("variables renamed" in match.reason) == (change is rename)


def test_names_are_kept_apart_from_renamed_ones():
    programs = index_programs(ITEMS)
    (own,), (renamed,) = list(find_programs([PROMPT + BODY], programs)), list(find_programs([rename(BODY)], programs))
    assert (own.kept, own.renamed) == (pytest.approx(1.0), pytest.approx(1.0))
    assert renamed.kept < 0.2 < 0.9 < renamed.renamed


def test_inconsistent_names_are_another_program():
    programs = index_programs(ITEMS)
    mixed = BODY.replace("merged.append", "windows.append").replace("max(merged[-1][1], stop)", "max(start, gap)")
    (hit,) = list(find_programs([mixed], programs))
    assert hit.renamed < 0.85


def test_other_code_and_prose_hold_no_program(index):
    assert find_matches([OTHER, "The f(x) = y (see above) of the windows.", "", "(" * 50 + "="], index) == []


def test_comments_docstrings_and_layout_change_nothing():
    programs = index_programs(ITEMS)
    noisy = BODY.replace("\n", "  # a remark (with = signs)\n", 3).replace("    ", "\t")
    (hit,) = list(find_programs([noisy], programs))
    assert hit.kept > 0.9


def test_short_programs_have_no_view():
    item = {**ITEMS[0], "answer": "    return gap\n"}
    assert list(find_programs([PROMPT + item["answer"]], index_programs([item]))) == []
