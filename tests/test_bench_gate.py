"""The benchmark of the gate plants what it says, and its curve and counts are those of the books."""

import argparse

import numpy as np
import pytest

from bench.corpora import open_corpora
from bench.gate.batches import CORPORA, encoder_of, fill, truth_of
from bench.gate.run import Cell, plan
from bench.gate.scoring import TRACES
from bench.gate.table import count, fit, table
from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.model import load_policy
from carto_audit.proxies.tokens import count_tokens
from tests.support.repository import ROOT


@pytest.mark.parametrize(("dose", "mass"), [(4, 0.0), (4, 0.1), (2, 0.05)])
def test_about_the_wanted_share_of_the_tokens_is_planted_in_so_many_rows(dose, mass):
    with open_corpora(argparse.Namespace(smoke=True)) as corpora:
        rows = fill(corpora, "wikitext", 10_000, dose, mass, seed=3)
    texts = [row.text for row in rows]
    encoder = encoder_of([row.text for row in rows if not row.end])
    truth = truth_of(rows, np.array([count_tokens(encoder, [text]) for text in texts]), encoder)
    assert truth.spans == pytest.approx(mass, abs=0.012)
    assert truth.samples >= truth.spans
    planted = [row for row in rows if row.end]
    assert len(planted) % dose == 0
    assert bool(planted) == (mass > 0)
    inside = [row for row in planted if row.end - row.start < len(row.text)]  # embedded, so in whole copies
    assert {sum(row.text[row.start : row.end] in text for text in texts) for row in inside} <= {dose}


def test_a_curve_finds_the_masses_at_which_batches_fail():
    rng = np.random.default_rng(0)
    mass = rng.uniform(0, 0.1, 4000)
    failed = rng.random(4000) < 1 / (1 + np.exp(-150 * (mass - 0.05)))
    curve = fit(mass, failed)
    assert curve.mass_at(0.5) == pytest.approx(0.05, abs=0.002)
    assert curve.mass_at(0.05) == pytest.approx(0.05 - np.log(19) / 150, abs=0.003)
    assert curve.mass_at(0.9) == pytest.approx(0.05 + np.log(9) / 150, abs=0.003)


@pytest.mark.parametrize("failed", [[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
def test_counts_that_allow_no_curve_have_none(failed):
    assert fit(np.array([0.0, 0.02, 0.05, 0.1]), np.array(failed, dtype=bool)) is None


def test_counts_stand_beside_the_interval_of_clopper_and_pearson():
    assert count(0, 12) == "0 of 12 (0 to 26 %)"
    assert count(1, 12) == "1 of 12 (0 to 38 %)"


def batch(mass, by_memory, status):
    judged = {"by_memory": by_memory, "status": status}
    found = {"memorized.span_token_share": [mass + 0.01, mass, mass + 0.02]}
    truth = {"corpus": "wikitext", "dose": 4, "mass": mass, "token_mass": mass, "sample_mass": mass}
    return {"asked": 4, **truth, "measured": found, "policies": {"default": judged}}


def test_the_table_counts_verdicts_apart_from_rules_on_memory():
    runs = [batch(0.025, "held", "accepted")] * 23 + [batch(0.025, "held", "inconclusive")]
    runs += [batch(0.1, "failed", "rejected"), batch(0.1, "failed", "inconclusive")]
    said = table(runs, planned=50)
    assert "Audited: 26 of 50 batches" in said
    assert "of 26 all up to 2.5 % hold, all from 10.0 % fail" in said
    assert "| half the limit | rejected | 0 of 24 (0 to 14 %) | at most 5 %, at the upper end 15 % | yes |" in said
    assert "| twice the limit | accepted | 0 of 2 (0 to 84 %) | at most 10 % | too few: 2 of 12 |" in said
    assert (
        "| 10 % | 2 | 10.0 % | 10.0 % | 2 of 2 (16 to 100 %) | 1 of 2 (1 to 99 %) | 1 of 2 (1 to 99 %) | 0 of 2" in said
    )


@pytest.mark.parametrize(("times", "said"), [(1, "No fit through 4 batches"), (6, "Logistic fit: AQL")])
def test_no_curve_is_drawn_through_a_few_batches(times, said):
    runs = [batch(0.0, "held", "accepted"), batch(0.025, "failed", "rejected"), batch(0.05, "held", "accepted")]
    assert said in table([*runs, batch(0.1, "failed", "rejected")] * times, planned=24)


def test_the_bar_fails_where_one_in_twenty_four_is_rejected():
    said = table([batch(0.025, "failed", "rejected"), *[batch(0.025, "held", "accepted")] * 23], planned=24)
    assert "| half the limit | rejected | 1 of 24 (0 to 21 %) | at most 5 %, at the upper end 15 % | no |" in said


def test_the_plan_begins_with_every_mass_and_shares_its_batches_among_the_corpora():
    cells = list(plan())
    assert len(set(cells)) == len(cells)
    assert [c.mass for c in cells[:4]] == [0.0, 0.025, 0.05, 0.1]
    at_half = [c for c in cells if (c.asked, c.dose, c.mass) == (4, 4, 0.025)]
    assert sorted(c.corpus for c in at_half) == sorted(CORPORA * 8)
    assert len({(c.dose, c.seed) for c in cells}) == len({(c.dose, c.mass, c.number) for c in cells})
    assert Cell(asked=2, dose=4, mass=0.1, number=0).seed == Cell(asked=4, dose=4, mass=0.1, number=0).seed


def test_every_shipped_policy_is_judged_and_trains_as_the_one_that_is_audited():
    for policy in map(load_policy, builtin_policies()):
        audited = load_policy(TRACES[policy.demanded_dose])
        assert policy.map.difficulty.burn_in_share == audited.map.difficulty.burn_in_share
        assert (policy.map.loss_on or "all") == (audited.map.loss_on or "all")


def test_the_page_holds_rows_of_the_kept_tables_alone():
    page, kept = (ROOT / name for name in ("docs/gate.md", "bench/gate/README.md"))
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert rows
    assert [row for row in rows if row not in kept.read_text(encoding="utf-8")] == []
