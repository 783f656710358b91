"""Reading checkpoints: the losses are the model's own, padding and batches change none, and a killed reading goes on."""

import json
from importlib.util import find_spec

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2LMHeadModel, PreTrainedTokenizerFast

from carto_audit.real_runs.reading import checkpoint_losses
from carto_audit.real_runs.reading.planted_run import open_planted
from carto_audit.real_runs.reading.read_checkpoints import read_checkpoints
from carto_audit.real_runs.reading.readings import held_against, open_readings
from carto_audit.real_runs.reading.run_samples import WAYS, read_samples
from carto_audit.runtime.errors import AuditError


@pytest.fixture(scope="module")
def known(scored):
    """The run's samples, and what was read of them."""
    planted = open_planted(scored.run.planted)
    samples = read_samples(planted, PreTrainedTokenizerFast.from_pretrained(scored.run.last), WAYS[0])
    return samples, held_against(open_readings(scored.late, planted), planted, samples)


@torch.inference_mode()
def test_losses_are_those_of_the_model_alone_with_a_sample(scored, known):
    samples, readings = known
    for number, name in enumerate(("early", "last")):
        model = GPT2LMHeadModel.from_pretrained(getattr(scored.run, name)).eval()
        for k in (0, 7, len(samples) - 30, len(samples) - 1):
            ids = torch.from_numpy(samples.ids[samples.offsets[k] : samples.offsets[k + 1]].astype(np.int64))
            logits = model(input_ids=ids[None]).logits[0, :-1]
            alone = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none").numpy()
            read = readings.nats(number)[samples.offsets[k] : samples.offsets[k + 1]]
            assert np.isnan(read[0])
            assert read[1:] == pytest.approx(np.minimum(alone, 15.875), abs=1 / 32 + 1e-4)


def test_twins_and_held_out_rows_are_read_and_harder_than_what_was_trained_on(scored, known):
    samples, readings = known
    n, rows = scored.run.facts["planted"]["rows"], scored.run.facts
    assert len(samples) == n + rows["twins"] + rows["held_out_rows"]
    held = samples.offsets[len(samples) - rows["held_out_rows"]]
    last = readings.nats(-1)
    assert np.nanmean(last[held:]) > np.nanmean(last[: samples.offsets[n]]) + 0.05


def test_a_killed_reading_goes_on_where_it_was(scored, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_losses, "SHARD_TOKENS", 4_000)
    read, calls = checkpoint_losses._read, []

    def killed(*arguments):
        calls.append(arguments[3])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(checkpoint_losses, "_read", killed)
    out = tmp_path / "last.parquet"
    with pytest.raises(KeyboardInterrupt):
        read_checkpoints([scored.run.last], scored.run.planted, out, trace=scored.run.trace)
    assert not out.exists()
    read_checkpoints([scored.run.last], scored.run.planted, out, trace=scored.run.trace)
    assert len(calls) == len(set(calls)) + 1 >= 5
    assert [path.name for path in tmp_path.iterdir()] == ["last.parquet"]
    again, before = pq.read_table(out), pq.read_table(scored.late)
    assert again["token_losses"].to_pylist() == before["token_losses"].to_pylist()[len(again) :]
    assert out.stat().st_mode & 0o077 == 0


def test_a_checkpoint_that_diverged_is_refused(scored, tmp_path):
    model = GPT2LMHeadModel.from_pretrained(scored.run.last)
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = float("nan")
    model.save_pretrained(tmp_path / "broken")
    PreTrainedTokenizerFast.from_pretrained(scored.run.last).save_pretrained(tmp_path / "broken")
    with pytest.raises(AuditError, match="broken: weights that are no numbers"):
        read_checkpoints([tmp_path / "broken"], scored.run.planted, tmp_path / "r.parquet")
    assert not (tmp_path / "r.parquet").exists()


def test_what_is_no_checkpoint_is_refused_before_anything_is_read(scored, carto, tmp_path):
    ended = carto("trace", "read", tmp_path, scored.run.planted, "--out", tmp_path / "r.parquet")
    assert ended.code == 2
    assert ended.err.startswith("Error: ")
    assert len(ended.err.splitlines()) == 1
    assert "no checkpoint of transformers" in ended.err


def make_adapter(model, folder):
    """A LoRA adapter with weights that change what its model says."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model),
        LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM"),
    )
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.05)
    adapted.save_pretrained(folder / "adapter")
    adapted.merge_and_unload().save_pretrained(folder / "merged")
    return folder / "adapter", folder / "merged"


@pytest.mark.skipif(not find_spec("peft"), reason="PEFT is not installed")
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_is_read_with_its_model_and_one_without_a_model_is_refused(scored, carto, tmp_path):
    adapter, merged = make_adapter(scored.run.last, tmp_path)
    losses = {}
    for name, folder in (("adapter", adapter), ("merged", merged), ("model", scored.run.last)):
        out = tmp_path / f"{name}.parquet"
        how = ("--tokenizer", scored.run.last, "--out", out, "--quiet")
        assert carto("trace", "read", folder, scored.run.planted, *how).code == 0
        losses[name] = np.frombuffer(b"".join(pq.read_table(out)["token_losses"].to_pylist()), np.uint8).astype(int)
    assert abs(losses["adapter"] - losses["merged"]).max() <= 1
    assert abs(losses["adapter"] - losses["model"]).max() > 1
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "owner/model\x1b[31m"})
    )
    ended = carto("trace", "read", adapter, scored.run.planted, "--out", tmp_path / "x.parquet")
    assert ended.code == 2
    assert "which is no local folder; say in adapter_config.json where it lies" in ended.err
    assert ended.err.splitlines()[-1].isprintable()
