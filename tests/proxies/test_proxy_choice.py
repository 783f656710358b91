import numpy as np

from carto_audit.proxies.proxy_choice import BYTES_PER_TOKEN, FITS, LEAST_SAMPLE, vocabulary_bytes
from carto_audit.proxies.tokens import VOCABULARY_BYTES, train_encoder
from tests.support.tiny import make_batch


def test_a_large_batch_has_its_vocabulary_of_as_much_text_as_is_trained_on():
    most = LEAST_SAMPLE // 2
    fits = FITS * BYTES_PER_TOKEN * most
    assert vocabulary_bytes(fits, most) == VOCABULARY_BYTES
    assert vocabulary_bytes(fits + 1, most) == BYTES_PER_TOKEN * most
    assert vocabulary_bytes(10**12, 1000) == LEAST_SAMPLE
    assert vocabulary_bytes(10**12, 10**9) == VOCABULARY_BYTES


def test_a_vocabulary_is_made_of_no_more_text_than_is_allowed(tmp_path):
    """Every row has a word of its own, said often enough to become a piece; of a tenth of the text few of them do."""
    words = np.array([f"{a}{b}" for a in "bcdfghjk" for b in "lmnpqrstvw"])
    batch = make_batch(tmp_path, [f"{word} " * 50 for word in words])
    nothing = np.zeros(len(batch), bool)

    def known(most_bytes):
        tokenizer = train_encoder(batch, nothing, 600, 0, most_bytes=most_bytes).tokenizer
        return sum(len(tokenizer.encode(f" {word}").ids) == 1 for word in words)

    everything = int(batch.n_bytes.sum())
    assert known(everything) == len(batch)
    assert 0 < known(everything // 10) < len(batch) / 4
