"""docs/*.ipynb: the notebooks run from top to bottom, and what they print is what they show."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOTEBOOKS = ["first-sweep.ipynb"]


def test_no_notebook_is_forgotten() -> None:
    assert [path.name for path in DOCS.glob("*.ipynb")] == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_shows_what_it_says(name: str, tmp_path: Path) -> None:
    notebook = nbformat.read(DOCS / name, as_version=4)
    kept = [_shown(cell) for cell in notebook.cells]
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    now = [_shown(cell) for cell in notebook.cells]
    assert [[_words(text) for text in texts] for texts in now] == [[_words(text) for text in texts] for texts in kept]
    for text, before in zip(itertools.chain(*now), itertools.chain(*kept), strict=True):
        assert _numbers(text) == pytest.approx(_numbers(before), rel=0.05, abs=0.01)  # another kind of CPU may round
    pictures = sum(
        "image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert pictures == 2
    assert (tmp_path / "results" / "first-sweep" / "results.csv").exists()


def _shown(cell: nbformat.NotebookNode) -> list[str]:
    """What a cell shows but for times and pictures."""
    return [output["data"]["text/plain"] for output in cell.get("outputs", []) if "data" in output]


def _words(text: str) -> str:
    return " ".join(re.sub(_NUMBER, "", text).split())


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(_NUMBER, text)]


_NUMBER = r"-?\b\d+(?:\.\d+)?\b"
