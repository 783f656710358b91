"""Sources: what `--benchmark` may name. A name of the registry, a file, a folder, a hub data set, or a built index."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from carto_audit.benchmarks.column_mappings import ColumnMapping
from carto_audit.benchmarks.hub_sets import read_hub
from carto_audit.benchmarks.index import Index, build_index
from carto_audit.benchmarks.items import Benchmark, read_benchmark
from carto_audit.benchmarks.registry import Registry
from carto_audit.contamination.detectability import QUICK_FORMS, Detectability, Finder, measure_detectability
from carto_audit.contamination.index_file import IndexFile, is_index_file, read_index
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.hub import is_hub_name, parse_hub_name
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a source is read that is not in the registry: all None where it says so itself."""

    name: str | None = None
    mapping: ColumnMapping | None = None
    config: str | None = None
    split: str | None = None


AS_IS = Reading()


def open_index(
    sources: Sequence[str], find: Finder, *, registry: Registry | None = None, progress: Progress = SILENT
) -> tuple[Index, Detectability]:
    """The index over all that the sources name. One that lies built is taken as it is, where it holds just that;
    otherwise it is built in memory, and its detectability measured in QUICK_FORMS only.

    Raises AuditError or UsageError in one line.
    """
    opened = _Opened(registry)
    benchmarks = [benchmark for source in sources for benchmark in opened.read(source, progress)]
    whole = opened.only_index()
    if whole is not None and [b.name for b in benchmarks] == [b.name for b in whole.index.benchmarks]:
        return whole.index, whole.detectability
    built = build_index(benchmarks)
    return built, measure_detectability(built, find, progress, QUICK_FORMS)


def read_source(
    source: str, *, reading: Reading = AS_IS, registry: Registry | None = None, progress: Progress = SILENT
) -> Benchmark:
    """Reads what a source names from where it came: never from an index."""
    if registry is not None and source in registry.entries:
        if reading != AS_IS:
            raise UsageError(f"{safe_inline(source, 80)}: the registry says how to read it; change it there")
        return registry.read(source, progress)
    if is_hub_name(source):
        wanted = parse_hub_name(source)
        return read_hub(
            wanted,
            name=reading.name,
            mapping=reading.mapping,
            config=reading.config,
            split=reading.split,
            progress=progress,
        )
    _check_exists(source, registry)
    return read_benchmark(
        source, name=reading.name, mapping=reading.mapping, config=reading.config, split=reading.split
    )


def _check_exists(source: str, registry: Registry | None) -> None:
    shown = safe_inline(source, 160)
    if registry is not None and not Path(source).exists():
        known = nearest(source, registry.entries) or f"; the registry lists {', '.join(list(registry.entries)[:20])}"
        raise UsageError(f"{shown}: neither a file nor a benchmark of {safe_inline(str(registry.path), 160)}{known}")


class _Opened:
    """Sources as they are read, and the index files that were met on the way: each is read once."""

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self._files: dict[Path, IndexFile] = {}
        self._from_elsewhere = False

    def read(self, source: str, progress: Progress) -> Iterable[Benchmark]:
        """The benchmarks that the source names."""
        if self._registry is not None and source in self._registry.entries:
            path = self._registry.index_path(source)
            if path.exists():
                return [self._indexed(source, path, self._registry)]
        elif not is_hub_name(source) and is_index_file(Path(source)):
            return self._file(Path(source)).index.benchmarks
        self._from_elsewhere = True
        return [read_source(source, registry=self._registry, progress=progress)]

    def only_index(self) -> IndexFile | None:
        """The one index file that everything came from, if there is one."""
        return next(iter(self._files.values())) if len(self._files) == 1 and not self._from_elsewhere else None

    def _file(self, path: Path) -> IndexFile:
        key = path.resolve()
        if key not in self._files:
            self._files[key] = read_index(path)
        return self._files[key]

    def _indexed(self, name: str, path: Path, registry: Registry) -> Benchmark:
        shown = safe_inline(str(path), 160)
        way_out = "build it again with carto-audit benchmarks build"
        for benchmark in self._file(path).index.benchmarks:
            if benchmark.name == name:
                if not registry.is_current(name, benchmark):
                    raise AuditError(
                        f'{shown}: "{safe_inline(name, 80)}" has changed since this index was built; {way_out}'
                    )
                return benchmark
        raise AuditError(f'{shown}: this index does not hold "{safe_inline(name, 80)}"; {way_out}')
