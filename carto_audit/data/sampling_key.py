"""The sampling key: what decides by chance and no vendor may foresee. It is never printed, only its commitment is."""

import hashlib
import hmac
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.files import atomic_path, open_regular, read_regular, reason
from carto_audit.text.untrusted import safe_inline

KEY_BYTES = 32
"""Of a key that is made at random."""

LEAST_BYTES, MOST_BYTES = 16, 4096
"""Of a key in a file. 128 bits are more than anyone tries out."""

KEY_FILE = "sampling.key"
"""Where in its work folder an audit keeps the random key that it continues with."""

_COMMITMENT, _ENTROPY = b"carto-audit sampling key commitment 1\0", b"carto-audit sampling entropy 1\0"

_WAY_OUT = f"make one with: head -c {KEY_BYTES} /dev/urandom > sampling.key"


@dataclass(frozen=True, slots=True)
class SamplingKey:
    """A secret of the buyer."""

    secret: bytes = field(repr=False)

    @property
    def commitment(self) -> str:
        """What binds the holder to the key and does not tell it: a hex sha256."""
        return hashlib.sha256(_COMMITMENT + self.secret).hexdigest()

    def entropy(self, batch_sha256: str) -> int:
        """256 bits for NumPy's generators, other ones for every batch: HMAC-SHA256 of the batch's digest."""
        return int.from_bytes(hmac.digest(self.secret, _ENTROPY + batch_sha256.encode(), "sha256"))


def read_sampling_key(path: Path) -> SamplingKey:
    """The key that a file is, all of its bytes. Raises UsageError in one line where it cannot be read, or is no key by its
    size."""
    shown = safe_inline(str(path), 160)
    try:
        with open_regular(path, follow=True) as stream:
            secret = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{shown}: cannot read the sampling key: {reason(error)}; {_WAY_OUT}") from error
    if len(secret) < LEAST_BYTES:
        raise UsageError(f"{shown}: too short for a sampling key, which has {LEAST_BYTES} bytes or more; {_WAY_OUT}")
    if len(secret) > MOST_BYTES:
        raise UsageError(f"{shown}: too long for a sampling key, which has {MOST_BYTES:,} bytes or less; {_WAY_OUT}")
    return SamplingKey(secret)


def new_sampling_key() -> SamplingKey:
    """A key that nobody knows."""
    return SamplingKey(secrets.token_bytes(KEY_BYTES))


def keep_sampling_key(folder: Path) -> SamplingKey:
    """The random key of the audit that continues in `folder`, or a new one, which only this user can read. Without its key
    nothing in the folder can be continued, so a new one empties it."""
    path = folder / KEY_FILE
    try:
        secret = read_regular(path, KEY_BYTES)
    except OSError:
        secret = b""
    if len(secret) == KEY_BYTES:
        return SamplingKey(secret)
    shutil.rmtree(folder)
    key = new_sampling_key()
    with atomic_path(path) as temporary:
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_bytes(key.secret)
    return key


def check_key_apart(path: str | None, folder: Path) -> None:
    """Raises UsageError for a key in the folder of the audit, which others will read."""
    if path is not None and Path(path).resolve().is_relative_to(folder.resolve()):
        shown = safe_inline(path, 160)
        raise UsageError(f"{shown}: the sampling key lies in the folder that others will receive; keep it elsewhere")
