"""Secrets, declared: keys and passwords in the text, and which of them a model learns by heart."""

from carto_audit.lenses.declared.places import SPAN_COLUMNS
from carto_audit.lenses.declared.spec import LensColumn, LensCost, LensMetric, LensSpec
from carto_audit.runtime.strict_model import Strict


class SecretsOptions(Strict):
    """None."""


SECRETS = LensSpec(
    name="secrets",
    version=2,
    question="Which keys and passwords stand in the text, and which of them does a model learn by heart?",
    sources=(
        "Chu et al. 2025, Scrub It Out: secrets that code models memorize, scored by segments (arXiv 2509.13755)",
        "Tirumala et al. 2022, Memorization Without Overfitting: memorization accuracy (arXiv 2205.10770)",
    ),
    needs=("texts", "proxies"),
    options=SecretsOptions,
    metrics=(
        LensMetric(
            name="distinct",
            unit="items",
            better="lower",
            kind="count",
            meaning="distinct keys and passwords in the text",
        ),
        LensMetric(
            name="memorized",
            unit="items",
            better="lower",
            kind="count",
            meaning="of those, of whose loss reading took more away than it does of keys that stand once",
        ),
        LensMetric(
            name="extractable",
            unit="items",
            better="lower",
            kind="count",
            meaning="of those, that come out whole, after what stands before them",
        ),
        LensMetric(
            name="learned",
            unit="items",
            better="lower",
            kind="count",
            meaning="of those, that come out whole, or stand in several rows and are memorized",
        ),
    ),
    columns=(
        LensColumn(name="keys", type="integer", meaning="keys and passwords in the row"),
        LensColumn(
            name="memorized", type="integer", meaning="of those, the memorized ones; null where none was asked about"
        ),
    ),
    spans=True,
    span_columns=SPAN_COLUMNS,
    cost=LensCost(text_passes=1, seconds=10),
    load="carto_audit.lenses.shipped.secrets:SecretsLens",
    doses=(4,),
    trained=True,
)
