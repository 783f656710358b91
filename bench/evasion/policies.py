"""Policies, waivers, baselines, seeds and missing benchmarks that would let a batch through."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.contamination.plants import with_answer
from bench.corpora import write_items, write_texts
from bench.evasion.audits import edit, restate
from bench.evasion.case import Attack, Case
from bench.evasion.files import hidden

INCREASE = (
    "rules:\n  - {id: growth, metric: duplicates.token_share, max_increase: 0.05, severity: reject, reason: copies}\n"
)


def waiver(days: int = 30, **more: object) -> str:
    """A waiver of the rules about benchmark items that ends in so many days."""
    last = (datetime.now(UTC) + timedelta(days=days)).date()
    keys = {"owner": "governance", "reason": "a public source, see DG-1", "expires": last, **more}
    inner = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    rules = ("benchmark-items", "benchmark-suspects")
    return "waivers:\n" + "".join(f"  - rule: {rule}\n{inner}" for rule in rules)


def contaminated(case: Case) -> Path:
    """A batch with items, in the attack and in the twin."""
    return write_texts(
        case.folder / "batch.parquet", [*case.ordinary(), *(with_answer(item) for item in case.desk.items[:3])]
    )


def expired(case: Case) -> list[str]:
    """A waiver that ended yesterday; in the twin it ends in a month."""
    return case.ingest(contaminated(case), policy=case.write_policy(waiver(30 if case.harmless else -1)))


def exceeded(case: Case) -> list[str]:
    """A waiver for one item where there are three; in the twin for three."""
    policy = case.write_policy(waiver(max_value=3 if case.harmless else 1))
    return case.ingest(contaminated(case), policy=policy)


def other_subject(case: Case) -> list[str]:
    """A waiver for the batch of another vendor; in the twin for this one."""
    policy = case.write_policy(waiver(subject='"batch.parquet"' if case.harmless else '"vendor-b-*"'))
    return case.ingest(contaminated(case), policy=policy)


def unread_waived(case: Case) -> list[str]:
    """A waiver for files that were not read; in the twin one for copies, and the file is read."""
    last = (datetime.now(UTC) + timedelta(days=30)).date()
    rule = "duplicate-mass" if case.harmless else "unread-files"
    policy = case.write_policy(
        f"waivers:\n  - {{rule: {rule}, owner: governance, reason: known to us since May, expires: {last}}}\n"
    )
    given = hidden(case)
    given[given.index("--policy") + 1] = str(policy)
    return given


def loosened(case: Case) -> list[str]:
    """A child that raises a locked limit; in the twin it lowers one."""
    locked = "rules:\n  - {id: benchmark-items, max: 1, locked: true, reason: locked by the parent}\n"
    parent = case.write_policy(locked, "parent.yaml")
    rule = "max: 0" if case.harmless else "max: 100"
    child = case.folder / "child.yaml"
    child.write_text(
        f"schema_version: 1\nname: child\nextends: {parent}\nrules:\n  - {{id: benchmark-items, {rule}, reason: ours}}\n"
    )
    batch = write_texts(case.folder / "batch.parquet", [*case.ordinary(), *case.planted(3)])
    return case.ingest(batch, policy=child)


def misspelled(case: Case) -> list[str]:
    """A limit under a key that nobody reads."""
    key = "max" if case.harmless else "maxx"
    policy = case.write_policy(
        f"rules:\n  - {{id: ours, metric: duplicates.token_share, {key}: 0.5, severity: reject, reason: copies}}\n"
    )
    return case.ingest(write_texts(case.folder / "batch.parquet", case.ordinary()), policy=policy)


def key_twice(case: Case) -> list[str]:
    """A rule whose limit is given twice, so that the second counts in some readers; in the twin once."""
    more = "" if case.harmless else ", max: 100"
    policy = case.write_policy(f"rules:\n  - {{id: benchmark-items, max: 0, reason: ours{more}}}\n")
    batch = write_texts(case.folder / "batch.parquet", [*case.ordinary(), *case.planted(3)])
    return case.ingest(batch, policy=policy)


def compared(case: Case, baseline: Path, text: str = INCREASE) -> list[str]:
    """An ordinary batch under a limit on growth, beside a baseline."""
    batch = write_texts(case.folder / "batch.parquet", case.ordinary())
    return case.ingest(batch, "--baseline", baseline, policy=case.write_policy(text))


def rejected_baseline(case: Case) -> list[str]:
    """A rejected audit as the baseline; in the twin an accepted one."""
    return compared(case, case.audited("accepted" if case.harmless else "rejected") / "batch-audit")


def edited_baseline(case: Case) -> list[str]:
    """A rejected audit, made an accepted one by its report, as the baseline; in the twin an accepted one."""
    folder = case.audited("accepted" if case.harmless else "rejected") / "batch-audit"
    if not case.harmless:
        edit(folder / "report.json", {"verdict": {"status": "accepted", "exit_code": 0}})
    return compared(case, folder)


def raised_baseline(case: Case) -> list[str]:
    """A baseline that was edited until the growth is small, and stated anew, beside a third of copies; in the twin neither. It is
    to be signed."""
    folder = case.audited() / "batch-audit"
    rows = case.ordinary()
    if not case.harmless:
        edit(folder / "report.json", {"metrics": {"duplicates.token_share": 0.3}, "metric_intervals": {}})
        restate(folder)
        rows = [*rows, *rows[:30]]
    batch = write_texts(case.folder / "batch.parquet", rows)
    signed = ("--baseline-key", f"{case.desk.key}.pub")
    return case.ingest(batch, "--baseline", folder, *signed, policy=case.write_policy(INCREASE))


def no_baseline(case: Case) -> list[str]:
    """A limit on growth and no baseline; in the twin there is one."""
    if case.harmless:
        return compared(case, case.audited() / "batch-audit")
    batch = write_texts(case.folder / "batch.parquet", case.ordinary())
    return case.ingest(batch, policy=case.write_policy(INCREASE))


def other_map(case: Case) -> list[str]:
    """A baseline that was measured against other benchmarks; in the twin against the same."""
    rule = INCREASE.replace("duplicates.token_share", "contamination.confirmed_items")
    given = compared(case, case.audited() / "batch-audit", rule)
    if not case.harmless:
        write_items(case.folder / "other.parquet", case.desk.items[:10])
        given[given.index("--benchmark") + 1] = str(case.folder / "other.parquet")
    return given


def without_benchmark(case: Case) -> list[str]:
    """Contaminated, and no benchmark is named; in the twin clean, with one."""
    given = case.ingest(write_texts(case.folder / "batch.parquet", [*case.ordinary(), *case.planted(3)]))
    if not case.harmless:
        at = given.index("--benchmark")
        del given[at : at + 2]
    return given


def demanded(case: Case) -> list[str]:
    """A policy demands a benchmark by name, and another is given; in the twin it is listed."""
    registry = case.folder / "benchmarks.yaml"
    name = "exam" if case.harmless else "other"
    registry.write_text(
        f"schema_version: 1\nbenchmarks:\n  {name}: {{path: {case.desk.benchmark.with_suffix('.parquet')}}}\n"
    )
    policy = case.write_policy("benchmarks: [exam]\n")
    given = case.ingest(
        write_texts(case.folder / "batch.parquet", case.ordinary()), "--registry", registry, policy=policy
    )
    given[given.index("--benchmark") + 1] = name
    return given


def rehearsed(case: Case) -> list[str]:
    """A public seed decides the draw under a policy that refuses that; in the twin a key does."""
    policy = case.write_policy(
        "rules:\n  - {id: draw, metric: sampling.rehearsable, max: 0, severity: reject, reason: as strict has it}\n"
    )
    (case.folder / "sampling.key").write_bytes(case.rng.bytes(32))
    drawn = ("--sampling-key", case.folder / "sampling.key") if case.harmless else ("--seed", 7)
    return case.ingest(write_texts(case.folder / "batch.parquet", case.ordinary()), *drawn, policy=policy)


def bare(case: Case) -> list[str]:
    """All rules switched off, so that nothing is judged; in the twin some are left."""
    rules: tuple[str, ...] = ("benchmark-items", "benchmark-suspects", "benchmarks-seen", "duplicate-mass")
    rules += () if case.harmless else ("unread-files", "unread-text", "skipped-rows", "unmapped-tokens")
    off = "".join(f'  - {{id: {rule}, disabled: true, reason: "not needed by us"}}\n' for rule in rules)
    batch = write_texts(case.folder / "batch.parquet", [*case.ordinary(), *case.planted(3)])
    return case.ingest(batch, policy=case.write_policy(f"rules:\n{off}"))


ATTACKS = {
    "expired waiver": Attack(what="a waiver that ended yesterday", write=expired),
    "exceeded waiver": Attack(what="a waiver for one item where there are three", write=exceeded),
    "foreign waiver": Attack(what="a waiver for another vendor's batch", write=other_subject),
    "waived files": Attack(what="a waiver for files that were not read", write=unread_waived),
    "loosened lock": Attack(what="a child policy that raises a locked limit", write=loosened),
    "misspelled limit": Attack(what="a limit under a misspelled key", write=misspelled),
    "limit twice": Attack(what="a rule with two limits", write=key_twice),
    "no rules": Attack(what="a policy whose rules are all switched off", write=bare),
    "rejected baseline": Attack(what="a rejected audit as the baseline", write=rejected_baseline),
    "edited baseline": Attack(what="the same, edited to be accepted", write=edited_baseline),
    "raised baseline": Attack(what="a baseline with edited numbers, stated anew", write=raised_baseline),
    "no baseline": Attack(what="a limit on growth without a baseline", write=no_baseline),
    "other baseline": Attack(what="a baseline measured against other benchmarks", write=other_map),
    "no benchmark": Attack(what="items, and no benchmark is named", write=without_benchmark),
    "other benchmark": Attack(what="a benchmark that the policy demands is not listed", write=demanded),
    "rehearsed seed": Attack(what="a public seed decides what is drawn", write=rehearsed),
}
