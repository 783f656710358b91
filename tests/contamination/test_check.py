import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.benchmarks.index import build_index
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.contamination.check import (
    CLEAN_SCHEMA,
    MATCH_SCHEMA,
    Counts,
    check_contamination,
    clean_table,
    find_matches,
    read_matches,
    write_clean,
    write_matches,
)
from carto_audit.contamination.detectability import FORMS, QUICK_FORMS, measure_detectability
from carto_audit.contamination.tiers import BOILERPLATE, CONFIRMED, SOURCE_OVERLAP, SUSPECTED
from carto_audit.data.batch import read_batch
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.data import DATA, needs_data

BELL = "A bronze bell of 412 kilograms hangs from nine ropes of equal length; how heavy a load does each single rope carry?"
SHEEP = "Which mineral gives the painted sheep of the northern chapel their unusually dark green colour?"
SHORT = "Who tuned the Ottersund organ?"
TEMPLATE = "Which of the following statements is true?"
PASSAGE = (
    "The lighthouse keeper wrote every evening into a grey ledger how many barges had passed, which flags they flew and "
    "whether any of them had answered his lamp, until the ledger was lost in the flood of the following spring."
)
PLAIN = "What did he say to them then?"
HAN = "下列哪一位钟表匠在一七四三年修好了奥特松德钟楼的大钟？"

ITEMS = [
    {"item_id": "bell", "question": BELL, "answer": "Each rope carries 412 / 9 kilograms, a little below 46."},
    {"item_id": "sheep", "question": SHEEP, "choices": ["malachite dust", "boiled verdigris", "sea grass", "ochre"]},
    {"item_id": "short", "question": SHORT, "choices": ["old Marten Veldt", "the younger Brask", "nobody at all"]},
    {
        "item_id": "keeper",
        "question": "What did the keeper count each evening?",
        "passage": PASSAGE,
        "answer": "barges",
    },
    {"item_id": "han", "question": HAN, "answer": "林"},
    {"item_id": "plain", "question": PLAIN, "answer": "home"},
    {"item_id": "blank", "question": " ? "},
]
ITEMS[1]["answer"] = "boiled verdigris"
TRUE_OPTIONS = [
    [f"the {colour} {thing} of case {k} {verb} quietly" for verb in ("turns", "sinks", "burns")]
    for k, (colour, thing) in enumerate((c, t) for c in ("red", "blue", "grey", "pale", "dark") for t in "abcdef")
]
ITEMS += [
    {"item_id": f"true{k}", "question": TEMPLATE, "choices": options, "answer": options[0]}
    for k, options in enumerate(TRUE_OPTIONS)
]
PROSE = (
    "The market opened late because of the snow, and the first carts came down from the hills only when the baker had "
    "sold out. People stood about, talked of the price of oats and waited for the mill wheel to start turning again."
).split()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return build_index([write_benchmark(tmp_path_factory.mktemp("quiz") / "quiz.jsonl", ITEMS)])


def write_benchmark(path, items):
    path.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    return read_benchmark(path)


def contaminated(path, index, forms=QUICK_FORMS):
    """What is found of the index in the batch at `path`."""
    return check_contamination(read_batch([path]), index, measure_detectability(index, find_matches, forms=forms))


@pytest.fixture
def check(index, tmp_path):
    def run(texts, against=None):
        path = tmp_path / "batch.parquet"
        pq.write_table(pa.table({"text": pa.array(texts, pa.large_string())}), path)
        return contaminated(path, against or index)

    return run


def embed(text, before=40, after=40):
    many = PROSE * 30
    return " ".join([*many[:before], text, *many[7 : 7 + after]])


def listed(item, answer=""):
    return item["question"] + "".join(f"\n{'ABC'[k]}. {c}" for k, c in enumerate(item["choices"][:3])) + f"\n{answer}"


def one(found):
    assert found.matches.num_rows == 1, found.matches.to_pylist()
    return found.matches.to_pylist()[0]


@pytest.mark.parametrize(
    "text", [BELL, embed(BELL), embed(BELL, 2000, 2000), embed(BELL, 0, 50), BELL.upper(), f"«{BELL}»"]
)
def test_a_verbatim_item_is_confirmed_with_both_spans(check, text):
    match = one(check(["clean text comes first", text]))
    assert (match["sample"], match["row"], match["benchmark"], match["item_id"]) == (1, 1, "quiz", "bell")
    assert (match["component"], match["tier"], match["leak_kind"]) == ("question", "confirmed", "input")
    assert text[match["sample_start"] : match["sample_end"]].casefold() == BELL[:-1].casefold()
    assert BELL[match["item_start"] : match["item_end"]] == BELL[:-1]
    assert match["containment"] == pytest.approx(1.0)
    assert match["longest_run"] == len(BELL.split())
    assert match["minhash_estimate"] > 0.8
    assert match["reason"] == "the whole question is here"


FILLER = (
    "the of and to a in is that it was for on with he be by this had not are but from or have they which one you were "
    "all her there would their we him been has when who will more no if out so said what up about into than them can "
    "only other new some could time these two may then do first any my now such like our over man even most made after "
    "also did many before must through back years where much your way well down should because each just those people"
).split()
BREAKS = [" ", "\n", "\n\n", "  ", ".\n", " — ", ", ", "? "]
TIERS_ALONE = {"bell": CONFIRMED, "sheep": CONFIRMED, "short": CONFIRMED, "plain": SUSPECTED, "han": CONFIRMED}


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(sorted(TIERS_ALONE)),
    st.lists(st.sampled_from(FILLER), max_size=60),
    st.lists(st.sampled_from(FILLER), max_size=60),
    st.integers(1, 12),
    st.sampled_from(BREAKS),
    st.sampled_from([" ", "\n", " \n\t"]),
)
def test_filler_around_an_item_and_line_breaks_in_it_never_change_its_tier(
    index, planted, before, after, width, around, within
):
    item = next(k for k, item in enumerate(ITEMS) if item["item_id"] == planted)
    question, tier = ITEMS[item]["question"], TIERS_ALONE[planted]
    words = question.split()
    wrapped = within.join(" ".join(words[k : k + width]) for k in range(0, len(words), width))
    text = around.join([" ".join(before), wrapped, " ".join(after)])
    assert [(m.item, m.tier) for m in find_matches([text], index)] == [(item, tier)]


def test_an_edited_item_is_confirmed(check):
    text = embed(BELL.replace("bronze", "copper").replace("single", "one"))
    match = one(check([text]))
    assert (match["item_id"], match["tier"]) == ("bell", "confirmed")
    assert 0.6 < match["containment"] < 1
    assert match["reason"].endswith("of the question is here")


def test_the_same_wording_with_other_numbers_is_another_question(check, tmp_path):
    numbered = BELL.replace("nine", "9")
    against = build_index([write_benchmark(tmp_path / "numbered.jsonl", [{"question": numbered}])])
    match = one(check([numbered.replace("412", "77").replace("9", "4")], against))
    assert (match["tier"], match["reason"]) == ("source_overlap", "the same wording with other numbers")
    assert [m.near_variant for m in find_matches([numbered.replace("412", "77").replace("9", "4")], against)] == [True]
    assert [m.near_variant for m in find_matches([numbered], against)] == [False]
    assert one(check([numbered.replace("412", "77")], against))["tier"] == "confirmed"


def test_a_twin_in_which_nearly_every_other_word_is_a_number_is_a_near_variant(tmp_path):
    question = (
        "Ottla swam 3 km on 4 Fridays, 5 km on 6 Sundays and 7 laps with 8 otters; "
        "how far did Ottla of Ottersund swim in all those days?"
    )
    index = build_index([write_benchmark(tmp_path / "swim.jsonl", [{"question": question}])])
    twin = question.translate(str.maketrans("345678", "921291"))
    assert [(m.near_variant, m.tier) for m in find_matches([embed(twin)], index)] == [(True, SOURCE_OVERLAP)]
    edited = question.translate(str.maketrans("345678", "abcxyz"))
    assert not any(m.near_variant for m in find_matches([embed(edited)], index))


@pytest.mark.parametrize("number", range(7))
def test_a_short_question_with_one_word_edited_is_suspected(tmp_path, number):
    question = "Which Ottersund clockmaker repaired every chapel bell?".split()
    index = build_index([write_benchmark(tmp_path / "clock.jsonl", [{"question": " ".join(question)}])])
    edited = [*question[:number], "quietly", *question[number + 1 :]]
    found = find_matches([embed(" ".join(edited))], index)
    assert [m.tier for m in found] == [SUSPECTED]


def test_the_answer_beside_the_question_is_an_input_and_answer_leak(check):
    assert one(check([embed(f"{BELL} {ITEMS[0]['answer']}")]))["leak_kind"] == "input+answer"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("", "input"), ("Answer: boiled verdigris", "input+answer"), ("Answer: sea grass", "input")],
)
def test_listed_options_alone_do_not_give_the_answer_away(check, answer, kind):
    text = SHEEP + "".join(f"\n{letter}. {c}" for letter, c in zip("ABCD", ITEMS[1]["choices"], strict=True))
    assert one(check([f"{text}\n{answer}"]))["leak_kind"] == kind


def test_a_single_named_option_is_an_answer_only_when_it_is_the_gold_one(check):
    assert one(check([f"{SHEEP} It is boiled verdigris."]))["leak_kind"] == "input+answer"
    assert one(check([f"{SHEEP} It is malachite dust."]))["leak_kind"] == "input"


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        (SHORT, "confirmed"),
        (f"Quiz night.\n3. {SHORT}\nNo one knew.", "confirmed"),
        (embed("nobody asked who tuned the Ottersund organ that winter"), "confirmed"),
        (PLAIN, "suspected"),
        (embed(f"he asked {PLAIN.lower()} and left"), "suspected"),
        (embed("who tuned the Ottersund organ: old Marten Veldt or the younger Brask"), "confirmed"),
    ],
)
def test_a_short_question_is_confirmed_by_rare_words_wherever_it_stands(check, text, tier):
    assert one(check([text]))["tier"] == tier


def test_a_template_question_is_named_only_by_its_own_options(check):
    item = ITEMS[-4]
    assert check([TEMPLATE, embed(TEMPLATE)]).matches.num_rows == 0
    edited = TEMPLATE.replace("true", "beige")
    match = one(check([embed(listed({**item, "question": edited}))]))
    assert (match["item_id"], match["tier"]) == (item["item_id"], "suspected")
    match = one(check([embed(listed(item))]))
    assert (match["item_id"], match["tier"]) == (item["item_id"], "confirmed")
    match = one(check([f"{TEMPLATE} {item['choices'][1]}"]))
    assert match["tier"] == "boilerplate"


def test_a_passage_of_one_item_alone_is_suspected_without_its_question(check):
    match = one(check([embed(PASSAGE)]))
    assert (match["item_id"], match["component"], match["tier"]) == ("keeper", "passage", "suspected")


def test_ideographs_are_matched_inside_running_text(check):
    text = "本文与测验无关" * 10 + HAN + "其余内容也无关" * 10
    match = one(check([text]))
    assert (match["item_id"], match["tier"]) == ("han", "confirmed")
    assert text[match["sample_start"] : match["sample_end"]] == HAN[:-1]


def test_offsets_count_characters_of_the_original_text(check):
    before = "ﬁne ½ Straße e\u0301\u0301 İstanbul 𝔸 👩‍🚀 "
    match = one(check([before + BELL + " ﬁn"]))
    assert (match["sample_start"], match["sample_end"]) == (len(before), len(before) + len(BELL) - 1)


def test_clean_text_has_no_matches(check):
    found = check([" ".join(PROSE), "x", "the bell hangs from ropes", "１２ " * 50, "🙂 !!!"])
    assert found.matches.num_rows == 0
    assert found.tier.tolist() == [0] * 5
    assert found.tier_names().tolist() == [""] * 5
    assert found.benchmarks[0].confirmed_rows == 0


def test_items_and_rows_are_counted_apart(check):
    texts = [
        embed(BELL),
        "clean",
        BELL,
        embed(SHEEP) + " " + embed(BELL),
        embed(SHORT[:-1].lower()),
        embed(PASSAGE),
        PLAIN,
    ]
    found = check(texts)
    result = found.benchmarks[0]
    assert (result.items, result.confirmed_items, result.suspected_items) == (37, 3, 2)
    assert (result.confirmed_rows, result.suspected_rows) == (4, 2)
    assert found.is_tier("confirmed").tolist() == [True, False, True, True, True, False, False]
    assert found.tier_names()[4:].tolist() == ["confirmed", "suspected", "suspected"]


def test_each_input_file_has_its_own_roll_up_by_benchmark(index, tmp_path):
    other = write_benchmark(tmp_path / "other.jsonl", [{"item_id": "b", "question": BELL}])
    both = build_index([write_benchmark(tmp_path / "quiz.jsonl", ITEMS), other])
    texts = {
        "a/<script>1.parquet": [embed(BELL), None, embed(BELL), PLAIN, f"{embed(SHEEP)} {embed(SHORT)}"],
        "a/clean.parquet": ["clean", " ", "and clean again"],
        "b/last.parquet": [None, embed(PASSAGE), embed(BELL)],
    }
    for name, rows in texts.items():
        (tmp_path / "batch" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": pa.array(rows, pa.large_string())}), tmp_path / "batch" / name)
    first, clean, last = contaminated(tmp_path / "batch", both).shards
    assert (first.name, first.rows) == ("a/<script>1.parquet", 5)
    quiz = Counts(confirmed_items=3, suspected_items=1, confirmed_rows=3, suspected_rows=1)
    one = Counts(confirmed_items=1, suspected_items=0, confirmed_rows=2, suspected_rows=0)
    assert first.benchmarks == {"quiz": quiz, "other": one}
    assert first.counts == Counts(confirmed_items=4, suspected_items=1, confirmed_rows=3, suspected_rows=1)
    nothing = Counts(confirmed_items=0, suspected_items=0, confirmed_rows=0, suspected_rows=0)
    assert (clean.name, clean.rows, clean.counts, clean.benchmarks) == ("a/clean.parquet", 3, nothing, {})
    assert (last.name, last.rows) == ("b/last.parquet", 3)
    once = Counts(confirmed_items=1, suspected_items=0, confirmed_rows=1, suspected_rows=0)
    both = Counts(confirmed_items=1, suspected_items=1, confirmed_rows=1, suspected_rows=1)
    assert last.benchmarks == {"quiz": both, "other": once}
    assert last.counts.confirmed_rows == 1


def test_a_phrase_of_the_batch_is_no_finding_and_its_copies_do_not_make_it_one(tmp_path):
    phrase = (
        "Read the following report of the harbour inspection carefully, weigh every statement of the witnesses against "
        "the ledger of the pilot, and then decide with one short sentence"
    )
    ends = (
        "who moved the copper anchor chain before the morning tide of Michaelmas?",
        "why the ferryman hid his second lantern under hay bales again?",
        "when the northern sluice gate was first sealed with tar and hemp?",
    )
    against = build_index([write_benchmark(tmp_path / "port.jsonl", [{"question": f"{phrase} {end}"} for end in ends])])
    rows = [f"{phrase}: {' '.join(PROSE[k % 30 :])} {k}" for k in range(40)]
    path = tmp_path / "many.parquet"
    pq.write_table(pa.table({"text": rows}), path)
    batch, detectability = read_batch([path]), measure_detectability(against, find_matches, forms=QUICK_FORMS)
    found = check_contamination(batch, against, detectability)
    assert set(found.matches["tier"].to_pylist()) == {"boilerplate"}
    assert found.tier.max() == found.item_tier.max() == BOILERPLATE
    named = len(set(found.matches["item_id"].to_pylist()))  # chance words after the phrase choose among the three
    assert (found.benchmarks[0].boilerplate_items, found.benchmarks[0].suspected_rows) == (named, 0)
    copies = check_contamination(batch, against, detectability, cluster_id=np.arange(40) // 4)
    assert set(copies.matches["tier"].to_pylist()) == {"suspected"}
    assert (copies.benchmarks[0].boilerplate_items, copies.benchmarks[0].suspected_rows) == (0, 40)


def test_items_that_no_one_could_recognize_are_not_detectable(check):
    # The blank question and the 30 items that share one question; all others are found when planted in prose.
    result = check(["nothing here"]).benchmarks[0]
    assert result.detectable_items == 6
    assert result.detectability == {"embedded": pytest.approx(6 / 37)}


def test_the_roll_up_tells_the_share_that_is_found_by_form(index, tmp_path):
    pq.write_table(pa.table({"text": ["nothing here"]}), tmp_path / "batch.parquet")
    (result,) = contaminated(tmp_path / "batch.parquet", index, FORMS).benchmarks
    assert list(result.detectability) == list(FORMS)
    assert result.detectability["with_options"] > result.detectability["alone"] == pytest.approx(6 / 37)


def test_a_question_in_two_benchmarks_is_reported_for_both(check, tmp_path):
    other = write_benchmark(tmp_path / "other.jsonl", [{"item_id": "b", "question": BELL.lower()}])
    first = write_benchmark(tmp_path / "quiz.jsonl", ITEMS)
    found = check([embed(BELL)], build_index([first, other]))
    assert found.matches.select(["benchmark", "item_id"]).to_pylist() == [
        {"benchmark": "quiz", "item_id": "bell"},
        {"benchmark": "other", "item_id": "b"},
    ]
    assert [b.confirmed_items for b in found.benchmarks] == [1, 1]


def test_two_benchmarks_of_one_name_are_refused(tmp_path):
    benchmark = write_benchmark(tmp_path / "quiz.jsonl", ITEMS)
    with pytest.raises(UsageError, match='two benchmarks are called "quiz"'):
        build_index([benchmark, benchmark])


def test_a_repeated_phrase_does_not_cost_its_square(check):
    match = one(check(["clean", embed("a bronze bell of 412 kilograms " * 40_000 + BELL)]))
    assert (match["item_id"], match["tier"]) == ("bell", "confirmed")


def test_an_item_is_found_anywhere_in_many_rows_and_in_an_over_long_one(check):
    texts = [" ".join(PROSE)] * 4000
    texts[0] = texts[2500] = texts[3999] = embed(SHEEP)
    texts[1234] = embed(BELL, 3000, 3000) * 30  # over a megabyte
    found = check(texts)
    assert found.matches["sample"].to_pylist()[:2] == [0, 1234]
    assert np.flatnonzero(found.tier == CONFIRMED).tolist() == [0, 1234, 2500, 3999]


def test_matches_survive_a_file_and_leave_the_batch_index_out(check, tmp_path):
    matches = check([embed(BELL), embed(SHORT[:-1].lower())]).matches
    write_matches(tmp_path / "matches.parquet", matches)
    assert read_matches(tmp_path / "matches.parquet").equals(matches.drop_columns(["sample"]))
    write_matches(tmp_path / "none.parquet", matches.slice(0, 0))
    assert read_matches(tmp_path / "none.parquet").num_rows == 0


def test_a_truncated_matches_file_is_one_clear_line(tmp_path):
    (tmp_path / "matches.parquet").write_bytes(b"PAR1")
    with pytest.raises(AuditError, match=r"matches\.parquet: cannot read: "):
        read_matches(tmp_path / "matches.parquet")


def test_hostile_text_is_matched_like_any_other(check):
    text = f"\x00\x1b[31m\u202e</script>{{{{7*7}}}}\n::error::{embed(BELL)}\x00"
    match = one(check([text]))
    assert text[match["sample_start"] : match["sample_end"]] == BELL[:-1]


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (embed(BELL), (False, "words")),
        (embed(BELL.replace("412", "77").replace("nine", "8")), (True, "words")),
    ],
)
def test_a_match_says_by_what_it_was_found(check, text, flags):
    match = one(check([text]))
    assert (match["near_variant"], match["view"]) == flags


def test_matches_tell_near_variants_and_programs_apart(tmp_path, check):
    numbered = BELL.replace("nine", "9")
    code = (
        "def ladder_weight(rungs, rails, nails):\n    total = 0\n    for rung in rungs:\n        if rung.height > rails[0]:\n"
        "            total += rung.weight * nails - rails[-1]\n        else:\n            total -= rung.width // (nails + 1)\n"
        "    return total / max(1, len(rungs) - nails)\n"
    )
    items = [{"item_id": "twin", "question": numbered}, {"item_id": "code", "question": code, "answer": ""}]
    against = build_index([write_benchmark(tmp_path / "both.jsonl", items)])
    renamed = code
    for old, new in (("rungs", "steps"), ("total", "acc"), ("rails", "side"), ("nails", "pins")):
        renamed = renamed.replace(old, new)
    found = check([numbered.replace("412", "77").replace("9", "4"), renamed], against).matches.to_pylist()
    told = [(m["item_id"], m["tier"], m["near_variant"], m["view"]) for m in found]
    assert told == [("twin", "source_overlap", True, "words"), ("code", "confirmed", False, "program")]
    assert not {"excerpt", "text"} & set(MATCH_SCHEMA.names)


def clean_of(found, benchmarks):
    rows = clean_table(benchmarks, found).to_pylist()
    return {(row["benchmark"], row["item_id"]): row["tier"] for row in rows}


def test_every_item_of_every_benchmark_is_listed_with_its_tier(check, index, tmp_path):
    other = write_benchmark(
        tmp_path / "other.jsonl", [{"item_id": "b", "question": BELL}, {"item_id": "c", "question": "Why?"}]
    )
    first = write_benchmark(tmp_path / "quiz.jsonl", ITEMS)
    found = check([embed(BELL), embed(PASSAGE), PLAIN], build_index([first, other]))
    tiers = clean_of(found, [first, other])
    assert len(tiers) == len(ITEMS) + 2
    told = {key: tier for key, tier in tiers.items() if tier}
    assert told == {
        ("quiz", "bell"): "confirmed",
        ("quiz", "keeper"): "suspected",
        ("quiz", "plain"): "suspected",
        ("other", "b"): "confirmed",
    }
    assert [result.clean_items for result in found.benchmarks] == [len(ITEMS) - 3, 1]
    write_clean(tmp_path / "clean_items.parquet", [first, other], found)
    assert pq.read_table(tmp_path / "clean_items.parquet").schema == CLEAN_SCHEMA
    assert not list(tmp_path.glob(".*.tmp"))


def test_items_that_share_what_was_found_are_not_called_clean(check, tmp_path):
    passage = {"question": "What did the keeper see?", "passage": PASSAGE, "answer": "lamps"}
    items = [*ITEMS, {"item_id": "again", "question": BELL.upper(), "answer": "46"}, {"item_id": "lamps", **passage}]
    benchmark = write_benchmark(tmp_path / "quiz.jsonl", items)
    found = check([embed(BELL), embed(PASSAGE)], build_index([benchmark]))
    tiers = clean_of(found, [benchmark])
    assert tiers["quiz", "bell"] == tiers["quiz", "again"] == "confirmed"
    assert tiers["quiz", "keeper"] == tiers["quiz", "lamps"] == "source_overlap"
    assert found.benchmarks[0].confirmed_items == 1  # one question, found once


def test_an_item_that_its_options_name_leaves_those_with_other_options_clean(check, index, tmp_path):
    benchmark = write_benchmark(tmp_path / "quiz.jsonl", ITEMS)
    tiers = clean_of(check([embed(listed(ITEMS[-4]))], build_index([benchmark])), [benchmark])
    assert {item_id for (_, item_id), tier in tiers.items() if tier} == {ITEMS[-4]["item_id"]}


def test_options_that_differ_in_what_they_all_share_name_the_right_item(tmp_path):
    items = [
        {"question": TEMPLATE, "choices": [f"the {k} sailors of that crew {verb} there" for verb in ("rest", "sing")]}
        for k in range(30)
    ]
    index = build_index([write_benchmark(tmp_path / "crews.jsonl", items)])
    found = [find_matches([embed(listed(item))], index) for item in items]
    assert [[match.item for match in matches] for matches in found] == [[k] for k in range(30)]


@needs_data
def test_public_benchmarks_are_found_verbatim_and_embedded(tmp_path):
    benchmarks = [read_benchmark(DATA / "benchmarks" / f"{name}.parquet") for name in ("gsm8k_test", "mmlu_test")]
    index = build_index(benchmarks)
    rng = random.Random(5)
    for benchmark, verbatim, embedded in zip(benchmarks, (0.99, 0.95), (0.99, 0.93), strict=True):
        questions = rng.sample(benchmark.items["question"].to_pylist(), 300)
        for make, least in ((str, verbatim), (lambda q: embed(q, 150, 150), embedded)):
            matches = find_matches([make(question) for question in questions], index)
            assert len({m.row for m in matches if m.tier == CONFIRMED}) >= least * len(questions)


@needs_data
def test_training_questions_are_not_taken_for_test_questions(tmp_path):
    index = build_index([read_benchmark(DATA / "benchmarks" / "gsm8k_test.parquet")])
    found = contaminated(DATA / "corpora" / "gsm8k_train.parquet", index)
    assert not found.is_tier("confirmed").any()
    assert found.is_tier("suspected").sum() <= 0.002 * len(found.tier)  # of the same kind of task, by rare words
    assert found.benchmarks[0].detectable_items == 1319


@needs_data
def test_a_sample_of_all_benchmarks_behind_one_another_shows_nearly_every_item():
    """Over a megabyte in one row."""
    benchmarks = [read_benchmark(DATA / "benchmarks" / f"{name}.parquet") for name in ("gsm8k_test", "mmlu_test")]
    questions = [question for benchmark in benchmarks for question in benchmark.items["question"].to_pylist()]
    index = build_index(benchmarks)
    found = find_matches(["\n\n".join(questions[::4])], index)
    assert len({match.group for match in found}) >= 0.9 * len(
        {index.question_of(k) for k in range(0, len(questions), 4)}
    )


MANY_ITEMS = """
import random, re, sys
from pathlib import Path
from carto_audit.benchmarks.items import read_benchmark
from carto_audit.contamination.matching import find_matches
from carto_audit.benchmarks.index import build_index

index = build_index([read_benchmark(Path(sys.argv[1]))])
items = random.Random(1).sample(range(len(index.item_benchmark)), 200)
texts = ["lead in " * 50 + index.item_text(k, index.question_of(k)) + " lead out" * 50 for k in items]
named = {match.row for match in find_matches(texts, index) if match.item == items[match.row]}
peak = re.search("VmHWM: *\\t* *([0-9]+)", Path("/proc/self/status").read_text())[1]  # rusage begins with the parent's
print(len(index.item_benchmark), len(named), int(peak) // 1024)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory in /proc")
def test_a_benchmark_of_100_000_items_is_indexed_and_found_in_2_gb(tmp_path):
    rng = random.Random(6)
    names = [f"w{rng.randrange(30_000)}" for _ in range(40_000)]
    questions = [" ".join(rng.choices(names, k=10)) for _ in range(100_000)]
    path = tmp_path / "many.jsonl"
    path.write_text("\n".join(json.dumps({"question": question}) for question in questions))
    ran = subprocess.run([sys.executable, "-c", MANY_ITEMS, str(path)], capture_output=True, text=True, check=True)
    items, named, megabytes = map(int, ran.stdout.split())
    assert (items, named) == (100_000, 200)
    assert megabytes < 2048
