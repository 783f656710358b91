"""Personal data, declared: which personal values come out of a model, and what authors tell of themselves."""

from typing import Annotated

from pydantic import Field

from carto_audit.lenses.declared.places import SPAN_COLUMNS
from carto_audit.lenses.declared.spec import LensColumn, LensCost, LensMetric, LensSpec
from carto_audit.runtime.strict_model import Strict


class PersonalDataOptions(Strict):
    """Who wrote what."""

    author_column: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The column that names the author of a row; without it each row is an author of its own."""


PERSONAL_DATA = LensSpec(
    name="personal_data",
    version=2,
    question="Which personal values come out of a model that read the text, and what do authors tell of themselves?",
    sources=(
        "Carlini et al. 2021, Extracting Training Data from Large Language Models (arXiv 2012.07805)",
        "Staab et al. 2023, Beyond Memorization: attributes inferred from text (arXiv 2310.07298)",
    ),
    needs=("texts", "proxies", "fields"),
    options=PersonalDataOptions,
    fields=("author_column",),
    metrics=(
        LensMetric(
            name="distinct",
            unit="items",
            better="neither",
            kind="count",
            meaning="distinct personal values in the text",
        ),
        LensMetric(
            name="extractable_values",
            unit="items",
            better="lower",
            kind="count",
            meaning="of those, that come out whole after what stands before them, and not of the proxy that never read them",
        ),
        LensMetric(
            name="learned_values",
            unit="items",
            better="lower",
            kind="count",
            meaning="of those, that come out whole, or stand in several rows and are memorized",
        ),
        LensMetric(
            name="coverage",
            unit="share",
            better="lower",
            meaning="personal values that come out after words which stand before values of their class in other rows",
        ),
        LensMetric(
            name="memorized_token_share",
            unit="share",
            better="lower",
            meaning="tokens of the rows that were read which lie in memorized personal values",
        ),
        LensMetric(
            name="max_cues_per_author",
            unit="items",
            better="lower",
            kind="count",
            meaning="attributes that one author tells of, such as age, place and work: the most of any",
        ),
    ),
    columns=(
        LensColumn(name="values", type="integer", meaning="personal values in the row"),
        LensColumn(
            name="extractable", type="integer", meaning="of those, that come out; null where none was asked about"
        ),
        LensColumn(name="content_type", type="text", meaning="the kind of text, such as article, forum or record"),
        LensColumn(
            name="author_cues", type="integer", meaning="attributes of its author that the row tells of, as a bit each"
        ),
    ),
    spans=True,
    span_columns=(
        *SPAN_COLUMNS,
        LensColumn(name="tokens", type="integer", meaning="its tokens; null where no proxy read the row"),
        LensColumn(name="reached", type="flag", meaning="whether words from other rows bring it out"),
    ),
    cost=LensCost(text_passes=1, seconds=20),
    load="carto_audit.lenses.shipped.personal_data:PersonalDataLens",
    doses=(4,),
    trained=True,
)
