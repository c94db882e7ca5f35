"""documents.py: YAML as people write it, and nothing that runs code or hides a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infomax_tune.errors import ConfigError
from infomax_tune.study import yaml_document

TEXT = """\
model:
  activation: tanh

  hidden_dim: 32
training: {epochs: 5,
  lr: 1e-3}
"""


def test_every_key_has_the_line_it_stands_on() -> None:
    """A key that is not there is placed at the nearest key above it, or at the file."""
    document = yaml_document.parse(TEXT, "mine.yaml")
    assert document.content == {
        "model": {"activation": "tanh", "hidden_dim": 32},
        "training": {"epochs": 5, "lr": 0.001},
    }
    assert document.where("model", "activation") == "mine.yaml, line 2"
    assert document.where("model", "hidden_dim") == "mine.yaml, line 4"
    assert document.where("training", "lr") == "mine.yaml, line 6"
    assert document.where("model", "head") == "mine.yaml, line 1"
    assert document.where("loss", "lambda_tc") == "mine.yaml"
    assert document.where() == "mine.yaml"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    """A config that sets nothing is a valid config."""
    assert yaml_document.parse(text, "x").content == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-2e+4", -20000.0),
        (".5", 0.5),
        ("3.", 3.0),
        (".inf", float("inf")),
        ("7", 7),
        ("true", True),
        ("1e", "1e"),
        ("e5", "e5"),
        ("1.2.3", "1.2.3"),
        ("", None),
        ("[1, 2e0]", [1, 2.0]),
        ("{range: [1, 3]}", {"range": [1, 3]}),
    ],
)
def test_values_are_read_as_yaml_1_2_reads_them(text: str, value: object) -> None:
    """`1e-3` is a number, which YAML 1.1 (and so PyYAML) takes for text."""
    read = yaml_document.parse_value(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["[1", "{a: b", "'", "!!python/name:os.system", "[" * 5000, "9" * 5000, "\0"])
def test_what_is_not_a_value_is_a_value_error(text: str) -> None:
    """Whatever PyYAML raises, there is one thing to catch."""
    with pytest.raises(ValueError, match=r"\S"):
        yaml_document.parse_value(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n- 2\n", r"x\.yaml: expected `key: value` lines, found a list"),
        ("tanh\n", r"x\.yaml: expected `key: value` lines, found a single value"),
        ("a: 1\nb: [1\n", r"x\.yaml, line 3: not valid YAML: expected ',' or '\]'"),
        ("a: 1\n\tb: 2\n", r"x\.yaml, line 2: not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", r"a: given twice \(x\.yaml, lines 1 and 3\)"),
        ("m:\n  a: 1\n  a: 1\n", r"m\.a: given twice \(x\.yaml, lines 2 and 3\)"),
        ("a: 1\n---\nb: 2\n", r"x\.yaml, line 2: not valid YAML: but found another document"),
        ("a: \0", r"x\.yaml: not valid YAML: unacceptable character"),
        ("a: 2020-99-99\n", r"x\.yaml: month must be in 1\.\.12"),
        ("a: *b\n", r"x\.yaml, line 1: not valid YAML: found undefined alias"),
        ("? [a, b]\n: 1\n", r"x\.yaml, line 1: not valid YAML: found unhashable key"),
        ("a: " + "[" * 5000 + "]" * 5000, r"x\.yaml: nested too deeply"),
        ("a: &a {b: *a}\n", r"x\.yaml: nested too deeply"),
    ],
)
def test_what_is_no_mapping_is_refused_with_its_place(text: str, message: str) -> None:
    """One message with the file and, where there is one, the line."""
    with pytest.raises(ConfigError, match=message):
        yaml_document.parse(text, "x.yaml")


@pytest.mark.parametrize("fence", ["[{}]", "{{p: {}, q: {}}}"])
def test_aliases_of_aliases_do_not_fill_the_memory(fence: str) -> None:
    """A file of a few lines that stands for ten thousand million values is refused at once."""
    lines = ["a0: &a0 [1, 1]"]
    for i in range(1, 34):
        alias = f"*a{i - 1} "
        inner = fence.format(alias, alias) if fence.startswith("{{") else fence.format(f"{alias}, {alias}")
        lines.append(f"a{i}: &a{i} {inner}")
    with pytest.raises(ConfigError, match=r"bomb\.yaml: its aliases expand to more than 1000000 values"):
        yaml_document.parse("\n".join(lines), "bomb.yaml")


def test_an_alias_is_a_value_like_any_other() -> None:
    """Anchors and merge keys are of use in hand-written files."""
    document = yaml_document.parse("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n", "x")
    assert document.content == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch hacked']",
        "!!python/object/apply:subprocess.check_output [[touch, hacked]]",
        "!!python/object/new:os.system ['touch hacked']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!mine 1",
    ],
)
def test_no_tag_runs_code(tag: str) -> None:
    """A YAML from a stranger can only be wrong."""
    with pytest.raises(ConfigError, match="could not determine a constructor for the tag"):
        yaml_document.parse(f"seed: {tag}", "x")
    with pytest.raises(ValueError, match="could not determine a constructor for the tag"):
        yaml_document.parse_value(tag)
    assert not Path("hacked").exists()


_scalars = st.one_of(
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False),
    st.none(),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\u2028\u2029")),
)


@example({"a": "1e5", "b": "1.e3", "on": "off", "c": "1_000", "d": "2020-01-01", "e": ".inf", "f": "~"})
@example({"a": 1e5, "b": 1e-300, "c": 5e-324, "d": 1e16, "e": -0.0, "f": float("inf")})
@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.one_of(_scalars, st.lists(_scalars, max_size=3)), max_size=5
    )
)
def test_what_is_dumped_is_parsed_back(content: dict[str, object]) -> None:
    """Also text that looks like a number to YAML 1.2 only, such as 1e5, and keys such as `on`."""
    parsed = yaml_document.parse(yaml_document.dump(content), "x").content
    assert parsed == content
    assert [type(value) for value in parsed.values()] == [type(value) for value in content.values()]


@pytest.mark.parametrize(
    ("text", "value"),
    [("010", 10), ("-010", -10), ("0o10", 8), ("0x1F", 31), ("1:30", "1:30"), ("1_000", "1_000"), ("0b11", "0b11")],
)
def test_numbers_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """YAML 1.1 reads 010 as eight and 1:30 as ninety."""
    assert yaml_document.parse_value(text) == value
    assert yaml_document.parse(yaml_document.dump({"a": value}), "it").content == {"a": value}


@pytest.mark.parametrize(
    "character", ["\x85", "\u2028", "\u2029", "\r", "\n", "\t", "\ufeff", "\x00", "\x7f", "\U0001f600"]
)
def test_any_text_comes_back_as_it_was(character: str) -> None:
    for text in (f"a{character}b", f"{character}b", f"a{character}", f"a {character} b: c # d"):
        assert yaml_document.parse(yaml_document.dump({"a": text}), "it").content == {"a": text}
