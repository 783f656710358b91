"""The commands about policies, none of which trains anything or loads what does."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carto_audit.runtime.errors import CartoError, ExitCode, UsageError
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from carto_audit.policy.model import LoadedPolicy

_FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group()
def policy() -> None:
    """Check, explain, test and compare policy files. Never trains anything."""


@policy.command()
@click.argument("files", nargs=-1, required=True, metavar="NAME|FILE...")
def check(files: tuple[str, ...]) -> int:
    """Check policy files: every error at once, as file:line:column.

    Waivers that have expired, or will within two weeks, and policies that ask only how secrets rank are named; that is no error.

    \b
    Example:
      carto-audit policy check policies/default.yaml my-policy.yaml
    """
    from carto_audit.gate.waivers import ending
    from carto_audit.policy.model import load_policy

    worst, today = ExitCode.ACCEPTED, datetime.now(UTC).date()
    for name in files:
        try:
            found = load_policy(name)
            _echo([f"{safe_inline(name, 160)}: valid; {len(found.rules)} rules, sha256 {found.sha256[:12]}"])
            _echo(
                f"{safe_inline(name, 160)}: {rule} asks how secrets rank, and no rule how many lie above the line: they can rank "
                f"first and lie below it; add one on detection.found_at_dose_{found.demanded_dose}"
                for rule in found.relies_on_rank
            )
            _echo(f"{safe_inline(name, 160)}: {line}" for waiver in found.waivers for line in ending(waiver, today))
        except CartoError as error:
            _echo(str(error).split("\n"), err=True)
            worst = error.exit_code
    return worst


@policy.command()
@click.argument("name", default="default", metavar="[NAME|FILE]")
@click.argument("rule", required=False)
def explain(name: str, rule: str | None) -> int:
    """Show what is in force: every value, and the file and line that set it.

    Follows `extends`, shows what was replaced, what a metric means, and who waived what until when. RULE shows one rule;
    alone it is looked for in the default policy.

    \b
    Examples:
      carto-audit policy explain regulated-health
      carto-audit policy explain ours.yaml hotspot-mass
      carto-audit policy explain benchmark-items
    """
    from carto_audit.policy.explain import explain_policy, explain_rule

    loaded, rule = _policy_and_rule(name, rule)
    _echo(explain_rule(loaded, rule) if rule else explain_policy(loaded))
    return ExitCode.ACCEPTED


@policy.command()
@click.argument("cases", nargs=-1, required=True, metavar="CASES...", type=click.Path(path_type=Path))
def test(cases: tuple[Path, ...]) -> int:
    """Run cases: measurements, and the verdict that the policy has to give on them.

    Exits with 1 when a case fails, with 2 when a file of cases or its policy is malformed.

    \b
    Example:
      carto-audit policy test policies/cases/default.yaml
    """
    from carto_audit.gate.cases import run_cases

    results = [result for path in cases for result in run_cases(path, datetime.now(UTC).date())]
    failed = sum(bool(result.mismatches) for result in results)
    _echo(line for result in results for line in result.lines)
    _echo([f"{len(results) - failed} of {len(results)} cases pass"])
    return ExitCode.REJECTED if failed else ExitCode.ACCEPTED


@policy.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@_FORMAT
def diff(one: str, other: str, form: str) -> int:
    """Say what changes from policy A to policy B: stricter, looser, new, gone.

    Inherited parts are filled in first, so that a change of a parent shows.

    \b
    Examples:
      carto-audit policy diff default strict
      carto-audit policy diff old.yaml new.yaml --format json
    """
    from carto_audit.policy.diff import diff_policies
    from carto_audit.policy.model import load_policy

    before, after = load_policy(one), load_policy(other)
    found = diff_policies(before, after)
    if form == "json":
        keys = ("what", "direction", "before", "after")
        _echo_json(
            {
                "policies": [{"name": p.name, "sha256": p.sha256} for p in (before, after)],
                "differences": [{key: getattr(difference, key) for key in keys} for difference in found],
            }
        )
    else:
        _echo([difference.words for difference in found] or ["no difference: both decide the same"])
    return ExitCode.ACCEPTED


@policy.command()
def schema() -> int:
    """Print the JSON Schema of policy files, for editors and CI.

    A policy that begins with `# yaml-language-server: $schema=policy.schema.json` is completed and checked in editors
    with a YAML language server.

    \b
    Example:
      carto-audit policy schema > policy.schema.json
    """
    from carto_audit.policy.schema import schema_text

    click.echo(schema_text(), nl=False)
    return ExitCode.ACCEPTED


@policy.command()
def metrics() -> int:
    """List the numbers that a rule may limit: name, unit, which way is good, meaning.

    \b
    Example:
      carto-audit policy metrics | grep contamination
    """
    from carto_audit.policy.lens_metrics import shown_metrics

    width = max(len(metric.name) for metric in shown_metrics())
    for metric in shown_metrics():
        limits = {"lower": "max", "higher": "min", "neither": "max, min"}[metric.better]
        about = f"{metric.kind}: " if metric.of_audit else ""
        _echo([f"{metric.name:<{width}}  {metric.unit:<7}  {limits:<8}  {about}{metric.meaning}"])
    return ExitCode.ACCEPTED


@policy.command("try")
@click.argument("name", metavar="NAME|FILE")
@click.argument("audits", nargs=-1, required=True, metavar="AUDIT_DIR...", type=click.Path(path_type=Path))
@click.option(
    "--baseline", type=click.Path(path_type=Path), metavar="AUDIT_DIR", help="Audit of the last accepted batch."
)
@_FORMAT
def try_policy(name: str, audits: tuple[Path, ...], baseline: Path | None, form: str) -> int:
    """Show the verdict that a policy would have given on finished audits, and exit by the worst.

    Uses the numbers that the audits recorded, on the day of each. A rule whose number depends on a part of the map that
    the policy draws otherwise counts as not measured: only a new audit can tell it.

    \b
    Examples:
      carto-audit policy try ours.yaml audits/may audits/june
      carto-audit policy try strict vendor_batch-audit --format json
    """
    from carto_audit.artifacts.audit_record import read_baseline, read_record
    from carto_audit.gate.replay import replay
    from carto_audit.policy.model import load_policy

    chosen = load_policy(name)
    accepted = read_baseline(baseline) if baseline else None
    replays = [replay(chosen, read_record(audit), accepted) for audit in audits]
    if form == "json":
        _echo_json({"schema_version": 1, "audits": [done.facts() for done in replays]})
    else:
        _echo(line for done in replays for line in done.lines)
    return max(done.verdict.exit_code for done in replays)


def _policy_and_rule(name: str, rule: str | None) -> tuple["LoadedPolicy", str | None]:
    """The policy, and the rule of it, that `explain` was asked about; a rule's name may stand alone."""
    from carto_audit.policy.inheritance import builtin_policies
    from carto_audit.policy.model import read_policy

    if rule is None and name not in builtin_policies() and not _exists(name):
        default = read_policy("default")
        rules = [known.id for known in default.policy.rules]
        if name in rules:
            return default, name
        try:
            read_policy(name)
        except UsageError as error:
            raise UsageError(f'{error}; nor is "{safe_inline(name, 80)}" a rule of default') from error
    return read_policy(name), rule


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long, or with a null byte
        return False


def _echo(lines: Iterable[str], err: bool = False) -> None:
    """Plain lines, none of which a CI system takes for a command."""
    for line in lines:
        click.echo(line.replace("::", ": :").replace("##[", "## ["), err=err)


def _echo_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))
