"""Does acting on the map make a model leak less, and at what price? Two corpora, three seeds, every arm with its controls.

    python -m bench.governance.run --data DATA                       # both corpora, three seeds, an hour
    python -m bench.governance.run --data DATA --corpus wikitext --seeds 1
    python -m bench.governance.run --only table                      # the table of the results at hand

Every corpus is an ordinary `carto-audit redteam`; its facts are kept in <corpus>.json beside this script, and its page is
written to --pages. With --work a killed run goes on where it stopped.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.corpora import TEXTS, Corpora, open_corpora, parser_of, write_texts
from bench.nano import thin_if
from carto_audit.governance.arms import Plan
from carto_audit.governance.facts import redteam_facts
from carto_audit.governance.report.page import render_redteam
from carto_audit.governance.run import Settings, run_redteam
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.model import load_policy
from carto_audit.report.formats.terminal import RichProgress, open_console
from carto_audit.runtime.files import write_json, write_text

HERE = Path(__file__).resolve().parent
SHORTEST = 60
"""Characters of a text, at least."""

PLAN = Plan(levels=(0.05,), alphas=(0.5,), scores=("memorized", "forget_score"))
SMOKE = Plan(levels=(0.05,), alphas=(), scores=("memorized",))
SMOKE_OPTIONS = AuditOptions(max_tokens=13_000, epochs=2, device="cpu")
SMOKE_CHARACTERS = 200
"""Of each text, in a smoke run: so few tokens have to make enough samples to hold some out."""

BOTH = ("wikitext", "shakespeare")


def write_corpus(corpora: Corpora, name: str, folder: Path, characters: int | None) -> Path:
    """The distinct texts of a corpus, or their first characters, in random order."""
    texts = (text[:characters] for text in corpora.texts(name) if text)
    distinct = [text for text in dict.fromkeys(texts) if len(text) >= SHORTEST]
    np.random.default_rng(0).shuffle(distinct)
    return write_texts(folder / f"{name}.parquet", distinct)


def measure(corpora: Corpora, name: str, given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One red team."""
    smoke = given.smoke
    run = run_redteam(
        [write_corpus(corpora, name, work, SMOKE_CHARACTERS if smoke else None)],
        policy=load_policy(given.policy),
        work=work / f"{name}-{given.policy}",
        settings=Settings(
            plan=SMOKE if smoke else PLAN,
            seeds=1 if smoke else given.seeds,
            epochs=SMOKE_OPTIONS.epochs if smoke else None,
            again=False,
            max_perplexity_increase=0.005,
            mode="full",
            options=SMOKE_OPTIONS if smoke else AuditOptions(max_tokens=given.tokens),
        ),
        progress=RichProgress(open_console(stderr=True)),
    )
    return redteam_facts(run)


def table(facts: Mapping[str, Any]) -> Iterator[str]:
    """The arms of one corpus as Markdown."""
    planted = {form: sum(n for dose, n in doses.items() if dose != "1") for form, doses in secrets_of(facts).items()}
    yield (
        "| arm | tokens pruned | "
        + " | ".join(f"{form} ({planted[form]})" for form in planted)
        + (" | all, 95 % | exact | MI-AUC − 0.5 | perplexity | rare tail | trained less, at this perplexity |")
    )
    yield "|" + "---|" * (8 + len(planted))
    for arm in facts["arms"]:
        forms = " | ".join(share(arm["leakage_by_form"][form]) for form in planted)
        matched = arm["matched"]
        yield (
            f"| {arm['title']} | {100 * arm['pruned_token_share']:.1f} % | {forms} | {interval(arm['leakage'])} | "
            f"{share(arm['leakage_by_attack']['exact'])} | {advantage(arm['mi_auc'])} | "
            f"{change(arm['perplexity_change'])} | {percent(arm['perplexity_by_part']['rare_tail']['change'])} | "
            f"{'–' if matched is None else percent(matched['leakage'])} |"
        )


def secrets_of(facts: Mapping[str, Any]) -> Mapping[str, Mapping[str, int]]:
    """Secrets planted, by form and dose."""
    found: Mapping[str, Mapping[str, int]] = facts["protocol"]["secrets"]
    return found


def share(estimate: Mapping[str, Any] | None) -> str:
    return "–" if estimate is None else f"{100 * estimate['value']:.0f} %"


def interval(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "–"
    return f"{100 * estimate['value']:.0f} % ({100 * estimate['low']:.0f} to {100 * estimate['high']:.0f})"


def advantage(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "–"
    value, low, high = (estimate[end] - 0.5 for end in ("value", "low", "high"))
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def change(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "–"
    shown = f"{100 * estimate['value']:+.1f} %"
    return (
        shown if estimate["low"] is None else f"{shown} ({100 * estimate['low']:+.1f} to {100 * estimate['high']:+.1f})"
    )


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f} %"


def measure_all(given: argparse.Namespace, out: Path) -> None:
    """A red team on every corpus that is asked for, its facts kept in `out`."""
    with open_corpora(given) as corpora, thin_if(given.smoke), tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for name in names_of(given):
            facts = measure(corpora, name, given, work)
            write_json(out / f"{name}{suffix_of(given)}.json", facts)
            if given.pages:
                write_text(given.pages / f"{name}{suffix_of(given)}.html", render_redteam(facts))


def show(given: argparse.Namespace, out: Path) -> None:
    """Prints what is in `out` of the corpora that are asked for."""
    for name in names_of(given):
        path = out / f"{name}{suffix_of(given)}.json"
        if path.exists():
            facts = json.loads(path.read_text(encoding="utf-8"))
            print(f"\n**{path.stem}**, {len(facts['run']['seeds'])} seeds\n")
            print("\n".join(table(facts)))
            print(f"\nKnee: {facts['knee']['reason']}. Pick: {facts['policy_pick']['reason']}.")


def names_of(given: argparse.Namespace) -> Sequence[str]:
    """The corpora that are asked for."""
    names: Sequence[str] = given.corpus or (BOTH[:1] if given.smoke else BOTH)
    return names


def suffix_of(given: argparse.Namespace) -> str:
    """What the results of another policy than `default` are named after."""
    return "" if given.policy == "default" else f"-{given.policy}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, keeps the facts, and prints the tables."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--corpus", choices=TEXTS, action="append", help="may be repeated; default: wikitext, shakespeare"
    )
    parser.add_argument("--policy", default="default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--work", type=Path, metavar="FOLDER")
    parser.add_argument("--pages", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="of the facts; default: beside this script, with --smoke not kept"
    )
    parser.add_argument("--only", choices=["table"])
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or (Path(scratch) if given.smoke else HERE)
        if given.only != "table":
            measure_all(given, out)
        show(given, out)


if __name__ == "__main__":
    main()
