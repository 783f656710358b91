"""The action, the hook and the examples of docs/ci.md: checked by their own linters, and run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml
from ruamel.yaml import YAML

from tests.report.formats.test_github import runner_reads
from tests.report.formats.test_gitlab import ISSUES
from tests.report.formats.test_sarif import oasis
from tests.support.audits import ALONE, GATE, NO_ITEMS, sentences
from tests.support.quizzes import BELL, ITEMS, write_quiz
from tests.support.repository import ROOT

BIN = Path(sys.executable).parent
DOCUMENT = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def load(text):
    return YAML(typ="safe", pure=True).load(text)


def example(title, language):
    """The fenced blocks of one language in one section of the document."""
    section = DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


def tool(name, *arguments, cwd=ROOT):
    """Runs an installed linter; what it said if it failed, else nothing."""
    done = subprocess.run([BIN / name, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def write_program(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def project(tmp_path):
    """A vendor's repository with a batch that holds a benchmark item, and a PATH on which carto-audit is this one."""
    folder = tmp_path / "project"
    rows = [*sentences(47), f"They say: {BELL} Nobody knew."]
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "vendor_batch.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    (folder / "policies").mkdir()
    (folder / "policies" / "ours.yaml").write_text(GATE + NO_ITEMS)
    (folder / "evals").mkdir()
    write_quiz(folder / "evals" / "house.jsonl", ITEMS[:2])
    bin = tmp_path / "carto-audit" / "bin"
    write_program(bin / "carto-audit", f'exec {shlex.quote(sys.executable)} -c {shlex.quote(ALONE)} "$@"')
    write_program(bin / "python", f'exec {shlex.quote(sys.executable)} "$@"')
    for installer in ("pip", "uv"):  # what they would install is here
        write_program(bin / installer, "exit 0")
    return folder


def shell(script, project, **environment):
    """Runs a script as GitHub's and GitLab's runners do, stopping at the first failure."""
    home = project.parent
    inherited = {"PATH": f"{home}/carto-audit/bin:{os.environ['PATH']}", "RUNNER_TEMP": str(home), "HOME": str(home)}
    python = {"PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=project,
        env={**inherited, **python, **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )


def action():
    return load((ROOT / "action.yml").read_text(encoding="utf-8"))


def run_action(project, inputs, **environment):
    """Runs the audit step of the action with these inputs: how it ended, its outputs, and the step summary."""
    known = action()
    assert set(inputs) <= set(known["inputs"])
    step = next(step for step in known["runs"]["steps"] if step.get("id") == "audit")
    given = {name: value.get("default", "") for name, value in known["inputs"].items()} | inputs
    values = {
        name: str(given[re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)[1]]) for name, value in step["env"].items()
    }
    files = {name: str(project.parent / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    done = shell(step["run"], project, **values, **files, **environment)
    outputs = dict(line.split("=", 1) for line in Path(files["GITHUB_OUTPUT"]).read_text().splitlines())
    summary = Path(files["GITHUB_STEP_SUMMARY"])
    return done, outputs, summary.read_text(encoding="utf-8") if summary.exists() else ""


def test_zizmor_and_the_schema_find_nothing_in_the_action():
    assert tool("zizmor", "--offline", "--persona", "pedantic", "action.yml") == ""
    assert tool("check-jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml") == ""


def test_zizmor_would_find_an_input_inside_a_script(tmp_path):
    text = (ROOT / "action.yml").read_text(encoding="utf-8").replace('"$POLICY"', '"${{ inputs.policy }}"')
    (tmp_path / "action.yml").write_text(text)
    assert "template-injection" in tool("zizmor", "--offline", "--persona", "pedantic", tmp_path / "action.yml")


def test_the_outputs_of_the_action_are_those_that_its_step_writes():
    written = set(re.findall(r'echo "([\w-]+)=\$', action()["runs"]["steps"][-1]["run"]))
    assert written == set(action()["outputs"])


@pytest.mark.long
def test_the_workflow_of_the_document_is_valid_and_its_audit_rejects_with_every_file(project, tmp_path):
    (text,) = example("GitHub Actions", "yaml")
    (tmp_path / "workflow.yml").write_text(text)
    assert tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", tmp_path / "workflow.yml") == ""
    steps = load(text)["jobs"]["audit"]["steps"]
    step = next(step for step in steps if step["uses"].startswith("OWNER/carto-audit@"))
    done, outputs, summary = run_action(project, step["with"])
    assert done.returncode == 1, done.stderr
    assert outputs == {"verdict": "rejected", "exit-code": "1"}
    assert ("error", "carto-audit items: rejects: 1, at most 0") in [
        (name, properties.get("title")) for name, properties, _ in runner_reads(done.stdout)
    ]
    assert "Rejected" in summary
    sarif = next(step["with"]["sarif_file"] for step in steps if "sarif" in step["uses"])
    assert not list(oasis().iter_errors(json.loads((project / sarif).read_text())))


def test_an_audit_that_the_action_cannot_complete_is_said_in_an_annotation(project):
    hostile = "-x.jsonl\n$(touch pwned)`touch pwned`; touch pwned"
    done, outputs, _ = run_action(project, {"batch": hostile, "policy": "policies/ours.yaml"})
    assert done.returncode == 2
    assert outputs == {"verdict": "none", "exit-code": "2"}
    assert [name for name, _, _ in runner_reads(done.stdout)] == ["error"]
    assert not (project / "pwned").exists()


@pytest.mark.long
def test_the_gitlab_job_of_the_document_is_valid_and_leaves_the_reports_it_names(project, tmp_path):
    (text,) = example("GitLab", "yaml")
    (tmp_path / ".gitlab-ci.yml").write_text(text)
    assert (
        tool(
            "check-jsonschema",
            "--builtin-schema",
            "vendor.gitlab-ci",
            "--data-transform",
            "gitlab-ci",
            ".gitlab-ci.yml",
            cwd=tmp_path,
        )
        == ""
    )
    job = load(text)["audit"]
    done = shell("\n".join(job["script"]), project)
    assert done.returncode == 1, done.stderr
    reports = job["artifacts"]["reports"]
    issues = json.loads((project / reports["codequality"]).read_text())
    assert not list(ISSUES.iter_errors(issues))
    assert issues[0]["check_name"] == "carto-audit/items"
    assert JUnitXml.fromfile(str(project / reports["junit"])).failures == 1


def git(folder, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit_all(folder):
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_hook_of_the_document_stops_a_broken_policy(project, tmp_path):
    assert tool("pre-commit", "validate-manifest", ".pre-commit-hooks.yaml") == ""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    revision = commit_all(hooks)
    (text,) = example("pre-commit", "yaml")
    (project / ".pre-commit-config.yaml").write_text(
        text.replace("https://github.com/OWNER/carto-audit", str(hooks)).replace("v0.1.0", revision)
    )
    assert tool("pre-commit", "validate-config", project / ".pre-commit-config.yaml") == ""
    commit_all(project)
    run = shlex.join([str(BIN / "pre-commit"), "run", "--all-files", "--verbose"])
    good = shell(run, project, PRE_COMMIT_HOME=str(tmp_path / "cache"))
    assert good.returncode == 0, good.stdout + good.stderr
    assert "policies/ours.yaml: valid" in good.stdout
    (project / "policies" / "ours.yaml").write_text(GATE.replace("rules:", "rulse:"))
    broken = shell(run, project, PRE_COMMIT_HOME=str(tmp_path / "cache"))
    assert broken.returncode == 1
    assert re.search(r'policies/ours\.yaml:\d+:\d+: .*did you mean "rules"', broken.stdout)


def test_every_command_of_the_document_has_only_known_formats():
    from carto_audit.report.formats.targets import parse_targets

    values = re.findall(r"--format (\S+)", "\n".join(re.findall(r"```.*?```", DOCUMENT, flags=re.DOTALL)))
    assert len(values) > 5
    assert all(parse_targets([value]) for value in values)
