"""Tracing, declared: what the proxies say unasked, and which rows it comes from."""

from carto_audit.lenses.declared.spec import LensColumn, LensCost, LensMetric, LensSpec
from carto_audit.runtime.strict_model import Strict


class TracingOptions(Strict):
    """None."""


TRACING = LensSpec(
    name="tracing",
    version=1,
    question="What does a model that read this text say unasked, and which rows does it come from?",
    sources=(
        "Carlini et al. 2021, Extracting Training Data from Large Language Models: what comes out unprompted (arXiv 2012.07805)",
        "Liu et al. 2025, OLMoTrace: outputs traced to training text by their longest verbatim runs (arXiv 2504.07096)",
        "Li et al. 2016, A Diversity-Promoting Objective Function: distinct-n (arXiv 1510.03055)",
    ),
    needs=("texts", "proxies"),
    options=TracingOptions,
    metrics=(
        LensMetric(
            name="unprompted_verbatim_share",
            unit="share",
            better="lower",
            meaning="of what the proxies say unasked, tokens in runs of 12 and more that stand in a row which that proxy read, "
            "and in none that it did not",
        ),
        LensMetric(
            name="distinct_sources",
            unit="rows",
            better="lower",
            kind="count",
            meaning="rows, of those that the proxies read, in which such a run stands",
        ),
    ),
    columns=(
        LensColumn(
            name="times_traced",
            type="integer",
            meaning="outputs whose longest such run stands in the row; null where no proxy read it",
        ),
        LensColumn(
            name="traced_tokens",
            type="integer",
            meaning="the row's tokens that stand in such a run; null where no proxy read it",
        ),
    ),
    spans=True,
    span_columns=(
        LensColumn(name="output", type="integer", meaning="number of the output; copies of a run have the same"),
        LensColumn(name="tokens", type="integer", meaning="tokens of the run"),
    ),
    cost=LensCost(text_passes=1, seconds=20),
    load="carto_audit.lenses.shipped.tracing:TracingLens",
    doses=(16,),
    trained=True,
)
