"""The page and the notebook about the library: run as they stand."""

import re
import textwrap

import nbclient
import nbformat
import pytest

import carto_audit
from tests.support.audits import GATE, sentences, write_parquet
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
NOTEBOOK = ROOT / "docs" / "library.ipynb"


def test_the_page_names_every_public_name():
    listed = {
        name for row in re.findall(r"^\| (`.+?) \|", PAGE, flags=re.MULTILINE) for name in re.findall(r"`(\w+)", row)
    }
    assert listed == {*carto_audit.__all__}


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_page_run_as_they_stand(number, tmp_path, monkeypatch, thin):
    example = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[number]
    write_parquet(tmp_path / "batch.parquet", sentences(48))
    write_parquet(tmp_path / "gsm8k.parquet", sentences(3, seed=9), question=sentences(3, seed=9), answer=["7"] * 3)
    (tmp_path / "ours.yaml").write_text(
        f"{GATE}  - {{id: rows, metric: batch.rows, min: 99, severity: reject, reason: few}}\n"
    )
    monkeypatch.chdir(tmp_path)
    if "SystemExit" in example:
        with pytest.raises(SystemExit) as ended:
            exec(textwrap.dedent(example), {"carto_audit": carto_audit})
        assert ended.value.code == carto_audit.ExitCode.REJECTED
    else:
        exec(textwrap.dedent(example), {})
        assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.long
def test_the_notebook_runs_as_it_stands_and_shows_what_it_should(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.km = client.create_kernel_manager()
    client.km.transport, client.km.ip = "ipc", str(tmp_path / "kernel")
    client.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pages = [output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert any("data:image/png" in page for page in pages)
    printed = "".join(output["text"] for output in shown if output["output_type"] == "stream")
    assert re.search(r"^True \['baseline', 'batch'", printed, flags=re.MULTILINE)
    assert "UsageError 2 True" in printed
    assert shown[-1]["data"]["text/plain"] == "True"
