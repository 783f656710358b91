"""Side files: what lies beside the rows, in files of its own or in a document of rows, is held against the benchmarks too."""

from dataclasses import replace

from carto_audit.benchmarks.index import Index
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.tiers import SUSPECTED
from carto_audit.data.batch import Batch
from carto_audit.data.delivery import OtherFile
from carto_audit.data.formats.side_files import LARGEST_DOCUMENT
from carto_audit.data.readers import text_beside_rows
from carto_audit.data.skips import readable
from carto_audit.runtime.files import read_regular


def compare_side_files(batch: Batch, index: Index) -> Batch:
    """The batch, where a file beside the data that holds a benchmark item counts as data that went unread, as do one that
    cannot be read any more and what a JSON document says beside its rows."""
    found = {other.path for other in batch.delivery.beside if _holds_items(other, index)}
    delivery = batch.delivery.with_items(found)
    for path, sealed in zip(batch.delivery.paths, batch.paths, strict=True):
        if _has_items(text_beside_rows(sealed, batch.reading), index):
            delivery = delivery.with_items_beside_rows(path)
    return replace(batch, delivery=delivery)


def _holds_items(other: OtherFile, index: Index) -> bool:
    try:
        return _has_items(readable(read_regular(other.path, LARGEST_DOCUMENT, follow=True)), index)
    except OSError:
        return True


def _has_items(text: str, index: Index) -> bool:
    return bool(text) and any(match.tier >= SUSPECTED for match in find_matches([text], index))
