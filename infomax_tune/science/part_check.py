"""Checks a part against its contract: `part_formulas`, `part_updates` and `part_others` have the checks of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from infomax_tune.errors import ConfigError, DataError
from infomax_tune.parts import catalogue
from infomax_tune.science.part_findings import Check, Finding, find, raised
from infomax_tune.science.part_formulas import of_activation, of_term
from infomax_tune.science.part_others import of_dataset, of_metric
from infomax_tune.science.part_updates import of_optimizer

KINDS: Mapping[str, tuple[str, Callable[[Any, str], dict[str, Check]]]] = {
    "activation": ("activations", of_activation),
    "term": ("terms", of_term),
    "optimizer": ("optimizers", of_optimizer),
    "metric": ("metrics", of_metric),
    "dataset": ("datasets", of_dataset),
}
"""The kinds of parts, each with its folder in `parts` and its checks; a dataset last, since naming one loads it."""


def kind_of(name: str, folder: Path | None = None) -> str:
    """The kind of a part: a plain function is taken for an activation. Raises ConfigError if there is no such part."""
    if name.endswith(".npz"):
        return "dataset"
    problems = []
    for kind, (package, _) in KINDS.items():
        try:
            catalogue.pin(package, name, folder)
        except ConfigError as error:
            problems.append(error)
        else:
            return kind
    raise problems[0]


def check(kind: str, name: str, folder: Path | None = None) -> list[Finding]:
    """Checks the part of this kind and name. Raises ConfigError if there is no such part, or it cannot be loaded."""
    torch.set_num_threads(1)  # a trial's bits depend on it
    package, checks = KINDS[kind]
    try:
        pinned = catalogue.pin(package, name, folder)
    except DataError as error:
        file = Path(name.rpartition(":")[0] or name).name
        return [Finding("load", False, raised(error.__cause__, file) if error.__cause__ else str(error))]
    files = [source.file for source in catalogue.sources([pinned])] or [f"{name}.py"]
    part = catalogue.find(package, pinned)
    findings = []
    for about, run in checks(part, pinned).items():
        findings.append(find(about, run, files[0]))
        if about == "shape" and findings[-1].passed is False:
            break  # the others would say it again, in other words
    return findings
