"""The audit as a whole, on real batches of the standard library's documentation."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny import write_texts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from carto_audit.audit import Options, run_audit, work_folder
from carto_audit.batch import read_batch, read_texts
from carto_audit.demo import library_texts
from carto_audit.errors import UsageError
from carto_audit.facts import report_facts, wanted_texts
from carto_audit.outputs import scores_table, write_outputs
from carto_audit.policy import load_policy
from carto_audit.proxy import build_proxy, checkpoint_spec, resolve_device
from carto_audit.tokens import load_encoder


@pytest.fixture(scope="module")
def texts():
    return [text for _, text in zip(range(900), library_texts(), strict=False)]


@pytest.fixture(scope="module")
def capped(tmp_path_factory, texts):
    """An audit that trains on a sample of its batch, with some controls."""
    folder = tmp_path_factory.mktemp("capped")
    batch = write_texts(folder / "batch.parquet", [*texts, "x" * 2_000_000, None])
    options = Options(epochs=2, max_tokens=40_000)
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


def test_every_sample_has_a_row_and_what_was_not_trained_on_has_no_scores(capped):
    _, audit = capped
    table = scores_table(audit)
    assert table.num_rows == len(audit.batch) == 901
    quadrant = np.array(table["quadrant"].to_pylist(), object)
    assert ((quadrant == None) == ~audit.trained).all()  # noqa: E711
    assert table["difficulty"].null_count == (~audit.trained).sum()
    assert table["memorized_span_share"].null_count == (~audit.trained).sum()


def test_controls_reach_nothing_but_the_detection_block(capped, facts):
    _, audit = capped
    assert (audit.controls.dose > 0).any()
    assert set(facts["detection"]["scores"]) == {"memorized_span_share", "memorized_share", "forget_score"}
    rest = json.dumps({key: value for key, value in facts.items() if key != "detection"})
    for text in audit.controls.texts:
        assert text[:60] not in rest
    assert sum(q["rows"] for q in facts["map"]["quadrants"].values()) == audit.trained.sum()


def test_an_over_long_sample_is_named_and_not_mapped(capped, facts):
    _, audit = capped
    reasons = {s["reason"]: s for s in facts["batch"]["skipped"]}
    assert reasons["over_long"]["examples"] == [{"row": 900}]
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
    options = Options(epochs=3, folds=1)
    audit = run_audit([batch], policy=load_policy("gendatacarto"), work=tmp_path / "work", options=options)
    assert set(audit.sight.power) <= {"forget_score"}
    assert np.isfinite(audit.sight.scores.forget_score).all()
    assert np.isnan(audit.sight.scores.memorized_span_share).all()
    assert audit.sight.datamap is not None


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
    options = Options(epochs=2, proxy=str(checkpoint))
    audit = run_audit([batch], policy=load_policy("exploratory"), work=tmp_path / "work", options=options)
    assert audit.run.spec.checkpoint == str(checkpoint)
    assert audit.run.spec.context == 64
    assert audit.run.parameters == sum(p.numel() for p in GPT2LMHeadModel.from_pretrained(checkpoint).parameters())
    assert np.isfinite(audit.sight.scores.memorized_span_share).all()
    assert (audit.span_start < audit.span_end).all()
    assert (audit.span_end <= [len(text) for text in texts[:150]]).all()


@pytest.mark.parametrize("proxy", ["giant", "/nowhere/at/all"])
def test_an_unknown_proxy_is_a_usage_error(tmp_path, texts, proxy):
    batch = write_texts(tmp_path / "batch.parquet", texts[:20])
    with pytest.raises(UsageError, match="neither a preset"):
        run_audit([batch], policy=load_policy("exploratory"), work=tmp_path / "w", options=Options(proxy=proxy))


def test_a_device_that_is_not_there_is_a_usage_error():
    with pytest.raises(UsageError, match="no such device"):
        resolve_device("tpu")


def test_the_work_of_another_run_is_not_continued(tmp_path, texts):
    batch = read_batch([write_texts(tmp_path / "batch.parquet", texts[:20])])
    first = work_folder(tmp_path / "work", batch, Options(seed=1))
    assert work_folder(tmp_path / "work", batch, Options(seed=1)) == first
    second = work_folder(tmp_path / "work", batch, Options(seed=2))
    assert second != first
    assert not first.exists()


def test_other_weights_at_the_same_place_are_another_run(tmp_path, texts, checkpoint):
    batch = read_batch([write_texts(tmp_path / "batch.parquet", texts[:20])])
    before = work_folder(tmp_path / "work", batch, Options(proxy=str(checkpoint)))
    (checkpoint / "notes.txt").write_text("step 2000")
    assert work_folder(tmp_path / "work", batch, Options(proxy=str(checkpoint))) != before


def test_a_model_that_reads_ahead_is_refused(tmp_path):
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertLMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="reads ahead"):
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
