"""The SFTTrainer of TRL, which computes its losses in a fused head and packs samples. Skipped where TRL is not installed."""

import warnings

import pytest
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from carto_audit.real_runs.integrations.trainer import log_losses
from carto_audit.runtime.errors import UsageError
from carto_audit.traces.keys import tokenizer_fingerprint
from carto_audit.traces.reading import read_visits
from tests.support.run_traces import KEYS
from tests.support.tiny_trainers import ROWS, VOCABULARY, arguments, assert_same_bits, check_trace, outcome, thin_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what TRL loads
    trl = pytest.importorskip("trl")

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
]


def words():
    """A tokenizer of words w0 to w199."""
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="w0", eos_token="w1", unk_token="w0")


def make_sft(folder, data=None, **options):
    data = Dataset.from_dict({"input_ids": ROWS}) if data is None else data
    return trl.SFTTrainer(
        model=thin_model(),
        args=arguments(folder, trl.SFTConfig, **options),
        train_dataset=data,
        processing_class=words(),
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"packing": True, "max_length": 64, "num_train_epochs": 2, "per_device_train_batch_size": 2},
        {"packing": True, "max_length": 64, "packing_strategy": "bfd_split", "per_device_train_batch_size": 2},
        {"padding_free": True, "max_length": None, "gradient_accumulation_steps": 2},
    ],
    ids=["plain", "packed", "split packing", "padding-free"],
)
def test_every_sample_is_logged_and_training_is_the_same_to_the_last_bit(tmp_path, options):
    without = make_sft(tmp_path, **options)
    without.train()
    trainer = make_sft(tmp_path, **options)
    log_losses(trainer, tmp_path / "trace", KEYS)
    trainer.train()
    check_trace(
        read_visits(tmp_path / "trace", KEYS, tokenizer=tokenizer_fingerprint(words())),
        epochs=options.get("num_train_epochs", 1),
    )
    assert_same_bits(outcome(trainer), outcome(without))


def test_split_samples_are_found_by_the_keys_of_their_chunks(tmp_path):
    trainer = make_sft(tmp_path, packing=True, max_length=16, packing_strategy="bfd_split")
    log_losses(trainer, tmp_path / "trace", KEYS)
    trainer.train()
    chunks = {int(key) for row in ROWS for key in KEYS.chunk_keys(row, 16)}
    found = set(read_visits(tmp_path / "trace", KEYS).rows.key.tolist())
    single = {int(KEYS.key(row[16:])) for row in ROWS if len(row) == 17}  # a token alone has no loss
    assert found == chunks - single
    assert len(found) > len(ROWS)


def test_truncated_samples_are_found_by_the_keys_of_their_prefixes(tmp_path):
    trainer = make_sft(tmp_path, max_length=16)
    log_losses(trainer, tmp_path / "trace", KEYS)
    trainer.train()
    rows = read_visits(tmp_path / "trace", KEYS).rows
    expected = [KEYS.prefix_keys(row, [16])[16] if len(row) > 16 else KEYS.key(row) for row in ROWS]
    assert sorted(rows.key.tolist()) == sorted(int(key) for key in expected)
    assert rows.length.max() == 16


def test_completions_alone_have_losses_and_texts_end_as_the_tokenizer_says(tmp_path):
    data = Dataset.from_dict({"prompt": ["w5 w6 w7"] * 8, "completion": [f" w{i} w9" for i in range(20, 28)]})
    trainer = make_sft(tmp_path, data)
    log_losses(trainer, tmp_path / "trace", KEYS)
    trainer.train()
    rows = read_visits(tmp_path / "trace", KEYS).rows
    assert sorted(rows.key.tolist()) == sorted(int(KEYS.key([5, 6, 7, i, 9, 1])) for i in range(20, 28))
    assert (rows.tokens == 3).all()


def test_packing_that_cuts_anywhere_is_refused_with_the_reason(tmp_path):
    trainer = make_sft(tmp_path, packing=True, max_length=64, packing_strategy="wrapped")
    with pytest.raises(UsageError, match="cuts samples wherever a row is full and joins them without a mark"):
        log_losses(trainer, tmp_path / "trace", KEYS)
