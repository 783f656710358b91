"""The numbers about reviewed decisions that a rule may limit; `metrics` declares them with the others."""

from typing import Any

UNREVIEWED_ITEMS, UNREVIEWED_SUSPECTS, UNREVIEWED_ROWS, UNREVIEWED_MASS = (
    "contamination.unreviewed_confirmed_items",
    "contamination.unreviewed_suspected_items",
    "contamination.unreviewed_confirmed_rows",
    "memorized.unreviewed_token_share",
)
WAVED, KEPT_ROWS, LAPSED = "decisions.waved_token_share", "decisions.kept_confirmed_rows", "decisions.lapsed"

CONTAMINATION: tuple[dict[str, Any], ...] = tuple(
    {"name": name, "unit": unit, "better": "lower", "kind": "count", "meaning": meaning}
    for name, unit, meaning in (
        (UNREVIEWED_ITEMS, "items", "confirmed benchmark items of which no decision of --decisions speaks"),
        (UNREVIEWED_SUSPECTS, "items", "suspected benchmark items of which no decision of --decisions speaks"),
        (UNREVIEWED_ROWS, "rows", "rows that hold a confirmed benchmark item and of which no decision speaks"),
    )
)

MEMORIZED: dict[str, Any] = {
    "name": UNREVIEWED_MASS,
    "unit": "share",
    "better": "lower",
    "kind": "mass",
    "meaning": "share of the batch's tokens that are above the memorization threshold and in rows of which no decision speaks",
}

DECISIONS: tuple[dict[str, Any], ...] = (
    {
        "name": WAVED,
        "unit": "share",
        "better": "lower",
        "kind": "mass",
        "meaning": "tokens of rows that are memorized or hold a benchmark item, and that decisions let stay: keep, false alarm",
    },
    {
        "name": KEPT_ROWS,
        "unit": "rows",
        "better": "lower",
        "kind": "count",
        "meaning": "rows that hold a confirmed benchmark item and stay by decision: keep, false alarm",
    },
    {
        "name": LAPSED,
        "unit": "decisions",
        "better": "lower",
        "kind": "count",
        "meaning": "decisions without effect because their last day is over or what they are about has changed",
    },
)
