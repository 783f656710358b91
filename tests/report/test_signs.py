import pytest

from carto_audit.report.signs import finding_sign, status_sign


@pytest.mark.parametrize(
    ("status", "emoji", "plain"),
    [
        ("accepted", "✅", "+"),
        ("accepted_with_warnings", "⚠️", "!"),
        ("rejected", "⛔", "x"),
        ("inconclusive", "❔", "?"),
    ],
)
def test_a_verdict_has_one_sign(status, emoji, plain):
    assert (status_sign(status).emoji, status_sign(status).plain) == (emoji, plain)


def test_what_is_not_known_is_never_a_pass():
    assert status_sign("fine") == status_sign("inconclusive")
    assert finding_sign({"outcome": "perhaps", "severity": "reject"}) == status_sign("inconclusive")


def test_a_broken_rule_has_the_sign_of_the_verdict_that_it_leads_to():
    assert finding_sign({"outcome": "failed", "severity": "reject"}) == status_sign("rejected")
    assert finding_sign({"outcome": "failed", "severity": "warn"}) == status_sign("accepted_with_warnings")
    assert finding_sign({"outcome": "passed", "severity": "reject"}) == status_sign("accepted")
    assert finding_sign({"outcome": "underpowered", "severity": "reject"}) == status_sign("inconclusive")
