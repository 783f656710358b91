"""How an audit was called, so that the next command can be said in full. `report.json` holds names, never where files lie."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from carto_audit.artifacts.report_facts import CallFacts, ReportFacts
from carto_audit.policy.model import Policy
from carto_audit.runtime.errors import UsageError, option
from carto_audit.text.redaction import EXCERPTS
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AUDIT_DIR, BENCHMARK, SAMPLING_KEY, ADDRESS = "AUDIT_DIR", "BENCHMARK", "SAMPLING_KEY", "ADDRESS"
"""Stand in a command for what a reader has to fill in."""

MOST_BENCHMARKS = 20
"""Named in one command; `BENCHMARK` stands for the others."""

_MOST_FILES = 3
_ARGUMENT_LIMIT = 400
_LOCATED = frozenset({"proxy", "reference", "registry", "baseline", "baseline_key", "redteam", "ledger"}) | {
    "vendor_summary",
    "vendor_salt",
    "vendor_key",
    "decisions",
}
"""Options whose value may be a path."""

_FLAGS = frozenset({"strict_input", "vendor_recompute"})
"""Options that stand without a value."""

_LISTS = frozenset({"lens"})
"""Options that are repeated: their values stand with commas between them, which none holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditCall:
    """What was given to `carto-audit ingest`. `options` are those that differ from their default, by name as the library spells
    them; `named` says that files stand without their folders; `config` is the hex sha256 of a file that flags were taken from."""

    batch: tuple[str, ...]
    policy: str
    benchmarks: tuple[str, ...] = ()
    out: str = AUDIT_DIR
    options: Mapping[str, str] = field(default_factory=dict)
    named: bool = False
    config: str | None = None

    def ingest(self, **changed: str) -> str:
        """The command that audits again, with some options changed."""
        words = ["carto-audit", "ingest", *map(_argument, self.batch), "--policy", quoted(self.policy)]
        for benchmark in self.benchmarks:
            words += ["--benchmark", quoted(benchmark)]
        for name, value in {**self.options, **changed}.items():
            for one in value.split(",") if name in _LISTS else [value]:
                words += [f"--{name.replace('_', '-')}", *([] if name in _FLAGS else [quoted(one)])]
        return " ".join([*words, "--out", quoted(self.out)])

    def apply(self, removed: tuple[str, ...], out: str) -> str:
        """The command that divides the batch as the audit decided, and removes these quadrants besides."""
        given = () if self.named else self.batch
        words = ["carto-audit", "apply", _argument(self.out), *map(_argument, given)]
        return " ".join([*words, *(f"--remove {name}" for name in removed), "--out", quoted(out)])

    def of_curated(self, folder: str) -> "AuditCall":
        """The same audit of what `apply` left in a folder. What a red team measured, and a vendor's summary, are
        of another batch."""
        options = {n: value for n, value in self.options.items() if n != "redteam" and not n.startswith("vendor_")}
        return replace(self, batch=(f"{folder}/curated",), out=f"{folder}-audit", options=options)

    def facts(self) -> CallFacts:
        """What of it `report.json` holds: names without folders, and not where anything lies."""
        known = [_name(benchmark) for benchmark in self.benchmarks[:MOST_BENCHMARKS]]
        facts: CallFacts = {
            "policy": _name(self.policy),
            "benchmarks": known + [BENCHMARK] * (len(self.benchmarks) > MOST_BENCHMARKS),
            "options": {name: self._recorded(name, value) for name, value in self.options.items()},
        }
        return facts if self.config is None else {**facts, "config_sha256": self.config}

    @staticmethod
    def _recorded(name: str, value: str) -> str:
        """An option's value as it may be published: of a secret key not even the name, of a cluster not the address."""
        if name in (unsaid := {"sampling_key": SAMPLING_KEY, "address": ADDRESS}):
            return unsaid[name]
        return _name(value) if name in _LOCATED else _shown(value)


def call_of(
    batch: Sequence[str | Path],
    *,
    out: str | Path,
    policy: str | Path | Policy = "default",
    benchmarks: Sequence[str | Path] = (),
    registry: str | Path | None = None,
    options: "DataclassInstance | None" = None,
    baseline: object = None,
    baseline_key: object = None,
    redteam: object = None,
    ledger: object = None,
    vendor: object = None,
    excerpts: str = "redacted",
    config: str | None = None,
) -> AuditCall:
    """These arguments of `carto_audit.audit` as `carto-audit ingest` takes them. What was given as a value has no place to name:
    a policy is called by its name, a record by a word to be filled in."""
    places = {"registry": registry, "baseline": baseline, "baseline_key": baseline_key, "redteam": redteam}
    places |= {"ledger": ledger, "vendor": vendor}
    located = {
        name: str(v) if isinstance(v, str | Path) else name.upper() for name, v in places.items() if v is not None
    }
    given = [(one.name, getattr(options, one.name), one.default) for one in fields(options)] if options else []
    changed = {
        name: ",".join(value) if name in _LISTS else str(value) for name, value, usual in given if value != usual
    }
    return AuditCall(
        batch=tuple(map(str, batch)),
        policy=policy.name if isinstance(policy, Policy) else str(policy),
        benchmarks=tuple(map(str, benchmarks)),
        out=str(out),
        config=config,
        options=changed | located | ({"excerpts": excerpts} if excerpts != "redacted" else {}),
    )


def check_excerpts(excerpts: str) -> None:
    """Raises UsageError for what says nothing of how much text a report quotes."""
    if excerpts not in EXCERPTS:
        raise UsageError(f"{option('excerpts', safe_inline(str(excerpts), 40))}: one of {', '.join(EXCERPTS)}")


def recorded_call(facts: ReportFacts, folder: str = AUDIT_DIR) -> AuditCall:
    """How a finished audit was called, as far as its report says, with `folder` as its own; one of an earlier version says only
    the names of its policy and its benchmarks."""
    fetched = facts["remote"]["given"] if "remote" in facts else []
    paths = fetched or facts["batch"]["paths"]
    call = facts["run"].get("call") or {
        "policy": facts["policy"]["name"],
        "benchmarks": [benchmark["name"] for benchmark in facts["contamination"]["benchmarks"][:MOST_BENCHMARKS]],
        "options": {},
    }
    return AuditCall(
        batch=tuple(paths) if 0 < len(paths) <= _MOST_FILES else ("BATCH",),
        policy=call["policy"],
        benchmarks=tuple(call["benchmarks"]),
        out=folder,
        options=call["options"],
        named=not fetched,
    )


def quoted(text: str) -> str:
    """One argument of a command in a POSIX shell: one printable line, whatever it was."""
    return shlex.quote(_shown(text))


def _argument(text: str) -> str:
    """A path that no parser takes for an option."""
    shown = _shown(text)
    return shlex.quote(f"./{shown}" if shown.startswith("-") else shown)


def _shown(text: str) -> str:
    return safe_inline(text, _ARGUMENT_LIMIT)


def _name(text: str) -> str:
    """The last part of a path; a data set on the hub is no path."""
    return _shown(text if text.startswith("hf:") else PurePath(text).name or "BATCH")
