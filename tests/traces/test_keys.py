import hashlib
import stat
import threading

import numpy as np
import pytest

from carto_audit.runtime.errors import UsageError
from carto_audit.traces.keys import (
    PREFIX_LADDER,
    SampleKeys,
    in_share,
    in_token_share,
    keep_sample_keys,
    read_sample_keys,
    tokenizer_fingerprint,
)

KEYS = SampleKeys(b"a key of samples that nobody has")


def test_a_key_is_the_keyed_hash_of_the_tokens_as_four_bytes_each():
    ids = [5, 70_000, 1]
    hashed = hashlib.blake2b(
        np.array(ids, "<u4").tobytes(), key=KEYS.secret, person=b"carto sample 1", digest_size=8
    ).digest()
    assert KEYS.key(ids) == int.from_bytes(hashed, "little")
    assert KEYS.keys([ids, [], ids]).tolist() == [KEYS.key(ids), KEYS.key([]), KEYS.key(ids)]


def test_keys_depend_on_every_token_their_order_and_the_secret():
    others = ([1, 2], [2, 1], [1], [1, 2, 0], [0, 1, 2])
    assert len({int(KEYS.key(ids)) for ids in others} | {int(SampleKeys(b"y" * 32).key([1, 2]))}) == 6


def test_keys_do_not_depend_on_how_ids_are_stored():
    assert KEYS.key(np.array([3, 4], np.int64)) == KEYS.key(np.array([3, 9, 4], ">u2")[::2]) == KEYS.key((3, 4))


def test_runs_of_one_array_have_the_keys_of_samples():
    samples = [[1, 2, 3], [4], [5, 6]]
    runs = KEYS.keys_of_runs(np.arange(1, 7), np.array([0, 3, 4, 6]))
    assert runs.tolist() == KEYS.keys(samples).tolist()


def test_a_truncated_sample_has_a_prefix_key_and_a_split_one_chunk_keys():
    ids = np.arange(100)
    prefixes = KEYS.prefix_keys(ids)
    assert set(prefixes) == {32, 48, 64, 96} < set(PREFIX_LADDER)
    assert prefixes[48] == KEYS.key(ids[:48])
    assert KEYS.prefix_keys(ids, [99, 100]) == {99: KEYS.key(ids[:99])}
    assert KEYS.chunk_keys(ids, 40).tolist() == [int(KEYS.key(ids[k : k + 40])) for k in (0, 40, 80)]


def test_shares_are_as_large_as_asked_for_and_independent_of_each_other():
    keys = KEYS.keys([[i] for i in range(4000)])
    part, tokens = in_share(keys, 0.25), in_token_share(keys, 0.25)
    assert abs(part.mean() - 0.25) < 0.03
    assert abs((part & tokens).mean() - 0.25**2) < 0.02
    assert in_share(keys, 1.0).all()
    assert not in_token_share(keys, 0.0).any()


def test_a_seal_depends_on_place_content_and_secret():
    seals = {KEYS.seal("a", b"b"), KEYS.seal("ab", b""), KEYS.seal("a", b"c"), SampleKeys(b"y" * 32).seal("a", b"b")}
    assert len(seals) == 4
    assert KEYS.seal("a", b"b") in seals


def test_a_kept_key_is_made_once_and_for_this_user_alone(tmp_path):
    path = tmp_path / "new" / "trace.key"
    keys = keep_sample_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keep_sample_keys(str(path)) == keys == read_sample_keys(path)
    assert len(keys.secret) == 32
    assert keys.secret.hex() not in keys.key_id + repr(keys)
    assert [file.name for file in path.parent.iterdir()] == ["trace.key"]


def test_processes_that_make_a_key_at_once_get_the_same(tmp_path):
    made, start = [], threading.Barrier(8)

    def make():
        start.wait()
        made.append(keep_sample_keys(tmp_path / "trace.key").secret)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


@pytest.mark.parametrize("content", [b"short", b"x" * 4097])
def test_a_file_that_is_no_key_is_refused(tmp_path, content):
    path = tmp_path / "trace.key"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a key of samples, which has 16 to 4,096 bytes"):
        keep_sample_keys(path)


def test_a_key_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"trace\.key: cannot read the key of the samples: No such file"):
        read_sample_keys(tmp_path / "trace.key")


class Words:
    def __init__(self, vocabulary, ids):
        self.vocabulary, self.ids = vocabulary, ids

    def get_vocab(self):
        return self.vocabulary

    def encode(self, text):
        return self.ids


def test_a_tokenizer_is_told_by_its_vocabulary_and_how_it_splits():
    same = [tokenizer_fingerprint(Words({"a": 0, "b": 1}, [0])), tokenizer_fingerprint(Words({"b": 1, "a": 0}, [0]))]
    others = [tokenizer_fingerprint(Words({"a": 1, "b": 0}, [0])), tokenizer_fingerprint(Words({"a": 0, "b": 1}, [1]))]
    assert same[0] == same[1]
    assert len({*same, *others}) == 3
