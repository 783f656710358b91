"""Predicted risk, declared: what the text alone says of rows that no proxy was trained on."""

from carto_audit.lenses.declared.spec import LensColumn, LensCost, LensMetric, LensSpec
from carto_audit.runtime.strict_model import Strict


class PredictedRiskOptions(Strict):
    """None."""


PREDICTED_RISK = LensSpec(
    name="predicted_risk",
    version=1,
    question="How much of the text that the audit did not train on would it have flagged, as far as the text alone tells?",
    sources=(
        "predicting what a model memorizes from bits per byte and the losses of small models, as in work on distillation",
        "Kandpal et al. 2022, Deduplicating Training Data Mitigates Privacy Risks (arXiv 2202.06539)",
    ),
    needs=("texts", "kin", "scores"),
    options=PredictedRiskOptions,
    metrics=(
        LensMetric(
            name="unread_flagged_token_share",
            unit="share",
            better="lower",
            meaning="tokens of rows that were not trained on that lie in rows above the memorization threshold, predicted from "
            "text; not measured where all were trained on or none of those that were is flagged",
        ),
        LensMetric(
            name="auc",
            unit="AUC",
            better="higher",
            kind="power",
            meaning="how often a flagged row has a higher predicted risk than one that is not, by a model of other rows",
        ),
    ),
    columns=(
        LensColumn(
            name="predicted_risk",
            type="number",
            meaning="how likely the row is to be flagged, by its text alone; where it was trained on, by a model of other rows",
        ),
        LensColumn(name="read", type="flag", meaning="whether the proxies were trained on the row"),
        LensColumn(
            name="group", type="integer", meaning="the first row of those that share copies or a run of words with it"
        ),
        LensColumn(name="reason", type="text", meaning="what in its text speaks most for the risk"),
    ),
    cost=LensCost(text_passes=1, seconds=3),
    load="carto_audit.lenses.shipped.predicted_risk:PredictedRiskLens",
)
