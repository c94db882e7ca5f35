"""Runs packs through Tune, and finds which trials cause failures."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError

from infomax_tune.on_ray.callbacks import FollowPacks, StopWhenIdle
from infomax_tune.on_ray.patches import giving_up_without_memory, in_prestarted_workers, without_usage_tags
from infomax_tune.on_ray.session import Session
from infomax_tune.on_ray.trainable import train_on_ray
from infomax_tune.packs.execution import Execution
from infomax_tune.science.data import Dataset
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.pack import Pack
from infomax_tune.study.trial_status import TrialStatus


@dataclass(frozen=True)
class Job:
    """What all packs of a sweep have in common. environment_missing: whether environment.json lacks the environment, which the
    first worker then adds."""

    session: Session
    datasets: dict[str, Dataset]
    environment_missing: bool


@dataclass
class _Unfinished:
    """Packs that were tried but not finished; each holds only its trials without a record.

    failed: their workers raised or died. suspects: they were running when Ray killed a worker because memory ran out,
    so any of them may be the cause.
    """

    failed: list[Pack] = field(default_factory=list)
    suspects: list[Pack] = field(default_factory=list)


def train_all(packs: Sequence[Pack], job: Job) -> None:
    """Trains the packs, then the trials of failed packs one by one, so one bad trial does not cost the others."""
    session, explainer = job.session, _Explainer(job.session.folder)
    unfinished = _train_until_none_is_left(packs, job, explainer)
    alone = _one_by_one([pack for pack in unfinished.failed if len(pack) > 1]) + _one_by_one(unfinished.suspects)
    if not alone or session.interrupt.asked:
        return
    session.display.say(f"retrying {len(alone)} trials of the failed packs, each on its own")
    if unfinished.suspects:
        job = _one_at_a_time(job)
    out_of_memory = _train_until_none_is_left(alone, job, explainer).suspects  # each was alone
    _note_deaths(out_of_memory, session.folder, "its worker ran out of memory")


def _note_deaths(packs: Sequence[Pack], folder: SweepFolder, error: str) -> None:
    """Writes a failure for each trial whose worker could not write its own."""
    for config in itertools.chain(*packs):
        folder.trial(config.trial_id).note_death(error)


def _one_by_one(packs: Sequence[Pack]) -> list[Pack]:
    return [Pack.of([config]) for pack in packs for config in pack]


def _one_at_a_time(job: Job) -> Job:
    """The same job with one pack at a time: if memory runs out, that pack is the cause."""
    options = dataclasses.replace(job.session.options, max_concurrent=1)
    return dataclasses.replace(job, session=dataclasses.replace(job.session, options=options))


def _train_until_none_is_left(packs: Sequence[Pack], job: Job, explainer: _Explainer) -> _Unfinished:
    """Trains the packs with Tune, restarting with the remaining ones whenever Tune gives up because memory ran out."""
    unfinished = _Unfinished()
    while packs and not job.session.interrupt.asked:
        # Tune would make the output folder again if that was moved; what it writes is never read
        with tempfile.TemporaryDirectory(prefix="infomax-tune-", ignore_cleanup_errors=True) as storage:
            tried = _fit(packs, job, explainer, storage)
        unfinished.failed += tried.failed
        unfinished.suspects += tried.suspects
        if not tried.suspects:
            break
        known = {config.trial_id for config in itertools.chain(*unfinished.failed, *unfinished.suspects)}
        packs = _left(packs, job.session.folder, but=known)
    return unfinished


def _left(packs: Sequence[Pack], folder: SweepFolder, but: Collection[str] = ()) -> list[Pack]:
    """The remaining packs: their trials that have no record and are not in `but`."""
    left = [
        [config for config in pack if config.trial_id not in but and not folder.trial(config.trial_id).has_record()]
        for pack in packs
    ]
    return [Pack.of(trials) for trials in left if trials]


def _fit(packs: Sequence[Pack], job: Job, explainer: _Explainer, storage: str) -> _Unfinished:
    """Trains the packs with Tune once, with as many retries as the options allow. storage: a folder for Tune's own files."""
    session, options, folder = job.session, job.session.options, job.session.folder
    trainable = tune.with_parameters(
        train_on_ray,
        packs=[pack.to_json() for pack in packs],
        datasets=job.datasets,
        out=folder.address,
        axes=session.plan.further_axes,
        execution=Execution(options.device_or_default),
        threads=options.threads,
        driver=folder.driver.id,
        environment_missing=job.environment_missing,
    )
    follow = FollowPacks(packs, session, explain=explainer.explain, ended=_ended, logs=_logs)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": options.cpus_per_pack, "gpu": options.gpus_per_pack}),
        param_space={"pack": tune.grid_search(list(range(len(packs))))},  # Tune copies it once for each pack
        tune_config=tune.TuneConfig(
            reuse_actors=True,  # a new process for each pack would import torch again
            max_concurrent_trials=options.max_concurrent,
            trial_name_creator=lambda trial: _name(packs[trial.config["pack"]]),
            trial_dirname_creator=lambda trial: trial.trial_id,  # our name may be too long for a file name
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=storage,
            verbose=0,  # the display is ours
            progress_reporter=tune.CLIReporter(),  # prints nothing here; the one for notebooks would clear the cell's output
            stop=StopWhenIdle(lambda: session.interrupt.asked, follow.under_way),
            failure_config=tune.FailureConfig(max_failures=options.max_failures),
            callbacks=[follow],
        ),
    )
    try:
        with (
            without_usage_tags(),
            in_prestarted_workers(local=not options.address),
            giving_up_without_memory(follow.note_start),
        ):
            tuner.fit()
    except RuntimeError as error:
        # Tune retries packs whose worker died, but gives up when Ray ended one because memory ran out
        if not isinstance(error.__cause__, OutOfMemoryError) or not follow.under_way:
            raise
        session.display.say("Ray killed a worker because memory ran out")
        return _Unfinished(suspects=_left(list(follow.under_way.values()), folder))
    if session.interrupt.asked:
        return _Unfinished()
    if follow.failed:
        folder.require_room()  # on a full disk, retrying the trials one by one would be useless
    failed = _left(follow.failed, folder)
    _note_deaths(failed, folder, "its worker died")
    return _Unfinished(failed=failed)


def _logs() -> str:
    context = ray.get_runtime_context()
    return f"{context.get_temp_dir()}/{context.get_session_name()}/logs"


def _ended(pack: Pack, folder: SweepFolder) -> dict[str, TrialStatus]:
    """The statuses of a pack's trials that have a record."""
    records = {config.trial_id: folder.trial(config.trial_id).find(config).record for config in pack}
    return {trial_id: record.status for trial_id, record in records.items() if record}


def _name(pack: Pack) -> str:
    """The pack's name in Tune's own files: its cell and its seeds."""
    return f"{pack.cell}-s{'_'.join(map(str, pack.seeds))}"


class _Explainer:
    """Says why packs failed: shows the first traceback in full, and only the last line of later ones."""

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder
        self._has_shown_a_traceback = False

    def explain(self, failure: str) -> str:
        """failure: the traceback that the worker reported, "" if it could not."""
        error = failure.strip() or self._folder.room_problem() or "its worker died"
        lines = error.splitlines()
        if self._has_shown_a_traceback:
            return lines[-1]
        self._has_shown_a_traceback = len(lines) > 1
        return error
