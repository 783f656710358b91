"""Derived views: what programs and invariant tokens show of an item that its words do not, as matches like any other."""

from collections.abc import Iterator, Sequence

from carto_audit.benchmarks.index import Index
from carto_audit.benchmarks.programs import ProgramHit, find_programs, is_code
from carto_audit.benchmarks.translations import TranslationHit, find_translations
from carto_audit.contamination.exact_match import Match
from carto_audit.contamination.tiers import CLEAN, Ruling, judge_program, judge_translation
from carto_audit.text.words import Ragged, word_spans


def find_by_views(texts: Sequence[str], words: Ragged, index: Index) -> Iterator[Match]:
    """Items found by their code under any variable names, and items that a row may translate."""
    for hit in find_programs(texts, index.programs):
        ruling = judge_program(hit.kept, hit.renamed)
        if ruling.tier != CLEAN:
            yield _match(hit, ruling, max(hit.kept, hit.renamed), hit.span, "program", index)
    for found in find_translations(words, index.invariant_tokens):
        if is_code(texts[found.row]):
            continue
        spans = word_spans(texts[found.row])
        span = int(spans[found.span[0], 0]), int(spans[found.span[1] - 1, 1])
        yield _match(found, judge_translation(found.tokens), found.share, span, "skeleton", index)


def _match(
    hit: ProgramHit | TranslationHit, ruling: Ruling, share: float, span: tuple[int, int], view: str, index: Index
) -> Match:
    group = index.question_of(hit.item)
    return Match(
        row=hit.row,
        item=hit.item,
        group=group,
        tier=ruling.tier,
        reason=ruling.reason,
        answered=view == "program",
        containment=share,
        longest_run=0,
        minhash_estimate=None,
        sample_span=span,
        item_span=(0, len(index.item_text(hit.item, group))),
        view=view,
    )
