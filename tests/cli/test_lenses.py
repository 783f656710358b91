"""The commands about lenses."""

import pytest

from carto_audit.lenses.declared import known
from tests.lenses import strange
from tests.support.audits import sentences, write_parquet


@pytest.fixture
def batch(tmp_path):
    return write_parquet(tmp_path / "batch.parquet", [*sentences(40), *sentences(1) * 9])


def test_a_lens_is_tried_on_a_batch(carto, batch):
    ended = carto("lenses", "test", "repetition", batch)
    assert ended.code == 0
    assert "of the tokens would be read 10 to 1,000 times; finds at least" in ended.out
    assert "20 of 20 planted 8 times (at least 86 %)" in ended.out
    assert "takes 0 of 40 look-alikes" in ended.out


@pytest.mark.parametrize(
    ("lens", "said"), [(strange.Blind, "finds 0 of 15 planted once"), (strange.Crashing, "failed")]
)
def test_a_lens_that_fails_or_finds_nothing_ends_with_3(carto, batch, monkeypatch, lens, said):
    spec = strange.spec_of(lens.__name__, doses=(1, 3) if lens is strange.Blind else ())
    monkeypatch.setitem(known.SHIPPED, spec.name, known.KnownLens(spec=spec))
    ended = carto("lenses", "test", spec.name, batch)
    assert ended.code == 3
    assert said in ended.out


def test_a_lens_or_a_batch_that_is_not_there_is_one_line(carto, batch, tmp_path):
    for arguments, said in (
        (("repetitions", batch), 'did you mean "repetition"?'),
        (("repetition", tmp_path / "none.parquet"), "no such file"),
    ):
        ended = carto("lenses", "test", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err
