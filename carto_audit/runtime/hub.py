"""The hub: how a data set on the Hugging Face hub is named, and what its libraries' errors mean.

It loads no library and asks nothing; `benchmarks.hub_sets` and `publishing.pull_request` alone reach the network, and only
for a set that was named.
"""

import re
from dataclasses import dataclass

from carto_audit.runtime.errors import UsageError
from carto_audit.text.untrusted import safe_inline

TIMEOUT = 30.0
"""Seconds until a hub that says nothing is given up."""

PREFIX = "hf:"
"""What marks the name of a hub data set: `hf:OWNER/NAME`, or `hf:OWNER/NAME@REVISION`."""

COMMIT = re.compile("[0-9a-f]{40}")
"""A revision that can never come to mean something else."""

_NAME = re.compile(r"([A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?)(?:@([\w./-]{1,200}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubName:
    """A data set on the hub, and the revision that was asked for: a commit, a branch, a tag, or None."""

    dataset: str
    revision: str | None = None


def is_hub_name(text: str) -> bool:
    """Whether this names a data set on the hub; nothing else ever leads there."""
    return text.startswith(PREFIX)


def parse_hub_name(text: str) -> HubName:
    """`hf:OWNER/NAME[@REVISION]`. Raises UsageError in one line."""
    found = _NAME.fullmatch(text.removeprefix(PREFIX))
    if found is None or not is_hub_name(text) or ".." in text:
        raise UsageError(f'"{safe_inline(text, 120)}": no name of a hub data set; write hf:OWNER/NAME@REVISION')
    return HubName(dataset=found[1], revision=found[2])


BROKEN_OFF = {"TransportError", "ConnectionError", "TimeoutException", "TimeoutError", "LocalEntryNotFoundError"}
"""Kinds of error by which the libraries say that the hub did not answer, or not to the end."""


def diagnose(error: Exception) -> tuple[int | None, set[str]]:
    """The HTTP status behind an error, where there is one, and the names of all kinds of error that led to it."""
    chain = _causes(error)
    names = {kind.__name__ for cause in chain for kind in type(cause).__mro__}
    statuses = [getattr(getattr(cause, "response", None), "status_code", None) for cause in chain]
    return next((status for status in statuses if status), None), names


def _causes(error: BaseException) -> list[BaseException]:
    """The error and everything that led to it."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found
