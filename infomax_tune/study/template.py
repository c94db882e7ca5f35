"""The text of a commented search space to start from: valid as written, with every setting and its meaning."""

from __future__ import annotations

from pathlib import Path

from infomax_tune.errors import ConfigError
from infomax_tune.study import yaml_document
from infomax_tune.study.config import SECTIONS
from infomax_tune.study.settings import describe_settings

_HEAD = """\
# A search space: settings that all trials share go under `base`, settings that vary go under `axes`.
#   infomax-tune sweep {file} --dry-run      estimate what it takes
#   infomax-tune sweep {file}                train every combination of the axes
name: {name}
description: What you want to find out, in one line.

base:  # every setting, with its default; remove the # to change one
"""

_AXES = """
axes:  # lists of values; every combination is a trial
  activation: [relu, tanh]
  hidden_dim: [16]
  seed: {range: [1, 10]}  # the same as [1, 2, ..., 10]; with fewer than 6 seeds no test can reach p < 0.05
"""

_GIVEN = {
    "data.dataset": "digits  # comes with scikit-learn, no download",
    "training.epochs": "30",
    "training.lr": "0.01",
}
"""What a first look at the space takes, in seconds and without a download."""

_AXES_OF_ITS_OWN = ("model.activation", "model.hidden_dim", "training.seed")


def space_template(path: Path) -> str:
    """The text of a search space with the name of its file. Raises ConfigError if YAML cannot hold that name."""
    lines = [_HEAD.format(file=path, name=yaml_document.dump({"name": path.stem}).partition(": ")[2].strip())]
    section = ""
    for setting in describe_settings():
        name = f"{setting.section}.{setting.key}"
        if setting.section != section:
            section = setting.section
            lines.append(f"  {section}:  # {SECTIONS[section].__doc__}\n")
        if name in _AXES_OF_ITS_OWN:
            continue
        lines.append(f"    # {setting.meaning} ({setting.range})\n")
        lines.append(
            f"    {setting.key}: {_GIVEN[name]}\n" if name in _GIVEN else f"    # {setting.key}: {setting.default}\n"
        )
    text = "".join(lines) + _AXES
    if yaml_document.parse(text, str(path)).content.get("name") != path.stem:
        raise ConfigError(f"{path}: a space cannot have this name; use letters, digits, - and _.")
    return text
