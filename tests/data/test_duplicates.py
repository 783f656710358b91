import random
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.data import batch as batch_module
from carto_audit.data.batch import read_batch
from carto_audit.data.duplicates import JACCARD_THRESHOLD, SHINGLE, copy_counts, find_duplicates
from carto_audit.engines.engine import Engine
from carto_audit.runtime.errors import AuditError


@pytest.fixture
def duplicates_of(tmp_path):
    def find(texts):
        path = tmp_path / "batch.parquet"
        pq.write_table(pa.table({"text": texts}), path)
        return find_duplicates(read_batch([path]), tmp_path / "scratch")

    return find


def prose(rng, words):
    return [f"w{rng.randrange(50_000)}" for _ in range(words)]


def jaccard(a, b):
    one, other = ({tuple(t[k : k + SHINGLE]) for k in range(len(t) - SHINGLE + 1)} for t in (a, b))
    return len(one & other) / len(one | other)


def test_exact_copies_form_a_cluster_led_by_the_first(duplicates_of):
    found = duplicates_of(["alpha beta gamma delta", "other words stand here", "alpha beta gamma delta"] * 2)
    assert found.cluster_id.tolist() == [0, 1, 0, 0, 1, 0]
    assert found.cluster_size.tolist() == [4, 2, 4, 4, 2, 4]
    assert found.copies.tolist() == [4, 2, 4, 4, 2, 4]
    assert found.exact.tolist() == [False, False, True, True, True, True]
    assert not found.near.any()


def test_near_copies_with_five_percent_other_words_are_found(duplicates_of):
    rng = random.Random(1)
    originals = [prose(rng, 400) for _ in range(300)]
    copies = [[rng.choice("xyz") + word if rng.random() < 0.05 else word for word in text] for text in originals]
    found = duplicates_of([" ".join(text) for text in originals + copies])
    truly_near = np.array([jaccard(a, b) >= JACCARD_THRESHOLD for a, b in zip(originals, copies, strict=True)])
    assert truly_near.mean() > 0.8
    assert not found.near[:300].any()
    np.testing.assert_array_equal(found.near[300:], truly_near)
    np.testing.assert_array_equal(found.cluster_id[300:][truly_near], np.flatnonzero(truly_near))


def test_only_verified_pairs_are_joined(duplicates_of):
    rng = random.Random(2)
    template = prose(rng, 60)
    texts = [template[:30] + prose(rng, 60) for _ in range(500)]  # Jaccard near 0.19: many meet in some band
    found = duplicates_of([" ".join(text) for text in texts])
    assert (found.cluster_size == 1).all()


def test_a_templated_batch_is_compared_in_seconds_and_its_real_copies_are_found(duplicates_of):
    rng = random.Random(6)
    template = prose(rng, 50)
    texts = [template + prose(rng, 15) for _ in range(5000)]  # Jaccard 0.62 for every pair
    texts += [text[:-1] + ["other"] for text in texts[:50]]
    found = duplicates_of([" ".join(text) for text in texts])
    assert not found.near[:5000].any()
    np.testing.assert_array_equal(found.cluster_id[5000:], np.arange(50))


def test_a_chain_of_near_copies_is_one_cluster(duplicates_of):
    rng = random.Random(3)
    words = prose(rng, 200)
    chain = [words]
    for k in range(12):
        words = words.copy()
        words[k * 16 : k * 16 + 12] = prose(rng, 12)
        chain.append(words)
    assert jaccard(chain[0], chain[1]) > 0.85
    assert jaccard(chain[0], chain[-1]) < 0.3
    found = duplicates_of([" ".join(text) for text in chain])
    assert (found.cluster_id == 0).all()
    assert found.near.tolist() == [False] + [True] * 12


def test_case_and_punctuation_make_a_near_copy_not_an_exact_one(duplicates_of):
    found = duplicates_of(["The quick brown fox jumps.", "the QUICK brown fox jumps"])
    assert found.exact.tolist() == [False, False]
    assert found.copies.tolist() == [1, 1]
    assert found.cluster_size.tolist() == [2, 2]
    assert found.near.tolist() == [False, True]


def test_fifty_thousand_identical_rows_are_one_cluster(duplicates_of):
    found = duplicates_of(["the same licence header again and again, word for word"] * 50_000)
    assert (found.cluster_id == 0).all()
    assert (found.cluster_size == 50_000).all()
    assert int(found.exact.sum()) == 49_999


def test_twenty_thousand_nearly_identical_rows_are_one_cluster(duplicates_of):
    body = " ".join(prose(random.Random(4), 60))
    found = duplicates_of([f"{body} row number {k}" for k in range(20_000)])
    assert (found.cluster_id == 0).all()
    assert int(found.near.sum()) == 19_999
    assert not found.exact.any()


def test_texts_shorter_than_a_shingle_are_copies_where_their_words_are_the_same(duplicates_of):
    others = ["2  X", "x 2", "2", "2.", "2 x y", "🙂", "🙃"]
    found = duplicates_of([f"{k % 3} x" for k in range(3000)] + others)
    assert found.cluster_id[:6].tolist() == [0, 1, 2, 0, 1, 2]
    assert found.cluster_id[3000:].tolist() == [2, 3001, 3002, 3002, 3004, 3005, 3006]
    assert found.near[[3000, 3003]].all()
    assert not found.exact[3000:].any()


def test_texts_without_spaces_between_words_are_compared_by_character(duplicates_of):
    text = "明治時代の文学者夏目漱石は東京に生まれ英語教師を経て作家となり多くの小説を発表した"
    found = duplicates_of([text, text.replace("英語", "国語"), "春はあけぼのやうやう白くなりゆく山ぎは少しあかりて"])
    assert found.cluster_id.tolist() == [0, 0, 2]
    assert found.near.tolist() == [False, True, False]


def test_one_very_long_sample_is_compared_like_any_other(duplicates_of):
    long = " ".join(prose(random.Random(5), 500_000))
    found = duplicates_of([long, "short text of five words", long + " and a new end"])
    assert found.cluster_id.tolist() == [0, 1, 0]
    assert found.near.tolist() == [False, False, True]


def test_the_result_does_not_depend_on_earlier_runs_and_leaves_no_files(duplicates_of, tmp_path):
    texts = [" ".join(prose(random.Random(k % 7), 20)) for k in range(50)]
    first, second = duplicates_of(texts), duplicates_of(texts)
    np.testing.assert_array_equal(first.cluster_id, second.cluster_id)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    path = tmp_path / "batch.parquet"
    pq.write_table(pa.table({"text": ["some words stand here"]}), path)
    with pytest.raises(AuditError, match=r"batch\.parquet/scratch: cannot write: Not a directory$"):
        find_duplicates(read_batch([path]), path / "scratch")


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from(["a b c d", "a b c e", "A b c d", "x", "中文中文", "p q r s t u", "p q r s t u v"])),
    st.integers(1, 9),
)
def test_clusters_agree_with_all_pairs_comparison_however_the_batch_is_cut(tmp_path_factory, texts, at_once):
    if not texts:
        return
    folder = tmp_path_factory.mktemp("pairs")
    pq.write_table(pa.table({"text": texts}), folder / "batch.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_module, "CHUNK_SAMPLES", at_once)
        found = find_duplicates(read_batch([folder / "batch.parquet"]), folder)
    alike = {frozenset(("a b c d", "A b c d")), frozenset(("p q r s t u", "p q r s t u v"))}
    for i, one in enumerate(texts):
        for j, other in enumerate(texts):
            same = one == other or frozenset((one, other)) in alike
            assert (found.cluster_id[i] == found.cluster_id[j]) == same


POOL = ["a b c d", "a b c e", "A b c d", "x", "p q r s t u", "p q r s t u v", "p q r s t u v"]


@given(st.lists(st.tuples(st.sampled_from(POOL), st.integers(0, 3)), min_size=1, max_size=15))
def test_copies_within_a_group_are_counted_like_a_plain_loop(rows):
    texts, group = [row[0] for row in rows], np.array([row[1] for row in rows])
    alike = {frozenset(("a b c d", "A b c d")), frozenset(("p q r s t u", "p q r s t u v"))}
    exact, near = copy_counts(texts, group)
    for i, (text, g) in enumerate(rows):
        own = [other for other, h in rows if g == h]
        assert exact[i] == sum(other == text for other in own)
        assert near[i] == sum(other == text or frozenset((text, other)) in alike for other in own)


def test_counts_of_copies_need_no_order_and_no_texts():
    exact, near = copy_counts(["b", "a", "b"], np.array([7, 3, 7]))
    assert (exact.tolist(), near.tolist()) == ([2, 1, 2], [2, 1, 2])


def test_a_text_has_the_same_hash_in_every_batch(duplicates_of):
    one, other = duplicates_of(["a text", "another text", "a text"]), duplicates_of(["something else", "a text"])
    assert one.text_hash[0] == one.text_hash[2] == other.text_hash[1]
    assert len({*one.text_hash.tolist(), *other.text_hash.tolist()}) == 3
    assert 0 not in one.text_hash


def test_processes_find_the_same_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_module, "CHUNK_SAMPLES", 7)
    rng = random.Random(0)
    texts = [" ".join(prose(rng, 40)) for _ in range(30)]
    texts += [texts[3], texts[9] + " besides", "", "Yes, indeed", "yes indeed!"]
    path = tmp_path / "batch.parquet"
    pq.write_table(pa.table({"text": texts}), path)
    batch = read_batch([path])
    found = []
    for workers in (1, 2):
        engine = Engine(workers=workers)
        duplicates = find_duplicates(batch, tmp_path / "work", engine=engine)
        found.append([getattr(duplicates, field.name) for field in fields(duplicates)])
        assert engine.tally.workers == workers
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
    assert list((tmp_path / "work").iterdir()) == []
