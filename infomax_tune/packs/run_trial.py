"""Trains a single trial in its own folder, without Ray: the command `run`. Imports torch once it is sure to train."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from infomax_tune.errors import ConfigError
from infomax_tune.follow.progress import PackProgress
from infomax_tune.packs.execution import Execution, environment_here, require_device
from infomax_tune.packs.mixing import refuse_to_mix
from infomax_tune.parts.catalogue import facts
from infomax_tune.process.environment import fingerprint
from infomax_tune.process.signals import Interrupt
from infomax_tune.science.data import load
from infomax_tune.store import part_copies
from infomax_tune.store.objects import is_object
from infomax_tune.store.record import Record
from infomax_tune.store.trial_folder import TrialFolder, run_path
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.datasets import check_batch_size, check_labels
from infomax_tune.study.options import device_problems
from infomax_tune.study.read_config import searched
from infomax_tune.study.trial_status import TrialStatus


def run_trial(
    config: TrialConfig,
    folder: TrialFolder,
    *,
    data_dir: Path | None = None,
    device: str = "cpu",
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
    hard: bool = False,
    trust_parts: bool = False,
) -> Record:
    """Trains one trial in its own folder, on one thread, from its checkpoint if it has one, and returns its record.

    command: the call that repeats it, kept with the environment. hard: see `Interrupt`. trust_parts: see `api.run`. A folder
    that already holds this trial's record is left as it is. Raises StoreError if it holds something else or is in use by
    another process, ConfigError, DataError or ResourceError before training starts, KeyboardInterrupt if it is stopped.
    """
    problems = device_problems(device)
    if problems:
        raise ConfigError(problems[0])
    require_device(device)
    folder.refuse_strangers()
    part_copies.bring(config.parts(), [folder.path, *searched(), data_dir], trust=trust_parts)
    check_batch_size(config)
    check_labels(config)
    folder.refuse_another(config)
    done = folder.find(config).record
    if done:
        return done
    import torch

    from infomax_tune.follow.tensorboard_runs import Run
    from infomax_tune.packs.pack_training import train_pack

    dataset = load(config.data.dataset, data_dir)
    with folder.lock(), contextlib.ExitStack() as stack:
        finding = folder.find(config)
        if finding.record:
            return finding.record
        if finding.status == TrialStatus.DAMAGED:
            folder.set_record_aside()
            say(f"warning: {finding.problem} Set aside; the trial will be trained again.")
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)  # as in a sweep: a trial's bits depend on the number of threads
        checkpoint = folder.kept()
        # a checkpoint of another arithmetic is no reason to refuse: the trial then trains from the beginning
        refuse_to_mix([checkpoint] if checkpoint else [], {dataset.name: dataset}, mix_arithmetic=True)
        described = environment_here(device=device, threads=1)
        folder.write_config(config)
        of_trial = {"command": command, "data": {dataset.name: dataset.digest}, "parts": facts(config.parts())}
        folder.write_environment(described | of_trial)

        def show(progress: PackProgress) -> None:
            if progress.epoch % config.logging.save_metrics_every == 0 or progress.epoch == config.training.epochs:
                loss = f"loss {progress.loss:.4g}" if progress.epoch else "untrained"
                rank = f"effective rank {progress.effective_rank:.4g}"
                say(f"epoch {progress.epoch}/{config.training.epochs}  {loss}  {rank}")

        with Interrupt(say, hard=hard) as interrupt:
            train_pack(
                [config],
                [folder],
                dataset,
                Execution(device, environment=fingerprint(described)),
                on_epoch=show,
                should_stop=lambda: interrupt.asked,
                warn=lambda text: say(f"warning: {text}"),
                runs=None if is_object(folder.path) else [Run(folder.runs_folder / run_path(config), config)],
            )
        record = folder.read_record()
        if record is None:
            raise KeyboardInterrupt
        return record
