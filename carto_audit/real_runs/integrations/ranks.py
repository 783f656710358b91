"""Ranks of torch.distributed that log one run: they agree on the number of its start, and wait for each other."""

import os
from pathlib import Path
from typing import Any

import torch.distributed as dist

from carto_audit.runtime.errors import CartoError, UsageError
from carto_audit.traces.keys import SampleKeys
from carto_audit.traces.logger import LossLogger, next_generation


def open_logger(folder: str | Path, keys: SampleKeys, **options: Any) -> LossLogger:
    """A logger for this rank; every rank calls it, after `init_process_group`. Options are those of `LossLogger`. Raises what
    that raises, and UsageError where several processes were launched that do not know each other yet."""
    if not (dist.is_available() and dist.is_initialized()):
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UsageError(
                "several ranks were launched: open the logger after torch.distributed.init_process_group()"
            )
        return LossLogger(folder, keys, **options)
    agreed: list[Any] = [_generation(folder) if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(agreed, src=0)
    if isinstance(agreed[0], CartoError):
        raise agreed[0]
    return LossLogger(folder, keys, rank=dist.get_rank(), world=dist.get_world_size(), generation=agreed[0], **options)


def _generation(folder: str | Path) -> int | CartoError:
    """The number, or why there is none: the other ranks wait for an answer."""
    try:
        return next_generation(folder)
    except CartoError as error:
        return error


def wait_for_ranks() -> None:
    """Returns when every rank has come here; at once where there is one only."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
