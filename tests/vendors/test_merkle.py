"""The tree is that of RFC 6962, and nothing but a leaf in its place is included."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.vendors import merkle

LEAVES = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


def by_the_rfc(leaves):
    """The recursion of RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + by_the_rfc(leaves[:k]) + by_the_rfc(leaves[k:])).digest()


def tree(leaves):
    return merkle.levels_of([merkle.leaf_hash(leaf) for leaf in leaves])


@settings(max_examples=40)
@given(LEAVES)
def test_the_root_is_the_one_of_the_rfc(leaves):
    assert merkle.root_of(tree(leaves)) == by_the_rfc(leaves)


def test_the_root_of_nothing_is_the_digest_of_nothing():
    assert merkle.root_of(merkle.levels_of([])).hex() == hashlib.sha256().hexdigest()


@given(LEAVES, st.data())
def test_every_leaf_is_included_in_its_place_and_only_there(leaves, data):
    levels = tree(leaves)
    root, count = merkle.root_of(levels), len(leaves)
    place = data.draw(st.integers(0, count - 1))
    leaf, path = levels[0][place], merkle.inclusion_path(levels, place)
    assert merkle.is_included(root, leaf, place, count, path)
    assert not merkle.is_included(root, merkle.leaf_hash(leaves[place] + b"x"), place, count, path)
    other = data.draw(st.integers(-1, count + 1).filter(lambda n: n != place))
    if not 0 <= other < count or levels[0][other] != leaf:
        assert not merkle.is_included(root, leaf, other, count, path)
    assert not merkle.is_included(root, leaf, place, count, [*path, bytes(32)])
    assert not path or not merkle.is_included(root, leaf, place, count, path[:-1])


@given(LEAVES.filter(lambda leaves: len(leaves) > 1), st.data())
def test_one_changed_leaf_changes_the_root(leaves, data):
    place = data.draw(st.integers(0, len(leaves) - 1))
    changed = [*leaves]
    changed[place] += b"x"
    assert merkle.root_of(tree(changed)) != merkle.root_of(tree(leaves))


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_a_node_does_not_pass_for_a_leaf(count):
    levels = tree([bytes([k]) for k in range(count)])
    pair = levels[0][0] + levels[0][1]
    assert merkle.leaf_hash(pair) != levels[1][0]
    assert merkle.root_of(levels) != merkle.root_of(levels[1:][:1] and merkle.levels_of(levels[0][:1]))
