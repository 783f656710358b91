"""The model: a small language model that stands in for the one to come. Its size decides what it can memorize at all."""

import hashlib
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from carto_audit.runtime.errors import UsageError, option
from carto_audit.runtime.files import file_sha256
from carto_audit.text.untrusted import safe_inline

BITS_PER_PARAMETER = 3.6
"""What a GPT-style model stores (Morris et al. 2025, arXiv 2505.24832)."""

BITS_PER_BYTE = 2.0
"""Text entropy under a small model, to choose a preset before anything is trained; the report prints the measured ratio."""

LOWEST_RATIO = 0.5
"""Below this capacity ratio everything is memorized and ranks saturate, so a smaller preset is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySpec:
    """A proxy's shape and its training step. `checkpoint` is a local transformers folder, or None for a built-in preset."""

    name: str
    vocab_size: int
    context: int
    hidden_size: int
    layers: int
    heads: int
    learning_rate: float
    minibatch_tokens: int
    checkpoint: str | None = None


PRESETS = {
    "nano": ProxySpec(
        name="nano",
        vocab_size=1024,
        context=256,
        hidden_size=128,
        layers=2,
        heads=4,
        learning_rate=2e-3,
        minibatch_tokens=256,
    ),
    "small": ProxySpec(
        name="small",
        vocab_size=1024,
        context=512,
        hidden_size=256,
        layers=4,
        heads=8,
        learning_rate=1.5e-3,
        minibatch_tokens=8192,
    ),
    "base": ProxySpec(
        name="base",
        vocab_size=16384,
        context=1024,
        hidden_size=512,
        layers=8,
        heads=8,
        learning_rate=8e-4,
        minibatch_tokens=32768,
    ),
}
"""Llama-style shapes. `nano` is for two CPU cores, `base` for one GPU."""

FINE_TUNING_RATE = 2e-4
"""Learning rate for a checkpoint that is already trained."""


def parameters_of(spec: ProxySpec) -> int:
    """Parameters of a preset, tied embeddings counted once."""
    per_layer = 4 * spec.hidden_size**2 + 3 * spec.hidden_size * (3 * spec.hidden_size) + 2 * spec.hidden_size
    return spec.vocab_size * spec.hidden_size + spec.layers * per_layer + spec.hidden_size


def capacity_ratio(n_tokens: float, bits_per_token: float, parameters: int) -> float:
    """The batch's information over what the proxy can store. Far below 1: everything is memorized; far above: only copies."""
    return n_tokens * bits_per_token / (BITS_PER_PARAMETER * parameters)


def resolve_device(name: str) -> str:
    """`auto` is the best device there is. Raises UsageError for one that this machine does not have."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if present[device])
    if not present.get(name, False):
        raise UsageError(
            f"{option('device', name)}: this machine has no such device; it has: {', '.join(d for d in present if present[d])}"
        )
    return name


def choose_preset(n_bytes: int, device: str) -> str:
    """The largest preset that the batch does not drown in, by capacity ratio; on a CPU always `nano`."""
    if device == "cpu":
        return "nano"
    fitting = [
        name
        for name, spec in PRESETS.items()
        if capacity_ratio(n_bytes, BITS_PER_BYTE, parameters_of(spec)) >= LOWEST_RATIO
    ]
    return fitting[-1] if fitting else "nano"


def checkpoint_spec(folder: Path, vocab_size: int) -> ProxySpec:
    """The spec of a local transformers checkpoint. Raises UsageError when it is not a causal language model."""
    from transformers import AutoConfig

    where = safe_inline(str(folder), 160)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        text = config.get_text_config()
        return ProxySpec(
            name=folder.name,
            vocab_size=vocab_size,
            context=min(512, getattr(text, "max_position_embeddings", 512)),
            hidden_size=text.hidden_size,
            layers=text.num_hidden_layers,
            heads=text.num_attention_heads,
            learning_rate=FINE_TUNING_RATE,
            minibatch_tokens=4096,
            checkpoint=str(folder),
        )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"{where}: not a transformers checkpoint: {safe_inline(str(error), 120)}") from error


def build_proxy(spec: ProxySpec, seed: int) -> nn.Module:
    """A freshly initialized proxy, or a copy of the checkpoint. Equal seeds give equal weights.

    The import of transformers costs ten seconds and is paid by the process that trains.
    """
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if spec.checkpoint is not None:
        try:
            loaded: nn.Module = AutoModelForCausalLM.from_pretrained(
                spec.checkpoint, local_files_only=True, trust_remote_code=False, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{safe_inline(spec.checkpoint, 160)}: {safe_inline(str(error), 120)}") from error
        require_causal(loaded, safe_inline(spec.checkpoint, 160))
        return loaded
    config = LlamaConfig(
        vocab_size=spec.vocab_size,
        hidden_size=spec.hidden_size,
        intermediate_size=3 * spec.hidden_size,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.heads,
        max_position_embeddings=spec.context,
        tie_word_embeddings=True,
        use_cache=False,
    )
    fresh: nn.Module = LlamaForCausalLM(config)
    return fresh


def token_losses(model: nn.Module, inputs: Tensor, targets: Tensor, real: Tensor, *, built_in: bool) -> Tensor:
    """Cross-entropy of each real target, (n_real,), nats. `inputs`, `targets`, `real` are (B, T), padded on the right.

    Right padding and causal attention make a mask needless: no real position sees a padded one. Only real positions
    reach the output head. A checkpoint's own forward pass is kept whole, since some scale or cap their logits.
    """
    if built_in:
        hidden = model.get_submodule("model")(input_ids=inputs, use_cache=False).last_hidden_state  # (B, T, H)
        logits = model.get_submodule("lm_head")(hidden[real])  # (n_real, V)
    else:
        logits = model(input_ids=inputs, use_cache=False).logits[real]  # (n_real, V)
    return F.cross_entropy(logits.float(), targets[real], reduction="none")


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / math.log(2)


def checkpoint_sha256(folder: Path) -> str:
    """One digest of a checkpoint's files, so that a run is never continued with other weights; "" without a folder."""
    files = sorted(p for p in folder.glob("*") if p.is_file()) if folder.is_dir() else []
    return hashlib.sha256("".join(f"{p.name} {file_sha256(p)}\n" for p in files).encode()).hexdigest() if files else ""


def require_causal(model: nn.Module, where: str) -> None:
    """Raises UsageError for a model whose early outputs change with a later token: it sees its own targets, and its losses mean
    nothing."""
    device = next(model.parameters()).device
    tokens = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 2]], device=device)
    model.eval()
    with torch.no_grad():
        first, second = model(input_ids=tokens, use_cache=False).logits[:, :3]
    if not torch.allclose(first, second, atol=1e-4):
        raise UsageError(f"{where}: this model is not causal; an audit needs a causal language model")


def count_parameters(spec: ProxySpec) -> int:
    """Parameters of a preset or a checkpoint. A checkpoint is loaded to be counted."""
    if spec.checkpoint is None:
        return parameters_of(spec)
    return sum(p.numel() for p in build_proxy(spec, 0).parameters())
