import numpy as np

from carto_audit.benchmarks.surprisal import COMMON, PREDICTED, is_common, surprise
from carto_audit.text.words import hash_words


def nats(texts, k=0):
    words = hash_words(texts)
    added = surprise(words.values, words.offsets, np.zeros(len(words.values), dtype=bool))
    return added[words.offsets[k] : words.offsets[k + 1]]


def test_a_common_word_adds_less_than_a_rare_one_and_the_commonest_none():
    the, child, ottersund = nats(["the child ottersund"])
    assert the == 0.0 < child < ottersund


def test_a_word_that_its_text_has_said_before_adds_nothing():
    assert nats(["ottersund ottersund"]).tolist() == [nats(["ottersund"])[0], 0.0]


def test_the_articles_of_any_language_are_common_where_many_questions_have_them():
    german = [f"der Turm {word}" for word in ("braun", "grau", "weiss", "hoch", "breit", "alt", "neu", "krumm")]
    der, _, rare = nats(german)
    assert der < rare
    assert nats(german[:2])[0] == rare  # two questions are no evidence


def test_an_ideograph_adds_less_than_a_word():
    words = hash_words(["林 ottersund"])
    added = surprise(words.values, words.offsets, np.array([True, False]))
    assert 0 < added[0] <= 6.0 - PREDICTED < added[1]


def test_english_words_are_told_from_others():
    assert is_common(hash_words(["the which because lanterne"]).values).tolist() == [True, True, True, False]
    assert len(set(COMMON)) > 400
