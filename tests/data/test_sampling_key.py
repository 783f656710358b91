"""The sampling key: what a file must be to be one, what is kept of a random one, and what it lets others see."""

import hashlib
import os
import stat

import numpy as np
import pytest

from carto_audit.data import sampling_key
from carto_audit.data.sampling_key import (
    KEY_BYTES,
    KEY_FILE,
    LEAST_BYTES,
    MOST_BYTES,
    SamplingKey,
    keep_sampling_key,
    read_sampling_key,
)
from carto_audit.runtime.errors import UsageError

KEY = SamplingKey(b"sixteen or more.")
BATCH, OTHER = "ab" * 32, "cd" * 32


def refusal(path):
    with pytest.raises(UsageError) as caught:
        read_sampling_key(path)
    (line,) = str(caught.value).splitlines()
    return line


def test_a_key_never_shows_itself():
    for shown in (repr(KEY), str(KEY), f"{KEY}", KEY.commitment, hex(KEY.entropy(BATCH))):
        assert "sixteen" not in shown
        assert KEY.secret.hex() not in shown


def test_the_commitment_binds_to_the_key_and_is_no_plain_digest_of_it():
    assert KEY.commitment == SamplingKey(KEY.secret).commitment != SamplingKey(KEY.secret + b"\n").commitment
    assert KEY.commitment != hashlib.sha256(KEY.secret).hexdigest()


def test_entropy_depends_on_key_and_batch_and_feeds_numpy():
    found = {key.entropy(batch) for key in (KEY, SamplingKey(b"y" * 32)) for batch in (BATCH, OTHER)}
    assert len(found) == 4
    assert KEY.entropy(BATCH) == KEY.entropy(BATCH) < 1 << 256
    one, again, other = (np.random.default_rng([e, 1]).random(4).tolist() for e in (*[KEY.entropy(BATCH)] * 2, 0))
    assert one == again != other


@pytest.mark.parametrize("size", [LEAST_BYTES, KEY_BYTES, MOST_BYTES])
def test_all_bytes_of_a_file_are_the_key(tmp_path, size):
    (tmp_path / "key").write_bytes(b"\n" * size)
    assert read_sampling_key(tmp_path / "key").secret == b"\n" * size


def test_a_file_that_is_no_key_is_refused_in_one_line_that_says_the_way_out(tmp_path):
    path = tmp_path / "evil\x1b[31m\n\u202e.key"
    assert "cannot read the sampling key: No such file" in refusal(path)
    path.write_bytes(b"x" * (LEAST_BYTES - 1))
    assert "too short for a sampling key, which has 16 bytes or more" in refusal(path)
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    line = refusal(path)
    assert "too long for a sampling key, which has 4,096 bytes or less" in line
    assert "make one with: head -c 32 /dev/urandom > sampling.key" in line
    assert not {"\x1b", "\u202e"} & set(line)
    assert "cannot read the sampling key" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_a_random_key_is_kept_for_this_user_alone_and_found_again(tmp_path, random_keys):
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
    old = os.umask(0)
    try:
        key = keep_sampling_key(tmp_path / "run")
    finally:
        os.umask(old)
    path = tmp_path / "run" / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == [KEY_FILE]
    assert keep_sampling_key(tmp_path / "run") == key
    assert keep_sampling_key(tmp_path / "other") != key


@pytest.mark.parametrize(
    "left", [b"", b"x" * (KEY_BYTES - 1), b"x" * (KEY_BYTES + 1), None], ids=["empty", "short", "long", "gone"]
)
def test_without_its_key_nothing_is_continued(tmp_path, random_keys, left):
    folder = tmp_path / "run"
    folder.mkdir()
    key = keep_sampling_key(folder)
    (folder / "run-0").mkdir()
    (folder / "run-0" / "proxy-0.pt").write_bytes(b"trained by another draw")
    (folder / KEY_FILE).unlink()
    if left is not None:
        (folder / KEY_FILE).write_bytes(left)
    assert keep_sampling_key(folder) != key
    assert [p.name for p in folder.iterdir()] == [KEY_FILE]


def test_a_key_that_somebody_links_in_is_not_taken(tmp_path, random_keys):
    (tmp_path / "theirs").write_bytes(b"x" * KEY_BYTES)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / KEY_FILE).symlink_to(tmp_path / "theirs")
    assert keep_sampling_key(tmp_path / "run").secret != b"x" * KEY_BYTES
    assert (tmp_path / "theirs").read_bytes() == b"x" * KEY_BYTES


def test_two_random_keys_differ(random_keys):
    one, other = sampling_key.new_sampling_key(), sampling_key.new_sampling_key()
    assert one != other
    assert len(one.secret) == KEY_BYTES
