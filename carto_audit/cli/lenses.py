"""The commands about lenses. Listing and explaining imports none of them but those of other packages that are named."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from carto_audit.lenses.declared.known import SHIPPED, KnownLens, find_lens, lens_names
from carto_audit.runtime.errors import ExitCode
from carto_audit.runtime.remote.fetched import fetched
from carto_audit.text.untrusted import safe_inline

lens_option = click.option(
    "--lens", multiple=True, metavar="NAME", help="Lens to look through besides the policy's, judged by no rule."
)


@click.group()
def lenses() -> None:
    """List, explain and try lenses: optional measurements that a policy turns on."""


@lenses.command("list")
def list_lenses() -> int:
    """List the lenses that there are.

    Those of other packages are named without being imported.

    \b
    Example:
      carto-audit lenses list | grep repetition
    """
    names = lens_names()
    width = max(map(len, names))
    for name in names:
        question = SHIPPED[name].spec.question if name in SHIPPED else "of another package; explain it to know more"
        click.echo(f"{safe_inline(name, 90):<{width}}  {question}")
    return ExitCode.ACCEPTED


@lenses.command()
@click.argument("name", metavar="NAME")
def explain(name: str) -> int:
    """Say what a lens asks, reads, measures and costs, and how to turn it on.

    \b
    Example:
      carto-audit lenses explain repetition
    """
    _echo(_explained(find_lens(name)))
    return ExitCode.ACCEPTED


@lenses.command()
@click.argument("name", metavar="NAME")
@click.argument("batch", metavar="BATCH")
def test(name: str, batch: str) -> int:
    """Say what a lens sees in a batch, and how well it sees there.

    A lens that only reads text takes seconds. For one that asks what a model has learned the batch is audited first, which takes
    minutes. Exit code 3 where it fails, or finds no room for what would prove it.

    \b
    Example:
      carto-audit lenses test repetition vendor_batch.parquet
    """
    from carto_audit.report.batch_words import lens_power, lens_words
    from carto_audit.report.formats.terminal import RichProgress, open_console

    spec = find_lens(name).spec
    look = _look_audited if {"proxies", "scores"} & set(spec.needs) else _look
    facts = look(name, batch, RichProgress(open_console(stderr=True)))
    _echo([f"{name}: {lens_words(facts)}", f"  {lens_power(facts)}"])
    _echo([f"  {facts['cost']['seconds']:.1f} s", *(f"  note: {warning}" for warning in facts["warnings"])])
    proved = facts["status"] == "measured" and (not spec.doses or any(one["found"] for one in facts["power"]))
    return ExitCode.ACCEPTED if proved else ExitCode.INCOMPLETE


def _look(name: str, batch: str, progress: Any) -> Any:
    """What a lens says that only reads text."""
    from carto_audit.data.batch import read_batch
    from carto_audit.lenses.calls import lens_calls
    from carto_audit.lenses.host import look_through
    from carto_audit.lenses.tables import lens_facts
    from carto_audit.lenses.testing import subject_of_batch

    with tempfile.TemporaryDirectory(prefix="carto-audit-") as place, fetched([batch], progress) as remote:
        subject = subject_of_batch(read_batch(remote.inputs, progress=progress), Path(place))
        return lens_facts(look_through(lens_calls({}, [name]), subject, progress=progress))[name]


def _look_audited(name: str, batch: str, progress: Any) -> Any:
    """What a lens says in an audit of the batch."""
    from carto_audit.api import audit
    from carto_audit.pipeline.options import AuditOptions

    return audit(batch, options=AuditOptions(lens=(name,), repeats=1), progress=progress).report.facts["lenses"][name]


def _explained(known: KnownLens) -> Iterable[str]:
    from carto_audit.policy.lens_metrics import lens_metrics

    spec = known.spec
    yield f"{spec.name}  version {spec.version}{f', of {known.distribution}' if known.distribution else ''}"
    yield f"  asks: {spec.question}"
    yield from (f"  after: {source}" for source in spec.sources)
    yield f"  reads: {', '.join(spec.needs) or 'nothing but the number of tokens'}"
    yield f"  costs: {spec.cost.text_passes} passes over the texts, about {spec.cost.seconds:g} s for a million tokens"
    if spec.doses:
        read = ", which the proxies train on" if spec.trained else ""
        yield f"  proves itself: on examples planted {', '.join(map(str, spec.doses))} times{read}, and on innocent twins"
    yield "  options"
    for name, field in spec.options.model_fields.items():
        usual = "" if field.default is None else f" (usually {field.default:g})" if _is_number(field.default) else ""
        yield f"    {name}: {' '.join((field.description or '').split())}{usual}"
    yield "  metrics"
    for metric in lens_metrics(spec.name):
        limits = {"lower": "max", "higher": "min", "neither": "max, min"}[metric.better]
        yield f"    {metric.name}  {metric.unit}, {limits}: {metric.meaning}"
    yield f"  columns of lenses/{spec.name}.parquet"
    yield from (f"    {column.name}  {column.type}: {column.meaning}" for column in spec.columns)
    yield f"  in a policy: lenses: {{{spec.name}: {{}}}}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _echo(lines: Iterable[str]) -> None:
    """Lines whose words may be of another package; leading blanks are ours."""
    for line in lines:
        said = line.lstrip(" ")
        click.echo(" " * (len(line) - len(said)) + safe_inline(said, 600))
