"""The files of a finished audit: their names, and which of them a statement covers."""

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
