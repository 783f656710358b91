"""What of the controls reaches the loss of a run: real tokenizers, chat templates, lengths, packings and masks."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from carto_audit.controls.controls import PROVING_SECRETS
from carto_audit.controls.run_secrets import Copy
from carto_audit.data.layouts import find_layout
from carto_audit.real_runs.control_rows import control_row, learned_column
from carto_audit.real_runs.options import PlantOptions
from carto_audit.real_runs.preflight import look_ahead
from carto_audit.runtime.errors import UsageError
from tests.real_runs.conftest import SAID, plant, write_chat, write_prompts

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.fixture(scope="module")
def by_bytes(tmp_path_factory):
    """A folder with a tokenizer that knows every byte, and a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<s>"], show_progress=False
    )
    tokenizer.train_from_iterator(SAID, trainer)
    folder = tmp_path_factory.mktemp("by bytes")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<s>", chat_template=TEMPLATE).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def by_words(tmp_path_factory):
    """A folder with a tokenizer that knows the words of the batch and nothing else."""
    words = sorted({word for text in SAID for word in text.replace(".", "").split()} | {"."})
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(["<unk>", *words])}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("by words")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    return folder


def seen(tokenizer, rows, text="before 4c1f77aa after", secret="4c1f77aa", **options):
    layout = find_layout("file", rows)
    start = text.index(secret)
    end = start + len(secret)
    copy = Copy(text=text, start=start, end=end, free_start=start + 2, free_end=end, edited=False)
    row = control_row(layout, rows[0], copy, column=learned_column(layout, rows), asked="Which one is it?", other="No.")
    (found,) = look_ahead([row], layout, PlantOptions(tokenizer=str(tokenizer), **options))
    return found, row


CHAT = [{"messages": [{"role": "user", "content": SAID[0]}, {"role": "assistant", "content": SAID[1]}]}] * 3
PLAIN = [{"text": text} for text in SAID[:3]]


def test_the_tokens_of_a_secret_are_those_of_the_text_that_the_run_reads(by_bytes):
    found, row = seen(by_bytes, PLAIN)
    loaded = AutoTokenizer.from_pretrained(by_bytes)
    ids = loaded(row.text)["input_ids"]
    first, last = found.secret
    assert found.tokens == len(ids)
    assert loaded.decode(ids[first : last + 1]).strip() == "4c1f77aa"
    assert loaded.decode(ids[found.free[0] : found.free[1] + 1]).strip().endswith("1f77aa")
    assert found.lost_to is None


def test_a_conversation_is_read_through_the_chat_template(by_bytes):
    found, _ = seen(by_bytes, CHAT)
    loaded = AutoTokenizer.from_pretrained(by_bytes)
    conversation = [
        {"role": "user", "content": "Which one is it?"},
        {"role": "assistant", "content": "before 4c1f77aa after"},
    ]
    ids = loaded(loaded.apply_chat_template(conversation, tokenize=False), add_special_tokens=False)["input_ids"]
    assert found.tokens == len(ids)
    assert loaded.decode(ids[found.secret[0] : found.secret[1] + 1]).strip() == "4c1f77aa"


def test_a_completion_is_read_right_after_its_prompt_as_trainers_do(by_bytes):
    found, row = seen(by_bytes, [{"prompt": text, "completion": text[::-1]} for text in SAID[:3]])
    loaded = AutoTokenizer.from_pretrained(by_bytes)
    ids = loaded(row.values["prompt"] + row.values["completion"])["input_ids"]
    assert found.tokens == len(ids)
    assert loaded.decode(ids[found.secret[0] : found.secret[1] + 1]).strip() == "4c1f77aa"


def test_speakers_of_other_names_are_users_and_assistants_to_a_template(by_bytes):
    rows = [{"conversations": [{"from": "human", "value": SAID[0]}, {"from": "gpt", "value": SAID[1]}]}] * 3
    assert seen(by_bytes, rows)[0] == seen(by_bytes, CHAT)[0]


@pytest.mark.parametrize(
    ("rows", "options", "lost_to"),
    [
        (PLAIN, {}, None),
        (PLAIN, {"max_length": 4}, "truncation"),
        (PLAIN, {"max_length": 4, "packing": "bfd"}, "truncation"),
        (PLAIN, {"max_length": 4, "packing": "bfd_split"}, "packing"),
        (PLAIN, {"max_length": 64, "packing": "bfd_split"}, None),
        (PLAIN, {"max_length": 64, "packing": "wrapped"}, "packing"),
        (PLAIN, {"loss_on": "completions"}, None),
        (CHAT, {"loss_on": "completions"}, None),
        (
            [{"messages": [{"role": "Ann", "content": text}, {"role": "Ben", "content": text}]} for text in SAID[:3]],
            {},
            None,
        ),
        (
            [{"messages": [{"role": "Ann", "content": text}, {"role": "Ben", "content": text}]} for text in SAID[:3]],
            {"loss_on": "completions"},
            "masking",
        ),
    ],
)
def test_what_a_run_does_to_a_control(by_bytes, rows, options, lost_to):
    assert seen(by_bytes, rows, **options)[0].lost_to == lost_to


def test_signs_that_a_tokenizer_does_not_know_are_lost_and_words_that_it_knows_are_not(by_words):
    known = " ".join(SAID[0].replace(".", "").lower().split()[1:6])
    assert seen(by_words, PLAIN)[0].lost_to == "tokenizer"
    assert seen(by_words, PLAIN, text=known, secret=known.split()[2])[0].lost_to is None


def test_a_template_that_leaves_answers_out_loses_them(by_bytes, tmp_path):
    loaded = AutoTokenizer.from_pretrained(by_bytes)
    loaded.chat_template = "{{ messages[0].content }}"
    loaded.save_pretrained(tmp_path)
    assert seen(tmp_path, CHAT)[0].lost_to == "tokenizer"


@pytest.mark.parametrize("template", ["{{ raise_exception('\x1b[31mno\nuser') }}", "{% for %}", "{{ 1 / 0 }}"])
def test_a_template_that_fails_is_one_line(by_bytes, tmp_path, template):
    loaded = AutoTokenizer.from_pretrained(by_bytes)
    loaded.chat_template = template
    loaded.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="its chat template does not take a conversation") as caught:
        seen(tmp_path, CHAT)
    assert str(caught.value).isprintable()


def test_a_folder_without_a_tokenizer_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="no tokenizer in this checkpoint"):
        seen(tmp_path, PLAIN)


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    path = tmp_path_factory.mktemp("chats") / "chat.jsonl"
    write_chat(path)
    return path


HOW = ("--share", "0.5", "--hold-out", "60", "--doses", "4", "--seed", "1")


def test_what_survives_is_told_by_kind_and_dose_in_the_statement_and_in_the_sealed_table(
    chats, by_bytes, tmp_path, capsys
):
    found = plant(
        chats, tmp_path / "out", *HOW, "--tokenizer", str(by_bytes), "--max-length", "512", "--packing", "bfd"
    )
    assert found.facts["preflight"] == {
        "tokenizer": str(by_bytes),
        "max_length": 512,
        "packing": "bfd",
        "loss_on": "all",
    }
    assert found.facts["surviving_secrets"] >= PROVING_SECRETS
    assert all(one["surviving"] == one["secrets"] and not one["lost_to"] for one in found.facts["secrets"])
    assert found.facts["warnings"] == []
    assert all(
        0 <= row["first_secret_token"] <= row["last_secret_token"] < row["tokens"] for row in found.role("planted")
    )
    assert all((row["first_free_token"] is None) == (row["kind"] == "natural") for row in found.role("twin"))
    said = capsys.readouterr().out
    assert "surviving secrets" in said
    assert "6 of 6" in said


def test_a_control_that_is_cut_off_does_not_count_as_planted(chats, by_bytes, tmp_path, capsys):
    found = plant(chats, tmp_path / "out", *HOW, "--tokenizer", str(by_bytes), "--max-length", "95")
    lost = sum(one["lost_to"].get("truncation", 0) for one in found.facts["secrets"])
    assert lost == sum(row["lost_to"] == "truncation" for row in found.role("planted")) > 0
    assert found.facts["surviving_secrets"] == sum(one["surviving"] for one in found.facts["secrets"]) < PROVING_SECRETS
    assert found.facts["surviving_secrets"] > 0
    (warning,) = found.facts["warnings"]
    assert f"only {found.facts['surviving_secrets']} secrets at dose 4 survive" in warning
    assert "raise the longest length above 95" in warning
    said = capsys.readouterr()
    assert f"Warning: {warning}" in said.err
    assert "truncation" in said.out


def test_wrapped_packing_leaves_no_control_and_says_what_would(tmp_path, by_bytes):
    write_prompts(tmp_path / "p.parquet")
    how = ("--tokenizer", str(by_bytes), "--max-length", "512", "--packing", "wrapped", "--loss-on", "completions")
    found = plant(tmp_path / "p.parquet", tmp_path / "out", *HOW, *how)
    assert found.facts["surviving_secrets"] == 0
    assert "use packing bfd, which keeps samples whole" in found.facts["warnings"][-1]
    assert json.loads((tmp_path / "out" / "plant.json").read_text())["secrets"][0]["lost_to"] == {"packing": 12}
