"""Answers, declared: rows that ask and answer, and which of them a model learns by rote."""

from typing import Annotated

from pydantic import Field

from carto_audit.lenses.declared.spec import LensColumn, LensCost, LensMetric, LensSpec
from carto_audit.runtime.strict_model import NotBoolean, Strict


class AnswersOptions(Strict):
    """How much is asked."""

    most_questions: Annotated[int, NotBoolean, Field(ge=1, le=20_000)] = 2_000
    """Distinct questions that the proxies are asked at most, drawn by lot."""


ANSWERS = LensSpec(
    name="answers",
    version=1,
    question="Which rows ask and answer, and of which of them does a model learn the answer by rote?",
    sources=(
        "Xie et al. 2024, On Memorization of Large Language Models in Logical Reasoning: LiMem (arXiv 2410.23123)",
        "Yao et al. 2024, Data Contamination Can Cross Language Barriers: choice confusion (arXiv 2406.13236)",
        "Wu et al. 2025, Reasoning or Memorization: generated arithmetic as the null (arXiv 2507.10532)",
    ),
    needs=("texts", "proxies"),
    options=AnswersOptions,
    metrics=(
        LensMetric(
            name="rote_row_share",
            unit="share",
            better="lower",
            meaning="question rows whose old answer the proxy that read them gives to the changed question too",
        ),
        LensMetric(
            name="rote_token_share",
            unit="share",
            better="lower",
            meaning="tokens of the batch in such rows",
        ),
        LensMetric(
            name="answer_only_share",
            unit="share",
            better="neither",
            meaning="question rows that give the answer without a worked solution",
        ),
    ),
    columns=(
        LensColumn(name="question", type="flag", meaning="whether the row has a question with a short answer"),
        LensColumn(name="number", type="integer", meaning="number of the distinct question in this batch"),
        LensColumn(name="answer_only", type="flag", meaning="whether it gives the answer without a worked solution"),
        LensColumn(name="drawn", type="flag", meaning="whether the question had its turn to be asked"),
        LensColumn(
            name="known",
            type="flag",
            meaning="whether the proxy that read it answers it as written and the other does not; null where not asked",
        ),
        LensColumn(
            name="sticky",
            type="flag",
            meaning="whether it gives the old answer to the changed question, and the other does not; null where not asked",
        ),
        LensColumn(
            name="limem",
            type="number",
            meaning="known, times the share of changed questions that are not solved; null where not asked",
        ),
        LensColumn(
            name="choice_gain",
            type="number",
            meaning="-1, 0 or 1: what other wrong options do to whether its reader picks the right one; null where not asked",
        ),
        LensColumn(name="choice_gain_stranger", type="number", meaning="the same of the proxy that did not read it"),
    ),
    cost=LensCost(text_passes=1, seconds=30),
    load="carto_audit.lenses.shipped.answers:AnswersLens",
    doses=(8,),
    trained=True,
)
