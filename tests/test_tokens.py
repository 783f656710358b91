import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import make_batch

from carto_audit.errors import UsageError
from carto_audit.tokens import LONGEST_PIECE, encode_batch, load_encoder, locate_spans, train_encoder

TEXTS = ["the cat sat on the mat", "naïve café 漢字 🙂 déjà vu", "call 0123 456 789 now", "tab\tand\nnewline  twice"]


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    batch = make_batch(folder, TEXTS * 5)
    encoder = train_encoder(batch, np.zeros(len(batch), bool), 400, 0)
    return batch, encoder, encode_batch(batch, encoder, ["an extra text"], folder / "tokens.bin")


def test_every_sample_decodes_to_its_own_text(encoded):
    batch, encoder, store = encoded
    ids = store.ids()
    for i, text in enumerate([*TEXTS * 5, "an extra text"]):
        assert encoder.tokenizer.decode(ids[store.offsets[i] : store.offsets[i + 1]].tolist()) == text
    assert len(store) == len(batch) + 1


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
    start, end = locate_spans(batch, encoder, firsts, lasts)
    assert (
        text[start[which] : end[which]] in encoder.tokenizer.decode(encoding.ids[first : last + 1])
        or end[which] > start[which]
    )
    assert (start[which], end[which]) == (encoding.offsets[first][0], encoding.offsets[last][1])
    assert (np.delete(start, which) == -1).all()


def test_a_folder_without_a_tokenizer_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no tokenizer"):
        load_encoder(tmp_path)
