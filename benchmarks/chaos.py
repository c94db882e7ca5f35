"""Kills a sweep again and again, for real, and checks that its results are those of an undisturbed sweep.

    python -m benchmarks.chaos --kills 100 --seed 1

Each round starts or resumes one sweep and ends it at a random moment: SIGKILL of the driver, a worker, the raylet or
the GCS; SIGINT or SIGTERM of the driver; or a SIGKILL inside the write of a record, a checkpoint, a history, the
weights or a table. When the kills are spent the sweep is resumed to its end, and every table and weights file must
have the bytes of the undisturbed sweep. Also counted: finished trials that are trained again (there must be none), epochs
lost (at most those since the last checkpoint), and trials whose TensorBoard curves have a gap or a doubled step.
A sweep whose worker was killed tries the pack again, and may go on to its end by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SPACE = """
name: chaos
description: Small trials with time to be killed.
base:
  data: {dataset: digits}
  training: {epochs: 60, lr: 1e-2}
  logging: {save_metrics_every: 10, checkpoint_every: 5}
axes:
  activation: [identity, relu, leaky_relu, softmax, tanh, softplus]
  hidden_dim: [16, 64]
  seed: {range: [1, 10]}
"""
EPOCHS, CHECKPOINT_EVERY = 60, 5
WRITES = (
    "record.json",
    "history.csv",
    "weights.safetensors",
    "checkpoint.safetensors",
    "results.csv",
    "history.parquet",
)
MOMENTS = ("half", "written", "renamed")
SIGNALS = {
    "kill the driver": signal.SIGKILL,
    "interrupt the driver": signal.SIGINT,
    "terminate the driver": signal.SIGTERM,
}
PROCESSES = {"kill a worker": "ray::ImplicitFunc", "kill the raylet": "raylet", "kill the GCS": "gcs_server"}


@dataclass
class Chaos:
    """One sweep that is killed and resumed, and what is counted meanwhile; `main` judges it."""

    folder: Path
    seed: int
    pack: str = "auto"
    options: tuple[str, ...] = ()
    """Further words of the command."""
    counts: Counter[str] = field(default_factory=Counter)
    records: dict[str, tuple[int, str]] = field(default_factory=dict)
    """For each finished trial: when its record was written, and its hash."""
    trained_again: int = 0
    lost_epochs: int = 0
    most_lost: int = 0
    broken_curves: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - only chooses deaths
        self.space = self.folder / "chaos.yaml"
        self.space.write_text(SPACE)
        self.out = self.folder / "killed"

    def sweep(self, out: Path, fault: str = "") -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "infomax_tune",
            "sweep",
            str(self.space),
            "--out",
            str(out),
            "--pack",
            self.pack,
            *self.options,
            "--no-report",
        ]
        environment = os.environ | {"INFOMAX_TUNE_FAULT": fault, "INFOMAX_TUNE_TRACE": str(self.trace(out))}
        log = (self.folder / f"{out.name}.log").open("ab")
        with log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def trace(self, out: Path) -> Path:
        return self.folder / f"{out.name}.trace"

    def undisturbed(self) -> dict[str, str]:
        """The hashes of the same sweep when it is left alone."""
        out = self.folder / "undisturbed"
        if not (out / "results.csv").exists() and self.sweep(out).wait(600) != 0:
            raise SystemExit((self.folder / "undisturbed.log").read_text())
        return hashes(out)

    def choose(self) -> tuple[str, float]:
        """A way to die, and the seconds of training before it."""
        write = f"kill in {self.random.choice(WRITES)}:{self.random.choice(MOMENTS)}:{self.random.randint(1, 12)}"
        return self.random.choice([*SIGNALS, *PROCESSES, *[write] * len(PROCESSES)]), self.random.uniform(0, 3)

    def die(self, how: str, after_s: float) -> bool:
        """Starts or resumes the sweep and ends it; False if it had already ended."""
        fault = how.removeprefix("kill in ") if how.startswith("kill in ") else ""
        before = self.epochs_traced()
        driver = self.sweep(self.out, fault)
        family = Family(driver)
        deadline = time.monotonic() + 300  # only so that it ends some day, however busy the machine
        family.watch(lambda: self.epochs_traced() > before or time.monotonic() > deadline)  # until it trains
        end = deadline if fault else time.monotonic() + after_s
        family.watch(lambda: time.monotonic() > end or (bool(fault) and family.lost_one()))
        died = family.lost_one() if fault else family.strike(how)
        if fault and driver.poll() is None:
            driver.kill()  # it would try the pack again, and the fault would kill it again
        try:
            driver.wait(300)
        except subprocess.TimeoutExpired:
            self.counts["driver hung, and was killed too"] += 1
            driver.kill()
            driver.wait()
        family.end()
        self.note_records()
        self.counts[how.partition(":")[0] if died else "had ended before"] += 1
        return died

    def epochs_traced(self) -> int:
        path = self.trace(self.out)
        return path.stat().st_size if path.exists() else 0

    def note_records(self) -> None:
        """Counts the finished trials whose records have changed: a finished trial must never be trained again."""
        for path in self.out.glob("trials/*/record.json"):
            state = path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()
            if self.records.setdefault(path.parent.name, state) != state:
                self.trained_again += 1
                self.records[path.parent.name] = state

    def restart(self) -> None:
        """Counts the epochs that a finished sweep lost, and deletes the sweep."""
        self.count_epochs()
        self.trace(self.out).unlink()
        subprocess.run(["rm", "-rf", str(self.out)], check=True)
        self.records.clear()

    def finish(self) -> dict[str, str]:
        """Resumes the sweep to its end, and returns its hashes."""
        if self.sweep(self.out).wait(600) != 0:
            raise SystemExit((self.folder / "killed.log").read_text()[-5000:])
        self.note_records()
        self.broken_curves += sum(not _is_whole(path.parent) for path in self.out.glob("tensorboard/**/*tfevents*"))
        return hashes(self.out)

    def unfinished(self) -> bool:
        return len(list(self.out.glob("trials/*/record.json"))) < 120

    def count_epochs(self) -> None:
        """Counts, from the trace of every epoch trained, how many epochs each death cost a trial."""
        last: dict[str, int] = {}
        for line in self.trace(self.out).read_text().splitlines():
            trial_id, _, epoch = line.partition(" ")
            before, now = last.get(trial_id, 0), int(epoch)
            self.lost_epochs += max(0, before + 1 - now)
            self.most_lost = max(self.most_lost, before + 1 - now)
            last[trial_id] = now


class Family:
    """The driver and every process that it started, directly or through Ray."""

    def __init__(self, driver: subprocess.Popen[bytes]) -> None:
        self.driver = driver
        self.seen: dict[int, tuple[psutil.Process, str]] = {}

    def watch(self, enough: Callable[[], bool]) -> None:
        """Keeps track of the processes until `enough()`, or until the driver has ended."""
        while self.driver.poll() is None and not enough():
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process(self.driver.pid).children(recursive=True):
                    self.seen[process.pid] = process, " ".join(process.cmdline())
            time.sleep(0.02)

    def lost_one(self) -> bool:
        """Whether a worker that had begun to train is gone, or the driver was killed."""
        if self.driver.poll() is not None:
            return self.driver.returncode == -signal.SIGKILL
        return any(_is(name, "ray::ImplicitFunc") and not process.is_running() for process, name in self.seen.values())

    def strike(self, how: str) -> bool:
        """Sends the signal; False if there was no process left to get it."""
        if how in SIGNALS:
            if self.driver.poll() is not None:
                return False
            self.driver.send_signal(SIGNALS[how])
            return True
        for process, name in self.seen.values():
            if _is(name, PROCESSES[how]) and process.is_running():
                with contextlib.suppress(psutil.Error):
                    process.kill()
                    return True
        return False

    def end(self) -> None:
        """Kills the processes that the driver left behind and that have not ended by themselves in two seconds."""
        _, alive = psutil.wait_procs([process for process, _ in self.seen.values()], timeout=2)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=5)


def _is(command: str, program: str) -> bool:
    """Whether a command line is this program's; Ray names its workers after what they run."""
    return command.split(" ", maxsplit=1)[0].rpartition("/")[2].startswith(program)


def _is_whole(run: Path) -> bool:
    """Whether TensorBoard reads each epoch's loss exactly once, in order."""
    accumulator = EventAccumulator(str(run))
    accumulator.Reload()
    return [event.step for event in accumulator.Scalars("loss")] == list(range(1, EPOCHS + 1))


def hashes(out: Path) -> dict[str, str]:
    """The sha256 of every table except the timings, and of every trial's history and weights."""
    paths = [
        out / "results.csv",
        out / "results.parquet",
        out / "history.parquet",
        *sorted(out.glob("trials/*/history.csv")),
        *sorted(out.glob("trials/*/weights.safetensors")),
    ]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="deaths in all (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="chooses how and when (default 1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos ü ") as folder:
        chaos = Chaos(Path(folder), arguments.seed)
        expected = chaos.undisturbed()
        kills = sweeps = differing = 0
        begun = time.monotonic()
        while kills < arguments.kills:
            how, after_s = chaos.choose()
            died = chaos.die(how, after_s)
            kills += died
            passed, done = time.monotonic() - begun, len(chaos.records)
            print(
                f"{kills:4} {passed:6.0f} s  {done:3} trials done  {how}{'' if died else ': had ended before'}",
                flush=True,
            )
            if not chaos.unfinished() or kills >= arguments.kills:
                got = chaos.finish()
                sweeps += 1
                differing += got != expected
                print(
                    f"     sweep {sweeps} finished: {'the same bytes' if got == expected else 'OTHER BYTES'}",
                    flush=True,
                )
                chaos.restart()
        for how, count in sorted(chaos.counts.items()):
            print(f"{count:4}  {how}")
        print(
            f"{kills} kills (seed {arguments.seed}) over {sweeps} sweeps of 120 trials: {differing} sweeps differ, "
            f"{chaos.trained_again} finished trials trained again, {chaos.lost_epochs} of {120 * EPOCHS * sweeps} trial-epochs "
            f"trained again, at most {chaos.most_lost} of a trial in a death (checkpoints every {CHECKPOINT_EVERY}), "
            f"{chaos.broken_curves} TensorBoard runs with a gap or a doubled step"
        )
    wrong = differing or chaos.trained_again or chaos.broken_curves or chaos.most_lost > CHECKPOINT_EVERY
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
