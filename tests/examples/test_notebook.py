"""The notebook runs from top to bottom, on fewer rows and steps than those whose outputs it keeps."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"
SHORTER = {
    "max_train_samples=400, max_eval_samples=400": "max_steps=2, max_train_samples=64, max_eval_samples=64",
    "num_train_epochs=4, learning_rate=2e-4": "max_steps=2, learning_rate=2e-4",
    "num_train_epochs=15": "max_steps=20",
}


def test_it_runs_from_top_to_bottom(tmp_path, monkeypatch):
    client = pytest.importorskip("nbclient")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    text = "".join(cell.source for cell in notebook.cells)
    assert all(text.count(long) == 1 for long in SHORTER)
    for cell in notebook.cells:
        for long, short in SHORTER.items():
            cell.source = cell.source.replace(long, short)
    client.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()


def test_its_outputs_are_kept_and_name_no_machine():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    told = "".join(output.get("text", "") for output in outputs)
    assert "accuracy" in told
    assert not [place for place in ("/home/", "site-packages", "/tmp/") if place in told]
