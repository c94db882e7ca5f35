"""Reads configs from YAML, Python and `key=value` overrides, and reports what is wrong with them.

A config is built from layers of settings (study defaults < file < space < overrides). All mistakes are collected and
reported together, each with its place.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infomax_tune.errors import ConfigError, unknown
from infomax_tune.parts import catalogue, own
from infomax_tune.process.paths import user_path
from infomax_tune.study import columns, yaml_document
from infomax_tune.study.config import NAMES, SECTIONS, Scalar, TrialConfig, choices, is_plain, part_names

_searched: list[Path] = []


def searched() -> tuple[Path, ...]:
    """The folders of the files that configs and spaces were read from, which may hold copies of the parts they name."""
    return tuple(dict.fromkeys(_searched))


def note_folder(path: Path) -> None:
    """Notes the folder of a file that a config or a space was read from."""
    _searched.append(path.parent)


NO_EFFECT = {
    "num_workers": "the data is held in memory",
    "input_dim": "it follows from the dataset",
    "print_every": "progress is always shown",
    "output_dir": "the output folder is given beside the settings",
}
"""Keys of the original study's files that are accepted but have no effect here, each with the reason."""


def from_nested(nested: Mapping[str, Mapping[str, Any]], where: str) -> TrialConfig:
    """The inverse of `TrialConfig.nested`. Raises ConfigError, with `where` as the place of every mistake.

    Loads no part, and takes parts and settings that this version does not know: the folder can still be looked at.
    """
    foreign: dict[str, Scalar] = {}
    settings, _, problems = read_settings(nested, yaml_document.Document({}, where), load=False, foreign=foreign)
    config, mistakes = validate(settings, saved=True)
    if problems or config is None:
        raise ConfigError("\n".join(problems + mistakes))
    return config.model_copy(update={"foreign": tuple(sorted(foreign.items()))})


@dataclass(frozen=True)
class Setting:
    """A value and where it was given."""

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


def is_foreign(key: str, value: Any) -> bool:
    """Whether a setting that is not known here could be one of another version: it becomes a part of file names."""
    section, _, short = key.partition(".")
    is_value = is_plain(value) if isinstance(value, str) else isinstance(value, (bool, int, float))
    return section in SECTIONS and short.isidentifier() and short.isascii() and is_value


def unknown_key(key: str) -> str:
    """The message for a key that is not a setting."""
    short = key.rsplit(".", maxsplit=1)[-1]
    elsewhere = resolve_name(short)
    if elsewhere is not None:
        return f"key: {key!r} is unknown; did you mean {elsewhere!r}?"
    shorts = [name.split(".")[1] for name in NAMES]
    return unknown("key", key, NAMES if "." in key else shorts)


def read_settings(
    content: Any,
    document: yaml_document.Document,
    *prefix: str,
    load: bool = True,
    foreign: dict[str, Scalar] | None = None,
) -> tuple[Settings, list[str], list[str]]:
    """Settings of a config mapping: nested by section, or flat with short or dotted names. load: see `read_setting`.

    foreign: gets the settings that another version may know, which are unknown keys without it.
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
        if name is None and foreign is not None and is_foreign(key, value):
            foreign[key] = value
        elif name is None:
            problems.append(f"{unknown_key(key)} ({where})")
        elif name in settings:
            problems.append(f"{name}: given twice ({settings[name].where}; {where})")
        else:
            settings[name] = read_setting(name, value, where, problems, document.folder if load else None)

    if content is None:
        return settings, notes, problems
    if not isinstance(content, Mapping):
        problems.append(f"{'.'.join(prefix) or 'config'}: must contain `key: value` lines ({document.where(*prefix)})")
        return settings, notes, problems
    for key, value in content.items():
        key = str(key)
        if key not in SECTIONS:
            take(key, value, key)
        elif isinstance(value, Mapping):
            for inner, inner_value in value.items():
                take(f"{key}.{inner}", inner_value, key, str(inner))
        elif value is not None:
            problems.append(f"{key}: must contain `key: value` lines, got {value!r} ({document.where(*prefix, key)})")
    return settings, notes, problems


def read_setting(name: str, value: Any, where: str, problems: list[str], folder: Path | None) -> Setting:
    """A setting, or an axis, as given. Parts of the user's own get the digest of their source; mistakes go to `problems`.

    folder: where files are looked for before the working directory; None loads no part.
    """
    mark = dict(part_names()).get(name)
    if mark is None or folder is None:
        return Setting(value, where)

    def pinned(given: Any) -> Any:
        if not isinstance(given, str):
            return own.pin_object(mark.kind, given) if callable(given) or dataclasses.is_dataclass(given) else given
        names = [_pin(mark.kind, each, folder) for each in mark.names_in(given)]
        if mark.several:  # in one order, and each once: it is one trial
            return " ".join(sorted({*names} - {"none"})) or "none"
        return names[0] if names else given

    try:
        return Setting([pinned(each) for each in value] if isinstance(value, list) else pinned(value), where)
    except ConfigError as error:
        problems.append(f"{name.split('.')[1]}: {error} ({where})")
        return Setting([] if isinstance(value, list) else TrialConfig().flat()[name], where)


def _pin(kind: str, given: str, folder: Path) -> str:
    """The name with its digest; as it is if it names no file, module or package."""
    return catalogue.pin(kind, given, folder) if catalogue.is_own(kind, given) else given


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
        is_list = "," in value and value.lstrip()[:1] not in ("[", "{")  # relu,tanh as people type it
        parsed = yaml_document.parse_value(f"[{value}]" if is_list else value)
    except ValueError:
        raise ConfigError(f"override {text!r}: {value!r} is not a valid value.") from None
    problems: list[str] = []
    setting = read_setting(name, parsed, f"override {text!r}", problems, Path())
    if problems:
        raise ConfigError(problems[0])
    return name, setting


def read_overrides(texts: Iterable[str]) -> tuple[Settings, list[str]]:
    """All overrides, and the problems found in them. Later ones win."""
    settings: Settings = {}
    problems: list[str] = []
    for text in texts:
        try:
            name, setting = read_override(text)
            settings[name] = setting
        except ConfigError as error:
            problems.append(str(error))
    return settings, problems


def validate(settings: Settings, *, saved: bool = False) -> tuple[TrialConfig | None, list[str]]:
    """The config that these settings make on top of the defaults, or None and the problems. saved: see `from_nested`."""
    nested: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, setting in settings.items():
        section, key = name.split(".")
        nested[section][key] = setting.value
    unknowns = [
        _unknown_part(name, value, settings)
        for name, mark in part_names()
        if name in settings
        and isinstance(value := settings[name].value, str)
        and not (mark.could_take(value) if saved else mark.takes(value))
    ]
    try:
        config = TrialConfig.model_validate(nested)
    except ValidationError as error:
        return None, unknowns + [_explain(detail, settings) for detail in error.errors()]
    problems = unknowns if saved else unknowns + _taken_columns(config, settings)
    return (None if problems else config), problems


def build_config(*layers: Settings) -> TrialConfig:
    """The config made of several layers of settings; later ones win. Raises ConfigError with every mistake."""
    merged: Settings = {}
    for layer in layers:
        merged |= layer
    config, problems = validate(merged)
    if config is None:
        raise ConfigError("\n".join(problems))
    return config


def read_config(document: yaml_document.Document, overrides: Iterable[str]) -> tuple[TrialConfig, list[str]]:
    """The config in a file, changed by `key=value` overrides, and the notes on it. Raises ConfigError with every mistake."""
    settings, notes, problems = read_settings(document.content, document)
    over, mistakes = read_overrides(overrides)
    lists = {
        name: setting for name, setting in over.items() if isinstance(setting.value, list) and len(setting.value) > 1
    }
    mistakes += [
        f"{name}: a run takes one value, got {setting.value!r}; to compare several: infomax-tune sweep SPACE --set KEY=A,B "
        f"({setting.where})"
        for name, setting in lists.items()
    ]
    over = {name: setting for name, setting in over.items() if name not in lists}
    config, more = validate(settings | over)
    problems += mistakes + more
    if problems or config is None:
        raise ConfigError("\n".join(problems))
    return config, notes


def read_config_file(path: str | Path) -> yaml_document.Document:
    """The document in a config file. Raises ConfigError."""
    path = user_path(path)
    note_folder(path)
    if path.is_dir():
        again = shlex.join(["infomax-tune", "run", str(path / "config.yaml"), "--out", str(path)])
        is_run = (path / "config.yaml").exists()
        raise ConfigError(
            f"{path}: this is a folder; {f'to resume its trial: {again}' if is_run else 'give a config file'}."
        )
    try:
        return yaml_document.parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: config file not found. Settings look like key=value.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from None


def config_from_python(
    config: Mapping[str, Any] | str | Path | None, settings: Mapping[str, Any]
) -> tuple[TrialConfig, list[str]]:
    """The config in a mapping or a file, changed by further settings, and the notes on it. Raises ConfigError."""
    document = yaml_document.Document({}, "") if config is None else document_from_python(config, "config")
    under, notes, problems = read_settings(document.content, document)
    over, more_notes, mistakes = settings_from_python(settings)
    if problems or mistakes:
        raise ConfigError("\n".join(problems + mistakes))
    return build_config(under, over), notes + more_notes


def document_from_python(given: Mapping[str, Any] | str | Path, source: str) -> yaml_document.Document:
    """The document of a mapping, as if read from YAML, or of the file at a path. Raises ConfigError."""
    if isinstance(given, Mapping):
        return yaml_document.Document(_plain(given), source)
    return read_config_file(given)


def settings_from_python(given: Mapping[str, Any]) -> tuple[Settings, list[str], list[str]]:
    """`read_settings` for a mapping that was given as the argument `settings`."""
    return read_settings(_plain(given), yaml_document.Document({}, "settings"))


def _plain(value: Any) -> Any:
    """Python collections, and numbers and arrays of NumPy, pandas and others, as YAML would give them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(inner) for inner in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def _unknown_part(name: str, given: Any, settings: Settings) -> str:
    return f"{unknown(name.split('.')[1], given, choices(name))} ({settings[name].where})"


def _taken_columns(config: TrialConfig, settings: Settings) -> list[str]:
    """The user's own terms and metrics whose column would overwrite another one."""
    taken = {*columns.RESULTS, *columns.HISTORY, *columns.LATER, *catalogue.ours("terms")}
    problems = []
    for name, mark in part_names():
        for part in mark.names_in(config.flat()[name]) if mark.kind in ("terms", "metrics") else []:
            column = catalogue.short(part)
            if column in taken:
                where = f" ({settings[name].where})" if name in settings else ""
                problems.append(
                    f"{name.split('.')[1]}: {column} is the name of another column of the tables; rename the function{where}"
                )
            taken.add(column)
    return problems


def _explain(detail: Any, settings: Settings) -> str:
    """One pydantic error, worded for someone who writes config files."""
    section, key = detail["loc"]
    name = f"{section}.{key}"
    where = f" ({settings[name].where})" if name in settings else ""
    if detail["type"] == "string_type":
        return _unknown_part(name, detail["input"], settings)
    return f"{key}: {_complaint(detail)}{where}"


_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
}
_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "finite_number": "a finite number",
}
"""By pydantic's name of a mistake, what a value must be."""


def _complaint(detail: Any) -> str:
    """What is wrong with a value."""
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":  # from one of our validators, already worded for the user
        return str(context["error"])
    if kind in _LIMITS:
        bound, words = _LIMITS[kind]
        return f"must be {words} {context[bound]}, got {given!r}"
    expected = _EXPECTED.get(kind)
    text = f"must be {expected}, got {given!r}" if expected else f"{detail['msg']}, got {given!r}"
    span = re.fullmatch(r"(\d+)(?:-|:|\.\.)(\d+)", given) if isinstance(given, str) else None
    key = detail["loc"][1]
    return (
        f"{text}; for an axis of all from {span[1]} to {span[2]}: '{key}={{range: [{span[1]}, {span[2]}]}}'"
        if span
        else text
    )
