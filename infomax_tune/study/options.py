"""The options of a sweep, declared once for `sweep`, `resume` and Python."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from infomax_tune.errors import ConfigError, unknown
from infomax_tune.process.paths import user_path

DEVICES = ("cpu", "cuda", "mps")
LEAST = 0.0001
"""The least CPU or GPU, and the step in which Ray counts both."""
LOGGERS: dict[str, tuple[str, ...]] = {
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
    "csv": (),
    "json": (),
}
"""The trackers and the packages each one needs; the extra with the same name installs them."""


@dataclass(frozen=True)
class Options:
    """The options of a sweep. None changes its numbers, but device and cpus_per_pack (the threads) can change last bits.

    pack: seeds per pack; "auto" lets the sweep choose. cpus_per_pack, gpus_per_pack: CPUs and GPUs per pack, fractions
    allowed. address: the Ray cluster to join; None starts one here. max_concurrent: the most packs trained at once; None
    for no limit. data_dir: the folder with the image datasets. device: cpu, cuda or mps; None means cuda with
    gpus_per_pack, else cpu. max_failures: how many times to retry a pack whose worker dies or raises.
    strict_environment: refuse to resume with different versions or hardware. mix_arithmetic: resume even if the sweep has
    trials of another arithmetic (see `science/arithmetic.py`). narrow: drop finished trials from the table if they are no
    longer in the space. trust_parts: run the code of parts that the folder brings along. loggers: the trackers, out of
    `LOGGERS`, that log every finished trial.
    Raises ConfigError with every mistake, each under the option's name.
    """

    pack: int | str = field(
        default="auto", metadata={"help": "Seeds trained together: auto or a number; 1 means one Ray trial per seed."}
    )
    cpus_per_pack: float = field(default=1, metadata={"help": "CPUs per pack; also its number of threads."})
    gpus_per_pack: float = field(
        default=0, metadata={"help": "GPUs per pack; a fraction lets several packs share one GPU."}
    )
    address: str | None = field(
        default=None, metadata={"help": "The Ray cluster to join, such as auto or HOST:6379. [default: start one here]"}
    )
    max_concurrent: int | None = field(
        default=None, metadata={"help": "Maximum number of packs trained at once. [default: all that fit]"}
    )
    data_dir: Path | None = field(
        default=None,
        metadata={
            "help": "Folder with the image datasets. [default: $INFOMAX_TUNE_DATA_DIR, else the user's cache folder]"
        },
    )
    device: str | None = field(
        default=None, metadata={"help": "cpu, cuda or mps. [default: cuda with --gpus-per-pack, else cpu]"}
    )
    max_failures: int = field(
        default=2,
        metadata={
            "help": "How many times to retry a pack whose worker dies or raises an error; the same error twice is not retried."
        },
    )
    strict_environment: bool = field(
        default=False, metadata={"help": "Refuse to resume with different versions, CPU or threads."}
    )
    mix_arithmetic: bool = field(
        default=False,
        metadata={
            "help": "Resume even if this version computes trials differently from the version that started the sweep."
        },
    )
    narrow: bool = field(
        default=False,
        metadata={
            "help": "Drop finished trials from the table if they are no longer in the space; their records stay."
        },
    )
    trust_parts: bool = field(
        default=False, metadata={"help": "Run the code of parts that the folder or a sweep.yaml brings along."}
    )
    loggers: Sequence[str] = field(
        default=(), metadata={"help": "Also log every trial to mlflow, wandb, csv or json; repeatable."}
    )

    def __post_init__(self) -> None:
        loggers = (self.loggers,) if isinstance(self.loggers, str) else tuple(self.loggers or ())
        object.__setattr__(self, "loggers", loggers)
        problems = []
        try:
            object.__setattr__(self, "data_dir", None if self.data_dir is None else user_path(self.data_dir))
        except ConfigError as error:
            problems.append(f"data_dir: {error}")
        if self.pack != "auto" and (not isinstance(self.pack, int) or not 0 < self.pack < 10**9):
            problems.append(f"pack: must be auto or a whole number of at least 1, got {self.pack!r}")
        if not LEAST <= self.cpus_per_pack < math.inf:
            problems.append(f"cpus_per_pack: must be at least {LEAST}, got {self.cpus_per_pack:g}")
        gpus = self.gpus_per_pack
        if not (gpus == 0 or LEAST <= gpus < 1 or (1 <= gpus < math.inf and gpus == int(gpus))):
            problems.append(
                f"gpus_per_pack: must be 0, a share of one GPU from {LEAST} up, or a whole number of GPUs, got {gpus:g}"
            )
        if self.max_concurrent is not None and self.max_concurrent < 1:
            problems.append(f"max_concurrent: must be at least 1, got {self.max_concurrent}")
        if self.device is not None:
            problems += device_problems(self.device)
        if self.max_failures < 0:
            problems.append(f"max_failures: must be 0 or more, got {self.max_failures}")
        problems += logger_problems(self.loggers)
        if problems:
            raise ConfigError("\n".join(problems))

    @property
    def pack_size(self) -> int | None:
        """Seeds per pack; None lets the sweep choose."""
        return self.pack if isinstance(self.pack, int) else None

    @property
    def threads(self) -> int:
        return max(1, int(self.cpus_per_pack))

    @property
    def device_or_default(self) -> str:
        return self.device or ("cuda" if self.gpus_per_pack else "cpu")

    def as_words(self) -> list[str]:
        """The options that differ from their defaults, as command-line words."""
        words: list[str] = []
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            if option.name == "loggers":
                words += [word for name in value for word in ("--logger", name)]
            elif value != option.default:
                words += [f"--{option.name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return words


HELP = {option.name: option.metadata["help"] for option in dataclasses.fields(Options)}
"""What each option does, for the command line."""


def with_options(annotate: Callable[[dataclasses.Field[Any], Any], Any] | None = None) -> Callable[..., Any]:
    """Decorator: replaces `**options` in a function's signature with one parameter per field of `Options`.

    Typer and `help()` read the signature, so both list every option from its single declaration.
    annotate: makes a parameter's annotation from the field and its type; None uses the type itself.
    """
    hints = get_type_hints(Options)
    parameters = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=annotate(option, hints[option.name]) if annotate else hints[option.name],
        )
        for option in dataclasses.fields(Options)
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        del function.__annotations__["options"]
        function.__annotations__ |= {each.name: each.annotation for each in parameters}
        function.__signature__ = signature.replace(parameters=[*own, *parameters])  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return decorate


def device_problems(device: str) -> list[str]:
    return [] if device in DEVICES else [unknown("device", device, DEVICES)]


def logger_problems(loggers: Sequence[str]) -> list[str]:
    """What is wrong with the names of trackers: unknown names, packages that are not installed."""
    problems = []
    for name in loggers:
        if name not in LOGGERS:
            problems.append(unknown("logger", name, LOGGERS))
            continue
        missing = [package for package in LOGGERS[name] if importlib.util.find_spec(package) is None]
        if missing:
            *others, last = missing
            packages = f"packages {', '.join(others)} and {last}" if others else f"package {last}"
            problems.append(f"logger {name} needs the {packages}: pip install '.[{name}]' in infomax-tune's folder")
    return problems
