"""Tables, declared: which cells of tables in the text a model says by heart, by column and by how they are written down."""

from carto_audit.lenses.declared.places import SPAN_COLUMNS
from carto_audit.lenses.declared.spec import LensColumn, LensCost, LensMetric, LensSpec
from carto_audit.runtime.strict_model import Strict


class TablesOptions(Strict):
    """None."""


TABLES = LensSpec(
    name="tables",
    version=1,
    question="How much of the text is tables, and which of their cells does a model say by heart?",
    sources=(
        "German et al. 2025, Tab-MIA: membership of tables in six encodings (arXiv 2507.17259)",
        "Tirumala et al. 2022, Memorization Without Overfitting: memorization accuracy (arXiv 2205.10770)",
    ),
    needs=("texts", "proxies"),
    options=TablesOptions,
    metrics=(
        LensMetric(
            name="structured_token_share",
            unit="share",
            better="neither",
            meaning="tokens that stand in rows of tables, by their characters",
        ),
        LensMetric(
            name="recalled_cell_share",
            unit="share",
            better="lower",
            kind="count",
            meaning="distinct cells that come out whole, after what stands before them, of all that tell something",
        ),
    ),
    columns=(
        LensColumn(
            name="encoding", type="text", meaning="how most records of the row are written down: one of seven words"
        ),
        LensColumn(
            name="structured_share", type="number", meaning="share of the row's characters that stand in records"
        ),
        LensColumn(name="cells", type="integer", meaning="cells of the row that tell something"),
        LensColumn(
            name="recalled",
            type="integer",
            meaning="of those, the ones that come out whole; null where none was asked for",
        ),
    ),
    spans=True,
    span_columns=(
        LensColumn(name="encoding", type="text", meaning="how the record is written down"),
        *SPAN_COLUMNS,
    ),
    cost=LensCost(text_passes=1, seconds=15),
    load="carto_audit.lenses.shipped.tables:TablesLens",
    doses=(8,),
    trained=True,
)
