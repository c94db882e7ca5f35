"""api.py: what the commands do, from Python."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import infomax_tune
from infomax_tune import ConfigError, InfomaxTuneError, api, load_results, run, sweep
from infomax_tune.study.options import Options
from infomax_tune.study.read_space import load_space, space_from_python
from tests import command, warm
from tests.folders import make_sweep

SMALL = {"epochs": 2, "activation": ["relu", "tanh"], "seed": [1, 2]}


def python(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program of a user's, in a process of its own as Ray likes it; Ray's workers are forked."""
    forking = f"import sys; sys.executable = {warm.python()!r}; del sys\n"
    return subprocess.run(
        [sys.executable, "-c", forking + program], cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )


def test_all_that_is_named_is_there() -> None:
    assert all(hasattr(infomax_tune, name) for name in infomax_tune.__all__)
    assert set(infomax_tune.__all__) <= set(dir(infomax_tune))
    assert infomax_tune.sweep is api.sweep  # a function, whatever modules were imported
    with pytest.raises(AttributeError, match="has no attribute 'sweeps'"):
        _ = infomax_tune.sweeps  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_it_is_quick(tmp_path: Path) -> None:
    """It loads neither torch nor Ray nor pandas."""
    loaded = python("import sys, infomax_tune; print({'torch', 'ray', 'pandas'} & set(sys.modules))", tmp_path).stdout
    assert loaded == "set()\n"


SWEEPS = f"""
import sys, threading, time
from infomax_tune import InfomaxTuneError, run, sweep

done = sweep("quickstart", settings={SMALL!r}, out="python", report=False, max_concurrent=1)
assert done.complete and not done.interrupted and done.report is None
assert dict(done.counts) == {{"done": 4}}, done.counts
assert len(done.results) == 4
assert "torch" not in sys.modules  # it takes seconds to import and a quarter of a gigabyte
again = sweep(None, out="python", quiet=True)
assert again.report.name == "report.html" and again.report.exists()

for stream in (sys.stdout, sys.stderr):
    print("--- two threads", file=stream, flush=True)
import torch
torch.set_num_threads(2)
said = []
def work(name):
    try:
        said.append(sweep("quickstart", settings={SMALL!r}, out=name, report=False, quiet=True, max_concurrent=1).complete)
    except InfomaxTuneError as error:
        said.append(str(error))
threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
for thread in threads:
    thread.start()
while not said:
    time.sleep(0.01)
print("meanwhile")
for thread in threads:
    thread.join()
print(said)
run({{"dataset": "digits", "epochs": 1}}, say=said.append)
print(torch.get_num_threads())
"""
"""Sweeps in one process, as in a notebook: in the main thread, then in two others at once."""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder in which that program ran, and what it printed."""
    folder = tmp_path_factory.mktemp("swept")
    return folder, python(SWEEPS, folder)


def test_sweep_after_sweep_in_one_process_gives_the_bytes_of_the_command(
    swept: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """As in a notebook. What is left of one Ray must not end the process in the next."""
    folder, done = swept
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("--- two threads\n")
    assert "4 of 4 trials to train" in done.stdout.partition("---")[0]
    settings = [f"{key}={value}".replace("'", "") for key, value in SMALL.items()]
    assert command.tables(folder / "python") == command.tables(make_sweep(Path("sweep"), *settings).root)


def test_two_threads_cannot_sweep_at_once_and_the_streams_stay(
    swept: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """A process has one Ray. What the main thread prints meanwhile is printed."""
    _, done = swept
    said = ["another sweep is running in this process; wait for it, or start another process.", True]
    assert done.stdout.partition("--- two threads\n")[2] == f"meanwhile\n{said}\n2\n", done.stderr


def test_ctrl_c_stops_a_sweep_and_leaves_the_program(tmp_path: Path) -> None:
    """Once: the sweep returns, interrupted. Twice: KeyboardInterrupt. The program goes on in both cases.

    An epoch takes long enough for the second Ctrl-C to come before its end.
    """
    program = """
import os, signal, threading, time
from pathlib import Path
from infomax_tune import sweep
def press(times):
    while not list(Path(f"out{times}").glob("trials/*/checkpoint.safetensors")):
        time.sleep(0.01)
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        while not Path(f"out{times}/stop").exists():  # two at once might be taken for one
            time.sleep(0.001)
before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
long = {"epochs": 2000, "activation": ["tanh"], "hidden_dim": 1024, "seed": [1, 2], "checkpoint_every": 1}
for times in (1, 2):
    threading.Thread(target=press, args=(times,), daemon=True).start()
    try:
        done = sweep("quickstart", settings=long, out=f"out{times}", quiet=True, max_concurrent=1)
        print(times, done.interrupted)
    except KeyboardInterrupt:
        print(times, "KeyboardInterrupt")
assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
assert not [name for name in os.environ if name.startswith("TUNE_") or name == "PYTHONBREAKPOINT"]
"""
    done = python(program, tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 True\n2 KeyboardInterrupt\n"), done.stderr


def test_run_gives_the_record_and_says_how_it_goes() -> None:
    said: list[str] = []
    record = run({"model": {"activation": "tanh"}, "dataset": "digits"}, settings={"epochs": 3}, say=said.append)
    assert (record.status, record.epoch, record.config["model"]["activation"]) == ("done", 3, "tanh")
    assert any("epoch 3/3" in line for line in said)
    assert re.fullmatch("tanh-k16-s1-[0-9a-f]{8,}", record.trial_id)
    assert [path.name for path in Path("results").iterdir()] == [record.trial_id]
    assert (Path("results") / record.trial_id / "record.json").exists()
    Path("config.yaml").write_text("dataset: digits\nactivation: tanh\n")
    assert run("config.yaml", settings={"epochs": 3}, out="elsewhere", say=said.append).result == record.result


def test_analyze_writes_what_the_command_writes(tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "sweep", "epochs=2", "seed=[1, 2]", "activation=[relu, tanh]").root
    made = infomax_tune.analyze(str(out), output_dir=tmp_path / "python", formats=["svg"], latex=True)
    assert made.report == tmp_path / "python" / "report.html"
    command.call("analyze", out, "--output-dir", tmp_path / "typed", "--format", "svg", "--latex")
    files = {path.name: path.read_bytes() for path in (tmp_path / "python").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "typed").iterdir()}
    assert {"tables.tex", "effective_rank.svg"} <= set(files)


def test_load_results_gives_the_table_bit_for_bit(tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "sweep", "epochs=2", "seed=[1, 2]").root
    table = load_results(str(out))
    pd.testing.assert_frame_equal(table, pd.read_parquet(out / "results.parquet"), check_dtype=False, check_exact=True)
    (out / "results.csv").unlink()
    with pytest.raises(InfomaxTuneError, match=r"has no results\.csv; create it with: infomax-tune results"):
        load_results(out)
    with pytest.raises(InfomaxTuneError, match=r"^nope: does not exist; give the output folder of a sweep\.$"):
        load_results("nope")


def test_spaces_and_settings_in_python_s_own_words() -> None:
    """Ranges, tuples, NumPy numbers, whole spaces as mappings."""
    space, _ = space_from_python("quickstart", {"seed": range(1, 4), "hidden_dim": np.int64(32)}, {"lr": 0.5})
    assert space.axes["training.seed"] == [1, 2, 3]
    assert space.base.model.hidden_dim == 32
    mapping = {
        "name": "mine",
        "base": {"dataset": "digits"},
        "axes": {"lambda_tc": (0.1, 1.0), "seed": {"range": [1, 2]}},
    }
    mine, _ = space_from_python(mapping, {}, {"lr": 0.5})
    assert (mine.name, len(mine.trials()), mine.base.training.lr) == ("mine", 4, 0.5)
    assert space_from_python(mine, {}, None) == (mine, [])


@pytest.mark.parametrize(
    "kind", [np.array, pd.Series, pd.Index, torch.tensor, lambda values: tuple(map(np.int64, values))]
)
def test_an_array_of_one_dimension_is_a_list(kind: Callable[[Sequence[int]], Any]) -> None:
    space, _ = space_from_python("quickstart", {"seed": kind([1, 2, 3])}, None)
    assert repr(space.axes["training.seed"]) == "[1, 2, 3]"  # numbers that YAML and JSON can hold
    mapping = {"base": {"dataset": "digits"}, "axes": {"lambda_tc": np.logspace(-1, 0, 2), "seed": kind([1])}}
    assert space_from_python(mapping, {}, None)[0].axes == {"loss.lambda_tc": [0.1, 1.0], "training.seed": [1]}
    assert (
        api._call("sweep", "x", settings={"seed": kind([1, 2])}) == "infomax_tune.sweep('x', settings={'seed': [1, 2]})"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sweep("quickstart", settings={"activatoin": "relu"}), "did you mean 'activation'"),
        (lambda: sweep("quickstrat"), "did you mean 'quickstart'"),
        (lambda: sweep(None), "give its out"),
        (lambda: sweep(None, out="x", settings={"lr": 1}), "neither settings nor config"),
        (lambda: sweep(load_space("quickstart")[0], settings={"lr": 1}), "a SearchSpace is already complete"),
        (lambda: sweep("quickstart", pack=0), "pack: must be auto or a whole number of at least 1, got 0"),
        (lambda: sweep("quickstart", pack="all", max_failures=-1), "max_failures: must be 0 or more, got -1"),
        (lambda: sweep("quickstart", config="nowhere.yaml"), "config file not found"),
        (lambda: sweep("quickstart", settings={"seed": np.eye(2)}), r"seed: must be a whole number, got \[1.0, 0.0\]"),
        (lambda: sweep("quickstart", settings={"seed": pd.DataFrame({"a": [1]})}), "seed: must be a whole number"),
        (lambda: run({"seed": np.array([1, 2])}), r"seed: must be a whole number, got \[1, 2\]"),
        (lambda: run({"activation": np.array(["relu", "tanh"])}), "activation: .* is unknown"),
        (lambda: run({"lr": -1}), "lr: must be more than 0.0, got -1"),
        (lambda: run({"activation": "rleu"}), "did you mean 'relu'"),
        (lambda: run(device="gpu"), "device: 'gpu' is unknown"),
    ],
)
def test_mistakes_are_told_before_anything_is_done(call: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()  # pyright: ignore[reportCallIssue]
    assert list(Path().iterdir()) == []


def test_options_tell_every_mistake_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Options(pack=0, cpus_per_pack=0, gpus_per_pack=-1, max_concurrent=0, device="tpu", max_failures=-1)
    assert len(str(caught.value).splitlines()) == 6
