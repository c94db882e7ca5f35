"""catalogue.py: how a part is found by its name, and that nothing is loaded before its user has named it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infomax_tune.errors import ConfigError
from infomax_tune.parts import catalogue
from infomax_tune.parts.catalogue import find, pin, short
from infomax_tune.study import yaml_document
from infomax_tune.study.config import TrialConfig, choices
from infomax_tune.study.pack import Pack
from infomax_tune.study.read_config import build_config, from_nested, read_config, read_override
from infomax_tune.study.read_space import load_space
from infomax_tune.study.space import SearchSpace

SWISH = "def swish(z):\n    return z * z.sigmoid()\n"
TWICE = "def swish(z):\n    return 2 * z\n"
RAISES = "raise RuntimeError('it was loaded')\n"
DIGEST = "0123456789ab"
"""Of no source here."""
CACHED = (catalogue.installed, catalogue._load, catalogue._module)


@pytest.fixture(autouse=True)
def _forgets() -> Iterator[None]:
    """What one test names, installs or loads, no other has."""
    before, modules = dict(catalogue._sources), set(sys.modules)
    yield
    catalogue._sources.clear()
    catalogue._sources.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith(("their", "infomax_tune_part_")):
            del sys.modules[name]
    for cached in CACHED:
        cached.cache_clear()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def activation(name: str) -> str:
    """The name that a user's config has for it."""
    found: str = build_config(dict([read_override(f"activation={name}")])).model.activation
    return found


def at_one(pinned: str) -> float:
    """The activation's value at 1."""
    return round(float(find("activations", pinned).forward(torch.ones(()))), 4)


# ---- files


def test_a_file_is_looked_for_beside_the_space_and_then_in_the_working_directory(tmp_path: Path) -> None:
    """The one beside the space wins."""
    space = write(tmp_path / "spaces" / "mine.yaml", "axes: {activation: [relu, 'my.py:swish', 'here.py:swish']}")
    write(tmp_path / "spaces" / "my.py", TWICE)
    write(tmp_path / "my.py", SWISH)
    write(tmp_path / "here.py", SWISH)
    relu, beside, here = load_space(str(space))[0].axes["model.activation"]
    assert relu == "relu"
    assert re.fullmatch(r"my\.py:swish@[0-9a-f]{12}", beside)
    assert (at_one(beside), at_one(here)) == (2.0, 0.7311)


def test_the_files_of_an_axis_given_in_an_override_are_in_the_working_directory(tmp_path: Path) -> None:
    write(tmp_path / "folder" / "my.py", SWISH)
    _, setting = read_override("activation=relu,folder/my.py:swish")
    assert setting.value == ["relu", pin("activations", f"{tmp_path}/folder/my.py:swish")]


def test_a_dataset_may_be_a_file_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "dots.npz", train=np.eye(3), test=np.eye(3))
    pinned = pin("datasets", "dots.npz")
    assert re.fullmatch(r"dots\.npz@[0-9a-f]{12}", pinned)
    assert find("datasets", pinned).shape.inputs == 3


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (None, "my.py:swish", r"my\.py cannot be found"),
        (None, "my.py/a.py:swish", r"my\.py/a\.py cannot be found"),
        (SWISH, "my.py:swosh", r"my\.py:swosh: there is no 'swosh' in it\. It has swish\."),
        ("a = 1\n" + RAISES, "my.py:swish", r"my\.py, line 2: RuntimeError: it was loaded"),
        ("def f():\n    return 1 / 0\n\nf()\n", "my.py:swish", r"my\.py, line 2: ZeroDivisionError"),
        ("a = 1\nb = (\n", "my.py:swish", r"my\.py, line 2: SyntaxError: '\(' was never closed"),
        ("raise SystemExit(0)\n", "my.py:swish", r"my\.py, line 1: SystemExit"),
        ("import not_there_at_all\n", "my.py:swish", r"my\.py, line 1: ModuleNotFoundError.*not_there_at_all"),
        ("swish = 3\n", "my.py:swish", r"my\.py:swish: is not an activation, but 3; write a function"),
        (SWISH, "my.py:swish x", r"my\.py:swish x: rename it: letters, digits"),
        (SWISH, "my.py:", r"my\.py:: rename it"),
        (
            None,
            "not_there_at_all:swish",
            r"not_there_at_all: there is no such module; for a file, write not_there_at_all\.py",
        ),
        (None, "not_there.at_all:swish", r"not_there\.at_all: cannot be imported \(ModuleNotFoundError"),
        (None, "sys:exit", r"sys: there is no such module"),
        (None, "a/b:swish", r"'a/b:swish' is unknown"),
    ],
)
def test_what_cannot_be_loaded_is_told_with_what_is_wrong(
    tmp_path: Path, text: str | None, name: str, message: str
) -> None:
    """In the words of a mistake in a setting: the setting before, its place behind."""
    if text is not None:
        write(tmp_path / "my.py", text)
    with pytest.raises(ConfigError, match=f"^activation: {message}.*" + r"\(mine\.yaml, line 1\)$"):
        read_config(yaml_document.parse(f"activation: '{name}'", "mine.yaml"), [])


def test_a_file_of_a_name_with_odd_characters_is_to_be_renamed_but_its_folder_may_have_any(tmp_path: Path) -> None:
    write(tmp_path / "my files (1)" / "my-swish.2.py", SWISH)
    write(tmp_path / "my swish.py", SWISH)
    assert activation("my files (1)/my-swish.2.py:swish").startswith("my-swish.2.py:swish@")
    with pytest.raises(ConfigError, match=r"^activation: my swish\.py:swish: rename it"):
        activation("my swish.py:swish")


def test_an_unknown_name_is_told_the_nearest(tmp_path: Path) -> None:
    """Nothing in it says that it is a file or a module."""
    with pytest.raises(ConfigError, match=r"^activation: 'leaky_rulu' is unknown; did you mean 'leaky_relu'\? One of "):
        activation("leaky_rulu")
    with pytest.raises(ConfigError, match="this version of infomax-tune has no such part"):
        find("activations", "leaky_rulu")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("terms", "is not a term of a loss"),
        ("optimizers", "is not an optimizer"),
        ("datasets", "is not a dataset"),
        ("objectives", "is not an objective"),
        ("metrics", "is not a metric"),
    ],
)
def test_a_part_of_the_wrong_kind_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    write(tmp_path / "my.py", "from infomax_tune.parts.activations import Activation\nx = Activation(abs)\n")
    with pytest.raises(ConfigError, match=rf"^my\.py:x: {message}, but Activation"):
        pin(kind, "my.py:x")


def test_an_edited_file_is_another_part_and_one_that_was_moved_is_the_same(tmp_path: Path) -> None:
    """In the name, in the trial's id, and in what it computes, each in one process."""
    trial = TrialConfig.model_validate
    name = f"{tmp_path}/one/my.py:swish"
    write(tmp_path / "one" / "my.py", SWISH)
    first = activation(name)
    write(tmp_path / "other" / "my.py", SWISH)
    assert activation("other/my.py:swish") == first
    write(tmp_path / "one" / "my.py", TWICE)
    edited = activation(name)
    ids = [trial({"model": {"activation": each}}).trial_id for each in (first, edited)]
    assert ids[0] != ids[1]
    assert all(each.startswith("swish-k16-s1-") for each in ids)
    assert (at_one(first), at_one(edited)) == (0.7311, 2.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", "relu"),
        (f"my_swish.py:swish@{DIGEST}", "swish"),
        (f"theirs.swish:fast@{DIGEST}", "fast"),
        (f"swish@{DIGEST}", "swish"),
        (f"my-moons.2.npz@{DIGEST}", "my_moons_2"),
        ("my_swish.py:swish", "swish"),
    ],
)
def test_the_short_name_is_a_plain_word(name: str, expected: str) -> None:
    assert short(name) == expected


# ---- what is not loaded


@pytest.fixture
def loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A part, pinned, whose file is here, and was named, and must not run."""

    def must_not(*_: object) -> None:
        raise AssertionError("a part was loaded")

    source = catalogue.Source("my.py", RAISES.encode())
    write(tmp_path / "my.py", RAISES)
    catalogue.add(source)
    monkeypatch.setattr(catalogue, "find", must_not)
    monkeypatch.setattr(catalogue, "_module", must_not)
    return f"my.py:swish@{source.digest}"


def test_a_config_that_names_a_part_with_its_digest_is_read_without_loading_it(loads_nothing: str) -> None:
    """A trial's config, its id, a user's file, a sweep file and what is sent to a worker."""
    config = TrialConfig.model_validate({"model": {"activation": loads_nothing}})
    assert re.fullmatch(r"swish-k16-s1-[0-9a-f]{8}", config.trial_id)
    assert config.parts() == [
        ("datasets", "mnist"), ("activations", loads_nothing), ("objectives", "infomax"), ("optimizers", "adam")
    ]  # fmt: skip
    assert from_nested(config.nested(), "here") == config
    assert build_config(dict([read_override(f"activation={loads_nothing}")])) == config
    space = SearchSpace("", "", config, {"model.activation": ["relu", loads_nothing]})
    assert SearchSpace.from_dict(space.as_dict(), "here") == space
    assert len(space.plan()) == 2
    assert Pack.from_json(Pack.of([config, config.with_seed(2)]).to_json()).config == config
    assert config.differences(config.nested()) == []


@pytest.mark.parametrize("name", ["nowhere.py:swish", "their_module:swish", "of_a_later_version"])
def test_a_saved_config_may_name_what_is_not_known_here_and_a_users_may_not(name: str, loads_nothing: str) -> None:
    """The folder can be looked at. Its trials have ids, and nothing is loaded to see it."""
    nested = TrialConfig().nested()
    nested["model"]["activation"] = name
    saved = from_nested(nested, "here")
    assert saved.model.activation == name
    assert saved.trial_id.startswith(f"{short(name)}-k16-s1-")
    with pytest.raises(ConfigError, match=r"^activation: "):
        activation(name)


def test_a_users_file_runs_when_it_is_named_and_a_saved_one_does_not(tmp_path: Path) -> None:
    """The same text, first in a record and then in an override."""
    write(tmp_path / "my.py", RAISES)
    from_nested({"model": {"activation": "my.py:swish"}}, "here")
    with pytest.raises(ConfigError, match=r"my\.py, line 1: RuntimeError: it was loaded"):
        activation("my.py:swish")


def test_a_part_with_its_digest_is_loaded_only_from_a_source_that_was_given(tmp_path: Path) -> None:
    """The file of that name is of no use: it may be another."""
    write(tmp_path / "my.py", SWISH)
    source = catalogue.Source("my.py", SWISH.encode())
    name = f"my.py:swish@{source.digest}"
    assert not catalogue.is_here("activations", name)
    assert catalogue.sources([name, "relu"]) == []
    with pytest.raises(ConfigError, match=r"^my\.py:swish@.*: its source is not here"):
        find("activations", name)
    catalogue.add(source)
    assert catalogue.is_here("activations", name)
    assert catalogue.sources([name, "relu", name]) == [source]
    assert source.kept_as == f"my-{source.digest}.py"
    assert at_one(name) == 0.7311


# ---- installed packages

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """install("[infomax_tune.activations]\\nmish = their.mish:mish", mish=TEXT): the package `their`, with its entry points."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)

    def make(offers: str = "", **modules: str) -> Path:
        write(site / "their" / "__init__.py", "")
        for name, text in modules.items():
            write(site / "their" / f"{name}.py", text)
        write(site / "their-1.0.dist-info" / "METADATA", "Metadata-Version: 2.1\nName: their\nVersion: 1.0\n")
        write(site / "their-1.0.dist-info" / "entry_points.txt", offers)
        catalogue.installed.cache_clear()
        return site

    return make


MISH = "[infomax_tune.activations]\nmish = their.mish:mish\n"
IS_MISH = "def mish(z):\n    return 3 * z\n"


def test_a_module_that_is_installed_offers_parts(install: Install) -> None:
    """By its dotted name, without an entry point."""
    install(mish=IS_MISH)
    name = activation("their.mish:mish")
    assert re.fullmatch(r"their\.mish:mish@[0-9a-f]{12}", name)
    assert at_one(name) == 3.0


def test_a_name_that_a_package_offers_is_a_value_like_ours(install: Install) -> None:
    """In the choices, in an axis and in a file; with the digest of its module."""
    install(MISH, mish=IS_MISH)
    assert catalogue.names("activations") == (*catalogue.ours("activations"), "mish")
    assert choices("model.activation")[-1] == "mish"
    name = activation("mish")
    assert re.fullmatch(r"mish@[0-9a-f]{12}", name)
    assert at_one(name) == 3.0
    assert read_override("activation=mish,relu")[1].value == [name, "relu"]


def test_what_a_package_offers_is_loaded_only_when_it_is_used(install: Install) -> None:
    install(MISH, mish=IS_MISH)
    assert "mish" in catalogue.names("activations")
    choices("model.activation")
    activation("relu")
    name = f"mish@{catalogue.Source('mish.py', IS_MISH.encode()).digest}"
    assert from_nested({"model": {"activation": name}}, "here").trial_id.startswith("mish-")
    assert catalogue.is_here("activations", name)
    assert not any(each.startswith("their") for each in sys.modules)
    assert at_one(name) == 3.0


def test_no_package_hides_a_part_of_ours(install: Install) -> None:
    install("[infomax_tune.activations]\nrelu = their.mish:mish\n", mish=IS_MISH)
    assert catalogue.names("activations") == tuple(catalogue.ours("activations"))
    assert activation("relu") == "relu"
    assert find("activations", "relu") is catalogue.ours("activations")["relu"]


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"mish": "a = 1\n" + RAISES}, r"their\.mish, line 2: RuntimeError: it was loaded"),
        ({"mish": "x = (\n"}, r"their\.mish, line 1: SyntaxError"),
        ({"mish": SWISH}, r"mish: there is no 'mish' in it\. It has swish\."),
        ({"mish": "mish = 3\n"}, r"mish: is not an activation, but 3"),
        ({}, r"their\.mish: there is no such module"),
        ({"__init__": RAISES, "mish": IS_MISH}, r"their\.mish: cannot be imported \(RuntimeError: it was loaded\)"),
    ],
)
def test_a_broken_package_is_told_when_it_is_used_and_harms_nothing_before(
    install: Install, modules: dict[str, str], message: str
) -> None:
    install(MISH, **modules)
    assert "mish" in catalogue.names("activations")
    assert "mish" in choices("model.activation")
    assert "mish" in choices("model.head")
    assert activation("relu") == "relu"
    assert find("activations", "tanh")
    assert from_nested({"model": {"activation": f"mish@{DIGEST}"}}, "here").model.activation == f"mish@{DIGEST}"
    with pytest.raises(ConfigError, match=f"^activation: {message}"):
        activation("mish")


def test_another_version_of_a_package_is_not_taken_for_the_one_of_the_trials(install: Install) -> None:
    """Nor is one that is gone: what trained a trial is what goes on."""
    site = install(MISH, mish=IS_MISH)
    name = pin("activations", "mish")
    catalogue._load.cache_clear()
    write(site / "their" / "mish.py", SWISH)
    with pytest.raises(ConfigError, match=r"^mish: the installed their\.mish is not the one of these trials"):
        find("activations", name)
    install("")
    with pytest.raises(
        ConfigError, match=r"^mish: no package that is installed here offers such a part \(activations\)"
    ):
        find("activations", name)


def test_a_kind_that_a_package_offers_is_of_that_kind_only(install: Install) -> None:
    install("[infomax_tune.terms]\nmish = their.mish:mish\n", mish=IS_MISH)
    assert catalogue.names("terms")[-1] == "mish"
    assert "mish" not in catalogue.names("activations")
    term = build_config(dict([read_override("term=mish")])).loss.term
    assert find("terms", term).value(torch.ones(2, 1, 1)).tolist() == [3, 3]


def test_an_unknown_name_of_a_setting_is_read_as_any_value(tmp_path: Path) -> None:
    """What is no text is no part."""
    given: Any = {"model": {"activation": 3}}
    with pytest.raises(ConfigError, match=r"^activation: 3 is unknown\. One of "):
        from_nested(given, "here")
