"""compiled.py: the loops compute what torch's step does, which is the definition, and no CPU changes a bit of it."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from infomax_tune.parts import catalogue
from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import exp
from infomax_tune.parts.optimizers import Rule
from infomax_tune.process import code_cache
from infomax_tune.process.code_cache import CACHE_DIR_VARIABLE, cache_folder
from infomax_tune.science import training
from infomax_tune.science.activations import layer_activation
from infomax_tune.science.data import Dataset
from infomax_tune.science.digest import digest
from infomax_tune.science.lanes import LANES
from infomax_tune.science.loops import loops_of_activation, loops_of_rule
from infomax_tune.science.losses import infomax
from infomax_tune.science.model import initial_weight
from infomax_tune.science.nonzeros import nonzeros
from infomax_tune.science.training import train
from infomax_tune.study.config import TrialConfig, choices
from tests.command import COMMAND
from tests.conftest import MakeConfig

ACTIVATIONS = choices("model.activation")


def images(rows: int, inputs: int, *, share: float = 0.3, seed: int = 0) -> Dataset:
    """Bytes / 255, of which this share is not zero."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(256, size=(rows, inputs)) * (generator.random((rows, inputs)) < share)
    x = (pixels / 255).astype(np.float32)
    labels = np.zeros(rows, dtype=np.int64)
    return Dataset("images", x, x[:16], labels, labels[:16])


def runs_compiled(config: TrialConfig, dataset: Dataset) -> bool:
    return not training.why_not_compiled(config, dataset)


# ---- the step


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("head", ["none", "softmax"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_loops_compute_what_torch_does(make_config: MakeConfig, activation: str, head: str, optimizer: str) -> None:
    """To 1e-5, over a whole batch and a short one; on widths that fill one, two, three and four vectors."""
    dataset = images(300, 200)
    for units in (5, 16, 32, 48, 64, 100):
        settings = {"lr": 1e-3, "epochs": 1, "batch_size": 200, "variance_eps": 1e-4}
        config = make_config(activation=activation, head=head, hidden_dim=units, optimizer=optimizer, **settings)
        assert runs_compiled(config, dataset)
        (*_, ours), (*_, torchs) = train([config], dataset), train([config], dataset, compiled=False)
        # Adam divides a gradient by its size: where it is only rounding, as that of the identity's bias, so is the step
        for term, value in torchs.losses[0].items():
            after_adam = term == "wr" and optimizer == "adam"
            assert ours.losses[0][term] == pytest.approx(value, rel=1e-4 if after_adam else 1e-5), (units, term)
        exact = ("weight.", "bias.") if optimizer == "adam" else ("weight", "bias")
        for name, tensor in torchs.state(0).tensors.items():
            if name.startswith(exact):
                difference = (ours.state(0).tensors[name] - tensor).abs().max()
                assert difference <= 1e-5 * max(1.0, float(tensor.abs().max())), (units, name)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_of_sgd_goes_down_the_gradient_of_autograd(make_config: MakeConfig, activation: str) -> None:
    """In float64, through the definition of the loss; a large learning rate leaves the step's rounding small."""
    dataset = images(64, 30)
    config = make_config(
        activation=activation, optimizer="sgd", lr=1.0, lambda_tc=2.0, batch_size=64, epochs=1, variance_eps=1e-3
    )
    assert runs_compiled(config, dataset)
    weight = initial_weight(1, 16, 30).double().requires_grad_()
    bias = torch.zeros(16, dtype=torch.float64, requires_grad=True)
    z = torch.from_numpy(dataset.train).double() @ weight.T + bias
    a = layer_activation(catalogue.find("activations", activation)).forward(z)
    infomax(a, weight, lambda_tc=2.0, eps=1e-3)["loss"].backward()
    *_, report = train([config], dataset)
    moved = weight.detach() - report.state(0).tensors["weight"].double()
    assert weight.grad is not None
    torch.testing.assert_close(moved, weight.grad, rtol=0, atol=1e-5 * float(weight.grad.abs().max()))


@pytest.mark.parametrize(
    "settings",
    [
        {"lambda_wr": 2.0},
        {"lambda_lse": 3.0},
        {"lambda_l1": 4.0},
        {"lambda_var": 0.25},
        {"lambda_var": 0.0, "lambda_tc": 0.5},
        {"lambda_wr": 1.0, "lambda_lse": 1.0, "lambda_l1": 1.0, "head": "softmax"},
        {"optimizer": "sgd", "momentum": 0.9},
        {"batch_size": -1},
        {"batch_size": 1100, "lambda_wr": 0.1},
    ],
    ids=str,
)
def test_the_other_terms_and_batches_are_torchs(make_config: MakeConfig, settings: dict[str, object]) -> None:
    """In a few epochs of the digits' size, on widths that fill their vectors and on one that does not."""
    dataset = images(1437, 64)
    for units, activation in ((16, "relu"), (5, "softplus"), (48, "tanh")):
        given = {"lr": 1e-2, "optimizer": "sgd", "epochs": 2, "batch_size": 128, "variance_eps": 1e-3} | settings
        config = make_config(hidden_dim=units, activation=activation, **given)
        assert runs_compiled(config, dataset)
        (*_, ours), (*_, torchs) = train([config], dataset), train([config], dataset, compiled=False)
        assert list(ours.losses[0]) == list(torchs.losses[0])
        for term, value in torchs.losses[0].items():
            assert ours.losses[0][term] == pytest.approx(value, rel=1e-4), (units, term)
        for name, tensor in torchs.state(0).tensors.items():
            assert (ours.state(0).tensors[name] - tensor).abs().max() <= 1e-4 * max(1.0, float(tensor.abs().max())), (
                name
            )


def test_units_that_were_added_stay_zero_whatever_the_activation_gives_at_zero(make_config: MakeConfig) -> None:
    """softplus(0) is not 0: a trial of 5 units, which fill a vector with 11 more, is torch's."""
    dataset = images(300, 40)
    config = make_config(activation="softplus", hidden_dim=5, batch_size=100, epochs=3, optimizer="sgd", lr=0.1)
    (*_, ours), (*_, torchs) = train([config], dataset), train([config], dataset, compiled=False)
    torch.testing.assert_close(ours.state(0).tensors["weight"], torchs.state(0).tensors["weight"], rtol=1e-4, atol=1e-5)


def test_a_formula_of_other_functions_is_not_for_the_loops() -> None:
    """It is found out, and raises nothing."""
    assert loops_of_activation(Activation(lambda z: exp(-z * z))) is None  # no derivative
    assert loops_of_activation(Activation(torch.sin, lambda z, a: torch.cos(z))) is None
    assert loops_of_activation(Activation(lambda z: exp(-z), lambda z, a: -a)) is not None
    assert loops_of_rule(Rule(lambda p, g, lr: torch.add(p, g))) is None
    assert loops_of_rule(Rule(lambda p, g, a, b, c, lr: p, moments=("a", "b", "c"))) is None


def test_two_formulas_of_one_file_are_never_taken_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code is kept by the source and by the place of the formula in it; what a closure holds is compiled anew."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path))

    def scaled(by: float) -> Activation:
        return Activation(lambda z: by * z, lambda z, a: 0.0 * z + by)

    for activation, factor in ((scaled(2.0), 2.0), (scaled(3.0), 3.0), (DOUBLE, 2.0), (TRIPLE, 3.0)):
        loops = loops_of_activation(activation)
        assert loops is not None
        z, a, real = np.full(16, 5, np.float32), np.empty(16, np.float32), np.ones(16, np.float32)
        loops.forward(z, a, 16, real, 16)
        assert set(a.tolist()) == {5 * factor}


DOUBLE = Activation(lambda z: 2.0 * z, lambda z, a: 0.0 * z + 2.0)
TRIPLE = Activation(lambda z: 3.0 * z, lambda z, a: 0.0 * z + 3.0)


def test_very_large_and_very_negative_activations_are_torchs(make_config: MakeConfig) -> None:
    """Where exp would overflow, and where it underflows."""
    dataset = images(100, 20, share=1.0)
    for activation in ("softplus", "tanh", "softmax"):
        config = make_config(activation=activation, optimizer="sgd", lr=1e-6, batch_size=100, epochs=1)
        state = next(train([config], dataset)).state(0)
        state.tensors["weight"] *= 100
        (ours,), (torchs,) = (train([config], dataset, [state], compiled=compiled) for compiled in (True, False))
        assert ours.losses[0] == pytest.approx(torchs.losses[0], rel=1e-4)


# ---- which trials run in loops


@pytest.mark.parametrize(
    ("settings", "share", "compiled"),
    [
        ({}, 0.3, True),
        ({"objective": "variance_only"}, 0.3, True),
        ({"objective": "reconstruction"}, 0.3, False),
        ({"objective": "sae"}, 0.3, False),
        ({"lambda_wr": 1.0}, 0.3, True),
        ({"lambda_lse": 1.0, "lambda_l1": 1.0, "lambda_var": 0.5}, 0.3, True),
        ({"batch_size": -1}, 0.3, True),
        ({"batch_size": 2000}, 0.3, True),
        ({"hidden_dim": 1024}, 0.3, False),
        ({}, 0.9, False),
    ],
)
def test_what_loops_over_nonzeros_are_not_made_for_is_torchs(
    make_config: MakeConfig, settings: dict[str, object], share: float, compiled: bool
) -> None:
    """Objectives that rebuild the inputs, very wide layers, and dense data."""
    assert runs_compiled(make_config(**settings), images(200, 784, share=share)) == compiled


def test_without_numba_torch_computes_all(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba.core", None)
    assert not runs_compiled(make_config(), images(200, 784))


def test_with_numba_turned_off_torch_computes_all_and_the_environment_says_so(tmp_path: Path) -> None:
    words = ["run", "dataset=digits", "epochs=1", "--out", str(tmp_path)]
    subprocess.run([*COMMAND, *words], env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, check=True)
    assert json.loads((tmp_path / "environment.json").read_text())["numba"] == "turned off"


@pytest.mark.parametrize("name", ["digits", "synthetic_2d"])
def test_nonzeros_hold_the_very_numbers(request: pytest.FixtureRequest, name: str) -> None:
    """digits has 16 different ones, synthetic_2d more than a byte can count."""
    rows = request.getfixturevalue(name).train
    found = nonzeros(rows)
    assert found is not None
    rebuilt = np.zeros_like(rows)
    row = np.repeat(np.arange(len(rows)), np.diff(found.starts))
    rebuilt[row, found.index] = found.palette[found.code]
    assert rebuilt.tobytes() == rows.tobytes()
    assert found.code.dtype == {"digits": np.uint8, "synthetic_2d": np.uint16}[name]


# ---- the same bytes elsewhere


DIGEST = """
import torch
from infomax_tune.science.digest import digest
from infomax_tune.science.lanes import LANES
torch.set_num_threads(1)
print(digest())
"""


def digest_under(**variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return done.stdout.strip()


def test_a_cpu_without_wide_registers_gives_the_same_bytes() -> None:
    """LLVM compiles for an x86-64 of 2013 (AVX2), torch and MKL keep to it too; where this CPU is another, for itself."""
    older = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    if Path("/proc/cpuinfo").exists() and " avx2 " in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        older |= {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
    assert digest_under(**older) == digest()


# ---- where compiled code is kept


def test_compiled_code_is_kept_where_only_the_user_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is run when it is read back: a folder that others can write in is passed by."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "open"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    folder = cache_folder(__file__)
    assert folder is not None
    assert folder.is_relative_to(tmp_path / "own" / "infomax-tune" / "compiled")
    (tmp_path / "open").chmod(0o700)
    folder = cache_folder(__file__)
    assert folder is not None
    assert folder.is_relative_to(tmp_path / "open" / "compiled")


def test_code_of_another_version_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's name tells the sources apart, not the times of their files."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "cache"))
    source = tmp_path / "source.py"
    folders = []
    for text in ("a = 1", "a = 2", "a = 1"):
        source.write_text(text)
        folders.append(cache_folder(str(source)))
    assert folders[0] == folders[2] != folders[1]


def test_without_any_place_to_write_code_is_compiled_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for name in (CACHE_DIR_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(blocked / "below"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(blocked))
    assert cache_folder(__file__) is None


@pytest.mark.parametrize("closed", ["compiled", "cache", "above"])
def test_a_group_and_whoever_can_rename_the_folder_can_put_code_there_too(
    closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder on the way is looked at; one like /tmp, where nobody can rename what is another's, is no way in."""
    way = {
        "above": tmp_path / "above",
        "cache": tmp_path / "above/cache",
        "compiled": tmp_path / "above/cache/compiled",
    }
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(way["cache"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert cache_folder(__file__).is_relative_to(way["cache"])  # pyright: ignore[reportOptionalMemberAccess]
    way[closed].chmod(0o770)
    assert cache_folder(__file__).is_relative_to(tmp_path / "own")  # pyright: ignore[reportOptionalMemberAccess]
    way[closed].chmod(0o1777)
    assert cache_folder(__file__).is_relative_to(way["cache"])  # pyright: ignore[reportOptionalMemberAccess]


def kept_loops() -> int:
    """Compiles the loops of tanh as a process does that begins, and uses them; returns how many of the two were kept."""
    loops = loops_of_activation.__wrapped__(catalogue.ours("activations")["tanh"])
    z, a, real = (np.ones(LANES, np.float32) for _ in range(3))
    loops.forward(z, a, LANES, real, LANES)
    assert a == pytest.approx(np.tanh(z), rel=1e-6)
    return sum(sum(each.stats.cache_hits.values()) for each in (loops.forward, loops.backward))


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is to be told of the cache; in this process nothing was yet."""
    monkeypatch.setattr(code_cache, "_first", [])
    untold: list[str] = []
    monkeypatch.setattr(code_cache, "_untold", untold)
    return untold


def test_a_broken_cache_is_compiled_again_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problems: list[str]
) -> None:
    """What a power cut can leave: an index without content, code of which a part is zeros."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path))
    assert (kept_loops(), kept_loops()) == (0, 2)
    for suffix, left in (("nbi", 0), ("nbc", 2000)):
        for path in list(tmp_path.rglob(f"*.{suffix}")):
            data = path.read_bytes()
            path.write_bytes(data[:left] + bytes(len(data) - left if left else 0))
        assert (kept_loops(), kept_loops()) == (0, 2)
    assert not problems


def test_a_cache_that_cannot_be_written_stops_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problems: list[str]
) -> None:
    """Like a full disk: this process may write no file of any size."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path))
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        assert kept_loops() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(problems) == 1
    (told,) = code_cache.untold_problems()
    assert re.search(r"cannot be written \(.*\); the training loops are compiled each time, which takes seconds", told)
    assert (kept_loops(), kept_loops()) == (0, 2)
    assert not list(code_cache.untold_problems())
