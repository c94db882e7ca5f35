"""Checks a part against its contract: `formulas`, `updates` and `others` have the checks of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from infomax_tune.errors import ConfigError, DataError
from infomax_tune.parts import catalogue
from infomax_tune.science.part_checks.formulas import of_activation, of_term
from infomax_tune.science.part_checks.others import of_dataset, of_metric
from infomax_tune.science.part_checks.shared import Check, Result, raised, run_check
from infomax_tune.science.part_checks.updates import of_optimizer

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


def check(kind: str, name: str, folder: Path | None = None) -> list[Result]:
    """Checks the part of this kind and name. Raises ConfigError if there is no such part, or it cannot be loaded."""
    torch.set_num_threads(1)  # a trial's bits depend on it
    package, checks = KINDS[kind]
    try:
        pinned = catalogue.pin(package, name, folder)
    except DataError as error:
        file = Path(name.rpartition(":")[0] or name).name
        return [Result("load", False, raised(error.__cause__, file) if error.__cause__ else str(error))]
    files = [source.file for source in catalogue.sources([pinned])] or [f"{name}.py"]
    part = catalogue.find(package, pinned)
    results = []
    for about, run in checks(part, pinned).items():
        results.append(run_check(about, run, files[0]))
        if about == "shape" and results[-1].passed is False:
            break  # the others would say it again, in other words
    return results
