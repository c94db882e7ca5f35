"""Reads configs from YAML, Python and `key=value` overrides, and says what is wrong with them.

A config is built from layers of settings (study defaults < file < space < overrides). All mistakes are collected and
reported at once, each with the place it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from infomax_tune.errors import ConfigError, unknown
from infomax_tune.study import yaml_document
from infomax_tune.study.config import NAMES, SECTIONS, TrialConfig

NO_EFFECT = {
    "num_workers": "the data is held in memory",
    "input_dim": "it follows from the dataset",
    "print_every": "progress is shown all the time",
    "output_dir": "give --out instead",
}
"""Keys of the original study's files that are accepted and do nothing here, with the reason."""


def from_nested(nested: Mapping[str, Mapping[str, Any]], where: str) -> TrialConfig:
    """The config that `TrialConfig.nested` made. Raises ConfigError, with `where` as the place of every mistake."""
    settings, _, problems = read_settings(nested, yaml_document.Document({}, where))
    config, mistakes = validate(settings)
    if problems or config is None:
        raise ConfigError("\n".join(problems + mistakes))
    return config


@dataclass(frozen=True)
class Setting:
    """A value and the place it was given."""

    value: Any
    where: str


Settings = dict[str, Setting]
"""Settings by dotted name."""


def resolve_name(key: str) -> str | None:
    """The dotted name of a key given in full (`model.activation`) or short (`activation`); None if unknown."""
    if key in NAMES:
        return key
    matches = [name for name in NAMES if name.split(".")[1] == key]
    return matches[0] if len(matches) == 1 else None


def unknown_key(key: str) -> str:
    """The message for a key that is no setting."""
    short = key.rsplit(".", maxsplit=1)[-1]
    elsewhere = resolve_name(short)
    if elsewhere is not None:
        return f"key: {key!r} is unknown; did you mean {elsewhere!r}?"
    shorts = [name.split(".")[1] for name in NAMES]
    return unknown("key", key, NAMES if "." in key else shorts)


def read_settings(
    content: Any, document: yaml_document.Document, *prefix: str
) -> tuple[Settings, list[str], list[str]]:
    """Settings of a config mapping: nested by section, or flat with short or dotted names.

    Returns the settings, the notes (keys without effect) and the problems (unknown keys, wrong shapes).
    """
    settings: Settings = {}
    notes: list[str] = []
    problems: list[str] = []

    def take(key: str, value: Any, *path: str) -> None:
        where = document.where(*prefix, *path)
        if key.rsplit(".", maxsplit=1)[-1] in NO_EFFECT and resolve_name(key) is None:
            short = key.rsplit(".", maxsplit=1)[-1]
            notes.append(f"note: {short} has no effect here: {NO_EFFECT[short]} ({where}).")
            return
        name = resolve_name(key)
        if name is None:
            problems.append(f"{unknown_key(key)} ({where})")
        elif name in settings:
            problems.append(f"{name}: given twice ({settings[name].where}; {where})")
        else:
            settings[name] = Setting(value, where)

    if content is None:
        return settings, notes, problems
    if not isinstance(content, Mapping):
        problems.append(f"{'.'.join(prefix) or 'config'}: must hold `key: value` lines ({document.where(*prefix)})")
        return settings, notes, problems
    for key, value in content.items():
        key = str(key)
        if key not in SECTIONS:
            take(key, value, key)
        elif isinstance(value, Mapping):
            for inner, inner_value in value.items():
                take(f"{key}.{inner}", inner_value, key, str(inner))
        elif value is not None:
            problems.append(f"{key}: must hold `key: value` lines, got {value!r} ({document.where(*prefix, key)})")
    return settings, notes, problems


def read_override(text: str) -> tuple[str, Setting]:
    """One `key=value` override: its dotted name and its value. Raises ConfigError."""
    key, separator, value = text.partition("=")
    key = key.strip()
    if not separator or not key:
        raise ConfigError(f"override {text!r}: must look like key=value, for example activation=tanh.")
    name = resolve_name(key)
    if name is None:
        raise ConfigError(f"{unknown_key(key)} (override {text!r})")
    try:
        return name, Setting(yaml_document.parse_value(value), f"override {text!r}")
    except ValueError:
        raise ConfigError(f"override {text!r}: {value!r} is not a value.") from None


def read_overrides(texts: Iterable[str]) -> tuple[Settings, list[str]]:
    """All overrides, and the problems found in them. A later one wins over an earlier one."""
    settings: Settings = {}
    problems: list[str] = []
    for text in texts:
        try:
            name, setting = read_override(text)
            settings[name] = setting
        except ConfigError as error:
            problems.append(str(error))
    return settings, problems


def validate(settings: Settings) -> tuple[TrialConfig | None, list[str]]:
    """The config these settings make over the study's defaults, or the problems that prevent it."""
    nested: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, setting in settings.items():
        section, key = name.split(".")
        nested[section][key] = setting.value
    try:
        return TrialConfig.model_validate(nested), []
    except ValidationError as error:
        return None, [_explain(detail, settings) for detail in error.errors()]


def build_config(*layers: Settings) -> TrialConfig:
    """The config of several layers of settings, later ones winning. Raises ConfigError with every mistake."""
    merged: Settings = {}
    for layer in layers:
        merged |= layer
    config, problems = validate(merged)
    if config is None:
        raise ConfigError("\n".join(problems))
    return config


def read_config(document: yaml_document.Document, overrides: Iterable[str]) -> tuple[TrialConfig, list[str]]:
    """The config of a file under `key=value` overrides, and the notes on it. Raises ConfigError with every mistake."""
    settings, notes, problems = read_settings(document.content, document)
    over, mistakes = read_overrides(overrides)
    config, more = validate(settings | over)
    problems += mistakes + more
    if problems or config is None:
        raise ConfigError("\n".join(problems))
    return config, notes


def _explain(detail: Any, settings: Settings) -> str:
    """One pydantic error in the words of someone who writes config files."""
    location, given, context = detail["loc"], detail["input"], detail.get("ctx", {})
    if detail["type"] == "value_error":  # raised by a validator above: its text names the key
        key, _, message = str(context["error"]).partition(": ")
    else:
        key, message = (
            str(location[-1]),
            _complaint(detail["type"], key=str(location[-1]), given=given, context=context),
        )
        if detail["type"] == "literal_error":
            key, _, message = message.partition(": ")
    name = resolve_name(key) or key
    where = f" ({settings[name].where})" if name in settings else ""
    return f"{key}: {message}{where}"


def _complaint(kind: str, *, key: str, given: Any, context: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        section = next(model for name, model in SECTIONS.items() if resolve_name(key) == f"{name}.{key}")
        return unknown(key, given, get_args(section.model_fields[key].annotation))
    if kind in ("int_type", "int_parsing", "int_from_float"):
        return f"must be a whole number, got {given!r}"
    if kind in ("float_type", "float_parsing"):
        return f"must be a number, got {given!r}"
    if kind in ("bool_type", "bool_parsing"):
        return f"must be true or false, got {given!r}"
    limits = {
        "greater_than_equal": ("ge", "at least"),
        "greater_than": ("gt", "more than"),
        "less_than_equal": ("le", "at most"),
    }
    if kind in limits:
        bound, words = limits[kind]
        return f"must be {words} {context[bound]}, got {given!r}"
    if kind == "finite_number":
        return f"must be a finite number, got {given!r}"
    return f"{kind.replace('_', ' ')}, got {given!r}"
