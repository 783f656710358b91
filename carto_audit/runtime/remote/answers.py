"""Answers: what stores, the hub and the network say when they give nothing, as one line in which no credential stands."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.hub import BROKEN_OFF, diagnose
from carto_audit.text.untrusted import safe_inline

_DENIED = re.compile(
    r"ACCESS_DENIED|FORBIDDEN|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN|EXPIRED|UNAUTHENTICATED"
    r"|PERMISSION_DENIED|OAuth2|Authoriz|Authentic|credential|[Hh][Tt][Tt][Pp] \S*\s?\S*\b40[13]\b"
)
_MISSING = re.compile(
    r"NO_SUCH_(?:BUCKET|KEY)|NOT_FOUND|BucketNotFound|ContainerNotFound|does not exist|[Hh][Tt][Tt][Pp] \S*\s?\S*\b404\b"
)
_SECRETIVE = re.compile(r"\S*(?:://|[Ss]ig|[Tt]oken|[Kk]ey|[Cc]redential|[Pp]assw)\S*")
"""Words of an error in which a signed address or a key may stand."""

_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or the machine's account",
    "abfss": "AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_CLIENT_ID and its secret, or the machine's identity",
}


@contextmanager
def one_line(uri: str, *, listed: bool = False) -> Iterator[None]:
    """Whatever a store or Arrow answers, as one line in which no credential stands. What was `listed` and is not there is no
    mistake of the user's."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError, AuditError, UsageError):
        raise
    except Exception as error:  # Arrow raises OSError, ValueError and its own; a store written in Python anything
        shown = safe_inline(uri, 200)
        raise (_hub_answer(shown, error) if uri.startswith("hf://") else _store_answer(shown, error, listed)) from None


def _store_answer(shown: str, error: Exception, listed: bool) -> AuditError | UsageError:
    words = str(error)
    if _DENIED.search(words):
        known = _CREDENTIALS.get(shown.partition("://")[0], "the environment")
        return AuditError(f"{shown}: access denied; credentials come from the environment: {known}")
    if listed and isinstance(error, FileNotFoundError | ValueError):
        return AuditError(f"{shown}: listed, but it cannot be opened under this name; have it renamed, or run again")
    if isinstance(error, FileNotFoundError) or _MISSING.search(words):
        return UsageError(f"{shown}: no such object or folder")
    detail = safe_inline(_SECRETIVE.sub("…", words.split("(Request ID")[0]), 160) or type(error).__name__
    return AuditError(f"{shown}: cannot be read: {detail}; try again later, or download it")


def _hub_answer(shown: str, error: Exception) -> AuditError | UsageError:
    status, names = diagnose(error)
    if "OfflineModeIsEnabled" in names:
        return AuditError(f"{shown}: the hub is switched off by HF_HUB_OFFLINE; unset it, or download the files")
    if status in (401, 403) or "GatedRepoError" in names:
        return AuditError(f"{shown}: access denied: private, gated or misspelt; the token comes from HF_TOKEN")
    if status == 404 or names & {"RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError"}:
        return UsageError(f"{shown}: the hub has no such data set, revision or file")
    if status is not None:
        return AuditError(f"{shown}: the hub answers {status}; try again later, or download the files")
    if names & BROKEN_OFF:
        return AuditError(f"{shown}: the hub does not answer, or breaks off; check the network and HF_ENDPOINT")
    return AuditError(f"{shown}: cannot be read: {safe_inline(str(error).splitlines()[0] if str(error) else '', 160)}")
