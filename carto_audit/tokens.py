"""Tokens: every sample encoded once, in one memory-mapped file. A sample's tokens are all targets; none is truncated."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from carto_audit.batch import Batch, iter_texts
from carto_audit.errors import UsageError
from carto_audit.files import writing
from carto_audit.progress import SILENT, Progress
from carto_audit.text import safe_inline

VOCABULARY_BYTES = 16 << 20
"""Text that a vocabulary of some thousand pieces is trained on; more changes no merge that matters."""

LONGEST_PIECE = 16
"""Characters per token at most, so that a secret which a vendor repeats cannot become one single token."""

LONGEST_WORD = 128
"""Characters. Longer runs without a space are cut: the merges of one endless word would take hours."""

BOS = "<bos>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A tokenizer, the token that opens every sequence, and where it came from (None: trained on this batch)."""

    tokenizer: Tokenizer
    bos: int
    vocab_size: int
    checkpoint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStore:
    """Token ids of consecutive samples in one file: sample `i` is `ids()[offsets[i]:offsets[i + 1]]`. Pickles as a path."""

    path: Path
    dtype: str
    offsets: NDArray[np.int64]
    bos: int
    vocab_size: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens per sample, (N,)."""
        return np.diff(self.offsets)

    def ids(self) -> NDArray[np.integer]:
        """All token ids, memory-mapped read-only, (total,)."""
        if self.offsets[-1] == 0:
            return np.empty(0, self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r")


def train_encoder(
    batch: Batch, copies: NDArray[np.bool_], vocab_size: int, seed: int, progress: Progress = SILENT
) -> Encoder:
    """A byte-level BPE of `vocab_size` pieces from the batch's distinct texts; digits stay single tokens.

    `copies` marks texts to leave out, so that repetition does not buy a place in the vocabulary.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rf"\S{{{LONGEST_WORD}}}"), "isolated"),
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
    keep_share = min(1.0, VOCABULARY_BYTES / max(1, int(batch.n_bytes[usable].sum())))
    chosen = usable & (np.random.default_rng(seed).random(len(batch)) < keep_share)
    tokenizer.train_from_iterator(_chosen_texts(batch, chosen, progress), trainer)
    bos = tokenizer.encode(BOS).ids[0]
    return Encoder(tokenizer=tokenizer, bos=bos, vocab_size=tokenizer.get_vocab_size(), checkpoint=None)


def _chosen_texts(batch: Batch, chosen: NDArray[np.bool_], progress: Progress) -> Iterator[str]:
    for chunk in iter_texts(batch, progress, "Training the vocabulary"):
        yield from (text for k, text in enumerate(chunk.texts) if chosen[chunk.start + k])


def load_encoder(checkpoint: Path) -> Encoder:
    """The tokenizer of a local transformers checkpoint. Raises UsageError when there is none that counts offsets."""
    from transformers import AutoTokenizer

    logging.getLogger("transformers").setLevel(logging.ERROR)
    where = safe_inline(str(checkpoint), 160)
    try:
        loaded = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UsageError(f"{where}: no tokenizer in this checkpoint: {safe_inline(str(error), 120)}") from error
    if not loaded.is_fast:
        raise UsageError(f"{where}: its tokenizer has no fast version (tokenizer.json), which audits need")
    loaded.backend_tokenizer.no_truncation()
    loaded.backend_tokenizer.no_padding()
    bos = next((t for t in (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id) if t is not None), 0)
    return Encoder(tokenizer=loaded.backend_tokenizer, bos=bos, vocab_size=len(loaded), checkpoint=str(checkpoint))


def encode_batch(
    batch: Batch, encoder: Encoder, extra: list[str], path: Path, progress: Progress = SILENT
) -> TokenStore:
    """Encodes every sample of the batch, then the `extra` texts, into one file at `path`. Streams."""
    dtype = "uint16" if encoder.vocab_size <= 1 << 16 else "uint32"
    lengths: list[NDArray[np.int64]] = []
    with writing(path), path.open("wb") as stream:
        chunks = (chunk.texts for chunk in iter_texts(batch, progress, "Encoding"))
        for texts in _then(chunks, extra):
            encoded = [
                np.asarray(e.ids, dtype) for e in encoder.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            ]
            lengths.append(np.array([len(ids) for ids in encoded], np.int64))
            stream.write(np.concatenate(encoded).tobytes())  # tofile would hide a full disk
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return TokenStore(path=path, dtype=dtype, offsets=offsets, bos=encoder.bos, vocab_size=encoder.vocab_size)


def _then(chunks: Iterator[list[str]], extra: list[str]) -> Iterator[list[str]]:
    yield from chunks
    if extra:
        yield extra


def locate_spans(
    batch: Batch,
    encoder: Encoder,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    progress: Progress = SILENT,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Character offsets [start, end) of the token spans [first, last] of each sample; -1 where `first` is -1. Streams."""
    start = np.full(len(batch), -1, np.int64)
    end = np.full(len(batch), -1, np.int64)
    for chunk in iter_texts(batch, progress, "Locating spans"):
        samples = [i for i in range(chunk.start, chunk.start + len(chunk.texts)) if first[i] >= 0]
        texts = [chunk.texts[i - chunk.start] for i in samples]
        encodings = encoder.tokenizer.encode_batch(texts, add_special_tokens=False) if texts else []
        for i, encoding in zip(samples, encodings, strict=True):
            start[i], end[i] = encoding.offsets[first[i]][0], encoding.offsets[last[i]][1]
    return start, end
