"""The notebooks run as a student runs them: in `notebooks/` of a project where everything has run, each in a kernel of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
SHOWN = {  # what a reader is to find in the outputs
    "quickstart": ("torch.Size([16, 256])", "random_init_top1", "<Figure size"),
    "compare_two_methods": ("simclr minus rotation", "linear top-1", "pretrain.optimizer.lr"),
    "bring_your_own_images": ("unusable", "random_init_top1", "torch.Size([1, 256])"),
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(finished, path):
    folder = finished.root / "notebooks"
    folder.mkdir()
    shutil.copy2(path, folder)
    before = {file: file.stat().st_mtime_ns for file in (finished.root / "data").rglob("*") if file.is_file()}
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    said = "\n".join(text for cell in notebook.cells for output in cell.get("outputs", []) for text in _texts(output))
    assert not [words for words in SHOWN[path.stem] if words not in said], said
    assert before == {file: file.stat().st_mtime_ns for file in (finished.root / "data").rglob("*") if file.is_file()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_kept(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None


def _texts(output: nbformat.NotebookNode) -> list[str]:
    return [output.get("text", ""), *(str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/"))]
