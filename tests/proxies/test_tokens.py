import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.data.batch import read_batch
from carto_audit.proxies.tokens import (
    BITS_PER_BYTE,
    LONGEST_PIECE,
    encode_batches,
    extend_store,
    load_encoder,
    locate_spans,
    train_encoder,
    weigh_pieces,
)
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.tiny import make_batch, write_texts

TEXTS = ["the cat sat on the mat", "naïve café 漢字 🙂 déjà vu", "call 0123 456 789 now", "one space between words"]


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    batch = make_batch(folder, TEXTS * 5)
    encoder = train_encoder(batch, np.zeros(len(batch), bool), 400, 0)
    store = encode_batches([batch], encoder, folder / "tokens.bin")
    return batch, encoder, extend_store(store, encoder, ["an extra text"])


def test_every_sample_decodes_to_its_own_text(encoded):
    batch, encoder, store = encoded
    ids = store.ids()
    for i, text in enumerate([*TEXTS * 5, "an extra text"]):
        assert encoder.tokenizer.decode(ids[store.offsets[i] : store.offsets[i + 1]].tolist()) == text
    assert len(store) == len(batch) + 1


@pytest.mark.parametrize(
    "gap", ["  ", "\t", "\n", " \r\n ", "\u00a0", "\u3000", "\u2003\u2028", "\u200b ", " \ufeff\u00ad", "\x0b\x0c\x85"]
)
def test_gaps_and_invisible_characters_tell_no_texts_apart(encoded, gap):
    _, encoder, _ = encoded
    plain = encoder.tokenizer.encode("the cat sat on the mat")
    assert encoder.tokenizer.encode(f"the cat{gap}sat on{gap}the mat").ids == plain.ids
    assert encoder.tokenizer.encode("the \uff43\uff41\uff54 sat on the mat").ids == plain.ids
    assert encoder.tokenizer.encode("th\u200be c\u2060at s\u00adat on the\u200f mat\ufeff").ids == plain.ids


def test_tokens_lie_where_the_text_as_delivered_has_them(encoded):
    _, encoder, _ = encoded
    text = "the \n\n cat\t4\u200b8 \u2003 21"
    tokens = encoder.tokenizer.encode(text)
    digits = [(text[begin], end - begin) for begin, end in tokens.offsets if text[begin:end].isdigit()]
    assert digits == [(digit, 1) for digit in "4821"]


def texts_of(store, encoder):
    ids, ends = store.ids(), store.offsets
    return [encoder.tokenizer.decode(ids[a:b].tolist()) for a, b in zip(ends[:-1], ends[1:], strict=True)]


def test_batches_stand_one_after_the_other_in_one_store(encoded, tmp_path):
    batch, encoder, _ = encoded
    trusted = read_batch([write_texts(tmp_path / "trusted.parquet", ["a trusted text", "and another"])])
    store = encode_batches([batch, trusted], encoder, tmp_path / "both.bin")
    assert texts_of(store, encoder) == [*TEXTS * 5, "a trusted text", "and another"]
    alone = encode_batches([batch], encoder, tmp_path / "one.bin")
    assert (alone.offsets == store.offsets[: len(batch) + 1]).all()


def test_a_store_grows_at_its_end_and_the_shorter_one_still_reads_its_own(encoded, tmp_path):
    batch, encoder, _ = encoded
    store = encode_batches([batch], encoder, tmp_path / "t.bin")
    longer = extend_store(store, encoder, ["one more", "and naïve 漢字"])
    assert texts_of(longer, encoder) == [*TEXTS * 5, "one more", "and naïve 漢字"]
    assert texts_of(store, encoder) == TEXTS * 5
    assert len(longer) == len(store) + 2
    assert texts_of(extend_store(longer, encoder, []), encoder) == texts_of(longer, encoder)


def test_extending_twice_replaces_what_was_added_before(encoded, tmp_path):
    """As when a killed run starts again over its old file."""
    batch, encoder, _ = encoded
    store = encode_batches([batch], encoder, tmp_path / "t.bin")
    extend_store(store, encoder, ["something much longer than what follows " * 5])
    again = extend_store(store, encoder, ["short"])
    assert texts_of(again, encoder) == [*TEXTS * 5, "short"]
    assert again.path.stat().st_size == again.offsets[-1] * np.dtype(again.dtype).itemsize
    fresh = encode_batches([batch], encoder, tmp_path / "t.bin")
    assert texts_of(fresh, encoder) == TEXTS * 5


def test_a_loss_is_taken_of_the_parts_that_trainers_learn(encoded, tmp_path):
    _, encoder, _ = encoded
    rows = [
        {"prompt": "What sat on the mat?", "completion": "the cat sat"},
        {"prompt": "Who?", "completion": ""},
        {"prompt": "Call whom?", "completion": "call 0123 now"},
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = read_batch([tmp_path / "pairs.jsonl"])
    trusted = read_batch([write_texts(tmp_path / "trusted.parquet", ["a trusted text", "and another"])])
    store = encode_batches([pairs, trusted], encoder, tmp_path / "t.bin", learned_parts=True)
    longer = extend_store(extend_store(store, encoder, ["gone again"]), encoder, [])
    longer = extend_store(store, encoder, ["a secret"])
    flags, ids = longer.is_learned(), longer.ids()
    said = [
        encoder.tokenizer.decode(ids[a:b][flags[a:b]].tolist()).strip()
        for a, b in zip(longer.offsets[:-1], longer.offsets[1:], strict=True)
    ]
    assert said == ["the cat sat", "", "call 0123 now", "a trusted text", "and another", "a secret"]
    assert longer.weighed_tokens.tolist() == [
        int(flags[a:b].sum()) for a, b in zip(longer.offsets[:-1], longer.offsets[1:], strict=True)
    ]
    assert longer.weighed_tokens[1] == 0 < longer.n_tokens[1]
    whole = encode_batches([pairs], encoder, tmp_path / "whole.bin")
    assert whole.is_learned() is None
    assert (whole.weighed_tokens == whole.n_tokens).all()


def test_tokens_that_cannot_be_written_are_one_clear_line(encoded, tmp_path):
    batch, encoder, _ = encoded
    with pytest.raises(AuditError, match="No such file or directory"):
        encode_batches([batch], encoder, tmp_path / "gone" / "tokens.bin")


def test_a_piece_weighs_its_bytes_or_its_surprise_whichever_is_more(encoded):
    _, encoder, store = encoded
    weights = weigh_pieces(encoder, store)
    assert len(weights) == encoder.vocab_size
    vocabulary = encoder.tokenizer.get_vocab()
    counts = np.bincount(store.ids(), minlength=encoder.vocab_size) + 1
    for piece, number in vocabulary.items():
        bits = np.log2(counts.sum() / counts[number])
        assert weights[number] == int(max(len(piece), BITS_PER_BYTE * bits))


def test_a_text_weighs_at_least_as_much_as_its_bytes(encoded):
    _, encoder, store = encoded
    weights, ids = weigh_pieces(encoder, store), store.ids()
    for i, text in enumerate(TEXTS):
        assert weights[ids[store.offsets[i] : store.offsets[i + 1]]].sum() >= len(text.encode())


def test_digits_are_tokens_of_their_own(encoded):
    _, encoder, _ = encoded
    assert [encoder.tokenizer.id_to_token(i) for i in encoder.tokenizer.encode("4821").ids] == list("4821")


def test_equal_batches_give_equal_vocabularies(encoded, tmp_path):
    batch, encoder, _ = encoded
    again = train_encoder(batch, np.zeros(len(batch), bool), 400, 0)
    assert again.tokenizer.to_str() == encoder.tokenizer.to_str()


def test_a_repeated_secret_does_not_become_one_token(tmp_path):
    secret = "qwertyuiopasdfghjklzxcvbnmqwertyuiopasdfghjkl"
    batch = make_batch(tmp_path, [f"{secret} {k}" for k in range(200)])
    encoder = train_encoder(batch, np.zeros(len(batch), bool), 2048, 0)
    assert len(encoder.tokenizer.encode(secret).ids) >= len(secret) / LONGEST_PIECE


def test_copies_do_not_train_the_vocabulary(tmp_path):
    batch = make_batch(tmp_path, ["plain words in a row", *["zyzzyva zyzzyva"] * 50])
    copies = np.array([False] + [True] * 50)
    without = train_encoder(batch, copies, 300, 0)
    assert not any("zyz" in token for token in without.tokenizer.get_vocab())


@given(st.integers(0, 3), st.data())
def test_located_spans_are_the_characters_of_the_tokens(encoded, which, data):
    batch, encoder, _ = encoded
    text = TEXTS[which]
    encoding = encoder.tokenizer.encode(text)
    first = data.draw(st.integers(0, len(encoding.ids) - 1))
    last = data.draw(st.integers(first, len(encoding.ids) - 1))
    firsts, lasts = np.full(len(batch), -1), np.full(len(batch), -1)
    firsts[which], lasts[which] = first, last
    found = locate_spans(batch, encoder, firsts, lasts, {which, 7})
    start, end = found.start, found.end
    assert (
        text[start[which] : end[which]] in encoder.tokenizer.decode(encoding.ids[first : last + 1])
        or end[which] > start[which]
    )
    assert (start[which], end[which]) == (encoding.offsets[first][0], encoding.offsets[last][1])
    assert (np.delete(start, which) == -1).all()
    assert (np.delete(end, which) == -1).all()
    assert list(found.chosen) == [which]  # sample 7 has no span
    assert found.chosen[which].tolist() == [list(place) for place in encoding.offsets]


def test_whole_offsets_are_kept_only_for_chosen_samples(encoded):
    batch, encoder, _ = encoded
    nothing = locate_spans(batch, encoder, np.zeros(len(batch), int), np.zeros(len(batch), int), ())
    assert nothing.chosen == {}
    assert (nothing.start == 0).all()
    assert (nothing.end > 0).all()


def test_a_folder_without_a_tokenizer_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no tokenizer"):
        load_encoder(tmp_path)
