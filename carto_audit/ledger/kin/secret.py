"""The secret of a ledger's fingerprints, in a file of its own beside it: who gets the ledger alone cannot try out texts."""

import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import read_regular, reason, writing
from carto_audit.text.untrusted import safe_inline

KEY_BYTES, _MOST_BYTES = 32, 1 << 20
_COMMITMENT, _SALT = b"carto-audit ledger key 1", b"carto-audit ledger salt 1"


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """A secret of the team that keeps the ledger."""

    secret: bytes = field(repr=False)

    @property
    def commitment(self) -> str:
        """Tells one key from another and does not tell it: 16 hex digits."""
        return hashlib.blake2b(_COMMITMENT, key=self.secret, digest_size=8).hexdigest()

    @property
    def salt(self) -> int:
        """64 bits that decide which passages are picked."""
        return int.from_bytes(hashlib.blake2b(_SALT, key=self.secret, digest_size=8).digest())

    def fingerprint(self, number: bytes) -> int:
        """What is kept of a passage's number: 64 bits with a sign, of keyed BLAKE2b."""
        return int.from_bytes(hashlib.blake2b(number, key=self.secret, digest_size=8).digest(), signed=True)


def key_path(ledger: Path) -> Path:
    """Where the key of a ledger lies: `audits.ledger.key` beside `audits.ledger`."""
    return ledger.with_name(ledger.name + ".key")


def ledger_key(ledger: Path, *, needed: bool) -> LedgerKey:
    """The key of a ledger; a new one is made where there is none, unless it is `needed` for what the ledger holds already.

    Raises AuditError in one line where it is lost, cannot be read or made, or is no key."""
    path = key_path(ledger)
    shown = safe_inline(str(path), 160)
    if not needed and not os.path.lexists(path):
        _make(path)
    try:
        secret = read_regular(path, _MOST_BYTES)
    except FileNotFoundError as error:
        raise AuditError(
            f"{shown}: the key of the ledger's fingerprints is missing; put it back from a copy, or make a new one with "
            f"`head -c {KEY_BYTES} /dev/urandom` and give up comparing with what was entered before"
        ) from error
    except OSError as error:
        raise AuditError(f"{shown}: cannot read the ledger's key: {reason(error)}") from error
    if len(secret) != KEY_BYTES:
        raise AuditError(f"{shown}: not a ledger's key, which has {KEY_BYTES} bytes; put it back from a copy")
    return LedgerKey(secret)


def _make(path: Path) -> None:
    """Writes a new key that only this user can read, whole and never over another one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    with writing(path):
        try:
            temporary.touch(mode=0o600, exist_ok=False)
            temporary.write_bytes(secrets.token_bytes(KEY_BYTES))
            try:
                os.link(temporary, path)
            except FileExistsError:  # another audit made it meanwhile: that one counts
                return
            except OSError:  # a file system without links
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
