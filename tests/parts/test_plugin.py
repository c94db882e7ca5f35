"""Parts that an installed package offers: built and installed by pip, used by commands and programs, and uninstalled again."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special

from infomax_tune.parts import catalogue
from infomax_tune.science.losses import infomax
from infomax_tune.science.model import initial_weight
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import read_results
from infomax_tune.store.trial_folder import TrialFolder
from tests.command import COMMAND, call
from tests.parts.named import ROOT

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "my-package"
version = "1.0"

[tool.setuptools]
packages = ["my_package"]

[project.entry-points."infomax_tune.activations"]
swish = "my_package.module:swish"
relu = "my_package.module:swish"
broken = "my_package.broken:swish"
no_object = "my_package.module"

[project.entry-points."infomax_tune.datasets"]
points = "my_package.module:points"

[project.entry-points."infomax_tune.terms"]
spread = "my_package.module:spread"

[project.entry-points."infomax_tune.optimizers"]
sign_descent = "my_package.module:sign_descent"

[project.entry-points."infomax_tune.metrics"]
skewness = "my_package.module:skewness"
"""
"""One of its names is ours, one is of a module that cannot be imported, and one is of a module where an object is wanted."""

LEAVES_A_MARK = """
import os
import pathlib

pathlib.Path(os.environ["MARKS"], __name__).touch()
"""
"""A module that begins with it tells that it was imported."""

MODULE = """
import numpy as np
import torch


def swish(z):
    return z * torch.sigmoid(z)


def points():
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    return x[:40], x[40:]


def spread(a):
    return -a.std(dim=0).mean()


def sign_descent(parameter, gradient, lr):
    return parameter - lr * torch.sign(gradient)


def skewness(weight, activations):
    centered = activations - activations.mean()
    return (centered**3).mean() / activations.std() ** 3
"""

OFFERED = {
    "activation": "swish",
    "dataset": "points",
    "term": "spread",
    "optimizer": "sign_descent",
    "metrics": "skewness",
}
UNITS, LR = 3, 0.01
ONE_STEP = {"hidden_dim": UNITS, "batch_size": -1, "epochs": 1, "lr": LR, "lambda_term": 0.5}
"""One step from the first weights, along the gradient of all rows: what it gives can be written down."""

PROGRAM = """
import json
import os
import sys
from pathlib import Path

import infomax_tune
from tests.folders import make_sweep

for out, settings in json.loads(sys.argv[1]).items():
    infomax_tune.run(settings, out=out, say=lambda line: None)
    print(out, *sorted(os.listdir(os.environ["MARKS"])))
make_sweep(Path("sweep"), "activation=[relu, swish]", "dataset=points", "hidden_dim=[3]", "epochs=1", "seed=[1, 2]")
"""
"""Trains in one process, since torch is slow to import, and tells after each trial which modules were imported so far."""


@dataclasses.dataclass(frozen=True)
class Plugin:
    """The package, installed into a folder, and what was trained with it. marks: has a file for each module imported."""

    environment: dict[str, str]
    work: Path
    marks: Path
    told: list[str]

    def command(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """A command where the package is installed, in the folder of what was trained."""
        return self.process([*COMMAND, *arguments], ok=ok)

    def process(self, words: list[str], *, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """A process where the package is installed."""
        for mark in self.marks.iterdir():
            mark.unlink()
        done = subprocess.run(
            words, cwd=self.work, env=self.environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert not ok or done.returncode == 0, done.stdout + done.stderr
        return done

    def imported(self) -> list[str]:
        """The package's modules that the last process imported."""
        return sorted(path.name for path in self.marks.iterdir())

    def trial(self, out: str) -> tuple[Record, dict[str, Any]]:
        """The record and the weights of a trial."""
        folder = TrialFolder(self.work / out)
        record = folder.read_record()
        assert record is not None
        return record, folder.read_weights()


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    source, site, work, marks = (tmp_path_factory.mktemp(name) for name in ("source", "site", "work", "marks"))
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "my_package").mkdir()
    for name, text in {"__init__": "", "module": MODULE, "broken": "import not_there_at_all\n"}.items():
        (source / "my_package" / f"{name}.py").write_text(LEAVES_A_MARK + text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", site, source], check=True, timeout=300)
    path = os.pathsep.join([str(site), str(ROOT)])
    made = Plugin(os.environ | {"PYTHONPATH": path, "MARKS": str(marks)}, work, marks, [])
    trials = {
        "ours": ONE_STEP | {"dataset": "digits", "activation": "relu"},
        "relu": ONE_STEP | {"dataset": "points", "activation": "relu"},
        "named": ONE_STEP | OFFERED,
        "dotted": ONE_STEP | {key: f"my_package.module:{name}" for key, name in OFFERED.items()},
    }
    made.told.extend(made.process([sys.executable, "-c", PROGRAM, json.dumps(trials)]).stdout.splitlines())
    return made


# ---- installed


def test_what_it_offers_is_listed_among_our_own_values(plugin: Plugin) -> None:
    """Nothing of it is imported for that, and a name of ours is listed once."""
    listed = plugin.command("settings").stdout
    assert plugin.imported() == []
    for key, name in OFFERED.items():
        (values,) = re.findall(rf"^  {key} .*\n +default .*; text: (.*)$", listed, flags=re.MULTILINE)
        assert name in values.split(", ")
        assert values.endswith(", or your own")
    (activations,) = re.findall(r"^  activation .*\n +default relu; text: (.*)$", listed, flags=re.MULTILINE)
    assert activations.split(", ").count("relu") == 1


def test_the_selfcheck_is_of_our_own_parts_only(plugin: Plugin) -> None:
    program = "from infomax_tune.science.selfcheck import WHOLE; print(*WHOLE.activations, *WHOLE.optimizers)"
    ours = [*catalogue.ours("activations"), *catalogue.ours("optimizers")]
    assert plugin.process([sys.executable, "-c", program]).stdout.split() == ours


def test_it_is_imported_by_the_first_trial_that_uses_it(plugin: Plugin) -> None:
    """The first of these uses none of it, and the one that cannot be imported is never used."""
    assert plugin.told[:3] == ["ours", "relu my_package my_package.module", "named my_package my_package.module"]


def test_a_trial_of_its_parts_computes_what_they_say(plugin: Plugin) -> None:
    """The loss with half the term, one step along the sign of its gradient by autograd, and the metric in NumPy."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)).double()
    start = initial_weight(1, UNITS, 5).double().requires_grad_()
    z = x[:40] @ start.T
    a = z * torch.sigmoid(z)
    term = -a.std(dim=0).mean()
    loss = infomax(a, start, eps=1e-6)["loss"] + 0.5 * term
    (gradient,) = torch.autograd.grad(loss, start)
    assert gradient.abs().min() > 1e-4  # no sign is a matter of rounding

    record, weights = plugin.trial("named")
    assert record.trial_id.startswith(f"swish-k{UNITS}-s1-")
    assert (record.result["loss"], record.result["spread"]) == pytest.approx((loss.item(), term.item()), rel=1e-5)
    np.testing.assert_allclose(weights["weight"], (start - LR * torch.sign(gradient)).detach(), atol=1e-6)
    z = x[40:].numpy() @ weights["weight"].T.astype(np.float64) + weights["bias"]
    outputs = z * special.expit(z)
    skewness = ((outputs - outputs.mean()) ** 3).mean() / outputs.std(ddof=1) ** 3
    assert record.result["skewness"] == pytest.approx(skewness, rel=1e-4)


def test_its_modules_parts_can_be_named_without_an_entry_point(plugin: Plugin) -> None:
    """The same bits, under a name that says where it is."""
    record, weights = plugin.trial("dotted")
    assert re.fullmatch(r"my_package\.module:swish@[0-9a-f]{12}", record.config["model"]["activation"])
    named, others = plugin.trial("named")
    assert all(weights[name].tobytes() == others[name].tobytes() for name in ("weight", "bias"))
    assert record.result == named.result
    assert record.trial_id != named.trial_id


def test_a_name_of_ours_stays_ours(plugin: Plugin) -> None:
    """Though the package offers swish by the name of relu."""
    record, weights = plugin.trial("relu")
    assert record.config["model"]["activation"] == "relu"
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)[40:]
    outputs = np.maximum(x.astype(np.float64) @ weights["weight"].T.astype(np.float64) + weights["bias"], 0)
    assert record.result["activation_mean"] == pytest.approx(outputs.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "my_package.broken, line 6: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("no_object", "no_object: the entry point of its package names no object: my_package.module."),
    ],
)
def test_an_entry_point_of_no_use_is_told_when_it_is_named(plugin: Plugin, name: str, message: str) -> None:
    """All that this file tests has it installed: it breaks nothing else."""
    done = plugin.command("run", f"activation={name}", ok=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"infomax-tune: activation: {message}")
    assert done.stderr.count("\n") == 1


def test_a_folder_is_looked_at_without_importing_it(plugin: Plugin) -> None:
    assert plugin.command("status", "sweep").stdout.splitlines()[-1].split() == ["all", "4"]
    assert plugin.imported() == []
    assert "4 trial folders checked: no damage" in plugin.command("verify", "sweep").stdout
    assert plugin.imported() == []


# ---- not installed: this process does not have it


def test_without_it_its_name_is_unknown() -> None:
    done = call("run", "activation=swish", ok=False)
    assert done.returncode == 2
    assert "activation: 'swish' is unknown" in done.stderr
    done = call("run", "activation=my_package.module:swish", ok=False)
    assert "activation: my_package.module: cannot be imported (ModuleNotFoundError" in done.stderr


def test_without_it_its_sweeps_can_still_be_looked_at(plugin: Plugin) -> None:
    folder = SweepFolder(plugin.work / "sweep")
    assert call("status", folder.root).stdout.splitlines()[-1].split() == ["all", "4"]
    assert "4 trial folders checked: no damage" in call("verify", folder.root).stdout
    assert "swish" in call("results", folder.root).stdout
    assert sorted(name.partition(".")[0] for name in read_results(folder)["activation"]) == ["relu"] * 2 + ["swish"] * 2


def test_without_it_a_sweep_is_not_resumed_and_what_is_missing_is_named(plugin: Plugin) -> None:
    done = call("resume", plugin.work / "sweep", ok=False)
    assert done.returncode == 2
    for name in ("swish", "points"):
        missing = rf"^(infomax-tune: )?{name}@[0-9a-f]{{12}}: no package that is installed here has this part"
        assert re.search(missing, done.stderr, flags=re.MULTILINE)
