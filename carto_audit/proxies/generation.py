"""Generation: what a proxy says after a prompt. Prompts of any lengths share a minibatch, padded on the left."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carto_audit.proxies.loaded_proxy import LoadedProxy

MINIBATCH_TOKENS = 16384
"""Tokens at once: prompts and outputs, padding included."""

Ids = NDArray[np.int64]


def greedy(proxy: LoadedProxy, prompts: Sequence[Ids], lengths: Sequence[int]) -> list[Ids]:
    """The likeliest token after each prompt, and again, as often as `lengths` asks. Each prompt opens with its `bos`."""
    outputs: list[Ids] = [np.empty(0, np.int64)] * len(prompts)
    wanted = np.asarray(lengths, np.int64)
    for chosen in _minibatches(prompts, wanted, 1):
        inputs, real = _pad_left([prompts[k] for k in chosen], proxy.bos, proxy.device)
        said = extend(proxy, inputs, real, int(wanted[chosen].max()))[:, 0]
        for k, tokens in zip(chosen.tolist(), said, strict=True):
            outputs[k] = tokens[: wanted[k]]
    return outputs


def sample(
    proxy: LoadedProxy,
    prompts: Sequence[Ids],
    length: int,
    outputs: int,
    seed: int,
    temperature: float = 1.0,
) -> list[Ids]:
    """So many outputs of `length` tokens drawn after each prompt, (outputs, length) per prompt. Equal seeds draw alike."""
    torch.manual_seed(seed)
    drawn: list[Ids] = [np.empty((0, length), np.int64)] * len(prompts)
    for chosen in _minibatches(prompts, np.full(len(prompts), length, np.int64), outputs):
        inputs, real = _pad_left([prompts[k] for k in chosen], proxy.bos, proxy.device)
        said = extend(proxy, inputs, real, length, outputs, temperature)
        for k, tokens in zip(chosen.tolist(), said, strict=True):
            drawn[k] = tokens
    return drawn


@torch.no_grad()
def extend(
    proxy: LoadedProxy,
    inputs: Tensor,
    real: Tensor,
    length: int,
    outputs: int = 1,
    temperature: float | None = None,
) -> Ids:
    """What a proxy says after each of B prompts, (B, outputs, length): the greedy output, or draws at a temperature.

    `inputs` are (B, T), padded on the left, and `real` marks what is no padding. Without 16-bit arithmetic, whose ties would
    decide what is greedy.
    """
    from transformers import GenerationConfig

    proxy.model.generation_config = GenerationConfig(pad_token_id=proxy.bos)  # a checkpoint's own may stop or filter
    how: dict[str, Any] = {"do_sample": False}
    if temperature is not None:
        how = {"do_sample": True, "temperature": temperature, "top_k": 0, "num_return_sequences": outputs}
    generate: Any = proxy.model.generate
    said = generate(inputs, attention_mask=real.long(), max_new_tokens=length, use_cache=True, **how)
    new: Ids = said[:, inputs.shape[1] :].reshape(len(inputs), outputs, length).cpu().numpy()
    return new


def _minibatches(prompts: Sequence[Ids], lengths: Ids, outputs: int) -> Iterator[Ids]:
    """Prompts that are continued together: about equally long, and equally far. Those of length 0 need no output."""
    size = np.array([1 + len(prompt) for prompt in prompts], np.int64)
    order = np.lexsort((size, lengths))
    chosen: list[int] = []
    longest = 0
    for k in order[lengths[order] > 0].tolist():
        longest = max(longest, int(size[k]))
        if chosen and outputs * (len(chosen) + 1) * (longest + int(lengths[k])) > MINIBATCH_TOKENS:
            yield np.array(chosen)
            chosen, longest = [], int(size[k])
        chosen.append(k)
    if chosen:
        yield np.array(chosen)


def _pad_left(prompts: Sequence[Ids], bos: int, device: str) -> tuple[Tensor, Tensor]:
    """Prompts behind `bos`, and which positions are real, each (B, T)."""
    longest = 1 + max(len(prompt) for prompt in prompts)
    inputs = np.full((len(prompts), longest), bos, np.int64)
    real = np.zeros(inputs.shape, bool)
    for row, prompt in enumerate(prompts):
        inputs[row, longest - len(prompt) :] = prompt
        real[row, longest - len(prompt) - 1 :] = True
    return torch.from_numpy(inputs).to(device), torch.from_numpy(real).to(device)
