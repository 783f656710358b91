import random

import pytest

from bench.vendors.made_up import made_up_audit
from carto_audit.artifacts.audit_record import ACCEPTED
from carto_audit.ledger.cusum import CUSUM, WATCHED, cusum, reading
from carto_audit.ledger.entry import check_vendor
from carto_audit.ledger.store import enter
from carto_audit.ledger.vendor_ledger import check_apart, open_vendor
from carto_audit.policy.metrics import METRICS, Measurement
from carto_audit.runtime.errors import UsageError

DRAWN = {
    "difficulty": {"threshold": {"percentile": 75.0}, "burn_in_share": 0.2},
    "memorization": {"score": "memorized"},
}
NEW = "9" * 64


def audits(*shares, statuses=None, vendor="acme", **changed):
    """Audits with these memorized shares, accepted unless `statuses` say otherwise."""
    made = []
    for number, share in enumerate(shares):
        draft = made_up_audit(number, vendor, random.Random(number))
        draft["metrics"][WATCHED] = [share, share - 0.01, share + 0.01]
        draft["verdict"]["status"] = statuses[number] if statuses else "accepted"
        made.append(draft | changed)
    return made


@pytest.fixture
def opened(tmp_path):
    """Enters audits, and opens the ledger as an audit of the vendor does."""

    def make(drafts, vendor="acme", drawn=DRAWN):
        path = tmp_path / "it"
        enter(path, drafts)
        return open_vendor(path, vendor, drawn)

    return make


def test_the_baseline_is_the_last_accepted_audit_of_another_batch(opened):
    statuses = ["accepted", "accepted_with_warnings", "rejected", "inconclusive"]
    drafts = audits(0.01, 0.02, 0.03, 0.04, statuses=statuses)
    vendor = opened(drafts)
    record = vendor.baseline(NEW)
    assert record.name == "entry 2 of the ledger"
    assert record.status in ACCEPTED
    assert record.measurements[WATCHED] == Measurement(value=0.02, low=0.01, high=0.03)
    assert (record.setting.proxy, record.map, record.policy_name) == ("nano", DRAWN, "default")
    assert set(record.measurements) <= set(METRICS)
    assert vendor.baseline(drafts[1]["batch"]["sha256"]).name == "entry 1 of the ledger"


def test_a_vendor_without_an_accepted_audit_has_no_baseline(opened):
    vendor = opened(audits(0.01, 0.02, statuses=["rejected", "inconclusive"]))
    assert vendor.baseline(NEW) is None
    assert opened([], vendor="globex").baseline(NEW) is None


def test_the_cusum_runs_over_the_accepted_batches_and_this_one(opened):
    statuses = ["accepted", "accepted", "rejected", "accepted_with_warnings", "accepted"]
    vendor = opened(audits(0.02, 0.03, 0.9, 0.04, 0.06, statuses=statuses))
    now = Measurement(value=0.07, low=0.06, high=0.08)
    whole = [*(Measurement(value=v, low=v - 0.01, high=v + 0.01) for v in (0.02, 0.03, 0.04, 0.06)), now]
    expected = cusum([reading(m, 0.975) for m in whole])
    assert vendor.measured(NEW, {WATCHED: now}, "nano", 0.975) == {CUSUM: Measurement.exact(pytest.approx(expected))}
    assert expected > 3


def test_a_batch_is_not_summed_twice_nor_with_itself(opened):
    drafts = audits(0.02, 0.03, 0.04, 0.06)
    again = audits(0.02, 0.03, 0.04, 0.09)[3] | {"audit": "7" * 64}
    vendor = opened([*drafts, again])
    now = {WATCHED: Measurement(value=0.07, low=0.06, high=0.08)}
    once = cusum(
        [reading(Measurement(value=v, low=v - 0.01, high=v + 0.01), 0.975) for v in (0.02, 0.03, 0.04, 0.06, 0.07)]
    )
    assert vendor.measured(NEW, now, "nano", 0.975)[CUSUM].value == pytest.approx(once)
    without = cusum(
        [reading(Measurement(value=v, low=v - 0.01, high=v + 0.01), 0.975) for v in (0.02, 0.03, 0.04, 0.07)]
    )
    assert vendor.measured(again["batch"]["sha256"], now, "nano", 0.975)[CUSUM].value == pytest.approx(without)


@pytest.mark.parametrize(
    "how",
    [
        {"proxy": "small"},
        {"drawn": DRAWN | {"memorization": {"score": "forget_score"}}},
        {"vendor": "globex"},
        {"measured": {}},
    ],
    ids=["another proxy", "another map", "another vendor", "not measured"],
)
def test_what_was_measured_otherwise_has_no_cusum(opened, how):
    vendor = opened(audits(0.02, 0.03, 0.04, 0.06), vendor=how.get("vendor", "acme"), drawn=how.get("drawn", DRAWN))
    now = how.get("measured", {WATCHED: Measurement(value=0.07, low=0.06, high=0.08)})
    assert vendor.measured(NEW, now, how.get("proxy", "nano"), 0.975) == {}


def test_a_vendor_and_a_ledger_belong_together(tmp_path):
    assert open_vendor(None, None, DRAWN) is None
    with pytest.raises(UsageError, match="ledger needs vendor"):
        open_vendor(tmp_path / "it", None, DRAWN)
    with pytest.raises(UsageError, match="vendor needs ledger"):
        open_vendor(None, "acme", DRAWN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", " acme", "acme ", "a\nb", "a\u202eb", "a\u200bb", "x" * 81, "a  b"])
def test_a_name_that_looks_like_another_is_refused(name):
    with pytest.raises(UsageError, match=r"vendor.*: one line of 1 to 80 visible characters"):
        check_vendor(name)


def test_names_of_all_scripts_are_names():
    assert check_vendor("Société Générale, 東京") == "Société Générale, 東京"
    assert check_vendor("Cafe\u0301") == "Caf\u00e9"


def test_a_ledger_lies_apart_from_audit_and_batch(tmp_path):
    check_apart(None, tmp_path, [tmp_path])
    check_apart(tmp_path / "it", tmp_path / "out", [tmp_path / "batch"])
    with pytest.raises(UsageError, match="the folder that others will receive"):
        check_apart(tmp_path / "out" / "it", tmp_path / "out", [])
    with pytest.raises(UsageError, match="where the batch is read"):
        check_apart(tmp_path / "batch" / "it", None, [tmp_path / "batch"])
