"""The tap: token losses of a transformers model while it trains, however it computes its loss. Changes no bit of that."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from carto_audit.real_runs.integrations.token_losses import (
    IGNORED,
    at_predicted,
    scored_tokens,
    segments_of,
    token_losses,
    without_first,
)
from carto_audit.runtime.errors import UsageError
from carto_audit.traces.keys import SampleKeys, in_share

Receiver = Callable[[Tensor, Tensor, Tensor, Tensor], None]
"""Takes token ids, losses, segments and which are scored, all (B, T)."""

HEAD_CHUNK = 1024
"""Tokens whose logits are computed at once where the head runs once more."""

HEAD_TOLERANCE = 0.02
"""How far, as a share, the mean of those losses may be from the model's own: bfloat16 rounds that much."""


class ModelTap:
    """Sits on a model until `remove`. Of every forward pass with labels that trains, it hands the token losses to `receive`, from
    the first of these that there is:

    `log_probs`, which TRL's fused heads return; what the model's `loss_function` gives to cross entropy, taken on the way;
    logits, which cost cross entropy once more; else the last hidden states, through the head once more, for the samples that
    belong to the share. `used` names it. Raises UsageError for what it cannot tell apart or check.
    """

    def __init__(self, model: nn.Module, receive: Receiver, keys: SampleKeys, share: float) -> None:
        self._receive, self._keys, self._share = receive, keys, share
        self._core: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
        self._seen: Tensor | None = None
        self._hidden: Tensor | None = None
        self._checked = False
        self.used: str | None = None
        self._handles = [model.register_forward_hook(self._after, with_kwargs=True)]
        backbone = getattr(self._core, "base_model", None)
        if isinstance(backbone, nn.Module) and backbone is not self._core:
            self._handles.append(backbone.register_forward_hook(self._keep_hidden))
        self._put_on_loss_function()

    def remove(self) -> None:
        """Leaves the model as it was."""
        for handle in self._handles:
            handle.remove()
        if self._own_loss_function:
            self._core._loss_function = self._loss_function
        elif hasattr(self._core, "_loss_function"):
            del self._core._loss_function

    def _put_on_loss_function(self) -> None:
        self._own_loss_function = "_loss_function" in vars(self._core)
        if not isinstance(getattr(type(self._core), "loss_function", None), property):
            return  # not a model that calls what is put there
        self._loss_function = original = self._core.loss_function

        def with_tap(*args: Any, **kwargs: Any) -> Any:
            with _CrossEntropy() as mode:
                loss = original(*args, **kwargs)
            self._seen = mode.losses
            return loss

        self._core.loss_function = with_tap

    def _keep_hidden(self, _module: nn.Module, _args: Any, output: Any) -> None:
        hidden = getattr(output, "last_hidden_state", None)
        self._hidden = hidden.detach() if isinstance(hidden, Tensor) else None

    def _after(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        seen, hidden, self._seen, self._hidden = self._seen, self._hidden, None, None
        inputs = {"input_ids": args[0], **kwargs} if args else kwargs
        ids, labels = inputs.get("input_ids"), inputs.get("labels")
        if not (module.training and torch.is_grad_enabled()) or ids is None or labels is None:
            return
        if inputs.get("shift_labels") is not None:
            raise UsageError(
                "samples are cut over the ranks by sequence or context parallelism: no rank sees a whole one"
            )
        with torch.no_grad():
            bounds = inputs.get("cu_seq_lens_q")
            segments = segments_of(ids, inputs.get("attention_mask"), inputs.get("position_ids"), bounds)
            scored = without_first(scored_tokens(labels.to(ids.device)), segments)
            if (losses := self._from_output(output, labels, seen)) is None and hidden is not None:
                losses, scored = self._from_hidden(hidden, inputs, output, segments, scored)
            if losses is not None:
                self._receive(ids, losses, segments, scored)

    def _from_output(self, output: Any, labels: Tensor, seen: Tensor | None) -> Tensor | None:
        """Losses (B, T), each at the token that is predicted, from what the forward pass has computed anyway."""
        rows, length = labels.shape
        log_probs, logits = _of(output, "log_probs"), _of(output, "logits")
        if log_probs is not None and log_probs.shape == (rows, length - 1):
            self.used = "log_probs"
            return F.pad(-log_probs.detach(), (1, 0))
        if seen is not None and seen.numel() in (rows * length, rows * (length - 1)):
            self.used = "cross_entropy"
            return F.pad(seen.view(rows, -1), (1, 0))[:, :length]
        if logits is not None and logits.shape[:2] == labels.shape:
            self.used = "logits"
            pairs = zip(logits.detach(), labels, strict=True)  # a row at a time: its logits are copied
            return torch.cat([token_losses(row[None], label[None].to(row.device))[0] for row, label in pairs])
        return None

    def _from_hidden(
        self, hidden: Tensor, inputs: Mapping[str, Any], output: Any, segments: Tensor, scored: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses (B, T) of the samples that belong to the share, and which tokens those are. Of the first batch all are computed,
        and their mean is held against the model's own loss."""
        labels = inputs["labels"]
        target = F.pad(labels[:, 1:], (0, 1), value=IGNORED).flatten().to(hidden.device)
        if not self._checked:
            every = target != IGNORED
            self._check(self._head_losses(hidden, target, every)[every].sum(), every.sum(), inputs, output)
        wanted = scored if self._share == 1 else scored & self._in_share(inputs["input_ids"], segments)
        before = F.pad(wanted[:, 1:], (0, 1)).flatten().to(hidden.device)
        self.used = "hidden states"
        return at_predicted(self._head_losses(hidden, target, before).view(labels.shape)), wanted

    def _head_losses(self, hidden: Tensor, target: Tensor, chosen: Tensor) -> Tensor:
        """Losses (B * T,) at the chosen places, 0 elsewhere."""
        head, flat = self._core.get_output_embeddings(), hidden.flatten(0, 1)
        losses = torch.zeros(len(flat), device=hidden.device)
        for places in torch.split(chosen.nonzero().squeeze(1), HEAD_CHUNK):
            losses[places] = F.cross_entropy(head(flat[places]).float(), target[places], reduction="none")
        return losses

    def _check(self, total: Tensor, count: Tensor, inputs: Mapping[str, Any], output: Any) -> None:
        loss = _of(output, "loss")
        if loss is None:
            raise UsageError(
                "the model returns neither its loss nor log-probabilities nor logits: nothing to check against"
            )
        by_head, own = float(total), float(loss) * float(inputs.get("num_items_in_batch") or count)
        if not abs(by_head - own) <= HEAD_TOLERANCE * max(own, 1.0):
            raise UsageError(
                f"the head on the last hidden states gives a loss of {by_head / float(count):.4f}, the model itself "
                f"{own / float(count):.4f}: it does more than its head says (soft capping, scaling, another loss); "
                "log from your loop with LossLogger.log"
            )
        self._checked = True

    def _in_share(self, ids: Tensor, segments: Tensor) -> Tensor:
        """Which tokens (B, T) belong to a sample of the share. Waits for the device: keys are made on the host."""
        numbers, inverse = torch.unique(segments.cpu(), return_inverse=True)
        order = inverse.flatten().argsort(stable=True)
        sizes = torch.bincount(inverse.flatten(), minlength=len(numbers))
        bounds = F.pad(sizes.cumsum(0), (1, 0)).numpy()
        keys = self._keys.keys_of_runs(ids.cpu().flatten()[order].numpy(), bounds)
        return torch.from_numpy(in_share(keys, self._share))[inverse].to(segments.device)


class _CrossEntropy(TorchFunctionMode):
    """Computes the first cross entropy over tokens in the two steps that it consists of, and keeps what is between them."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: Tensor | None = None

    def __torch_function__(
        self, func: Any, types: Iterable[Any], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.cross_entropy or self.losses is not None:
            return func(*args, **kwargs)
        given = _CROSS_ENTROPY.bind(*args, **kwargs)
        given.apply_defaults()
        logits, target, ignored = (given.arguments[name] for name in ("input", "target", "ignore_index"))
        plain = all(given.arguments[name] == value for name, value in _PLAIN.items())
        if not plain or logits.dim() != 2 or target.dim() != 1:
            return func(*args, **kwargs)
        log_probs = F.log_softmax(logits, 1)
        self.losses = F.nll_loss(log_probs.detach(), target, ignore_index=ignored, reduction="none")
        return F.nll_loss(log_probs, target, ignore_index=ignored, reduction=given.arguments["reduction"])


_CROSS_ENTROPY = inspect.signature(F.cross_entropy)
_PLAIN = {"weight": None, "size_average": None, "reduce": None, "label_smoothing": 0.0}


def _of(output: Any, name: str) -> Tensor | None:
    value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    return value if isinstance(value, Tensor) else None
