"""Runs small sweeps on machines of other kinds, each made here for real, and says what each of them does.

    python -m benchmarks.elsewhere            # all that this machine can make
    python -m benchmarks.elsewhere uv memory  # some

As root on Linux it can make all: a process with one CPU, a share that cannot fsync a folder (a library loaded before all
others; needs gcc), another user's /tmp/ray, `uv run` (fetched from the package index), memory that runs out while workers
start, a driver that is killed, a limit on the driver's memory, and a terminal that knows ASCII only. It exits with 1 if
one of them does not do what docs/other-machines.md says.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "infomax_tune"]
SWEEP = [
    "sweep",
    "quickstart",
    "--set",
    "epochs=2",
    "--set",
    "activation=relu,tanh",
    "--set",
    "seed=1,2",
    "--no-report",
]

FSYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
int fsync(int descriptor) {
    struct stat found;
    if (fstat(descriptor, &found) == 0 && S_ISDIR(found.st_mode)) { errno = EINVAL; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
}
"""


class NotHereError(Exception):
    """This machine cannot be made here."""


def run(words: Sequence[object], folder: Path, **variables: str) -> tuple[int, str]:
    """The exit code, and what was printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def one_cpu(folder: Path) -> str:
    if (os.cpu_count() or 1) < 2 or not shutil.which("taskset"):
        raise NotHereError("needs two CPUs and taskset")
    first = str(min(os.sched_getaffinity(0)))
    return expect(run(["taskset", "-c", first, *COMMAND, *SWEEP], folder), 0, "1 at a time")


def fsync(folder: Path) -> str:
    if not shutil.which("gcc"):
        raise NotHereError("needs gcc")
    (folder / "fsync.c").write_text(FSYNC)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "fsync.so", "fsync.c", "-ldl"], cwd=folder, check=True)
    preload = str(folder / "fsync.so")
    tried = "import os; os.fsync(os.open('.', os.O_RDONLY))"
    if run([sys.executable, "-c", tried], folder, LD_PRELOAD=preload)[0] == 0:
        raise NotHereError("the library is not loaded")
    return expect(run([*COMMAND, *SWEEP], folder, LD_PRELOAD=preload), 0, "4 trials: 4 done")


def another_user(folder: Path) -> str:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise NotHereError("needs root and setpriv")
    (folder / "tmp" / "ray").mkdir(parents=True)
    (folder / "tmp" / "ray").chmod(0o755)
    mine = folder / "mine"
    mine.mkdir()
    for path in (folder, folder / "tmp"):
        path.chmod(0o755)
    os.chown(mine, 65534, 65534)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *COMMAND]
    (mine / "tmp").mkdir()
    os.chown(mine / "tmp", 65534, 65534)
    own = {"HOME": str(mine), "RAY_TMPDIR": str(mine / "tmp")}
    if run([*nobody, *SWEEP], mine, **own)[0] != 0:
        raise NotHereError("Ray starts for no other user here, whatever its folder")
    shutil.rmtree(mine / "results")
    return expect(
        run([*nobody, *SWEEP], mine, HOME=str(mine), RAY_TMPDIR=str(folder / "tmp")),
        0,
        f"{folder / 'tmp' / 'ray'} belongs to another user",
        "4 trials: 4 done",
    )


def uv(folder: Path) -> str:
    run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder / "uv", "uv"], folder)
    program = folder / "uv" / "bin" / "uv"
    if not program.exists():
        raise NotHereError("uv cannot be fetched")
    (folder / "pyproject.toml").write_text('[project]\nname = "study"\nversion = "1"\nrequires-python = ">=3.10"\n')
    (folder / "sub").mkdir()  # from where Ray would refuse
    begun = time.monotonic()
    words = [program, "run", "--no-project", "--python", sys.executable, *COMMAND, *SWEEP]
    said = expect(run(words, folder / "sub"), 0, "4 trials: 4 done")
    return f"{said}, in {time.monotonic() - begun:.0f} s"


def memory(folder: Path) -> str:
    return expect(
        run([*COMMAND, *SWEEP], folder, RAY_memory_usage_threshold="0.001"),
        1,
        "Ray killed a worker because memory ran out",
    )


def killed(folder: Path) -> str:
    with subprocess.Popen(
        [*COMMAND, *SWEEP, "--set", "epochs=500"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as driver:
        while driver.poll() is None and not list(folder.glob("results/quickstart/tensorboard/*")):
            time.sleep(0.1)
        driver.send_signal(signal.SIGKILL)
        _, said = driver.communicate()
    expect((1, said), 1, "the sweep's process was ended", "infomax-tune resume results/quickstart")
    return expect(run([*COMMAND, "status", "results/quickstart"], folder), 0, "was ended before its time; to resume")


def limit(folder: Path) -> str:
    words = ["sh", "-c", 'ulimit -v 12000000; exec "$@"', "sh", *COMMAND, *SWEEP]
    code, said = run(words, folder)
    return expect((code, said), code, "to resume: infomax-tune resume" if code else "4 trials: 4 done")


def ascii_only(folder: Path) -> str:
    return expect(run([*COMMAND, *SWEEP], folder, PYTHONIOENCODING="ascii"), 0, "4 trials: 4 done", " ? ")


MACHINES: dict[str, Callable[[Path], str]] = {
    "one-cpu": one_cpu,
    "fsync": fsync,
    "another-user": another_user,
    "uv": uv,
    "memory": memory,
    "killed": killed,
    "limit": limit,
    "ascii": ascii_only,
}


class WrongError(Exception):
    """It did not do what it should."""


def expect(found: tuple[int, str], code: int, *texts: str) -> str:
    """The last line that holds the last text. Raises WrongError."""
    if found[0] != code or not all(text in found[1] for text in texts):
        raise WrongError(f"exit code {found[0]}, expected {code} and {texts}:\n{found[1]}")
    return [line for line in found[1].splitlines() if texts[-1] in line][-1].strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help=f"any of {', '.join(MACHINES)} (default: all)")
    chosen = parser.parse_args().machines or list(MACHINES)
    wrong = 0
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="elsewhere-") as folder:
            try:
                said = MACHINES[name](Path(folder))
            except NotHereError as reason:
                said = f"not made here: {reason}"
            except WrongError as problem:
                said, wrong = f"WRONG: {problem}", wrong + 1
        print(f"{name:14}{said}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
