"""The results as tables: of how many trials each cheat was caught, and how often an honest vendor was not believed."""

from collections.abc import Mapping, Sequence
from typing import Any

BAR = 19
ORDER = {
    "honest": "none: two honest audits, other keys, seeds and threads",
    "hide 0.5 of 0.05 in 400": "half of the flags hidden, 5 % of 400 rows flagged",
    "hide 0.5 of 0.02 in 1000": "half of the flags hidden, 2 % of 1,000 rows flagged",
    "hide 0.3 of 0.05 in 950": "30 % of the flags hidden, 5 % of 950 rows flagged",
    "hide 0.3 of 0.02 in 2350": "30 % of the flags hidden, 2 % of 2,350 rows flagged",
    "shave": "every score lowered by 0.15",
    "swap": "1 % of the rows exchanged after the commitment, all rows hashed",
    "drop rows": "hot rows left out, the count kept",
    "other batch": "the summary of another batch, as a replay of last month's",
    "weak proxy": "a proxy that trained for 2 epochs and learned nothing",
    "ground seeds": "the mildest of all seeds tried",
}
Result = Mapping[str, Any]


def table(results: Sequence[Result]) -> str:
    """The counts, and what honest audits disagree on."""
    lines = ["| cheat | caught, where limits were chosen | caught, elsewhere | by |", "|---|---|---|---|"]
    for name, words in ORDER.items():
        of = [one for one in results if one["trial"] == name]
        how = sorted({test for one in of for test in one.get("by", ["hidden_flags"]) if one["caught"]})
        counts = " | ".join(_caught([one for one in of if one["on"] == on]) for on in ("tuned", "judged"))
        lines.append(f"| {words} | {counts} | {', '.join(how).replace('_', ' ') or '–'} |")
    return "\n".join([*lines, "", *_besides(results), "", *_honest(results)])


def _caught(of: Sequence[Result]) -> str:
    return f"{sum(one['caught'] for one in of)} of {len(of)}" if of else "not measured"


def _besides(results: Sequence[Result]) -> list[str]:
    """What the table has no column for."""
    swaps = [one for one in results if one["trial"] == "swap"]
    sized = [one for one in results if "alarm" in one]
    said = []
    if swaps:
        seen = sum(one["by_challenge"] for one in swaps)
        said.append(
            f"Of {len(swaps)} batches with exchanged rows, a challenge of 459 rows alone would have shown {seen}."
        )
    if sized:
        alarms = sum(one["alarm"] for one in sized)
        said.append(f"Of the same {len(sized)} draws of rows without a cheat {alarms} failed.")
    return said


def _honest(results: Sequence[Result]) -> list[str]:
    """The disagreement of honest audits, by corpus: what the tests allow for."""
    honest = [one for one in results if one["trial"] == "honest"]
    corpora = sorted({one["vendor"].split("-")[0] for one in honest})
    lines = [
        "| corpus | ordered pairs | flags of the buyer that the vendor lacks: in all, most | scores shift by, most "
        "| of it, losses do not explain, most |",
        "|---|---|---|---|---|",
    ]
    for corpus in corpora:
        of = [one for one in honest if one["vendor"].startswith(corpus)]
        shares = [seen / max(1, among) for seen, among in (one["hidden_flags"] for one in of)]
        seen, among = (sum(one["hidden_flags"][k] for one in of) for k in range(2))
        shifts = [abs(shift) for shift, _ in (one["shift"] for one in of)]
        beyond = [abs(shift - explained) for shift, explained in (one["shift"] for one in of)]
        lines.append(
            f"| {corpus} | {len(of)} | {100 * seen / max(1, among):.1f} % of {among:,}, {100 * max(shares):.1f} % "
            f"| {max(shifts):.2f} | {max(beyond):.2f} |"
        )
    return lines if honest else []
