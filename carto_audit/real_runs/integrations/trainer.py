"""Trainer and SFTTrainer: one call between making a trainer and training. Checkpoints wait until their steps are on disk."""

from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import TrainerCallback

from carto_audit.real_runs.integrations.model_tap import ModelTap
from carto_audit.real_runs.integrations.ranks import open_logger, wait_for_ranks
from carto_audit.runtime.errors import UsageError
from carto_audit.traces.keys import SampleKeys, tokenizer_fingerprint
from carto_audit.traces.logger import LossLogger


def log_losses(
    trainer: Any,
    folder: str | Path,
    keys: SampleKeys,
    *,
    share: float = 1.0,
    token_share: float = 0.05,
    run: str = "",
) -> "LossCallback":
    """Logs the losses of every sample that `trainer` trains on: a `Trainer` of transformers, or what is made of one, such as
    TRL's `SFTTrainer`. To be called once, on every rank, before `trainer.train()`; what it does is the same to the last bit.

    Options are those of `LossLogger`. Raises UsageError for packing that cuts samples anywhere; and while training, after the
    first step of which nothing could be logged.
    """
    if getattr(trainer.args, "packing", False) and getattr(trainer.args, "packing_strategy", "") == "wrapped":
        raise UsageError(
            "packing_strategy='wrapped' cuts samples wherever a row is full and joins them without a mark, so no loss can "
            "be told whose it is; use 'bfd' or 'bfd_split'"
        )
    options = {"share": share, "token_share": token_share, "run": run, "tokenizer": _fingerprint(trainer)}
    callback = LossCallback(trainer, Path(folder), keys, options)
    trainer.add_callback(callback)
    return callback


def _fingerprint(trainer: Any) -> str:
    processing = getattr(trainer, "processing_class", None)
    tokenizer = getattr(processing, "tokenizer", processing)
    return tokenizer_fingerprint(tokenizer) if hasattr(tokenizer, "get_vocab") else ""


class LossCallback(TrainerCallback):  # type: ignore[misc]
    """What `log_losses` adds to a trainer. `logger` and `tap` are those of the current training, None before the first."""

    def __init__(self, trainer: Any, folder: Path, keys: SampleKeys, options: dict[str, Any]) -> None:
        self._trainer, self._folder, self._keys, self._options = trainer, folder, keys, options
        self._epoch: int | None = None
        self._batches = 0
        self.logger: LossLogger | None = None
        self.tap: ModelTap | None = None
        self._save, trainer._save_checkpoint = trainer._save_checkpoint, self._save_checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Opens a trace, or continues the one of the checkpoint that this training resumes from."""
        self._close()
        self.logger = open_logger(self._folder, self._keys, **self._options)
        self.logger.resume(state.global_step)
        self._epoch, self._batches = None, 0
        model = self._trainer.accelerator.unwrap_model(self._trainer.model)
        self.tap = ModelTap(model, self._log, self._keys, self._options["share"])

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Counts epochs, from where a checkpoint was."""
        self._epoch = int(state.epoch or 0) if self._epoch is None else self._epoch + 1

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Raises UsageError where the first step had no loss that could be logged."""
        if not self._batches:
            raise UsageError(
                "no loss of the first step could be logged: the model was given no labels (label smoothing and compute_loss_func "
                "take them away) or returned neither log-probabilities nor logits nor hidden states; "
                "log from your own loop with LossLogger.log"
            )

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Writes the rest, and leaves the model as it was."""
        self._close()

    def _log(self, ids: Tensor, losses: Tensor, segments: Tensor, scored: Tensor) -> None:
        self._batches += 1
        if self.logger:
            step = self._trainer.state.global_step
            self.logger.log(ids, losses, segments, scored, step=step, epoch=self._epoch or 0)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        if self.logger:
            self.logger.flush()
            wait_for_ranks()
        return self._save(*args, **kwargs)

    def _close(self) -> None:
        if self.tap:
            self.tap.remove()
        if self.logger:
            self.logger.close()
        self.tap = None
