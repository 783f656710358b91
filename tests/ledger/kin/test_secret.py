import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from carto_audit.ledger.kin.secret import KEY_BYTES, key_path, ledger_key
from carto_audit.runtime.errors import AuditError


def test_a_new_key_is_for_its_owner_alone_and_stays(tmp_path):
    ledger = tmp_path / "team.ledger"
    key = ledger_key(ledger, needed=False)
    path = key_path(ledger)
    assert path.name == "team.ledger.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == KEY_BYTES
    assert ledger_key(ledger, needed=True) == ledger_key(ledger, needed=False) == key
    assert [path.name for path in tmp_path.iterdir()] == ["team.ledger.key"]


def test_audits_that_begin_at_once_share_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: ledger_key(tmp_path / "it", needed=False), range(8)))
    assert len({key.commitment for key in keys}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["it.key"]


def test_where_links_are_not_known_it_is_made_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    key = ledger_key(tmp_path / "it", needed=False)
    assert ledger_key(tmp_path / "it", needed=True) == key


def linked(path):
    (path.parent / "elsewhere").write_bytes(b"x" * KEY_BYTES)
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "the key of the ledger's fingerprints is missing; put it back from a copy"),
        (lambda path: path.write_bytes(b"x"), "not a ledger's key"),
        (lambda path: path.write_bytes(b"x" * 2_000_000), "cannot read the ledger's key"),
        (linked, "cannot read the ledger's key"),
        (os.mkfifo, "cannot read the ledger's key: not a regular file"),
        (lambda path: path.mkdir(), "cannot read the ledger's key"),
    ],
)
def test_a_key_that_is_lost_or_none_is_one_line(tmp_path, make, words):
    path = key_path(tmp_path / "it")
    make(path)
    with pytest.raises(AuditError) as refused:
        ledger_key(tmp_path / "it", needed=True)
    assert str(refused.value).startswith(f"{path}: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
