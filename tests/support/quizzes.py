"""Small benchmarks for the tests of indexes: a few questions of every kind that is hard to find."""

import json

from carto_audit.benchmarks.items import read_benchmark

BELL = "A bronze bell of 412 kilograms hangs from nine ropes of equal length; how heavy a load does each single rope carry?"
SHEEP = "Which mineral gives the painted sheep of the northern chapel their unusually dark green colour?"
TEMPLATE = "Which of the following statements is true?"
HAN = "下列哪一位钟表匠在一七四三年修好了奥特松德钟楼的大钟？"
ARABIC = "من هو صانع الساعات الذي أصلح ساعة البرج الكبيرة في المدينة القديمة قبل مئة عام؟"

ITEMS = [
    {"item_id": "bell", "question": BELL, "answer": "Each rope carries 412 / 9 kilograms."},
    {
        "item_id": "sheep",
        "question": SHEEP,
        "choices": ["malachite dust", "boiled verdigris", "sea grass"],
        "answer": 1,
    },
    {"item_id": "again", "question": BELL.upper(), "answer": "46"},
    {"item_id": "han", "question": HAN, "answer": "林"},
    {"item_id": "arabic", "question": ARABIC, "answer": "سامي"},
    {"item_id": "word", "question": "Why?", "answer": "because"},
    {"item_id": "blank", "question": " ? "},
] + [
    {
        "item_id": f"true{k}",
        "question": TEMPLATE,
        "choices": [
            f"the {k} sailors of crew {chr(97 + k)} {verb} beside the lamp" for verb in ("rest", "sing", "row")
        ],
        "answer": 0,
    }
    for k in range(30)
]


def write_quiz(path, items=ITEMS):
    """A benchmark file of these items."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    return path


def quiz(path, items=ITEMS):
    """A benchmark of these items."""
    return read_benchmark(write_quiz(path, items))
