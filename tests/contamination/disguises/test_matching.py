"""Items in disguise, found through the audit's own function, each told where it was delivered."""

import random
import re

import pytest

from bench.disguises.scripts import QUESTIONS, forms
from carto_audit.benchmarks.index import build_index
from carto_audit.contamination.disguises.honest import DISGUISES
from carto_audit.contamination.disguises.letters import find_letters
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.tiers import CONFIRMED, SOURCE_OVERLAP, SUSPECTED, finder_of
from carto_audit.text.words import find_words
from tests.support.quizzes import quiz

QUESTION = (
    "A bronze bell of 412 kilograms hangs from nine ropes of equal length in the Ottersund chapel; how heavy a load does each "
    "single rope carry when the clockmaker leans on it with 38 kilograms?"
)
OTHERS = (
    "Ottla swam 3 km on four Fridays and 5 km on six Sundays; how far did Ottla of Ottersund swim in those days?",
    "The lighthouse keeper counts 17 barges every evening and 9 ferries every morning; how many ships pass in 12 days?",
)
PASSAGES = (
    "The lighthouse keeper wrote every evening into a grey ledger how many barges had passed, which flags they flew and whether "
    "the fog had lifted before the tide turned; on Sundays he counted the lanterns of the harbour twice.",
    "Two clockmakers of Ottersund quarrelled about a pendulum: one held that brass keeps time in frost, the other that only "
    "seasoned pear wood does, and neither would let the other mend the chapel clock.",
)
GENERIC = (
    "Which one of the following, if true, most weakens the argument?",
    "Which one of the following must be true?",
    "What is the main point of the passage?",
)
BEFORE, BEHIND = (
    "Some pages were read aloud in the evening before the ferry came.",
    "Others were folded and put away again.",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    items = [{"item_id": str(k), "question": question, "answer": "1"} for k, question in enumerate((QUESTION, *OTHERS))]
    return build_index([quiz(tmp_path_factory.mktemp("bell") / "bell.jsonl", items)])


@pytest.fixture(scope="module")
def exam(tmp_path_factory):
    """Three generic questions about the first passage, one about the second."""
    pairs = [(PASSAGES[0], question) for question in GENERIC] + [(PASSAGES[1], GENERIC[1])]
    items = [{"item_id": str(k), "passage": p, "question": q, "answer": "B"} for k, (p, q) in enumerate(pairs)]
    return build_index([quiz(tmp_path_factory.mktemp("exam") / "exam.jsonl", items)])


def framed(text):
    return f"{BEFORE} {text} {BEHIND}"


def surest(text, index, item=0):
    return max((match for match in find_matches([text], index) if match.item == item), key=lambda m: m.tier)


@pytest.mark.parametrize("name", DISGUISES)
def test_an_honest_disguise_hides_nothing_and_the_span_is_that_of_the_delivered_text(index, name):
    disguised = DISGUISES[name](QUESTION)
    text = framed(disguised)
    match = surest(text, index)
    assert match.tier == CONFIRMED
    start, end = match.sample_span
    assert "Some pages" not in text[start:end]
    assert "put away" not in text[start:end]
    assert len(text[start:end].strip()) > 0.8 * len(disguised.strip())
    assert match.view != "words"
    assert "; found after " in match.reason


def test_the_passage_is_quoted_as_it_was_delivered(index):
    text = framed(" ".join(f"<b>{word}</b>" for word in QUESTION.split()))
    match = surest(text, index)
    assert match.view == "tags"
    assert match.reason.endswith("found after removing HTML or XML tags")
    assert text[slice(*match.sample_span)].startswith("A</b> <b>bronze")


WORDS = QUESTION.split()
TRICKS = {
    "no spaces": QUESTION.replace(" ", ""),
    "letter by letter": " ".join(QUESTION.replace(" ", "")),
    "groups of five": " ".join(QUESTION.replace(" ", "")[k : k + 5] for k in range(0, len(QUESTION), 5)),
    "camel case": "".join(word[:1].upper() + word[1:] for word in WORDS),
    "a sign in every word": " ".join(f"{word[:1]}€{word[1:]}" for word in WORDS),
    "backwards, word by word": " ".join(WORDS[::-1]),
    "pairs swapped": " ".join(word for k in range(0, len(WORDS), 2) for word in WORDS[k : k + 2][::-1]),
    "filler": " ".join(f"{word} harbour" for word in WORDS),
    "every fourth word replaced": " ".join(
        "harbour" if k % 4 == 3 and not w[0].isdigit() else w for k, w in enumerate(WORDS)
    ),
    "typos": " ".join(w[0] + w[2] + w[1] + w[3:] if len(w) > 3 and w.isalpha() else w for w in WORDS),
    "plurals": " ".join(w + "s" if w.isalpha() and len(w) > 3 else w for w in WORDS),
    "halves apart": " ".join([*WORDS[:15], *(BEHIND.split() * 9), *WORDS[15:]]),
    "spelled numbers": QUESTION.replace("412", "four hundred and twelve").replace("38", "thirty-eight"),
}


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_hides_no_item(index, name):
    match = surest(framed(TRICKS[name]), index)
    assert match.tier >= SUSPECTED
    assert not match.near_variant


def test_letters_lead_to_an_item_only_where_its_words_are_hidden(index):
    plain, joined, half = (
        framed(QUESTION),
        framed(TRICKS["no spaces"]),
        framed(" ".join(["".join(WORDS[:15]), *WORDS[15:]])),
    )
    assert [found.text for found in find_letters(find_words([plain, joined, half]), index)] == [1, 2]


def test_options_behind_a_confirmed_item_are_read_once(index):
    options = "\nA. nine of them\nB. ten of them\nC. all of them\nD. none"
    found = find_matches([framed(f"{QUESTION}{options}")], index)
    assert [(match.tier, match.view) for match in found] == [(CONFIRMED, "words")]


def test_a_second_item_in_disguise_is_found_beside_a_confirmed_one(index):
    disguised = DISGUISES["line_numbers"](OTHERS[1])
    found = find_matches([f"{QUESTION}\n{disguised}\n{BEHIND}"], index)
    assert sorted((match.item, match.tier >= SUSPECTED) for match in found) == [(0, True), (2, True)]


def test_rare_words_propose_and_never_confirm(index):
    match = surest(framed(TRICKS["backwards, word by word"]), index)
    assert (match.tier, finder_of(match.view)) == (SUSPECTED, "order-free")
    assert match.reason.endswith("out of order or diluted")


@pytest.mark.parametrize(("gap", "found"), [(40, True), (150, True), (2000, False)])
def test_four_words_of_an_item_at_a_time_are_proposed_up_to_a_far_window(index, gap, found):
    words, filler = QUESTION.split(), iter(f"w{number}ord" for number in range(10**6))
    parts = [[*words[k : k + 4], *(next(filler) for _ in range(gap))] for k in range(0, len(words), 4)]
    matches = find_matches([" ".join(word for part in parts for word in part)], index)
    assert [(match.item, match.tier, finder_of(match.view)) for match in matches] == [
        (0, SUSPECTED, "order-free")
    ] * found


def test_four_words_at_a_time_in_another_order_are_not_its_pieces(index):
    words, filler = QUESTION.split(), iter(f"w{number}ord" for number in range(10**6))
    parts = [[*words[k : k + 4], *(next(filler) for _ in range(40))] for k in range(0, len(words), 4)][::-1]
    assert find_matches([" ".join(word for part in parts for word in part)], index) == []


def test_text_about_the_same_things_is_no_item(index):
    text = (
        "The chapel of Ottersund has a bronze bell, and on Sundays its clockmaker counts barges with the lighthouse keeper; each "
        "evening they talk of ropes and of the tide, and nobody has ever weighed the bell."
    )
    assert find_matches([framed(text)], index) == []


@pytest.mark.parametrize("change", [{"412": "530", "38": "61"}, {"412": "530", "38": "61", "Ottersund": "Maribor"}])
def test_other_numbers_and_names_make_a_near_variant(index, change):
    text = QUESTION
    for own, other in change.items():
        text = text.replace(own, other)
    match = surest(framed(text), index)
    assert (match.tier, match.near_variant) == (SOURCE_OVERLAP, True)


GLUED = {
    "no spaces": "".join,
    "groups of five": lambda words: " ".join("".join(words)[k : k + 5] for k in range(0, len("".join(words)), 5)),
    "numbers alone": lambda words: re.sub(r" (?=[0-9])|(?<=[0-9]) ", "", " ".join(words)),
    "numbers, and digits in every word": lambda words: " ".join(
        f"{w[:1]}{k % 10}{w[1:]}" for k, w in enumerate(re.sub(r" (?=[0-9])|(?<=[0-9]) ", "", " ".join(words)).split())
    ),
}


@pytest.mark.parametrize("name", GLUED)
def test_other_numbers_are_told_where_they_stand_glued_to_letters(index, name):
    words = QUESTION.replace("412", "530").replace("38", "61").split()
    found = [m for m in find_matches([framed(GLUED[name](words))], index) if m.item == 0]
    assert all(m.tier <= SOURCE_OVERLAP and m.near_variant for m in found), found


def test_digits_inside_words_hide_no_item(index):
    words = [w if w.isdigit() else f"{w}{k % 10}" for k, w in enumerate(WORDS)]
    assert surest(framed(" ".join(words)), index).tier == CONFIRMED


@pytest.mark.parametrize(
    "order", ["{passage}\n{question}", "{question}\n{passage}", "{passage}\n\nQuestion: {question}\n(A) yes"]
)
def test_a_passage_with_its_question_beside_it_is_its_item(exam, order):
    for item, (passage, question) in enumerate([(PASSAGES[0], q) for q in GENERIC] + [(PASSAGES[1], GENERIC[1])]):
        found = find_matches([framed(order.format(passage=passage, question=question))], exam)
        assert [(m.item, m.tier, m.view) for m in found if m.tier >= SUSPECTED] == [(item, CONFIRMED, "passage")]


def test_a_passage_alone_is_suspected_where_it_names_its_item_and_lists_all_where_it_does_not(exam):
    (shared,) = find_matches([framed(PASSAGES[0])], exam)
    assert (shared.tier, shared.reason) == (SOURCE_OVERLAP, "a passage is here that 3 items share: 0, 1, 2")
    (alone,) = find_matches([framed(PASSAGES[1])], exam)
    assert (alone.item, alone.tier) == (3, SUSPECTED)


def test_questions_that_cannot_be_told_apart_are_all_named(tmp_path):
    items = [{"item_id": str(k), "passage": PASSAGES[0], "question": GENERIC[0], "answer": "AB"[k]} for k in range(2)]
    twins = build_index([quiz(tmp_path / "twins.jsonl", items)])
    found = find_matches([framed(f"{PASSAGES[0]}\n{GENERIC[0]}")], twins)
    assert sorted(m.item for m in found if m.tier == CONFIRMED) == [0, 1]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    items = [{"question": question, "answer": "42"} for questions in QUESTIONS.values() for question in questions]
    return build_index([quiz(tmp_path_factory.mktemp("scripts") / "scripts.jsonl", items)])


@pytest.mark.parametrize("script", QUESTIONS)
def test_every_script_is_read_in_every_form(scripts, script):
    start = list(QUESTIONS).index(script) * len(QUESTIONS[script])
    rng = random.Random(1)
    for form, spelled in forms(script, rng).items():
        repeats = 5 if form == "near copy" else 1
        texts = [spelled(question) for question in QUESTIONS[script] for _ in range(repeats)]
        found = {
            m.row for m in find_matches(texts, scripts) if m.tier >= SUSPECTED and m.item == start + m.row // repeats
        }
        assert len(found) >= (0.9 if form == "near copy" else 1.0) * len(texts), form


def test_a_list_of_numbers_is_no_item_of_numbers(tmp_path):
    question = "What is the ones digit of 11 times 22 times 33 times 44 times 55 times 66 times 77 times 88?"
    against = build_index([quiz(tmp_path / "ones.jsonl", [{"item_id": "1", "question": question, "answer": "0"}])])
    assert find_matches([framed(" ".join(str(11 * k) for k in range(1, 30)))], against) == []


def test_frequent_words_of_other_ciphers_do_not_hide_the_one_that_counts(index):
    def shifted(text, by):
        return "".join(chr((ord(c) - 97 + by) % 26 + 97) if "a" <= c <= "z" else c for c in text.lower())

    decoys = " ".join(shifted("the and for how many she her with that each", by) for by in (3, 5, 7, 9, 11))
    assert surest(f"{decoys} {shifted(QUESTION, 13)}", index).tier >= SUSPECTED
