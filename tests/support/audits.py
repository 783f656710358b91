"""Tiny real things for the tests of whole audits: text, batches, a policy that they can meet, and the command itself."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WORDS = (
    "after again along always around because before behind below between beyond brother bridge candle carry city clear "
    "close corner country cousin cover crown dance dark daughter deep distance doctor door draw drive early east evening "
    "field fire floor follow forest forget free friend garden gather gold green ground harbour harvest heavy history hold "
    "honest horse house hunger island journey kettle kingdom knock ladder lantern large laugh learn leave letter little "
    "market meadow measure memory merchant middle minute mirror money morning mother mountain music narrow neighbour never "
    "night north number ocean often orchard order other paper people picture place pocket point prison promise quarter "
    "quiet rain reach river road rough sailor season second secret shadow short silver simple sister slow song south "
    "spring station stone story strange street strong summer sudden table teacher thousand throw together tower travel "
    "under valley village voice walk water weather west while white window winter without wonder yellow young"
).split()

GATE = """\
schema_version: 1
name: gate
map:
  difficulty: {threshold: {percentile: 75}}
  memorization: {score: memorized, threshold: {percentile: 10}}
rules:
  - {id: skipped, metric: batch.skipped_row_share, max: 0.5, severity: reject, reason: too little was read}
  - {id: copies, metric: duplicates.token_share, max: 0.4, severity: reject, reason: copies are memorized}
"""
"""A policy without a rule on detection power, for which a tiny batch has no room."""

NO_ITEMS = (
    "  - {id: items, metric: contamination.confirmed_items, max: 0, severity: reject, reason: no evaluation text}\n"
)


def sentences(count, seed=0, words=30):
    """Texts of common words in random order: nothing repeats, nothing is noise, every seed its own."""
    rng = np.random.default_rng([seed, 7])
    return [" ".join(WORDS[k] for k in rng.integers(len(WORDS), size=words)).capitalize() + "." for _ in range(count)]


def write_parquet(path, texts, **columns):
    """A parquet file with the column `text`, and others by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts, **columns}), path)
    return path


def strings_of_bytes(values):
    """A `string` array that claims its bytes to be UTF-8, as broken exporters write it."""
    offsets = np.cumsum([0, *(len(v) for v in values)]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    )


FRAGMENTS = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><style>*{}</style>',
    "[/bold][red]",
    "{{ 7*7 }}{% raw %}",
    "::error::stop",
    "##[error]stop",
    "=cmd|' /C calc'!A0",
    "\x1b[31m\x07\x00",
    "\u202eRTL\u2066\u200b",
)
"""What each sink could take for an instruction: a page, a style, a terminal, a template, a CI log, a spreadsheet."""

QUESTION = (
    "A merchant carries </script> seventeen lanterns over the narrow bridge and sells {{ 7*7 }} five of them at the "
    "evening market before the rain; how many lanterns does he carry home to his sister in the village?"
)


def write_hostile_folder(folder):
    """Three shards whose texts, ids and names are all hostile; 47 of the 52 rows are mapped, two more compared."""
    rows = [f"{f} {text} {f}" for f, text in zip(FRAGMENTS, sentences(10, seed=1), strict=True)]
    asked = f"{QUESTION} 12 lanterns, 17 lanterns, 22 lanterns. Answer: 12 lanterns"
    write_parquet(folder / "<" / "script>alert(1)<.parquet", [*sentences(33), *rows, asked, None, " "])
    write_parquet(
        folder / "{{ 7*7 }}[x].parquet", strings_of_bytes([sentences(1, seed=2)[0].encode(), b"stray \xff byte"])
    )
    lines = [
        *(json.dumps({"text": t}) for t in sentences(2, seed=3)),
        '{"text": "lone \\ud800"}',
        '{"text": "\\udfff"}',
    ]
    (folder / "\n::error::=1+1\u202e.jsonl").write_text("\n".join(lines))
    return folder


def write_benchmark(path):
    """One question, which the hostile folder contains."""
    choices = ["12 lanterns", "17 lanterns", "22 lanterns"]
    item = {"item_id": FRAGMENTS[0], "question": QUESTION, "choices": choices, "answer": choices[0]}
    path.write_text(json.dumps(item) + "\n")
    return path


def snapshot(folder):
    """Bytes and time of change of every file below a folder."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How the command ended and what it said."""

    code: int
    out: str
    err: str


MAIN = "import sys; from carto_audit.cli.main import main; sys.argv[0] = 'carto-audit'; main()"
ALONE = f"import os; os.cpu_count = lambda: 1; {MAIN}"
"""On one core: all is trained in one process, where starting others would cost more than the training."""


ONE_BY_ONE = """\
import sys
from carto_audit.cli.main import main
words = [*sys.argv[1:], ","]
while words:
    end = words.index(",")
    sys.argv[1:], words = words[:end], words[end + 1 :]
    try:
        main()
    except SystemExit as ended:
        print(f"ended {ended.code}", file=sys.stderr)
"""
"""Several commands, a comma between them, in a process that loads everything once."""


def one_by_one(commands):
    """The arguments of ONE_BY_ONE."""
    return [word for command in commands for word in (*command, ",")][:-1]


def codes_of(said):
    """How each of the commands of ONE_BY_ONE ended, by what it said on the standard error."""
    return [int(line.split()[1]) for line in said.splitlines() if line.startswith("ended ")]


def command(*arguments, program=MAIN):
    """The installed program, as a command line that needs no PATH."""
    return [sys.executable, "-c", program, *map(str, arguments)]


def run_process(*arguments, cwd, program=ALONE):
    """Runs the command in a process of its own."""
    done = subprocess.run(command(*arguments, program=program), cwd=cwd, capture_output=True, timeout=300)
    return Ended(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def hear_ctrl_c():
    """For `preexec_fn`: a background job starts deaf to Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_on_terminal(*arguments, cwd):
    """Runs the command with a terminal as its output: exit code and all that was shown."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(command(*arguments), cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    return process.wait(timeout=60), shown.decode()
