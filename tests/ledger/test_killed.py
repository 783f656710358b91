"""The benchmark of the ledger, small: many writers, some of them killed in the act, and nothing lost."""

from bench.vendors.ledger import Survival, measure_survival


def test_what_was_acknowledged_to_killed_writers_is_there(tmp_path):
    found = measure_survival(tmp_path, writers=3, records=20, kills=3)
    assert (found.kills, found.entries, found.lost, found.problems) == (3, 60, 0, 0)
    assert found.holds


def test_a_lost_record_would_be_told():
    whole = {"writers": 2, "records": 10, "kills": 1, "entries": 20, "lost": 0, "problems": 0, "seconds": 1.0}
    assert Survival(**whole).holds
    assert not any(Survival(**whole | {name: 1}).holds for name in ("entries", "lost", "problems"))
