"""Provenance: what the figures of a run depend on, and the folder in which only a run of its kind may continue."""

import importlib.metadata
import os
from dataclasses import asdict
from pathlib import Path

from carto_audit import __version__
from carto_audit.data.batch import Batch
from carto_audit.pipeline.options import AuditOptions
from carto_audit.proxies.model import PRESETS, checkpoint_sha256
from carto_audit.runtime.resume import open_run


def work_folder(work: Path, batch: Batch, reference: Batch | None, options: AuditOptions, *besides: object) -> Path:
    """The folder that a run of exactly this kind may continue in; `besides` is what else decides about its kind."""
    versions = [__version__, importlib.metadata.version("torch"), os.cpu_count()]
    weights = checkpoint_sha256(Path(options.proxy)) if options.proxy and options.proxy not in PRESETS else None
    trusted = reference.sha256 if reference else None
    return open_run(work, [batch.sha256, str(batch.paths), versions, asdict(options), weights, trusted, *besides])


def package_versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    names = ("torch", "transformers", "tokenizers", "datasketch", "numpy", "scipy", "pyarrow")
    return {name: importlib.metadata.version(name) for name in names}
