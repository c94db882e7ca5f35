"""What an error says of the library that makes a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def made_by(library: str) -> Callable[[Path | None], tuple[str, str]]:
    """The words for a dataset that a library now makes differently, see `DataSource.different`."""

    def different(data_dir: Path | None) -> tuple[str, str]:
        return (
            f"{installed(library)} with {installed('numpy')} produces different numbers here than elsewhere",
            f", so its trials could not be compared with others. Install another version of {library} or NumPy, or choose "
            "another dataset.",
        )

    return different


def installed(package: str) -> str:
    """The package and its version."""
    from importlib.metadata import PackageNotFoundError, version  # for a message only

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"
