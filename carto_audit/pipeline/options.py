"""Options: what a run decides. What a team decides once stands in the policy."""

from dataclasses import dataclass

DEFAULT_EPOCHS = 8
"""At 8, secrets planted 4 times inside other text stand out with AUC 0.98 on 220,000 tokens (bench/detection)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """How an audit is done. `proxy` is a preset, a transformers checkpoint folder, or None for one by the size of the batch;
    `max_tokens` None trains on as much as the device reads in a quarter of an hour; `repeats` are pairs of proxies whose scores
    are averaged; `reference` is a file of trusted text that a policy may measure the batch against."""

    text_column: str | None = None
    id_column: str | None = None
    proxy: str | None = None
    device: str = "auto"
    epochs: int = DEFAULT_EPOCHS
    folds: int = 2
    max_tokens: int | None = None
    seed: int = 0
    repeats: int = 1
    reference: str | None = None
