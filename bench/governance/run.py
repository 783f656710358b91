"""Does acting on the map make a model leak less, and at what price? Two corpora, three seeds, every arm with its controls.

    .venv/bin/python bench/governance/run.py                       # both corpora, three seeds, an hour
    .venv/bin/python bench/governance/run.py --corpus wikitext --seeds 1
    .venv/bin/python bench/governance/run.py --only table          # the table of the results at hand

Every corpus is an ordinary `carto-audit redteam`; its facts are kept in <corpus>.json beside this script, and its page is
written to --pages. With --work a killed run goes on where it stopped.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.governance.arms import Plan
from carto_audit.governance.facts import redteam_facts
from carto_audit.governance.report.page import render_redteam
from carto_audit.governance.run import Settings, run_redteam
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.model import load_policy
from carto_audit.report.formats.terminal import RichProgress, open_console
from carto_audit.runtime.files import write_json, write_text

HERE = Path(__file__).resolve().parent
CORPORA = HERE.parents[2] / "shared/data/corpora"
FILES = {"wikitext": "wikitext2.parquet", "shakespeare": "shakespeare.parquet", "gsm8k": "gsm8k_train.parquet"}
SHORTEST = 60
"""Characters of a text, at least."""

PLAN = Plan(levels=(0.05,), alphas=(0.5,), scores=("memorized", "forget_score"))
BOTH = ("wikitext", "shakespeare")


def write_corpus(name: str, folder: Path) -> Path:
    """The distinct texts of a corpus, in random order."""
    texts = pq.read_table(CORPORA / FILES[name])["text"].to_pylist()
    distinct = [text for text in dict.fromkeys(texts) if text and len(text) >= SHORTEST]
    np.random.default_rng(0).shuffle(distinct)
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"text": distinct}), path)
    return path


def measure(name: str, policy: str, seeds: int, work: Path, tokens: int | None) -> dict[str, Any]:
    """One red team."""
    run = run_redteam(
        [write_corpus(name, work)],
        policy=load_policy(policy),
        work=work / f"{name}-{policy}",
        settings=Settings(
            plan=PLAN,
            seeds=seeds,
            epochs=None,
            again=False,
            max_perplexity_increase=0.005,
            mode="full",
            options=AuditOptions(max_tokens=tokens, device="auto"),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--corpus", choices=FILES, action="append", help="may be repeated; default: wikitext, shakespeare"
    )
    parser.add_argument("--policy", default="default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--pages", type=Path)
    parser.add_argument("--only", choices=["table"])
    given = parser.parse_args()
    suffix = "" if given.policy == "default" else f"-{given.policy}"
    for name in given.corpus or BOTH:
        path = HERE / f"{name}{suffix}.json"
        if given.only != "table":
            with tempfile.TemporaryDirectory() as temporary:
                work = given.work or Path(temporary)
                work.mkdir(parents=True, exist_ok=True)
                facts = measure(name, given.policy, given.seeds, work, given.tokens)
            write_json(path, facts)
            if given.pages:
                write_text(given.pages / f"{name}{suffix}.html", render_redteam(facts))
        if path.exists():
            facts = json.loads(path.read_text())
            print(f"\n**{name}{suffix}**, {len(facts['run']['seeds'])} seeds\n")
            print("\n".join(table(facts)))
            print(f"\nKnee: {facts['knee']['reason']}. Pick: {facts['policy_pick']['reason']}.")


if __name__ == "__main__":
    main()
