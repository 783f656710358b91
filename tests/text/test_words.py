import re
import unicodedata

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.text.folding import fold
from carto_audit.text.minhash import segment_minima, short_segment_minima, signatures
from carto_audit.text.words import (
    Ragged,
    count_runs,
    hash_tokens,
    hash_words,
    inside_texts,
    is_number,
    ngram_hashes,
    ngrams,
    run_places,
    spans_of_words,
    word_spans,
    words_span,
)

SEPARATE = "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
HANGUL, UNSPACED = "[가-힣]", "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]"
RUNS = {HANGUL: 2, UNSPACED: 3}

texts = st.text(st.characters(exclude_categories=("Cs",)))
mixed = st.one_of(
    texts,
    st.text(st.sampled_from("aZé9_ \n.中文カ\u3099が\u0301ßﬁ가나\u1100\u1161\u11a8İ\u0130Ⅳ①กขำ\x7f"), max_size=30),
)


def kind_of(letter):
    return next((kind for kind in (SEPARATE, *RUNS) if re.match(kind, letter)), "word")


def reference_words(text):
    """The words of a folded text, spelled out letter by letter: those of scripts without spaces run on over separators."""
    words, run, kind = [], "", None
    parts = [*re.findall(r"[^\W_]|[\W_]+", fold(text)), None]
    for place, part in enumerate(parts):
        is_letter = part is not None and part[0].isalnum()
        if (
            is_letter
            and run
            and kind_of(part) == kind
            and (kind in RUNS or parts[place - 1][0].isalnum())
            and kind != SEPARATE
        ):
            run += part
        elif is_letter or part is None:
            words += cut(run, kind)
            run, kind = part or "", kind_of(part) if part else None
    return words


def cut(run, kind):
    size = min(RUNS.get(kind, len(run)), len(run))
    return [run[k : k + size] for k in range(len(run) - size + 1)] if run else []


@settings(deadline=None)
@given(st.lists(mixed, max_size=8))
def test_a_chunk_hashes_like_its_texts_alone(chunk):
    together = hash_words(chunk)
    assert len(together) == len(chunk)
    for k, text in enumerate(chunk):
        np.testing.assert_array_equal(together[k], hash_words([text])[0])


@settings(deadline=None)
@given(mixed)
def test_words_are_cjk_characters_and_runs_of_letters_and_digits(text):
    hashes = hash_words([text])[0]
    words = reference_words(text)
    assert len(hashes) == len(words)
    assert len(set(hashes.tolist())) == len(set(words))
    np.testing.assert_array_equal(hashes, hash_words(words).values)


@settings(deadline=None)
@given(mixed)
def test_spans_cut_words_out_of_the_unfolded_text(text):
    spans = word_spans(text)
    words = reference_words(text)
    assert len(spans) == len(words)
    for (start, end), word in zip(spans.tolist(), words, strict=True):
        assert 0 <= start < end <= len(text)
        assert word in "".join(c for c in fold(text[start:end]) if c.isalnum())


def test_no_composition_reaches_across_a_cluster():
    pairs = [unicodedata.decomposition(chr(c)).split() for c in range(0x110000)]
    for first, second in (p for p in pairs if len(p) == 2 and not p[0].startswith("<")):
        text = f"x {chr(int(first, 16))}{chr(int(second, 16))} y"
        assert word_spans(text)[-1].tolist() == [len(text) - 1, len(text)]


def test_spans_count_original_characters_after_expanding_and_composing_ones():
    text = "ﬁve ½ e\u0301te\u0301 Straße end"
    spans = [text[start:end] for start, end in word_spans(text).tolist()]
    assert spans == ["ﬁve", "½", "½", "e\u0301te\u0301", "Straße", "end"]


def test_case_width_and_form_do_not_matter():
    words = hash_words(["Ｆull Straße É", "full STRASSE e\u0301"])
    np.testing.assert_array_equal(words[0], words[1])


def test_underscore_and_punctuation_separate_words():
    np.testing.assert_array_equal(hash_words(["snake_case, x-ray"])[0], hash_words(["snake case x ray"])[0])


def test_very_long_words_and_texts_keep_their_hash():
    long_word = "ab" * 200_000
    alone = hash_words([long_word])[0]
    framed = hash_words(["x " * 70_000 + long_word + " y"])[0]
    assert len(framed) == 70_002
    assert framed[70_000] == alone[0]
    assert framed[-1] == hash_words(["y"])[0][0]


def test_no_texts_and_empty_texts_have_no_words():
    assert len(hash_words([])) == 0
    np.testing.assert_array_equal(hash_words(["", "…", " \n"]).offsets, [0, 0, 0, 0])
    assert word_spans("").shape == (0, 2)


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 5))
def test_ngrams_never_cross_texts(lengths, n):
    rows = [np.arange(10 * k, 10 * k + length, dtype=np.uint64) for k, length in enumerate(lengths)]
    values = np.concatenate([np.empty(0, np.uint64), *rows])
    words = Ragged(values=values, offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))
    grams = ngrams(words, n)
    assert int(inside_texts(words.offsets, n).sum()) == len(grams.values)
    for k, row in enumerate(rows):
        np.testing.assert_array_equal(grams[k], ngram_hashes(row, n))
        assert len(grams[k]) == max(0, len(row) - n + 1)


def test_ngrams_depend_on_order():
    grams = ngrams(hash_words(["one two three", "three two one"]), 3)
    assert grams[0] != grams[1]


@pytest.mark.parametrize(("num_perm", "seed"), [(128, 1), (64, 1), (126, 7)])
def test_signatures_are_bit_identical_to_datasketch(num_perm, seed):
    chunk = ["the quick brown fox jumps over the lazy dog again", "too short", "東京都に行きました", "word " * 90_000]
    shingles = ngrams(hash_words(chunk), 3)
    ours = signatures(shingles, num_perm, seed)
    for k in range(len(chunk)):
        sketch = MinHash(num_perm=num_perm, seed=seed, scheme="affine32", hashfunc=lambda value: value)
        if len(shingles[k]):
            sketch.update_batch((shingles[k] >> np.uint64(32)).tolist())
        np.testing.assert_array_equal(ours[:, k], sketch.hashvalues)


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), max_size=6), st.integers(0, 2**32 - 1))
def test_signatures_do_not_depend_on_the_block(lengths, seed):
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 2**63, length, dtype=np.uint64) for length in lengths]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    together = signatures(Ragged(values=np.concatenate([np.empty(0, np.uint64), *rows]), offsets=offsets), 16, 1)
    for k, row in enumerate(rows):
        alone = signatures(Ragged(values=row, offsets=np.array([0, len(row)])), 16, 1)
        np.testing.assert_array_equal(together[:, k], alone[:, 0])


@pytest.mark.parametrize("character", ["\u200b", "\u00ad", "\u2060", "\ufe0f", "\u034f", "\u3164", "\U000e0041"])
def test_an_invisible_character_inside_a_word_hides_nothing(character):
    text = "how many rolls did the baker bake"
    hidden = " ".join(character.join(word) for word in text.split())
    assert (hash_words([hidden]).values == hash_words([text]).values).all()
    spans = word_spans(f"ab {hidden}")
    assert len(spans) == 8
    assert hidden.endswith(f"ab {hidden}"[spans[-1][0] : spans[-1][1]])


def test_program_tokens_keep_names_signs_and_places():
    texts = ["x_1 = f(x_1.y, 3)\n", "", "é≥Ab"]
    words, spans, is_name, after_dot = hash_tokens(texts)
    owner = np.repeat(np.arange(3), np.diff(words.offsets))
    spelled = [texts[k][start:end] for k, (start, end) in zip(owner, spans.tolist(), strict=True)]
    assert spelled == ["x_1", "=", "f", "(", "x_1", ".", "y", ",", "3", ")", "é", "≥", "Ab"]
    assert [s for s, name in zip(spelled, is_name, strict=True) if name] == ["x_1", "f", "x_1", "y", "é", "Ab"]
    assert [s for s, dot in zip(spelled, after_dot, strict=True) if dot] == ["y"]
    assert words.values[0] == words.values[4] != hash_tokens(["X_1"])[0].values[0]


@pytest.mark.parametrize(
    ("word", "expected"), [("12", True), ("٣", True), ("seven", True), ("one", False), ("x2", False)]
)
def test_numerals_are_numbers_and_the_pronoun_is_not(word, expected):
    assert is_number(word) == expected


@pytest.mark.parametrize("text", ["(ab cd).", "7", "“ab” çd!", "\u200b(ab)\u200b", "_a_"])
def test_the_words_of_a_text_span_from_the_first_to_the_last(text):
    spans = word_spans(text)
    assert words_span(text) == (spans[0, 0], spans[-1, 1])


@pytest.mark.parametrize(
    ("needle", "most", "where"),
    [("a b", 9, [0, 3]), ("a b", 1, [0]), ("b c", 9, [1]), ("c a b", 9, [2]), ("d", 9, []), ("a b c a b c", 9, [])],
)
def test_runs_are_found_word_for_word(needle, most, where):
    words, sought = hash_words(["a b c a b"])[0].tobytes(), hash_words([needle])[0].tobytes()
    assert run_places(words, sought, most) == where
    assert count_runs(words, sought, most) == len(where)


def test_a_run_begins_with_a_word_and_not_inside_one():
    words = np.array([0x0101010101010101] * 2 + [0x0101010101010102], dtype=np.uint64)
    assert run_places(words.tobytes(), words[:1].tobytes(), 9) == [0, 1]
    assert run_places(words[2:].tobytes() + words[:1].tobytes(), words[:1].tobytes(), 9) == [1]


@given(st.lists(mixed, min_size=1, max_size=6))
def test_the_spans_of_many_texts_are_those_of_each(several):
    for text, spans in zip(several, spans_of_words(several), strict=True):
        assert spans.tolist() == word_spans(text).tolist()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_minima_of_short_segments_are_those_of_any(sizes, seed):
    mixed = np.random.default_rng(seed).integers(0, 2**32, sum(sizes), dtype=np.uint32)
    begins = np.cumsum(sizes) - sizes
    assert np.array_equal(short_segment_minima(mixed, begins, 4, 8, 1), segment_minima(mixed, begins, 8, 1))
