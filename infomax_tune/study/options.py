"""How a sweep is run. Imports nothing slow, so that the command line can check it at once."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infomax_tune.errors import ConfigError, unknown

DEVICES = ("cpu", "cuda", "mps")
LOGGERS: dict[str, tuple[str, ...]] = {
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
    "csv": (),
    "json": (),
}
"""The trackers that trials can be handed to, each with the packages it needs, which come with the extra of its name."""


@dataclass(frozen=True)
class Options:
    """How a sweep is run. None of it changes its numbers, but device and threads (cpus_per_pack) can change their last bits.

    pack: seeds a pack, "auto" lets `plan` choose. cpus_per_pack, gpus_per_pack: what one pack occupies, fractions
    allowed. address: a Ray cluster to join, None starts one here. max_concurrent: packs at once, None is no limit.
    device: cpu, cuda or mps; None is cuda with gpus_per_pack, else cpu. max_failures: how often a pack whose
    worker dies or raises is tried again. strict_environment: refuse to go on under other versions or hardware.
    loggers: the trackers, of `LOGGERS`, that every finished trial is handed to.
    Raises ConfigError with every mistake, each under the option's name on the command line.
    """

    pack: int | str = "auto"
    cpus_per_pack: float = 1
    gpus_per_pack: float = 0
    address: str | None = None
    max_concurrent: int | None = None
    data_dir: Path | None = None
    device: str | None = None
    max_failures: int = 2
    strict_environment: bool = False
    loggers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if self.pack != "auto" and (not isinstance(self.pack, int) or not 0 < self.pack < 10**9):
            problems.append(f"--pack: must be auto or a whole number of at least 1, got {self.pack!r}")
        if not 0 < self.cpus_per_pack < math.inf:
            problems.append(f"--cpus-per-pack: must be more than 0, got {self.cpus_per_pack:g}")
        if not 0 <= self.gpus_per_pack < math.inf:
            problems.append(f"--gpus-per-pack: must be 0 or more, got {self.gpus_per_pack:g}")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            problems.append(f"--max-concurrent: must be at least 1, got {self.max_concurrent}")
        if self.device is not None:
            problems += device_problems(self.device)
        if self.max_failures < 0:
            problems.append(f"--max-failures: must be 0 or more, got {self.max_failures}")
        problems += logger_problems(self.loggers)
        if problems:
            raise ConfigError("\n".join(problems))

    @property
    def pack_size(self) -> int | None:
        """Seeds a pack; None: `plan` chooses."""
        return self.pack if isinstance(self.pack, int) else None

    @property
    def threads(self) -> int:
        return max(1, int(self.cpus_per_pack))


def device_problems(device: str) -> list[str]:
    return [] if device in DEVICES else [unknown("--device", device, DEVICES)]


def logger_problems(loggers: Sequence[str]) -> list[str]:
    """What is wrong with the values of --logger: a name that is unknown, a package that is not installed."""
    problems = []
    for name in loggers:
        if name not in LOGGERS:
            problems.append(unknown("--logger", name, LOGGERS))
            continue
        missing = [package for package in LOGGERS[name] if importlib.util.find_spec(package) is None]
        if missing:
            *others, last = missing
            packages = f"packages {', '.join(others)} and {last}" if others else f"package {last}"
            problems.append(f"--logger {name} needs the {packages}: pip install 'infomax-tune[{name}]'")
    return problems
