"""Repetition, declared: how often text would be read in the buyer's own training plan."""

from typing import Annotated

from pydantic import Field

from carto_audit.lenses.declared.spec import LensColumn, LensCost, LensMetric, LensSpec
from carto_audit.runtime.strict_model import NotBoolean, Strict


class RepetitionOptions(Strict):
    """The training plan."""

    planned_epochs: Annotated[float, NotBoolean, Field(gt=0, le=10_000)] = 1.0
    """How often the training will read the batch."""
    corpus_tokens: Annotated[int, NotBoolean, Field(ge=1)] | None = None
    """Tokens of the whole corpus that the batch becomes part of."""


REPETITION = LensSpec(
    name="repetition",
    version=1,
    question="How often would the model read the same text in your training plan, and how much text is read harmfully often?",
    sources=(
        "Hernandez et al. 2022, Scaling Laws and Interpretability of Learning from Repeated Data (arXiv 2205.10487)",
        "Chowdhery et al. 2022, PaLM: memorization by number of repetitions (arXiv 2204.02311)",
    ),
    needs=("kin", "weights"),
    options=RepetitionOptions,
    metrics=(
        LensMetric(
            name="harmful_band_token_share",
            unit="share",
            better="lower",
            meaning="tokens that the planned training would read 10 to 1,000 times, copies and weights counted",
        ),
        LensMetric(
            name="max_effective_repeats",
            unit="ratio",
            better="lower",
            kind="count",
            meaning="how often the planned training would read the text that it reads most often",
        ),
    ),
    columns=(
        LensColumn(
            name="effective_repeats",
            type="number",
            meaning="how often the planned training would read this row's text: the weights of all its copies, times the epochs",
        ),
    ),
    cost=LensCost(text_passes=0, seconds=0.1),
    load="carto_audit.lenses.shipped.repetition:RepetitionLens",
    doses=(2, 8, 32),
)
