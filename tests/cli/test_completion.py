import os
import shutil
import subprocess
import sys

import pytest

from carto_audit.cli.completion import SHELLS
from tests.support.audits import run_process


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_is_printed(shell, carto):
    ended = carto("completion", shell)
    assert ended.code == 0
    assert f"_CARTO_AUDIT_COMPLETE={shell}_complete" in ended.out


@pytest.mark.parametrize(
    ("words", "offered"),
    [("carto-audit re", "report"), ("carto-audit ingest --exc", "--excerpts"), ("carto-audit policy c", "check")],
)
def test_commands_and_options_are_completed(words, offered):
    program = "from carto_audit.cli import main as cli; import sys; sys.argv[0] = 'carto-audit'; cli.main()"
    told = {"_CARTO_AUDIT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **told}, capture_output=True, encoding="utf-8", timeout=120
    )
    assert f"plain,{offered}" in done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
def test_bash_takes_the_script(tmp_path):
    ended = run_process("completion", "bash", cwd=tmp_path)
    (tmp_path / "script").write_text(ended.out)
    asked = "source ./script && complete -p carto-audit"
    done = subprocess.run(["bash", "-c", asked], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0
    assert "_carto_audit_completion" in done.stdout
