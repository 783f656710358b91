"""The details of one risky sample: what the page shows of it when its row is opened."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from carto_audit.artifacts.evidence_facts import ExcerptFacts, HeatFacts, MatchFacts, PlaceFacts, SampleFacts
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.report.charts import LossChart, loss_chart, sparkline
from carto_audit.report.differences import Segments, differences
from carto_audit.report.narrative import RECALL_WORDS
from carto_audit.text.numbers import number

_HEAT_CHARACTERS, _HEAT_PIECES, _HEAT_LEVELS = 1600, 240, 5
_MOST_PAIRS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One match: both passages in segments, with what stands on one side only, and the match's place among all."""

    place: int
    match: MatchFacts
    sample: Segments
    item: Segments


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleDetails:
    """`heat` holds pieces of text with a level of 0 to 4, `dose` how often a secret memorized alike was planted, `others`
    the reasons that the page says nowhere else."""

    heat: list[tuple[str, int]]
    dose: str
    others: str
    spark: Markup
    losses: LossChart | None
    pairs: list[Pair]


def sample_details(facts: ReportFacts, pairs: Sequence[Pair], rows: int) -> list[SampleDetails]:
    """One for each of the first `rows` samples of the report's table."""
    logged, ruler = facts["run"]["logged_epochs"], facts["detection"]["ruler"]
    return [
        SampleDetails(
            heat=_heat(sample["heat"]),
            dose=_dose(sample["equivalent_dose"], ruler),
            others=_other_reasons(sample),
            spark=_spark(sample, logged),
            losses=loss_chart(_lines(sample, logged)),
            pairs=[pair for pair in pairs if pair.match["row"] == sample["row"]][:_MOST_PAIRS],
        )
        for sample in facts["riskiest"][:rows]
    ]


def match_pairs(matches: Iterable[MatchFacts]) -> list[Pair]:
    """Every match with the differences of its two passages."""
    pairs = []
    for place, match in enumerate(matches):
        sample, item = differences(_span(match["excerpt_sample"]), _span(match["excerpt_item"]))
        pairs.append(Pair(place=place, match=match, sample=sample, item=item))
    return pairs


def point_labels(facts: ReportFacts, rows: int) -> dict[str, str]:
    """What a screen reader says of each point of the map, by its name there."""
    labels = {}
    for place, sample in enumerate(facts["riskiest"][:rows]):
        labels[f"sample-{place}"] = f"{place + 1}: {sample['sample_id']}, {_position(sample)}"
    for place, match in enumerate(facts["contamination"]["matches"][:rows]):
        item = f"{match['benchmark']} {match['item_id']}"
        labels[f"match-{place}"] = f"Benchmark item {item} in {match['sample_id']}, {_position(match)}"
    return labels


def _position(sample: PlaceFacts) -> str:
    quadrant = QUADRANTS.get(sample["quadrant"]) if sample["quadrant"] else None
    where = quadrant.title.lower() if quadrant else "not on the map"
    return f"{where}, memorization {number(sample['memorization'])}, difficulty {number(sample['difficulty'])}"


def _span(excerpt: ExcerptFacts | str) -> str:
    return excerpt if isinstance(excerpt, str) else excerpt["span"]


def _heat(pieces: Sequence[HeatFacts]) -> list[tuple[str, int]]:
    """A heat strip of bounded length, each piece with a level of 0 to 4. Spaces stand between pieces, so no bar of colour
    ends in the void."""
    strip: list[tuple[str, int]] = []
    room = _HEAT_CHARACTERS
    for piece in pieces[:_HEAT_PIECES]:
        text, level = piece["text"][:room], min(max(int(piece["level"]), 0), _HEAT_LEVELS - 1)
        room -= len(text)
        bare = text.strip()
        before, after = (" " if space else "" for space in (text[:1].isspace(), bare and text[-1:].isspace()))
        strip += [(part, rank) for part, rank in ((before, 0), (bare, level), (after, 0)) if part]
        if len(text) < len(piece["text"]):
            break
    cut = len(pieces) > _HEAT_PIECES or not room
    return [*strip, ("…", 0)] if cut and strip else strip


def _dose(dose: float | None, ruler: Mapping[str, float | None]) -> str:
    """How often a planted secret occurs that is memorized as strongly; open-ended beyond what was planted."""
    planted = sorted(int(known) for known in ruler)
    if dose is None or not planted:
        return "–"
    sign = "≤" if dose <= planted[0] else "≥" if dose >= planted[-1] else "≈"
    return f"{sign} {dose:,.0f} ×"


def _other_reasons(sample: SampleFacts) -> str:
    """The reasons of a sample's action beyond its recall and its dose, which the page shows in a place of their own."""
    said = (*(f"{recall.title.lower()}:" for recall in RECALL_WORDS.values()), sample["dose_words"] or "–")
    return "; ".join(clause for clause in str(sample["reasons"]).split("; ") if not clause.startswith(said))


def _lines(sample: SampleFacts, logged: Sequence[float]) -> list[tuple[str, Sequence[float], Sequence[float | None]]]:
    """The sample's losses: while training, of the proxy that never saw it, and of the one that did."""
    losses = sample["losses"]
    train, inside, outside = (losses[key][:400] for key in ("train", "in_fold", "out_of_fold"))
    epochs = [float(epoch) for epoch in logged]
    return [
        ("train", [float(epoch + 1) for epoch in range(len(train))], train),
        ("out", epochs[-len(outside) :] if outside else [], outside[-len(epochs) :]),
        ("in", epochs[-len(inside) :] if inside else [], inside[-len(epochs) :]),
    ]


def _spark(sample: SampleFacts, logged: Sequence[float]) -> Markup:
    """The losses as a small picture. Markup is safe here: numbers and our own words, nothing from data."""
    ends = f"seen {number(sample['loss_in'])}, unseen {number(sample['loss_out'])}"
    return Markup(sparkline(_lines(sample, logged), f"loss over epochs: {ends} nats per token"))
