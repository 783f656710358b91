"""One case of an attack or of its twin: a folder, texts, benchmark items, chance, and the command itself."""

import functools
import io
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contamination.plants import with_answer
from bench.corpora import Corpora, Item, write_items, write_texts
from carto_audit.cli import main as program

ROWS, CHARACTERS = 60, 120
"""Rows of the ordinary batch of a case without a map, and the most characters of each."""

ITEMS, LEAST_WORDS = 60, 20
"""Items of the benchmark of a case without a map, and words of each question at least: shorter ones are another matter."""

SHORT = ("--folds", "1", "--epochs", "2", "--device", "cpu", "--repeats", "1", "--quiet")
"""How a batch is audited where the rule under test does not need the map."""

OFF = (
    "hotspot-mass",
    "memorized-mass",
    "memorized-passages",
    "frequent-secrets",
    "boilerplate-mass",
    "detection-power",
    "severed-kin",
)
"""Rules about the map, which a proxy that hardly trained cannot measure."""

POLICY = "\n".join(
    [
        "schema_version: 1",
        "name: no-map",
        "extends: default",
        "rules:",
        *(f'  - {{id: {rule}, disabled: true, reason: "this batch is about another rule"}}' for rule in OFF),
        '  - {id: benchmark-suspects, max: 0, severity: reject, reason: "as strict has it"}',
        "",
    ]
)
"""`default` without the rules about the map, and with the limit on suspected items that `strict` has."""


def call(*arguments: object) -> tuple[int, str]:
    """Runs the command in this process: its exit code and all that it said."""
    said = io.StringIO()
    given = [str(argument) for argument in arguments]
    with redirect_stdout(said), redirect_stderr(said):
        code = program.run(lambda: program.cli.main(given, "carto-audit", standalone_mode=False))
    return int(code or 0), said.getvalue()


def must(*arguments: object) -> None:
    """Runs a command that has to succeed for a case to be set up."""
    code, said = call(*arguments)
    if code:
        raise RuntimeError(f"{' '.join(map(str, arguments))}: exit code {code}: {said}")


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What all cases of one repetition share, in a folder: ordinary texts, items of a benchmark, items of none, and audits."""

    folder: Path
    corpora: Corpora
    seed: int

    @functools.cached_property
    def texts(self) -> list[str]:
        """Ordinary rows, each another."""
        texts = [text for text in self.corpora.texts("wikitext") if len(text) > 2 * CHARACTERS]
        return [texts[i] for i in np.random.default_rng([self.seed, 21]).permutation(len(texts))]

    @functools.cached_property
    def items(self) -> list[Item]:
        """The items of the benchmark, each with its question and answer."""
        items = [item for item in self.corpora.items("gsm8k") if len(item["question"].split()) >= LEAST_WORDS]
        chosen = items or self.corpora.items("gsm8k")
        return [chosen[i] for i in np.random.default_rng([self.seed, 22]).permutation(len(chosen))[:ITEMS]]

    @functools.cached_property
    def others(self) -> list[str]:
        """Texts like the items that no benchmark holds."""
        texts = self.corpora.texts("gsm8k")
        return [texts[i] for i in np.random.default_rng([self.seed, 23]).permutation(len(texts))[:ITEMS]]

    @functools.cached_property
    def benchmark(self) -> Path:
        """The index of the items."""
        write_items(self.folder / "exam.parquet", self.items)
        must("benchmarks", "build", self.folder / "exam.parquet", "--out", self.folder / "exam.cartoindex")
        return self.folder / "exam.cartoindex"

    @functools.cached_property
    def policy(self) -> Path:
        """The policy file without the map."""
        path = self.folder / "no-map.yaml"
        path.write_text(POLICY, encoding="utf-8")
        return path

    @functools.cached_property
    def key(self) -> Path:
        """A private key of the auditor; its public half lies beside it."""
        must("attest", "--new-key", self.folder / "audit.key")
        return self.folder / "audit.key"

    @functools.cached_property
    def accepted(self) -> Path:
        """A folder with an ordinary batch, `batch.parquet`, and its accepted and signed audit, `batch-audit`."""
        return self._audited("accepted", self.texts[:ROWS], 0)

    @functools.cached_property
    def rejected(self) -> Path:
        """The same of a batch that holds benchmark items."""
        return self._audited("rejected", [*self.texts[:ROWS], *map(with_answer, self.items[:3])], 1)

    def _audited(self, name: str, texts: Sequence[str], code: int) -> Path:
        home = self.folder / name
        batch = write_texts(home / "batch.parquet", [text[: 5 * CHARACTERS] for text in texts])
        out = ("--out", home / "batch-audit")
        ended = call("ingest", batch, "--policy", self.policy, "--benchmark", self.benchmark, *out, *SHORT)
        if ended[0] != code:
            raise RuntimeError(f"an audit to begin with: exit code {ended[0]}, not {code}: {ended[1]}")
        must("attest", home / "batch-audit", "--key", self.key)
        return home


@dataclass(frozen=True, kw_only=True)
class Case:
    """One attack, or its twin if `harmless`, in a folder of its own."""

    folder: Path
    desk: Desk
    rng: np.random.Generator
    harmless: bool

    def ordinary(self, rows: int = ROWS) -> list[str]:
        """So many short ordinary rows."""
        return [text[:CHARACTERS] for text in self.desk.texts[:rows]]

    def planted(self, count: int) -> list[str]:
        """So many items of the benchmark, question and answer; in the twin texts of the same kind that it does not hold."""
        chosen = self.rng.permutation(len(self.desk.items))[:count]
        if self.harmless:
            return [self.desk.others[i % len(self.desk.others)] for i in chosen]
        return [with_answer(self.desk.items[i]) for i in chosen]

    def delivery(self, name: str = "batch") -> Path:
        """A new folder for the files of a vendor."""
        (self.folder / name).mkdir()
        return self.folder / name

    def audited(self, kind: str = "accepted") -> Path:
        """A copy of a finished audit and its batch, which may be changed."""
        source = self.desk.accepted if kind == "accepted" else self.desk.rejected
        return Path(shutil.copytree(source, self.folder / kind))

    def write_policy(self, text: str, name: str = "policy.yaml") -> Path:
        """A policy file that extends the one without the map."""
        path = self.folder / name
        path.write_text(f"schema_version: 1\nname: case\nextends: {self.desk.policy}\n{text}", encoding="utf-8")
        return path

    def ingest(self, batch: Path, *options: object, policy: object = None, benchmark: object = None) -> list[str]:
        """The arguments that audit a batch under the policy without the map."""
        given = ("--policy", policy or self.desk.policy, "--benchmark", benchmark or self.desk.benchmark)
        return [str(part) for part in ("ingest", batch, *given, "--out", self.folder / "audit", *SHORT, *options)]


Write = Callable[[Case], list[str]]
"""Writes what an attack, or its twin, needs; returns the arguments of the command that must catch it, or accept the twin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A way in: what it is in a few words, the function that writes it and its twin, and what happens meanwhile, between the
    first pass over the batch and the second."""

    what: str
    write: Write
    meanwhile: Callable[[Case], None] | None = None
