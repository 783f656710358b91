"""A hub that breaks off: its library asks again and again, for half a minute."""

from tests.runtime.remote.test_hub_files import FILES, fetch_all
from tests.support.fake_hub import fake_hub


def test_a_file_of_the_hub_that_breaks_off_leaves_nothing(tmp_path):
    with fake_hub({"org/half": {"a.parquet": b"PAR1" * 100}, "org/set": FILES}) as (address, _):
        (code, words), *_ = fetch_all(address, tmp_path, "hf://datasets/org/half")
    assert code == 3
    assert "a.parquet: the hub does not answer, or breaks off" in words
    assert list((tmp_path / "spool" / "objects").iterdir()) == []
