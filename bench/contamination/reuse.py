"""Reuse: what a corrected delivery costs to search again, when one of its files changed and the others did not.

python -m bench.contamination.reuse --data DATA
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from bench.contamination.run import read
from bench.corpora import Corpora, open_corpora, parser_of, write_texts
from carto_audit.benchmarks.index import Index, build_index
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.search import Searched, search_batch
from carto_audit.data.batch import read_batch
from carto_audit.engines.engine import Engine

FILES = 5


def write_delivery(corpora: Corpora, folder: Path, planted: str, most: int | None) -> Path:
    """The corpus in FILES files, with a question in one row of the third."""
    texts = corpora.texts("wikitext")[:most]
    folder.mkdir()
    for number in range(FILES):
        rows = texts[number::FILES]
        rows[0] += f"\n{planted}" if number == FILES // 2 else ""
        write_texts(folder / f"{number}.parquet", rows)
    return folder


def timed(delivery: Path, index: Index, work: Path) -> tuple[float, Searched]:
    """Seconds of one search of a delivery, and what it found."""
    batch = read_batch([delivery])
    begin = time.perf_counter()
    found = search_batch(batch, index, find_matches, folder=work, engine=Engine(workers=1))
    return time.perf_counter() - begin, found


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the seconds of three searches."""
    given = parser_of(__doc__).parse_args(arguments)
    with open_corpora(given) as corpora, tempfile.TemporaryDirectory() as scratch:
        place, items = Path(scratch), corpora.items("gsm8k")
        index = build_index([read(place, "gsm8k", items)])
        most = 200 if given.smoke else None
        first = write_delivery(corpora, place / "first", items[0]["question"], most)
        corrected = write_delivery(corpora, place / "corrected", "", most)
        with patch.dict(os.environ, XDG_CACHE_HOME=str(place / "cache")):
            taken, _ = timed(first, index, place / "work")
            again, reused = timed(corrected, index, place / "work")
        with patch.dict(os.environ, XDG_CACHE_HOME=str(place / "empty")):
            whole, fresh = timed(corrected, index, place / "work")
    if not reused.matches.equals(fresh.matches):
        raise SystemExit("what was reused is not what a search of everything finds")
    print("| search | seconds | samples reused |\n|---|---|---|")
    print(
        f"| the delivery | {taken:.1f} | 0 |\n| corrected, one file of {FILES} changed | {again:.1f} | {reused.reused:,} |"
    )
    print(f"| corrected, without what was kept | {whole:.1f} | {fresh.reused} |\n\nratio {whole / again:.1f}")


if __name__ == "__main__":
    main()
