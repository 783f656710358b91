"""What strangers' bytes are read by, one function each. Whatever the bytes are, only a CartoError may come out."""

import base64
import copy
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from carto_audit.artifacts.audit_folder import AuditFolder
from carto_audit.artifacts.file_list import REPORT, STATEMENT
from carto_audit.attestation.dsse import PAYLOAD_TYPE, parse_envelope
from carto_audit.attestation.statement import read_statement
from carto_audit.benchmarks.dataset_folder import split_files
from carto_audit.benchmarks.index import build_index
from carto_audit.contamination.detectability import FORMS, Detectability
from carto_audit.contamination.disguises.honest import DISGUISES
from carto_audit.contamination.index_file import read_index, write_index
from carto_audit.data.batch import iter_texts, read_batch
from carto_audit.policy.model import load_policy
from carto_audit.runtime.errors import CartoError
from tests.support.quizzes import ITEMS, quiz
from tests.support.report_facts import make_facts

SUFFIXES = (
    ".parquet",
    ".arrow",
    ".jsonl",
    ".json",
    ".csv",
    ".tsv",
    ".jsonl.gz",
    ".csv.gz",
    ".json.zst",
    ".tsv.xz",
    ".jsonl.bz2",
    ".jsonl.lz4",
)
"""The first byte of a batch's input chooses one; the rest is the file."""

VALUES = (
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    float("nan"),
    "",
    "x" * 200,
    "\x1b[31m\u202e",
    [],
    {},
    [0],
    {"": 0},
    [[]] * 20,
    "1",
    -(2**31),
    0.5,
)
"""What an edit puts in the place of a value."""


_STATEMENT = json.dumps(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": "0" * 64}} for name in ("batch.jsonl", "report.json")],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {"result": "PASSED", "passedTests": ["mass"]},
    }
)


def batch(data: bytes, folder: Path) -> None:
    """A file of a delivery, whose format the first byte chooses."""
    path = folder / f"batch{SUFFIXES[data[0] % len(SUFFIXES)]}"
    path.write_bytes(data[1:])
    with suppress(CartoError):
        for chunk in iter_texts(read_batch([path])):
            assert chunk is not None


def index(data: bytes, folder: Path) -> None:
    """An index with the seal of its bytes: first byte odd, the bytes themselves; even, edits of the header of a real one."""
    magic, head, blocks = _real_index()
    if data[0] % 2:
        sealed = data[1:]
    else:
        header = json.dumps(edited(json.loads(head), data[1:])).encode()
        sealed = f"{len(header)}\n".encode() + header + blocks
    path = folder / "quiz.cartoindex"
    path.write_bytes(magic + hashlib.sha256(sealed).hexdigest().encode() + b"\n" + sealed)
    with suppress(CartoError):
        read_index(path)


def envelope(data: bytes, folder: Path) -> None:
    """A DSSE envelope, whose payload is read as the statement of an audit: first byte 0 modulo 3, edits of a real statement in
    an envelope; 1, of the envelope; else the bytes themselves."""
    kind, script = data[0] % 3, data[1:]
    changed = edited(json.loads(_STATEMENT), script if kind == 0 else b"")
    statement = (json.dumps(changed, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    carried = {
        "payload": base64.b64encode(statement).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": "AA=="}],
    }
    sealed = data[1:] if kind == 2 else json.dumps(edited(carried, script if kind == 1 else b"")).encode()
    with suppress(CartoError):
        (folder / STATEMENT).write_bytes(parse_envelope(sealed, "verdict.dsse.json").payload)
        read_statement(folder)


def policy(data: bytes, folder: Path) -> None:
    """A policy file."""
    path = folder / "policy.yaml"
    path.write_bytes(data)
    with suppress(CartoError):
        load_policy(path)


def report(data: bytes, folder: Path) -> None:
    """`report.json`: first byte odd, the bytes themselves; even, edits of a real one."""
    real = data[1:] if data[0] % 2 else json.dumps(edited(json.loads(_real_report()), data[1:])).encode()
    (folder / REPORT).write_bytes(real)
    with suppress(CartoError):
        assert AuditFolder(path=folder).report["schema_version"]


def card(data: bytes, folder: Path) -> None:
    """The card of a data set folder that is given as a benchmark."""
    (folder / "README.md").write_bytes(data)
    (folder / "test.jsonl").write_text('{"question": "Who?"}\n')
    with suppress(CartoError):
        split_files(folder, None, "test")


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    target.__name__: target for target in (batch, index, envelope, policy, report, card)
}


def run(name: str, data: bytes) -> None:
    """Gives a target its bytes and an empty folder. Inputs without a byte are not worth one."""
    if data:
        with tempfile.TemporaryDirectory(prefix="carto-fuzz-", dir=_memory()) as folder:
            TARGETS[name](data, Path(folder))


def edited(document: Any, script: bytes) -> Any:
    """The document with some of its values replaced or left out: three bytes an edit, two for the place, one for the value."""
    places = _places(document) if len(script) > 2 else []
    for at in range(0, min(len(script) - 2, 60) if places else 0, 3):
        parent, key = places[int.from_bytes(script[at : at + 2], "big") % len(places)]
        if key not in (parent if isinstance(parent, dict) else range(len(parent))):
            continue  # left out before
        if script[at + 2] == 255:
            del parent[key]
        else:
            parent[key] = copy.deepcopy(VALUES[script[at + 2] % len(VALUES)])
    return document


def _places(node: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    todo = [node]
    while todo:
        one = todo.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            todo.append(one[key])
    return found


@functools.cache
def _memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@functools.cache
def _real_report() -> str:
    return json.dumps(make_facts())


@functools.cache
def _real_index() -> tuple[bytes, bytes, bytes]:
    """What an index begins with, its header, and what follows."""
    with tempfile.TemporaryDirectory() as folder:
        built = build_index([quiz(Path(folder) / "quiz.jsonl", ITEMS[:2])])
        found = np.ones((len(FORMS), len(built.item_benchmark)), bool)
        disguised = (dict.fromkeys(DISGUISES, 1.0),) * len(built.benchmarks)
        path = Path(folder) / "quiz.cartoindex"
        write_index(path, built, Detectability(forms=FORMS, found=found, disguised=disguised))
        magic, rest = path.read_bytes().split(b"\n", 1)
    _, size, sealed = rest.split(b"\n", 2)
    return magic + b"\n", sealed[: int(size)], sealed[int(size) :]
