"""A score of a real run in a folder of its own, with all the files of an audit, whole or absent."""

import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carto_audit.artifacts.audit_call import AuditCall, call_of
from carto_audit.artifacts.file_list import ENVELOPE, OUTPUTS
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.curation.sample_weights import WEIGHTS, write_weights
from carto_audit.pipeline.judge import resolve_benchmarks
from carto_audit.pipeline.outputs import open_folder, prepare_folder, write_outputs
from carto_audit.policy.model import Policy, load_policy
from carto_audit.real_runs.planted_batch import BATCH, read_plant
from carto_audit.real_runs.scoring.score_facts import scored_report
from carto_audit.real_runs.scoring.scored_audit import Clock, audit_of
from carto_audit.real_runs.scoring.scored_run import ScoredRun, score_run
from carto_audit.runtime.errors import UsageError, option
from carto_audit.runtime.lock import LOCK, locked
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.redaction import Excerpts
from carto_audit.text.untrusted import safe_inline


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be scored, and by what. `tokenizer` None is the one that `plant` was given; `base` and `late` are files of
    readings; `policy` is a shipped name, a file, or a policy."""

    trace: Path
    planted: Path
    policy: str | Path | Policy = "default"
    tokenizer: Path | None = None
    base: Path | None = None
    late: Path | None = None
    benchmarks: tuple[str, ...] = ()
    registry: Path | None = None
    excerpts: Excerpts = "redacted"

    def call(self, out: Path) -> AuditCall:
        """How an audit of the planted batch would be called."""
        return call_of(
            [self.planted / BATCH],
            out=out,
            policy=self.policy,
            benchmarks=self.benchmarks,
            registry=self.registry,
            excerpts=self.excerpts,
        )


def score_into(asked: Asked, out: Path, progress: Progress = SILENT) -> ReportFacts:
    """Scores a trace and leaves what an audit leaves in `out`, which this user alone can read: what is null in `scores.parquet`
    are the controls; and `weights.parquet` for a run that goes on. Returns the facts of the report.

    Raises what `score_run` raises; UsageError besides for a folder that the run's own files lie in, and where no tokenizer is
    known.
    """
    began, started_at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    policy = asked.policy if isinstance(asked.policy, Policy) else load_policy(str(asked.policy))
    sources, listed = resolve_benchmarks(policy, asked.benchmarks, asked.registry)
    _check_apart(asked, out)
    prepare_folder(out, [asked.planted / BATCH], (*OUTPUTS, ENVELOPE, WEIGHTS))
    out.chmod(0o700)
    with locked(out / LOCK), tempfile.TemporaryDirectory(prefix="carto-audit-") as work:
        open_folder(out)
        scored = score_run(
            asked.trace,
            asked.planted,
            policy=policy,
            tokenizer=asked.tokenizer or _planted_with(asked.planted),
            work=Path(work),
            base=asked.base,
            late=asked.late,
            benchmarks=sources,
            registry=listed,
            progress=progress,
        )
        clock = Clock(started_at=started_at, seconds=round(time.perf_counter() - began, 3))
        audit = audit_of(scored, clock, progress)
        facts = scored_report(scored, audit, asked.excerpts, asked.call(out).facts())
        write_weights(out / WEIGHTS, scored.batch, _weights(scored))
        write_outputs(audit, facts, out)
        return facts


def _weights(scored: ScoredRun) -> NDArray[np.float64]:
    """How often a run that goes on should draw each row of the planted batch (rows,): as the policy says, the controls as
    before, so that they prove its sight to the end. Rows that hold nothing to train on have none."""
    weight = np.zeros(scored.batch.rows)
    weight[scored.batch.row] = np.where(scored.planted.is_copy, 1.0, scored.actions.weight)
    return weight


def _check_apart(asked: Asked, out: Path) -> None:
    """Raises UsageError where the run's own files lie in the folder of the score."""
    place = out.resolve()
    inside = place.is_relative_to((asked.planted / BATCH).resolve())
    if inside or place in (asked.trace.resolve(), asked.planted.resolve()):
        raise UsageError(f"{safe_inline(str(out), 160)}: files of the run lie there; choose another {option('out')}")


def _planted_with(planted: Path) -> Path:
    """The tokenizer that the preflight read. Raises UsageError where it read none, or none that lies there still."""
    looked = read_plant(planted).facts.get("preflight")
    named = looked.get("tokenizer") if isinstance(looked, dict) else None
    if not named or not Path(str(named)).is_dir():
        raise UsageError(f"name the run's tokenizer: {option('tokenizer')} FOLDER")
    return Path(str(named))
