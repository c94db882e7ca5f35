"""The files of docker/ as the tests read them: compose.yaml with its variables filled in, and the image's environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


def compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """compose.yaml with `${NAME:-default}` filled in, as Docker Compose does it."""

    def value(found: re.Match[str]) -> str:
        return variables.get(found["name"], found["default"])

    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    filled = re.sub(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}", value, text)
    assert "${" not in filled
    return yaml.safe_load(filled)


def image_environment() -> dict[str, str]:
    """What the Dockerfile's last stage sets with ENV."""
    last_stage = (DOCKER / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    (settings,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", last_stage, flags=re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", settings))
