"""Writes the analysis's files, each one completely or not at all. Imports only the store's writer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.load import AnalysisError
from infomax_tune.errors import StoreError
from infomax_tune.store.files import make_folder, write_atomically
from infomax_tune.store.objects import location

FORMATS = ("png", "pdf", "svg")

DPI = 150
"""The default resolution of figures."""


@dataclass(frozen=True)
class FigureFiles:
    """The file formats of figures. Raises AnalysisError for unknown ones. dpi: resolution of pixels; in PDF, of large plots.

    width: of the figures in inches, for a paper; None: as on the page.
    """

    formats: tuple[str, ...] = ("png",)
    dpi: int = DPI
    width: float | None = None

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.formats if kind not in FORMATS]
        if unknown or not self.formats:
            what = f"format {', '.join(map(repr, unknown))} is unknown" if unknown else "no format is given"
            raise AnalysisError(f"{what}; choose one or more of {', '.join(FORMATS)}.")
        if not 30 <= self.dpi <= 1_200:
            raise AnalysisError(f"dpi {self.dpi} is out of range; give 30 to 1,200.")
        if self.width is not None and not 2.5 <= self.width <= 20:
            raise AnalysisError(f"width {self.width:g} is out of range; give 2.5 to 20 inches.")


class Output:
    """The folder an analysis writes to, and the files it has written there."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Make the folder if it does not exist. Raises AnalysisError if it cannot be made."""
        self.folder = location(folder)
        self.files: list[Path] = []
        try:
            make_folder(self.folder)
        except OSError as error:
            raise AnalysisError(
                f"{self.folder}: cannot make this folder ({error}); give another output folder."
            ) from error

    def write(self, name: str, content: bytes | str | pd.DataFrame) -> Path:
        """Write one file: bytes as they are, text as UTF-8, a DataFrame as csv without its index."""
        if isinstance(content, pd.DataFrame):
            content = content.to_csv(index=False, lineterminator="\n")
        data = content.encode() if isinstance(content, str) else content
        path = self.folder / name
        try:
            # Not durably: after a power failure, the next `analyze` remakes the files.
            write_atomically(path, data, durably=False)
        except StoreError as error:
            raise AnalysisError(f"{str(error).removesuffix('.')}; give another output folder.") from error
        self.files.append(path)
        return path
