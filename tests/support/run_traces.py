"""Traces of runs that never happened: a loop that logs made-up losses, one rank and start of the run after the other."""

from pathlib import Path

import numpy as np

from carto_audit.traces.keys import SampleKeys
from carto_audit.traces.logger import LossLogger

KEYS = SampleKeys(b"a key of samples that nobody has")
PER_STEP = 4


def samples_of(step: int, rank: int = 0, distinct: int = 24) -> list[list[int]]:
    """The samples that a rank sees at a step: the same ones again in every epoch, in another order."""
    epoch, within = divmod(step, distinct // PER_STEP)
    order = np.random.default_rng(epoch).permutation(distinct)
    chosen = order[within * PER_STEP : (within + 1) * PER_STEP] + 100 * rank
    return [list(range(int(number), int(number) + 3 + int(number) % 5)) for number in chosen]


def losses_of(sample: list[int], step: int) -> np.ndarray:
    """Made-up losses of a sample's tokens at a step, in nats; the first has none."""
    made = np.abs(np.sin(np.array(sample) + 0.1 * step)) * 8
    return np.where(np.arange(len(sample)) == 0, np.nan, made).astype(np.float32)


def log_steps(logger: LossLogger, steps: range, rank: int = 0) -> None:
    """Logs the samples of some steps, packed one after the other, six steps an epoch."""
    for step in steps:
        samples = samples_of(step, rank)
        segments = np.repeat(np.arange(len(samples)), [len(sample) for sample in samples])
        losses = np.concatenate([losses_of(sample, step) for sample in samples])
        logger.log(np.concatenate(samples), losses, segments, step=step, epoch=step / 6)


def write_run(folder: Path, steps: range, *, ranks: int = 1, checkpoint: int = 0, **options: object) -> Path:
    """A whole trace of these steps, closed, with a part more where there is a checkpoint. Several ranks agree on generation 0."""
    agreed = {"world": ranks, "generation": 0} if ranks > 1 else {}
    for rank in range(ranks):
        logger = LossLogger(folder, KEYS, rank=rank, **{**agreed, "token_share": 0.5, **options})
        log_steps(logger, range(steps.start, checkpoint), rank)
        assert logger.flush()
        log_steps(logger, range(max(steps.start, checkpoint), steps.stop), rank)
        assert logger.close()
    return folder
