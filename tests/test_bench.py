"""Every benchmark can be run by anyone: its smoke run goes the way of the whole one, prints figures and leaves nothing behind."""

import importlib
import os
import re
import subprocess

import pytest

from bench.evasion import run as evasion
from bench.evasion.case import Attack
from bench.mask.run import Line, below_bar, main, measure
from tests.support.repository import ROOT

BENCH = ROOT / "bench"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in BENCH.rglob("*.py") if path.stem != "__init__"
)
SCRIPTS = [name for name in MODULES if "def main(" in (ROOT / f"{name.replace('.', '/')}.py").read_text("utf-8")]
LONG = {f"bench.{name}.run" for name in ("governance", "presets", "reading", "real_runs", "training", "vendors")} | {
    "bench.lenses.predicted_risk",
    "bench.lenses.recalled",
    "bench.lenses.answers",
    "bench.lenses.tracing",
    "bench.lenses.tables",
    "bench.reading.tiny_rows",
    "bench.scale.stages",
    "bench.real_runs.reweight",
    "bench.real_runs.trainers",
    "bench.scale.engines",
    "bench.vendors.ledger",
}
WITHOUT_DATA = {"bench.mask.run", "bench.real_runs.trainers", "bench.scale.engines", "bench.vendors.ledger"}
NEEDS_DATA = [name for name in SCRIPTS if name not in WITHOUT_DATA]
READMES = [BENCH / "README.md", *sorted(BENCH.glob("*/README.md"))]


def files():
    """What lies in the folder, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in BENCH.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def afresh(name, folder):
    """Arguments with which a script knows of no results that were kept."""
    keeps = name in (
        "bench.detection.run",
        "bench.evasion.run",
        "bench.gate.run",
        "bench.lenses.recalled",
        "bench.presets.run",
        "bench.real_runs.reweight",
        "bench.real_runs.run",
        "bench.vendors.run",
    )
    return ["--results", str(folder / "none.jsonl")] if keeps else []


@pytest.mark.parametrize("name", MODULES)
def test_importing_a_benchmark_does_nothing(name, capsys):
    before = files()
    importlib.import_module(name)
    assert capsys.readouterr().out == ""
    assert files() == before


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in SCRIPTS]
)
def test_a_smoke_run_prints_figures_and_leaves_nothing(name, tmp_path, monkeypatch, capsys):
    if name == "bench.training.run":
        pytest.importorskip("accelerate", reason="HF Trainer needs it")
    if name == "bench.lenses.personal_data":
        pytest.importorskip("faker", reason="it writes the values")
    monkeypatch.delenv("CARTO_AUDIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    before = files()
    importlib.import_module(name).main(["--smoke"])
    rows = [line for line in capsys.readouterr().out.splitlines() if re.match(r"\| .*\d.* \|$", line)]
    assert rows
    assert files() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NEEDS_DATA)
def test_without_data_one_line_says_the_way_out(name, tmp_path, monkeypatch):
    monkeypatch.delenv("CARTO_AUDIT_DATA", raising=False)
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(name).main(afresh(name, tmp_path))
    assert re.fullmatch(r"\S+\.parquet: no folder .* --data FOLDER or set CARTO_AUDIT_DATA .*", str(ended.value.code))


@pytest.mark.parametrize("name", NEEDS_DATA)
def test_a_folder_without_the_file_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setenv("CARTO_AUDIT_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=re.escape(str(tmp_path)) + ".*: no such file; give --data"):
        importlib.import_module(name).main(afresh(name, tmp_path))


@pytest.mark.parametrize(
    "name",
    [*(f"{one}.run" for one in ("detection", "evasion", "gate", "governance", "presets", "real_runs", "vendors"))]
    + ["lenses.recalled"],
)
def test_kept_results_are_the_tables_of_the_readme(name, capsys):
    module = importlib.import_module(f"bench.{name}")
    module.main(["--only", "table"])
    readme = (BENCH / name.split(".")[0] / "README.md").read_text(encoding="utf-8")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows
    assert [row for row in rows if row not in readme] == []


@pytest.mark.parametrize("command", [("completion", "bash"), ("policy", "check", "no-such-policy")])
def test_an_attack_that_gets_through_or_a_twin_that_does_not_fails_the_smoke_run(command, monkeypatch, capsys):
    monkeypatch.setattr(evasion, "ATTACKS", {"always": Attack(what="ends one way", write=lambda case: list(command))})
    monkeypatch.setattr(evasion, "FEW", ("always",))
    with pytest.raises(SystemExit) as ended:
        evasion.main(["--smoke"])
    assert ended.value.code == 1
    assert "| always | ends one way | " in capsys.readouterr().out


def test_the_mask_reaches_its_bar_and_the_tables_say_so(capsys):
    main(["--seed", "0"])
    said = capsys.readouterr().out
    assert "Below 0.98: none." in said
    rows = [line for line in said.splitlines() if line.startswith("| ")]
    for page in (BENCH / "mask" / "README.md", ROOT / "docs" / "excerpts.md"):
        text = page.read_text(encoding="utf-8")
        assert [row for row in rows if row not in text] == []


def test_what_the_mask_misses_is_counted():
    missed = Line(text="call 555-0100", kind="telephone number", place=(5, 13))
    false = Line(text="a card, 4111 1111 1111 1111", kind="sentence", place=None)
    measured = measure([missed, false])
    assert measured.recall["telephone number"].share == measured.precision["[card]"].share == 0
    assert measured.wrong == [missed, false]
    assert below_bar(measured) == ["[card]"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_its_command_and_so_does_the_readme(name):
    assert f"python -m {name} " in importlib.import_module(name).__doc__
    assert name in (BENCH / "README.md").read_text(encoding="utf-8")


def test_commands_in_the_readmes_name_scripts_that_exist():
    for path in READMES:
        named = re.findall(r"python -m (bench\.[a-z_.]+)", path.read_text(encoding="utf-8"))
        assert set(named) <= set(SCRIPTS), path


def test_nothing_points_out_of_the_repository():
    for path in [*READMES, *BENCH.rglob("*.py")]:
        assert "shared/data" not in path.read_text(encoding="utf-8"), path
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (path.parent / target).resolve().is_relative_to(ROOT), target


def test_make_runs_every_benchmark_on_the_data_that_it_is_given():
    command = ["make", "--dry-run", "--no-print-directory", "bench", "DATA=some where"]
    environment = os.environ | {"MAKEFLAGS": ""}
    said = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", env=environment, check=True).stdout
    assert '--data "some where"' in said
    for name in SCRIPTS:
        assert (f" {name}" in said) == name.endswith(".run")
