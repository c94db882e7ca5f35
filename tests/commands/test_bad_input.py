"""Bad input of every kind gets one clear message and exit code 2: no traceback, and nothing is left or changed."""

# ruff: noqa: E501 - a table has a row a line

from __future__ import annotations

import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from infomax_tune.errors import ConfigError, DataError, ResourceError
from infomax_tune.store.files import digest
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study import yaml_document
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from infomax_tune.study.space import SearchSpace
from tests.command import COMMAND, call, infomax_tune

Content = str | bytes | None
"""Of a file; None is a folder."""


@dataclass(frozen=True)
class Bad:
    """One bad input: its name, the command line, what its message must say, and what lies in the folder before.

    `run` and `sweep` write into the folder `out` unless they say otherwise.
    """

    id: str
    command: str
    says: tuple[str, ...]
    files: Mapping[str, Content] | Callable[[], None] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        arguments = shlex.split(self.command)
        writes = arguments[:1] in (["run"], ["sweep"]) and "--out" not in arguments
        return arguments + (["--out", "out"] if writes else [])


def _sweep(name: str = "quickstart", *overrides: str) -> SweepFolder:
    """A sweep that was begun, in the folder `out`."""
    folder = SweepFolder(Path("out"))
    folder.create()
    folder.write_space(load_space(name, overrides=read_overrides(overrides)[0])[0])
    with folder.lock():
        pass
    return folder


def _edit(old: str, new: str) -> Callable[[], None]:
    """A sweep whose sweep.yaml was edited by hand."""

    def prepare() -> None:
        path = _sweep().root / "sweep.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return prepare


def _overwrite(data: bytes) -> Callable[[], None]:
    """A sweep whose sweep.yaml holds something else."""
    return lambda: (_sweep().root / "sweep.yaml").write_bytes(data) and None


def _version(version: object) -> Callable[[], None]:
    """A sweep whose sweep.yaml is of another version, and without its parts, with a checksum that is right."""

    def prepare() -> None:
        content = {"schema": version, "name": "from the future"}
        path = _sweep().root / "sweep.yaml"
        path.write_text(yaml_document.dump(content | {"sha256": digest(content)}))

    return prepare


def _another_trial() -> None:
    """A folder that holds the record of another experiment."""
    config = TrialConfig()
    TrialFolder(Path("out")).write_record(Record(config.trial_id, "done", 0, config.nested(), {}, {}), [], None)


BOMB = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))

CONFIGS = [
    Bad("key: near miss", "run c.yaml", ("'actvation' is unknown; did you mean 'activation'?", "c.yaml, line 1"), {"c.yaml": "actvation: relu"}),
    Bad("key: nested near miss", "run c.yaml", ("'model.hiden_dim'", "did you mean 'model.hidden_dim'?", "c.yaml, line 2"), {"c.yaml": "model:\n  hiden_dim: 3"}),
    Bad("key: nothing near", "run c.yaml", ("key: 'xyz' is unknown. One of dataset, batch_size, hidden_dim",), {"c.yaml": "xyz: 1"}),
    Bad("key: in the wrong section", "run c.yaml", ("'model.lr' is unknown; did you mean 'training.lr'?",), {"c.yaml": "model: {lr: 1}"}),
    Bad("key: two spellings", "run c.yaml", ("training.lr: given twice", "line 1; c.yaml, line 2"), {"c.yaml": "lr: 1\ntraining: {lr: 2}"}),
    Bad("key: twice in the file", "run c.yaml", ("seed: given twice (c.yaml, lines 1 and 3)",), {"c.yaml": "seed: 1\nlr: 2\nseed: 3"}),
    Bad("key: twice in a section", "run c.yaml", ("training.seed: given twice (c.yaml, lines 2 and 3)",), {"c.yaml": "training:\n  seed: 1\n  seed: 1"}),
    Bad("section: a value", "run c.yaml", ("model: must contain `key: value` lines, got 'relu'",), {"c.yaml": "model: relu"}),
    Bad("section: a list", "run c.yaml", ("training: must contain `key: value` lines, got [1]",), {"c.yaml": "training: [1]"}),
    Bad("file: a search space", "run c.yaml", ("key: 'axes' is unknown",), {"c.yaml": "axes: {seed: [1, 2]}"}),
    Bad("file: a list", "run c.yaml", ("c.yaml: expected `key: value` lines, found a list",), {"c.yaml": "- 1\n- 2"}),
    Bad("file: one word", "run c.yaml", ("c.yaml: expected `key: value` lines, found a single value",), {"c.yaml": "tanh"}),
    Bad("file: syntax error", "run c.yaml", ("c.yaml, line 2: not valid YAML: expected ',' or ']'",), {"c.yaml": "seed: [1\n"}),
    Bad("file: a tab", "run c.yaml", ("c.yaml, line 2: not valid YAML", "cannot start any token"), {"c.yaml": "model:\n\tlr: 1"}),
    Bad("file: runs code", "run c.yaml", ("line 1: not valid YAML", "python/object/apply:os.system"), {"c.yaml": "seed: !!python/object/apply:os.system ['touch hacked']"}),
    Bad("file: two documents", "run c.yaml", ("c.yaml, line 2: not valid YAML: but found another document",), {"c.yaml": "lr: 1\n---\nlr: 2"}),
    Bad("file: binary", "run c.yaml", ("c.yaml: cannot be read", "utf-8"), {"c.yaml": bytes(range(256))}),
    Bad("file: control characters", "run c.yaml", ("c.yaml: not valid YAML: unacceptable character #x0000",), {"c.yaml": b"seed: \x00"}),
    Bad("file: nested without end", "run c.yaml", ("c.yaml: nested too deeply to be a config",), {"c.yaml": "a: " + "[" * 5000}),
    Bad("file: contains itself", "run c.yaml", ("c.yaml: nested too deeply to be a config",), {"c.yaml": "model: &m {a: *m}"}),
    Bad("file: aliases of aliases", "run c.yaml", ("c.yaml: its aliases expand to more than 1000000 values",), {"c.yaml": BOMB}),
    Bad("file: not there", "run nope.yaml", ("nope.yaml: config file not found",)),
    Bad("file: a folder", "run c.yaml", ("c.yaml: this is a folder; give a config file",), {"c.yaml": None}),
    Bad("file: a run's folder", "run there", ("there: this is a folder; to resume its trial: infomax-tune run there/config.yaml --out there",), {"there/config.yaml": "seed: 1"}),
    Bad("file: no name", "run ''", ("a path is empty",)),
    Bad("file: in a home that does not exist", "run ~nobody-here/c.yaml", ("~nobody-here/c.yaml: there is no such home",)),
    Bad("files: two", "run a.yaml b.yaml", ("at most one config file, got a.yaml, b.yaml",)),
    Bad("file: not there, for a sweep", "sweep quickstart --config nope.yaml", ("nope.yaml: config file not found",)),
    Bad("file: wrong, for a sweep", "sweep quickstart --config c.yaml", ("'optimiser' is unknown; did you mean 'optimizer'?", "c.yaml, line 1"), {"c.yaml": "optimiser: adam"}),
    Bad("mistakes of all kinds at once", "run c.yaml epoch=3 lr=fast", ("'actvation'", "c.yaml, line 1", "hidden_dim: must be at least 1, got -3 (c.yaml, line 2)", "did you mean 'epochs'?", "lr: must be a number, got 'fast' (override 'lr=fast')"), {"c.yaml": "actvation: relu\nhidden_dim: -3"}),
]  # fmt: skip

VALUES = [
    Bad("activation: near miss", "run activation=rleu", ("activation: 'rleu' is unknown; did you mean 'relu'? One of identity, relu, leaky_relu, softmax, tanh, softplus, gelu, silu, elu, abs.",)),
    Bad("activation: a list", "run activation=[relu]", ("activation: ['relu'] is unknown",)),
    Bad("dataset: near miss", "run dataset=minst", ("'minst' is unknown; did you mean 'mnist'? One of mnist, fashion_mnist, kmnist, digits, synthetic_2d",)),
    Bad("objective: unknown", "run objective=vae", ("One of infomax, variance_only, reconstruction, random",)),
    Bad("optimizer: capital", "run optimizer=Adam", ("did you mean 'adam'? One of adam, sgd",)),
    Bad("head: null", "run head=null", ("head: None is unknown", "One of none, softmax")),
    Bad("hidden_dim: negative", "run hidden_dim=-16", ("hidden_dim: must be at least 1, got -16 (override 'hidden_dim=-16')",)),
    Bad("hidden_dim: zero", "run hidden_dim=0", ("hidden_dim: must be at least 1, got 0",)),
    Bad("hidden_dim: huge", "run hidden_dim=10000000", ("hidden_dim: must be at most 65536",)),
    Bad("hidden_dim: a float", "run hidden_dim=16.0", ("hidden_dim: must be a whole number, got 16.0",)),
    Bad("hidden_dim: text", "run hidden_dim=wide", ("hidden_dim: must be a whole number, got 'wide'",)),
    Bad("seed: negative", "run seed=-1", ("seed: must be at least 0, got -1",)),
    Bad("seed: above 32 bits", "run seed=4294967296", ("seed: must be at most 4294967295, got 4294967296",)),
    Bad("seed: true", "run seed=true", ("seed: must be a whole number, got True",)),
    Bad("seed: a date", "run seed=2020-01-01", ("seed: must be a whole number, got datetime.date",)),
    Bad("seed: no date", "run seed=2020-13-01", ("'2020-13-01' is not a valid value",)),
    Bad("seed: a span", "run seed=1-20", ("seed: must be a whole number, got '1-20'; for an axis of all from 1 to 20: 'seed={range: [1, 20]}'",)),
    Bad("seed: a span, of a sweep", "sweep quickstart --set seed=1..20", ("'seed={range: [1, 20]}'",)),
    Bad("seed: a mapping, for one experiment", "run 'seed={range: [1, 3]}'", ("seed: must be a whole number, got {'range': [1, 3]}",)),
    Bad("epochs: negative", "run epochs=-5", ("epochs: must be at least 0, got -5",)),
    Bad("epochs: empty", "run epochs=", ("epochs: must be a whole number, got None",)),
    Bad("lr: zero", "run lr=0", ("lr: must be more than 0.0, got 0",)),
    Bad("lr: nan", "run lr=.nan", ("lr: must be a finite number, got nan",)),
    Bad("lr: infinite", "run lr=.inf", ("lr: must be a finite number, got inf",)),
    Bad("lr: text", "run lr=1e", ("lr: must be a number, got '1e'",)),
    Bad("lr: more than a float holds", f"run lr={'9' * 400}", ("lr: must be a number, got 9999",)),
    Bad("lr: more digits than an int may have", f"run lr={'9' * 5000}", ("is not a valid value",)),
    Bad("lambda_tc: negative", "run lambda_tc=-1", ("lambda_tc: must be at least 0.0, got -1",)),
    Bad("variance_eps: zero", "run variance_eps=0", ("variance_eps: must be more than 0.0",)),
    Bad("save_weights: a number", "run save_weights=1", ("save_weights: must be true or false, got 1",)),
    Bad("save_metrics_every: zero", "run save_metrics_every=0", ("save_metrics_every: must be at least 1, got 0",)),
    Bad("batch_size: one row", "run batch_size=1", ("batch_size: must be -1 (the full training set) or at least 2, got 1",)),
    Bad("batch_size: more than the data", "run dataset=digits batch_size=2000", ("2000 is more than the 1437 training rows of digits; use -1",)),
    Bad("batch_size: a last batch of one row", "run dataset=digits batch_size=359", ("a single row for the last batch", "use 360")),
    Bad("batch_size: more than the data, of a sweep", "sweep quickstart --set batch_size=2000", ("2000 is more than the 1437 training rows of digits",)),
    Bad("batch_size: one value of an axis", "sweep quickstart --set batch_size=[64,359]", ("359 leaves a single row for the last batch",)),
    Bad("override: no =", "run activation tanh", ("at most one config file, got activation, tanh", "key=value")),
    Bad("override: no =, of a sweep", "sweep quickstart --set epochs", ("override 'epochs': must look like key=value",)),
    Bad("override: no key", "run =3", ("override '=3': must look like key=value",)),
    Bad("override: unknown key", "run modle.activation=tanh", ("'modle.activation' is unknown; did you mean 'model.activation'?",)),
    Bad("override: a section", "run model=tanh", ("key: 'model' is unknown",)),
    Bad("override: broken YAML", "run 'seed={a: b'", ("'{a: b' is not a valid value",)),
    Bad("override: runs code", "run 'seed=!!python/object/apply:os.system [\"touch hacked\"]'", ("is not a valid value",)),
    Bad("override: nested without end", f"run seed={'[' * 5000}", ("is not a valid value",)),
    Bad("overrides: several, and the space's", "sweep mine.yaml --set sed=1 --set lr=fast", ("did you mean 'seed'?", "lr: must be a number", "mine.yaml, line 1"), {"mine.yaml": "seed: []"}),
]  # fmt: skip

SPACES = [
    Bad("space: near miss", "sweep quikstart", ("'quikstart' is unknown; did you mean 'quickstart'? One of activation_study, quickstart, synthetic_2d.", "path of a YAML file")),
    Bad("space: not there", "sweep nope.yaml", ("search space: 'nope.yaml' is unknown",)),
    Bad("space: below a file", "sweep s.yaml/x", ("'s.yaml/x' is unknown",), {"s.yaml": ""}),
    Bad("space: no name", "sweep ''", ("a path is empty",)),
    Bad("space: a folder", "sweep there", ("there: this is a folder. Give the name of a bundled space",), {"there": None}),
    Bad("space: binary", "sweep s.yaml", ("s.yaml: cannot be read",), {"s.yaml": b"\xff\xfe\x00"}),
    Bad("space: control characters", "sweep s.yaml", ("s.yaml: not valid YAML",), {"s.yaml": b"seed: [\x01]"}),
    Bad("space: a list", "sweep s.yaml", ("s.yaml: expected `key: value` lines, found a list",), {"s.yaml": "[1, 2]"}),
    Bad("space: runs code", "sweep s.yaml", ("python/object/apply:os.system",), {"s.yaml": "axes: {seed: [!!python/object/apply:os.system ['touch hacked']]}"}),
    Bad("space: aliases of aliases", "sweep s.yaml", ("its aliases expand to more than 1000000 values",), {"s.yaml": BOMB}),
    Bad("space: empty", "sweep s.yaml", ("axes: the space has no axes; give at least one", "s.yaml"), {"s.yaml": ""}),
    Bad("space: a config", "sweep s.yaml", ("model: put settings that all trials share under `base`", "s.yaml, line 2"), {"s.yaml": "\nmodel: {activation: relu}"}),
    Bad("space: unknown key", "sweep s.yaml", ("'axis' is unknown", "A space has name, description, base and axes"), {"s.yaml": "axis: {seed: [1]}"}),
    Bad("space: a name that is a number", "sweep s.yaml", ("name: must be text, got 5 (s.yaml, line 1)",), {"s.yaml": "name: 5\nseed: [1]"}),
    Bad("space: a base that is a value", "sweep s.yaml", ("base: must contain `key: value` lines (s.yaml, line 1)",), {"s.yaml": "base: 5\nseed: [1]"}),
    Bad("space: a wrong base", "sweep s.yaml", ("lr: must be a number, got 'fast' (s.yaml, line 2)",), {"s.yaml": "base:\n  lr: fast\nseed: [1]"}),
    Bad("axes: a list", "sweep s.yaml", ("axes: must contain `key: [values]` lines, got [1]",), {"s.yaml": "axes: [1]"}),
    Bad("axes: without content", "sweep s.yaml", ("axes: must contain `key: [values]` lines, got None",), {"s.yaml": "axes:\n"}),
    Bad("axis: empty", "sweep s.yaml", ("training.seed: the axis is empty (s.yaml, line 1)",), {"s.yaml": "axes: {seed: []}"}),
    Bad("axis: emptied by --set", "sweep quickstart --set seed=[]", ("training.seed: the axis is empty (override 'seed=[]')",)),
    Bad("axis: no list", "sweep s.yaml", ("model.hidden_dim: an axis must be a list or {range: [first, last]}, got 16; to fix a value, put it under base",), {"s.yaml": "axes: {hidden_dim: 16, seed: [1]}"}),
    Bad("axis: a value twice", "sweep s.yaml", ("training.seed: 1 is given twice (s.yaml, line 1)",), {"s.yaml": "axes: {seed: [1, 2, 1]}"}),
    Bad("axis: 1 and 1.0", "sweep s.yaml", ("loss.lambda_tc: 1.0 is given twice",), {"s.yaml": "lambda_tc: [1, 1.0]"}),
    Bad("axis: a wrong value", "sweep s.yaml", ("'rleu' is unknown; did you mean 'relu'?", "s.yaml, line 3"), {"s.yaml": "axes:\n  seed: [1]\n  activation: [tanh, rleu]"}),
    Bad("axis: lists in the list", "sweep s.yaml", ("seed: must be a whole number, got [1, 2]",), {"s.yaml": "seed: [[1, 2]]"}),
    Bad("axis: given twice", "sweep s.yaml", ("training.seed: given twice (s.yaml, line 1; s.yaml, line 2)",), {"s.yaml": "axes: {seed: [1]}\nseed: [2]"}),
    Bad("axis: given twice in two spellings", "sweep s.yaml", ("model.activation: given twice",), {"s.yaml": "axes: {activation: [relu], model: {activation: [tanh]}}"}),
    Bad("axis: a key of the original without effect", "sweep s.yaml", ("num_workers: cannot be an axis: the data is held in memory",), {"s.yaml": "axes: {num_workers: [1, 2], seed: [1]}"}),
    Bad("axis: another key of the original, at the top", "sweep s.yaml", ("output_dir: cannot be an axis: the output folder is given beside the settings",), {"s.yaml": "seed: [1]\noutput_dir: [results]"}),
    Bad("axis: changes nothing", "sweep s.yaml", ("two combinations are the same trial", "lambda_tc changes nothing with objective reconstruction"), {"s.yaml": "base: {objective: reconstruction}\naxes: {lambda_tc: [0, 1]}"}),
    Bad("range: backwards", "sweep s.yaml", ("the range [3, 1] is empty: its last value is below its first",), {"s.yaml": "seed: {range: [3, 1]}"}),
    Bad("range: one end", "sweep s.yaml", ("a range must be {range: [first, last]} with two whole numbers, got {'range': [3]}",), {"s.yaml": "seed: {range: [3]}"}),
    Bad("range: floats", "sweep s.yaml", ("with two whole numbers",), {"s.yaml": "seed: {range: [1.0, 3.0]}"}),
    Bad("range: another word", "sweep quickstart --set 'seed={rang: [1, 2]}'", ("got {'rang': [1, 2]} (override",)),
    Bad("range: below the setting's least", "sweep quickstart --set 'seed={range: [-1, 1]}'", ("seed: must be at least 0, got -1",)),
    Bad("range: too many", "sweep quickstart --set 'seed={range: [1, 1000000000]}'", ("has more than 100000 values",)),
    Bad("trials: too many", "sweep quickstart --set 'seed={range: [1, 50000]}'", ("axes: 300000 trials exceed the limit of 100000",)),
]  # fmt: skip

FLAGS = [
    Bad("command: unknown", "swep quickstart", ("No such command 'swep'",)),
    Bad("sweep: no space", "sweep", ("Missing argument 'SPACE'",)),
    Bad("sweep: two spaces", "sweep quickstart synthetic_2d", ("unexpected extra argument",)),
    Bad("flag: unknown", "run --sed 3", ("No such option: --sed",)),
    Bad("resume: a setting", "resume out --set 'seed={range: [1, 20]}'", ("infomax-tune sweep out/sweep.yaml --out out --set 'seed={range: [1, 20]}'",), lambda: _sweep() and None),
    Bad("resume: a setting as an option", "resume out --epochs 3", ("--epochs: this is a setting, not an option; write --set epochs=3",), lambda: _sweep() and None),
    Bad("flag: without its value", "resume out --pack", ("--pack",)),
    Bad("--pack: zero", "sweep quickstart --pack 0", ("pack: must be auto or a whole number of at least 1, got 0",)),
    Bad("--pack: a word", "sweep quickstart --pack all", ("pack: must be auto or a whole number of at least 1, got 'all'",)),
    Bad("--pack: a fraction", "sweep quickstart --pack 2.5", ("got '2.5'",)),
    Bad("--pack: more digits than an int may have", f"sweep quickstart --pack {'9' * 5000}", ("pack: must be auto",)),
    Bad("--cpus-per-pack: zero", "sweep quickstart --cpus-per-pack 0", ("cpus_per_pack: must be at least 0.0001, got 0",)),
    Bad("--cpus-per-pack: nan", "sweep quickstart --cpus-per-pack nan", ("cpus_per_pack: must be at least 0.0001, got nan",)),
    Bad("--cpus-per-pack: text", "sweep quickstart --cpus-per-pack two", ("--cpus-per-pack",)),
    Bad("--gpus-per-pack: negative", "sweep quickstart --gpus-per-pack -1", ("gpus_per_pack: must be 0, a share of one GPU from 0.0001 up, or a whole number of GPUs, got -1",)),
    Bad("--gpus-per-pack: one and a half", "sweep quickstart --gpus-per-pack 1.5", ("or a whole number of GPUs, got 1.5",)),
    Bad("--gpus-per-pack: nearly none", "sweep quickstart --gpus-per-pack 0.00001", ("a share of one GPU from 0.0001 up",)),
    Bad("--cpus-per-pack: nearly none", "sweep quickstart --cpus-per-pack 0.00001", ("must be at least 0.0001, got 1e-05",)),
    Bad("--gpus-per-pack: nan", "sweep quickstart --gpus-per-pack nan", ("a whole number of GPUs, got nan",)),
    Bad("--gpus-per-pack: infinite", "resume out --gpus-per-pack inf", ("gpus_per_pack: must be 0, a share of one GPU from 0.0001 up, or a whole number of GPUs, got inf",), lambda: _sweep() and None),
    Bad("--max-concurrent: zero", "sweep quickstart --max-concurrent 0", ("max_concurrent: must be at least 1, got 0",)),
    Bad("--max-failures: negative", "sweep quickstart --max-failures -1", ("max_failures: must be 0 or more, got -1",)),
    Bad("--max-concurrent: text", "sweep quickstart --max-concurrent many", ("--max-concurrent",)),
    Bad("--logger: near miss", "sweep quickstart --logger csv --logger mlfow", ("logger: 'mlfow' is unknown; did you mean 'mlflow'? One of mlflow, wandb, csv, json.",)),
    Bad("--logger: unknown, of a resume", "resume out --logger tensorboard", ("logger: 'tensorboard' is unknown.",), lambda: _sweep() and None),
    Bad("--device: unknown", "run --device gpu", ("device: 'gpu' is unknown", "One of cpu, cuda, mps")),
    Bad("--device: unknown, of a sweep", "sweep quickstart --device cdua", ("device: 'cdua' is unknown; did you mean 'cuda'?",)),
    Bad("--device: not here", "run dataset=digits --device mps", ("device mps: torch", "finds no such device here; use cpu")),
    Bad("--device: not here, of a sweep", "sweep quickstart --device mps", ("finds no such device here",)),
    Bad("flags: all at once", "sweep quickstart --pack x --cpus-per-pack -1 --max-concurrent -1", ("pack: ", "cpus_per_pack: ", "max_concurrent: ")),
]  # fmt: skip

FOLDERS = [
    *(
        Bad(f"no path: {command}", command, ("Invalid value for", "a path is empty"))
        for command in ("sweep quickstart --out ''", "sweep quickstart --data-dir ''", "sweep quickstart --config ''", "run --out ''", "run --data-dir ''", "resume ''", "list ''", "status ''", "analyze x --output-dir ''", "compare '' x", "compare x y --page ''")
    ),
    Bad("init: no path", "init ''", ("a path is empty",)),
    Bad("out: no bucket", "sweep quickstart --out s3://", ("s3://: not a place that can hold results; use a folder, s3://BUCKET/PREFIX",)),
    Bad("status: not there", "status nope", ("nope: does not exist; give the output folder of a sweep",)),
    Bad("resume: not there", "resume nope", ("nope: does not exist; give the output folder of a sweep",)),
    Bad("results: not there", "results nope", ("nope: does not exist",)),
    Bad("status: not a sweep", "status there", ("there: is not a sweep's output folder (it has no sweep.yaml)",), {"there/thesis.txt": "x"}),
    Bad("resume: not a sweep", "resume there", ("there: is not a sweep's output folder",), {"there": None}),
    Bad("results: a file", "results there", ("there: is not a sweep's output folder",), {"there": "x"}),
    Bad("sweep.yaml: cut", "resume out", ("sweep.yaml: damaged or edited", "The trials are safe"), _overwrite(b"name: quickstart\n")),
    Bad("sweep.yaml: empty", "status out", ("sweep.yaml: damaged or edited",), _overwrite(b"")),
    Bad("sweep.yaml: binary", "status out", ("sweep.yaml: cannot be read", "The trials are safe"), _overwrite(bytes(range(256)))),
    Bad("sweep.yaml: runs code", "status out", ("not valid YAML", "os.system"), _overwrite(b"a: !!python/object/apply:os.system ['touch hacked']")),
    Bad("sweep.yaml: holds a date", "status out", ("damaged or edited",), _edit("name: quickstart", "name: 2020-01-01")),
    Bad("sweep.yaml: keys of two kinds", "status out", ("damaged or edited",), _edit("name: quickstart", "name: x\n5: y")),
    Bad("sweep.yaml: edited", "resume out", ("damaged or edited (its checksum is wrong)", "move this file away"), _edit("hidden_dim: 16", "hidden_dim: 17")),
    Bad("sweep.yaml: edited, then swept into", "sweep quickstart", ("damaged or edited (its checksum is wrong)",), _edit("lr: 0.01", "lr: 0.02")),
    Bad("sweep.yaml: a folder", "status out", ("sweep.yaml: cannot be read",), {"out/sweep.yaml": None}),
    Bad("sweep.yaml: of a newer version", "status out", ("written by a newer infomax-tune (sweep file version 3; this one knows 2); upgrade to continue",), _version(3)),
    Bad("sweep.yaml: of a newer version, swept into", "sweep quickstart", ("written by a newer infomax-tune",), _version(99)),
    Bad("sweep.yaml: of no version", "resume out", ("infomax-tune did not write this sweep file (version 'one')", "The trials are safe"), _version("one")),
    Bad("sweep.yaml: lacks a part", "status out", ("infomax-tune did not write this sweep file (description: Field required)", "The trials are safe"), _version(1)),
    Bad("out: a stranger", "sweep quickstart --out there", ("there: holds results.csv, which no sweep made; choose another output folder, or move that away",), {"there/results.csv": "x"}),
    Bad("out: a file", "sweep quickstart --out there", ("there: cannot be written (Not a directory); choose another output folder",), {"there": "x"}),
    Bad("out: below a file", "sweep quickstart --out there/x", ("there/x: cannot be written (Not a directory)",), {"there": "x"}),
    Bad("out: a stranger, of a run", "run dataset=digits --out there", ("there: holds history.csv, which no run made",), {"there/history.csv": "x"}),
    Bad("out: a sweep, of a run", "run dataset=digits", ("out: holds sweep.yaml, which no run made",), lambda: _sweep() and None),
    Bad("out: a file, of a run", "run dataset=digits --out there", ("there: cannot be used as a folder (Not a directory)",), {"there": "x"}),
    Bad("out: below a file, of a run", "run dataset=digits --out there/x", ("there/x: cannot be used as a folder",), {"there": "x"}),
    Bad("out: too long a name", f"run dataset=synthetic_2d --out {'x' * 300}", ("cannot be used as a folder (File name too long)",)),
    Bad("out: another trial", "run dataset=synthetic_2d epochs=0", ("out: holds relu-k16-s1-", ", not relu-k16-s1-", "choose another output folder"), _another_trial),
    Bad("out: a config of the user's own", "run dataset=synthetic_2d epochs=0", ("not the config of", "will not be overwritten"), {"out/config.yaml": "epochs: 0 # mine"}),
    Bad("an axis that changes no number", "sweep quickstart --set checkpoint_every=[1,2]", ("logging.checkpoint_every: cannot be an axis",)),
    Bad("out: a sweep with another base config", "sweep quickstart --set lr=0.5 --set epochs=3", ("out: already contains a sweep with a different config", "training.epochs was 30, is now 3; training.lr was 0.01, is now 0.5", "Choose another output folder"), lambda: _sweep() and None),
    Bad("out: another space", "sweep synthetic_2d", ("data.dataset was 'digits', is now 'synthetic_2d'",), lambda: _sweep() and None),
    Bad("data: none, and no network", "run dataset=mnist", ("mnist: not found under", "the download failed", "--data-dir", "--set dataset=digits")),
    Bad("data: a folder that is a file", "run dataset=kmnist --data-dir file", ("kmnist: not found under file", "--data-dir"), {"file": "x"}),
]  # fmt: skip

IN_PROCESS = [*CONFIGS, *VALUES, *SPACES, *FLAGS, *FOLDERS]

PROCESSES = [
    Bad("more CPUs than there are", "sweep quickstart --cpus-per-pack 4096", ("one pack needs 4096 CPUs and 0 GPUs", "no machine in the cluster has that many", "lower --cpus-per-pack")),
    Bad("more GPUs than there are", "sweep quickstart --gpus-per-pack 64", ("needs 1 CPUs and 64 GPUs", "lower --cpus-per-pack or --gpus-per-pack")),
    Bad("an address that is none", "sweep quickstart --address nonsense", ("cannot join the Ray cluster at nonsense",)),
    Bad("mistakes", "run c.yaml lr=fast", ("did you mean 'activation'?", "lr: must be a number"), {"c.yaml": "actvation: relu"}),
    Bad("a folder that is not a sweep", "resume there", ("is not a sweep's output folder",), {"there": None}),
]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in; no dataset at hand and no network."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("INFOMAX_TUNE_DATA_DIR", str(tmp_path / "data"))

    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("there is no network in this test")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    return folder


def _prepare(bad: Bad) -> None:
    if callable(bad.files):
        bad.files()
        return
    for name, content in bad.files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def _everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def _judge(bad: Bad, code: int, output: str) -> None:
    assert code == 2, output
    assert "Traceback" not in output
    assert any(line.startswith(("Error: ", "Usage: ", "infomax-tune: ")) for line in output.splitlines()), output
    for text in bad.says:
        assert text in output


@pytest.mark.parametrize("bad", IN_PROCESS, ids=lambda bad: bad.id)
def test_bad_input_is_refused_with_its_message_and_changes_nothing(bad: Bad, here: Path) -> None:
    """Exit code 2, what was wrong and what to do, and every file as it was."""
    _prepare(bad)
    before = _everything(here)
    done = call(*bad.arguments, ok=False)
    _judge(bad, done.returncode, done.stderr or done.stdout)
    assert _everything(here) == before


@pytest.mark.parametrize("bad", PROCESSES, ids=lambda bad: bad.id)
def test_bad_input_is_refused_in_a_process_of_its_own(bad: Bad, here: Path) -> None:
    """The same as a user sees it, and where only Ray can tell."""
    _prepare(bad)
    before = _everything(here)
    done = infomax_tune(*bad.arguments, ok=False)
    _judge(bad, done.returncode, done.stderr)
    assert _everything(here) == before


def test_the_corpus_is_as_large_as_promised() -> None:
    """At least 60 bad inputs are promised, each another."""
    inputs = [*IN_PROCESS, *PROCESSES]
    assert len({bad.id for bad in inputs}) == len(inputs) >= 150


@pytest.mark.parametrize("error", [DataError("no data"), ResourceError("no GPU"), ConfigError("no config")])
def test_a_sweep_that_cannot_begin_leaves_no_folder(
    error: Exception, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the command the message advises (`--set dataset=digits`) is not refused for another base config."""

    def cannot(space: SearchSpace, folder: SweepFolder, *args: object, **options: object) -> None:
        folder.environments.write_latest({})
        raise error

    monkeypatch.setattr("infomax_tune.on_ray.sweep.run", cannot)
    done = call("sweep", "quickstart", "--out", "out", ok=False)
    assert (done.returncode, done.stderr) == (2, f"infomax-tune: {error}\n")
    assert _everything(here) == {}


def test_a_sweep_that_cannot_begin_removes_no_trial(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one whose damaged sweep.yaml was moved away, as its message advises."""
    folder = _sweep("quickstart")
    (folder.root / "sweep.yaml").unlink()
    trial = folder.trial("relu-k16-s1-01234567")
    trial.write_config(TrialConfig())

    def cannot(*args: object, **options: object) -> None:
        raise DataError("no data")

    monkeypatch.setattr("infomax_tune.on_ray.sweep.run", cannot)
    assert call("sweep", "quickstart", "--out", "out", ok=False).returncode == 2
    assert (trial.path / "config.yaml").exists()


def test_what_the_system_refuses_is_a_message_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is no bug of ours."""

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device", "out/record.json")

    monkeypatch.setattr("infomax_tune.commands.train.run_trial", full)
    done = call("run", "dataset=digits", "--out", "out", ok=False)
    assert (done.returncode, done.stderr) == (
        2,
        "infomax-tune: [Errno 28] No space left on device: 'out/record.json'\n",
    )


@pytest.mark.parametrize(("units", "message"), [(65536, "measuring it takes 161.8 GiB"), (8, "memory ran out")])
def test_memory_that_a_process_may_not_have_is_a_message(
    units: int, message: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under `ulimit -v`, as batch systems set it, where the system itself says no."""
    settings = ["dataset=digits", "epochs=0", f"hidden_dim={units}", "--out", "out"]
    if units == 8:
        monkeypatch.setattr("infomax_tune.packs.run_trial.load", lambda *_: np.empty(2**62, np.uint8))
        done = call("run", *settings, ok=False)
    else:
        limited = ["sh", "-c", 'ulimit -v 20000000; exec "$@"', "sh", *COMMAND, "run", *settings]
        done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_notes_are_no_mistakes(here: Path) -> None:
    """A file of the original study runs, with notes on stderr."""
    Path("old.yaml").write_text("data: {dataset: synthetic_2d, num_workers: 4}\ntraining: {epochs: 0}\n")
    done = call("run", "old.yaml", "--out", "out")
    assert done.stderr == "note: num_workers has no effect here: the data is held in memory (old.yaml, line 1).\n"
    assert yaml_document.parse(Path("out/config.yaml").read_text(), "x").content["training"]["epochs"] == 0
