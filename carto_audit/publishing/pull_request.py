"""A pull request on the Hugging Face hub: the card and its files, put into the README that stands there now.

With `benchmarks.hub_sets`, and `engines.ray_engine` where Ray is asked for, the only module that may reach the network, and only
for a data set that was named.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from carto_audit.runtime.errors import AuditError, CartoError, UsageError, option
from carto_audit.runtime.hub import BROKEN_OFF, COMMIT, TIMEOUT, diagnose, parse_hub_name
from carto_audit.text.untrusted import safe_inline

README = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The pull request that was opened, or None where the data set holds all of it already."""

    url: str | None


def data_set_name(text: str) -> str:
    """ORG/NAME of a data set on the hub. Raises UsageError in one line."""
    try:
        wanted = parse_hub_name(f"hf:{text.removeprefix('hf:')}")
    except UsageError as error:
        raise UsageError(
            f'{option("push_to")} "{safe_inline(text, 120)}": no data set on the hub; write ORG/NAME'
        ) from error
    if "/" not in wanted.dataset or wanted.revision is not None:
        raise UsageError(f'{option("push_to")} "{safe_inline(text, 120)}": write ORG/NAME, without a revision')
    return wanted.dataset


def open_pull_request(dataset: str, edit: Callable[[str], str], files: Mapping[str, bytes], title: str) -> Pushed:
    """Opens a pull request on this data set: its README as `edit` changes it, and `files` by path. Never pushes to main.

    The README is read at the newest commit, on which the request is then built. Raises AuditError in one line for
    whatever the hub or the network answers; what `edit` raises passes through.
    """
    hub = _library(dataset)
    shown = safe_inline(dataset, 120)
    with _one_line(shown), _quiet():
        api = hub.HfApi()
        info = api.dataset_info(dataset, timeout=TIMEOUT)
        parent = str(info.sha or "")
        if not COMMIT.fullmatch(parent):
            raise ValueError("the hub names no commit of it")
        listed = {sibling.rfilename for sibling in info.siblings or ()}
        before = _read(hub, dataset, parent) if README in listed else ""
        contents = {README: edit(before).encode(), **files}
        made = api.create_commit(
            dataset,
            [hub.CommitOperationAdd(path, data) for path, data in contents.items()],
            commit_message=title,
            repo_type="dataset",
            create_pr=True,
            parent_commit=parent,
        )
        return Pushed(url=safe_inline(made.pr_url, 300) if made.pr_url else None)


def _read(hub: Any, dataset: str, commit: str) -> str:
    path = hub.hf_hub_download(dataset, README, repo_type="dataset", revision=commit, etag_timeout=TIMEOUT)
    try:
        return Path(path).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{safe_inline(dataset, 120)}: its README.md is not UTF-8; mend it first") from error


def _library(dataset: str) -> Any:
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        way_out = f"pip install 'carto-audit[hub]', or use {option('readme')} and push by hand"
        raise AuditError(
            f"{safe_inline(dataset, 120)}: {option('push_to')} needs huggingface_hub; {way_out}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The library's own bars and warnings stay away: what matters comes back as a value or an error."""
    utils = import_module("huggingface_hub.utils")
    level, barred = utils.logging.get_verbosity(), not utils.are_progress_bars_disabled()
    utils.logging.set_verbosity(logging.CRITICAL)
    utils.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        utils.logging.set_verbosity(level)
        if barred:
            utils.enable_progress_bars()


@contextmanager
def _one_line(shown: str) -> Iterator[None]:
    """Whatever goes wrong between here and the hub, as one line with a way out."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError, CartoError):
        raise
    except Exception as error:  # the library lets each layer's own errors through: HTTP, files, JSON, values
        raise AuditError(f"{shown}: {_explain(error)}; nothing was pushed") from error


def _explain(error: Exception) -> str:
    status, names = diagnose(error)
    detail = safe_inline(" ".join(str(error).split()), 160) or type(error).__name__
    if "OfflineModeIsEnabled" in names:
        return "the hub is switched off by HF_HUB_OFFLINE; unset it"
    if status in (401, 403) or "GatedRepoError" in names:
        return f"the hub refuses access ({status or 401}): log in with `hf auth login`, with a token that may write"
    if status == 404 or "RepositoryNotFoundError" in names:
        return "the hub has no such data set (404), or hides it; check the name, and `hf auth login`"
    if status in (409, 412):
        return f"the data set changed meanwhile ({status}); run the same command again"
    if status is not None:
        return f"the hub answers {status}; try again later"
    if names & BROKEN_OFF:
        return f"the hub does not answer, or breaks off ({detail}); check the network and HF_ENDPOINT"
    return f"the hub's answer makes no sense: {detail}"
