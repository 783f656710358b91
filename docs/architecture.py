"""The architecture page, made of the wings' and modules' own first lines: `make docs/architecture.md`. The table of who may
import whom stands here and nowhere else; `tests/test_architecture.py` holds the code to it."""

import ast
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "carto_audit"
PAGE = ROOT / "docs" / "architecture.md"

GROUND = ("text", "runtime")
"""Every wing but `text` may import these besides what its row allows; `text` imports nothing, `runtime` only `text`."""

MAY_IMPORT: dict[str, str] = {
    "text": "",
    "text.views": "",
    "runtime": "text",
    "runtime.remote": "",
    "engines": "",
    "data.formats": "",
    "data": "engines data.formats",
    "traces": "",
    "controls": "",
    "benchmarks": "data",
    "contamination.disguises": "benchmarks text.views",
    "contamination": "engines contamination.disguises benchmarks data data.formats text.views",
    "proxies.words": "data",
    "proxies": "engines proxies.words traces data",
    "cartography": "controls traces data",
    "lenses.declared": "",
    "policy": "cartography lenses.declared",
    "artifacts": "policy cartography lenses.declared",
    "gate": "artifacts policy",
    "lenses": "engines lenses.declared policy artifacts cartography data proxies traces",
    "lenses.values": "lenses lenses.declared policy",
    "lenses.keys": "lenses.values",
    "lenses.personal": "lenses.values",
    "lenses.risk": "",
    "lenses.questions": "lenses lenses.values lenses.declared policy",
    "lenses.cells": "lenses lenses.values lenses.declared policy",
    "lenses.shipped": (
        "lenses lenses.cells lenses.questions lenses.values lenses.keys lenses.personal lenses.risk "
        "lenses.declared policy cartography"
    ),
    "attestation": "gate artifacts policy data",
    "report": "artifacts cartography policy lenses.declared",
    "report.formats": "report artifacts cartography policy",
    "decisions": "artifacts gate policy cartography contamination benchmarks data",
    "ledger.kin": "artifacts policy",
    "ledger": "ledger.kin attestation gate artifacts policy report report.formats",
    "ledger.pages": "ledger artifacts policy report",
    "pipeline": (
        "engines data.formats data traces controls benchmarks contamination proxies cartography policy artifacts gate "
        "attestation report decisions lenses lenses.declared runtime.remote"
    ),
    "curation": "attestation artifacts cartography data data.formats",
    "publishing": "report artifacts cartography policy lenses.declared",
    "real_runs": "pipeline gate artifacts policy cartography controls proxies traces data data.formats curation",
    "real_runs.reading": "real_runs pipeline controls proxies traces data",
    "real_runs.scoring": (
        "real_runs real_runs.reading pipeline gate artifacts policy cartography controls contamination benchmarks proxies "
        "traces data curation"
    ),
    "governance.attacks": "proxies cartography controls traces",
    "governance": "engines governance.attacks pipeline proxies controls cartography policy artifacts traces data",
    "governance.report": "report report.formats artifacts policy",
    "real_runs.integrations": "traces",
    "cli.ledger": "ledger ledger.pages artifacts policy report report.formats",
    "vendors": "pipeline attestation gate artifacts policy cartography proxies data",
    "api": "everything but cli",
    "cli.finished": (
        "runtime.remote curation attestation publishing report report.formats artifacts gate policy data cartography vendors"
    ),
    "cli": "everything",
}
"""What the modules of each wing may import besides their own wing and the ground. `api` is a single module: the library."""

HEAVY = {"torch", "transformers", "tokenizers", "accelerate"}
"""Loading one of these takes seconds; only the modules of MAY_LOAD_TORCH do."""

MAY_LOAD_TORCH = set(
    (
        "proxies.words.word_encoder proxies.tokens proxies.model proxies.loaded_proxy proxies.minibatches proxies.training_step "
        "proxies.cross_fit proxies.likelihood proxies.generation "
        "proxies.proxy_choice pipeline.item_recall pipeline.run curation.sample_weights governance.run "
        "governance.experiment governance.retrain governance.arm_results governance.facts governance.attack_plan "
        "governance.attacks.suite governance.attacks.extraction governance.attacks.exposure "
        "real_runs.integrations.token_losses real_runs.integrations.model_tap real_runs.integrations.ranks "
        "real_runs.integrations.trainer real_runs.token_count "
        "real_runs.preflight real_runs.plant real_runs.placing real_runs.plant_facts "
        "real_runs.reading.planted_run real_runs.reading.run_samples real_runs.reading.readings real_runs.scoring.visited "
        "real_runs.reading.adapters real_runs.reading.checkpoint_losses real_runs.reading.read_checkpoints "
        "real_runs.reading.proxy_losses "
        "real_runs.scoring.run_losses real_runs.scoring.run_controls real_runs.scoring.scored_run "
        "real_runs.scoring.first_copies real_runs.scoring.run_spans real_runs.scoring.score_facts "
        "real_runs.scoring.scored_audit real_runs.scoring.score "
        "vendors.recompute"
    ).split()
)

PLACES = {
    "a membership attack": (
        "a row of `membership_scores` in `governance/attacks/membership.py`; what must be trained or asked of the "
        "proxy is prepared in `governance/attack_plan.py` and applied in `governance/attacks/suite.py`; listed in "
        "`ATTACKS` of `governance/arm_results.py`, else it is dropped, and named in `governance/report/narrative.py`"
    ),
    "a CI format": (
        "a module in `report/formats/`, its name in `Format` of `report/formats/targets.py` (in `FILES` if it is a "
        "file by nature, in `_TALK` if it may share the terminal), a row of the table in `report/formats/render.py`, "
        "and a word in the help of `cli/report.py` and `cli/main.py`"
    ),
    "a file format, of batches or benchmarks": (
        "a module in `data/formats/`, and in `data/readers.py` a row of `_FORMATS` with its suffixes, its head (types of "
        "the first rows), its schema (types that hold all rows) and its record batches; and a word in the help of "
        "`cli/main.py` and `cli/benchmarks.py`"
    ),
    "a metric that a policy may limit": (
        "declared in `policy/metrics.py` (`map_keys` name what of the map decides it), measured in "
        "`pipeline/measurements.py`; one of a red team is declared there too, its figure made in "
        "`governance/arm_results.py`, and picked and checked in `artifacts/redteam_record.py`"
    ),
    "a kind of personal data": (
        "a row of `_DETECTORS` in `text/redaction.py`, the most telling first; a number that a library must check has "
        "its finder in `text/identifiers.py`, a national id is one word there. The red team attacks every label but "
        "`GENERIC` of `governance/attacks/extraction.py`"
    ),
    "a lens": (
        "its declaration in a module of `lenses/declared/`, listed in `SHIPPED` of `lenses/declared/known.py`; its work in a "
        "module of `lenses/shipped/`, which the declaration names; its question, options, metrics, limits and source in "
        "docs/lenses.md"
    ),
    "a kind of key": (
        "a row of `FORMS` in `lenses/keys/forms.py` where its form tells it, of `NAMED` in `lenses/keys/named.py` where its name "
        "does; how it is made up in `lenses/keys/planted.py`"
    ),
    "a class of personal value": (
        "a finder in a module of `lenses/personal/`, listed in `lenses/personal/finder.py`; a value of it in "
        "`lenses/personal/planted.py`"
    ),
    "a score of a loss trace": "`cartography/scores.py`, or `cartography/baselines.py` if it is only compared with",
    "a key of `report.json`": (
        "`artifacts/report_facts.py` or, if it was measured on samples, `artifacts/evidence_facts.py`, as "
        "NotRequired; made in `pipeline/facts.py`, or `pipeline/map_facts.py` if it is of the map"
    ),
    "a word that a page must explain": "`report/glossary.py`",
    "a command": "a module in `cli/`, which `cli/main.py` adds",
    "a column mapping of a benchmark": "`benchmarks/column_mappings.py`",
}
"""Where the next one of its kind belongs."""


def wings() -> list[str]:
    """Every wing, as the table orders them."""
    return list(MAY_IMPORT)


def allowed(wing: str) -> set[str]:
    """The wings that a module of this wing may import, its own included."""
    if MAY_IMPORT[wing].startswith("everything"):
        return {other for other in MAY_IMPORT if wing == "cli" or not other.startswith("cli")}
    ground = {"text": set(), "runtime": {"text"}}.get(wing, set(GROUND))
    return {wing, *MAY_IMPORT[wing].split(), *ground}


def modules() -> list[str]:
    """Every module, as its path below the package with dots."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in sorted(PACKAGE.rglob("*.py")))
    return [".".join(path.parts) for path in paths if path.name != "__init__"]


def wing_of(module: str) -> str:
    """The folder in which a module lies; `api` is one by itself."""
    return module.rpartition(".")[0] or module


def source_of(module: str) -> Path:
    """The file of a module or of a wing."""
    path = PACKAGE / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    """The module's syntax tree, read once."""
    return ast.parse(source_of(module).read_text(encoding="utf-8"))


def first_line(module: str) -> str:
    """What a module or a wing says of itself: the first line of its docstring."""
    docstring = ast.get_docstring(tree_of(module))
    return (docstring or "").split("\n")[0]


@cache
def imports_of(module: str) -> frozenset[str]:
    """Every module named in an import statement, wherever it stands; raises ValueError on a relative one."""
    named: set[str] = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{module}: relative import")
            named.update((str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)))
    return frozenset(named)


def own_imports(module: str) -> set[str]:
    """The modules of ours that a module imports."""
    known = set(modules())
    return {name.removeprefix("carto_audit.") for name in imports_of(module) if name.startswith("carto_audit.")} & known


def written_page() -> str:
    """The whole page."""
    return (
        "\n".join([_HEAD, _imports_picture(), _PLACES_HEAD, *_places(), "", "## The wings", "", *_lines(), *_rooms()])
        + "\n"
    )


_HEAD = """# Architecture

The package is a house of wings. A **wing** is a folder named by a noun of the field; its `__init__.py` is a docstring that names
what the wing is for and imports nothing. A **module** has one noun, and its first line says what is special about it. Stages are
functions from frozen value to frozen value: none calls another, and only `pipeline` and `governance` know their order.

`make docs/architecture.md` makes this page from the docstrings and from the table of allowed imports in `docs/architecture.py`,
which `tests/test_architecture.py` enforces: nothing in it is written twice.

## How the data flows

```mermaid
flowchart LR
  files[a vendor's files] --> data
  data --> contamination
  sets[benchmarks] --> contamination
  data --> proxies
  controls --> proxies
  proxies -- traces --> cartography
  cartography --> pipeline
  contamination --> pipeline
  policy --> gate
  pipeline -- measurements --> gate
  gate -- verdict --> report
  report --> artifacts[(audit folder)]
  artifacts --> curation & publishing & attestation
  pipeline -. "audits of planted batches" .-> governance
```

## Who may import whom

Every wing but `text` may import `text` and `runtime` besides; `runtime` only `text`, and `text` nothing. An arrow from A to B
says that A may import B; arrows that others imply are left out. There is no circle between wings, nor inside one.
"""

_PLACES_HEAD = """
## Where does the next one belong?

Paths are below `carto_audit/`. With each go its tests in the folder of the same name below `tests/`, `make docs/architecture.md`,
and `docs/commands.md` if a help text changed.

| you bring | it belongs in |
|---|---|"""


def _imports_picture() -> str:
    """The table as a picture, without the arrows that longer ways imply."""
    lines = ["```mermaid", "flowchart TB"]
    for wing in MAY_IMPORT:
        if wing in GROUND or MAY_IMPORT[wing].startswith("everything"):
            continue
        direct = MAY_IMPORT[wing].split()
        implied = {other for near in direct for other in _reachable(near)}
        lines += [f"  {_node(wing)} --> {_node(other)}" for other in direct if other not in implied]
    return "\n".join([*lines, "```"])


def _node(wing: str) -> str:
    return f'{wing.replace(".", "_")}["{wing.replace(".", "/")}"]'


def _reachable(wing: str) -> set[str]:
    """Every wing that this one may import, directly or through others."""
    direct = set(MAY_IMPORT[wing].split())
    return direct.union(*(_reachable(other) for other in direct)) if direct else set()


def _places() -> list[str]:
    return [f"| {what} | {where} |" for what, where in PLACES.items()]


def _lines() -> list[str]:
    """One line a wing, and what it may import."""
    lines = ["| wing | is | may import |", "|---|---|---|"]
    for wing in MAY_IMPORT:
        ground = {"text": "nothing", "runtime": "text"}.get(wing)
        whole = MAY_IMPORT[wing].startswith("everything")
        named = MAY_IMPORT[wing] if whole else ", ".join(MAY_IMPORT[wing].split()).replace(".", "/")
        lines.append(f"| [`{_folder(wing)}`](#{_anchor(wing)}) | {_cell(_said(wing))} | {ground or named or '–'} |")
    return lines


def _said(wing: str) -> str:
    """A wing's first line without its name."""
    return first_line(wing).partition(": ")[2] or first_line(wing)


def _rooms() -> list[str]:
    """The modules of each wing, with their own first lines."""
    lines: list[str] = ["", "## The modules"]
    for wing in MAY_IMPORT:
        inside = [module for module in modules() if wing_of(module) == wing]
        lines += ["", f"### `{_folder(wing)}`", ""]
        lines += [f"- `{module.rpartition('.')[2]}`{_mark(module)}: {first_line(module)}" for module in inside]
    lines += ["", "† may load torch, transformers or tokenizers, which takes seconds; no other module does."]
    return lines


def _mark(module: str) -> str:
    return " †" if module in MAY_LOAD_TORCH else ""


def _folder(wing: str) -> str:
    return f"{wing}.py" if wing == "api" else f"{wing.replace('.', '/')}/"


def _anchor(wing: str) -> str:
    return wing.replace(".", "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else PAGE).write_text(written_page(), encoding="utf-8")
