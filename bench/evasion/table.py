"""The table of evasion: how often each attack was accepted, and its twin was not, as the Markdown that README.md holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How the command of one case ended: 0 accepted, 1 rejected or not verified, 2 refused, 3 inconclusive."""

    attack: str
    repetition: int
    harmless: bool
    code: int

    @property
    def is_wrong(self) -> bool:
        """Whether an attack was accepted, or a twin was not."""
        return (self.code == 0) != self.harmless

    def kept(self) -> dict[str, Any]:
        """A line of the results."""
        return {name: getattr(self, name) for name in ("attack", "repetition", "harmless", "code")}


def table(results: Sequence[Result], mapped: Sequence[Result], what: Mapping[str, str]) -> str:
    """A row per attack, and one for all of them; attacks on the map have their own."""
    if not results:
        return "no results"
    lines = [
        "| attack | what | accepted by mistake | ended with | twin refused by mistake | ended with |",
        "|---|---|---|---|---|---|",
        *(_row(name, words, [r for r in results if r.attack == name]) for name, words in what.items()),
        _row("**all**", "", results),
    ]
    if mapped:
        names = dict.fromkeys(one.attack for one in mapped)
        lines += [_row(f"map: {name}", "[detection](../detection/README.md)", _of(mapped, name)) for name in names]
        lines.append(_row("**all on the map**", "", mapped))
    return "\n".join(line for line in lines if line)


def _of(results: Sequence[Result], name: str) -> list[Result]:
    return [one for one in results if one.attack == name]


def _row(name: str, words: str, results: Sequence[Result]) -> str:
    attacks, twins = ([one for one in results if one.harmless == harmless] for harmless in (False, True))
    if not attacks and not twins:
        return ""
    return f"| {name} | {words} | {_rate(attacks)} | {_codes(attacks)} | {_rate(twins)} | {_codes(twins)} |"


def _rate(results: Sequence[Result]) -> str:
    """Mistakes, cases, and the interval of Clopper and Pearson."""
    if not results:
        return "–"
    wrong = sum(one.is_wrong for one in results)
    low, high = binomtest(wrong, len(results)).proportion_ci(CONFIDENCE, method="exact")
    return f"{wrong} of {len(results)} ({100 * low:.0f}–{100 * high:.0f} %)"


def _codes(results: Sequence[Result]) -> str:
    return ", ".join(map(str, sorted({one.code for one in results})))
