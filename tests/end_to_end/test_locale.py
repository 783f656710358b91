"""The C locale without UTF-8, and names that are no text: every command says what it has to say."""

import os
import subprocess

import pytest

from tests.support.audits import command
from tests.support.finished import write_finished

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("name", [b"audit-\xff", "audit-grün".encode()])
def test_a_finished_audit_is_read_in_any_locale_under_any_name(tmp_path, name):
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    write_finished(folder)
    (tmp_path / "batch.jsonl").write_text('{"text": "words of one row"}\n')
    for arguments, codes in (
        (["report", folder], {0}),
        (["report", folder, "--format", "text"], {0}),
        (["verify", folder, "batch.jsonl"], {1, 3}),
        (["card", folder, "--readme", folder / "README.md"], {0}),
    ):
        program = [os.fsencode(part) for part in command()]
        ended = subprocess.run(
            [*program, *map(os.fsencode, arguments)], cwd=tmp_path, env={**os.environ, **C_LOCALE}, capture_output=True
        )
        assert ended.returncode in codes, ended.stderr
        assert b"Internal error" not in ended.stderr
