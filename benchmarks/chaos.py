"""Kills and damages a real sweep again and again, and checks that its results are those of an undisturbed sweep.

    python -m benchmarks.chaos --kills 150 --faults 150 --seed 1

Each round starts or resumes one sweep and ends it at a random moment: SIGKILL of the driver, a worker, the raylet or
the GCS; SIGINT, SIGTERM or SIGHUP of the driver; SIGTERM of all its processes, or while Ray starts; another driver that
takes over; its folder moved away; or a SIGKILL inside the write of a record, a checkpoint, a history, the weights or a
table. Every other round shows its live display in a pseudo-terminal, and some are looked at by a machine whose clock
was set. Between two rounds, files are damaged (see `benchmarks.faults`), and `verify` must report it; a link takes a
file's place, and nothing may be written through it; compiled code in the cache is cut off. After the last kill, the
sweep is resumed until it ends, and every table and weights file must have the bytes of the undisturbed sweep. The
program also counts finished trials that are trained again (exactly those whose files were damaged), epochs lost (at
most those since the last checkpoint), tracebacks shown (none), and trials whose TensorBoard curves have a gap or a
doubled step. A sweep whose worker was killed tries the pack again, and may end by itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmarks.family import ALL, PROCESSES, SIGNALS, Family, start
from benchmarks.faults import FILES, HARMS, Fault, broken_promises, fault, unreadable
from infomax_tune.process.code_cache import CACHE_DIR_VARIABLE
from infomax_tune.store.sweep_folder import SweepFolder

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
COMMAND = (sys.executable, "-m", "infomax_tune")
WRITES = (
    "record.json",
    "history.csv",
    "weights.safetensors",
    "checkpoint.safetensors",
    "results.csv",
    "history.parquet",
)
MOMENTS = ("begun", "written", "renamed")
STARTING, ANOTHER, MOVED = "terminate while Ray starts", "another driver takes over", "the folder is moved"
LINKED = ("results.csv", "sweep.yaml", "ray.log", "lock", "driver.json", "tensorboard", "environments", "trials")
"""What a link takes the place of: these, and a trial's folder and record."""
EXIT_CODES = {
    **{how: 130 for how, number in SIGNALS.items() if number != signal.SIGKILL},
    ALL: 130,
    STARTING: 130,
    ANOTHER: 2,
    MOVED: 2,
    "kill a worker": 0,
}


@dataclass
class Chaos:
    """One sweep that is killed and resumed, and what is counted meanwhile; `main` judges it."""

    folder: Path
    seed: int
    pack: str = "auto"
    options: tuple[str, ...] = ()
    """Further words of the command."""
    own_cache: bool = True
    """Whether code is compiled into a folder of its own, where it can be cut off."""
    counts: Counter[str] = field(default_factory=Counter)
    records: dict[str, tuple[int, str]] = field(default_factory=dict)
    """For each finished trial: when its record was written, and its hash."""
    damaged: set[str] = field(default_factory=set)
    """The finished trials that are damaged and have not been trained again yet."""
    violations: list[str] = field(default_factory=list)
    """What was seen and should not be, in words; `main` adds what its counts show."""
    restored: int = 0
    """Finished trials that were trained again because they were damaged."""
    trained_again: int = 0
    """Those that were trained again though they were not."""
    displays: int = 0
    """Rounds whose live display was seen in a terminal."""
    lost_epochs: int = 0
    most_lost: int = 0
    broken_curves: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - only chooses deaths
        self.space = self.folder / "chaos.yaml"
        self.space.write_text(SPACE)
        self.out = self.folder / "killed"
        self.cache = self.folder / "cache"
        self.rounds = self.read = 0
        self.drain: threading.Thread | None = None
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # under nohup; a sweep would inherit it
            signal.signal(signal.SIGHUP, lambda number, frame: None)

    def sweep(self, out: Path, fault: str = "", *, live: bool = False) -> subprocess.Popen[bytes]:
        """Starts or resumes the sweep. live: in a pseudo-terminal."""
        command = [
            *COMMAND,
            "sweep",
            str(self.space),
            "--out",
            str(out),
            "--pack",
            self.pack,
            *self.options,
            "--no-report",
        ]
        noted = {
            "INFOMAX_TUNE_FAULT": fault,
            "INFOMAX_TUNE_TRACE": str(self.trace(out)),
        }
        if self.own_cache:
            noted[CACHE_DIR_VARIABLE] = str(self.cache)
        driver, self.drain = start(command, os.environ | noted, self.log(out), live=live)
        return driver

    def log(self, out: Path) -> Path:
        return self.folder / f"{out.name}.log"

    def trace(self, out: Path) -> Path:
        return self.folder / f"{out.name}.trace"

    def undisturbed(self) -> dict[str, str]:
        """The hashes of the same sweep when it is left alone."""
        out = self.folder / "undisturbed"
        if not (out / "results.csv").exists() and self.sweep(out).wait(600) != 0:
            raise SystemExit(self.log(out).read_text())
        return hashes(out)

    def choose(self) -> tuple[str, float]:
        """A way to die, and the seconds of training before it."""
        name = self.random.choice(WRITES)
        count = 1 if name in ("results.csv", "history.parquet") else self.random.randint(1, 6)
        write = f"kill in {name}:{self.random.choice(MOMENTS)}:{count}"
        ways = [*SIGNALS, *PROCESSES, ALL, STARTING, ANOTHER, MOVED, *[write] * 4]
        return self.random.choice(ways), self.random.uniform(0, 1.5)

    def die(self, how: str, after_s: float) -> bool:
        """Starts or resumes the sweep and ends it; False if it had already ended."""
        fault = how.removeprefix("kill in ") if how.startswith("kill in ") else ""
        before = self.epochs_traced()
        self.rounds += 1
        live = self.rounds % 2 == 0
        driver = self.sweep(self.out, fault, live=live)
        family = Family(driver)
        begun = (lambda: self.starts_ray(driver.pid)) if how == STARTING else (lambda: self.epochs_traced() > before)
        deadline = time.monotonic() + 300  # only so that it ends some day, however busy the machine
        family.watch(lambda: begun() or time.monotonic() > deadline)
        if self.rounds % 4 == 1 and not fault and family.driver.poll() is None:
            self.look_by_another_clock(driver)
        end = deadline if fault else time.monotonic() + after_s
        family.watch(lambda: time.monotonic() > end or (bool(fault) and family.lost_one()))
        died = family.lost_one() if fault else self.strike(family, how)
        if fault and driver.poll() is None:
            driver.kill()  # it would try the pack again, and the fault would kill it again
        try:
            driver.wait(300)
        except subprocess.TimeoutExpired:
            self.counts["driver hung, and was killed too"] += 1
            driver.kill()
            driver.wait()
        family.end()
        if died and how == MOVED:
            self.bring_back()
        self.note_records()
        self.note_output(live=live)
        self.judge(how, driver.returncode, died=died)
        self.counts[how.partition(":")[0] if died else "had ended before"] += 1
        return died

    def strike(self, family: Family, how: str) -> bool:
        if how not in (ANOTHER, MOVED):
            return family.strike(how)
        if family.driver.poll() is not None:
            return False
        if how == ANOTHER:
            SweepFolder(self.out).driver.take_over()
        else:
            self.out.rename(self.folder / "moved")
        return True

    def bring_back(self) -> None:
        if self.out.exists():
            names = sorted(path.name for path in self.out.rglob("*"))
            self.violations.append(f"{MOVED}, and made again with {', '.join(names)}")
            subprocess.run(["rm", "-rf", str(self.out)], check=True)
        (self.folder / "moved").rename(self.out)

    def judge(self, how: str, code: int, *, died: bool) -> None:
        """Whether the driver ended as it should. What had trained everything when it was told to end may end otherwise."""
        if not self.unfinished():
            return
        if not died or code != EXIT_CODES.get(how, code):
            self.violations.append(f"{how}: {'' if died else 'ended by itself with '}exit code {code}")
        left = {"stop", "progress.json"} & {path.name for path in self.out.iterdir()}
        if EXIT_CODES.get(how) == 130 and left:
            self.violations.append(f"{how}: left {', '.join(sorted(left))}")

    def harm(self, number: int) -> int:
        """Damages so many files of the folder, each of another trial or kind, and has them verified; returns how many."""
        done: list[Fault] = []
        for _ in range(20 * number):  # a folder need not have enough files yet
            if len(done) == number:
                break
            what, harm = self.random.choice([*FILES]), self.random.choice([*HARMS])
            if made := fault(self.out, what, harm, self.random, spared={made.spare for made in done}):
                done.append(made)
                self.counts[made.kind] += 1
                self.note_damage(made)
        if done:
            self.verify(done)
        return len(done)

    def note_damage(self, made: Fault) -> None:
        """Notes which trial is to be trained again, and in the trace that the epochs before are not lost by a death."""
        if made.costs:
            self.damaged.add(made.trial)
            record = self.out / "trials" / made.trial / "record.json"
            if record.exists():
                self.records[made.trial] = _state(record)
        if made.begins_anew:
            with self.trace(self.out).open("a") as trace:
                trace.write(f"{made.trial} damaged\n")

    def refuse_to_read(self) -> bool:
        """Lets a file of a finished trial be unreadable for a while: that is told, and nothing of it is damage."""
        records = sorted(self.out.glob("trials/*/record.json"))
        whole = [path for path in records if path.parent.name not in self.damaged]
        if not whole:
            return False
        path = self.random.choice(whole).with_name(
            self.random.choice(["record.json", "history.csv", "weights.safetensors"])
        )
        with unreadable(path):
            codes = self.run_verify().returncode, self.sweep(self.out).wait(300)
        if codes != (2, 2):
            self.violations.append(f"{path} could not be read: verify and sweep ended with {codes}, not 2")
        self.note_records()
        self.note_output()
        self.counts["a file that cannot be read"] += 1
        return True

    def plant_link(self) -> bool:
        """Lets a link be in the place of a file or a folder for a while: that is told, and nothing is written through it."""
        trials = sorted(self.out.glob("trials/*/record.json"))
        there = [*trials[:1], *(path.parent for path in trials[1:2]), *(self.out / name for name in LINKED)]
        path, outside = self.random.choice([path for path in there if path.exists()]), self.folder / "outside"
        path.rename(outside)
        path.symlink_to(outside)
        before = _bytes_of(outside)
        code, verified = self.sweep(self.out).wait(300), self.run_verify()
        if code != 2 or verified.returncode != 1 or f"{path}: a link" not in verified.stdout:
            self.violations.append(f"{path} was a link: sweep and verify ended with {code} and {verified.returncode}")
        if _bytes_of(outside) != before:
            self.violations.append(f"{path} was a link, and something was written through it")
        path.unlink()
        outside.rename(path)
        self.note_output()
        self.counts["a link"] += 1
        return True

    def harm_cache(self) -> None:
        """Cuts off a file of the cache of compiled code, as a power failure does: it is compiled again."""
        compiled = [path for path in self.cache.rglob("*") if path.is_file()]
        if compiled:
            path = self.random.choice(compiled)
            path.write_bytes(path.read_bytes()[: self.random.randrange(path.stat().st_size or 1)])
            self.counts["compiled code cut off"] += 1

    def look_by_another_clock(self, driver: subprocess.Popen[bytes]) -> None:
        """A driver at work is seen as one, though the time of day is set while it runs: the system then says that it started
        at another time."""
        stat = self.folder / "stat"
        text = Path("/proc/stat").read_text(encoding="utf-8")
        stat.write_text(
            re.sub(r"^btime (\d+)", lambda found: f"btime {int(found[1]) + 3600}", text, flags=re.MULTILINE)
        )
        mount = ["unshare", "--mount", "sh", "-c", f'mount --bind "{stat}" /proc/stat; exec "$@"', "sh"]
        done = subprocess.run([*mount, *COMMAND, "status", str(self.out), "--json"], capture_output=True, check=False)
        if driver.poll() is None and done.returncode == 0 and json.loads(done.stdout)["driver"] is None:
            self.violations.append("a driver at work was not seen, after the clock was set")
        self.counts["a look after the clock was set"] += done.returncode == 0

    def run_verify(self) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "verify", str(self.out)]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def verify(self, faults: Sequence[Fault] = (), *, clean: bool = False) -> None:
        """clean: whether nothing may be left but what was set aside."""
        done = self.run_verify()
        self.violations += broken_promises(done.returncode, done.stdout, faults)
        if clean:
            left = [line for line in done.stdout.splitlines()[:-1] if "was damaged and set aside" not in line]
            self.violations += [f"at the end verify says: {line}" for line in left]

    def starts_ray(self, pid: int) -> bool:
        progress = SweepFolder(self.out).driver.read_progress() or {}
        return progress.get("pid") == pid and progress["phase"] == "starting Ray"

    def note_output(self, *, live: bool = False) -> None:
        """Looks for tracebacks in what was shown since, and for the live display."""
        if self.drain is not None:
            self.drain.join(5)
        text = self.log(self.out).read_bytes()[self.read :]
        self.read += len(text)
        self.displays += live and b"elapsed" in text and b"\x1b[" in text
        if b"Traceback" in text:
            self.violations.append("a traceback: " + text[text.index(b"Traceback") :][:3000].decode(errors="replace"))

    def epochs_traced(self) -> int:
        path = self.trace(self.out)
        return path.stat().st_size if path.exists() else 0

    def note_records(self) -> None:
        """Counts the finished trials whose records have changed: only a damaged one may be trained again."""
        for path in self.out.glob("trials/*/record.json"):
            trial, state = path.parent.name, _state(path)
            if self.records.setdefault(trial, state) != state:
                self.restored += trial in self.damaged
                self.trained_again += trial not in self.damaged
                self.damaged.discard(trial)
                self.records[trial] = state

    def restart(self) -> None:
        """Counts the epochs that a finished sweep lost, and deletes the sweep."""
        self.count_epochs()
        self.trace(self.out).unlink()
        subprocess.run(["rm", "-rf", str(self.out)], check=True)
        self.records.clear()
        self.damaged.clear()

    def finish(self) -> dict[str, str]:
        """Resumes the sweep to its end, and returns its hashes."""
        if self.sweep(self.out).wait(600) != 0:
            raise SystemExit(self.log(self.out).read_text(errors="replace")[-5000:])
        self.note_records()
        self.note_output()
        self.verify(clean=True)
        self.violations += [f"damaged, and not trained again: {trial}" for trial in sorted(self.damaged)]
        self.broken_curves += sum(not _is_whole(path.parent) for path in self.out.glob("tensorboard/**/*tfevents*"))
        return hashes(self.out)

    def unfinished(self) -> bool:
        return len(list(self.out.glob("trials/*/record.json"))) < 120

    def count_epochs(self) -> None:
        """Counts, from the trace of every epoch trained, how many epochs each death cost a trial."""
        last: dict[str, int] = {}
        for line in self.trace(self.out).read_text().splitlines():
            trial_id, _, epoch = line.partition(" ")
            if epoch == "damaged":
                last.pop(trial_id, None)
                continue
            before, now = last.get(trial_id, 0), int(epoch)
            self.lost_epochs += max(0, before + 1 - now)
            self.most_lost = max(self.most_lost, before + 1 - now)
            last[trial_id] = now


def _bytes_of(path: Path) -> dict[str, bytes]:
    """Of a file, or of all files in a folder."""
    return {str(each): each.read_bytes() for each in (path, *path.rglob("*")) if each.is_file()}


def _state(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()


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
        out / "units.parquet",
        *sorted(out.glob("trials/*/history.csv")),
        *sorted(out.glob("trials/*/weights.safetensors")),
    ]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="kills in total (default 100)")
    parser.add_argument("--faults", type=int, default=0, help="files to damage in total (default 0)")
    parser.add_argument("--seed", type=int, default=1, help="chooses how and when (default 1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos ü ") as folder:
        chaos = Chaos(Path(folder), arguments.seed)
        expected = chaos.undisturbed()
        kills = faults = sweeps = differing = told = 0
        begun = time.monotonic()
        while kills < arguments.kills and len(chaos.violations) < 20:  # a sweep that cannot go on would never die
            how, after_s = chaos.choose()
            died = chaos.die(how, after_s)
            kills += died
            due = round(arguments.faults * kills / arguments.kills) - faults
            if due > 0 and chaos.random.random() < 0.1:
                refused = chaos.refuse_to_read()
                faults, due = faults + refused, due - refused
            faults += chaos.harm(max(0, due))
            if chaos.random.random() < 0.1 and chaos.unfinished():
                chaos.plant_link()
            if chaos.random.random() < 0.1:
                chaos.harm_cache()
            print(
                f"{kills:4} kills {faults:4} faults {time.monotonic() - begun:6.0f} s  {len(chaos.records):3} trials done  "
                f"{how}{'' if died else ': had ended before'}",
                flush=True,
            )
            if not chaos.unfinished() or kills >= arguments.kills:
                got = chaos.finish()
                sweeps += 1
                differing += got != expected
                print(
                    f"     sweep {sweeps} ended: {'the same bytes' if got == expected else 'OTHER BYTES'}", flush=True
                )
                for name in sorted(got.keys() ^ expected.keys() | {n for n in got if got[n] != expected.get(n)}):
                    print(f"     OTHER BYTES: {name}")
                chaos.restart()
            for violation in chaos.violations[told:]:
                print(f"     VIOLATION: {violation}", flush=True)
            told = len(chaos.violations)
        for how, count in sorted(chaos.counts.items()):
            print(f"{count:4}  {how}")
        tracebacks = sum("traceback" in violation for violation in chaos.violations)
        print(
            f"{kills} kills and {faults} faults (seed {arguments.seed}) over {sweeps} sweeps of 120 trials, in "
            f"{(time.monotonic() - begun) / 60:.0f} minutes: {differing} sweeps differ; of finished trials {chaos.restored} "
            f"damaged ones and {chaos.trained_again} others were trained again; {chaos.lost_epochs} of "
            f"{120 * EPOCHS * sweeps} trial-epochs were lost, at most {chaos.most_lost} of a trial in one kill (checkpoints "
            f"every {CHECKPOINT_EVERY}); {chaos.broken_curves} TensorBoard runs with a gap or a doubled step; "
            f"{chaos.displays} live displays; {tracebacks} tracebacks, {len(chaos.violations)} violations in all"
        )
    wrong = differing or chaos.trained_again or chaos.broken_curves or chaos.most_lost > CHECKPOINT_EVERY
    wrong = wrong or chaos.violations or faults < arguments.faults or (chaos.rounds > 4 and not chaos.displays)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
