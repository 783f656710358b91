"""The page about real runs: its examples run as they stand there."""

import contextlib
import io
import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import carto_audit
from carto_audit.real_runs.integrations.trainer import log_losses
from carto_audit.traces.keys import keep_sample_keys, read_sample_keys
from carto_audit.traces.reading import read_visits
from tests.support.tiny_trainers import ROWS, Rows, make_trainer, padded, thin_model

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "real_runs.md"
LOG, PLAIN, READ, SCORE, REWEIGHT = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


def sft_trainer(folder):
    from tests.real_runs.integrations.test_sft import make_sft

    return make_sft(folder, packing=True, max_length=64)


def run(code, **names):
    """What a block of the page prints, and the names that it leaves."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, PAGE.name, "exec"), names)
    return said.getvalue(), names


@pytest.mark.parametrize(
    "make",
    [
        make_trainer,
        pytest.param(sft_trainer, marks=pytest.mark.skipif(not find_spec("trl"), reason="TRL is not installed")),
    ],
)
def test_two_lines_added_to_a_trainer_log_every_sample_and_its_trace_is_read(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    assert len(LOG.strip().splitlines()) <= 10
    with warnings.catch_warnings():
        if make is sft_trainer:
            warnings.simplefilter("ignore")
        _, names = run(LOG, trainer=make(tmp_path))
    printed, _ = run(READ, keys=names["keys"])
    assert printed == f"{len(ROWS)} ({len(ROWS)}, 1) 0 0\n"
    assert read_sample_keys("trace.key") == names["keys"]


def test_the_plain_loop_of_the_page_logs_every_sample(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from tests.support.run_traces import KEYS

    model = thin_model()
    optimizer = torch.optim.AdamW(model.parameters())
    batches = torch.utils.data.DataLoader(Rows(), batch_size=8, collate_fn=padded)
    run(PLAIN, keys=KEYS, model=model, optimizer=optimizer, batches=batches)
    assert sorted(read_visits("plain", KEYS).rows.key.tolist()) == sorted(KEYS.keys(ROWS).tolist())


class Selected(Rows):
    """A data set that knows `select`, as those of `datasets` do."""

    def select(self, places):
        return Selected([self.rows[k] for k in places])


def test_a_run_that_goes_on_by_the_weights_of_its_score_draws_no_row_without_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "losses-score").mkdir()
    weight = [float(k % 2) for k in range(len(ROWS))]
    columns = {"sample_id": list(map(str, range(len(ROWS)))), "row": range(len(ROWS)), "sample_weight": weight}
    pq.write_table(pa.table(columns), "losses-score/weights.parquet")
    trainer = make_trainer(tmp_path, num_train_epochs=3, max_steps=5, save_strategy="steps", save_steps=5)
    trainer.train()
    trainer.args.max_steps = 15
    keys = keep_sample_keys("trace.key")
    log_losses(trainer, "trace", keys, run="goes on")
    run(REWEIGHT, trainer=trainer, dataset=Selected(ROWS), carto_audit=carto_audit)
    visits = read_visits("trace", keys)
    assert set(visits.rows.step.tolist()) == set(range(5, 15))
    assert set(visits.rows.key.tolist()) <= set(keys.keys(ROWS[1::2]).tolist())


def test_the_score_of_the_page_is_that_of_the_library(scored, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, path in {"losses": scored.run.trace, "planted": scored.run.planted, "late.parquet": scored.late}.items():
        (tmp_path / name).symlink_to(path)
    _, names = run(SCORE, carto_audit=carto_audit)
    assert names["audit"].report.facts["real_run"]["proved"]
