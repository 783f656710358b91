"""The host: lenses are believed as far as they answer right about plants that they cannot tell, and fail alone."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carto_audit.data.batch import read_batch
from carto_audit.engines.apart import run_apart
from carto_audit.gate.verdict import evaluate
from carto_audit.lenses.answers import LensResult, Looked, Section
from carto_audit.lenses.calls import lens_calls
from carto_audit.lenses.declared import known
from carto_audit.lenses.host import look_through, unseen_by
from carto_audit.lenses.lens_run import LensRun
from carto_audit.lenses.mixing import mix
from carto_audit.lenses.planting import LensFaultError
from carto_audit.lenses.plants import MOST_ROWS, Example, Plants, Room
from carto_audit.lenses.testing import run_here, subject_of
from carto_audit.lenses.view import LensView, Offered
from carto_audit.policy.model import Policy
from carto_audit.runtime.limits import Limits
from carto_audit.runtime.strict_model import Strict
from tests.lenses import strange
from tests.support.audits import sentences

MARKED = (3, 17)
LIMITED = Limits(lens_seconds=4, lens_bytes=1 << 28)
TEXTS = [f"{text} {strange.MARK}" if i in MARKED else text for i, text in enumerate(sentences(40))]


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    found = subject_of(TEXTS, tmp_path_factory.mktemp("subject"), seed=11)
    return replace(found, weights=np.where(np.arange(len(TEXTS)) % 2, 0.5, 1.5))


@pytest.fixture
def look(subject, monkeypatch):
    """Looks through a lens of `strange`, in this process unless told."""

    def through(lens, run=run_here, limits=None, **changes):
        spec = strange.spec_of(lens.__name__, **changes)
        monkeypatch.setitem(known.SHIPPED, spec.name, known.KnownLens(spec=spec))
        for kept in subject.folder.glob("*.kept"):
            kept.unlink()
        return look_through(lens_calls({spec.name: {}}, ()), subject, limits=limits, run=run)[0]

    return through


def test_a_lens_answers_about_the_rows_and_its_plants_are_gone(look):
    run = look(strange.Good)
    assert not run.problem
    assert run.columns == pa.table({"marks": [int(i in MARKED) for i in range(40)]})
    assert run.spans["row"].to_pylist() == list(MARKED)
    assert {TEXTS[s["row"]][s["start"] : s["end"]] for s in run.spans.to_pylist()} == {strange.MARK}
    assert run.measurements["lens.good.marked_share"].value == 2 / 40
    assert run.section.headline == "2 rows"
    assert run.section.facts == (("rows", "40"),)


def test_what_was_planted_and_found_bounds_the_power(look):
    run = look(strange.Good)
    assert [(one.dose, one.planted, one.counted) for one in run.power] == [(1, 15, 15), (3, 15, 15), (0, 20, 0)]
    found, alarms = (run.measurements[f"lens.good.{name}"] for name in ("found_at_dose_3", "false_alarm_share"))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.05 ** (1 / 15))  # Clopper and Pearson, all found
    assert (alarms.value, alarms.low) == (0, 0)
    assert alarms.high == pytest.approx(1 - 0.05 ** (1 / 20))


class Half(strange.Good):
    """Answers right about every other row that is marked, and wrong about twins."""

    def look(self, view, options):
        looked = super().look(view, options)
        return replace(looked, found=~looked.found)


def test_a_lens_that_finds_nothing_has_no_power_and_one_that_cries_wolf_is_told(look):
    blind = look(strange.Blind)
    assert blind.measurements["lens.blind.found_at_dose_3"].low == 0
    assert blind.measurements["lens.blind.marked_share"].value == 2 / 40
    strange.Half = Half
    wolf = look(Half)
    assert wolf.measurements["lens.half.false_alarm_share"].value == 1
    assert wolf.measurements["lens.half.found_at_dose_1"].value == 0


@pytest.mark.parametrize("lens", [lens for lens in strange.FAULTS if lens not in strange.APART])
def test_whatever_a_lens_hands_back_is_held_against_its_declaration(look, lens):
    assert_failed(look(lens), strange.FAULTS[lens])


@pytest.mark.parametrize("lens", strange.APART)
def test_a_lens_that_breaks_hangs_or_vanishes_fails_alone(look, lens, capfd):
    assert_failed(look(lens, run_apart, LIMITED if lens in strange.LIMITED else None, doses=()), strange.FAULTS[lens])
    assert "said by a lens" not in "".join(capfd.readouterr())


def assert_failed(run, why):
    assert isinstance(run, LensRun)
    assert why in run.problem
    assert run.problem.isprintable()
    assert (run.measurements, run.power, run.columns, run.spans, run.section) == ({}, (), None, None, None)


def test_a_lens_in_its_own_process_answers_as_here(look):
    held = np.ones(50 << 20)  # 400 MB
    here, apart = look(strange.Good), look(strange.Good, run=run_apart)
    assert held.all()
    assert not apart.problem
    assert (apart.columns, apart.spans, apart.measurements) == (here.columns, here.spans, here.measurements)
    assert (apart.section, apart.power) == (here.section, here.power)
    assert 10 << 20 < apart.peak_bytes < 300 << 20  # of its own process, not of this one, which holds more


def test_rules_on_a_lens_that_failed_or_is_blind_are_inconclusive(look):
    rules = [
        ("mass", "lens.crashing.marked_share", "max", 0.5),
        ("sight", "lens.blind.found_at_dose_3", "min", 0.5),
    ]
    runs = [look(strange.Crashing), look(strange.Blind)]
    policy = Policy.model_validate(
        {
            "schema_version": 1,
            "name": "lenses",
            "map": {
                "difficulty": {"threshold": {"percentile": 75}},
                "memorization": {"score": "memorized", "threshold": {"percentile": 90}},
            },
            "lenses": {"crashing": {}, "blind": {}},
            "rules": [
                {"id": name, "metric": metric, bound: limit, "severity": "warn", "reason": "so"}
                for name, metric, bound, limit in rules
            ],
        }
    )
    measured = {name: m for run in runs for name, m in run.measurements.items()}
    verdict = evaluate(policy, measured, date(2027, 1, 1), unseen=unseen_by(runs, policy.active_rules))
    assert [finding.outcome for finding in verdict.findings] == ["not_measured", "underpowered"]
    assert "the lens failed: RuntimeError" in verdict.findings[0].explanation
    assert int(verdict.exit_code) == 3


def test_nothing_in_a_view_tells_plants_from_rows(subject):
    spec = strange.spec_of("Good")
    plants = strange.Good().plant(Room(texts=tuple(TEXTS), seed=5), None)
    mixed = mix(spec, plants, subject, np.random.default_rng(1))
    other = mix(spec, plants, subject, np.random.default_rng(2))
    rows = len(TEXTS) + len(mixed.texts)
    assert len(LensView(mixed.offered, spec.needs, 0)) == rows
    assert 10 < np.flatnonzero(mixed.planted).mean() / rows * 40 < 30  # everywhere, not at an end
    assert (mixed.planted != other.planted).any()
    assert mixed.texts != other.texts
    assert set(mixed.offered.weights[mixed.planted]) == {0.5, 1.5} == set(subject.weights)
    texts = [text for chunk in mixed.chunks(subject.batch) for text in chunk.texts]
    assert [text for text, planted in zip(texts, mixed.planted, strict=True) if not planted] == TEXTS
    assert sorted(text for text, planted in zip(texts, mixed.planted, strict=True) if planted) == sorted(mixed.texts)
    assert (mixed.offered.kin.cluster <= np.arange(rows)).all()
    assert mixed.clean.n_tokens is subject.n_tokens


def test_a_lens_gets_what_it_declared_and_no_more(subject):
    spec = strange.spec_of("Good", needs=("weights",), doses=())
    offered = mix(spec, Plants(), subject, np.random.default_rng(0)).offered
    assert (offered.kin, offered.scores) == (None, None)
    view = LensView(offered, spec.needs, 0, lambda question: None)
    for reach in (lambda: view.kin, lambda: view.scores, lambda: next(view.texts())):
        with pytest.raises(ValueError, match="did not declare"):
            reach()
    assert (view.weights == subject.weights).all()


def test_texts_are_read_once():
    view = LensView(Offered(n_tokens=np.ones(1, np.int64)), ("texts",), 0, lambda question: None)
    assert list(view.texts()) == []
    with pytest.raises(ValueError, match="once"):
        next(view.texts())


def test_plants_are_bounded(subject):
    spec = strange.spec_of("Good", doses=(1,))
    for plants, why in (
        (Plants(twins=("x",) * (MOST_ROWS + 1)), "at most 5,000"),
        (Plants(examples=(Example(texts=("",)),)), "no text"),
        ("plants", "something else"),
    ):
        with pytest.raises(LensFaultError, match=why):
            mix(spec, plants, subject, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"needs": ("texts", "paths")}, 'the need "paths" is not known'),
        ({"needs": ("texts", "proxies")}, "cannot plant text that none of them read"),
        ({"trained": True, "doses": ()}, "needs doses"),
        ({"needs": ("scores",)}, "cannot plant"),
        ({"name": "Acme Lens"}, "no name of a lens"),
        ({"load": "nowhere"}, "module:attribute"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused_in_one_line(changes, why):
    with pytest.raises(ValueError, match=why):
        strange.spec_of("Good", **changes)


def test_lenses_named_besides_are_not_judged_and_those_turned_off_do_not_look(subject, monkeypatch):
    spec = strange.spec_of("Good")
    monkeypatch.setitem(known.SHIPPED, spec.name, known.KnownLens(spec=spec))
    off = {"repetition": {"off": True, "reason": "no plan yet"}}
    (run,) = look_through(lens_calls(off, ("good", "good")), subject, run=run_here)
    assert (run.name, run.judged) == ("good", False)


class Writers(Strict):
    writer_column: str | None = None


FIELDS = {"needs": ("texts", "fields"), "options": Writers, "fields": ("writer_column",)}


class Reading(strange.Good):
    """Counts the rows of each writer."""

    def look(self, view, options):
        writers = view.field("writer_column")
        if writers is None:
            raise ValueError("nobody is named")
        rows = np.array([writers.to_pylist().count(writer) for writer in writers.to_pylist()])
        spans = pa.table({name: pa.array([], kind) for name, kind in (("row", pa.int64()), ("start", pa.int64()))})
        spans = spans.append_column("end", pa.array([], pa.int64())).append_column("label", pa.array([], pa.string()))
        return Looked(columns=pa.table({"marks": rows}), found=rows * 0, spans=spans)

    def sum_up(self, view, looked, options):
        share = view.field("writer_column").to_pylist().count("ada") / len(view)
        return LensResult(metrics={"marked_share": share}, section=Section(headline="x"))


def test_a_lens_reads_the_columns_that_its_options_name(tmp_path, monkeypatch):
    strange.Reading = Reading
    spec = strange.spec_of("Reading", **FIELDS)
    monkeypatch.setitem(known.SHIPPED, "reading", known.KnownLens(spec=spec))
    subject = subject_of(TEXTS, tmp_path)
    pq.write_table(pa.table({"text": TEXTS, "user": ["ada", "bob"] * 20}), tmp_path / "users.parquet")
    subject = replace(subject, batch=read_batch([tmp_path / "users.parquet"], text_column="text"))

    def through(options):
        return look_through(lens_calls({"reading": options}, ()), subject, run=run_here)[0]

    run = through({"writer_column": "user"})
    assert not run.problem
    assert run.measurements["lens.reading.marked_share"].value == 0.5
    assert min(run.columns["marks"].to_pylist()) > 20  # plants say what rows say
    assert "nobody is named" in through({}).problem
    assert 'no column "poet"' in through({"writer_column": "poet"}).problem


def test_fields_are_declared_with_the_options_that_name_them():
    for changes in ({"fields": ("writer_column",)}, {**FIELDS, "fields": ()}, {**FIELDS, "fields": ("other",)}):
        with pytest.raises(ValueError, match="names the options"):
            strange.spec_of("Good", **changes)


def test_a_lens_that_answered_before_the_audit_was_killed_is_not_asked_again(tmp_path, monkeypatch):
    asked = []

    def counted(function, *given, **limits):
        asked.append(function.__name__)
        return run_here(function, *given, **limits)

    spec = strange.spec_of("Good")
    monkeypatch.setitem(known.SHIPPED, "good", known.KnownLens(spec=spec))
    crashing = strange.spec_of("Crashing", doses=())
    monkeypatch.setitem(known.SHIPPED, "crashing", known.KnownLens(spec=crashing))
    subject = subject_of(TEXTS, tmp_path, seed=4)

    def through(subject):
        asked.clear()
        return look_through(lens_calls({"good": {}, "crashing": {}}, ()), subject, run=counted)

    first = through(subject)
    assert asked == ["plant_apart", "look_apart", "look_apart"]
    again = through(subject)
    assert asked == ["look_apart"]  # what failed is tried again
    assert again[0] == first[0]
    through(replace(subject, weights=subject.weights * 2))
    assert len(asked) == 3
    for path in tmp_path.glob("*.kept"):
        path.write_bytes(path.read_bytes()[:50])
    assert through(subject)[0].measurements == first[0].measurements
    assert len(asked) == 3


class Quoting(strange.Good):
    """Fails with what a row says."""

    def look(self, view, options):
        raise RuntimeError("no number: ada.kern@acme.org")


def test_what_an_error_quotes_is_masked(look):
    strange.Quoting = Quoting
    assert look(Quoting).problem == "RuntimeError: no number: [email]"
