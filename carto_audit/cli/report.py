"""The command that renders a finished audit again, and `--format`, which it shares with `ingest`."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carto_audit.report.formats.targets import Target, check_targets, parse_targets
from carto_audit.runtime.errors import ExitCode, UsageError
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from carto_audit.artifacts.audit_call import AuditCall
    from carto_audit.artifacts.report_facts import ReportFacts

FAIL_ON = ("reject", "warn", "never")

EXCERPTS = ("none", "redacted", "full")

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable by which GitHub Actions names the file of a step's summary."""


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--format`, which gives the command its `targets`."""
    option = click.option(
        "--format",
        "targets",
        multiple=True,
        metavar="FORMAT[=PATH]",
        callback=lambda context, parameter, values: parse_targets(values),
        help="text, json, markdown, github, sarif, junit or gitlab; may be repeated.",
    )
    return option(command)


def _print_schema(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from carto_audit.artifacts.report_facts import schema_text

    click.echo(schema_text(), nl=False)
    context.exit(ExitCode.ACCEPTED)


@click.command()
@click.argument("audit_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@format_option
@click.option("--excerpts", type=click.Choice(EXCERPTS), help="`none` leaves all text out of the page.")
@click.option("--open", "opens", is_flag=True, help="Show the page in a browser.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of report.json and exit.",
)
def report(audit_dir: Path, targets: tuple[Target, ...], excerpts: str | None, opens: bool) -> int:
    """Render a finished audit again, without computing anything.

    Without --format, report.html. text, json, markdown and github go to the standard output, sarif, junit and gitlab to
    files in AUDIT_DIR; =PATH chooses another file, =- the standard output. Exits with 0 whatever the verdict is.

    \b
    Examples:
      carto-audit report vendor_batch-audit --open
      carto-audit report vendor_batch-audit --excerpts none
      carto-audit report vendor_batch-audit --format sarif --format junit=results/junit.xml
      carto-audit report vendor_batch-audit --format markdown
      carto-audit report --schema > report.schema.json
    """
    if not targets:
        return _render_page(audit_dir, excerpts, opens)
    if excerpts or opens:
        raise UsageError(
            "--excerpts and --open are about the page, and --format about other documents; give one of them"
        )
    from carto_audit.artifacts.audit_folder import open_audit_folder

    facts = open_audit_folder(audit_dir).report
    check_formats(targets, audit_dir, _batch_files(facts, audit_dir))
    write_formats(facts, audit_dir, targets)
    return ExitCode.ACCEPTED


def _batch_files(facts: "ReportFacts", audit: Path) -> list[Path]:
    """Where the files of the audited batch may lie."""
    known = [name for name in facts["batch"]["paths"] if "\0" not in name]
    return [place / name for place in (Path(), audit, audit.resolve().parent) for name in known]


def _render_page(audit_dir: Path, excerpts: str | None, opens: bool) -> int:
    from carto_audit.report.html import render_again

    render_again(audit_dir, excerpts)
    page = audit_dir / "report.html"
    click.echo(f"Report: {safe_inline(str(page), 400)}")
    if opens:
        click.launch(str(page.resolve()))
    return ExitCode.ACCEPTED


def check_formats(targets: Sequence[Target], folder: Path, inputs: Iterable[Path]) -> None:
    """Refuses targets that would overwrite an input, a file of the audit, or each other."""
    from carto_audit.artifacts.file_list import ENVELOPE, OUTPUTS

    check_targets(targets, folder, inputs, (*OUTPUTS, ENVELOPE))


def show_audit(
    facts: "ReportFacts",
    folder: Path,
    targets: Sequence[Target],
    *,
    quiet: bool = False,
    call: "AuditCall | None" = None,
) -> None:
    """What `ingest` says when it ends: the summary, unless a document claims the standard output, and every format."""
    from carto_audit.artifacts.audit_folder import open_audit_folder
    from carto_audit.report.formats.terminal import open_console, render_summary

    if not any(target.claims_stdout for target in targets):
        render_summary(facts, folder, open_console(), quiet=quiet, call=call)
    rest = [target for target in targets if target != Target(format="text")]
    if rest:
        write_formats(open_audit_folder(folder).report, folder, rest)


def write_formats(facts: "ReportFacts", folder: Path, targets: Sequence[Target]) -> None:
    """Every format to its file or to the standard output; github also to the step summary, where there is one."""
    from carto_audit.report.formats.render import append_step_summary, render
    from carto_audit.runtime.files import write_text

    documents = [(target, render(facts, target.format, folder)) for target in targets]
    for target, document in documents:
        file = target.file(folder)
        if file is None:
            click.echo(document.encode(), nl=False)
        else:
            write_text(file, document)
            click.echo(f"Wrote {safe_inline(str(file), 400)}", err=True)
    summary = os.environ.get(STEP_SUMMARY)
    if summary and any(target.format == "github" for target in targets):
        append_step_summary(facts, Path(summary), folder)
