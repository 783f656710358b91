"""Preflight: which controls reach the loss of a run, told before it begins: after its tokenizer, truncation, packing and mask.
A copy that is cut, unknown or masked does not count as planted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.data.formats.turns import LEARNED_ROLES, turns_of
from carto_audit.data.layouts import BETWEEN, Layout
from carto_audit.proxies.tokens import load_tokenizer
from carto_audit.real_runs.control_rows import ControlRow
from carto_audit.real_runs.options import PlantOptions
from carto_audit.runtime.errors import UsageError
from carto_audit.text.untrusted import safe_inline

LOSSES = {
    "tokenizer": "the tokenizer does not know its signs, or the chat template does not show it",
    "truncation": "it lies beyond the longest length",
    "packing": "packing cuts through it, or nobody can tell where",
    "masking": "no loss is taken of it",
}
"""What a copy can be lost to."""

_ROLES = {"human": "user", **dict.fromkeys(LEARNED_ROLES, "assistant")}

Tokens = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A control as the run's tokenizer reads it: how many `tokens` the sample has, the first and the last of its secret and of
    what is free in it, None where there is none; `lost_to` is a key of LOSSES, None where it survives."""

    tokens: int
    secret: Tokens
    free: Tokens
    lost_to: str | None


def look_ahead(rows: Sequence[ControlRow], layout: Layout, options: PlantOptions) -> list[Seen]:
    """Every control as the run will read it: conversations by the chat template, a completion right after its prompt, others as
    they are read here. Raises UsageError where the tokenizer cannot be loaded, or its template does not take a conversation."""
    tokenizer = load_tokenizer(Path(str(options.tokenizer)))
    between = "" if layout.name == "prompt_completion" else BETWEEN
    return [_seen(row, between, tokenizer, options) for row in rows]


def _seen(row: ControlRow, between: str, tokenizer: Any, options: PlantOptions) -> Seen:
    messages = conversation_of(row.values) if tokenizer.chat_template else None
    said = row.text[row.start : row.end]
    if messages is None:
        parts = [row.text[part.start : part.end] for part in row.segments] or [row.text]
        before = sum(part.end <= row.start for part in row.segments)
        shown, start = between.join(parts), row.start - before * (len(BETWEEN) - len(between))
    else:
        shown = rendered(messages, tokenizer, str(options.tokenizer))
        start = shown.find(said)
    encoded = tokenizer(
        shown, add_special_tokens=messages is None, return_offsets_mapping=True, truncation=False, verbose=False
    )
    ids, offsets = encoded["input_ids"], np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2)
    secret = _tokens(offsets, start, start + len(said)) if start >= 0 else (None, None)
    shift = start - row.start
    free = (
        _tokens(offsets, row.free_start + shift, row.free_end + shift)
        if row.free_end > row.free_start
        else (None, None)
    )
    if secret[0] is None or secret[1] is None:
        return Seen(tokens=len(ids), secret=(None, None), free=(None, None), lost_to="tokenizer")
    unknown = tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids[secret[0] : secret[1] + 1]
    lost = "tokenizer" if unknown else _lost(secret[0], secret[1], row, options)
    return Seen(tokens=len(ids), secret=secret, free=free, lost_to=lost)


def _lost(first: int, last: int, row: ControlRow, options: PlantOptions) -> str | None:
    """What a secret of tokens [first, last] is lost to."""
    longest = options.max_length
    if options.packing == "wrapped":
        return "packing"
    if longest is not None and options.packing == "bfd_split" and first // longest != last // longest:
        return "packing"
    if longest is not None and options.packing != "bfd_split" and last >= longest:
        return "truncation"
    learned = row.learned or not row.segments
    return "masking" if options.loss_on == "completions" and not learned else None


def _tokens(offsets: NDArray[np.int64], start: int, end: int) -> Tokens:
    """The first and the last token of some characters."""
    inside = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start) & (offsets[:, 1] > offsets[:, 0]))
    return (int(inside[0]), int(inside[-1])) if len(inside) else (None, None)


def conversation_of(values: Mapping[str, Any]) -> list[dict[str, str]] | None:
    """The conversation of a row as chat templates take it; None where there is none. What is rejected is another sample."""
    found: list[dict[str, str]] = []
    for name, value in values.items():
        turns = turns_of(value) if name != "rejected" else None
        found += [{"role": _ROLES.get(turn.role.casefold(), turn.role), "content": turn.said} for turn in turns or ()]
    system = values.get("system")
    if not found:
        return None
    return [{"role": "system", "content": system}, *found] if isinstance(system, str) and system else found


def rendered(messages: list[dict[str, str]], tokenizer: Any, where: str) -> str:
    """A conversation as the tokenizer's chat template writes it. Raises UsageError where the template does not take it."""
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    except Exception as error:  # a template may raise anything
        detail = safe_inline(str(error).split("\n")[0], 120) or type(error).__name__
        raise UsageError(
            f"{safe_inline(where, 160)}: its chat template does not take a conversation of this batch: {detail}"
        ) from error
