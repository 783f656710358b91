"""Tokens: every sample encoded once, in one memory-mapped file. A sample's tokens are all targets; none is truncated."""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from carto_audit.data.batch import Batch, iter_texts
from carto_audit.data.segments import iter_learned
from carto_audit.proxies.words.word_encoder import WordEncoder, normalized
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.files import writing
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import INVISIBLE, safe_inline

VOCABULARY_BYTES = 16 << 20
"""Text that a vocabulary of some thousand pieces is trained on; more changes no merge that matters."""

LONGEST_PIECE = 16
"""Characters per token at most, so that a secret which a vendor repeats cannot become one single token."""

LONGEST_WORD = 128
"""Characters. Longer runs without a space, or of nothing else, are cut: the merges of one endless word would take hours."""

BITS_PER_BYTE = 0.6
"""What rarity is worth: 100 bits, in a vocabulary of some thousand pieces 11 tokens of usual rarity, weigh 60 bytes."""

BOS = "<bos>"

_BLOCK_TOKENS = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A tokenizer, the token that opens every sequence, and where it came from (None: trained on this batch)."""

    tokenizer: Tokenizer
    bos: int
    vocab_size: int
    checkpoint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStore:
    """Token ids of consecutive samples in one file: sample `i` is `ids()[offsets[i]:offsets[i + 1]]`. Pickles as a path.

    `n_learned` (N,) is of how many of a sample's tokens a loss is taken; None where it is of all."""

    path: Path
    dtype: str
    offsets: NDArray[np.int64]
    bos: int
    vocab_size: int
    n_learned: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens per sample, (N,)."""
        return np.diff(self.offsets)

    @property
    def weighed_tokens(self) -> NDArray[np.int64]:
        """Tokens per sample of which a loss is taken, (N,)."""
        return self.n_tokens if self.n_learned is None else self.n_learned

    def is_learned(self) -> NDArray[np.bool_] | None:
        """Of which tokens a loss is taken, memory-mapped, (total,); None where it is of all."""
        if self.n_learned is None:
            return None
        return np.memmap(self.flags, dtype=np.bool_, mode="r") if self.offsets[-1] else np.empty(0, np.bool_)

    @property
    def flags(self) -> Path:
        """Where it says of each token whether a loss is taken of it."""
        return self.path.with_suffix(".learned")

    def ids(self) -> NDArray[np.integer]:
        """All token ids, memory-mapped read-only, (total,)."""
        if self.offsets[-1] == 0:
            return np.empty(0, self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r")


def train_encoder(
    batch: Batch,
    copies: NDArray[np.bool_],
    vocab_size: int,
    seed: int,
    progress: Progress = SILENT,
    most_bytes: int = VOCABULARY_BYTES,
) -> Encoder:
    """A byte-level BPE of `vocab_size` pieces from `most_bytes` at most of the batch's distinct texts; digits stay single tokens.
    Neither how words are spaced nor invisible characters nor Unicode's compatible forms tell texts apart, so that they hide no
    copies.

    `copies` marks texts to leave out, so that repetition does not buy a place in the vocabulary.
    """
    tokenizer = Tokenizer(models.BPE())
    normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(INVISIBLE.pattern), ""),
            normalizers.NFKC(),
            normalizers.Replace(Regex(r"\s+"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rf"\S{{{LONGEST_WORD}}}|\s{{{LONGEST_WORD}}}"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=LONGEST_PIECE,
        show_progress=False,
    )
    usable = batch.trainable & ~copies
    keep_share = min(1.0, most_bytes / max(1, int(batch.n_bytes[usable].sum())))
    chosen = usable & (np.random.default_rng(seed).random(len(batch)) < keep_share)
    texts = _chosen_texts(batch, chosen, progress)
    tokenizer.train_from_iterator((normalized(normalizer, text) for text in texts), trainer)
    tokenizer.normalizer = normalizer
    bos = tokenizer.encode(BOS).ids[0]
    return Encoder(tokenizer=tokenizer, bos=bos, vocab_size=tokenizer.get_vocab_size(), checkpoint=None)


def _chosen_texts(batch: Batch, chosen: NDArray[np.bool_], progress: Progress) -> Iterator[str]:
    for chunk in iter_texts(batch, progress, "Training the vocabulary"):
        yield from (text for k, text in enumerate(chunk.texts) if chosen[chunk.start + k])


def load_encoder(checkpoint: Path) -> Encoder:
    """The tokenizer of a local transformers checkpoint. Raises UsageError when there is none that counts offsets."""
    loaded = load_tokenizer(checkpoint)
    loaded.backend_tokenizer.no_truncation()
    loaded.backend_tokenizer.no_padding()
    bos = next((t for t in (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id) if t is not None), 0)
    return Encoder(tokenizer=loaded.backend_tokenizer, bos=bos, vocab_size=len(loaded), checkpoint=str(checkpoint))


def load_tokenizer(checkpoint: Path) -> Any:
    """The tokenizer of a local folder as transformers loads it, chat template included; its own code is never run. Raises
    UsageError when there is none that counts offsets."""
    from transformers import AutoTokenizer

    logging.getLogger("transformers").setLevel(logging.ERROR)
    where = safe_inline(str(checkpoint), 160)
    try:
        loaded = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UsageError(f"{where}: no tokenizer in this checkpoint: {safe_inline(str(error), 120)}") from error
    if not loaded.is_fast:
        raise UsageError(f"{where}: its tokenizer has no fast version (tokenizer.json), which audits need")
    return loaded


def encode_batches(
    batches: Sequence[Batch], encoder: Encoder, path: Path, progress: Progress = SILENT, *, learned_parts: bool = False
) -> TokenStore:
    """Encodes every sample of the batches, one after the other, into one file at `path`. Streams. With `learned_parts` a loss is
    taken of the parts alone that trainers learn, such as an assistant's turns."""
    dtype = "uint16" if encoder.vocab_size <= 1 << 16 else "uint32"
    path.unlink(missing_ok=True)
    store = TokenStore(
        path=path,
        dtype=dtype,
        offsets=np.zeros(1, np.int64),
        bos=encoder.bos,
        vocab_size=encoder.vocab_size,
        n_learned=np.empty(0, np.int64) if learned_parts else None,
    )
    return _append(store, encoder, _texts_and_parts(batches, learned_parts, progress))


Parts = Sequence[tuple[int, int]]
"""Characters [start, end) of a text of which a loss is taken."""


def _texts_and_parts(
    batches: Sequence[Batch], learned_parts: bool, progress: Progress
) -> Iterator[tuple[list[str], list[Parts] | None]]:
    for batch in batches:
        parts = iter_learned(batch) if learned_parts and not batch.layout.is_plain else None
        for chunk in iter_texts(batch, progress, "Encoding"):
            yield chunk.texts, list(islice(parts, len(chunk.texts))) if parts is not None else None


def extend_store(store: TokenStore, encoder: Encoder, texts: list[str]) -> TokenStore:
    """The store with more samples at its end. The file grows; the store that was given still reads its own samples."""
    return _append(store, encoder, iter([(texts, None)] if texts else []))


def _append(store: TokenStore, encoder: Encoder, chunks: Iterator[tuple[list[str], list[Parts] | None]]) -> TokenStore:
    lengths, learned = [np.diff(store.offsets)], [store.weighed_tokens]
    with writing(store.path), ExitStack() as stack:
        stream = stack.enter_context(_cut(store.path, int(store.offsets[-1]) * np.dtype(store.dtype).itemsize))
        marks = stack.enter_context(_cut(store.flags, int(store.offsets[-1]))) if store.n_learned is not None else None
        words = WordEncoder(encoder.tokenizer, BOS, store.dtype) if encoder.checkpoint is None else None
        for texts, parts in chunks:
            if words is not None and parts is None:
                ids, sizes = words.encode(texts)
                taken, n_taken = np.ones(len(ids), dtype=bool), sizes
            else:
                ids, sizes, taken, n_taken = _encoded(encoder, texts, parts, store.dtype)
            stream.write(ids.tobytes())  # tofile would hide a full disk
            lengths.append(sizes)
            if marks is not None:
                learned.append(n_taken)
                marks.write(taken.tobytes())
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return replace(store, offsets=offsets, n_learned=np.concatenate(learned) if store.n_learned is not None else None)


def _encoded(
    encoder: Encoder, texts: list[str], parts: list[Parts] | None, dtype: str
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """The tokens of the texts and how many each has; and of which a loss is taken, and of how many of each text."""
    encode = encoder.tokenizer.encode_batch_fast if parts is None else encoder.tokenizer.encode_batch
    encoded = encode(texts, add_special_tokens=False)
    ids = np.concatenate([np.asarray(e.ids, dtype) for e in encoded])
    sizes = np.array([len(e.ids) for e in encoded], np.int64)
    if parts is None:
        return ids, sizes, np.ones(len(ids), dtype=bool), sizes
    taken = [_within(e, own) for e, own in zip(encoded, parts, strict=True)]
    return ids, sizes, np.concatenate(taken), np.array([flags.sum() for flags in taken], np.int64)


def _within(encoding: Encoding, parts: Parts) -> NDArray[np.bool_]:
    """Which tokens end inside one of the parts: the space before a word belongs to its token."""
    ends = np.array([end for _, end in encoding.offsets], np.int64)
    inside = np.zeros(len(ends), dtype=bool)
    for begin, end in parts:
        inside |= (ends > begin) & (ends <= end)
    return inside


@contextmanager
def _cut(path: Path, length: int) -> Iterator[BinaryIO]:
    """The file to write on after so many bytes."""
    with path.open("ab") as stream:
        stream.truncate(length)
        yield stream


def count_tokens(encoder: Encoder, texts: Sequence[str]) -> int:
    """The tokens of some texts together."""
    return sum(len(e.ids) for e in encoder.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False))


def weigh_pieces(encoder: Encoder, store: TokenStore) -> NDArray[np.int64]:
    """How much of a run each vocabulary entry makes up, (V,): its bytes, or its bits of surprise times BITS_PER_BYTE where
    these are more. Twelve rare tokens in a row are no chance, and fewer will do; twelve frequent ones are a phrase."""
    size = np.ones(encoder.vocab_size)
    for piece, number in encoder.tokenizer.get_vocab().items():
        if number < encoder.vocab_size:
            size[number] = len(piece)  # characters of a byte-level alphabet are bytes
    count, ids = np.ones(encoder.vocab_size), store.ids()
    for first in range(0, len(ids), _BLOCK_TOKENS):
        count += np.bincount(ids[first : first + _BLOCK_TOKENS], minlength=encoder.vocab_size)
    surprise = np.log2(count.sum() / count)
    weights: NDArray[np.int64] = np.floor(np.maximum(size, BITS_PER_BYTE * surprise)).astype(np.int64)
    return weights


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpans:
    """Character offsets of token spans: [`start`, `end`) of each sample's span, (N,), -1 where it has none; and for some
    `chosen` samples the offsets of all their tokens, (tokens, 2)."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    chosen: dict[int, NDArray[np.int64]]


def locate_spans(
    batch: Batch,
    encoder: Encoder,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    chosen: Collection[int],
    progress: Progress = SILENT,
) -> TokenSpans:
    """Where the token spans [first, last] of each sample lie in its text; none where `first` is -1. Streams."""
    start = np.full(len(batch), -1, np.int64)
    end = np.full(len(batch), -1, np.int64)
    whole: dict[int, NDArray[np.int64]] = {}
    for chunk in iter_texts(batch, progress, "Locating spans"):
        samples = [i for i in range(chunk.start, chunk.start + len(chunk.texts)) if first[i] >= 0]
        texts = [chunk.texts[i - chunk.start] for i in samples]
        encodings = encoder.tokenizer.encode_batch(texts, add_special_tokens=False) if texts else []
        for i, encoding in zip(samples, encodings, strict=True):
            start[i], end[i] = encoding.offsets[first[i]][0], encoding.offsets[last[i]][1]
            if i in chosen:
                whole[i] = np.array(encoding.offsets, np.int64)
    return TokenSpans(start=start, end=end, chosen=whole)
