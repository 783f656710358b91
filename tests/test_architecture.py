import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import carto_audit

PACKAGE = Path(carto_audit.__file__).parent
DOCUMENT = PACKAGE.parent / "docs" / "architecture.md"

ORDER = (
    "errors resources text files work progress workers identifiers redact strict policy_file refusals "
    "shards records weights batch words tables rarity alignment programs skeleton duplicates tokens "
    "mappings dataset_folder benchmark hub registry "
    "index candidates places tiers support evidence views detectability index_file sources search commonplace contamination "
    "secret controls kinship folds proxy sequences trace train rewording testimony likelihood continuation hearing "
    "thresholds baselines spans scores power datamap density reasons sight noise interventions metrics measure "
    "policy_chain policy policy_schema policy_diff policy_explain record demands waivers verdict policy_cases policy_replay "
    "statement envelope proof "
    "redteam_record results gate provenance outfit audit detection facts "
    "figures readings charts differences dossier mapview page report outputs curation "
    "canaries extraction exposure membership arms retrain utility examination questions experiment "
    "estimates knee recommendation redteam arm_results redteam_facts redteam_readings labels tradeoff redteam_page "
    "publication card splice croissant push plot console console_redteam "
    "annotations sarif junit gitlab markdown github targets formats "
    "demo cli_apply cli_redteam cli_benchmarks cli_policy cli_proof cli_card cli_report cli_completion cli reference"
).split()
"""Each module imports only modules to its left, also inside functions and for types."""

TORCH = set(
    (
        "weights tokens proxy sequences train likelihood continuation hearing "
        "outfit audit extraction exposure retrain examination questions experiment "
        "redteam arm_results redteam_facts"
    ).split()
)
PRINTERS = set(
    (
        "cli cli_apply cli_benchmarks cli_card cli_completion cli_policy cli_proof cli_redteam "
        "cli_report console console_redteam formats reference"
    ).split()
)


def tree_of(module):
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imports_of(module):
    """Every module named in an import statement, wherever it stands."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names if node.module == "carto_audit" else [str(node.module)]


def own_imports(module):
    return {name.split(".")[1] for name in imports_of(module) if name.startswith("carto_audit.")} - {"__version__"}


def test_every_module_has_its_place_in_the_order():
    assert sorted(ORDER) == sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_one_way(module):
    assert own_imports(module) <= set(ORDER[: ORDER.index(module)])


@pytest.mark.parametrize("module", ORDER)
def test_only_the_training_modules_may_load_torch(module):
    heavy = {name.split(".")[0] for name in imports_of(module)} & {"torch", "transformers", "tokenizers", "accelerate"}
    assert not heavy or module in TORCH


@pytest.mark.parametrize("module", ORDER)
def test_the_library_never_prints_exits_or_configures_logging(module):
    calls = {ast.unparse(node.func) for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)}
    forbidden = {"print", "exit", "quit", "os._exit", "logging.basicConfig", "breakpoint"}
    if module in ("train", "workers"):
        forbidden -= {"os._exit"}  # of a worker process whose parent is gone
    if module not in PRINTERS:
        forbidden |= {"sys.exit", "click.echo", "sys.stdout.write", "sys.stderr.write", "Console"}
    assert not calls & forbidden


def test_the_document_lists_the_modules_in_this_order():
    rows = re.findall(r"^\d+\. `(\w+)`: .+$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert rows == ORDER


@pytest.mark.parametrize("module", ORDER)
def test_a_module_says_in_its_first_line_what_it_is_and_stays_readable(module):
    source = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    assert source.startswith('"""')
    assert source.count("\n") <= 400


def loaded_after(*arguments, cwd):
    """Heavy modules that are loaded once the command has run in a process of its own."""
    program = (
        "import sys; from carto_audit.cli import main as cli; "
        "code = cli.run(lambda: cli.cli.main(sys.argv[1:], 'carto-audit', standalone_mode=False)); "
        "heavy = sorted({'torch', 'transformers', 'tokenizers', 'matplotlib.pyplot'} & set(sys.modules)); "
        "sys.stderr.write(f'{code} {heavy}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=cwd, capture_output=True, encoding="utf-8", timeout=120
    )
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["ingest", "--help"],
        ["benchmarks", "build", "--help"],
        ["benchmarks", "list", "--help"],
        ["apply", "--help"],
        ["card", "--help"],
        ["policy", "check", "default"],
        ["attest", "--help"],
        ["verify", "--help"],
        ["policy", "explain", "strict", "hotspot-mass"],
        ["policy", "diff", "default", "strict"],
        ["policy", "schema"],
        ["policy", "metrics"],
        ["policy", "try", "--help"],
        ["ingest", "x", "--policy", "nope"],
    ],
    ids=" ".join,
)
def test_light_commands_load_no_torch(arguments, tmp_path):
    code = 2 if "nope" in arguments else 0
    assert loaded_after(*arguments, cwd=tmp_path) == f"{code} []"


def test_rendering_a_report_again_loads_no_torch(audited, tmp_path):
    assert loaded_after("report", str(audited.folder), cwd=tmp_path) == "0 []"


def test_verifying_an_audit_loads_no_torch(audited, tmp_path):
    assert loaded_after("verify", str(audited.folder), str(audited.input), cwd=tmp_path) == "0 []"


def test_a_card_loads_no_torch(audited, tmp_path):
    assert loaded_after("card", str(audited.folder), "--readme", "README.md", cwd=tmp_path) == "0 []"


def test_importing_the_package_has_no_effect():
    program = (
        "import os, sys, logging; before = dict(os.environ), list(sys.path), logging.root.handlers[:]; "
        "import carto_audit.data.batch, carto_audit.report.html, carto_audit.policy.model, carto_audit.report.formats.terminal; "
        "assert before == (dict(os.environ), list(sys.path), logging.root.handlers[:])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, encoding="utf-8", timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
