"""Benchmarks on the Hugging Face hub. With `publishing.pull_request`, and Ray if asked for, it alone reaches the network."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from carto_audit.benchmarks.column_mappings import ColumnMapping
from carto_audit.benchmarks.items import SPLIT, Benchmark, make_benchmark
from carto_audit.runtime.errors import AuditError, option
from carto_audit.runtime.hub import BROKEN_OFF, COMMIT, PREFIX, TIMEOUT, HubName, diagnose
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline


def read_hub(
    wanted: HubName,
    *,
    name: str | None = None,
    mapping: ColumnMapping | None = None,
    config: str | None = None,
    split: str | None = None,
    progress: Progress = SILENT,
) -> Benchmark:
    """Reads one split at one commit, which is recorded; a branch, a tag or nothing is resolved to its commit first.

    Needs the extra `[hub]`. Raises AuditError in one line for whatever the hub or the network answers.
    """
    shown = safe_inline(f"{PREFIX}{wanted.dataset}", 160)
    datasets, client = _libraries(shown)
    split = split or SPLIT
    with _one_line(shown, wanted), progress.task(f"Reading {shown}"), _quiet(datasets):
        commit = _commit(client, wanted)
        table = datasets.load_dataset(wanted.dataset, config, split=split, revision=commit)
        rows = table.with_format("arrow")[:].to_pylist()
    if wanted.revision != commit:
        progress.note(f"{shown} was read at {commit}; write {shown}@{commit} to read the same again")
    part = f"{config}/{split}" if config else split
    return make_benchmark(
        rows,
        name=name or wanted.dataset.split("/")[-1],
        sha256=None,
        source=f"{PREFIX}{wanted.dataset}#{part}",
        revision=commit,
        mapping=mapping,
        shown=shown,
    )


def _libraries(shown: str) -> tuple[Any, Any]:
    try:
        return import_module("datasets"), import_module("huggingface_hub")
    except ImportError as error:
        way_out = "pip install 'carto-audit[hub]', or download the files and name them"
        raise AuditError(f"{shown}: hub data sets need the datasets library; {way_out}") from error


def _commit(client: Any, wanted: HubName) -> str:
    """The commit behind the revision, asked of the hub even for a commit: it must exist."""
    info = client.HfApi().dataset_info(wanted.dataset, revision=wanted.revision, timeout=TIMEOUT)
    commit = str(info.sha or "")
    if not COMMIT.fullmatch(commit):
        raise ValueError("the hub names no commit for it")
    if wanted.revision and COMMIT.fullmatch(wanted.revision) and commit != wanted.revision:
        raise ValueError("the hub answers with another commit than the pinned one")
    return commit


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """The library's own bars and warnings stay away: what matters comes back as a value or an error."""
    hub_logging = import_module("huggingface_hub.utils.logging")
    levels = datasets.logging.get_verbosity(), hub_logging.get_verbosity()
    barred = datasets.is_progress_bar_enabled()
    datasets.logging.set_verbosity(logging.CRITICAL)
    hub_logging.set_verbosity(logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if barred:
            datasets.enable_progress_bars()


@contextmanager
def _one_line(shown: str, wanted: HubName) -> Iterator[None]:
    """Whatever goes wrong between here and the hub, as one line with a way out."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError, AuditError):
        raise
    except Exception as error:  # the libraries let each layer's own errors through: HTTP, files, Arrow, JSON, values
        raise AuditError(f"{shown}: {_explain(error, wanted)}") from error


def _explain(error: Exception, wanted: HubName) -> str:
    status, names = diagnose(error)
    at = f" at revision {safe_inline(wanted.revision, 60)}" if wanted.revision else ""
    detail = safe_inline(str(error).split("\n")[0], 160) or type(error).__name__
    if "OfflineModeIsEnabled" in names:
        return "the hub is switched off by HF_HUB_OFFLINE; unset it, or download the files and name them"
    if status in (401, 403) or "GatedRepoError" in names:
        return f"the hub refuses access ({status or 401}): the set is private, gated or misspelt; see `hf auth login`"
    if "RevisionNotFoundError" in names:
        return f"the hub has no revision {safe_inline(wanted.revision or '', 60)} of it; look it up on the set's page"
    if status == 404 or names & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return f"the hub has no such data set{at} (404); check the name"
    if status is not None:
        return f"the hub answers {status}; try again later, or download the files and name them"
    if names & BROKEN_OFF:
        return f"the hub does not answer, or breaks off ({detail}); check the network and HF_ENDPOINT"
    return f"cannot read it: {detail}; check {option('config')} and {option('split')}"
