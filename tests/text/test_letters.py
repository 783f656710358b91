"""Keys of letters and of loose words do not depend on what else is read with a text."""

import numpy as np

from carto_audit.text.letters import RUN, sample_runs
from carto_audit.text.loose_words import loose_keys
from carto_audit.text.words import find_words

PLAIN = (
    "Janet sells sixteen duck eggs at the farmers market every morning for her friends, 23 of them, and keeps 4.\n" * 3
)
OTHER = "Гончар обжигает двадцать три чашки 4"


def test_a_run_has_the_same_hash_beside_text_outside_ascii():
    alone, beside = sample_runs(find_words([PLAIN])), sample_runs(find_words([PLAIN, OTHER]))
    own = beside.text == 0
    assert 10 < len(alone.values) < len(PLAIN) / 2
    assert (beside.values[own] == alone.values).all()
    assert (beside.place[own] == alone.place).all()
    assert (beside.text == 1).any()


def test_a_run_is_the_same_without_spaces_but_its_word_borders_are_not():
    words, joined = sample_runs(find_words([PLAIN])), sample_runs(find_words([PLAIN.replace(" ", "")]))
    assert (words.values == joined.values).all()
    every = np.arange(len(words.values))
    assert not np.isin(joined.spaced(every), words.spaced(every)).any()
    assert (sample_runs(find_words([PLAIN])).spaced(every) == words.spaced(every)).all()


def test_runs_stay_within_their_texts():
    letters = "".join(filter(str.isalnum, PLAIN))
    runs = sample_runs(find_words([letters[:40], letters[40:100], ""]))
    assert set(runs.text.tolist()) == {0, 1}
    assert (runs.place[runs.text == 0] + RUN <= 40).all()
    assert (runs.place[runs.text == 1] + RUN <= 60).all()


def test_a_loose_key_is_the_same_beside_text_outside_ascii():
    alone, beside = find_words([PLAIN]), find_words([PLAIN, OTHER])
    keys = loose_keys(alone, alone.hashed().values, np.arange(len(alone.starts)))
    assert (loose_keys(beside, beside.hashed().values, np.arange(len(keys))) == keys).all()
    assert len(np.unique(keys)) > 10
