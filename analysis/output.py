"""Writes what the analysis made, each file whole or not at all. Imports the store's writer only."""

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
"""Of the figures' pixels, unless asked otherwise."""


@dataclass(frozen=True)
class FigureFiles:
    """As which files figures are written; AnalysisError for what cannot be. dpi: of pixels, in PDF those of large figures."""

    formats: tuple[str, ...] = ("png",)
    dpi: int = DPI

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.formats if kind not in FORMATS]
        if unknown or not self.formats:
            raise AnalysisError(
                f"format {', '.join(map(repr, unknown)) or 'of nothing'} is unknown; one or more of {', '.join(FORMATS)}."
            )
        if not 30 <= self.dpi <= 1_200:
            raise AnalysisError(f"dpi {self.dpi} is out of range; give 30 to 1,200.")


class Output:
    """The folder an analysis writes to, and the files that it has written there."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Make the folder if it is not there; AnalysisError where that cannot be done."""
        self.folder = location(folder)
        self.files: list[Path] = []
        try:
            make_folder(self.folder)
        except OSError as error:
            raise AnalysisError(
                f"{self.folder}: cannot be made a folder ({error}); give another output folder."
            ) from error

    def write(self, name: str, content: bytes | str | pd.DataFrame) -> Path:
        """Write one file: bytes as they are, text as UTF-8, a DataFrame as csv without its index."""
        if isinstance(content, pd.DataFrame):
            content = content.to_csv(index=False, lineterminator="\n")
        data = content.encode() if isinstance(content, str) else content
        path = self.folder / name
        try:
            # Not durably: what a power failure takes, the next `analyze` makes again.
            write_atomically(path, data, durably=False)
        except StoreError as error:
            raise AnalysisError(f"{str(error).removesuffix('.')}; give another output folder.") from error
        self.files.append(path)
        return path
