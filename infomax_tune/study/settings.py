"""Every setting with its type, default, range and meaning, read from the config itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from infomax_tune.study.config import SECTIONS, PartName, TrialConfig


@dataclass(frozen=True)
class SettingInfo:
    """Describes one setting.

    section, key: its dotted name is section.key. type: text, whole number, number, or true or false. default: as typed.
    range: the allowed values. meaning: what it does.
    """

    section: str
    key: str
    type: str
    default: str
    range: str
    meaning: str


def describe_settings() -> list[SettingInfo]:
    """Every setting, in the order of a config file."""
    return [
        SettingInfo(
            section,
            key,
            _type(field.annotation),
            as_typed(TrialConfig().flat()[f"{section}.{key}"]),
            _range(field),
            " ".join((field.description or "").split()),
        )
        for section, model in SECTIONS.items()
        for key, field in model.model_fields.items()
    ]


def as_markdown(settings: Sequence[SettingInfo]) -> str:
    """The settings as a Markdown table."""
    lines = ["| setting | meaning | type | default | range |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{each.section}.{each.key}` | {each.meaning} | {each.type} | `{each.default}` | {each.range} |"
        for each in settings
    ]
    return "\n".join(lines) + "\n"


def as_typed(value: Any) -> str:
    """A value as typed in a config or after `key=`. Of a number that was computed, such as 10**-1.5, the first six digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        texts = (f"{value:.{digits}g}" for digits in (6, 15))
        return next((text for text in texts if float(text) == value), f"{value:g}")
    return str(value)


def labels(levels: Iterable[Any]) -> dict[Any, str]:
    """Each level of a setting as typed; those that would look alike have all their digits."""
    texts = {level: as_typed(level) for level in levels}
    alike = Counter(texts.values())
    return {level: text if alike[text] == 1 else str(level) for level, text in texts.items()}


def _type(hint: Any) -> str:
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}[hint]


def _range(field: FieldInfo) -> str:
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["range"])
    for mark in field.metadata:
        if isinstance(mark, PartName):
            return ", ".join([*mark.choices(), "or your own"])
    if field.annotation is bool:
        return "true, false"
    limits = dict(_limits(field))
    if "at least" in limits and "at most" in limits:
        return f"{limits['at least']} to {limits['at most']}"
    return ", ".join(f"{words} {limit}" for words, limit in limits.items())


def _limits(field: FieldInfo) -> Iterator[tuple[str, str]]:
    """Each limit of a number, such as ("at least", "0")."""
    for constraint in field.metadata:
        for attribute, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most")):
            if hasattr(constraint, attribute):
                yield words, as_typed(getattr(constraint, attribute))
