"""The audit as a whole, on real batches of the standard library's documentation."""

import json
import os
from dataclasses import replace
from itertools import chain

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.cartography.scores import SCORES
from carto_audit.data.batch import read_batch, read_texts
from carto_audit.data.demo_batch import library_texts
from carto_audit.pipeline import corpus
from carto_audit.pipeline.facts import report_facts, wanted_texts
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.outputs import scores_table, write_outputs
from carto_audit.pipeline.result import work_folder
from carto_audit.pipeline.run import run_audit
from carto_audit.policy.model import load_policy
from carto_audit.proxies.model import PRESETS, ProxySpec, build_proxy, checkpoint_spec, resolve_device
from carto_audit.proxies.tokens import load_encoder
from carto_audit.runtime.errors import UsageError
from tests.support.audits import sentences, write_parquet
from tests.support.tiny import write_texts

THIN = ProxySpec(
    name="nano",
    vocab_size=1024,
    context=64,
    hidden_size=48,
    layers=2,
    heads=2,
    learning_rate=5e-3,
    minibatch_tokens=2048,
)


@pytest.fixture(scope="module", autouse=True)
def thin():
    """A real proxy of two thin layers in place of the smallest preset, trained in this process: a fifth of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "nano", THIN)
        patch.setattr(os, "cpu_count", lambda: 1)
        yield


@pytest.fixture(scope="module")
def texts():
    return [text for _, text in zip(range(900), library_texts(), strict=False)]


@pytest.fixture(scope="module")
def capped(tmp_path_factory, texts):
    """An audit that trains on a sample of its batch, with some controls."""
    folder = tmp_path_factory.mktemp("capped")
    batch = write_texts(folder / "batch.parquet", [*texts, "x" * 2_000_000, None])
    options = AuditOptions(epochs=2, max_tokens=40_000)
    return folder, run_audit([batch], policy=load_policy("exploratory"), work=folder / "work", options=options)


@pytest.fixture(scope="module")
def facts(capped):
    return report_facts(capped[1], read_texts(capped[1].batch, wanted_texts(capped[1])))


def test_a_capped_audit_maps_a_sample_and_judges_the_unfavourable_end(capped, facts):
    _, audit = capped
    assert 20_000 < audit.n_tokens[audit.trained].sum() <= 40_000
    assert not audit.trained.all()
    for metric in ("stable_easy.token_share", "memorized.row_share"):
        measured = audit.measurements[metric]
        assert measured.low < measured.value < measured.high
        assert facts["metric_intervals"][metric] == [measured.low, measured.high]
    judged = next(f for f in audit.verdict.findings if f.metric == "hotspot_memorized.token_share")
    assert judged.observed == audit.measurements["hotspot_memorized.token_share"].high


def test_of_two_epochs_difficulty_is_read_a_quarter_of_the_way_and_kept_out_of_the_scores(capped, facts):
    _, audit = capped
    run = json.loads(json.dumps(facts["run"]))
    assert (run["burn_in_epochs"], run["logged_epochs"]) == (0.5, [0.5, 1, 2])
    assert [type(epoch) for epoch in run["logged_epochs"]] == [float, int, int]
    trace, trained = audit.trace, np.flatnonzero(audit.trained)
    assert trace.logged == (0.5, 1, 2)
    scores = audit.analysis.scores.select(trained)
    seen, unseen = trace.loss_in[:, trained], trace.loss_out[:, trained]
    assert scores.difficulty == pytest.approx((seen[0] + unseen[0]) / 2, rel=1e-5)
    assert scores.loss_out == pytest.approx(unseen[1:].mean(axis=0), rel=1e-5)


def test_every_sample_has_a_row_and_what_was_not_trained_on_has_no_scores(capped):
    _, audit = capped
    table = scores_table(audit)
    assert table.num_rows == len(audit.batch) == 901
    quadrant = np.array(table["quadrant"].to_pylist(), object)
    assert ((quadrant == None) == ~audit.trained).all()  # noqa: E711
    assert table["difficulty"].null_count == (~audit.trained).sum()
    for name in (*SCORES, "memorization", "copies", "span_start", "loss_out"):
        assert table[name].null_count == (~audit.trained).sum(), name
    flagged = np.isin(quadrant, QUADRANT_NAMES[2:])
    assert table["recall"].null_count == (~flagged).sum()


def test_held_out_samples_are_kept_as_they_are_and_say_what_they_were_for(capped, facts):
    _, audit = capped
    held = np.flatnonzero(audit.held_out)
    assert len(held)
    assert not (audit.held_out & audit.trained).any()
    table = scores_table(audit).take(held.tolist()).to_pylist()
    for row in table:
        assert (row["quadrant"], row["memorization"], row["action"], row["weight"]) == (None, None, "keep", 1.0)
        assert "held out, so it has no place on the map" in row["reasons"]
    others = [row["reasons"] for i, row in enumerate(scores_table(audit).to_pylist()) if not audit.held_out[i]]
    assert not any("held out" in words for words in others)
    assert facts["batch"]["held_out_samples"] == len(held)
    assert facts["batch"]["held_out_tokens"] == audit.n_tokens[held].sum()
    assert not set(held) & set(audit.riskiest)


def test_controls_are_made_of_held_out_text_and_of_no_other(capped):
    _, audit = capped
    held = read_texts(audit.batch, np.flatnonzero(audit.held_out).tolist())
    natural = (audit.controls.kind == "natural") & (audit.controls.form == "alone") & ~audit.controls.edited
    assert natural.any()
    for i in np.flatnonzero(natural):
        assert any(audit.controls.texts[i] in text for text in held.values())


def test_flagged_samples_say_why_in_scores_and_report(capped, facts):
    _, audit = capped
    rows = scores_table(audit).to_pylist()
    for row in rows:
        assert (row["recall"] is None) == (row["quadrant"] not in QUADRANT_NAMES[2:])
        if row["recall"]:
            assert {"recite": "recited", "reconstruct": "reconstructed", "recollect": "recollected"}[
                row["recall"]
            ] in row["reasons"]
    shown = {row["sample_id"]: row for row in facts["riskiest"]}
    for row in rows:
        if row["sample_id"] in shown:
            assert shown[row["sample_id"]]["recall"] == row["recall"]
            assert shown[row["sample_id"]]["copies"] == row["copies"]


def test_the_riskiest_samples_have_a_heat_strip_and_their_span_lies_in_it(capped, facts):
    _, audit = capped
    assert set(audit.heats) == set(audit.riskiest)
    for row in facts["riskiest"]:
        assert row["heat"]
        assert {piece["level"] for piece in row["heat"]} <= set(range(5))
    for i, heat in audit.heats.items():
        assert heat.offsets[0, 0] <= audit.spans.start[i] < audit.spans.end[i] <= heat.offsets[-1, 1]


def test_controls_reach_nothing_but_the_detection_block(capped, facts):
    _, audit = capped
    assert (audit.controls.dose > 0).any()
    assert set(SCORES) < set(facts["detection"]["scores"]) <= set(audit.analysis.statistics)
    rest = json.dumps({key: value for key, value in facts.items() if key != "detection"})
    for text in audit.controls.texts:
        assert text[:60] not in rest
    assert sum(q["rows"] for q in facts["map"]["quadrants"].values()) == audit.trained.sum()


def test_an_over_long_sample_is_named_and_not_mapped(capped, facts):
    _, audit = capped
    reasons = {s["reason"]: s for s in facts["batch"]["skipped"]}
    assert reasons["over_long"]["examples"] == [{"row": 900, "file": "batch.parquet", "file_row": 901}]
    assert reasons["null"]["rows"] == 1
    assert not audit.trained[900]


def test_kin_share_a_fold(capped):
    _, audit = capped
    group = audit.run.kinship.group
    for g in np.unique(group[audit.trained]):
        assert len(set(audit.fold[audit.trained & (group == g)])) == 1


def test_all_files_are_written_and_the_verdict_names_the_batch(capped, facts):
    folder, audit = capped
    write_outputs(audit, facts, folder / "out")
    reports = {"report.html", "report.json", "map.png", "map.svg", "verdict.json", "verdict.intoto.json"}
    assert {path.name for path in (folder / "out").iterdir()} == reports | {"scores.parquet", "trace.parquet"}
    verdict = json.loads((folder / "out/verdict.json").read_text())
    assert verdict["batch"]["sha256"] == audit.batch.sha256
    statement = json.loads((folder / "out/verdict.intoto.json").read_text())
    assert {"name": "batch.parquet", "digest": {"sha256": audit.batch.sha256}} in statement["subject"]
    assert pq.read_table(folder / "out/scores.parquet").num_rows == 901
    assert json.loads((folder / "out/report.json").read_text())["verdict"]["status"] == verdict["status"]


def test_a_single_proxy_measures_the_papers_score_and_nothing_else(tmp_path, texts):
    batch = write_texts(tmp_path / "batch.parquet", texts[:200])
    options = AuditOptions(epochs=3, folds=1)
    audit = run_audit([batch], policy=load_policy("gendatacarto"), work=tmp_path / "work", options=options)
    assert not set(audit.analysis.power) & {"memorized", "memorized_span_share", "memorized_share", "forget_held_out"}
    assert np.isfinite(audit.analysis.scores.forget_score[audit.trained]).all()
    for name in ("memorized", "memorized_span_share", "memorized_share"):
        assert np.isnan(audit.analysis.scores.memorization(name)).all()
    assert audit.analysis.datamap is not None
    facts = report_facts(audit, read_texts(audit.batch, wanted_texts(audit)))
    write_outputs(audit, facts, tmp_path / "out")
    assert (tmp_path / "out/verdict.json").exists()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, texts):
    """A tiny GPT-2 with a tokenizer of its own, as a training run would leave it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(folder)
    config = GPT2Config(vocab_size=500, n_positions=64, n_embd=32, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_local_checkpoint_is_audited_with_its_own_tokenizer(tmp_path, texts, checkpoint):
    batch = write_texts(tmp_path / "batch.parquet", texts[:150])
    options = AuditOptions(epochs=2, proxy=str(checkpoint))
    audit = run_audit([batch], policy=load_policy("exploratory"), work=tmp_path / "work", options=options)
    assert audit.run.spec.checkpoint == str(checkpoint)
    assert audit.run.spec.context == 64
    assert audit.run.parameters == sum(p.numel() for p in GPT2LMHeadModel.from_pretrained(checkpoint).parameters())
    assert np.isfinite(audit.analysis.scores.memorized[audit.trained]).all()
    assert (audit.spans.start < audit.spans.end)[audit.trained].all()
    assert (audit.spans.end <= [len(text) for text in texts[:150]]).all()


@pytest.mark.parametrize("proxy", ["giant", "/nowhere/at/all"])
def test_an_unknown_proxy_is_a_usage_error(tmp_path, texts, proxy):
    batch = write_texts(tmp_path / "batch.parquet", texts[:20])
    with pytest.raises(UsageError, match="neither a preset"):
        run_audit([batch], policy=load_policy("exploratory"), work=tmp_path / "w", options=AuditOptions(proxy=proxy))


def test_a_device_that_is_not_there_is_a_usage_error():
    with pytest.raises(UsageError, match="no such device"):
        resolve_device("tpu")


def test_the_work_of_another_run_is_not_continued(tmp_path, texts):
    batch = read_batch([write_texts(tmp_path / "batch.parquet", texts[:20])])
    first = work_folder(tmp_path / "work", batch, None, AuditOptions(seed=1))
    assert work_folder(tmp_path / "work", batch, None, AuditOptions(seed=1)) == first
    assert work_folder(tmp_path / "work", batch, None, AuditOptions(seed=1, decisions="renewed.yaml")) == first
    second = work_folder(tmp_path / "work", batch, None, AuditOptions(seed=2))
    assert second != first
    assert not first.exists()
    trusted = read_batch([write_texts(tmp_path / "trusted.parquet", texts[20:40])])
    assert work_folder(tmp_path / "work", batch, trusted, AuditOptions(seed=2)) != second


def test_other_weights_at_the_same_place_are_another_run(tmp_path, texts, checkpoint):
    batch = read_batch([write_texts(tmp_path / "batch.parquet", texts[:20])])
    before = work_folder(tmp_path / "work", batch, None, AuditOptions(proxy=str(checkpoint)))
    (checkpoint / "notes.txt").write_text("step 2000")
    assert work_folder(tmp_path / "work", batch, None, AuditOptions(proxy=str(checkpoint))) != before


def test_a_model_that_reads_ahead_is_refused(tmp_path):
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertLMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="is not causal"):
        build_proxy(checkpoint_spec(tmp_path, 50), 0)


def test_a_checkpoints_tokenizer_neither_truncates_nor_pads(tmp_path, texts, checkpoint):
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.enable_truncation(32)
    tokenizer.enable_padding(length=40)
    for path in checkpoint.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    lengths = {len(e.ids) for e in load_encoder(tmp_path).tokenizer.encode_batch(texts[:20])}
    assert lengths != {40}
    assert max(lengths) > 40


def policy_of(folder, threshold, difficulty="{percentile: 75}"):
    """A policy that cuts the map in these ways and has one rule, on agreement where it is measured."""
    path = folder / "policy.yaml"
    path.write_text(
        f"schema_version: 1\nname: ours\nmap:\n  difficulty: {{threshold: {difficulty}}}\n"
        f"  memorization: {{score: memorized, threshold: {threshold}}}\n"
        "rules: [{id: rows, metric: batch.rows, min: 1, severity: warn, reason: something must be there}]\n"
    )
    return path


def twins_only(*arguments, **settings):
    """Controls of which none is planted."""
    controls = PLANT(*arguments, **settings)
    kept = np.flatnonzero(controls.dose == 0)
    aligned = {name: getattr(controls, name)[kept] for name in ("secret", "kind", "form", "dose", "edited")}
    return replace(controls, texts=[controls.texts[i] for i in kept], **aligned)


PLANT = corpus.plant_controls


@pytest.mark.long
@pytest.mark.slow
def test_removing_the_controls_moves_no_more_samples_than_another_seed_does(tmp_path, texts, monkeypatch):
    """Samples change their quadrant between seeds. Trained without controls, no more of them may do so: the margin is three
    standard errors of the difference of two such shares. What is memorized for certain stays so."""
    monkeypatch.setitem(PRESETS, "nano", replace(THIN, minibatch_tokens=512))
    copies = list(chain.from_iterable([text] * 16 for text in texts[-3:]))
    batch = write_texts(tmp_path / "batch.parquet", [*texts[:240], *copies])
    policy = load_policy(policy_of(tmp_path, "{percentile: 75}"))
    quadrants = {}
    for name, seed in (("with", 0), ("other seed", 1), ("without", 0)):
        monkeypatch.setattr(corpus, "plant_controls", twins_only if name == "without" else PLANT)
        audit = run_audit([batch], policy=policy, work=tmp_path / name, options=AuditOptions(epochs=10, seed=seed))
        assert (audit.controls.dose > 0).any() == (name != "without")
        quadrants[name] = audit.analysis.quadrant
    known = np.logical_and.reduce([quadrant >= 0 for quadrant in quadrants.values()])
    noise = (quadrants["with"] != quadrants["other seed"])[known].mean()
    moved = (quadrants["with"] != quadrants["without"])[known].mean()
    assert moved <= noise + 3 * np.sqrt(2 * noise * (1 - noise) / known.sum())
    for quadrant in quadrants.values():
        assert (quadrant[240:] >= 2).mean() >= 0.8


@pytest.mark.parametrize(("limit", "pairs", "code"), [(0.9, 1, 0), (0.31, 2, None), (0.05, 1, 1)])
def test_a_second_pair_is_trained_where_it_may_change_the_verdict(carto, tmp_path, limit, pairs, code):
    """Three tenths of the batch are above the line, give or take a tenth of that."""
    batch = write_parquet(tmp_path / "batch.parquet", sentences(48))
    policy = policy_of(tmp_path, "{percentile: 70}")
    rule = (
        f"rules:\n  - {{id: mass, metric: memorized.token_share, max: {limit}, severity: reject, reason: too much}}\n"
    )
    policy.write_text(
        policy.read_text().split("rules:")[0].replace("score: memorized,", "score: memorized_share,") + rule
    )
    arguments = ["ingest", batch, "--policy", policy, "--epochs", 2, "--seed", 0]
    ended = carto(*arguments, "--out", tmp_path / "auto")
    assert code is None or ended.code == code
    facts = json.loads((tmp_path / "auto/report.json").read_text())
    assert facts["run"]["repeats"] == pairs
    assert facts["run"]["confidence"] == 0.975
    assert carto(*arguments, "--repeats", pairs, "--out", tmp_path / "fixed").code in (0, 1)
    fixed = json.loads((tmp_path / "fixed/report.json").read_text())
    assert fixed["run"]["confidence"] == 0.95
    assert fixed["metrics"] == facts["metrics"]  # two looks widen intervals and move no value
    wide, narrow = (of["metric_intervals"]["memorized.token_share"] for of in (facts, fixed))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_repeats_are_averaged_and_their_agreement_is_measured(carto, tmp_path):
    batch = write_parquet(tmp_path / "batch.parquet", sentences(48))
    arguments = ["ingest", batch, "--policy", policy_of(tmp_path, "{percentile: 70}"), "--epochs", 2]
    ended = carto(*arguments, "--repeats", 2, "--out", tmp_path / "twice")
    assert ended.code == 0
    facts = json.loads((tmp_path / "twice/report.json").read_text())
    assert 0 <= facts["metrics"]["repeats.agreement"] <= 1
    assert facts["detection"]["agreement"] == facts["metrics"]["repeats.agreement"]
    assert facts["run"]["repeats"] == facts["detection"]["repeats"] == 2
    assert carto(*arguments, "--out", tmp_path / "once").code == 0
    once = json.loads((tmp_path / "once/report.json").read_text())
    assert once["detection"]["agreement"] is None
    assert "repeats.agreement" not in once["metrics"]
    first, mean = (
        pq.read_table(tmp_path / name / "scores.parquet")["loss_out"].to_numpy() for name in ("once", "twice")
    )
    assert not np.allclose(first, mean)
    assert np.abs(first - mean).max() < 1.0


@pytest.fixture
def reference(tmp_path):
    return write_parquet(tmp_path / "trusted.parquet", [f"trusted {text}" for text in sentences(40, seed=9)])


def test_a_batch_is_measured_against_a_trusted_reference_that_appears_nowhere(carto, tmp_path, reference):
    batch = write_parquet(tmp_path / "batch.parquet", sentences(48))
    policy = policy_of(tmp_path, "{reference_percentile: 50}", "{reference_percentile: 50}")
    arguments = ["ingest", batch, "--policy", policy, "--epochs", 2, "--reference", reference]
    assert carto(*arguments, "--out", tmp_path / "out").code == 0
    facts = json.loads((tmp_path / "out/report.json").read_text())
    assert facts["run"]["reference_samples"] == 40
    assert facts["batch"]["samples"] == facts["batch"]["trained_samples"] == 48
    assert sum(q["rows"] for q in facts["map"]["quadrants"].values()) == 48
    assert sum(q["token_share"] for q in facts["map"]["quadrants"].values()) == pytest.approx(1)
    for axis in ("difficulty", "memorization"):
        assert facts["map"]["threshold_rules"][axis]["words"] == "percentile 50 of the trusted reference"
    for name in ("scores", "trace"):
        assert pq.read_table(tmp_path / f"out/{name}.parquet").num_rows == 48
    trusted = "trusted " + sentences(1, seed=9)[0][:20]
    for path in (tmp_path / "out").iterdir():
        assert trusted.encode() not in path.read_bytes(), path.name


def test_a_policy_that_asks_for_a_reference_ends_with_2_before_anything_is_read(carto, tmp_path, batch_file):
    for policy in (
        policy_of(tmp_path, "{reference_percentile: 99}"),
        policy_of(tmp_path, "{percentile: 75}", "{reference_percentile: 99}"),
    ):
        ended = carto("ingest", batch_file, "--policy", policy, "--out", tmp_path / "out")
        assert ended.code == 2
        assert "give the trusted slice with --reference" in ended.err
        assert not (tmp_path / "out/verdict.json").exists()


def test_a_reference_that_is_not_there_is_a_clear_line(carto, tmp_path, batch_file):
    policy = policy_of(tmp_path, "{reference_percentile: 99}")
    ended = carto(
        "ingest", batch_file, "--policy", policy, "--reference", tmp_path / "no.parquet", "--out", tmp_path / "o"
    )
    assert ended.code == 2
    assert "no.parquet" in ended.err


def test_equal_seeds_give_equal_scores_and_verdicts(carto, tmp_path, gate):
    batch = write_parquet(tmp_path / "batch.parquet", sentences(40) + sentences(4) * 2)
    for name in ("a", "b"):
        ended = carto("ingest", batch, "--policy", gate, "--epochs", 2, "--seed", 3, "--out", tmp_path / name)
        assert ended.code == 0
    for name in ("scores.parquet", "trace.parquet", "verdict.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_another_engine_goes_on_where_one_stopped(tmp_path):
    (tmp_path / "batch.jsonl").write_text('{"text": "words"}\n')
    batch = read_batch([tmp_path / "batch.jsonl"])
    folders = {
        work_folder(tmp_path / "work", batch, None, AuditOptions(**given))
        for given in ({}, {"workers": 2}, {"engine": "in-process"})
    }
    assert len(folders) == 1
    assert work_folder(tmp_path / "work", batch, None, AuditOptions(epochs=3)) not in folders
