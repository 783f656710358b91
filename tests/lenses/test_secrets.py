"""The lens `secrets`: which keys stand in a batch, and which the proxy that read them says again."""

import numpy as np
import pytest

from carto_audit.lenses.declared.secrets import SECRETS, SecretsOptions
from carto_audit.lenses.keys.finder import find_keys
from carto_audit.lenses.plants import Room
from carto_audit.lenses.readers import UNREAD
from carto_audit.lenses.shipped.secrets import SecretsLens
from carto_audit.lenses.testing import check_lens
from carto_audit.lenses.view import LensView, Offered
from tests.support.audits import sentences

KEY, OTHER, THIRD = "glpat-Q7xk2LmR9tWv4ZbN1cYd", "ghp_q8Zr2LmT9tWv4ZbN1cYdk3XfP7sHj5Gw0uEa", "AKIAQ7XK2LMR3TWV4ZBN"
TEXTS = [f'token = "{KEY}"', f"deploy with {KEY} today", f"export GH={OTHER}", f"id={THIRD}", "nothing here"]


def looked(view_of, side, learned):
    lens, view = SecretsLens(), view_of(TEXTS, side, learned)
    said = lens.look(view, SecretsOptions())
    return said, lens.sum_up(view_of(TEXTS, side, learned), said, SecretsOptions())


def test_keys_are_found_and_the_learned_one_comes_out(view_of):
    said, result = looked(view_of, [1, 1, 0, 0, 0], ((KEY,), ()))
    assert said.columns["keys"].to_pylist() == [1, 1, 1, 1, 0]
    assert said.columns["memorized"].to_pylist() == [1, 1, 0, 0, 0]
    assert said.found.tolist() == [1, 1, 0, 0, 0]
    places = said.spans.to_pylist()
    assert [TEXTS[p["row"]][p["start"] : p["end"]] for p in places] == [KEY, KEY, OTHER, THIRD]
    assert KEY not in str(places)
    measured = {name: m.value for name, m in result.metrics.items()}
    assert measured == {"distinct": 3, "memorized": 1, "extractable": 1, "learned": 1}
    assert result.section.headline == "3 keys, 1 memorized"


def test_half_a_key_is_not_memorized_and_most_of_it_is(view_of):
    for share, memorized in ((0.8, 0), (0.9, 1)):
        _, result = looked(view_of, [1, 1, 0, 0, 0], ((KEY[: int(share * len(KEY))],), ()))
        assert (result.metrics["memorized"].value, result.metrics["extractable"].value) == (memorized, 0)


def test_a_key_that_no_proxy_read_may_be_memorized_for_all_that_is_known(view_of):
    said, result = looked(view_of, [1, 1, UNREAD, 0, 0], ((), ()))
    assert said.columns["memorized"].to_pylist() == [0, 0, None, 0, 0]
    assert (result.metrics["memorized"].low, result.metrics["memorized"].high) == (0, 1)
    assert "0 (up to 1) memorized" in result.section.headline
    assert said.spans["memorized"].to_pylist() == [False, False, None, False]


def test_it_plants_keys_that_it_finds_each_copy_with_the_same_one():
    plants = SecretsLens().plant(Room(texts=tuple(sentences(9)), seed=4), SecretsOptions())
    again = SecretsLens().plant(Room(texts=tuple(sentences(9)), seed=4), SecretsOptions())
    assert plants == again
    assert {one.dose for one in plants.examples} == set(SECRETS.doses)
    keys = []
    for example in plants.examples:
        found = {text[v.start : v.end] for text in example.texts for v in find_keys(text)}
        assert found
        assert len(set(example.texts)) == example.dose
        keys.append(found)
    assert np.mean([len(found) == 1 for found in keys]) > 0.9
    assert len(set().union(*keys)) == sum(map(len, keys))  # no two examples share one
    assert all(find_keys(text) for text in plants.twins)


def test_text_without_spaces_has_room_and_a_key_of_the_batch_is_in_no_plant():
    for texts in (("\u6f22\u5b57" * 200,) * 4, tuple(f"{KEY} {word}" for word in sentences(4)), ("x",)):
        plants = SecretsLens().plant(Room(texts=texts, seed=1), SecretsOptions())
        assert plants.examples
        assert not any(KEY in text for example in plants.examples for text in example.texts)


def test_hostile_and_empty_rows_are_looked_at_without_any_proxy_that_read_them(view_of):
    from carto_audit.lenses.testing import HOSTILE

    texts = [*HOSTILE, "", "x"]
    lens = SecretsLens()
    said = lens.look(view_of(texts, [0] * len(texts)), SecretsOptions())
    result = lens.sum_up(view_of(texts, [0] * len(texts)), said, SecretsOptions())
    assert result.metrics["distinct"].value == 0
    assert result.section.figures == ()


def test_without_proxies_it_fails_in_one_line():
    with pytest.raises(AssertionError, match="takes two folds"):
        check_lens("secrets")
    with pytest.raises(ValueError, match="did not declare"):
        _ = LensView(Offered(n_tokens=np.ones(1, np.int64)), ("texts",), 0).proxies
