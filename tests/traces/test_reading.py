import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from carto_audit.runtime.errors import AuditError, ExitCode
from carto_audit.traces import parts
from carto_audit.traces.keys import SampleKeys
from carto_audit.traces.logger import LossLogger
from carto_audit.traces.parts import Losses, Opening, named_files, write_note, write_part
from carto_audit.traces.reading import first_visits, read_visits
from carto_audit.traces.visits import join_visits
from tests.support.run_traces import KEYS, log_steps, losses_of, samples_of, write_run


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Two ranks, two parts each, closed."""
    return write_run(tmp_path_factory.mktemp("run") / "trace", range(12), ranks=2, checkpoint=6, run="a", tokenizer="t")


@pytest.fixture
def copy(trace, tmp_path):
    return shutil.copytree(trace, tmp_path / "copy")


def names(folder, kind, rank=0):
    return [name for name in named_files(folder) if (name.kind, name.rank) == (kind, rank)]


def refusal(folder, keys=KEYS, **options):
    """The one line with which a trace is refused."""
    with pytest.raises(AuditError) as caught:
        read_visits(folder, keys, **options)
    assert caught.value.exit_code == ExitCode.INCOMPLETE
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value).removeprefix(f"{folder}: ").removeprefix(f"{folder}/")


def test_ranks_are_read_in_order_of_their_steps(trace):
    visits = read_visits(trace, KEYS, tokenizer="t")
    assert visits.rows.step.tolist() == np.repeat(np.arange(12), 8).tolist()
    assert visits.rows.rank.tolist() == [0, 0, 0, 0, 1, 1, 1, 1] * 12
    assert (visits.opening.world, visits.opening.run, visits.closed) == (2, "a", True)
    keys = [int(KEYS.key(sample)) for step in range(12) for rank in range(2) for sample in samples_of(step, rank)]
    assert visits.rows.key.tolist() == keys


def test_the_matrix_takes_the_first_visit_of_an_epoch(tmp_path):
    logger = LossLogger(tmp_path / "trace", KEYS)
    visits = [(1, 0, 2.0), (0, 0, 1.0), (2, 1, 3.0), (3, 1, 4.0), (5, 3, 6.0)]  # step, epoch, loss of one sample
    for step, epoch, loss in visits:
        logger.resume(0) if step == 1 and epoch == 0 else None
        logger.log(np.array([1, 2]), np.array([np.nan, loss]), np.zeros(2, int), step=step, epoch=epoch)
    logger.log(np.array([3, 4]), np.array([np.nan, 9.0]), np.zeros(2, int), step=4, epoch=1)
    assert logger.close()
    read = read_visits(tmp_path / "trace", KEYS)
    matrix = first_visits(read)
    expected = {int(KEYS.key([1, 2])): [1, 3, np.nan, 6], int(KEYS.key([3, 4])): [np.nan, 9, np.nan, np.nan]}
    assert matrix.key.tolist() == sorted(expected)
    np.testing.assert_array_equal(matrix.loss, [expected[key] for key in sorted(expected)])
    there = matrix.visit >= 0
    assert (there == np.isfinite(matrix.loss)).all()
    assert (read.rows.loss[matrix.visit[there]] == matrix.loss[there]).all()


def test_a_sample_that_two_ranks_see_in_an_epoch_counts_once(tmp_path):
    for rank in (0, 1):
        logger = LossLogger(tmp_path / "trace", KEYS, rank=rank, world=2, generation=0)
        log_steps(logger, range(6))  # the same samples
        assert logger.close()
    visits = read_visits(tmp_path / "trace", KEYS)
    matrix = first_visits(visits)
    assert (len(visits.rows), matrix.loss.shape) == (48, (24, 1))
    assert (visits.rows.rank[matrix.visit] == 0).all()


def test_visits_can_be_selected_with_their_token_losses(trace):
    rows = read_visits(trace, KEYS).rows
    places = np.array([50, 3, 3, 20])
    chosen = rows.select(places)
    assert chosen.key.tolist() == rows.key[places].tolist()
    for i, place in enumerate(places):
        np.testing.assert_array_equal(chosen.token_losses(i), rows.token_losses(place))
    assert sum(len(chosen.token_losses(i)) for i in range(4)) == len(chosen.steps) > 0
    kept = rows.select(np.diff(rows.offsets) > 0)
    sample = next(sample for sample in samples_of(kept.step[0], kept.rank[0]) if KEYS.key(sample) == kept.key[0])
    np.testing.assert_allclose(kept.token_losses(0), losses_of(sample, kept.step[0]), atol=0.04)
    assert (join_visits([rows.select(np.arange(9)), rows.select(np.arange(9, 96))]).steps == rows.steps).all()


def test_losses_beyond_a_byte_saturate(tmp_path):
    logger = LossLogger(tmp_path / "trace", KEYS, token_share=1.0)
    logger.log(np.array([1, 2, 3]), np.array([np.nan, 40.0, 15.9]), np.zeros(3, int), step=0, epoch=0)
    assert logger.close()
    rows = read_visits(tmp_path / "trace", KEYS).rows
    np.testing.assert_array_equal(rows.token_losses(0), [np.nan, 15.875, 15.875])
    assert rows.loss[0] == pytest.approx(27.95, abs=1e-3)


def test_a_folder_without_a_trace_is_refused(tmp_path):
    assert refusal(tmp_path / "absent") == "no trace of a run: No such file or directory"
    (tmp_path / "other.parquet").write_text("")
    assert refusal(tmp_path) == "no trace of a run: it holds no file of one"


def test_a_trace_that_logged_nothing_is_refused(tmp_path):
    logger = LossLogger(tmp_path / "trace", KEYS)
    logger.log(np.array([1]), np.zeros(1), np.array([-1]), step=0, epoch=0)
    assert logger.close()
    assert refusal(tmp_path / "trace") == "the trace has no visit"


def test_another_key_is_refused_by_its_name(trace):
    other = SampleKeys(b"y" * 32)
    assert refusal(trace, other).endswith(f"written with another key, {KEYS.key_id}, not with {other.key_id}")


def test_another_tokenizer_is_refused(trace, tmp_path):
    assert refusal(trace, tokenizer="u") == "the run's tokenizer is t, not u: its keys say nothing here"
    assert "is none that was named, not u" in refusal(write_run(tmp_path / "x", range(2)), tokenizer="u")


def test_a_missing_rank_is_refused(copy):
    for path in copy.glob("*-r00001-*"):
        path.unlink()
    assert refusal(copy) == "generation 0: rank 1 of 2 is missing"


@pytest.mark.parametrize("place", [0, 1])
def test_a_missing_part_is_refused(copy, place):
    (copy / str(names(copy, "visits")[place])).unlink()
    assert refusal(copy) == f"rank 0, generation 0: part {place} is missing"


def test_a_missing_opening_is_refused(copy):
    (copy / str(names(copy, "open")[0])).unlink()
    assert refusal(copy).startswith("rank 0, generation 0: 0 opening notes")


@pytest.mark.parametrize("kind", ["visits", "close", "open"])
def test_a_truncated_file_is_refused_before_it_is_decoded(copy, kind, monkeypatch):
    monkeypatch.setattr(parts.pq, "read_table", lambda *_: pytest.fail("decoded"))
    (name, *_) = names(copy, kind)
    path = copy / str(name)
    path.write_bytes(path.read_bytes()[:-9])
    assert refusal(copy).startswith(f"{name}: not a")


@pytest.mark.parametrize("kind", ["visits", "close", "open"])
def test_a_changed_byte_is_refused(copy, kind):
    (name, *_) = names(copy, kind)
    data = (copy / str(name)).read_bytes()
    changed = (
        data.replace(b'"rank": 0', b'"rank": 1').replace(b'"parts": 2', b'"parts": 1')
        if kind != "visits"
        else data + b" "
    )
    assert changed != data
    (copy / str(name)).write_bytes(changed)
    assert refusal(copy) == f"{name}: not as it was written: damaged, forged or of another run"


def test_a_part_in_another_place_is_refused(copy):
    first, second = names(copy, "visits")
    data = (copy / str(first)).read_bytes()
    (copy / str(second)).unlink()
    (copy / str(replace(first, part=1))).write_bytes(data)
    assert "not as it was written" in refusal(copy)


def test_a_part_of_another_run_is_refused(copy, tmp_path):
    other = write_run(tmp_path / "other", range(12), ranks=2, checkpoint=6, run="b", tokenizer="t")
    (old,), (new,) = names(copy, "visits")[1:], names(other, "visits")[1:]
    (copy / str(old)).unlink()
    shutil.copy(other / str(new), copy)
    assert "not as it was written" in refusal(copy)


@pytest.mark.parametrize(
    "name",
    [
        "visits-x.parquet",
        "visits-g0000-r00000-p000000-" + "0" * 32 + ".json",
        "open-g0000-r00000-p000001-" + "0" * 32 + ".json",
        "close-g0000-r00000-\x1b[31m" + "0" * 32 + ".json",
    ],
)
def test_a_name_that_is_none_of_ours_is_refused(copy, name):
    (copy / name).write_text("")
    said = refusal(copy)
    assert said.endswith("not the name of a file of a trace; it was renamed or forged")
    assert "\x1b" not in said


def test_files_that_are_no_files_are_refused(copy):
    (name, *_) = names(copy, "close")
    path = copy / str(name)
    path.unlink()
    os.mkfifo(path)
    assert refusal(copy) == f"{name}: cannot be read: not a regular file"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"[" * 50_000, b'{"format": "x"}', b"\xff", b"{" + b" " * (1 << 17)]
)
def test_a_note_that_is_none_is_refused(copy, data):
    (name, *_) = names(copy, "open")
    (copy / str(name)).write_bytes(data)
    assert refusal(copy).startswith(f"{name}: ")


OPENING = Opening(
    key_id=KEYS.key_id, run="", tokenizer="", share=1.0, token_share=1.0, world=1, generation=0, rank=0, resumed_at=3
)


def sealed(folder, rows, opening=OPENING):
    """A trace of one part, written by who has the key."""
    folder.mkdir()
    write_note(folder, KEYS, opening, opening)
    write_part(folder, KEYS, opening, 0, rows, Losses())
    return folder


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "trace"
    return read_visits(write_run(folder, range(3, 5), token_share=1.0), KEYS).rows


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("loss", np.nan, "a loss that is no number: the run diverged there (step 3; 1 of 8 visits)"),
        ("loss", np.inf, "a loss that is no number: the run diverged there (step 3; 1 of 8 visits)"),
        ("loss", -1.0, "a negative loss (step 3; 1 of 8 visits)"),
        ("tokens", 0, "a visit without tokens (step 3; 1 of 8 visits)"),
        ("tokens", 99, "a visit without tokens (step 3; 1 of 8 visits)"),
        ("tokens", 1, "token losses that are not as many as were scored"),
        ("length", 99, "token losses that are not as many as tokens (step 3; 1 of 8 visits)"),
        ("epoch", -1, "a negative epoch (step 3; 1 of 8 visits)"),
        ("step", 2, "a step before 3, from which it continues (step 2; 1 of 8 visits)"),
    ],
)
def test_visits_that_cannot_be_are_refused(tmp_path, good, name, value, problem):
    assert read_visits(sealed(tmp_path / "good", good), KEYS).missing_steps == 0
    column = getattr(good, name).copy()
    place = int(np.argmax(good.tokens > 1))
    column[place] = value
    assert (
        refusal(sealed(tmp_path / "trace", replace(good, **{name: column})))
        == f"rank 0, generation 0, part 0: {problem}"
    )


def test_more_epochs_than_a_matrix_has_room_for_are_refused(tmp_path, good):
    rows = replace(good, epoch=np.full(len(good), 2_000_000_000, np.int32))
    visits = read_visits(sealed(tmp_path / "trace", rows), KEYS)
    with pytest.raises(AuditError, match="counts 2,000,000,001 epochs; at most 10,000 make a matrix"):
        first_visits(visits)


def test_runs_in_one_folder_and_ranks_that_disagree_are_refused(tmp_path, good):
    folder = sealed(tmp_path / "trace", good)
    other = replace(OPENING, generation=1, run="b")
    write_note(folder, KEYS, other, other)
    assert refusal(folder) == "holds files of 2 runs, or of one that was logged in several ways"
    folder = sealed(tmp_path / "ranks", good, replace(OPENING, world=2))
    other = replace(OPENING, world=2, rank=1, resumed_at=0)
    write_note(folder, KEYS, other, other)
    assert refusal(folder) == "generation 0: its ranks disagree on how many they are or where they continued"


def test_a_sealed_part_that_is_no_table_is_refused(tmp_path, good):
    folder = sealed(tmp_path / "trace", good)
    (name,) = names(folder, "visits")
    (folder / str(name)).unlink()
    parts._write(folder, KEYS, OPENING, "visits", 0, b"PAR1 nothing PAR1")
    assert "not a part of a trace: " in refusal(folder)


def test_notes_can_be_read_without_us(trace):
    (name, *_) = names(trace, "open")
    note = json.loads((trace / str(name)).read_text())
    assert (note["key_id"], note["world"], note["share"], note["resumed_at"]) == (KEYS.key_id, 2, 1.0, 0)
