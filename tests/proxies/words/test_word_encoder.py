import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carto_audit.proxies.tokens import BOS, LONGEST_WORD, train_encoder
from carto_audit.proxies.words import word_encoder
from carto_audit.proxies.words.word_encoder import WordEncoder
from tests.support.tiny import make_batch

SPACES = "".join(c for c in map(chr, range(0x3100)) if c.isspace())
MARKS = ["\u200b", "\u0301", "\u1100", "\u1161", "\u11a8", "\ufb01", "\u00bd", "\u0663", "\u3164", "\U0001f600"]
WORDS = [
    "<bos>",
    "\uff1cbos\uff1e",
    "the",
    "cat's",
    "'s",
    "'",
    "x" * (LONGEST_WORD + 3),
    "1" * LONGEST_WORD,
    "...",
    "-",
]
PIECES = st.one_of(st.sampled_from([*SPACES, *MARKS, *WORDS, *"0123456789"]), st.text(max_size=3))
TEXTS = st.lists(st.lists(PIECES, max_size=14).map("".join), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [f"The cat's {k} hats, 'the' \u00e9t\u00e9 \u4e2d\u6587 it's -- {k * k}..." for k in range(60)]
    batch = make_batch(tmp_path_factory.mktemp("words"), texts)
    return train_encoder(batch, np.zeros(len(texts), bool), 400, 0).tokenizer


def plain(tokenizer, texts):
    return [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def by_words(encoder, texts):
    ids, sizes = encoder.encode(texts)
    return [part.tolist() for part in np.split(ids, np.cumsum(sizes)[:-1])]


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@example([" a 12,5 <bos> b", "", " ", "\n", f"{'y' * 300} 7{'z' * 130}"])
@example(["".join(f"a{space}b{space}{space}1" for space in SPACES)])
def test_texts_have_the_tokens_that_the_tokenizer_gives_them(tokenizer, texts):
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    assert by_words(WordEncoder(tokenizer, BOS, "uint16"), texts) == plain(tokenizer, texts)


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(1, 30))
def test_how_much_is_encoded_at_once_changes_nothing(tokenizer, texts, letters):
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_encoder, "AT_ONCE", letters)
        assert by_words(WordEncoder(tokenizer, BOS, "uint16"), texts) == plain(tokenizer, texts)


def test_no_texts_have_no_tokens(tokenizer):
    ids, sizes = WordEncoder(tokenizer, BOS, "uint16").encode([])
    assert (len(ids), len(sizes)) == (0, 0)


def test_what_is_forgotten_is_encoded_anew(tokenizer, monkeypatch):
    monkeypatch.setattr(word_encoder, "MOST_WORDS", 5)
    encoder = WordEncoder(tokenizer, BOS, "uint16")
    for texts in (["the cat sat on the mat"], ["another cat's <bos> hat"], ["the cat sat on the mat"]):
        assert by_words(encoder, texts) == plain(tokenizer, texts)


def test_a_word_is_encoded_once(tokenizer, monkeypatch):
    """However often it stands there: the tokenizer sees no word a second time."""
    seen = []
    joined = WordEncoder._joined
    monkeypatch.setattr(WordEncoder, "_joined", lambda self, how, texts: seen.extend(texts) or joined(self, how, texts))
    encoder = WordEncoder(tokenizer, BOS, "uint16")
    for _ in range(2):
        encoder.encode(["the cat and the dog and 77 the cats"] * 3)
    assert sorted(seen) == sorted(set(seen))
    assert len(seen) == 9  # with the space before a number
