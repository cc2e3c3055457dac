"""The notebooks of the documentation run from the first cell to the last, and show results."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
pytestmark = [
    pytest.mark.nightly("what its page has typed, and the README's Python, run on each push"),
    pytest.mark.filterwarnings("ignore"),  # of jupyter's own
]

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    nbclient.NotebookClient(
        notebook, timeout=280, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = "".join(o.get("text", "") for o in shown)
    boards = [o["data"]["text/markdown"] for o in shown if "text/markdown" in o.get("data", {})]
    assert "PASS" in texts or "WARN" in texts
    (board,) = boards
    for model in ("majority", "kmer-linear", "cnn"):
        assert model in board
    assert any("image/png" in output.get("data", {}) for output in shown)
