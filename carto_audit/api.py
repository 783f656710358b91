"""The library: what the command line and a notebook call. Input that cannot be read raises; a verdict is a value."""

import base64
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from html import escape
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from carto_audit.artifacts.audit_call import call_of, check_excerpts
from carto_audit.artifacts.audit_folder import AuditFolder, first_problem, open_audit_folder
from carto_audit.artifacts.audit_record import Record
from carto_audit.artifacts.file_list import ENVELOPE, OUTPUTS, VERDICT, lens_files
from carto_audit.artifacts.redteam_record import RedteamRecord, read_redteam
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.gate.verdict import Verdict, read_verdict
from carto_audit.governance.report.result import Redteam
from carto_audit.ledger.store import Entered
from carto_audit.ledger.vendor_ledger import check_apart, open_vendor
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.model import Policy, load_policy
from carto_audit.real_runs.options import PlantOptions
from carto_audit.real_runs.planted_batch import Plant
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.files import atomic_path, folder_for, made_folder, write_bytes
from carto_audit.runtime.lock import LOCK, locked
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.remote.fetched import Fetched, fetched
from carto_audit.runtime.resume import remove_runs
from carto_audit.text.redaction import Excerpts
from carto_audit.text.untrusted import safe_inline

Place = str | Path
Inputs = Place | Sequence[Place]

WORK_FOLDER, REDTEAM_WORK_FOLDER = ".work", ".redteam-work"
"""Inside the folder of a result: what a killed run needs to continue. Removed when the run is complete."""

REDTEAM_FILES = ("redteam.json", "redteam.html")


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report of a finished audit: `facts` are the content of `report.json`."""

    folder: AuditFolder

    @property
    def facts(self) -> ReportFacts:
        """All that the page and every format show, checked against its published schema."""
        return self.folder.report

    def html(self) -> str:
        """The page, which opens offline."""
        return self.folder.data("report.html").decode("utf-8")

    def render(self, format: str) -> str:
        """The same facts as text, json, markdown, github, sarif, junit or gitlab. Raises UsageError for another format."""
        from carto_audit.report.formats.render import render
        from carto_audit.report.formats.targets import parse_targets

        return render(self.facts, parse_targets([format])[0].format, self.folder.path)

    def save(self, path: Place) -> Path:
        """Writes the page to `.html` or `.htm`, or the facts to `.json`; whole or not at all.

        Raises UsageError for another suffix."""
        target = Path(path)
        name = {".html": "report.html", ".htm": "report.html", ".json": "report.json"}.get(target.suffix.lower())
        if name is None:
            raise UsageError(f"{safe_inline(str(target), 160)}: a report is saved as .html or .json")
        write_bytes(target, self.folder.data(name))
        return target


@dataclass(frozen=True, kw_only=True)
class Audit:
    """A finished audit, and the folder where its files lie: one of its own that goes when the value goes, unless `out` named
    another."""

    folder: AuditFolder
    verdict: Verdict
    entered: Entered | None = None
    """Where it stands in the ledger that was named."""

    @property
    def path(self) -> Path:
        """The folder with all files of the audit."""
        return self.folder.path

    @property
    def report(self) -> Report:
        """The report: `audit.report.save("report.html")`."""
        return Report(folder=self.folder)

    @cached_property
    def scores(self) -> pa.Table:
        """A row per sample: difficulty, memorization, quadrant, action, weight and more, as in `scores.parquet`."""
        return self.folder.scores()

    def save(self, folder: Place) -> Path:
        """Copies every file of the audit into a folder, the verdict last. Raises UsageError where an audit lies there."""
        target = made_folder(Path(folder))
        if (target / VERDICT).exists():
            raise UsageError(f"{safe_inline(str(target), 160)}: an audit lies there already; name another folder")
        for name in (*lens_files(self.path), ENVELOPE, *OUTPUTS):
            if (self.path / name).exists():
                made_folder((target / name).parent)
                with atomic_path(target / name) as temporary:
                    shutil.copyfile(self.path / name, temporary)
        return target

    def _repr_html_(self) -> str:
        """For a notebook: the verdict, the rules that decided it, and the map as a picture."""
        picture = base64.b64encode(self.folder.data("map.png")).decode("ascii")
        names = escape(safe_inline(", ".join(self.report.facts["batch"]["paths"]), 200))
        image = f'<img alt="Map of the batch: difficulty by memorization" width="720" src="data:image/png;base64,{picture}">'
        return f"<div><p>{names}</p>{self.verdict._repr_html_()}{image}</div>"


def audit(
    batch: Inputs,
    *,
    policy: str | Path | Policy = "default",
    benchmarks: Inputs = (),
    registry: Place | None = None,
    out: Place | None = None,
    options: AuditOptions | None = None,
    baseline: Place | Record | None = None,
    baseline_key: Place | None = None,
    redteam: Place | RedteamRecord | None = None,
    ledger: Place | None = None,
    vendor: str | None = None,
    excerpts: Excerpts = "redacted",
    config: str | None = None,
    progress: Progress | bool = False,
) -> Audit:
    """Audits a batch against a policy and leaves all files in `out`, or in a folder that goes with the value.

    `batch` are files, folders, globs or URIs (s3, gs, abfss, hf); `policy` a shipped name, a file, or a policy; `benchmarks`
    files, folders, built indexes, hub names, or names that the `registry` lists; `baseline` the audit of the last accepted
    batch, signed by the private half of `baseline_key` where that is given; `redteam` what a red team measured on this one;
    `ledger` the file in which it is entered under its `vendor`, whose last accepted batch is the baseline where none is given;
    `config` the sha256 of a file that these arguments were taken from, which the report names. Raises UsageError and
    AuditError, which know their exit code; a rejection is a value.
    """
    from carto_audit.attestation.baseline import trusted_baseline
    from carto_audit.data.batch import read_texts
    from carto_audit.data.sampling_key import check_key_apart
    from carto_audit.decisions.file import read_decisions
    from carto_audit.pipeline.facts import report_facts, wanted_texts
    from carto_audit.pipeline.judge import check_sampling, resolve_benchmarks
    from carto_audit.pipeline.outputs import open_folder, prepare_folder, write_outputs
    from carto_audit.pipeline.result import remote_facts
    from carto_audit.pipeline.run import run_audit
    from carto_audit.vendors.check import vendor_check

    check_excerpts(excerpts)
    chosen = policy if isinstance(policy, Policy) else load_policy(str(policy))
    options = options or AuditOptions()
    check_sampling(chosen, options)
    accepted = baseline if isinstance(baseline, Record) else trusted_baseline(baseline, baseline_key)
    attacked = read_redteam(Path(redteam)) if isinstance(redteam, str | Path) else redteam
    summary = vendor_check(options, _shown(progress))
    named = [str(source) for source in _listed(benchmarks)]
    sources, listed = resolve_benchmarks(chosen, named, Path(registry) if registry else None)
    book = Path(ledger) if ledger is not None else None
    with _delivered(batch, options, progress) as remote, folder_for(Path(out) if out is not None else None) as folder:
        inputs = remote.inputs
        decided = read_decisions(options.decisions, inputs, never_drop=chosen.never_drop)
        check_apart(book, out, inputs)
        earlier = open_vendor(book, vendor, chosen.resolved()["map"])
        check_key_apart(options.sampling_key, folder)
        prepare_folder(folder, [*inputs, *([options.reference] if options.reference else [])])
        with locked(folder / LOCK):
            open_folder(folder)
            result = run_audit(
                inputs,
                policy=chosen,
                work=folder / WORK_FOLDER,
                benchmarks=sources,
                registry=listed,
                options=options,
                baseline=accepted,
                redteam=attacked,
                earlier=earlier,
                vendor=summary,
                decisions=decided,
                progress=_shown(progress),
            )
            call = call_of(
                _listed(batch),
                policy=policy,
                benchmarks=_listed(benchmarks),
                registry=registry,
                out=folder,
                options=options,
                baseline=baseline,
                baseline_key=baseline_key,
                redteam=redteam,
                ledger=ledger,
                vendor=vendor,
                excerpts=excerpts,
                config=config,
            )
            texts = read_texts(result.batch, wanted_texts(result), beside=True)
            facts = report_facts(result, texts, excerpts, call.facts())
            remote.check()
            if remote.sources:
                facts["remote"] = remote_facts(remote)
            enter = partial(earlier.enter, facts, result.copies) if earlier else None
            entered = write_outputs(result, facts, folder, enter)
            remove_runs(folder / WORK_FOLDER)
            finished = replace(_opened(open_audit_folder(folder)), entered=entered)
    if out is None:
        weakref.finalize(finished.folder, shutil.rmtree, folder, ignore_errors=True)
    return finished


def open_audit(folder: Place) -> Audit:
    """A finished audit, read back. Raises AuditError in one line where there is none."""
    return _opened(open_audit_folder(Path(folder)))


def redteam(
    batch: Inputs,
    *,
    policy: str | Path | Policy = "default",
    quick: bool = False,
    seeds: int | None = None,
    levels: Sequence[float] = (),
    scores: str | Sequence[str] = (),
    max_perplexity_increase: float = 0.01,
    epochs: int | None = None,
    out: Place | None = None,
    options: AuditOptions | None = None,
    progress: Progress | bool = False,
) -> Redteam:
    """Measures whether acting on the map makes a model leak less, and what that costs; leaves page and facts in `out`, if given.

    `quick` is one seed and fewer arms; `seeds` how often to repeat it all; `levels` shares of the tokens to prune; `scores` what
    ranks the rows besides the policy's score; `epochs` those of a retraining. A killed run goes on only where `out` is given.
    Raises UsageError and AuditError, each with one line that says the way out.
    """
    from carto_audit.governance.arms import Plan, check_asked, ranking_of
    from carto_audit.governance.facts import redteam_facts
    from carto_audit.governance.run import FULL, QUICK, Settings, run_redteam
    from carto_audit.pipeline.outputs import prepare_folder

    check_asked(seeds, levels, max_perplexity_increase, epochs)
    chosen = policy if isinstance(policy, Policy) else load_policy(str(policy))
    usual, options = QUICK if quick else FULL, options or AuditOptions()
    settings = Settings(
        plan=Plan(
            levels=tuple(sorted(set(levels))) or usual.levels,
            alphas=usual.alphas,
            scores=ranking_of(chosen.map.memorization.score, [scores] if isinstance(scores, str) else scores),
        ),
        seeds=seeds or (1 if quick else 3),
        epochs=epochs,
        again=not quick,
        max_perplexity_increase=max_perplexity_increase,
        mode="quick" if quick else "full",
        options=options,
    )
    with (
        _delivered(batch, options, progress) as remote,
        tempfile.TemporaryDirectory(prefix="carto-audit-") as temporary,
    ):
        folder = Path(out) if out else Path(temporary)
        prepare_folder(folder, remote.inputs, REDTEAM_FILES, nested=False)
        with locked(folder / LOCK):
            work = folder / REDTEAM_WORK_FOLDER
            found = run_redteam(remote.inputs, policy=chosen, work=work, settings=settings, progress=_shown(progress))
            result = Redteam(facts=redteam_facts(found))
            if out:
                result.save(folder)
            remove_runs(work)
    return result


def plant(
    batch: Inputs,
    *,
    out: Place,
    policy: str | Path | Policy = "default",
    options: PlantOptions | None = None,
    progress: Progress | bool = False,
) -> Plant:
    """Plants controls in the batch of a real run and leaves all in the folder `out`: the batch to train on, the sealed controls,
    the key of the samples, and `plant.json`.

    `policy` says how often the secrets of the proof are planted. Raises UsageError and AuditError, each with one line that says
    the way out; where the share of the tokens has no room for a proof, AuditError says how many tokens are missing.
    """
    from carto_audit.real_runs.plant import plant_batch

    chosen = policy if isinstance(policy, Policy) else load_policy(str(policy))
    with _delivered(batch, AuditOptions(), progress) as remote:
        facts = plant_batch(remote.inputs, Path(out), policy=chosen, options=options, progress=_shown(progress))
    return Plant(path=Path(out), facts=facts)


def score(
    trace: Place,
    planted: Place,
    *,
    policy: str | Path | Policy = "default",
    tokenizer: Place | None = None,
    base: Place | None = None,
    late: Place | None = None,
    benchmarks: Inputs = (),
    registry: Place | None = None,
    out: Place | None = None,
    excerpts: Excerpts = "redacted",
    progress: Progress | bool = False,
) -> Audit:
    """Scores the trace of a real run and leaves what an audit leaves in `out`, or in a folder that goes with the value.

    `trace` is the folder that LossLogger wrote, `planted` the one that `plant` made; `base` and `late` are readings of
    checkpoints, `tokenizer` is a local folder, that of `plant` unless it is named. Raises UsageError and AuditError, each with
    one line that says the way out; a rejection is a value, and a run that proves nothing is inconclusive.
    """
    from carto_audit.real_runs.scoring.score import Asked, score_into

    check_excerpts(excerpts)
    asked = Asked(
        trace=Path(trace),
        planted=Path(planted),
        policy=policy,
        tokenizer=Path(tokenizer) if tokenizer else None,
        base=Path(base) if base else None,
        late=Path(late) if late else None,
        benchmarks=tuple(str(source) for source in _listed(benchmarks)),
        registry=Path(registry) if registry else None,
        excerpts=excerpts,
    )
    with folder_for(Path(out) if out is not None else None) as folder:
        score_into(asked, folder, _shown(progress))
        finished = _opened(open_audit_folder(folder))
    if out is None:
        weakref.finalize(finished.folder, shutil.rmtree, folder, ignore_errors=True)
    return finished


def _listed(given: Inputs) -> list[Place]:
    return [given] if isinstance(given, str | Path) else list(given)


@contextmanager
def _delivered(batch: Inputs, options: AuditOptions, progress: Progress | bool) -> Iterator[Fetched]:
    """The files, folders and globs of a batch, and what was fetched for them. Raises UsageError where none is named: an empty
    name is this folder to Python; AuditError where it is `strict` that all of them are read and one is not."""
    inputs = _listed(batch)
    if not inputs or not all(map(str, inputs)):
        raise UsageError("no batch was named; give a file, a folder or a glob")
    with fetched(inputs, _shown(progress)) as remote:
        if options.strict_input:
            from carto_audit.data.shards import find_shards

            find_shards(remote.inputs, reading=options.reading, choice=options.choice).check_read()
        yield remote


def _shown(progress: Progress | bool) -> Progress:
    """True shows bars on a terminal, and a line per stage in a notebook or a log."""
    if isinstance(progress, Progress):
        return progress
    if not progress:
        return SILENT
    from carto_audit.report.formats.terminal import RichProgress, open_console

    return RichProgress(open_console(stderr=True))


def _opened(folder: AuditFolder) -> Audit:
    try:
        verdict = read_verdict(folder.document(VERDICT))
    except ValidationError as error:
        raise folder.not_a_report(first_problem(error), VERDICT) from error
    return Audit(folder=folder, verdict=verdict)
