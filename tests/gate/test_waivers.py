"""Which waivers hold for which batch, and that none is passed over in silence."""

from datetime import date, timedelta

import pytest

from carto_audit.gate.waivers import BatchName, use_waiver
from carto_audit.policy.model import Waiver

TODAY = date(2026, 11, 21)
DIGEST = "0123456789abcdef" * 4


def waiver(**changes):
    plain = {"rule": "mass", "owner": "governance", "reason": "legacy delivery, see DG-1", "expires": date(2027, 3, 1)}
    return Waiver.model_validate({**plain, **changes})


def used(given, outcome="failed", observed=0.5, names=("vendor-a-june.parquet",), sha256=DIGEST):
    return use_waiver(given, outcome, observed, BatchName(names=names, sha256=sha256), TODAY)


@pytest.mark.parametrize(
    ("subject", "names", "state"),
    [
        (None, ("x.parquet",), "used"),
        ("vendor-a-*", ("vendor-a-june.parquet",), "used"),
        ("vendor-a-*", ("vendor-a-1.parquet", "vendor-b-1.parquet"), "other_batch"),
        ("vendor-a-*", (), "other_batch"),
        ("vendor-A-*", ("vendor-a-june.parquet",), "other_batch"),
        ("sha256:01234567", ("x",), "used"),
        (f"sha256:{DIGEST}", ("x",), "used"),
        ("sha256:11234567", ("x",), "other_batch"),
        ("sha256*", ("sha256 of all.parquet",), "used"),
    ],
)
def test_a_waiver_holds_for_the_batch_that_it_is_for(subject, names, state):
    assert used(waiver(subject=subject), names=names).state == state


@pytest.mark.parametrize("subject", ["0123456789ab", DIGEST, "sha256:0123", "sha256:XYZ", "sha256:" + "0" * 65])
def test_a_digest_that_would_match_nothing_or_too_much_is_refused(subject):
    with pytest.raises(ValueError, match="sha256:"):
        waiver(subject=subject)


@pytest.mark.parametrize(
    ("given", "outcome", "observed", "state", "words"),
    [
        (waiver(), "failed", 0.5, "used", []),
        (waiver(), "passed", 0.0, "unused", ["is not needed"]),
        (waiver(max_value=0.4), "failed", 0.5, "exceeded", ["worse than its max_value 0.4"]),
        (waiver(), "not_measured", None, "powerless", ["cannot be waived"]),
        (waiver(), "underpowered", 0.5, "powerless", ["cannot be waived"]),
        (waiver(expires=TODAY - timedelta(days=1)), "passed", 0.0, "expired", ["expired on 2026-11-20"]),
        (waiver(expires=TODAY), "failed", 0.5, "used", ["notice: ", "ends on 2026-11-21"]),
        (waiver(expires=TODAY, subject="b*"), "failed", 0.5, "other_batch", ["which this batch is not", "ends on"]),
        (waiver(owner="\x1b[31m\n::error::"), "passed", 0.0, "unused", ["by [31m ::error::"]),
    ],
)
def test_what_became_of_a_waiver_is_said(given, outcome, observed, state, words):
    found = used(given, outcome, observed)
    said = list(found.warnings)
    assert found.state == state
    assert all(any(word in line for line in said) for word in words)
    assert bool(said) == bool(words)
    assert all(line.isprintable() for line in said)
