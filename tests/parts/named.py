"""Which files of the product name a part."""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def named_in(tree: ast.AST, names: Collection[str]) -> set[str]:
    """Those of the names that are a string of their own in this code."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} & set(names)


def files_that_name(names: Collection[str]) -> dict[str, set[str]]:
    """The files of the package and of the analysis that name any of these, each with those it names."""
    paths = [path for room in ("infomax_tune", "analysis") for path in sorted((ROOT / room).rglob("*.py"))]
    found = {
        path.relative_to(ROOT).as_posix(): named_in(ast.parse(path.read_text(encoding="utf-8")), names)
        for path in paths
    }
    return {file: there for file, there in found.items() if there}
