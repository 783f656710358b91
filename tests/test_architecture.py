"""The table of `docs/architecture.py` is true of the code, and the page is made from it."""

import ast
import json
import subprocess
import sys

import pytest

from docs.architecture import (
    HEAVY,
    MAY_LOAD_TORCH,
    PACKAGE,
    PAGE,
    PLACES,
    allowed,
    first_line,
    imports_of,
    modules,
    own_imports,
    source_of,
    tree_of,
    wing_of,
    wings,
    written_page,
)

MODULES = modules()
PRINTERS = {"report.formats.terminal", "report.formats.render", "governance.report.summary"}
"""Besides the command line, which prints by trade."""


def test_every_folder_is_a_wing_and_every_wing_a_folder():
    found = {".".join(path.parent.relative_to(PACKAGE).parts) for path in PACKAGE.rglob("*.py")} - {""}
    assert found == set(wings()) - {"api"}


@pytest.mark.parametrize("wing", wings())
def test_a_wing_holds_at_most_about_a_dozen_modules(wing):
    assert len([module for module in MODULES if wing_of(module) == wing]) <= 13


@pytest.mark.parametrize("wing", [wing for wing in wings() if wing != "api"])
def test_the_face_of_a_wing_is_a_docstring_that_imports_nothing(wing):
    (only,) = tree_of(wing).body
    assert isinstance(only, ast.Expr)
    assert first_line(wing)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_wing_may(module):
    assert {wing_of(other) for other in own_imports(module)} <= allowed(wing_of(module))


@pytest.mark.parametrize("wing", [wing for wing in wings() if wing != "api"])
def test_the_functions_that_the_face_of_a_wing_names_are_in_it(wing):
    """Or in a wing inside it. Files and formats are named too, with a dot in them."""
    inside = [module for module in MODULES if module.startswith(f"{wing}.")]
    defined = {
        node.name
        for module in inside
        for node in tree_of(module).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    named = {part for part in ast.get_docstring(tree_of(wing)).split("`")[1::2] if "." not in part}
    assert named <= defined
    assert named or wing == "cli"


def circle_in(graph):
    """Some nodes that form a circle, empty where there is none: what is left once all that ends somewhere is taken away."""
    left = {node: set(others) for node, others in graph.items()}
    while ends := [node for node, others in left.items() if not others]:
        left = {node: others.difference(ends) for node, others in left.items() if node not in ends}
    return set(left)


def test_there_is_no_circle_between_wings():
    assert not circle_in({wing: allowed(wing) - {wing} for wing in wings()})


def test_there_is_no_circle_of_modules():
    assert not circle_in({module: own_imports(module) for module in MODULES})


def test_a_circle_would_be_found():
    assert circle_in({"a": {"b"}, "b": {"a"}, "c": set()}) == {"a", "b"}


def test_what_the_table_names_exists():
    assert set(MODULES) >= MAY_LOAD_TORCH
    for where in PLACES.values():
        named = where.split("`")[1::2]
        paths = [PACKAGE / name for name in named if "/" in name]
        assert paths
        assert all(path.exists() for path in paths), where
        sources = "".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
        assert all(name in sources for name in named if "/" not in name), where


@pytest.mark.parametrize("module", MODULES)
def test_the_first_line_of_a_module_ends_a_sentence(module):
    assert first_line(module).endswith((".", "`."))


@pytest.mark.parametrize("module", MODULES)
def test_only_the_named_modules_may_load_torch(module):
    heavy = {name.split(".")[0] for name in imports_of(module)} & HEAVY
    assert not heavy or module in MAY_LOAD_TORCH


@pytest.mark.parametrize("module", MODULES)
def test_the_library_never_prints_exits_or_configures_logging(module):
    calls = {ast.unparse(node.func) for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)}
    forbidden = {"print", "exit", "quit", "os._exit", "logging.basicConfig", "breakpoint"}
    if module == "engines.started":
        forbidden -= {"os._exit"}  # of a worker process whose parent is gone
    if not wing_of(module).startswith("cli") and module not in PRINTERS:
        forbidden |= {"sys.exit", "click.echo", "sys.stdout.write", "sys.stderr.write", "Console"}
    assert not calls & forbidden


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_in_its_first_line_what_it_is_and_stays_readable(module):
    source = source_of(module).read_text(encoding="utf-8")
    assert source.startswith('"""')
    assert source.count("\n") <= 400


def test_the_page_is_made_from_the_table_and_the_docstrings():
    assert PAGE.read_text(encoding="utf-8") == written_page()


def loaded_after(*commands, cwd):
    """How each of the commands ended, and which heavy modules were loaded by then, all in one process of their own."""
    program = (
        "import json, sys; from carto_audit.cli import main as cli\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    code = cli.run(lambda: cli.cli.main(arguments, 'carto-audit', standalone_mode=False))\n"
        "    heavy = sorted({'torch', 'transformers', 'tokenizers', 'matplotlib.pyplot'} & set(sys.modules))\n"
        "    sys.stderr.write(f'\\nended: {code} {heavy}\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    said = [line.removeprefix("ended: ") for line in done.stderr.splitlines() if line.startswith("ended: ")]
    return dict(zip(map(" ".join, commands), said, strict=True))


LIGHT = (
    "--help",
    "--version",
    "ingest --help",
    "benchmarks build --help",
    "benchmarks list --help",
    "apply --help",
    "card --help",
    "plant --help",
    "policy check default",
    "attest --help",
    "verify --help",
    "ledger verify --help",
    "history --help",
    "compare --help",
    "policy explain strict hotspot-mass",
    "policy diff default strict",
    "policy schema",
    "report --schema",
    "policy metrics",
    "policy try --help",
    "ingest x --policy nope",
)


def test_light_commands_load_no_torch(tmp_path):
    found = loaded_after(*(command.split() for command in LIGHT), cwd=tmp_path)
    assert found == {command: "2 []" if "nope" in command else "0 []" for command in LIGHT}


def test_what_reads_a_finished_audit_loads_no_torch(audited, tmp_path):
    folder = str(audited.folder)
    commands = (["report", folder], ["verify", folder, str(audited.input)], ["card", folder, "--readme", "README.md"])
    assert list(loaded_after(*commands, cwd=tmp_path).values()) == ["0 []"] * len(commands)


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
