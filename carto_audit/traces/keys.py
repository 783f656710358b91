"""Keys of samples: what a trace calls a sample, a keyed hash of its tokens, so that no id has to survive a collator."""

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.files import open_regular, reason, writing
from carto_audit.text.untrusted import safe_inline

KEY_BYTES = 32
"""Of a key that is made at random."""

LEAST_BYTES, MOST_BYTES = 16, 4096
"""Of a key in a file. 128 bits are more than anyone tries out."""

PREFIX_LADDER = tuple(length for power in range(5, 18) for length in (1 << power, 3 << (power - 1)))
"""Lengths in tokens at which training usually truncates: powers of two from 32 to 131,072, and half as much again."""

_SAMPLE, _SEAL, _ID = b"carto sample 1", b"carto seal 1", b"carto key id 1"
"""What the key is used for, of 16 bytes at most: no value of one use says anything about another."""

_PROBE = "The quick brown fox, Straße 42: naïve  café, 東京\t0.5 i++\nИ так далее…"
"""What a tokenizer makes of this text tells apart two that share a vocabulary and split text differently."""


@dataclass(frozen=True)
class SampleKeys:
    """The keys of samples under one secret. Who does not hold it can neither find a text in a trace nor forge a part of one.

    Two samples have the same key where their token ids agree, and else by a chance of 2^-64.
    """

    secret: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """The secret's public name, 16 hex digits, which does not tell it."""
        return self._hash(_ID, 8).hexdigest()

    def key(self, ids: ArrayLike) -> np.uint64:
        """The key of one sample's token ids, which are whole numbers from 0 to 2^32 - 1."""
        return np.uint64(self.keys([ids])[0])

    def keys(self, samples: Sequence[ArrayLike]) -> NDArray[np.uint64]:
        """The key of every sample, each a sequence of token ids: (S,)."""
        parts = [np.asarray(ids, "<u4") for ids in samples]
        flat = np.concatenate(parts) if parts else np.zeros(0, "<u4")
        return self.keys_of_runs(flat, np.cumsum([0] + [len(part) for part in parts]))

    def keys_of_runs(self, ids: NDArray[Any], bounds: NDArray[Any]) -> NDArray[np.uint64]:
        """The key of every run `ids[bounds[i]:bounds[i + 1]]` of token ids that lie one after the other: (S,) of (S + 1,)."""
        view = np.ascontiguousarray(ids, "<u4").data.cast("B")
        empty, digests = self._hash(_SAMPLE, 8), []
        ends = (4 * np.asarray(bounds, np.int64)).tolist()
        for first, last in pairwise(ends):
            state = empty.copy()
            state.update(view[first:last])
            digests.append(state.digest())
        return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)

    def prefix_keys(self, ids: ArrayLike, lengths: Sequence[int] = PREFIX_LADDER) -> dict[int, np.uint64]:
        """The key of the first n tokens for each n of `lengths` that is shorter than the sample: what a truncated one is called.
        A trace tells how long its samples were, so any other n can be asked for."""
        tokens = np.asarray(ids)
        shorter = [n for n in lengths if n < len(tokens)]
        return {n: self.key(tokens[:n]) for n in shorter}

    def chunk_keys(self, ids: ArrayLike, size: int) -> NDArray[np.uint64]:
        """The key of every chunk of `size` tokens, the last of which may be shorter: what a sample is called that was split."""
        tokens = np.asarray(ids)
        return self.keys([tokens[first : first + size] for first in range(0, len(tokens), size)])

    def seal(self, context: str, data: bytes) -> str:
        """32 hex digits that only who holds the secret can make for these bytes in this place."""
        state = self._hash(_SEAL, 16)
        state.update(len(context.encode()).to_bytes(8, "little") + context.encode())
        state.update(data)
        return state.hexdigest()

    def _hash(self, purpose: bytes, size: int) -> "hashlib.blake2b":
        secret = self.secret if len(self.secret) <= 64 else hashlib.blake2b(self.secret).digest()
        return hashlib.blake2b(key=secret, person=purpose, digest_size=size)


def in_share(keys: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    """Which samples belong to a share of all, told by their keys alone, so the same ones in every epoch and on every rank."""
    return (keys >> np.uint64(32)) < np.uint64(round(share * (1 << 32)))


def in_token_share(keys: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    """The same for the share whose losses are kept token by token, chosen independently of the other."""
    return (keys & np.uint64(0xFFFFFFFF)) < np.uint64(round(share * (1 << 32)))


def read_sample_keys(path: str | Path) -> SampleKeys:
    """The key that a file is, all of its bytes. Raises UsageError in one line where it cannot be read or is no key."""
    path = Path(path)
    shown = safe_inline(str(path), 160)
    try:
        with open_regular(path, follow=True) as stream:
            secret = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{shown}: cannot read the key of the samples: {reason(error)}") from error
    if not LEAST_BYTES <= len(secret) <= MOST_BYTES:
        raise UsageError(f"{shown}: not a key of samples, which has {LEAST_BYTES} to {MOST_BYTES:,} bytes")
    return SampleKeys(secret)


def keep_sample_keys(path: str | Path) -> SampleKeys:
    """The key in a file, or a new random one put there, which only this user can read. Of several processes that ask at once,
    all get the same. Raises UsageError for a file that is no key, AuditError where none can be written."""
    path = Path(path)
    if not path.exists():
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _put_if_absent(path, secrets.token_bytes(KEY_BYTES))
    return read_sample_keys(path)


def _put_if_absent(path: Path, secret: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secret)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)  # whole at once, and never over another's
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """16 hex digits of what decides a text's token ids: the vocabulary, and how a text of many scripts is split. For any object
    with `get_vocab()` and `encode(text)`, such as those of transformers and tokenizers."""
    encoded = tokenizer.encode(_PROBE)
    facts = [sorted(tokenizer.get_vocab().items()), [int(token) for token in getattr(encoded, "ids", encoded)]]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()
