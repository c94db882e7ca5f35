"""Plans the trials that have no record into packs, has Ray Tune train them, counts what came out."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune

from infomax_tune import data, environment
from infomax_tune.callbacks import ProgressLines
from infomax_tune.config import TrialConfig
from infomax_tune.errors import ConfigError, ResourceError
from infomax_tune.interrupt import Interrupt
from infomax_tune.options import Options
from infomax_tune.packs import as_pack, from_pack, plan
from infomax_tune.store import Store
from search_spaces import SearchSpace

_TUNE_SETTINGS = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours lets a pack finish its epoch and says how to go on
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store is the record; Tune's files would double it
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # nothing of Tune's is read again
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "error",
}


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: trials by status (done, diverged, failed, missing), and whether it was interrupted."""

    counts: Counter[str]
    interrupted: bool

    @property
    def complete(self) -> bool:
        return set(self.counts) <= {"done", "diverged"}


def begin(space: SearchSpace, store: Store) -> None:
    """Makes the folder a sweep of this space, or extends the sweep it is.

    Raises ConfigError if the folder holds a sweep with another base config: its records would not fit.
    """
    store.create()
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
    store.write_sweep(space.as_dict())


def run(space: SearchSpace, store: Store, options: Options, say: Callable[[str], None]) -> Outcome:
    """Trains every trial of the space that has no record, and assembles the tables. The caller holds the store's lock.

    Raises ConfigError, DataError or ResourceError before anything is trained.
    """
    trials = space.trials()
    for config in trials:
        data.check_batch_size(config)
    missing = _missing(trials, store, say)
    interrupted = False
    # Ray takes seconds to start and one to stop: torch and the data are loaded meanwhile, and the tables written
    with ThreadPoolExecutor(1) as pool:
        if missing:
            loading = pool.submit(_load, missing, options)
            with _cluster(options, pool) as slots:
                packs = plan(missing, min(slots, options.max_concurrent or slots), options.pack)
                say(
                    f"{len(missing)} of {len(trials)} trials to train, in {len(packs)} packs, {min(slots, len(packs))} at a time"
                )
                interrupted = _fit(packs, loading.result(), store, options, ended=len(trials) - len(missing), say=say)
        results = store.write_tables(trials)
    return Outcome(Counter(results["status"]), interrupted)


def _load(missing: Sequence[TrialConfig], options: Options) -> dict[str, data.Dataset]:
    return {name: data.load(name, options.data_dir) for name in sorted({config.data.dataset for config in missing})}


def _missing(trials: Sequence[TrialConfig], store: Store, say: Callable[[str], None]) -> list[TrialConfig]:
    """The trials that have no record; a damaged one is set aside."""
    missing = []
    for config in trials:
        folder = store.trial(config.trial_id)
        finding = folder.find()
        if finding.status == "damaged":
            folder.set_aside("record.json")
            say(f"warning: {finding.problem} Set aside; {config.trial_id} is trained again.")
        if finding.record is None:
            missing.append(config)
    return missing


@contextlib.contextmanager
def _cluster(options: Options, pool: ThreadPoolExecutor) -> Iterator[int]:
    """Joins or starts Ray, and leaves it in the pool; how many packs it can train at once. Raises ResourceError if none."""
    os.environ.update({name: value for name, value in _TUNE_SETTINGS.items() if name not in os.environ})
    if options.address:
        _check_reachable(options.address)
    try:
        ray.init(
            address=options.address or "local",
            include_dashboard=False if not options.address else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"cannot join the Ray cluster at {options.address}" if options.address else "cannot start Ray here"
        token = " If it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN." if options.address else ""
        raise ResourceError(f"{where}: {str(error).strip().splitlines()[0]}.{token}") from None
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        slots = sum(_slots(node, options) for node in nodes)
        if slots == 0:
            cpus = max(node.get("CPU", 0) for node in nodes)
            gpus = max(node.get("GPU", 0) for node in nodes)
            raise ResourceError(
                f"one pack asks for {options.cpus_per_pack:g} CPUs and {options.gpus_per_pack:g} GPUs, and no machine of the "
                f"cluster has as much (the most: {cpus:g} CPUs, {gpus:g} GPUs); lower --cpus-per-pack or --gpus-per-pack."
            )
        yield slots
    finally:
        pool.submit(ray.shutdown)


def _check_reachable(address: str) -> None:
    """Raises ResourceError at once if nobody answers at HOST:PORT, for which Ray itself would wait for ever."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # auto, or another name that Ray resolves itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"--address: nobody answers at {address} ({error}); give the address that `ray start --head` printed, or auto."
        ) from None


def _slots(node: dict[str, float], options: Options) -> int:
    asked = {"CPU": options.cpus_per_pack, "GPU": options.gpus_per_pack}
    return int(min(node.get(name, 0) / amount for name, amount in asked.items() if amount))


def _fit(
    packs: Sequence[list[TrialConfig]],
    datasets: dict[str, data.Dataset],
    store: Store,
    options: Options,
    *,
    ended: int,
    say: Callable[[str], None],
) -> bool:
    """Has Tune train the packs; True if it was interrupted."""
    from infomax_tune.experiment import How  # imports torch, which `run` lets load while Ray starts
    from infomax_tune.trainable import train_on_ray

    device = options.device or ("cuda" if options.gpus_per_pack else "cpu")
    described = environment.describe(device=device, threads=options.threads)
    store.write_environment(described)
    store.clear_stop()
    how = How(device, environment=environment.fingerprint(described))
    epochs = sum(config.training.epochs for pack in packs for config in pack)
    trainable = tune.with_parameters(
        train_on_ray, datasets=datasets, out=str(store.root.resolve()), how=how, threads=options.threads
    )
    interrupt = Interrupt(say, on_ask=store.ask_to_stop)
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
            stop=_StopWhenIdle(interrupt),
            callbacks=[ProgressLines(ended + sum(map(len, packs)), ended, epochs, say)],
        ),
    )
    with interrupt:
        results = tuner.fit()
    store.clear_stop()
    for i in range(len(results)):
        result = results[i]
        if result.error is not None and not interrupt.asked:
            _leave_failures(result, store)
    return interrupt.asked


def _name(trial: Any) -> str:
    """The pack's name in Tune's own words: its cell and its seeds."""
    pack = trial.config["pack"]
    config = from_pack(pack | {"seeds": pack["seeds"][:1]})[0]
    return f"{config.cell}-s{'_'.join(map(str, pack['seeds']))}"


def _leave_failures(result: Any, store: Store) -> None:
    """A worker that died could not leave its own failure."""
    for config in from_pack(result.config["pack"]):
        folder = store.trial(config.trial_id)
        if folder.read_failure() is None:
            folder.write_failure(f"its worker died: {result.error}", 0)


class _StopWhenIdle(tune.Stopper):
    """Once an interrupt was asked for, ends the sweep as soon as the packs under way have left their checkpoints."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._under_way: set[str] = set()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        (self._under_way.discard if result.get("finished") else self._under_way.add)(trial_id)
        return False

    def stop_all(self) -> bool:
        return self._interrupt.asked and not self._under_way
