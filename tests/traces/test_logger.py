import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.traces import parts, writer
from carto_audit.traces.keys import SampleKeys, in_share, in_token_share
from carto_audit.traces.logger import LossLogger, next_generation
from carto_audit.traces.reading import read_visits
from carto_audit.traces.visits import MEAN_STEPS
from tests.support.run_traces import KEYS, log_steps, losses_of, samples_of, write_run


def matrix(visits):
    """What tells one trace from another: every visit's key, step, epoch, rank, lengths and loss."""
    rows = visits.rows
    return [
        tuple(value.tolist() for value in row)
        for row in zip(rows.key, rows.step, rows.epoch, rows.rank, rows.length, rows.tokens, rows.loss, strict=True)
    ]


def test_every_visit_is_read_back_as_it_was_logged(tmp_path):
    visits = read_visits(write_run(tmp_path / "trace", range(12)), KEYS)
    expected = [(step, sample) for step in range(12) for sample in samples_of(step)]
    assert len(visits.rows) == len(expected) == 48
    for i, (step, sample) in enumerate(expected):
        losses = losses_of(sample, step)
        assert visits.rows.key[i] == KEYS.key(sample)
        assert (visits.rows.step[i], visits.rows.epoch[i], visits.rows.rank[i]) == (step, step // 6, 0)
        assert (visits.rows.length[i], visits.rows.tokens[i]) == (len(sample), len(sample) - 1)
        assert abs(visits.rows.loss[i] - np.nanmean(losses)) <= 0.5 / MEAN_STEPS + 1e-6
        kept = visits.rows.token_losses(i)
        assert len(kept) == (len(sample) if in_token_share(visits.rows.key[i : i + 1], 0.5)[0] else 0)
        np.testing.assert_allclose(kept, losses[: len(kept)], atol=1 / 32 + 1e-6)
    assert 0 < np.count_nonzero(np.diff(visits.rows.offsets)) < 48
    assert (visits.missing_steps, visits.superseded, visits.dropped_batches, visits.closed) == (0, 0, 0, True)


def test_a_row_is_a_sample_where_nothing_else_is_said_and_padding_belongs_to_none(tmp_path):
    ids = np.array([[7, 8, 9], [5, 6, 0]])
    losses = np.array([[9.0, 1.0, 2.0], [9.0, 3.0, 9.0]], np.float32)
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)
    with_rows = LossLogger(tmp_path / "rows", KEYS)
    with_rows.log(ids, losses, mask=mask, step=0, epoch=0)
    assert with_rows.close()
    padded = LossLogger(tmp_path / "padded", KEYS)
    padded.log(ids, losses, np.array([[0, 0, 0], [1, 1, -1]]), mask, step=0, epoch=0)
    assert padded.close()
    rows, other = (read_visits(tmp_path / name, KEYS).rows for name in ("rows", "padded"))
    assert rows.key.tolist() == [KEYS.key([7, 8, 9]), KEYS.key([5, 6, 0])]
    assert other.key.tolist() == [KEYS.key([7, 8, 9]), KEYS.key([5, 6])]
    assert rows.loss.tolist() == other.loss.tolist() == [1.5, 3.0]
    assert other.length.tolist() == [3, 2]


def test_segments_may_come_in_any_order_and_keys_may_be_given(tmp_path):
    losses = np.array([1.0, 10.0, 3.0, 20.0, 5.0], np.float32)
    mixed = LossLogger(tmp_path / "ids", KEYS)
    mixed.log(np.array([1, 50, 2, 60, 3]), losses, np.array([4, 1, 4, 1, 4]), step=0, epoch=0)
    assert mixed.close()
    given = LossLogger(tmp_path / "keys", KEYS)
    own = np.array([77, 88], np.uint64)
    given.log(own, losses, np.array([1, 0, 1, 0, 1]), step=0, epoch=0)
    assert given.close()
    by_ids, by_keys = (read_visits(tmp_path / name, KEYS).rows for name in ("ids", "keys"))
    assert by_ids.key.tolist() == [KEYS.key([50, 60]), KEYS.key([1, 2, 3])]
    assert by_keys.key.tolist() == [77, 88]
    assert by_ids.loss.tolist() == by_keys.loss.tolist() == [15.0, 3.0]


def test_samples_without_a_loss_are_no_visits(tmp_path):
    logger = LossLogger(tmp_path / "trace", KEYS)
    logger.log(np.array([1, 2, 3]), np.zeros(3), np.array([0, 0, 1]), np.array([1, 1, 0]), step=0, epoch=0)
    logger.log(np.zeros(0, int), np.zeros(0), np.zeros(0, int), step=0, epoch=0)
    logger.log(np.array([1]), np.zeros(1), np.array([-1]), step=0, epoch=0)
    assert logger.close()
    assert read_visits(tmp_path / "trace", KEYS).rows.key.tolist() == [KEYS.key([1, 2])]


def test_a_share_of_the_samples_is_the_same_in_every_epoch(tmp_path):
    everything = read_visits(write_run(tmp_path / "all", range(18)), KEYS).rows
    some = read_visits(write_run(tmp_path / "some", range(18), share=0.5), KEYS)
    expected = in_share(everything.key, 0.5)
    assert 0 < expected.sum() < len(expected)
    assert some.rows.key.tolist() == everything.key[expected].tolist()
    assert some.missing_steps is None


def test_arrays_that_change_after_they_were_logged_do_not_change_the_trace(tmp_path):
    logger = LossLogger(tmp_path / "trace", KEYS)
    ids, losses, segments, mask = np.array([[4, 5, 6]]), np.ones((1, 3)), np.zeros((1, 3), int), np.ones((1, 3), bool)
    logger.log(ids, losses, segments, mask, step=1, epoch=0)
    for array in (ids, losses, mask):
        array[:] = 0
    segments[:] = -1
    assert logger.close()
    rows = read_visits(tmp_path / "trace", KEYS).rows
    assert (rows.key.tolist(), rows.loss.tolist(), rows.tokens.tolist()) == ([KEYS.key([4, 5, 6])], [1.0], [3])


def test_a_trace_takes_twenty_bytes_a_visit(tmp_path):
    rng = np.random.default_rng(0)
    logger = LossLogger(tmp_path / "trace", KEYS)
    n = 20_000
    for step in range(n // 50):
        size = rng.integers(60, 340, 50)
        losses = rng.gamma(0.6, 4.0, size.sum()).astype(np.float32)
        logger.log(rng.integers(0, 50_000, size.sum()), losses, np.repeat(np.arange(50), size), step=step, epoch=0)
        while logger._writer._waiting > 2_000_000:  # no training takes its time here
            time.sleep(0.001)
    assert logger.close()
    assert logger.dropped == parts.Losses()
    assert sum(path.stat().st_size for path in (tmp_path / "trace").iterdir()) / n <= 20


def test_files_say_that_they_are_personal_data_and_are_for_this_user_alone(tmp_path):
    folder = write_run(tmp_path / "trace", range(3))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"Personal data: with its key, this trace tells whether a text was trained on" in path.read_bytes()
        assert KEYS.secret.hex().encode() not in path.read_bytes()
    assert len(list(folder.iterdir())) == 3


def test_anyone_can_read_a_part_as_parquet(tmp_path):
    (path,) = write_run(tmp_path / "trace", range(3)).glob("visits-*.parquet")
    table = pq.read_table(path)
    assert table.column_names == ["key", "step", "epoch", "length", "unscored", "loss", "token_losses"]
    assert len(table) == 12


def test_parts_are_written_when_they_are_full_and_when_a_checkpoint_asks(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "GATHERED", 1)
    logger = LossLogger(tmp_path / "trace", KEYS, part_visits=8)
    log_steps(logger, range(1))
    assert logger.flush()
    assert [name.kind for name in parts.named_files(tmp_path / "trace")] == ["open", "visits"]
    assert logger.flush()
    log_steps(logger, range(1, 7))
    assert logger.close()
    assert [name.kind for name in parts.named_files(tmp_path / "trace")].count("visits") == 4
    assert len(read_visits(tmp_path / "trace", KEYS).rows) == 28
    assert logger.close()


def test_a_run_that_resumes_has_every_step_once(tmp_path):
    folder = tmp_path / "trace"
    first = LossLogger(folder, KEYS)
    log_steps(first, range(5))
    assert first.flush()  # the checkpoint of five steps
    log_steps(first, range(5, 9))
    assert first.flush()  # and the process dies: nothing is closed
    second = LossLogger(folder, KEYS)
    second.resume(5)
    log_steps(second, range(5, 12))
    assert second.close()
    resumed, whole = (
        read_visits(folder, KEYS),
        read_visits(write_run(tmp_path / "whole", range(12), token_share=0.05), KEYS),
    )
    assert matrix(resumed) == matrix(whole)
    assert (resumed.generations, resumed.superseded, resumed.missing_steps) == (2, 16, 0)


def test_the_first_step_tells_where_a_run_continues_that_does_not_say_so(tmp_path):
    folder = tmp_path / "trace"
    for steps in (range(9), range(5, 12)):
        logger = LossLogger(folder, KEYS)
        log_steps(logger, steps)
        assert logger.close()
    assert matrix(read_visits(folder, KEYS)) == matrix(read_visits(write_run(tmp_path / "whole", range(12)), KEYS))


def resumed(folder, *starts):
    for first, steps in starts:
        logger = LossLogger(folder, KEYS)
        logger.resume(first)
        log_steps(logger, steps)
        assert logger.close()
    return read_visits(folder, KEYS)


@pytest.mark.parametrize(
    ("starts", "superseded"),
    [
        ([(0, range(9)), (3, range(3, 6)), (6, range(6, 12))], 24),
        ([(0, range(9)), (3, range(3, 3)), (6, range(6, 12))], 12),
        ([(0, range(9)), (3, range(3, 4)), (6, range(6, 12))], 16),
        ([(0, range(9)), (0, range(12))], 36),
        ([(0, range(4)), (4, range(4, 8)), (4, range(4, 12))], 16),
    ],
    ids=[
        "twice",
        "nothing logged between",
        "from a later checkpoint of an earlier start",
        "anew",
        "twice from the same",
    ],
)
def test_a_trace_is_the_history_of_the_last_checkpoint(tmp_path, starts, superseded):
    visits = resumed(tmp_path / "trace", *starts)
    assert matrix(visits) == matrix(read_visits(write_run(tmp_path / "whole", range(12)), KEYS))
    assert (visits.superseded, visits.missing_steps) == (superseded, 0)


def test_steps_that_a_checkpoint_did_not_wait_for_are_counted_as_missing(tmp_path):
    visits = resumed(tmp_path / "trace", (0, range(3)), (5, range(5, 8)))
    assert visits.missing_steps == 2


def test_a_full_disk_stops_nothing_and_what_is_dropped_is_counted(tmp_path, monkeypatch):
    folder = tmp_path / "trace"
    logger = LossLogger(folder, KEYS, part_visits=4)
    log_steps(logger, range(2))
    assert logger.flush()
    write = parts._write

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(parts, "_write", full)
    log_steps(logger, range(2, 5))
    assert not logger.flush()
    monkeypatch.setattr(parts, "_write", write)
    assert (logger.dropped.dropped_visits, logger.problem) == (12, "No space left on device")
    log_steps(logger, range(5, 6))
    assert logger.flush()
    still_open = read_visits(folder, KEYS)
    assert (still_open.dropped_visits, still_open.missing_steps, still_open.closed) == (12, 3, False)
    assert logger.close()
    closed = read_visits(folder, KEYS)
    assert (closed.dropped_visits, len(closed.rows), closed.closed) == (12, 12, True)


def test_a_file_system_that_cannot_sync_a_folder_loses_nothing(tmp_path, monkeypatch):
    sync = os.fsync

    def files_alone(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", files_alone)
    visits = read_visits(write_run(tmp_path / "trace", range(6), checkpoint=3), KEYS)
    assert (len(visits.rows), visits.dropped_visits) == (24, 0)


def test_a_folder_that_vanishes_stops_nothing(tmp_path):
    folder = tmp_path / "trace"
    logger = LossLogger(folder, KEYS)
    log_steps(logger, range(2))
    assert logger.flush()
    shutil.rmtree(folder)
    folder.write_text("a file in its place")
    log_steps(logger, range(2, 4))
    assert not logger.close()
    assert (logger.dropped.dropped_visits, logger.problem) == (8, "Not a directory")


def test_a_disk_that_hangs_does_not_hold_up_a_step(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MOST_WAITING", 120)
    monkeypatch.setattr(writer, "GATHERED", 1)
    hangs, write = threading.Event(), parts._write

    def slow(*arguments):
        hangs.wait()
        write(*arguments)

    monkeypatch.setattr(parts, "_write", slow)
    logger = LossLogger(tmp_path / "trace", KEYS, part_visits=1)
    began = time.monotonic()
    log_steps(logger, range(60))
    assert not logger.flush(0.01)
    assert time.monotonic() - began < 5
    hangs.set()
    assert logger.close()
    dropped = logger.dropped.dropped_batches
    assert 0 < dropped < 60
    visits = read_visits(tmp_path / "trace", KEYS)
    assert (visits.dropped_batches, len(visits.rows)) == (dropped, 4 * (60 - dropped))


def test_a_batch_that_makes_no_sense_does_not_take_others_with_it(tmp_path):
    logger = LossLogger(tmp_path / "trace", KEYS)
    log_steps(logger, range(1))
    logger.log(np.array([77], np.uint64), np.ones((2, 3)), step=1, epoch=0)  # a key for two samples
    log_steps(logger, range(2, 3))
    assert not logger.close()
    assert logger.dropped.dropped_batches == 1
    assert logger.problem.startswith("IndexError: index 1 is out of bounds")
    assert read_visits(tmp_path / "trace", KEYS).rows.step.tolist() == [0] * 4 + [2] * 4


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path):
    folder = write_run(tmp_path / "trace", range(2))
    left = folder / ".visits-g0000-r00000-p000009-00.parquet.tmp"
    others = folder / ".visits-g0000-r00001-p000009-00.parquet.tmp"
    left.write_bytes(b"half")
    others.write_bytes(b"half")
    logger = LossLogger(folder, KEYS, token_share=0.5)
    log_steps(logger, range(2, 3))
    assert logger.close()
    assert not left.exists()
    assert others.exists()


def test_a_process_that_forgets_to_close_loses_nothing(tmp_path):
    program = (
        "import sys, pathlib; from tests.support.run_traces import *; "
        "log_steps(LossLogger(pathlib.Path(sys.argv[1]), KEYS), range(3))"
    )
    program += "; import atexit; atexit.register(lambda: print('pandas' in sys.modules))"
    command = [sys.executable, "-c", program, str(tmp_path / "trace")]
    assert subprocess.check_output(command, timeout=120) == b"False\n"
    visits = read_visits(tmp_path / "trace", KEYS)
    assert (len(visits.rows), visits.closed) == (12, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(4, int), np.zeros(4)), "without segments, token losses have a row for each sample"),
        ((np.zeros((1, 4), int), np.zeros((1, 3))), r"tokens of shape \(1, 4\) beside token losses of shape \(1, 3\)"),
        ((np.zeros(3, int), np.zeros(3), np.zeros(2, int)), r"segments of shape \(2,\) beside"),
        ((np.zeros(3, int), np.zeros(3), np.zeros(3, int), np.zeros(2)), r"mask of shape \(2,\) beside"),
    ],
)
def test_shapes_that_do_not_agree_are_refused_at_once(tmp_path, arguments, message):
    logger = LossLogger(tmp_path / "trace", KEYS)
    with pytest.raises(UsageError, match=message):
        logger.log(*arguments, step=0, epoch=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "are shares of all samples"),
        ({"token_share": 1.5}, "are shares of all samples"),
        ({"rank": 2, "world": 2, "generation": 0}, "rank 2 of 2: ranks count from 0"),
        ({"world": 2}, "several ranks have to agree on the generation"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        LossLogger(tmp_path / "trace", KEYS, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": "other"}, "holds a trace with run none, not other"),
        ({"tokenizer": "0123"}, "holds a trace with tokenizer none, not 0123"),
        ({"share": 0.5}, "holds a trace with share 1.0, not 0.5"),
        ({"keys": SampleKeys(b"y" * 32)}, "written with another key, .* choose another folder"),
    ],
)
def test_a_folder_holds_the_trace_of_one_run(tmp_path, options, message):
    folder = write_run(tmp_path / "trace", range(2))
    with pytest.raises(UsageError, match=message):
        LossLogger(folder, **{"keys": KEYS, "token_share": 0.5, **options})


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="cannot write: Not a directory"):
        LossLogger(tmp_path / "file" / "trace", KEYS)


def test_a_start_is_resumed_before_it_logs_and_never_goes_back(tmp_path):
    logger = LossLogger(tmp_path / "trace", KEYS)
    logger.resume(5)
    with pytest.raises(UsageError, match="step 4 comes before step 5, from which this run continues"):
        log_steps(logger, range(4, 5))
    log_steps(logger, range(5, 6))
    with pytest.raises(UsageError, match="resume comes before the first batch"):
        logger.resume(6)
    logger.close()
    with pytest.raises(UsageError, match="this logger is closed"):
        log_steps(logger, range(6, 7))


def test_generations_are_counted_over_all_ranks(tmp_path):
    assert next_generation(tmp_path / "absent") == 0
    folder = write_run(tmp_path / "trace", range(2), ranks=2)
    (last,) = folder.glob("open-g0000-r00001-*")
    name = next(name for name in parts.named_files(folder) if str(name) == last.name)
    last.rename(folder / str(replace(name, generation=7)))
    assert next_generation(folder) == 8
