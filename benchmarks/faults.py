"""What may happen to a sweep's folder while no process uses it, and what `infomax-tune verify` must then report.

A file of any kind is cut, emptied or deleted, has a bit flipped, gets a temporary file next to it, or cannot be read.
Used by `python -m benchmarks.chaos`.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FILES = {
    "a record": "trials/*/record.json",
    "a history": "trials/*/history.csv",
    "weights": "trials/*/weights.safetensors",
    "a checkpoint": "trials/*/checkpoint.safetensors",
    "a TensorBoard run": "tensorboard/**/*tfevents*",
    "environment.json": "environment.json",
    "a worker's environment": "environments/*.json",
    "tables.json": "tables.json",
    "results.csv": "results.csv",
    "results.parquet": "results.parquet",
    "history.parquet": "history.parquet",
}
VOUCHED_FOR = ("a record", "a history", "weights")
"""Where a trial has a record, it is trained again if one of these is damaged."""
TABLES = ("results.csv", "results.parquet", "history.parquet", "units.parquet")
DELETE, LEAVE = "delete", "leave a temporary file beside"


def _cut(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(1, len(data))])


def _flip(path: Path, chance: random.Random) -> None:
    """Another bit if JSON says the same with it, as with 1e5 and 1E5."""
    data = path.read_bytes()
    while True:
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        if path.suffix != ".json" or _parsed(bytes(flipped)) != _parsed(data):
            path.write_bytes(flipped)
            return


def _parsed(data: bytes) -> object:
    with contextlib.suppress(ValueError):
        return json.loads(data)
    return data


HARMS: dict[str, Callable[[Path, random.Random], object]] = {
    "cut": _cut,
    "flip a bit of": _flip,
    "empty": lambda path, chance: path.write_bytes(b""),
    DELETE: lambda path, chance: path.unlink(),
    LEAVE: lambda path, chance: path.with_name(f".{chance.getrandbits(128):032x}.tmp").write_bytes(b"left over"),
}


@dataclass(frozen=True)
class Fault:
    """What was done.

    trial: the trial whose file it was, "" if it was none's; costs: whether that trial has to be trained again though it
    was finished; begins_anew: whether it has lost what it could go on from, finished or not; told: what verify must name,
    "" if it need not say anything; spare: what no other fault should be done to before the folder is mended.
    """

    kind: str
    trial: str
    costs: bool
    begins_anew: bool
    told: str
    spare: str


def fault(out: Path, what: str, harm: str, chance: random.Random, spared: Iterable[str] = ()) -> Fault | None:
    """Does one harm to one file of this kind, chosen by chance; None if there is no such file.

    spared: the `spare` of earlier faults, which it leaves alone.
    """
    there = [path for path in sorted(out.glob(FILES[what])) if path.stat().st_size > 1]
    there = [path for path in there if (trial_of(path, out) or what) not in set(spared)]
    if not there:
        return None
    path = chance.choice(there)
    trial = trial_of(path, out)
    finished = bool(trial) and (out / "trials" / trial / "record.json").exists()
    before = set(path.parent.iterdir())
    HARMS[harm](path, chance)
    if harm == LEAVE:
        (left,) = set(path.parent.iterdir()) - before
        return Fault(f"{harm} {what}", trial, costs=False, begins_anew=False, told=str(left), spare=trial or what)
    gone = harm == DELETE
    match what:
        case "a history" | "weights":  # without a record they are written again
            told = finished
        case "a checkpoint":  # beside a record it is a leftover
            told = not (gone or finished)
        case "a TensorBoard run":
            told = finished
        case _:
            told = not gone or what in TABLES
    named = path.parent if gone and what == "a TensorBoard run" else path
    costs = finished and what in VOUCHED_FOR
    return Fault(
        f"{harm} {what}",
        trial,
        costs=costs,
        begins_anew=costs or what == "a checkpoint",
        told=str(named) if told else "",
        spare=trial or what,
    )


def trial_of(path: Path, out: Path) -> str:
    """The id of the trial that a file is of; "" if it is none's."""
    kind = path.relative_to(out).parts[0]
    return {"trials": path.parent.name, "tensorboard": path.name.rpartition(".")[2]}.get(kind, "")


@contextlib.contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """While entered, the system refuses to read a file, even for root: a link that leads to itself is in its place."""
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    path.symlink_to(path)
    try:
        yield
    finally:
        path.unlink()
        aside.rename(path)


def broken_promises(code: int, output: str, faults: Iterable[Fault]) -> list[str]:
    """What is wrong with verify's answer: a traceback, another exit code, a line without a way out, a damage not told."""
    lines = output.splitlines()
    problems = [f"verify ended with exit code {code}: {output[-2000:]}"] if code not in (0, 1) else []
    problems += ["verify showed a traceback"] if "Traceback" in output else []
    problems += [
        f"verify names no way out: {line}" for line in lines[:-1] if not re.search(r"with: (infomax-tune|rm) ", line)
    ]
    problems += [f"verify is silent on {fault.told} ({fault.kind})" for fault in faults if fault.told not in output]
    return problems
