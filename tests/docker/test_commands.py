"""The commands that the containers of compose.yaml run, here as processes: a cluster with a token that finishes a sweep.

Each node has a loopback address of its own, and ports that are free; all else is as in the containers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.command import DASHBOARD, free_port, tables, wait_until
from tests.docker.files import compose, image_environment
from tests.folders import make_sweep

TOKEN = "of-this-test-alone-0123456789abcdef"
ADDRESSES = {"head": "127.0.0.2", "worker": "127.0.0.3", "tensorboard": "127.0.0.4"}
SETTINGS = ["activation=[relu, tanh]", "epochs=2", "seed=[1, 2]"]
TINY = [word for setting in SETTINGS for word in ("--set", setting)]


class Containers:
    """The services of compose.yaml as processes. folder: stands for the volumes and the secret."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._services = compose({})["services"]
        self.ports = {port: str(free_port()) for port in ("6379", "8265", "52365", "6006")}
        for name in ("results", "host", "data"):
            (folder / name).mkdir()
        (folder / "ray_token").write_text(TOKEN)

    def command(self, service: str, *more: str) -> list[str]:
        """What its container runs, with this test's addresses, ports and folders, and these words after it."""
        words = self._services[service].get("entrypoint", ["infomax-tune"]) + self._services[service]["command"]
        return [self._here(word, service) for word in words] + list(more)

    def environment(self, service: str) -> dict[str, str]:
        """The image's and the service's, instead of this test's own."""
        given = image_environment() | self._services[service].get("environment", {})
        del given["PATH"], given["HOME"]
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "INFOMAX_TUNE_"))}
        ours["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ours["PYTHONPATH"] = str(DASHBOARD)
        return ours | {name: self._here(value, service) for name, value in given.items()}

    def run(self, service: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Runs a container to its end."""
        return subprocess.run(
            self.command(service, *more),
            env=self.environment(service),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    @contextmanager
    def running(self, service: str, *more: str) -> Iterator[None]:
        """Runs a container, healthy when entered, until left."""
        log = self.folder / f"{service}.log"
        with log.open("w", encoding="utf-8") as output:
            process = psutil.Popen(
                self.command(service, *more), env=self.environment(service), stdout=output, stderr=output
            )
            try:
                wait_until(lambda: self.is_healthy(service) or process.poll() is not None, 300)
                assert process.poll() is None, log.read_text(encoding="utf-8")
                yield
            finally:
                family = [process, *process.children(recursive=True)] if process.is_running() else []
                process.terminate()
                for each in psutil.wait_procs(family, 10)[1]:
                    each.kill()

    def is_healthy(self, service: str) -> bool:
        """Asks as its health check does."""
        kind, *words = self._services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        check = [self._here(word, service) for word in words]
        return not subprocess.run(check, env=self.environment(service), capture_output=True, check=False).returncode

    def _here(self, word: str, service: str) -> str:
        own = ADDRESSES.get(service, "127.0.0.1")
        places = {"/run/secrets": self.folder} | {
            f"/{name}": self.folder / name for name in ("results", "host", "data")
        }
        for theirs, here in places.items():
            word = re.sub(rf"(?<![\w.-]){theirs}\b", str(here), word)
        ours = {"0.0.0.0": own, "localhost": own, "head:": f"{ADDRESSES['head']}:", **self.ports}
        # all in one pass: a port of this test's may have another's digits
        return re.sub("|".join(map(re.escape, ours)), lambda found: ours[found[0]], word)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """A head and a worker, with the options by which they find free ports."""
    assert DASHBOARD.exists(), f"{DASHBOARD} is missing; `make test` installs it"
    containers = Containers(tmp_path_factory.mktemp("compose"))

    def own(service: str) -> list[str]:
        agent = f"--dashboard-agent-listen-port={containers.ports['52365']}"
        return [f"--node-ip-address={ADDRESSES[service]}", agent, "--min-worker-port=0", "--max-worker-port=0"]

    with ExitStack() as stack:
        more = [f"--port={containers.ports['6379']}", f"--dashboard-port={containers.ports['8265']}"]
        more += [f"--ray-client-server-port={free_port()}"]
        stack.enter_context(containers.running("head", *own("head"), *more))
        stack.enter_context(containers.running("worker", *own("worker")))
        yield containers


def test_a_cluster_of_containers_finishes_a_sweep(cluster: Containers, tmp_path: Path) -> None:
    """Submitted by a container, trained by the worker, the tables the same as on one machine."""
    swept = cluster.run("sweep", *TINY)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert "4 trials: 4 done" in swept.stdout
    out = cluster.folder / "results/quickstart"
    assert (out / "analysis/report.html").exists()
    assert tables(out) == tables(make_sweep(tmp_path / "here", *SETTINGS).root)
    assert not any(TOKEN.encode() in path.read_bytes() for path in out.rglob("*") if path.is_file())

    with cluster.running("tensorboard"):
        pass  # healthy

    copied = cluster.run("report")
    assert copied.returncode == 0, copied.stderr
    assert tables(cluster.folder / "host/quickstart") == tables(out)
    assert (cluster.folder / "host/quickstart/analysis/report.html").exists()


def test_without_the_token_nothing_is_submitted(cluster: Containers, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("of-somebody-else-0123456789abcdef")
    environment = cluster.environment("sweep") | {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "wrong")}
    command = cluster.command("sweep", "--out", str(tmp_path / "out"))
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert refused.returncode != 0
    assert "Authentication failed" in refused.stdout + refused.stderr
    assert not (tmp_path / "out").exists()
