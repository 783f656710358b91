"""The gate: an audit's numbers, and whatever else decides, held against the policy of the day."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from carto_audit.batch import Batch
from carto_audit.benchmark import Benchmark
from carto_audit.demands import unmet
from carto_audit.metrics import Measurement
from carto_audit.policy import Policy
from carto_audit.record import Record, Setting, compare
from carto_audit.results import Options
from carto_audit.verdict import Verdict, evaluate
from carto_audit.waivers import BatchName


def judge(
    policy: Policy,
    measurements: Mapping[str, Measurement],
    *,
    batch: Batch,
    benchmarks: Sequence[Benchmark],
    proxy: str,
    options: Options,
    baseline: Record | None,
) -> Verdict:
    """The verdict of today (UTC) on a batch that was measured with this proxy and compared with these benchmarks."""
    beside = compare(
        baseline,
        measurements,
        drawn=policy.resolved()["map"],
        benchmarks=frozenset((benchmark.name, benchmark.sha256) for benchmark in benchmarks),
        setting=Setting(proxy=proxy, epochs=options.epochs, folds=options.folds, repeats=options.repeats),
    )
    return evaluate(
        policy,
        measurements,
        datetime.now(UTC).date(),
        batch=BatchName(names=tuple(path.name for path in batch.paths), sha256=batch.sha256),
        baseline=beside,
        unseen=unmet(policy, [benchmark.name for benchmark in benchmarks]),
    )
