"""A score of a real run in a folder of its own: `scores.parquet` and `score.json`, whole or absent."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carto_audit.benchmarks.registry import Registry
from carto_audit.pipeline.outputs import prepare_folder
from carto_audit.policy.model import Policy
from carto_audit.real_runs.planted_batch import BATCH, STATEMENT
from carto_audit.real_runs.scoring.score_facts import FACTS, SCORES, write_scored
from carto_audit.real_runs.scoring.scored_run import score_run
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import read_regular
from carto_audit.runtime.lock import LOCK, locked
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline


def score_into(
    trace: Path,
    planted: Path,
    out: Path,
    *,
    policy: Policy,
    tokenizer: Path | None = None,
    base: Path | None = None,
    late: Path | None = None,
    benchmarks: Sequence[str] = (),
    registry: Registry | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Scores a trace and writes both files into `out`; returns the facts. `tokenizer` None is the one that `plant` was given.

    Raises what `score_run` raises; UsageError besides for a folder that the run's own files lie in, and where no tokenizer is
    known.
    """
    for given in (trace, planted):
        if out.resolve() == given.resolve() or out.resolve().is_relative_to((planted / BATCH).resolve()):
            raise UsageError(
                f"{safe_inline(str(out), 160)}: files of the run lie there; choose another {option('out')}"
            )
    prepare_folder(out, [], (SCORES, FACTS))
    with locked(out / LOCK), tempfile.TemporaryDirectory(prefix="carto-audit-") as work:
        (out / FACTS).unlink(missing_ok=True)  # an earlier score says nothing of this run
        scored = score_run(
            trace,
            planted,
            policy=policy,
            tokenizer=tokenizer or _planted_with(planted),
            work=Path(work),
            base=base,
            late=late,
            benchmarks=benchmarks,
            registry=registry,
            progress=progress,
        )
        return write_scored(scored, out)


def _planted_with(planted: Path) -> Path:
    """The tokenizer that the preflight read. Raises UsageError where it read none, or none that lies there still."""
    try:
        facts = json.loads(read_regular(planted / STATEMENT, 64 << 20))
        looked = facts["preflight"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AuditError(
            f"{safe_inline(str(planted), 160)}: no planted batch: no {STATEMENT} that can be read"
        ) from error
    named = looked.get("tokenizer") if isinstance(looked, dict) else None
    if not named or not Path(str(named)).is_dir():
        raise UsageError(f"name the run's tokenizer: {option('tokenizer')} FOLDER")
    return Path(str(named))
