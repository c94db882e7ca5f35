"""Several machines on this one: each has namespaces of its own (network, host name, processes, mounts) and a Ray node, and a
bridge joins them.

Where the system does not allow that, the nodes are processes that differ in their ports alone: see `Machines.problem`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infomax_tune.process.faults import TRACE
from tests.command import COMMAND, DASHBOARD, free_port
from tests.gate import Gate

RAY = str(Path(sys.executable).with_name("ray"))
_OBJECT_STORE = 100 * 2**20
_NOTICED_LATE = {"RAY_health_check_period_ms": "2000", "RAY_health_check_timeout_ms": "4000"}
"""A link that is cut is noticed after seconds, not half a minute; nothing else is."""


def namespaces_problem() -> str | None:
    """Why there can be no network namespaces here; None if there can."""
    if shutil.which("ip") is None:
        return "there is no ip (iproute2)"
    name = f"try{os.getpid()}"
    tried = [
        _ip("netns", "add", name),
        _ip("link", "add", name, "type", "bridge"),
        _ip("netns", "exec", name, "unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "true"),
    ]
    _ip("link", "del", name)
    _ip("netns", "del", name)
    return next((done.stderr.strip() for done in tried if done.returncode), None)


def _ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


def _do(*words: str) -> None:
    done = _ip(*words)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@dataclass
class Machine:
    """A machine. address: its own on the bridge.

    mounts: shell commands that make it differ from the others, in a mount namespace of its own.
    """

    name: str
    address: str
    namespace: str | None
    environment: dict[str, str]
    trace: Path
    mounts: str = ""
    node: subprocess.Popen[bytes] | None = None
    node_words: Sequence[str] = ()
    _started: list[subprocess.Popen[str]] = field(default_factory=list)
    gate: Gate | None = None
    _power: subprocess.Popen[str] | None = None
    _first: psutil.Process | None = None

    def turn_on(self) -> None:
        """Gives the machine processes, mounts and a name of its own: Ray looks at all of them. They last as long as a first
        process, from which `words` enters."""
        if self.namespace is None:
            return
        first = f"set -e; hostname {self.name}; {self.mounts} echo on; exec sleep infinity"
        own = ["unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", first]
        self._power = subprocess.Popen(["ip", "netns", "exec", self.namespace, *own], stdout=subprocess.PIPE, text=True)
        assert self._power.stdout is not None
        assert self._power.stdout.readline() == "on\n"
        self._first = psutil.Process(self._power.pid).children()[0]

    def words(self, command: Sequence[object]) -> list[str]:
        """The command as it is run on this machine."""
        words = list(map(str, command))
        if self._first is None:
            return words
        return ["nsenter", "--target", str(self._first.pid), "--net", "--uts", "--mount", "--pid", *words]

    def start(self, *command: object, **environment: str) -> subprocess.Popen[str]:
        """Starts a command on this machine and goes on."""
        process = subprocess.Popen(
            self.words(command),
            env=_of(self.environment, environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run(self, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on this machine to its end. environment: more variables; "" removes one."""
        return subprocess.run(
            self.words(command),
            env=_of(self.environment, environment),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def infomax_tune(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(*COMMAND, *words, **environment)

    def family(self) -> list[psutil.Process]:
        """All processes of this machine."""
        if self.namespace:
            numbers = [int(number) for number in _ip("netns", "pids", self.namespace).stdout.split()]
        else:
            numbers = [process.pid for process in psutil.process_iter() if self._is_here(process)]
        family = []
        for number in numbers:
            with contextlib.suppress(psutil.NoSuchProcess):
                family.append(psutil.Process(number))
        return family

    def _is_here(self, process: psutil.Process) -> bool:
        """Whether a process has inherited this machine's variables."""
        with contextlib.suppress(psutil.Error):
            return process.environ().get(TRACE) == str(self.trace)
        return False

    def workers(self) -> list[psutil.Process]:
        """The processes that train here, or are about to."""
        found = []
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                if "".join(process.cmdline()[:1]).startswith(("ray::ImplicitFunc", "ray::train_on_ray")):
                    found.append(process)
        return found

    def set_gate(self) -> None:
        """Holds whatever trains here in its first epochs, until `Machines.let_go`."""
        if self.gate:
            self.gate.close()
        self.gate = Gate(self.trace)

    def has_begun(self) -> bool:
        """Whether something that trains here has come to the gate."""
        return self.gate is not None and self.gate.has_come()

    def cut(self) -> None:
        """Takes the cable out."""
        _do("netns", "exec", str(self.namespace), "ip", "link", "set", "eth0", "down")

    def kill(self) -> None:
        """All at once, as when the power fails: no process can say good-bye."""
        if self._first is not None:
            self._first.kill()  # the system ends the others with it
        else:
            for each in self.family():
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        for process in (self._power, self.node, *self._started):
            if process is not None:
                process.wait(60)
                for stream in (process.stdout, process.stderr):
                    if stream is not None:
                        stream.close()
        self._power = self._first = self.node = None
        self._started.clear()
        if self.gate:
            self.gate.close()
            self.gate = None


def _of(*environments: Mapping[str, str]) -> dict[str, str]:
    merged = dict(os.environ)
    for each in environments:
        merged |= each
    return {name: value for name, value in merged.items() if value}


class Machines:
    """A head and workers, with a token. Entered, it makes the network; on leaving, it ends all that it started."""

    _numbers = itertools.count()

    def __init__(self, folder: Path, *, dashboard: bool = False) -> None:
        """dashboard: whether the machines have the packages of Ray's dashboard."""
        self.dashboard = dashboard
        self.problem = namespaces_problem()
        self.token = secrets.token_hex(16)
        self.machines: list[Machine] = []
        self._folder = folder
        # names of interfaces are short, and other test processes have networks too
        self._id = f"{os.getpid() % 10**6}{next(self._numbers)}"
        self._subnet = f"10.{64 + os.getpid() % 64}.{os.getpid() // 64 % 250 + next(self._numbers) % 5}"
        self.port = 6379 if self.problem is None else free_port()

    @property
    def kind(self) -> str:
        """What a test says it ran on."""
        return f"ports on loopback ({self.problem})" if self.problem else "network namespaces"

    @property
    def address(self) -> str:
        """The head's."""
        return f"{self.machines[0].address}:{self.port}"

    def __enter__(self) -> Machines:
        self._temporary = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # sockets need short paths
        self._rays = self._temporary / "ray"
        self._rays.mkdir()
        if self.problem is None:
            _do("link", "add", f"br{self._id}", "type", "bridge")
            _do("addr", "add", f"{self._subnet}.254/24", "dev", f"br{self._id}")
            _do("link", "set", f"br{self._id}", "up")
        return self

    def __exit__(self, *exc: object) -> None:
        for machine in self.machines:
            machine.kill()
            if machine.namespace:
                _ip("netns", "del", machine.namespace)
        if self.problem is None:
            _ip("link", "del", f"br{self._id}")
        shutil.rmtree(self._temporary, ignore_errors=True)

    def add(self, *, hides: Path | None = None, cpu: str = "") -> Machine:
        """A machine on the bridge, without a node yet.

        hides: a folder in whose place this machine has an empty one of its own. cpu: the name of its CPU, if another.
        """
        number = len(self.machines) + 1
        name = f"machine{number}"
        environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_TMPDIR": str(self._rays),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_enable_metrics_collection": "0",
            TRACE: str(self._folder / f"{name}-{self._id}.trace"),
            **({"PYTHONPATH": str(DASHBOARD)} if self.dashboard else {}),
            **_NOTICED_LATE,
        }
        namespace = None
        address = "127.0.0.1"
        if self.problem is None:
            namespace, address = f"n{self._id}-{number}", f"{self._subnet}.{number}"
            cable = f"v{self._id}{number}"
            _do("netns", "add", namespace)
            _do("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            _do("link", "set", cable, "master", f"br{self._id}", "up")
            for words in (["link", "set", "lo", "up"], ["link", "set", "eth0", "up"]):
                _do("netns", "exec", namespace, "ip", *words)
            _do("netns", "exec", namespace, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
            _do("netns", "exec", namespace, "ip", "route", "add", "default", "via", f"{self._subnet}.254")
        own = self._temporary / name  # Ray would take another machine's files there for this one's
        own.mkdir()
        mounts = f"mount --bind '{own}' '{self._rays}'; "
        if hides:
            mounts += f"mount -t tmpfs none '{hides}'; "
        if cpu:
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
            other = self._temporary / f"cpuinfo-{name}"
            other.write_text(re.sub(r"(?m)^(model name\s*: ).*$", rf"\g<1>{cpu}", text), encoding="utf-8")
            mounts += f"mount --bind '{other}' /proc/cpuinfo; "
        machine = Machine(name, address, namespace, environment, Path(environment[TRACE]), mounts)
        machine.turn_on()
        self.machines.append(machine)
        return machine

    def head(self, *options: str, cpus: int = 1) -> Machine:
        """A machine with the head node on it."""
        more = [f"--port={self.port}", *(options or ["--include-dashboard=false"])]
        if self.problem:
            more += ["--min-worker-port=0", "--max-worker-port=0", f"--ray-client-server-port={free_port()}"]
        head = self._node(self.add(), f"--num-cpus={cpus}", "--head", *more)
        self.wait()
        return head

    def worker(self, *options: str, cpus: int = 1, hides: Path | None = None, cpu: str = "") -> Machine:
        """A machine with a node that joins; see `wait`."""
        return self.join(self.add(hides=hides, cpu=cpu), *options, cpus=cpus)

    def join(self, machine: Machine, *options: str, cpus: int = 1) -> Machine:
        """Starts a node on a machine that has none."""
        return self._node(machine, f"--num-cpus={cpus}", f"--address={self.address}", *options)

    def let_go(self, sweep: subprocess.Popen[str]) -> tuple[str, str]:
        """Opens all gates; what the sweep prints until it has ended."""
        for machine in self.machines:
            if machine.gate:
                machine.gate.open()
        return sweep.communicate(timeout=900)

    def _node(self, machine: Machine, *options: str) -> Machine:
        """Starts a node on a machine."""
        words = [RAY, "start", "--disable-usage-stats", f"--node-ip-address={machine.address}"]
        machine.node_words = machine.words([*words, f"--object-store-memory={_OBJECT_STORE}", *options])
        self._start(machine)
        return machine

    def _start(self, machine: Machine) -> None:
        with self._log(machine).open("wb") as output:
            machine.node = subprocess.Popen(
                machine.node_words,
                env=_of(machine.environment),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Waits until every node runs. Ray gives a node half a minute to start, which a busy machine may take."""
        until = time.monotonic() + 600
        for machine in self.machines:
            while machine.node and "Ray runtime started" not in (
                said := self._log(machine).read_text(encoding="utf-8")
            ):
                assert time.monotonic() < until, said
                if machine.node.poll():
                    assert "timed out during startup" in said, said
                    self._start(machine)
                time.sleep(0.05)

    def _log(self, machine: Machine) -> Path:
        return self._temporary / f"{machine.name}.log"
