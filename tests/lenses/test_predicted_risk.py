"""Predicted risk: counts of other rows are exact or too low; the regression is judged on groups that it did not see."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from carto_audit.lenses.calls import lens_calls
from carto_audit.lenses.declared.predicted_risk import PREDICTED_RISK
from carto_audit.lenses.host import look_through
from carto_audit.lenses.risk.features import NAMES, read_features
from carto_audit.lenses.risk.regression import fit_risk, folds_of, rank_share, resampled, risk_out_of_group
from carto_audit.lenses.risk.row_counts import KINDS, PASSAGE, RowCounts, empty_counts, hash_rows, losses
from carto_audit.lenses.testing import check_lens, run_here, subject_of

LETTERS = 20
SECRET = "the key of Alnwick is 7781 0246 5519 3370 and 9014"


def sentences(count, seed=7):
    """Texts of random syllables: no passage stands in two."""
    rng = np.random.default_rng(seed)
    syllables = np.array([c + v for c in "bdfgklmnprstvz" for v in "aeiou"], dtype=object)
    return [" ".join("".join(rng.choice(syllables, 3)) for _ in range(25)) + "." for _ in range(count)]


def counted(texts, tokens=100_000):
    rows = hash_rows(texts, LETTERS)
    counts = empty_counts(tokens)
    counts.add(rows)
    return counts, rows


def features_of(texts, chunks=1):
    """Features by name, of texts that are read in so many chunks, in tables with much room."""
    step, n = math.ceil(len(texts) / chunks), len(texts)
    parts = [texts[k : k + step] for k in range(0, n, step)]
    tokens = np.array([100 * len(text) for text in texts], dtype=np.int64)
    found = read_features(parts, tokens, np.ones(n, np.int64), np.arange(n))
    return dict(zip(NAMES, found.values.T, strict=True)), found.shared


def test_a_run_is_counted_in_other_rows_once_however_often_a_row_repeats_it():
    counts, rows = counted(["red green blue red green", "red green", "green red", "blue"])
    assert counts.others(rows, 1).tolist() == [2, 2, 1, 2, 2, 2, 2, 2, 2, 1]
    assert counts.others(rows, 2).tolist() == [1, 0, 0, 1, 1, 0]
    assert counts.others(rows, 4).tolist() == [0, 0]


def test_passages_begin_with_words_and_hold_all_signs():
    counts, rows = counted(
        ["x <a> <a> : <b> <a> end of it", "other <a> <a> : <b> <a> end", "<a> <a> <b> <a> end of it all"]
    )
    others = counts.others(rows, PASSAGE)
    first = rows.passages.values[: rows.passages.offsets[1]]
    assert others[: len(first)].tolist() == [0, 1, 0]
    assert rows.reach[:3].tolist() == [5, 5, 5]
    assert others[rows.passages.offsets[2] :].max() == 0


def test_runs_that_fall_on_one_place_are_never_taken_for_one_another():
    texts = [*sentences(200), *sentences(3, 1) * 2]
    counts, rows = counted(texts)
    crowded = RowCounts(bits=6, tables={kind: np.zeros(64, np.uint64) for kind in KINDS})
    crowded.add(rows)
    for kind in KINDS:
        assert (crowded.others(rows, kind) <= counts.others(rows, kind)).all()
        assert (crowded.others(rows, kind) < counts.others(rows, kind)).any()


def test_a_row_does_not_explain_itself_and_its_copy_does():
    repeated = "one two three four five six seven"
    counts, rows = counted([f"{repeated} {repeated}", *sentences(30), *["amber birch cedar dune ember fjord"] * 2])
    short, long = losses(counts, rows, counts.total())
    assert short[:14].min() > 4  # said twice by this row, by no other
    assert (long[:14] >= short[:14] - 1e-9).all()
    copied = rows.words.offsets[31]
    assert long[copied + 3 : copied + 6].max() < 1 < short[copied]


def test_features_of_a_batch_do_not_depend_on_how_it_is_cut():
    texts = [*sentences(40), *sentences(4, 1) * 3, f"{sentences(1, 2)[0]} {SECRET}", "", "?"]
    whole, shared = features_of(texts)
    parts, again = features_of(texts, 1), features_of(texts, 5)
    assert all(np.array_equal(whole[name], parts[0][name]) for name in NAMES)
    for name in NAMES[7:]:
        assert whole[name] == pytest.approx(again[0][name])
    assert (shared == again[1]).all()
    assert all(np.isfinite(values).all() for values in whole.values())


def test_text_that_several_rows_share_stands_out_and_ties_them():
    hosts = sentences(30)
    texts = [f"{host} {SECRET}" if k in (3, 9, 14, 20) else host for k, host in enumerate(hosts)]
    features, shared = features_of(texts)
    held = np.isin(np.arange(30), (3, 9, 14, 20))
    assert (features["rows that hold the same passage"][held] == 2).all()  # three others
    assert features["rows that hold the same passage"][~held].max() == 0
    assert features["surprise of what three other rows hold"][held].min() > 10
    assert len(set(shared[held])) == 1
    assert (shared[~held] == -1).all()


def test_a_group_is_predicted_by_others_alone():
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(60), 5)
    flagged = rng.permutation(np.arange(60) < 20)[group]
    values = np.eye(60)[group]  # nothing but which group it is
    assert rank_share(fit_risk(values, flagged).risk(values), flagged) > 0.99
    assert rank_share(risk_out_of_group(values, flagged, group, 0), flagged) < 0.6
    fold = folds_of(flagged, group, 0)
    assert all(len(set(fold[group == g])) == 1 for g in range(60))
    assert np.ptp([flagged[fold == k].mean() for k in range(5)]) < 0.1


def test_the_regression_finds_the_weights_that_made_the_data():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(20_000, 3))
    chance = 1 / (1 + np.exp(-(values @ [1.5, -0.7, 0] - 2)))
    model = fit_risk(values, rng.random(20_000) < chance)
    assert model.weights == pytest.approx([1.5, -0.7, 0], abs=0.1)
    assert model.bias == pytest.approx(-2, abs=0.1)
    assert abs(model.risk(values) - chance).max() < 0.05
    assert np.isfinite(fit_risk(np.ones((4, 2)), np.array([True, False, True, False])).risk(np.ones((4, 2)))).all()


def test_the_interval_is_that_of_groups_not_of_rows():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(40), 25)
    flagged = rng.permutation(np.arange(40) < 15)[group]
    risk = np.where(flagged, 0.4, 0.3) + rng.normal(size=40)[group] / 10
    by_group, _ = resampled(risk, flagged, np.ones(1000), group, 0)
    by_row, ratios = resampled(risk, flagged, np.ones(1000), np.arange(1000), 0)
    assert by_group.std() > 3 * by_row.std()
    assert by_row.mean() == pytest.approx(rank_share(risk, flagged), abs=0.01)
    assert ratios.mean() == pytest.approx(flagged.sum() / risk.sum(), rel=0.02)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """Rows of which half were read; 24 secrets stand in four rows each, all of which are flagged where they were read."""
    rng = np.random.default_rng(2)
    hosts, texts, secret = sentences(460), [], []
    for k, host in enumerate(hosts):
        number = k // 4 if k < 96 else -1
        digits = " ".join(str(n) for n in np.random.default_rng(number + 1).integers(1000, 9999, 6))
        texts.append(f"{host} under {digits} ." if number >= 0 else host)
        secret.append(number)
    order = rng.permutation(len(texts))
    texts, secret = [texts[k] for k in order], np.array(secret)[order]
    read = np.where(secret >= 0, secret % 2 == 0, np.arange(len(texts)) % 2 == 0)
    names = np.where(secret >= 0, "noisy_outlier", "stable_easy").astype(object)
    names[~read] = None
    found = subject_of(texts, tmp_path_factory.mktemp("risk"))
    scores = found.scores.set_column(2, "quadrant", pa.array(names.tolist(), pa.string()))
    tokens = np.array([len(text) // 3 for text in texts], dtype=np.int64)
    return replace(found, scores=scores, n_tokens=tokens), secret, read


def test_what_was_not_read_is_predicted_and_a_row_that_was_by_others(subject):
    found, secret, read = subject
    (run,) = look_through(lens_calls({"predicted_risk": {}}, ()), found, run=run_here)
    assert not run.problem
    risk = run.columns["predicted_risk"].to_numpy()
    assert run.columns["read"].to_pylist() == read.tolist()
    assert rank_share(risk[~read], secret[~read] >= 0) > 0.99
    share = run.measurements["lens.predicted_risk.unread_flagged_token_share"]
    truth = found.n_tokens[~read & (secret >= 0)].sum() / found.n_tokens[~read].sum()
    assert share.low < truth < share.high
    assert share.value == pytest.approx(truth, rel=0.25)
    auc = run.measurements["lens.predicted_risk.auc"]
    assert 0.5 < auc.low < 0.95 < auc.value <= auc.high <= 1  # twelve secrets prove no more
    group = run.columns["group"].to_numpy()
    assert all(len(set(group[secret == k])) == 1 for k in range(24))
    assert "would be flagged" in run.section.headline
    assert sum(bar.value for bar in run.section.figures[0].bars) == pytest.approx(1)
    assert set(run.columns["reason"].drop_null().to_pylist()) <= set(NAMES)


@pytest.mark.parametrize(
    ("quadrants", "measured", "said"),
    [
        (lambda q, read: [name and "stable_easy" for name in q], set(), "too little to learn from: 0 of 228 rows"),
        (lambda q, read: [name and "noisy_outlier" for name in q], set(), "too little to learn from: 228 of 228 rows"),
        (lambda q, read: [None] * len(q), set(), "too little to learn from: 0 of 0 rows"),
        (
            lambda q, read: [name or "stable_easy" for name in q],
            {"lens.predicted_risk.auc"},
            "all rows were trained on",
        ),
    ],
)
def test_where_there_is_nothing_to_learn_or_to_predict_nothing_is_claimed(subject, quadrants, measured, said):
    found, _, read = subject
    changed = pa.array(quadrants(found.scores["quadrant"].to_pylist(), read), pa.string())
    other = replace(found, scores=found.scores.set_column(2, "quadrant", changed))
    (run,) = look_through(lens_calls({"predicted_risk": {}}, ()), other, run=run_here)
    assert not run.problem
    assert set(run.measurements) == measured
    assert said in run.section.headline
    assert run.columns["predicted_risk"].null_count == (0 if measured else len(read))


def test_it_behaves_as_every_lens_has_to():
    run = check_lens(PREDICTED_RISK.name)
    assert run.measurements == {}
