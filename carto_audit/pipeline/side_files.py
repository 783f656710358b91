"""Side files: what lies beside the data and counts as none is held against the benchmarks too."""

from dataclasses import replace

from carto_audit.benchmarks.index import Index
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.tiers import SUSPECTED
from carto_audit.data.batch import Batch
from carto_audit.data.formats.side_files import LARGEST_DOCUMENT
from carto_audit.data.skips import readable
from carto_audit.runtime.files import read_regular


def compare_side_files(batch: Batch, index: Index) -> Batch:
    """The batch, where a file beside the data that holds a benchmark item counts as data that went unread, and so does one that
    cannot be read any more."""
    found = set()
    for other in batch.delivery.beside:
        try:
            text = readable(read_regular(other.path, LARGEST_DOCUMENT, follow=True))
        except OSError:
            found.add(other.path)
            continue
        if any(match.tier >= SUSPECTED for match in find_matches([text], index)):
            found.add(other.path)
    return replace(batch, delivery=batch.delivery.with_items(found)) if found else batch
