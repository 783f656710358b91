"""The files of a finished audit: their names, and which of them a statement covers."""

import re
from pathlib import Path

EVIDENCE = (
    "scores.parquet",
    "trace.parquet",
    "matches.parquet",
    "clean_items.parquet",
    "testimony.parquet",
    "report.json",
    "map.svg",
    "map.png",
    "report.html",
)
"""The files that a verdict rests on, in the order in which they are written."""

PER_ROW = tuple(name for name in EVIDENCE if name.endswith(".parquet"))
"""Those of them that speak of single rows: a published audit has none, one without benchmarks lacks the last three."""

REPORT, VERDICT, STATEMENT, ENVELOPE = "report.json", "verdict.json", "verdict.intoto.json", "verdict.dsse.json"

COVERED = (*EVIDENCE, VERDICT)
"""The files whose digests the statement records. Nothing that the statement says makes `verify` open another."""

OUTPUTS = (*EVIDENCE, STATEMENT, VERDICT)
"""Every file of an audit, in the order in which they are written."""

LENSES = "lenses"
"""The folder inside that of an audit where lenses leave their rows, `NAME.parquet`, and places, `NAME.spans.parquet`."""

_OF_LENS = re.compile(rf"{LENSES}/[a-z][a-z0-9_]{{0,39}}(\.[a-z][a-z0-9_]{{0,39}}){{0,2}}\.parquet")


def is_covered(name: str) -> bool:
    """Whether a statement may record the digest of the file of that name: nothing else that it names is opened."""
    return name in COVERED or _OF_LENS.fullmatch(name) is not None


def lens_files(folder: Path) -> list[str]:
    """The names of what lenses left in the folder of an audit, as a statement records them."""
    names = [f"{LENSES}/{path.name}" for path in sorted((folder / LENSES).glob("*"))]
    return [name for name in names if _OF_LENS.fullmatch(name)]
