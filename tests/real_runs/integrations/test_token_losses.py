"""A plain loop of PyTorch."""

import pytest
import torch
import torch.nn.functional as F

from carto_audit.real_runs.integrations.ranks import open_logger
from carto_audit.real_runs.integrations.token_losses import (
    packed_segments,
    padded_segments,
    segments_of,
    token_losses,
)
from carto_audit.runtime.errors import UsageError
from carto_audit.traces.logger import LossLogger
from carto_audit.traces.reading import read_visits
from tests.support.run_traces import KEYS
from tests.support.tiny_trainers import ROWS, Rows, assert_same_bits, check_trace, padded, thin_model

pytestmark = pytest.mark.usefixtures("one_thread")


def plain_loop(logger=None):
    """Trains for two epochs, and returns what it ends in."""
    model, losses_seen = thin_model(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    step = 0
    for epoch in range(2):
        for batch in torch.utils.data.DataLoader(Rows(), batch_size=8, collate_fn=padded):
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            losses, scored = token_losses(logits, batch["labels"])
            loss = losses.sum() / scored.sum()
            if logger:
                logger.log(
                    batch["input_ids"], losses, padded_segments(batch["attention_mask"]), scored, step=step, epoch=epoch
                )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses_seen.append(loss.item())
            step += 1
    return losses_seen, model.state_dict()


def test_a_plain_loop_logs_every_sample_and_trains_the_same_to_the_last_bit(tmp_path):
    logger = open_logger(tmp_path / "trace", KEYS)
    with_logger = plain_loop(logger)
    assert logger.close()
    check_trace(read_visits(tmp_path / "trace", KEYS), epochs=2)
    assert_same_bits(with_logger, plain_loop())


def test_losses_stand_at_the_token_that_is_predicted():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 5, 7, requires_grad=True), torch.randint(0, 7, (2, 5))
    labels[1, 3] = -100
    losses, scored = token_losses(logits, labels)
    assert scored.tolist() == [[False, True, True, True, True], [False, True, True, False, True]]
    for row, place in scored.nonzero().tolist():
        expected = -logits[row, place - 1].log_softmax(-1)[labels[row, place]]
        assert torch.isclose(losses[row, place], expected)
    assert (losses[~scored] == 0).all()
    usual = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    assert torch.isclose(losses.sum() / scored.sum(), usual)
    assert losses.requires_grad


def test_rows_are_segments_and_padding_is_none():
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]])
    assert padded_segments(mask).tolist() == [[0, 0, -1], [-1, 1, 1]]
    assert segments_of(mask).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert segments_of(mask, mask).tolist() == padded_segments(mask).tolist()


def test_packed_rows_are_cut_where_positions_do_not_go_on():
    positions = torch.tensor([[0, 1, 2, 0, 1, 0], [3, 4, 5, 1, 2, 3]])
    assert packed_segments(positions).tolist() == [[0, 0, 0, 1, 1, 2], [3, 3, 3, 4, 4, 4]]
    ids = torch.zeros(2, 6, dtype=torch.int64)
    mask = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]])
    assert segments_of(ids, mask, positions)[0].tolist() == [0, 0, 0, 1, 1, -1]
    assert segments_of(ids[:1], bounds=torch.tensor([0, 3, 5, 6])).tolist() == [[0, 0, 0, 1, 1, 2]]


def test_positions_of_other_shapes_are_refused():
    with pytest.raises(UsageError, match=r"position ids of shape \(3, 2, 6\) do not say"):
        segments_of(torch.zeros(2, 6), position_ids=torch.zeros(3, 2, 6))


def test_tensors_that_change_after_they_were_logged_do_not_change_the_trace(tmp_path):
    logger = LossLogger(tmp_path / "trace", KEYS)
    ids, losses = torch.tensor([[1, 2, 3]]), torch.tensor([[0.0, 1.0, 2.0]]).bfloat16().requires_grad_()
    logger.log(ids, losses, step=0, epoch=0)
    ids.zero_()
    losses.data.zero_()
    assert logger.close()
    rows = read_visits(tmp_path / "trace", KEYS).rows
    assert (rows.key.tolist(), rows.loss.tolist()) == ([KEYS.key([1, 2, 3])], [1.0])


def test_ranks_that_do_not_know_each_other_yet_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"open the logger after torch\.distributed\.init_process_group"):
        open_logger(tmp_path / "trace", KEYS)


def test_rows_differ():
    assert len({tuple(row) for row in ROWS}) == len(ROWS)
