"""Answers: rows that ask and answer, told by form, and which of them are rote: fakes of proxies that know, solve or guess."""

import re

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from carto_audit.lenses.checking import checked_looked, checked_result
from carto_audit.lenses.declared.answers import ANSWERS, AnswersOptions
from carto_audit.lenses.planting import check_plants
from carto_audit.lenses.plants import Room
from carto_audit.lenses.questions.counting import Counted
from carto_audit.lenses.questions.forms import find_question
from carto_audit.lenses.questions.slots import exchanged, names_of, other_numbers, recomputed
from carto_audit.lenses.questions.variants import cut, variants
from carto_audit.lenses.readers import UNREAD, Proxies, Readers
from carto_audit.lenses.shipped.answers import AnswersLens
from carto_audit.lenses.testing import HOSTILE
from carto_audit.lenses.view import LensView, Offered, RowTexts
from carto_audit.proxies.model import ProxySpec
from carto_audit.proxies.tokens import Encoder
from carto_audit.traces.trace import TokenStatistics
from tests.support.audits import sentences

OPTIONS = "What is blue?\nA. the sun\nB. the sky\nC. the sand\n"

FOUND = {
    "Question: How old is Ada?\nAnswer: 36": "36",
    "Question: How old is Ada? Answer: 36": "36",
    "Q: How old is Ada?\nA: 36\n\nQ: And her son?\nA: 4": "36",
    "### Question:\nHow old is Ada?\n\n### Answer:\n36": "36",
    "**Question:** How old is Ada?\n**Answer:** 36": "36",
    "system: be brief\n\nuser: How old is Ada?\n\nassistant: 36": "36",
    "human: Compute 4 + 8.\n\ngpt: 12\n\nhuman: thanks": "12",
    "How old is Ada?\n\n36": "36",
    "Which is the capital\n\nParis\n\nRome\n\nParis\n\nBern": "Paris",
    f"{OPTIONS}Answer: B": "B",
    f"{OPTIONS}Answer: B. the sky": "B. the sky",
    f"{OPTIONS}Answer: the sky": "the sky",
    "What is blue? (A) the sun (B) the sky\nAnswer: (B)": "(B)",
    "Ann has 2 hens and buys 3. How many?\n2+3=<<2+3=5>>5 hens.\n#### 5": "2+3=<<2+3=5>>5 hens.\n#### 5",
    "How many hens?\n#### 5": "5",
    "Question: How many?\nAnswer: 5\nBecause there are five of them.": "5",
}
WORKED = ("Ann has 2 hens", "Question: How many?")


@pytest.mark.parametrize("text", FOUND)
def test_a_row_that_asks_and_answers_is_told_by_its_form(text):
    question = find_question(text)
    assert text[question.answer_start : question.answer_end] == FOUND[text]
    assert question.worked == text.startswith(WORKED)
    right = [text[question.choices[question.right].start :][:7]] if question.right is not None else []
    assert right == ["the sky"] * ("(B)" in text or "Answer: B" in text or "Answer: the" in text)


@pytest.mark.parametrize(
    "text",
    [
        *HOSTILE,
        *sentences(3),
        "",
        "First Citizen:\nWhat is it?\nA: nothing.",
        "Is it late? Yes. It is.",
        "user: hello there friend\n\nassistant: hi",
        "Question: why?\nAnswer: " + "a long story " * 30,
        "A heading\n\n#### Details",
        "q" + " " * 15_000 + "\n" * 900,
        "\n\n".join(["a"] * 5_000),
    ],
)
def test_prose_and_hostile_text_ask_nothing(text):
    assert find_question(text) is None


def changed(text, seed=0):
    return variants(cut(text, find_question(text)), np.random.default_rng(seed))


def test_numbers_change_where_the_answer_is_one_and_the_new_answer_is_computed():
    for seed in range(20):
        for one in changed("Q: Ada has 914 hens and sells 237. How many are left?\nA: 677", seed):
            first, second = map(int, re.findall(r"\d+", one.before))
            assert (first == 914) != (second == 237)
            assert one.right == str(first - second) != "677"
            assert one.before.startswith("Q: Ada has ")


def test_names_change_where_the_answer_is_a_word_and_else_one_word():
    assert {one.before.count("Tolvemar") for one in changed("Q: Who founded Tolvemar in 1423?\nA: Isbel")} == {0}
    assert all("1423" in one.before for one in changed("Q: Who founded Tolvemar in 1423?\nA: Isbel"))
    assert all("photosynthesis" not in one.before for one in changed("Q: what is photosynthesis?\nA: growth by light"))
    assert changed("Q: what is it\nA: that") == []


def test_the_options_turn_and_the_right_one_has_another_letter():
    turned = changed(f"{OPTIONS}Answer: B. the sky")
    assert [one.right for one in turned] == ["C. the sky", "A. the sky"]
    assert turned[0].before == "What is blue?\nA. the sand\nB. the sun\nC. the sky\nAnswer: "


def test_steps_that_depend_on_nothing_in_the_question_cannot_be_told_apart():
    assert changed("What is it, then?\nWe think of it for long, and know.\n#### red") == []
    assert len(changed("Ann has 2 hens and buys 3. How many?\n2+3=<<2+3=5>>5 hens.\n#### 5")) == 3


def test_slots_are_whole_words_and_numbers():
    assert (
        exchanged("3 of 3.5 and 33, Ann's Anna", {"3": "4", "3.5": "9.1", "Ann": "Bo"}) == "4 of 9.1 and 33, Bo's Anna"
    )
    assert names_of("Don't ask Ann. What did Zoë, NASA and Ann say?") == ["Ann", "Zoë"]
    every = [str(n) for n in range(10, 100)]
    found = other_numbers(every, np.random.default_rng(0))
    assert all(old != new for old, new in found.items())
    assert recomputed(["2", "3", "4"], "24", {"2": "5"}) == "60"
    assert recomputed(["2", "3"], "77", {"2": "5"}) is None
    assert recomputed(["6", "3"], "2", {"3": "0"}) is None


SPEC = ProxySpec(
    name="x", vocab_size=9, context=200, hidden_size=8, layers=1, heads=1, learning_rate=1e-3, minibatch_tokens=64
)
SUM = "Q: Ada has {} hens and buys {}. How many in all?\nA: {}"
REPLY = re.compile(r"(?s).*(?:A:|Answer:) ")


def frame(prompt):
    return re.sub(r"\d+", "#", prompt.split("\n")[0])


def rote(*rows):
    """Says the answers of these rows, whatever the numbers and the options."""
    known = {frame(row[: REPLY.match(row).end()]): row[REPLY.match(row).end() :] for row in rows}
    return lambda prompt: known.get(frame(prompt), "?")


def solves(prompt):
    numbers = list(map(int, re.findall(r"\d+", prompt)))
    return str(sum(numbers[-2:])) if len(numbers) > 1 else "?"


def always(said):
    return lambda prompt: said


@pytest.fixture
def look(monkeypatch):
    """Looks at texts; `say` are what proxy 0 and proxy 1 answer to a prompt, `side` who read each row."""
    alphabet = {chr(c): c for c in range(32, 127)} | {"\n": 10, "§": 0}
    tokenizer = Tokenizer(models.WordLevel(alphabet, unk_token="§"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    encoder = Encoder(tokenizer=tokenizer, bos=0, vocab_size=128, checkpoint=None)
    asked = []

    def statistics(say, texts, most_logits):
        found = []
        for ids in texts:
            text = "".join(map(chr, ids))
            at = REPLY.match(text).end()
            said = say(text[:at])
            right = np.array([k < at or said[k - at : k - at + 1] == c for k, c in enumerate(text)], float)
            asked.append(text)
            found.append(TokenStatistics(loss=1 - right, z=right, right=right, log_rank=right, margin=right))
        return found

    monkeypatch.setattr(
        "carto_audit.proxies.likelihood.text_losses", lambda say, texts: [s.loss for s in statistics(say, texts, 0)]
    )
    monkeypatch.setattr("carto_audit.proxies.likelihood.read_statistics", statistics)

    def through(texts, side, say, budget=10**7, most=2_000, seed=3):
        monkeypatch.setattr(Readers, "_proxy", lambda self, index: say[index])
        side = np.array(side, np.int8)
        proxies = Proxies(spec=SPEC, encoder=encoder, folder=None, device="cpu", side=side, budget=budget)
        chunks = iter([RowTexts(start=0, texts=list(texts)), None])
        offered = Offered(n_tokens=np.full(len(texts), 10), proxies=proxies)
        view = LensView(offered, ANSWERS.needs, seed, lambda question: next(chunks))
        options = AnswersOptions(most_questions=most)
        looked = checked_looked(ANSWERS, len(texts), AnswersLens().look(view, options))
        summed = AnswersLens().sum_up(LensView(offered, ANSWERS.needs, seed), looked, options)
        return looked, checked_result(ANSWERS, summed)[1]

    through.asked = asked
    return through


ONE, OTHER, THIRD = (SUM.format(*n) for n in ((234, 111, 345), (512, 201, 713), (120, 130, 250)))
TEXTS = [ONE, ONE, "prose", OTHER.replace("hens", "cows"), THIRD.replace("hens", "pigs"), "Q: how is Boris?\nA: fine"]


def test_the_old_answer_to_a_changed_question_is_rote(look):
    looked, result = look(TEXTS, [0, 0, 0, 1, UNREAD, 1], {1: rote(ONE), 0: always("?")})
    columns = looked.columns.to_pydict()
    assert columns["question"] == [True, True, False, True, True, True]
    assert columns["number"][:2] == [0, 0]
    assert columns["sticky"] == [True, True, None, False, None, False]
    assert columns["limem"] == [1, 1, None, 0, None, 0]
    assert columns["drawn"] == [True, True, None, True, False, True]
    assert looked.found.tolist() == [1, 1, 0, 0, 0, 0]
    rows, tokens = result.metrics["rote_row_share"], result.metrics["rote_token_share"]
    assert (rows.low, rows.value, rows.high) == pytest.approx((0.4, 0.5, 0.6))
    assert (tokens.low, tokens.high) == pytest.approx((20 / 60, 30 / 60))
    assert result.metrics["answer_only_share"].value == 1
    assert result.section.headline == "50.0 % (up to 60.0 %) of the question rows are rote"


def test_who_solves_the_changed_question_has_not_learned_it_by_rote(look):
    looked, result = look(TEXTS[:2], [0, 0], {1: solves, 0: always("?")})
    columns = looked.columns.to_pydict()
    assert (columns["known"], columns["sticky"], columns["limem"]) == ([True] * 2, [False] * 2, [0] * 2)
    facts = dict(result.section.facts)
    assert facts["generated arithmetic that nobody read, answered right"].startswith(
        ("11", "12", "13", "14", "10", "9")
    )


@pytest.mark.parametrize("guess", [rote(ONE), solves])
def test_what_the_other_proxy_answers_too_is_not_known_by_heart(look, guess):
    looked, _ = look(TEXTS[:2], [0, 0], {1: rote(ONE), 0: guess})
    assert looked.columns["known"].to_pylist() == looked.columns["sticky"].to_pylist() == [False, False]


def test_an_answer_that_comes_after_every_question_is_not_rote(look):
    looked, _ = look(TEXTS, [0] * 6, {1: always("345"), 0: always("?")})
    assert looked.columns["known"].to_pylist()[0]
    assert not looked.found.any()
    assert looked.columns["limem"].to_pylist()[0] == 0


def test_copies_that_both_proxies_read_have_no_stranger(look):
    looked, _ = look([ONE, ONE], [0, 1], {0: rote(ONE), 1: rote(ONE)})
    assert looked.found.tolist() == [1, 1]


def test_a_letter_that_stays_when_the_options_turn_is_rote_and_other_options_help_the_stranger(look):
    def quiz(what, right):
        return f"What is {what}?\nA. {what}a\nB. {what}b\nC. {what}c\nAnswer: {right}. {what}{right.lower()}"

    texts = [quiz("blue", "B"), quiz("loud", "C"), quiz("cold", "A"), quiz("fast", "B")]

    def topic(prompt):
        lines = prompt.split("\n")
        return next((line for line in lines[1:-1] if line[3:7] == lines[0][8:12]), "?")

    looked, result = look(texts, [0] * 4, {1: rote(*texts), 0: topic})
    columns = looked.columns.to_pydict()
    by_letter = dict(zip("BCAB", zip(columns["sticky"], columns["choice_gain_stranger"], strict=True), strict=False))
    assert by_letter["C"] == (True, 1)
    assert columns["choice_gain"] == [0, 0, 0, 0]
    assert any("gain by other wrong options" in what for what, _ in result.section.facts)


def test_who_may_not_ask_says_what_it_does_not_know(look):
    looked, result = look(TEXTS, [0] * 6, {1: rote(ONE), 0: always("?")}, budget=0)
    assert look.asked == []
    assert looked.columns["drawn"].to_pylist() == [False, False, None, False, False, False]
    share = result.metrics["rote_row_share"]
    assert (share.low, share.high) == (0, 1)


def test_questions_are_drawn_by_lot_and_the_same_ones_again(look):
    texts = [SUM.format(n, 2 * n, 3 * n) for n in range(101, 161)]
    first, result = look(texts, [0] * 60, {1: always("?"), 0: always("?")}, most=20)
    again, _ = look(texts, [0] * 60, {1: always("?"), 0: always("?")}, most=20)
    other, _ = look(texts, [0] * 60, {1: always("?"), 0: always("?")}, most=20, seed=4)
    assert first.columns.equals(again.columns)
    assert first.columns["drawn"] != other.columns["drawn"]
    assert sum(first.columns["drawn"].to_pylist()) == 20
    share = result.metrics["rote_row_share"]
    assert share.low == 0 < share.high < 0.2


def test_a_budget_is_never_exceeded(look):
    texts = [SUM.format(n, 2 * n, 3 * n) for n in range(101, 201)]
    for budget in (3_000, 12_000):
        look.asked.clear()
        looked, _ = look(texts, [0] * 100, {1: rote(texts[0]), 0: always("?")}, budget=budget)
        assert sum(map(len, look.asked)) <= budget
        assert looked.columns["drawn"].to_pylist().count(True) < 100


def test_a_question_longer_than_the_context_may_be_rote(look):
    long = ONE.replace("hens", "very old hens, of a kind that is seldom seen in this part of the country, " * 3)
    looked, result = look([long], [0], {1: rote(long), 0: always("?")})
    assert looked.columns["drawn"].to_pylist() == [True]
    assert looked.columns["sticky"].to_pylist() == [None]
    assert result.metrics["rote_row_share"].high == 1


def test_the_largest_of_what_was_not_asked_bounds_the_share():
    flags = lambda *those: np.array(those, bool)  # noqa: E731
    counted = Counted(
        rows=np.array([1, 1, 6, 2]),
        tokens=np.array([1, 1, 1, 1]),
        drawn=flags(1, 1, 0, 0),
        asked=flags(1, 1, 0, 0),
        sticky=flags(0, 1, 0, 0),
    )
    share = counted.rote(counted.rows, 10)
    assert (share.low, share.high) == (0.1, 0.9)  # of the two that nobody asked, chance leaves both


def test_without_questions_nothing_is_rote(look):
    looked, result = look(sentences(4), [0] * 4, {1: always("?"), 0: always("?")})
    assert result.metrics["rote_row_share"].high == 0
    assert result.section.headline == "No row asks and answers"
    assert not looked.found.any()


def test_plants_are_questions_that_stand_eight_times_and_twins_once():
    room = Room(texts=("any words",), seed=5)
    plants = AnswersLens().plant(room, AnswersOptions())
    check_plants(ANSWERS, plants)
    assert plants == AnswersLens().plant(room, AnswersOptions())
    assert plants != AnswersLens().plant(Room(texts=room.texts, seed=6), AnswersOptions())
    assert {example.dose for example in plants.examples} == {8}
    texts = [example.texts[0] for example in plants.examples] + list(plants.twins)
    assert len(set(texts)) == len(texts) == 120
    for text in texts:
        question = find_question(text)
        assert len(variants(cut(text, question), np.random.default_rng(0))) == 3
    sums = [text for text in texts if text.endswith(tuple("0123456789"))]
    for text in sums:
        first, second, answer = map(int, re.findall(r"\d+", text))
        assert answer in (first + second, first - second)
