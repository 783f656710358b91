"""The DSSE envelope: a statement and the ed25519 signatures over it. Reading needs only Python, keys need `carto-audit[sign]`."""

import base64
import binascii
import hashlib
import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carto_audit.attestation.statement import first_problem
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import open_regular, reason, write_bytes, writing
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"

_MOST_SIGNATURES = 100
_LONGEST_KEY = 64 << 10
_HOW_TO_MAKE = "make one with carto-audit attest --new-key FILE"


class _Signature(BaseModel):
    model_config = ConfigDict(strict=True)

    keyid: str = Field(default="", max_length=1000)
    sig: str = Field(min_length=1, max_length=4000)


class _Envelope(BaseModel):
    model_config = ConfigDict(strict=True)

    payload: str
    payloadType: str  # noqa: N815 (the name is DSSE's)
    signatures: list[_Signature] = Field(min_length=1, max_length=_MOST_SIGNATURES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What was signed, and by whom it claims to be: a key id is a hint that nothing protects."""

    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]
    """Key id and signature of each signer."""


def parse_envelope(data: bytes, name: str) -> Envelope:
    """The envelope in `data`, the content of the file `name`. Raises AuditError in one line for anything else."""
    try:
        found = _Envelope.model_validate(json.loads(data.decode("utf-8")))
        if found.payloadType != PAYLOAD_TYPE:
            detail = f'its payloadType is "{safe_inline(found.payloadType, 80)}", not "{PAYLOAD_TYPE}"'
            raise AuditError(f"{name}: not the signature of an audit: {detail}")
        signatures = tuple((entry.keyid, _base64(entry.sig)) for entry in found.signatures)
        return Envelope(payload=_base64(found.payload), signatures=signatures)
    except ValidationError as error:
        raise AuditError(f"{name}: not a DSSE envelope: {first_problem(error)}") from error
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{name}: not a DSSE envelope: {safe_inline(str(error), 120)}") from error


def _base64(text: str) -> bytes:
    """Standard or URL-safe base64, either of which DSSE allows."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a value is not base64") from error


def sign(payload: bytes, signer: "CryptoSigner", beside: Sequence[tuple[str, bytes]] = ()) -> dict[str, Any]:
    """The envelope's content: `payload` signed, with the signatures of other keys that it already had."""
    from securesystemslib.dsse import Envelope as Dsse

    envelope = Dsse(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    document: dict[str, Any] = envelope.to_dict()
    kept = [
        {"keyid": keyid, "sig": base64.b64encode(signature).decode()}
        for keyid, signature in beside
        if keyid != signer.public_key.keyid
    ]
    return {**document, "signatures": [*kept, *document["signatures"]]}


def is_signed_by(envelope: Envelope, key: "SSlibKey") -> bool:
    """Whether any of the signatures was made with this key, whatever key ids they carry."""
    from securesystemslib.dsse import Envelope as Dsse
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import Signature

    signed = Dsse(envelope.payload, PAYLOAD_TYPE, {}).pae()
    for _, signature in envelope.signatures:
        try:
            key.verify_signature(Signature(key.keyid, signature.hex()), signed)
        except UnverifiedSignatureError:
            continue
        return True
    return False


def make_key(path: Path) -> str:
    """Writes a new private key to `path`, readable by its owner alone, and the public one to `path`.pub.

    Both are PEM, the private one not encrypted. Returns the public key's fingerprint. Raises UsageError when a file exists.
    """
    _require_extra()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = public_path(path)
    for file in (path, public):
        if os.path.lexists(file):
            raise UsageError(
                f"{safe_inline(str(file), 160)}: exists already, and a key is never overwritten; name another"
            )
    private = Ed25519PrivateKey.generate()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _write_private(path, _pem(private))
    try:
        write_bytes(public, _public_pem(private.public_key()))
    except AuditError:
        path.unlink()
        raise
    return fingerprint(private.public_key())


def public_path(path: Path) -> Path:
    """Where the public half of the key `path` lies."""
    return path.with_name(f"{path.name}.pub")


def _write_private(path: Path, pem: bytes) -> None:
    with writing(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(pem)
        except OSError:
            path.unlink()
            raise


def load_signer(path: Path, ask: Callable[[], str]) -> "CryptoSigner":
    """The ed25519 private key in a PEM file; `ask` gives the passphrase, and is called only for an encrypted key.

    Raises UsageError in one line for any other file, for a wrong passphrase, and for a key that others may read.
    """
    _require_extra()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner, SSlibKey

    shown = safe_inline(str(path), 160)
    data = _read_key(path, shown, private=True)
    if b"PRIVATE KEY-----" not in data:
        kind = "a public key; sign with the private one" if b"PUBLIC KEY-----" in data else "not a private key in PEM"
        raise UsageError(f"{shown}: {kind}; {_HOW_TO_MAKE}")
    if b"BEGIN OPENSSH" in data:
        raise UsageError(f"{shown}: an OpenSSH key, which cannot sign a statement; {_HOW_TO_MAKE}")
    passphrase = ask().encode() if b"ENCRYPTED" in data else None
    try:
        private = load_pem_private_key(data, passphrase)
    except Exception as error:  # the library names no closed list of what a broken file may raise
        broken = "the passphrase is wrong, or the file is damaged" if passphrase is not None else "damaged, or not PEM"
        raise UsageError(f"{shown}: cannot be read as a private key: {broken}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{shown}: not an ed25519 key; {_HOW_TO_MAKE}")
    public = private.public_key()
    return CryptoSigner(private, SSlibKey.from_crypto(public, fingerprint(public)))


def load_public_key(path: Path) -> "SSlibKey":
    """The ed25519 public key in a PEM file; its `keyid` is its fingerprint. Raises UsageError in one line otherwise."""
    _require_extra()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    shown = safe_inline(str(path), 160)
    data = _read_key(path, shown, private=False)
    if b"PRIVATE KEY-----" in data:
        raise UsageError(f"{shown}: a private key, which nobody should be given; verify with the public one, KEY.pub")
    try:
        public = load_pem_public_key(data)
    except Exception as error:  # the library names no closed list of what a broken file may raise
        raise UsageError(f"{shown}: cannot be read as a public key: damaged, or not PEM") from error
    if not isinstance(public, Ed25519PublicKey):
        raise UsageError(f"{shown}: not an ed25519 key; {_HOW_TO_MAKE}")
    return SSlibKey.from_crypto(public, fingerprint(public))


def fingerprint(public: Any) -> str:
    """Hex sha256 of the public key's DER form: `openssl pkey -pubin -in KEY.pub -outform DER | sha256sum`."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _read_key(path: Path, shown: str, *, private: bool) -> bytes:
    try:
        with open_regular(path, follow=True) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(_LONGEST_KEY + 1)
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read: {reason(error)}; {_HOW_TO_MAKE}") from error
    if private and os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"{shown}: other users may read this private key; chmod 600 it")
    if len(data) > _LONGEST_KEY:
        raise UsageError(f"{shown}: too large to be a key; {_HOW_TO_MAKE}")
    return data


def _pem(private: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def _public_pem(public: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def _require_extra() -> None:
    try:
        import cryptography  # noqa: F401
        import securesystemslib.signer  # noqa: F401
    except ImportError as error:
        raise AuditError("signatures need the securesystemslib library; pip install 'carto-audit[sign]'") from error
