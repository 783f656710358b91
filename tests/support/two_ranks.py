"""A program that trains with two ranks over gloo, kills them, and resumes. Ranks are forked, so that torch is loaded once.

Run as `python -m tests.support.two_ranks FOLDER`: it leaves the traces `unbroken` and `killed` there, of the same
training, and in `codes.json` what the ranks ended with, start by start."""

import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import torch
from transformers import DataCollatorWithFlattening, TrainerCallback

from carto_audit.real_runs.integrations.trainer import log_losses
from tests.support.run_traces import KEYS
from tests.support.tiny_trainers import ROWS, make_trainer

RANKS = 2
DISTINCT = 17
"""Samples, so that the last step of an epoch has some for a second time: ranks train on equally many."""


class Killer(TrainerCallback):
    """Ends this process without a word: within a step, or where a checkpoint is about to be written and its losses were."""

    def __init__(self, trainer, moment: str, step: int) -> None:
        self.moment, self.step = moment, step
        if moment == "checkpoint":
            self.save, trainer._save_checkpoint = trainer._save_checkpoint, self.instead

    def instead(self, *arguments):
        if self.step == self.of(arguments):
            kill()
        return self.save(*arguments)

    def of(self, _):
        return self.state.global_step

    def on_train_begin(self, args, state, control, **_):
        self.state = state

    def on_pre_optimizer_step(self, args, state, control, **_):
        if self.moment == "step" and state.global_step == self.step:
            kill()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def rank_main(folder: Path, trace: str, death: tuple[str, int] | None) -> None:
    """One rank: trains from the last checkpoint, if there is one; dies where it is told to."""
    torch.set_num_threads(1)
    trainer = make_trainer(
        folder / f"{trace}_run",
        DataCollatorWithFlattening(),
        rows=ROWS[:DISTINCT],
        num_train_epochs=2,
        save_strategy="steps",
        save_steps=3,
        ddp_backend="gloo",
    )
    if death:
        trainer.add_callback(Killer(trainer, *death))
    log_losses(trainer, folder / trace, KEYS, token_share=0.5)
    trainer.train(resume_from_checkpoint=any((folder / f"{trace}_run" / "out").glob("checkpoint-*")) or None)


def launch(folder: Path, trace: str, death: tuple[str, int] | None = None, dying: int = 1) -> list[int]:
    """Forks the ranks, of which one dies; a rank that outlives another is killed. Returns what they ended with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(RANKS):
        if not (child := os.fork()):
            ours = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": RANKS,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            }
            os.environ.update({name: str(value) for name, value in ours.items()})
            code = 1
            try:
                rank_main(folder, trace, death if rank == dying else None)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        children.append(child)
    return ended(children)


def ended(children: list[int]) -> list[int]:
    codes: dict[int, int] = {}
    while len(codes) < len(children):
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            codes[child] = os.waitstatus_to_exitcode(status)
            if codes[child]:
                for other in set(children) - set(codes):
                    os.kill(other, signal.SIGKILL)
        else:
            time.sleep(0.01)
    return [codes[child] for child in children]


if __name__ == "__main__":
    to = Path(sys.argv[1])
    codes = [
        launch(to, "unbroken"),
        launch(to, "killed", ("step", 5)),
        launch(to, "killed", ("checkpoint", 6), dying=0),
        launch(to, "killed"),
    ]
    (to / "codes.json").write_text(json.dumps(codes))
