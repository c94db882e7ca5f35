"""Runs a sweep: trains the trials without a record, writes the tables, and counts the outcome."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd

from infomax_tune.errors import ConfigError, EnvironmentDriftError, ResourceError
from infomax_tune.follow.display import Display
from infomax_tune.follow.progress import STARTING_WORKERS
from infomax_tune.follow.tally import Tally
from infomax_tune.follow.tensorboard_runs import mend, of_sweep
from infomax_tune.on_ray.cluster import cluster
from infomax_tune.on_ray.machines import Answers, ask, drift
from infomax_tune.on_ray.session import Session
from infomax_tune.on_ray.tracker_feed import TrackerFeed
from infomax_tune.packs.execution import environment_here
from infomax_tune.packs.mixing import refuse_to_mix
from infomax_tune.packs.packing import pack_trials
from infomax_tune.parts.catalogue import facts, is_pinned
from infomax_tune.process.signals import Interrupt, kept_from_threads
from infomax_tune.science.data import Dataset, load
from infomax_tune.store.files import for_each
from infomax_tune.store.mending import mend_folder
from infomax_tune.store.record import Finding
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.options import Options
from infomax_tune.study.space import SearchSpace
from infomax_tune.study.trial_status import TrialStatus

_FREE_TO_CHANGE = {"logging.save_weights", "logging.checkpoint_every"}
"""Settings that may differ when a sweep is resumed or extended: they change nothing that is compared."""


def fit_to_folder(space: SearchSpace, folder: SweepFolder, options: Options) -> SearchSpace:
    """The space with ids like those of the sweep in the folder, if there is one.

    Raises ConfigError if that sweep has another base config, whose records would not fit, or, without `narrow`,
    finished trials that are not in this space.
    """
    if not folder.has_sweep():  # a sweep whose sweep file was lost still has its trials
        return dataclasses.replace(space, id_digits=folder.id_digits() or space.id_digits)
    before = folder.read_space()
    if not options.narrow:
        _refuse_edited_parts(space, before, folder)
    _refuse_another_base(space, before, folder)
    space = dataclasses.replace(space, id_digits=before.id_digits)
    if space.axes != before.axes and not options.narrow:
        _refuse_to_narrow(space, before, folder)
    return space


def _refuse_edited_parts(space: SearchSpace, before: SearchSpace, folder: SweepFolder) -> None:
    then, now = ({name for _, name in each.parts() if is_pinned(name)} for each in (before, space))
    gone = {name.partition("@")[0]: name for name in then - now}
    for name in sorted(now - then):
        reference = name.partition("@")[0]
        if reference in gone:
            raise ConfigError(
                f"{folder.root}: {reference} was edited since this sweep trained with it, and makes other trials (its digest "
                f"was {gone[reference].partition('@')[2]}, is now {name.partition('@')[2]}). Choose another output folder; or, to "
                f"drop the trials of the version before, add --narrow. That version is in {folder.root}/parts."
            )


def _refuse_to_narrow(space: SearchSpace, before: SearchSpace, folder: SweepFolder) -> None:
    plan = space.plan()
    leaving = [
        config.trial_id
        for config in before.plan()
        if config.trial_id not in plan and folder.trial(config.trial_id).has_record()
    ]
    if leaving:
        are = "1 finished trial is" if len(leaving) == 1 else f"{len(leaving)} finished trials are"
        raise ConfigError(
            f"{folder.root}: {are} not in this space and would be dropped from the table "
            f"({leaving[0]}{', ...' * (len(leaving) > 1)}). To extend the sweep, give its existing values together with the "
            "new ones; to drop these trials, add --narrow (their records stay in the folder); or choose another output folder."
        )


def _refuse_another_base(space: SearchSpace, before: SearchSpace, folder: SweepFolder) -> None:
    free = _FREE_TO_CHANGE | set(space.axes) | set(before.axes)
    old, new = before.base.flat(), space.base.flat()
    changed = [
        f"{name} was {old[name]!r}, is now {new[name]!r}" for name in new if name not in free and old[name] != new[name]
    ]
    changed += [f"this version of infomax-tune does not know {name}" for name in before.foreign]
    if changed:
        raise ConfigError(
            f"{folder.root}: already contains a sweep with a different config ({'; '.join(changed)}). Choose another output folder."
        )


def run(
    space: SearchSpace,
    folder: SweepFolder,
    options: Options,
    display: Display,
    interrupt: Interrupt,
    *,
    command: str,
    on_begin: Callable[[], None] = lambda: None,
    notes: Sequence[str] = (),
) -> Counter[str]:
    """Starts a sweep of this space in the folder, or resumes or extends the sweep there: trains every trial that has no
    record, and writes the tables. Returns how many trials are done, diverged, failed and missing. The caller holds the
    folder's lock.

    interrupt: asked whether to stop. command, on_begin: see `Session`. notes: what to say before training starts. Raises
    ConfigError, DataError, ResourceError or EnvironmentDriftError before the sweep is started or extended.
    """
    space = fit_to_folder(space, folder, options)
    plan = space.plan()
    found = folder.find(plan)  # raises if one of them is another sweep's trial: the folder is then left as it is
    folder.driver.take_over()  # before anything is mended: workers of an earlier driver may still be writing
    if not folder.has_sweep():
        folder.write_space(space)  # from here on it can be resumed; an extension is written once it is sure to train
    for problem in mend_folder(folder, plan):
        display.warn(f"warning: {problem}")
    ended = _set_damage_aside(found, folder, display)
    missing = [config for config in plan if config.trial_id not in ended]
    tally = Tally(plan, ended)
    feed = TrackerFeed(space.name, plan, folder, options.loggers, display)
    session = Session(space, plan, folder, options, display, interrupt, tally, feed, command, on_begin)
    try:
        with folder.driver.beating():
            if missing and not interrupt.asked:
                for note in notes:
                    display.say(note)
                results = _train(missing, session)
            else:
                results = _assemble(session)
    finally:
        display.close()
        folder.driver.clear_progress()
    return Counter(results["status"])


def _set_damage_aside(found: Mapping[str, Finding], folder: SweepFolder, display: Display) -> dict[str, TrialStatus]:
    """The statuses of the trials that have a record; a damaged record is set aside."""
    ended: dict[str, TrialStatus] = {}
    for trial_id, finding in found.items():
        if finding.record:
            ended[trial_id] = finding.status
        elif finding.status == TrialStatus.DAMAGED:
            folder.trial(trial_id).set_record_aside()
            display.warn(f"warning: {finding.problem} Set aside; {trial_id} will be trained again.")
    return ended


def _train(missing: Sequence[TrialConfig], session: Session) -> pd.DataFrame:
    """Trains the trials on Ray, writes the tables, and returns the results."""
    folder, options, display = session.folder, session.options, session.display
    session.enter("starting Ray")
    with ThreadPoolExecutor(1) as beside, contextlib.ExitStack() as stack:
        with kept_from_threads():
            prepared = beside.submit(_prepare, missing, session)  # while Ray starts, which takes seconds too
        slots = stack.enter_context(cluster(options, folder.ray_log, display.say, display.warn, trials=len(missing)))
        at_once = min(slots, options.max_concurrent or slots)
        packs = pack_trials(missing, at_once, options.pack_size)
        session.tally.slots = at_once = min(at_once, len(packs))
        display.say(
            f"{len(missing)} of {len(session.plan)} trials to train, in {len(packs)} packs, {at_once} at a time"
        )
        session.enter(STARTING_WORKERS)
        datasets, here = prepared.result()
        is_described = _settle_environment(session, datasets, here)
        _extend_folder(session)
        list(for_each(lambda config: folder.trial(config.trial_id).forget_failure(), missing, folder.root))
        with session.feed.at_work(lambda: session.interrupt.asked):
            try:
                from infomax_tune.on_ray.fit import Job, train_all

                train_all(packs, Job(session, datasets, environment_missing=not is_described))
            except Exception:
                folder.require_room()  # a full disk is the more likely reason
                raise
            session.enter("writing the tables")
            results = write_tables(folder, session.plan)  # before Ray is ended, which might fail
            session.enter("logging trials" if options.loggers else "stopping Ray")
    return results


def _prepare(missing: Sequence[TrialConfig], session: Session) -> tuple[dict[str, Dataset], Answers]:
    """What a sweep needs beside Ray: its data, Tune, which is slow to import, and the environment here if it is compared."""
    datasets = load_datasets(missing, session.options)
    importlib.import_module("infomax_tune.on_ray.fit")
    return datasets, _environment_here_if_compared(session)


def _assemble(session: Session) -> pd.DataFrame:
    """Writes the tables of a sweep that has nothing to train, and returns the results."""
    _extend_folder(session)
    _restore_environment(session)
    session.enter("writing the tables")
    results = write_tables(session.folder, session.plan)
    with contextlib.ExitStack() as stack:
        if session.feed.needs_ray() and not session.interrupt.asked:
            stack.enter_context(cluster(session.options, session.folder.ray_log, session.display.say))
        session.feed.hand_over_all(lambda: session.interrupt.asked)
    return results


def _extend_folder(session: Session) -> None:
    """Writes the space to the folder, and makes TensorBoard's runs match the trials' records and checkpoints."""
    folder = session.folder
    folder.write_space(session.space)
    session.on_begin()
    for problem in mend(folder.runs_folder, of_sweep(session.plan, folder)):
        session.display.warn(f"warning: {problem}")


def _environment_here(options: Options) -> dict[str, Any]:
    return environment_here(device=options.device_or_default, threads=options.threads)


def _restore_environment(session: Session) -> None:
    """Rewrites environment.json if it is lost, with the environment of the trial that finished last."""
    environments = session.folder.environments
    if environments.has_latest():
        return
    timings = [finding.record.timing for finding in session.folder.find(session.plan).values() if finding.record]
    last = max(timings, key=lambda timing: timing.get("finished", ""), default={})
    described = environments.read_used().get(last.get("environment", "")) or _environment_here(session.options)
    environments.write_latest(described | {"command": session.command})


def _environment_here_if_compared(session: Session) -> Answers:
    """The environment here, unless a cluster trains, or there is no other to compare it with. The first worker then adds it
    to environment.json, and this process need not import torch."""
    if session.options.address or not session.folder.environments.read_used():
        return Answers()
    return Answers([_environment_here(session.options)])


def _settle_environment(session: Session, datasets: Mapping[str, Dataset], here: Answers) -> bool:
    """Writes environment.json; returns whether it has an environment yet. Raises DataError, ResourceError or
    EnvironmentDriftError if new trials would not fit those here."""
    folder, options = session.folder, session.options
    refuse_to_mix(folder.kept(), datasets, mix_arithmetic=options.mix_arithmetic, environments=folder.environments)
    answers = ask(options, folder.root) if options.address else here
    if answers.blind:
        raise ResourceError(
            f"{folder.root}: {'; '.join(answers.blind)}. On several machines, use an output folder that all of them share."
        )
    machines = answers.environments
    for message in drift(folder.environments.read_used().values(), machines, answers.silent):
        if options.strict_environment:
            raise EnvironmentDriftError(
                f"{message}. Use the same environment throughout, or omit --strict-environment."
            )
        session.display.warn(
            f"warning: {message}. Last bits may differ; timings.csv shows where each trial was trained."
        )
    if options.device_or_default != "cpu":
        session.display.say(
            f"note: on {options.device_or_default} a trial's last bits can depend on its pack; on a CPU they do not."
        )
    data = {name: dataset.digest for name, dataset in datasets.items()}
    more = {"command": session.command, "data": data, "parts": facts(session.space.parts())}
    folder.environments.write_latest({**(machines[0] if machines else {}), **more})
    return bool(machines)


def load_datasets(trials: Sequence[TrialConfig], options: Options) -> dict[str, Dataset]:
    """The datasets of these trials, by name, with what the compiled loops read. Raises DataError."""
    datasets = {name: load(name, options.data_dir) for name in sorted({config.data.dataset for config in trials})}
    if options.device_or_default == "cpu":
        for dataset in datasets.values():
            _ = dataset.nonzeros  # made once, here: it travels to the workers with the data
    return datasets
