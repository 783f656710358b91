"""Plants that are trained on: both proxies are asked about them as about rows, and the map knows nothing of them."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

import carto_audit
from carto_audit.lenses.calls import lens_calls
from carto_audit.lenses.declared import known
from carto_audit.lenses.host import look_through
from carto_audit.lenses.planting import TOKEN_SHARE, fitting, plant_trained
from carto_audit.lenses.plants import Example, Plants
from carto_audit.lenses.readers import UNREAD, Proxies, Readers
from carto_audit.lenses.testing import run_here, subject_of
from carto_audit.pipeline import corpus as corpora
from carto_audit.pipeline.options import AuditOptions
from carto_audit.runtime.limits import Limits
from tests.lenses import strange
from tests.support.audits import GATE, sentences, write_parquet
from tests.support.small_redteams import make_thin

TEXTS = [" ".join(sentences(8, seed=i)) for i in range(160)]
OPTIONS = AuditOptions(epochs=3, seed=5, repeats=1)


@pytest.fixture(scope="module")
def asking():
    """The trained lens, while the module's tests run."""
    spec = strange.spec_of("Asking", **strange.ASKING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(known.SHIPPED, spec.name, known.KnownLens(spec=spec))
        yield spec


@pytest.fixture(scope="module")
def audited(asking, tmp_path_factory):
    """A batch audited with the lens, and the split that the audit worked with."""
    folder, seen = tmp_path_factory.mktemp("trained"), {}
    batch = write_parquet(folder / "batch.parquet", TEXTS)
    (folder / "lens.yaml").write_text(GATE.replace("rules:\n", "lenses: {asking: {}}\nrules:\n"))
    plant_for_lenses, lens_proxies = corpora.plant_for_lenses, corpora.lens_proxies

    def watched(*given):
        seen["split"], seen["planted"] = plant_for_lenses(*given)
        return seen["split"], seen["planted"]

    def asked(*given):
        seen["foreseen"] = lens_proxies(*given)
        seen["proxies"] = lens_proxies(*given[:3], replace(given[3], seed=None), *given[4:])
        return seen["foreseen"]

    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        patch.setattr("carto_audit.pipeline.run.plant_for_lenses", watched)
        patch.setattr("carto_audit.pipeline.run.lens_proxies", asked)
        audit = carto_audit.audit(batch, policy=folder / "lens.yaml", options=OPTIONS, out=folder / "audit")
        assert seen["foreseen"].held_out is None  # by a public seed
        yield audit, seen["split"], seen["planted"], seen["proxies"]


def test_what_is_planted_is_trained_on_within_its_share_of_the_tokens(audited):
    _, split, planted, _ = audited
    tokens = split.store.n_tokens
    own = slice(split.traced, None)
    assert split.planted == len(planted.texts) > 12
    assert split.learnable[own].all()
    assert 0 < tokens[own].sum() <= TOKEN_SHARE * tokens[: split.traced][split.learnable[: split.traced]].sum()
    for copies in (np.flatnonzero(planted.example == k) for k in np.unique(planted.example)):
        assert len(np.unique(split.fold(2)[own][copies])) == 1  # an example is on one side, with all its copies
    assert 0 < split.fold(2)[own].mean() < 1


def test_no_control_is_made_of_what_lenses_write_from(audited):
    _, split, planted, _ = audited
    assert len(split.lens_room)
    assert split.held_out[split.lens_room].all()
    assert not split.trained[split.lens_room].any()
    lent = " ".join(TEXTS[row] for row in split.lens_room)
    assert {w for text in planted.texts for w in text.split()} <= {*lent.split(), strange.MARK, "zyzzyvas"}
    runs = {" ".join(words[k : k + 6]) for words in [lent.split()] for k in range(len(words) - 5)}
    for text in split.controls.texts:
        words = text.split()
        assert not runs & {" ".join(words[k : k + 6]) for k in range(len(words) - 5)}


def test_the_lens_is_answered_about_every_row_that_was_read_and_its_plants_are_gone(audited):
    audit, split, planted, _ = audited
    lens = audit.report.facts["lenses"]["asking"]
    assert (lens["status"], lens["problem"]) == ("measured", "")
    (power,) = lens["power"]
    assert power["planted"] == len(planted.plants["asking"].examples)
    assert lens["false_alarms"]["planted"] == len(planted.plants["asking"].twins)
    assert lens["plants_read"] == len(planted.texts)
    page = (audit.path / "report.html").read_text()
    assert f"{len(planted.texts)} texts, which the proxies read beside the batch" in page
    assert lens["section"]["facts"] == [{"what": "rows", "value": str(len(TEXTS))}]
    gain = pq.read_table(audit.path / "lenses" / "asking.parquet")["gain"].to_numpy()
    assert (np.isfinite(gain) == split.trained).all()
    assert gain[split.trained].mean() > 0  # who read a row finds it likelier
    assert len(audit.scores) == len(TEXTS)


def test_lenses_know_which_rows_a_lot_left_out_that_nobody_could_foresee(audited):
    _, split, planted, proxies = audited
    assert proxies.held_out.tolist() == [*split.held_out.tolist(), *[False] * len(planted.texts)]
    assert (proxies.side[proxies.held_out] == UNREAD).all()


def test_without_held_out_text_nothing_is_planted(asking, tmp_path):
    calls = lens_calls({"asking": {}}, ())
    none = plant_trained(calls, [], 1e6, lambda texts: 1, 3, Limits(), tmp_path, run_here)
    assert (none.texts, none.plants, none.problems) == ((), {}, {})


def test_a_lens_that_cannot_plant_has_failed_and_another_has_its_own_plants(asking, tmp_path, monkeypatch):
    bad = strange.spec_of("Strewing", trained=True, doses=(1,))
    monkeypatch.setitem(known.SHIPPED, "strewing", known.KnownLens(spec=bad))
    calls = lens_calls({"strewing": {}, "asking": {}}, ())
    count = lambda texts: sum(len(text.split()) for text in texts)  # noqa: E731
    found = plant_trained(calls, sentences(20), 20_000, count, 3, Limits(), tmp_path, run_here)
    assert list(found.problems) == ["strewing"]
    assert list(found.plants) == ["asking"]
    assert count(found.texts) <= TOKEN_SHARE * 20_000 / 2
    again = plant_trained(calls[1:], sentences(20), 20_000, count, 3, Limits(), tmp_path, run_here)
    assert again.texts[: len(found.texts) // 4] == found.texts[: len(found.texts) // 4]
    other = plant_trained(calls[1:], sentences(20), 20_000, count, 4, Limits(), tmp_path, run_here)
    assert other.texts != again.texts


def test_every_dose_and_the_twins_take_turns_for_room():
    examples = tuple(Example(texts=(f"{dose} {k}",) * dose) for dose in (1, 8) for k in range(9))
    cut = fitting(Plants(examples=examples, twins=tuple("abcdefgh")), 40, len)
    assert {one.dose: sum(other.dose == one.dose for other in cut.examples) for one in cut.examples} == {1: 4, 8: 4}
    assert len(cut.twins) == 4
    assert sum(map(len, (one.texts for one in cut.examples))) + len(cut.twins) == 40


@pytest.fixture
def readers(monkeypatch):
    """Readers of five rows, of which one is unread; each proxy answers with its number."""
    side = np.array([0, 1, UNREAD, 0, 1], np.int8)
    proxies = Proxies(spec=None, encoder=None, folder=None, device="cpu", side=side, budget=40)
    monkeypatch.setattr(Readers, "_proxy", lambda self, index: index)
    monkeypatch.setattr(
        "carto_audit.proxies.likelihood.text_losses", lambda proxy, texts: [np.full(len(t), proxy) for t in texts]
    )
    return Readers(proxies)


def test_a_row_is_answered_by_the_proxy_that_read_it_or_by_the_other(readers):
    texts = [np.arange(k + 1) for k in range(3)]
    assert readers.read.tolist() == [True, True, False, True, True]
    assert [one.tolist() for one in readers.losses([0, 1, 3], texts)] == [[1], [0, 0], [1, 1, 1]]
    assert [one.tolist() for one in readers.losses([0, 1, 3], texts, stranger=True)] == [[0], [1, 1], [0, 0, 0]]
    assert readers.left == 40 - 12
    with pytest.raises(ValueError, match="no proxy read"):
        readers.losses([2], texts[:1])


def test_who_asks_more_than_the_share_of_the_time_is_stopped(readers):
    with pytest.raises(ValueError, match="share of the time"):
        readers.losses([0], [np.arange(41)])
    with pytest.raises(ValueError, match="share of the time"):
        readers.greedy([0], [np.arange(11)], [10])


def test_with_one_fold_there_is_nobody_to_compare_with(asking, tmp_path):
    subject = replace(subject_of(sentences(9), tmp_path), proxies=None)
    (run,) = look_through(lens_calls({"asking": {}}, ()), subject, run=run_here)
    assert "takes two folds" in run.problem
