"""A trial's config and its id. `read_config` reads configs."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from infomax_tune.parts import catalogue

T = TypeVar("T", bound=BaseModel)

Scalar = str | int | float | bool | None
Nested = dict[str, dict[str, Scalar]]
"""All settings by section and key, as in a config file."""

MAX_EPOCHS = 1_000_000

MAX_SEED = 2**32 - 1
"""torch's CPU generator keeps 32 bits of a seed: a larger seed would silently repeat a smaller one."""


_IN_EVERY_ID = frozenset(
    {
        "data.dataset",
        "data.batch_size",
        "model.hidden_dim",
        "model.activation",
        "model.head",
        "loss.lambda_tc",
        "loss.lambda_wr",
        "loss.variance_eps",
        "loss.objective",
        "training.epochs",
        "training.lr",
        "training.optimizer",
        "training.seed",
    }
)
"""The settings that every trial's id covers, whatever their values.

Never add to this set: a setting added later is part of an id only if it differs from its default, so existing trials
keep their ids and records.
"""

ID_DIGITS = 16
"""Hex digits of the hash in the ids of a new sweep. Older sweeps have 8, as does a single trial."""

_NEVER_IN_AN_ID = frozenset({"logging.save_weights", "logging.save_metrics_every", "logging.checkpoint_every"})
"""The settings that change none of a trial's numbers."""


class _Section(BaseModel):
    # strict: "16" is not a width and true is not a number
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(lambda value: value + 0.0)]
"""-0.0 becomes 0.0: both mean the same trial, which must have one id."""


@dataclass(frozen=True)
class PartName:
    """Marks a setting that names a part. kind: its folder in `parts`. none: whether it may also be "none".

    rows: only activations of whole rows. several: names with spaces between them.
    """

    kind: str
    none: bool = False
    rows: bool = False
    several: bool = False

    def choices(self) -> tuple[str, ...]:
        """The names that need no file."""
        further = self.several or self.kind == "terms"  # beside ours, which have settings of their own or need none
        known = catalogue.installed(self.kind) if further else catalogue.names(self.kind)
        names = [name for name in known if not self.rows or _is_of_rows(name)]
        return ("none", *names) if self.none else tuple(names)

    def takes(self, value: str) -> bool:
        """Whether it is one of the choices, or a part of the user's own with its digest."""
        return all(name in self.choices() or catalogue.is_pinned(name) for name in self.split(value))

    def could_take(self, value: str) -> bool:
        """Whether each name could be that of a part of another version: it becomes a part of ids, and of file names."""
        return all(is_plain(name) for name in self.split(value))

    def split(self, value: str) -> list[str]:
        """The names in a value."""
        return value.split() if self.several else [value]

    def names_in(self, value: str) -> list[str]:
        """The names of parts in a value: none if it is "none"."""
        return [] if self.none and value == "none" else self.split(value)


def is_plain(text: str) -> bool:
    """Whether it is a name that is safe as a file's."""
    return re.fullmatch(r"[\w.:@-]*\w", text, re.ASCII) is not None


def _is_of_rows(name: str) -> bool:
    part = catalogue.ours("activations").get(name)
    return part is None or part.rows


# The docstring of each setting is what `infomax-tune settings` and docs/settings.md say of it. A setting of a part's own
# is described by the part.


class DataConfig(_Section):
    """The data."""

    dataset: Annotated[str, PartName("datasets")] = "mnist"
    """The dataset (images or points) that the layer learns from."""
    batch_size: int = Field(default=128, le=2**31 - 1, json_schema_extra={"range": "-1, or at least 2"})
    """Rows per training step; -1 uses the full training set."""

    @field_validator("batch_size")
    @classmethod
    def _is_a_batch(cls, batch_size: int) -> int:
        if batch_size < 2 and batch_size != -1:
            raise ValueError(f"must be -1 (the full training set) or at least 2, got {batch_size}")
        return batch_size


class ModelConfig(_Section):
    """The layer: a = f(x W^T + b)."""

    hidden_dim: int = Field(default=16, ge=1, le=65536)
    """The layer's width (number of units)."""
    activation: Annotated[str, PartName("activations")] = "relu"
    """The function f that each unit applies."""
    head: Annotated[str, PartName("activations", none=True, rows=True)] = "none"
    """A second activation, of whole rows, applied after f."""


def _with_weights(base: type[T], settings: Iterable[tuple[str, float, str]]) -> type[T]:
    """The section with a setting of its parts for each of these: its name, its default, and what it does."""
    fields: dict[str, Any] = {}
    for name, default, words in settings:
        if name in fields or name in base.model_fields:
            raise TypeError(f"two parts have a setting {name}, or it is one of the section's own")
        fields[name] = (_NotNegative, Field(default=default, description=words))
    # pydantic would search the callers' sources for this class, which is in none of them
    return create_model(
        f"_{base.__name__}", __base__=base, __cls_kwargs__={"use_attribute_docstrings": False}, **fields
    )


class LossConfig(
    _with_weights(_Section, ((term.weight, term.default, term.meaning) for term in catalogue.ours("terms").values())),
    use_attribute_docstrings=True,
):
    """The objective and the weights of its terms."""

    variance_eps: float = Field(default=1e-6, gt=0, allow_inf_nan=False)
    """Added to variances and norms before a logarithm or a division, to avoid zeros."""
    objective: Annotated[str, PartName("objectives")] = Field(
        default="infomax",
        description="What training minimizes: "
        + "; ".join(f"{name}, {part.explanation}" for name, part in catalogue.ours("objectives").items())
        + ".",
    )
    term: Annotated[str, PartName("terms", none=True)] = "none"
    """A term of your own, which is added to the objective."""
    lambda_term: _NotNegative = 1.0
    """The weight of the term of your own."""


class _Training(_Section):
    epochs: int = Field(default=100, ge=0, le=MAX_EPOCHS)
    """Passes over the training set."""
    lr: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    """The learning rate."""
    optimizer: Annotated[str, PartName("optimizers")] = "adam"
    """The update rule for each step."""
    seed: int = Field(default=1, ge=0, le=MAX_SEED)
    """Determines the initial weights and the order of the data in every epoch."""


class TrainingConfig(
    _with_weights(
        _Training,
        (
            (name, default, f"Of the optimizer {optimizer}.")
            for optimizer, part in catalogue.ours("optimizers").items()
            for name, default in part.settings.items()
        ),
    )
):
    """How a trial is trained."""


class LoggingConfig(_Section):
    """What a trial saves. None of these settings changes what it learns."""

    save_weights: bool = True
    """Save the weights of each finished trial."""
    save_metrics_every: int = Field(default=10, ge=1)
    """Epochs between evaluations of the metrics on the test set."""
    checkpoint_every: int = Field(default=10, ge=1)
    """Epochs between checkpoints; a killed trial loses at most this many."""
    probe: bool = False
    """Measure probe_accuracy at the end: the test accuracy of a logistic regression on the outputs."""
    metrics: Annotated[str, PartName("metrics", none=True, several=True)] = "none"
    """Metrics of your own, with spaces between them; each becomes a column."""


class TrialConfig(BaseModel):
    """One trial: a complete config with one seed. Frozen; equal configs have equal ids.

    id_digits: the number of hex digits of the hash in the id, set by the sweep. Not a setting, and not part of a config
    file. foreign: settings of a folder that this version does not know, by dotted name; whether an id covers them depends
    on their defaults, so it is taken from what the trial left (known_id). Such a trial can be looked at, not trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    logging: LoggingConfig = LoggingConfig()
    id_digits: int = Field(default=8, exclude=True, repr=False)
    foreign: tuple[tuple[str, Scalar], ...] = Field(default=(), exclude=True, repr=False)
    known_id: str = Field(default="", exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _settle_baselines(cls, data: Any) -> Any:
        """Sets the values that a baseline objective fixes, so a config never shows an unused value."""
        if not isinstance(data, Mapping) or not isinstance(data.get("loss", {}), Mapping):
            return data
        objective = catalogue.ours("objectives").get(str(data.get("loss", {}).get("objective")))
        if objective is None:
            return data
        data = {key: dict(value) if isinstance(value, Mapping) else value for key, value in data.items()}
        for name, value in objective.fixes.items():
            section, key = name.split(".")
            if isinstance(data.setdefault(section, {}), dict):
                data[section][key] = value
        return data

    def with_seed(self, seed: int) -> TrialConfig:
        """The same trial with another seed."""
        return self._with_training(seed=seed)

    def with_epochs(self, epochs: int) -> TrialConfig:
        """The same trial, longer or shorter."""
        return self._with_training(epochs=epochs)

    def _with_training(self, **changes: int) -> TrialConfig:
        return self.model_copy(update={"training": self.training.model_copy(update=changes)})

    @property
    def trial_id(self) -> str:
        """`<activation>-k<width>-s<seed>-<hash>`; the hash covers everything that can change the numbers, and nothing else."""
        computed = f"{self._stem}-s{self.training.seed}-{_digest(self.numbers())[: self.id_digits]}"
        return self.known_id or computed

    @property
    def cell(self) -> str:
        """The name of the cell: `<activation>-k<width>-<8 hex>`, the same for trials that differ only in seed.

        For people: `cell_numbers` decides what is one cell.
        """
        return f"{self._stem}-{_digest(dict(self.cell_numbers))[:8]}"

    @property
    def cell_numbers(self) -> frozenset[tuple[str, Any]]:
        """The settings that the trials of one cell share: `numbers` without the seed."""
        return frozenset(item for item in self.numbers().items() if item[0] != "training.seed")

    @property
    def _stem(self) -> str:
        return f"{catalogue.short(self.model.activation)}-k{self.model.hidden_dim}"

    def numbers(self) -> dict[str, Any]:
        """The settings that can change this trial's numbers, by dotted name: what the id's hash covers."""
        defaults = self._defaults()
        numbers = {
            name: value
            for name, value in self.flat().items()
            if name in _IN_EVERY_ID or (name not in _NEVER_IN_AN_ID and value != defaults.get(name))
        }
        for name in self._unused():
            numbers.pop(name, None)
        if self.training.epochs == 0:  # nothing is trained, so the settings of training do not matter
            kept = ("data.dataset", "model.", "loss.objective", "training.seed", "logging.")
            numbers = {name: value for name, value in numbers.items() if name.startswith(kept)}
        return numbers

    def _unused(self) -> Iterator[str]:
        """The settings added since ids exist that change nothing in this trial, because of what the others are."""
        if self.loss.term == "none":
            yield "loss.lambda_term"
        for name, optimizer in catalogue.ours("optimizers").items():
            if name != self.training.optimizer:
                yield from (f"training.{setting}" for setting in optimizer.settings)
        objective = catalogue.ours("objectives").get(self.loss.objective)
        if objective is not None and objective.terms is not None:
            weights = {term.weight for term in catalogue.ours("terms").values()} - set(objective.terms)
            yield from (f"loss.{weight}" for weight in weights if f"loss.{weight}" not in _IN_EVERY_ID)

    def parts(self) -> list[tuple[str, str]]:
        """The parts that it names: their kind, and their name; and the settings that this version does not know."""
        flat = self.flat()
        named = [(mark.kind, each) for name, mark in part_names() for each in mark.names_in(flat[name])]
        return named + [("settings", name) for name, _ in self.foreign]

    def weights(self) -> dict[str, float]:
        """The weight of each of our terms, by the setting's name in `loss`."""
        return {term.weight: getattr(self.loss, term.weight) for term in catalogue.ours("terms").values()}

    def differences(self, kept: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """The settings in which a saved trial differs from this one, in words; empty if none differ.

        kept: its config, as `nested` gave it then. Two trials may share an id, so an id alone is not trusted.
        """
        try:
            other = type(self).model_validate(
                {
                    name: {key: value for key, value in kept.get(name, {}).items() if key in section.model_fields}
                    for name, section in SECTIONS.items()
                }
            )
        except ValidationError:
            return ["this version does not know its settings"]
        before, now, old, new = other.flat(), self.flat(), other.numbers(), self.numbers()
        return [
            f"{name} is {before[name]!r} instead of {now[name]!r}" for name in NAMES if old.get(name) != new.get(name)
        ]

    @classmethod
    @functools.cache
    def _defaults(cls) -> dict[str, Any]:
        return cls().flat()

    def nested(self) -> dict[str, dict[str, Any]]:
        """All settings by section and key, as in a config file."""
        return self.model_dump()

    def flat(self) -> dict[str, Any]:
        """All settings by dotted name, in the order of a config file."""
        known = {f"{section}.{key}": value for section, keys in self.nested().items() for key, value in keys.items()}
        return known | dict(self.foreign)


def _digest(numbers: Mapping[str, Any]) -> str:
    text = json.dumps(numbers, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


SECTIONS: dict[str, type[BaseModel]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "loss": LossConfig,
    "training": TrainingConfig,
    "logging": LoggingConfig,
}
NAMES: tuple[str, ...] = tuple(f"{section}.{key}" for section, model in SECTIONS.items() for key in model.model_fields)
"""Every setting by its dotted name."""


@functools.cache
def part_names() -> tuple[tuple[str, PartName], ...]:
    """Each setting that names a part, by its dotted name."""
    return tuple(
        (f"{section}.{key}", mark)
        for section, model in SECTIONS.items()
        for key, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, PartName)
    )


def choices(name: str) -> tuple[str, ...]:
    """The values that a setting can have, as they are typed, if they are few; else none. name: dotted."""
    section, key = name.split(".")
    if mark := dict(part_names()).get(name):
        return mark.choices()
    hint = SECTIONS[section].model_fields[key].annotation
    return ("true", "false") if hint is bool else get_args(hint)
