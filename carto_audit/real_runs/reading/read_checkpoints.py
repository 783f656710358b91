"""Reading: checkpoints one after the other over a planted run, or two proxies that are trained on it, into one file.

A checkpoint costs a forward pass over every token; proxies cost a training."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carto_audit.pipeline.options import DEFAULT_EPOCHS
from carto_audit.proxies.model import count_parameters, resolve_device
from carto_audit.proxies.tokens import load_tokenizer
from carto_audit.real_runs.reading.adapters import adapted_model, weights_sha256
from carto_audit.real_runs.reading.checkpoint_losses import load_model, longest_of, read_losses
from carto_audit.real_runs.reading.planted_run import PlantedRun, open_planted
from carto_audit.real_runs.reading.proxy_losses import FOLDS, Training, identity, losses_of_proxies, spec_for
from carto_audit.real_runs.reading.readings import PROXIES, Notes, write_readings
from carto_audit.real_runs.reading.run_samples import WAYS, RunSamples, Way, cut, find_way, read_samples
from carto_audit.runtime.errors import AuditError, CartoError, UsageError, option
from carto_audit.runtime.files import name_text
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.resume import open_run, remove_runs
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.keys import tokenizer_fingerprint
from carto_audit.traces.reading import read_visits
from carto_audit.traces.visits import in_steps

LEAST_LENGTH = 16


def read_checkpoints(
    checkpoints: Sequence[Path],
    folder: Path,
    out: Path,
    *,
    tokenizer: Path | None = None,
    trace: Path | None = None,
    max_length: int | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Writes the token losses of every checkpoint, a local folder of transformers each, on the planted batch, its twins and
    the rows that were held out, into the file `out`; returns what was read in numbers.

    The tokenizer is that of the first checkpoint unless a folder is named. With a `trace` rows are read as that run read them,
    and cut at its longest sample; else as the tokenizer reads them, cut at `max_length`, or where the preflight said. Raises
    UsageError for folders that hold no model, AuditError for a planted batch, controls or a trace that are not as they should
    be.
    """
    if max_length is not None and max_length < LEAST_LENGTH:
        raise UsageError(f"{option('max_length', max_length)}: {LEAST_LENGTH} tokens or more")
    device = resolve_device(device)
    contexts = [most for most in map(longest_of, checkpoints) if most is not None]
    planted = _opened(folder, out, progress)
    loaded = load_tokenizer(tokenizer or adapted_model(checkpoints[0]) or checkpoints[0])
    fingerprint = tokenizer_fingerprint(loaded)
    way, asked = _as_trained(planted, loaded, fingerprint, trace, max_length)
    longest = min([*contexts, *([asked] if asked is not None else [])], default=None)
    samples = read_samples(planted, loaded, way, progress)
    pieces = cut(samples, longest)
    digests = [weights_sha256(one) for one in checkpoints]
    work = out.with_name(f".{out.name}.work")
    place = open_run(work, [digests, planted.identity, fingerprint, way.facts(), longest, device])
    rows, named = [], []
    for checkpoint, digest in zip(checkpoints, digests, strict=True):
        model = load_model(checkpoint, device)
        name = safe_inline(name_text(checkpoint.resolve().name), 120)
        shards = place / digest[:16]
        shards.mkdir(exist_ok=True)
        try:
            with progress.task(f"Reading {name}", int(samples.offsets[-1]), "tokens") as advance:
                rows.append(read_losses(model, samples, pieces, device, shards, advance))
        except CartoError as error:
            raise type(error)(f"{safe_inline(str(checkpoint), 160)}: {error}") from error
        parameters = sum(p.numel() for p in model.parameters())
        named.append({"name": name, "sha256": digest, "parameters": parameters})
    notes = Notes(
        planted=planted.identity,
        tokenizer=fingerprint,
        way=way,
        longest=longest,
        precision="bfloat16" if device == "cuda" else "float32",
        checkpoints=named,
    )
    write_readings(out, planted.keys, notes, samples, pieces, np.stack(rows))
    remove_runs(work)
    return _summary(planted, notes, samples, device)


def read_proxies(
    folder: Path,
    out: Path,
    *,
    tokenizer: Path,
    trace: Path | None = None,
    max_length: int | None = None,
    epochs: int = DEFAULT_EPOCHS,
    device: str = "auto",
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Trains two proxies on the planted batch in the run's tokens and writes what each makes of the rows that it never read, and
    of twins and held-out rows, into the file `out`; returns what was read in numbers. The options and errors are those of
    `read_checkpoints`."""
    device = resolve_device(device)
    planted = _opened(folder, out, progress)
    loaded = load_tokenizer(tokenizer)
    fingerprint = tokenizer_fingerprint(loaded)
    way, longest = _as_trained(planted, loaded, fingerprint, trace, max_length)
    samples = read_samples(planted, loaded, way, progress)
    cores = (os.cpu_count() or 1) // (FOLDS if device == "cpu" else 1)
    training = Training(epochs=epochs, device=device, threads=max(1, cores))
    spec = spec_for(planted, max(len(loaded), int(samples.ids.max(initial=0)) + 1), device)
    work = out.with_name(f".{out.name}.work")
    made = identity(spec, training)
    place = open_run(work, [made, planted.identity, fingerprint, way.facts(), longest, os.cpu_count()])
    losses = losses_of_proxies(planted, samples, loaded, spec, training, place, progress)
    notes = Notes(
        planted=planted.identity,
        tokenizer=fingerprint,
        way=way,
        longest=longest,
        precision="float32",
        checkpoints=[{"name": PROXIES, "sha256": made, "parameters": count_parameters(spec), "proxies": True}],
    )
    pieces = cut(samples, longest)
    write_readings(out, planted.keys, notes, samples, pieces, in_steps(losses, np.isfinite(losses))[None])
    remove_runs(work)
    return _summary(planted, notes, samples, device)


def _opened(folder: Path, out: Path, progress: Progress) -> PlantedRun:
    planted = open_planted(folder, progress)
    if out.resolve().is_relative_to((folder / str(planted.facts["planted"]["folder"])).resolve()):
        raise UsageError(f"{safe_inline(str(out), 160)}: lies in the planted batch; choose another {option('out')}")
    return planted


def _summary(planted: PlantedRun, notes: Notes, samples: RunSamples, device: str) -> dict[str, Any]:
    return {
        "checkpoints": list(notes.checkpoints),
        "samples": len(samples),
        "tokens": int(samples.offsets[-1]),
        "way": notes.way.words,
        "longest": notes.longest,
        "device": device,
        "twins": len(planted.twins),
        "held_out": len(planted.held_out),
    }


def _as_trained(
    planted: PlantedRun, tokenizer: Any, fingerprint: str, trace: Path | None, max_length: int | None
) -> tuple[Way, int | None]:
    """How the run reads a row, and at how many tokens it cuts it."""
    if trace is None:
        looked = planted.facts.get("preflight") or {}
        return WAYS[0], max_length or looked.get("max_length")
    visits = read_visits(trace, planted.keys)
    if visits.opening.tokenizer and visits.opening.tokenizer != fingerprint:
        raise AuditError(
            f"{safe_inline(str(trace), 160)}: the run has another tokenizer; name it with {option('tokenizer')}"
        )
    longest = int(visits.rows.length.max())
    return find_way(planted, tokenizer, np.unique(visits.rows.key), longest), max_length or longest
