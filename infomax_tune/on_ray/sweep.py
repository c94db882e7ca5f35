"""Plans the trials that have no record into packs, has Ray Tune train them, counts what came out."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ray import tune

from infomax_tune.errors import ConfigError, EnvironmentDriftError
from infomax_tune.follow.display import Display
from infomax_tune.follow.tally import Tally
from infomax_tune.follow.tensorboard_runs import mend, of_sweep
from infomax_tune.on_ray.callbacks import Follow, Offer, StopWhenIdle
from infomax_tune.on_ray.cluster import cluster
from infomax_tune.on_ray.tracker_feed import TrackerFeed
from infomax_tune.packs.packing import as_pack, from_pack, plan
from infomax_tune.process import environment
from infomax_tune.process.signals import Interrupt
from infomax_tune.science import data
from infomax_tune.store.sweep_folder import Finding, SweepFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.options import Options
from infomax_tune.study.space import SearchSpace

if TYPE_CHECKING:
    from infomax_tune.packs.pack_training import How


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: trials by status (done, diverged, failed, missing), and whether it was interrupted."""

    counts: Counter[str]
    interrupted: bool


@dataclass(frozen=True)
class _Job:
    """What every pack of a sweep shares."""

    datasets: dict[str, data.Dataset]
    store: SweepFolder
    axes: list[str]
    options: Options
    how: How
    display: Display
    tally: Tally
    handover: TrackerFeed
    traced: list[bool] = field(default_factory=list)
    """Not empty once a traceback was shown."""


def check(space: SearchSpace, store: SweepFolder) -> None:
    """Raises ConfigError if the folder holds a sweep with another base config: its records would not fit."""
    if store.has_sweep():
        before = SearchSpace.from_dict(store.read_sweep(), str(store.root / "sweep.yaml"))
        axes = set(space.axes) | set(before.axes)
        free = {"logging.save_weights", "logging.checkpoint_every"} | axes
        old, new = before.base.flat(), space.base.flat()
        changed = [
            f"{name} was {old[name]!r}, is {new[name]!r}" for name in new if name not in free and old[name] != new[name]
        ]
        if changed:
            raise ConfigError(
                f"{store.root}: holds a sweep with another base config ({'; '.join(changed)}). Choose another --out."
            )


def run(space: SearchSpace, store: SweepFolder, options: Options, display: Display, *, hard: bool = True) -> Outcome:
    """Makes the folder a sweep of this space, or extends the sweep it is; trains every trial that has no record, and
    assembles the tables. The caller holds the store's lock. hard: see `Interrupt`.

    Raises ConfigError, DataError, ResourceError or EnvironmentDriftError before the sweep is begun or extended.
    """
    check(space, store)
    if not store.has_sweep():
        store.write_sweep(space.as_dict())  # from here on it can be resumed; an extension waits until it is sure to run
    trials = space.trials()
    store.tidy()
    findings = _findings(trials, store, display)
    missing = [config for config in trials if findings[config.trial_id].record is None]
    tally = Tally(trials, {trial_id: finding.status for trial_id, finding in findings.items() if finding.record})
    handover = TrackerFeed(space.name, trials, store, options.loggers, display)
    interrupt = Interrupt(display.say, on_ask=store.ask_to_stop, on_leave=display.close, hard=hard)

    def enter(phase: str) -> None:
        tally.phase = phase
        display.show(tally.state())
        store.write_progress(tally.state().as_dict())

    with contextlib.ExitStack() as stack:
        stack.callback(store.clear_progress)
        stack.callback(display.close)
        if missing:
            enter("starting Ray")
            # Ray takes seconds to start: torch and the data are loaded meanwhile
            loading = stack.enter_context(ThreadPoolExecutor(1)).submit(_load, missing, options)
            with cluster(options, store.ray_log) as slots, interrupt:
                packs = plan(missing, min(slots, options.max_concurrent or slots), options.pack_size)
                at_once = min(slots, options.max_concurrent or slots, len(packs))
                display.say(
                    f"{len(missing)} of {len(trials)} trials to train, in {len(packs)} packs, {at_once} at a time"
                )
                tally.slots = at_once
                enter("training")
                job = _prepare(loading.result(), store, space.further_axes(), options, display, tally, handover)
                store.write_sweep(space.as_dict())
                _mend_runs(space, store, display)
                for config in missing:
                    store.trial(config.trial_id).forget_failure()
                with handover.at_work(lambda: interrupt.asked):
                    try:
                        _train_all(packs, job, interrupt)
                    except Exception:
                        store.require_room()  # the likelier reason, where there is none
                        raise
                    enter("writing the tables")
                    results = store.write_tables(trials)  # before Ray, which might not end well, is ended
                    if options.loggers:
                        enter("handing trials over")
                store.clear_stop()
        else:
            store.write_sweep(space.as_dict())
            _mend_runs(space, store, display)
            results = store.write_tables(trials)
            if handover.needs_ray():
                stack.enter_context(cluster(options, store.ray_log))
            with handover.at_work():
                pass
    return Outcome(Counter(results["status"]), interrupt.asked)


def _load(missing: Sequence[TrialConfig], options: Options) -> dict[str, data.Dataset]:
    return {name: data.load(name, options.data_dir) for name in sorted({config.data.dataset for config in missing})}


def _findings(trials: Sequence[TrialConfig], store: SweepFolder, display: Display) -> dict[str, Finding]:
    """What there is of each trial; a damaged record is set aside."""
    findings = store.find(trials)
    for trial_id, finding in findings.items():
        if finding.status == "damaged":
            store.trial(trial_id).set_aside("record.json")
            display.warn(f"warning: {finding.problem} Set aside; {trial_id} is trained again.")
    return findings


def _mend_runs(space: SearchSpace, store: SweepFolder, display: Display) -> None:
    """Sees to it that TensorBoard shows what the records say, each trial at its place."""
    for problem in mend(store.runs_folder, of_sweep(space.trials(), store, space.further_axes())):
        display.warn(f"warning: {problem} TensorBoard will not show it.")


def _prepare(
    datasets: dict[str, data.Dataset],
    store: SweepFolder,
    axes: list[str],
    options: Options,
    display: Display,
    tally: Tally,
    handover: TrackerFeed,
) -> _Job:
    """All that is the same for every pack. Raises EnvironmentDriftError under `strict_environment`."""
    from infomax_tune.packs.pack_training import How  # imports torch, which `run` lets load while Ray starts

    device = options.device or ("cuda" if options.gpus_per_pack else "cpu")
    described = environment.describe(device=device, threads=options.threads)
    environments, problems = store.read_environments()
    for problem in problems:
        display.warn(f"warning: {problem} Set aside; whether its trials were trained elsewhere is not known.")
    others = [environment.differences(before, described) for before in environments]
    drift = "; or ".join("; ".join(differences) for differences in others if differences)
    if drift:
        message = f"trials of this sweep were trained in another environment: {drift}"
        if options.strict_environment:
            raise EnvironmentDriftError(f"{message}. Go on there, or without --strict-environment.")
        display.warn(f"warning: {message}. Last bits may differ; timings.csv tells which trial was trained where.")
    if device != "cpu":
        display.say(
            f"note: on {device} the last bits of a trial can depend on the pack it is trained in; on a CPU they do not."
        )
    command = shlex.join(sys.argv)
    resumed = "resume" in sys.argv[1:2]  # the report tells the command that repeats the study, not the one that went on
    store.write_environment(described | {"command": (store.begun_by() or command) if resumed else command})
    store.clear_stop()
    return _Job(datasets, store, axes, options, How(device), display, tally, handover)


def _train_all(packs: Sequence[list[TrialConfig]], job: _Job, interrupt: Interrupt) -> None:
    """Trains the packs, then one by one the trials of those that failed: one trial must not take others with it."""
    failed, suspects = _until_none_is_left(packs, job, interrupt)
    alone = [[config] for pack in failed if len(pack) > 1 for config in pack] + [[c] for pack in suspects for c in pack]
    if alone and not interrupt.asked:
        job.display.say(f"{len(alone)} trials of the packs that failed are tried one by one")
        one_at_a_time = dataclasses.replace(job.options, max_concurrent=1) if suspects else job.options
        _, guilty = _until_none_is_left(alone, dataclasses.replace(job, options=one_at_a_time), interrupt)
        for config in itertools.chain(*guilty):
            job.store.trial(config.trial_id).note_death("its worker ran out of memory")


def _until_none_is_left(
    packs: Sequence[list[TrialConfig]], job: _Job, interrupt: Interrupt
) -> tuple[list[list[TrialConfig]], list[list[TrialConfig]]]:
    """Has Tune train the packs, anew for the rest each time it gives up; (packs that failed, packs it gave up on).

    Tune gives up when Ray ends a worker for want of memory: of the packs under way then, any may be to blame.
    """
    failed: list[list[TrialConfig]] = []
    suspects: list[list[TrialConfig]] = []
    while packs and not interrupt.asked:
        more, given_up = _fit(packs, job, interrupt)
        failed += more
        suspects += given_up
        if not given_up:
            break
        known = {config.trial_id for pack in failed + suspects for config in pack}
        left = [
            [config for config in pack if not _is_done(config, job.store) and config.trial_id not in known]
            for pack in packs
        ]
        packs = [pack for pack in left if pack]
    return failed, suspects


def _is_done(config: TrialConfig, store: SweepFolder) -> bool:
    return store.trial(config.trial_id).has_record()


def _fit(
    packs: Sequence[list[TrialConfig]], job: _Job, interrupt: Interrupt
) -> tuple[list[list[TrialConfig]], list[list[TrialConfig]]]:
    """Has Tune train the packs; (those that failed, those under way when Tune gave up), with what is left of them."""
    from infomax_tune.on_ray.trainable import train_on_ray

    options, store = job.options, job.store
    trainable = tune.with_parameters(
        train_on_ray,
        datasets=job.datasets,
        out=str(store.root.resolve()),
        axes=job.axes,
        how=job.how,
        threads=options.threads,
    )

    def explain(pack: Sequence[TrialConfig]) -> str:
        failures = [store.trial(config.trial_id).read_failure() for config in pack]
        found = (failure["error"].strip() for failure in failures if failure)
        error = next(found, None) or store.room_problem() or "its worker died"
        if job.traced:
            return error.splitlines()[-1]
        if len(error.splitlines()) > 1:
            job.traced.append(True)
        return error  # the first traceback whole, since it may be the only one

    def ended(pack: Sequence[TrialConfig]) -> dict[str, str]:
        records = {config.trial_id: store.trial(config.trial_id).find(config.trial_id).record for config in pack}
        return {trial_id: record.status for trial_id, record in records.items() if record}

    idle = StopWhenIdle(lambda: interrupt.asked)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": options.cpus_per_pack, "gpu": options.gpus_per_pack}),
        param_space={"pack": tune.grid_search([as_pack(pack) for pack in packs])},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            max_concurrent_trials=options.max_concurrent,
            trial_name_creator=_name,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(store.ray_folder.resolve()),
            verbose=0,
            progress_reporter=tune.CLIReporter(),  # silent so; the one for notebooks would clear the cell's output
            stop=idle,
            failure_config=tune.FailureConfig(max_failures=options.max_failures),
            callbacks=[Follow(job.tally, job.display, store, explain, ended), idle.watch, Offer(job.handover.offer)],
        ),
    )

    def left(pack: dict[str, Any]) -> list[TrialConfig]:
        return [config for config in from_pack(pack) if not _is_done(config, store)]

    try:
        tuner.fit()
    except RuntimeError as error:
        if "running low on memory" not in str(error) or not idle.watch.packs:
            raise
        job.display.say("Ray ended a worker for want of memory")
        return [], [pack for pack in map(left, idle.watch.packs.values()) if pack]
    if interrupt.asked:
        return [], []
    failed = [left(pack) for pack in idle.watch.failed]
    if failed:
        store.require_room()  # else the trials would be tried one by one, in vain
    for config in itertools.chain(*failed):
        store.trial(config.trial_id).note_death("its worker died")
    return failed, []


def _name(trial: Any) -> str:
    """The pack's name in Tune's own words: its cell and its seeds."""
    pack = trial.config["pack"]
    config = from_pack(pack | {"seeds": pack["seeds"][:1]})[0]
    return f"{config.cell}-s{'_'.join(map(str, pack['seeds']))}"
