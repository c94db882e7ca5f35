"""Reads a search space from a bundled name, a YAML file or a mapping, and reports what is wrong with it."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infomax_tune.errors import ConfigError, unknown
from infomax_tune.process.paths import user_path
from infomax_tune.study import yaml_document
from infomax_tune.study.config import SECTIONS
from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import (
    NO_EFFECT,
    Setting,
    Settings,
    document_from_python,
    note_folder,
    read_setting,
    read_settings,
    resolve_name,
    settings_from_python,
    unknown_key,
    validate,
)
from infomax_tune.study.space import MAX_TRIALS, SWEEP_FILE, SearchSpace, distinct, too_many

_FIRST_ID_DIGITS = 8
"""The digits of the ids of a sweep that does not record how many they have."""


def bundled_spaces() -> dict[str, Path]:
    """The search spaces that come with infomax-tune, by name."""
    # beside the package, in a source tree and in site-packages; not imported, since the user may have a folder of that name
    folder = Path(__file__).resolve().parents[2] / "search_spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_space(
    space: str, *, config: yaml_document.Document | None = None, overrides: Settings | None = None
) -> tuple[SearchSpace, list[str]]:
    """The space of that name or YAML path, and the notes on keys without effect.

    config: a base config, which the space's own settings override. overrides: settings that override both; one that
    names an axis replaces it, and one that holds a list or a range is an axis. Raises ConfigError with every mistake.
    """
    bundled = bundled_spaces()
    path = bundled.get(space) or user_path(space)
    if path.is_dir():
        raise ConfigError(_folder_is_no_space(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{unknown('search space', space, bundled)} Or give the path of a YAML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{space}: cannot be read ({error}).") from None
    note_folder(path)
    return parse_space(
        yaml_document.parse(text, space if space in bundled else str(path)), path.stem, config, overrides or {}
    )


def default_out(space: str | Path) -> Path:
    """The output folder of a sweep that is given none: results/<space>. For the sweep.yaml of a sweep, by its folder's name."""
    path = user_path(space)
    return Path("results") / (path.resolve().parent.name if path.name == SWEEP_FILE else path.stem)


def _folder_is_no_space(folder: Path) -> str:
    if (folder / SWEEP_FILE).exists():
        resume = shlex.join(["infomax-tune", "resume", str(folder)])
        return f"{folder}: this is the output folder of a sweep; resume it with: {resume}"
    return (
        f"{folder}: this is a folder. Give the name of a bundled space ({', '.join(bundled_spaces())}) or a YAML file."
    )


def space_from_python(
    space: str | Path | Mapping[str, Any] | SearchSpace,
    settings: Mapping[str, Any],
    config: Mapping[str, Any] | str | Path | None,
) -> tuple[SearchSpace, list[str]]:
    """`load_space` for Python: the space may also be a mapping or a SearchSpace; settings and config are plain Python.

    Raises ConfigError with every mistake.
    """
    if isinstance(space, SearchSpace):
        if settings or config:
            raise ConfigError(
                "a SearchSpace is already complete: settings and config only apply to a name, a path or a mapping."
            )
        return space, []
    overrides, notes, problems = settings_from_python(settings)
    base = None if config is None else document_from_python(config, "config")
    if problems:
        raise ConfigError("\n".join(problems))
    if isinstance(space, Mapping):
        loaded, more_notes = parse_space(document_from_python(space, "space"), "sweep", base, overrides)
    else:
        loaded, more_notes = load_space(str(space), config=base, overrides=overrides)
    return loaded, notes + more_notes


def parse_space(
    document: yaml_document.Document, name: str, config: yaml_document.Document | None, overrides: Settings
) -> tuple[SearchSpace, list[str]]:
    """The space that a document describes. See `load_space`."""
    content = document.content
    known = ("name", "description", "base", "axes")
    as_run = {"schema", "base", "axes"} <= content.keys()  # the sweep.yaml of a sweep
    if as_run:
        known += ("schema", "id_digits", "sha256")
    problems = [
        f"{key}: must be text, got {content[key]!r} ({document.where(key)})"
        for key in ("name", "description")
        if key in content and not isinstance(content[key], str)
    ]

    under, notes, mistakes = read_settings(config.content, config) if config else ({}, [], [])
    problems += mistakes
    base, more_notes, mistakes = read_settings(content.get("base"), document, "base", load=not as_run)
    notes += more_notes
    problems += mistakes

    given = content.get("axes", {})
    if not isinstance(given, Mapping):
        problems.append(f"axes: must contain `key: [values]` lines, got {given!r} ({document.where('axes')})")
        given = {}
    # the original study's files have their axes at the top level, without `axes:`
    flat = {key: value for key, value in content.items() if key not in known}
    axes = _read_axes(given, document, ("axes",), problems, load=not as_run)
    _merge(axes, _read_axes(flat, document, (), problems), problems)
    for axis, setting in overrides.items():
        axes.pop(axis, None)
        if isinstance(setting.value, (list, dict)):
            axes[axis] = setting

    fixed = under | base | {key: value for key, value in overrides.items() if key not in axes}
    base_config, mistakes = validate({key: value for key, value in fixed.items() if key not in axes})
    hidden = validate(under | base)[1]  # by an axis or an override, but still mistakes
    problems += mistakes + [mistake for mistake in hidden if mistake not in mistakes]
    expanded = {axis: _values(axis, setting, problems) for axis, setting in axes.items()}
    if not problems and not axes:
        problems.append(
            f"axes: the space has no axes; give at least one, such as seed: {{range: [1, 10]}} ({document.source})"
        )
    problems += too_many(expanded, document.source)
    if problems or base_config is None:
        raise ConfigError("\n".join(problems))
    space = SearchSpace(content.get("name", name), content.get("description", ""), base_config, expanded)
    if as_run and content.get("id_digits", _FIRST_ID_DIGITS) == _FIRST_ID_DIGITS:
        space = dataclasses.replace(space, id_digits=_FIRST_ID_DIGITS)  # the same trials have the same ids
    _refuse_idle_axes(space, document.source)
    return space, notes


def _read_axes(
    given: Mapping[Any, Any],
    document: yaml_document.Document,
    prefix: tuple[str, ...],
    problems: list[str],
    *,
    load: bool = True,
) -> Settings:
    axes: Settings = {}
    for key, value in given.items():
        key = str(key)
        where = document.where(*prefix, key)
        name = resolve_name(key)
        if key in SECTIONS and not prefix:
            problems.append(
                f"{key}: put settings that all trials share under `base`, and settings that vary under `axes` ({where})"
            )
        elif key in SECTIONS and isinstance(value, Mapping):
            inner = {f"{key}.{short}": values for short, values in value.items()}
            _merge(axes, _read_axes(inner, document, prefix, problems, load=load), problems)
        elif name is None and key in NO_EFFECT:
            problems.append(f"{key}: cannot be an axis: {NO_EFFECT[key]} ({where})")
        elif name is None:
            allowed = "" if prefix else " A space has name, description, base and axes."
            problems.append(f"{unknown_key(key)} ({where}){allowed}")
        else:
            setting = read_setting(name, value, where, problems, document.folder if load else None)
            _merge(axes, {name: setting}, problems)
    return axes


def _merge(axes: Settings, more: Settings, problems: list[str]) -> None:
    """Adds axes; an axis that is given twice is a problem."""
    for name, setting in more.items():
        if name in axes:
            problems.append(f"{name}: given twice ({axes[name].where}; {setting.where})")
        axes[name] = setting


def _values(axis: str, setting: Setting, problems: list[str]) -> list[Any]:
    """The values of an axis, each checked as a setting; mistakes go to `problems`."""
    given = setting.value
    if axis.startswith("logging."):
        problems.append(f"{axis}: cannot be an axis: it does not change a trial's numbers ({setting.where})")
        return []
    if isinstance(given, Mapping):
        given = _range(axis, setting, problems)
    elif not isinstance(given, list):
        problems.append(
            f"{axis}: an axis must be a list or {{range: [first, last]}}, got {given!r}; "
            f"to fix a value, put it under base ({setting.where})"
        )
        return []
    elif not given:
        problems.append(f"{axis}: the axis is empty ({setting.where})")
    values: dict[Any, None] = {}  # an ordered set
    for value in given:
        config, mistakes = validate({axis: Setting(value, setting.where)})
        problems += mistakes
        if config is None:
            continue
        settled = config.flat()[axis]
        if settled in values:
            problems.append(f"{axis}: {value!r} is given twice ({setting.where})")
        values[settled] = None
    return list(values)


def _range(axis: str, setting: Setting, problems: list[str]) -> list[int]:
    limits = setting.value.get("range") if set(setting.value) == {"range"} else None
    if not isinstance(limits, list) or len(limits) != 2 or any(type(limit) is not int for limit in limits):
        problems.append(
            f"{axis}: a range must be {{range: [first, last]}} with two whole numbers, got {setting.value!r} ({setting.where})"
        )
        return []
    first, last = limits
    if last < first:
        problems.append(
            f"{axis}: the range [{first}, {last}] is empty: its last value is below its first ({setting.where})"
        )
        return []
    if last - first >= MAX_TRIALS:
        problems.append(f"{axis}: the range [{first}, {last}] has more than {MAX_TRIALS} values ({setting.where})")
        return []
    return list(range(first, last + 1))


def _refuse_idle_axes(space: SearchSpace, source: str) -> None:
    """Raises ConfigError if an axis changes nothing in any combination of the others, such as the lambda of a baseline
    that uses none, or if two different trials have one id."""
    points = space.points()
    same = [frozenset(config.numbers().items()) for config in points]
    combinations = list(itertools.product(*space.axes.values()))
    for place, axis in enumerate(space.axes):
        trials_of: dict[tuple[Any, ...], set[Any]] = {}
        for combination, trial in zip(combinations, same, strict=True):
            trials_of.setdefault(combination[:place] + combination[place + 1 :], set()).add(trial)
        if len(space.axes[axis]) > 1 and all(len(trials) == 1 for trials in trials_of.values()):
            config = points[0]
            raise ConfigError(
                f"axes: two combinations are the same trial ({config.trial_id}): {axis.split('.')[1]} changes nothing with "
                f"objective {config.loss.objective} and epochs {config.training.epochs}; remove it from the axes ({source})"
            )
    Plan(distinct(points))
