"""Files are written completely or not at all, and the sweep knows what a killed analysis left behind."""

from pathlib import Path

import pandas as pd
import pytest
import synthetic

import analysis
from analysis import AnalysisError
from analysis.output import Output
from infomax_tune.store.sweep_folder import SweepFolder


def test_an_output_folder_that_is_a_file(tmp_path):
    """Said before any work is done."""
    folder = synthetic.write_study(tmp_path / "out", synthetic.make_results({}, seeds=2))
    (tmp_path / "taken").write_text("")
    with pytest.raises(AnalysisError, match="cannot make this folder"):
        analysis.analyze(folder, tmp_path / "taken")


def test_outputs_replace_their_elder_whole(tmp_path):
    """No temporary file stays behind."""
    out = Output(tmp_path / "deep" / "folder")
    out.write("a.csv", pd.DataFrame({"x": [0.1]}))
    out.write("a.csv", pd.DataFrame({"x": [0.2]}))
    assert (out.folder / "a.csv").read_text() == "x\n0.2\n"
    assert [path.name for path in out.folder.iterdir()] == ["a.csv"]


def test_a_file_that_cannot_be_written_keeps_its_elder_and_says_what_to_do(tmp_path, monkeypatch):
    """As on a disk that is full."""
    out = Output(tmp_path)
    out.write("a.csv", "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(AnalysisError, match=r"a\.csv: cannot be written \(No space.*give another output folder\."):
        out.write("a.csv", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"


def test_what_a_killed_analysis_leaves_is_tidied_by_the_next_sweep(tmp_path, monkeypatch):
    """A kill between the write and the rename leaves the temporary file."""
    folder = SweepFolder(tmp_path)
    out = Output(folder.report.parent)
    left = []
    monkeypatch.setattr(Path, "replace", lambda path, _: left.append((path, path.read_bytes())))
    out.write("a.csv", "x")
    monkeypatch.undo()
    ((path, content),) = left
    path.write_bytes(content)
    assert [found.name for found in out.folder.iterdir()] == [path.name]
    folder.tidy()
    assert list(out.folder.iterdir()) == []
