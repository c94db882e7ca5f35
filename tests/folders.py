"""Output folders as a sweep leaves them, made in this process without Ray: quick, where Ray is not what is tested."""

from __future__ import annotations

import functools
from pathlib import Path

from infomax_tune.follow.tensorboard_runs import of_sweep
from infomax_tune.packs.execution import Execution, environment_here
from infomax_tune.packs.pack_training import train_pack
from infomax_tune.packs.packing import pack_trials
from infomax_tune.parts.catalogue import facts
from infomax_tune.process.environment import fingerprint
from infomax_tune.science.data import load
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables
from infomax_tune.study import yaml_document
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space, parse_space
from infomax_tune.study.space import SearchSpace
from infomax_tune.study.trial_status import TrialStatus


class Countdown:
    """True from the n-th time it is asked."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self) -> bool:
        self.n -= 1
        return self.n <= 0


def make_sweep(out: Path, *settings: str, space: str = "quickstart", runs: bool = True) -> SweepFolder:
    """A finished sweep, file for file what `infomax-tune sweep SPACE --set ... --no-report` leaves, but for Ray's own.

    runs: whether with TensorBoard's runs, which a folder in an object store has not.
    """
    overrides, problems = read_overrides(settings)
    assert not problems, problems
    loaded, _ = load_space(space, overrides=overrides)
    folder = SweepFolder(out)
    described = environment_here(device="cpu", threads=1)
    data = {name: load(name).digest for name in {config.data.dataset for config in loaded.plan()}}
    folder.create()
    folder.write_space(loaded)
    more = {"command": f"infomax-tune sweep {space}", "data": data, "parts": facts(loaded.parts())}
    folder.environments.write_latest(described | more)
    folder.environments.note_used(described, fingerprint(described))
    finish_sweep(folder, with_runs=runs)
    return folder


def finish_sweep(folder: SweepFolder, *, with_runs: bool = True) -> None:
    """Trains every trial of a sweep that has no record, or a damaged one, and makes its tables."""
    plan, environment = folder.read_space().plan(), fingerprint(environment_here(device="cpu", threads=1))
    runs = {trial.run.config.trial_id: trial.run for trial in of_sweep(plan, folder)}
    for trial_id, finding in folder.find(plan).items():
        if finding.status == TrialStatus.DAMAGED:
            folder.trial(trial_id).set_aside("record.json")
    for pack in pack_trials(list(plan), slots=1):
        train_pack(
            pack,
            [folder.trial(config.trial_id) for config in pack],
            load(pack.config.data.dataset),
            Execution(environment=environment),
            runs=[runs[config.trial_id] for config in pack] if with_runs else None,
        )
    write_tables(folder, plan)


INTERRUPTED = """
name: study
description: Two activations, two learning rates of which one is too large, two seeds.
base:
  data: {dataset: digits}
  training: {epochs: 4, optimizer: sgd}
  logging: {save_metrics_every: 2, checkpoint_every: 1}
axes:
  lr: [0.01, 1e30]
  activation: [identity, relu]
  objective: [infomax]
  seed: [1, 2]
"""


def space_of(text: str) -> SearchSpace:
    """The search space that a text in YAML describes."""
    return parse_space(yaml_document.parse(text, "test"), "test", None, {})[0]


def make_interrupted_sweep(out: Path) -> tuple[SearchSpace, SweepFolder]:
    """A sweep of `INTERRUPTED` as a kill leaves it: 3 trials done, 4 diverged, and relu's second seed half done."""
    space, folder = space_of(INTERRUPTED), SweepFolder(out)
    folder.create()
    folder.write_space(space)
    dataset = load("digits")
    for trial in of_sweep(space.plan(), folder):
        config = trial.run.config
        is_half = config.training.seed == 2 and config.model.activation == "relu"
        asked = functools.partial(next, iter([False, False, True])) if is_half else lambda: False
        train_pack([config], [trial.folder], dataset, runs=[trial.run], should_stop=asked)
    return space, folder
