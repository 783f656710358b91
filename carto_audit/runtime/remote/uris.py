"""URIs: what a user types to have a batch fetched. They are data and never configuration: no endpoint, no key, no option."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.hub import parse_hub_name
from carto_audit.text.untrusted import safe_inline

KNOWN = "s3://, gs://, abfss:// or hf://datasets/"

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}")
_CONTAINER = re.compile(r"[a-z0-9$][a-z0-9-]{1,62}@[a-z0-9]{3,24}\.(?:dfs|blob)\.core\.windows\.net")
_DATASET = re.compile(r"datasets/([^/@]+/[^/@]+)(?:@(refs/(?:convert|pr)/[^/]+|[^/]+))?(?:/(.*))?", re.DOTALL)
_QUERY = re.compile(r"\?[^/]*=")
_MAGIC = re.compile(r"[*?[]")
_TOKEN = re.compile(r"\*\*/|\*\*|\[!?\]?[^]/]*\]|.", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uri:
    """A place in a store: an object, everything below a prefix, or what a glob in the last parts of `key` matches."""

    scheme: str
    store: str
    """The bucket, `container@account…`, or `datasets/OWNER/NAME`."""
    key: str
    """Below the store, without slashes at its ends; empty for all of it."""
    is_folder: bool
    """Whether it was typed with a slash at its end."""
    revision: str | None = None
    """Of a data set on the hub: a commit, a branch, a tag, or None."""

    @property
    def text(self) -> str:
        """As it was typed."""
        slash = "/" if self.is_folder else ""
        return self.uri_of(self.key) + slash if self.key else f"{self.uri_of('')}{slash}"

    @property
    def fixed(self) -> str:
        """The part of the key that stands before any glob."""
        parts = self.key.split("/")
        first = next((k for k, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
        return "/".join(parts[:first])

    @property
    def pattern(self) -> str:
        """The glob behind `fixed`; empty where there is none."""
        return self.key.removeprefix(self.fixed).lstrip("/")

    def uri_of(self, key: str) -> str:
        """The URI of another key of this store, at the same revision."""
        store = f"{self.store}@{self.revision}" if self.revision else self.store
        return f"{self.scheme}://{store}/{key}" if key else f"{self.scheme}://{store}"

    def may_match(self, key: str) -> bool:
        """Whether the glob may match an object or a folder above it. It lets through more than a shell would, never less."""
        below = key.removeprefix(f"{self.fixed}/") if self.fixed else key
        return re.match(f"{_TOKEN.sub(_as_regex, self.pattern)}(?:/|$)", below, re.DOTALL) is not None


def _as_regex(token: re.Match[str]) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return known.get(token[0]) or ("[^/]" if len(token[0]) > 1 else re.escape(token[0]))


def is_uri(given: object) -> bool:
    """Whether this text is a URI of any kind: nothing else is ever fetched. A path that was given as a path is none."""
    return isinstance(given, str) and _URI.fullmatch(given) is not None


def parse_uri(text: str) -> Uri:
    """A URI that can be fetched. Raises UsageError in one line, which repeats no part in which a secret may stand."""
    found = _URI.fullmatch(text)
    scheme, rest = (found[1], found[2]) if found else ("", text)
    shown = safe_inline(text, 160)
    if scheme not in _PARSERS:
        shown = f"{safe_inline(scheme, 20)}://…" if "@" in rest or _QUERY.search(rest) else shown
        raise UsageError(f"{shown}: batches are fetched from {KNOWN} only; download it, and name the files")
    if _QUERY.search(rest):
        raise UsageError(
            f"{scheme}://…?…: a URI with options; endpoint, region and credentials come from the environment alone"
        )
    if scheme in ("s3", "gs") and "@" in rest.partition("/")[0]:
        raise UsageError(f"{scheme}://…@…: a URI with credentials; they come from the environment alone")
    if not text.isprintable():
        raise UsageError(f"{shown}: a URI with characters that cannot be printed; name the folder above")
    return _PARSERS[scheme](scheme, rest, shown)


def _bucket(scheme: str, rest: str, shown: str) -> Uri:
    store, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(store):
        raise UsageError(f"{shown}: no name of a bucket; write {scheme}://BUCKET/PATH")
    return _checked(scheme, store, key, None, shown)


def _container(scheme: str, rest: str, shown: str) -> Uri:
    store, _, key = rest.partition("/")
    if not _CONTAINER.fullmatch(store):
        hidden = "abfss://…" if ":" in store else shown
        raise UsageError(f"{hidden}: write abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH")
    return _checked(scheme, store, key, None, shown)


def _dataset(scheme: str, rest: str, shown: str) -> Uri:
    found = _DATASET.fullmatch(rest)
    if found is None:
        raise UsageError(f"{shown}: write hf://datasets/OWNER/NAME@REVISION/PATH; only data sets are fetched")
    revision = unquote(found[2]) if found[2] else None
    name = parse_hub_name(f"hf:{found[1]}" + (f"@{revision}" if revision else ""))
    return _checked(scheme, f"datasets/{name.dataset}", found[3] or "", revision, shown)


_PARSERS = {"s3": _bucket, "gs": _bucket, "abfss": _container, "hf": _dataset}


def _checked(scheme: str, store: str, key: str, revision: str | None, shown: str) -> Uri:
    is_folder, key = key.endswith("/") or not key, key.removesuffix("/")
    if key and any(part in ("", ".", "..") for part in key.split("/")):
        raise UsageError(f'{shown}: a part of it is empty, "." or ".."; name the folder above')
    return Uri(scheme=scheme, store=store, key=key, is_folder=is_folder and bool(key), revision=revision)
