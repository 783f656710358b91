"""The glossary: what a page's reader cannot be expected to know, declared once, in plain words."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One word of the field, and what it means here."""

    name: str
    meaning: str


_SHARED: Mapping[str, Term] = {
    "auc": Term(
        name="AUC",
        meaning="How often something that should rank higher does so, when it is compared with something that should not: "
        "1 is perfect, 0.5 is chance.",
    ),
    "control": Term(
        name="Control, planted secret",
        meaning="A text that this tool wrote and put into the training data itself. Since it is known which secrets were "
        "planted and how often, they show how well memorization is detected. They never count in the batch’s figures.",
    ),
    "dose": Term(
        name="Dose",
        meaning="How often a planted secret occurs in the training data: 1, 4, 16 or 64 times. The more copies, the more "
        "surely a model memorizes it.",
    ),
    "kin": Term(
        name="Kin",
        meaning="Samples that share a rare passage, such as copies and near copies. They must stay on the same side of every "
        "split, or one copy would give the other away.",
    ),
    "proxy": Term(
        name="Proxy",
        meaning="A small language model, trained here to stand in for the large one that the data is meant for. What it "
        "memorizes a larger model will too; what it does not, a larger model still may.",
    ),
    "token": Term(
        name="Token, token share",
        meaning="A token is a word or a part of one, the unit in which models read text. A token share is a part of the text "
        "by length, so that one long document counts as much as many short ones.",
    ),
    "twin": Term(
        name="Twin",
        meaning="A secret written in the same way as a planted one and never planted: what a model makes of it shows what "
        "the wording alone does.",
    ),
}

_AUDIT: Mapping[str, Term] = {
    "fold": Term(
        name="Fold",
        meaning="One part of the batch. Each proxy is trained without one of the folds, so that for every sample there is a "
        "proxy that never saw it.",
    ),
    "hotspot": Term(
        name="Hotspot",
        meaning="The quadrant of text that is easy to predict and memorized: what a model is most likely to repeat word for "
        "word.",
    ),
    "nats": Term(
        name="Loss, in nats per token",
        meaning="How surprised a model is by a text. 0 means that it knows every next token for certain; each nat more makes "
        "the text about 2.7 times less likely per token.",
    ),
    "quadrant": Term(
        name="Quadrant",
        meaning="One of the four fields of the map: a sample is easy or hard to predict, and memorized or not.",
    ),
    "tau": Term(
        name="τ_d, τ_m",
        meaning="The thresholds of the map: above τ_d a sample counts as hard, above τ_m as memorized. The policy says how "
        "they are set.",
    ),
    "tier": Term(
        name="Contamination tier",
        meaning="How sure it is that a row holds a benchmark item. Confirmed: beyond doubt. Suspected: a part of it. Source "
        "overlap: both quote the same source. Boilerplate: a phrase that many rows share.",
    ),
}

_REDTEAM: Mapping[str, Term] = {
    "arm": Term(
        name="Arm",
        meaning="One way to treat the batch, and the proxy that was trained on the result. All arms train for the same number "
        "of steps.",
    ),
    "exposure": Term(
        name="Exposure, in bits",
        meaning="How far a planted secret stands out among all that could have been planted in its place: 0 is chance, and "
        "each bit halves the number of guesses.",
    ),
    "extraction": Term(
        name="Extraction, leakage",
        meaning="A secret is extracted when the proxy completes it word for word, or nearly so, from what stands before it. "
        "Leakage is the share of planted secrets that are.",
    ),
    "knee": Term(
        name="Knee",
        meaning="The level of a treatment after which going further removes little more leakage for its cost.",
    ),
    "membership": Term(
        name="Membership attack, MI-AUC",
        meaning="An attempt to tell which texts a model was trained on. Its AUC is 0.5 where it does no better than chance.",
    ),
    "perplexity": Term(
        name="Perplexity",
        meaning="How uncertain a model is about text that it never saw; lower is better. A rise is what a treatment costs.",
    ),
    "tpr": Term(
        name="TPR at 1 % FPR",
        meaning="True positive rate at a false positive rate of 1 %: the share of training texts that an attack finds while "
        "it wrongly accuses one unseen text in a hundred.",
    ),
}


def _sorted(terms: Mapping[str, Term]) -> dict[str, Term]:
    return dict(sorted(terms.items(), key=lambda item: item[1].name.lower()))


AUDIT_TERMS = _sorted({**_SHARED, **_AUDIT})
"""For the page of an audit, by the key under which it is linked."""

REDTEAM_TERMS = _sorted({**_SHARED, **_REDTEAM})
"""For the page of a red team."""
