"""cluster.py: where Ray starts and where it does not, and that the process is afterwards as it was before."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import threadpoolctl
from ray._private import ray_constants
from ray.exceptions import AuthenticationError
from ray.tune.execution import class_cache

from infomax_tune.errors import ResourceError
from infomax_tune.on_ray import cluster as module
from infomax_tune.on_ray.cluster import cluster, packs_on
from infomax_tune.on_ray.patches import in_prestarted_workers
from infomax_tune.study.options import Options
from tests.command import wait_until

LOG = Path(os.devnull)
VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_TMPDIR", "TMPDIR")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module.joining, "check", lambda address: None)  # another test's cluster is none of ours


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Ray is not started. Gives what it would have been started with: `ray.init`'s arguments, and the variables."""
    starts: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "init", lambda **given: starts.append(given | dict(os.environ)))
    monkeypatch.setattr(module, "_slots", lambda options: 2)
    monkeypatch.setattr(module, "shut_down", lambda processes: None)
    return starts


def start(address: str | None = None) -> list[str]:
    """Starts and ends a cluster; what it had to say."""
    said: list[str] = []
    with cluster(Options(address=address), LOG, said.append):
        pass
    return said


@pytest.mark.parametrize(
    ("cpus", "gpus", "cpus_per_pack", "gpus_per_pack", "packs"),
    [
        (8, 0, 1, 0, 8),
        (8, 0, 3, 0, 2),
        (0.6, 0, 0.2, 0, 3),  # 0.6 / 0.2 is less than 3
        (8, 2, 1, 0.4, 4),  # two on each GPU, not five on both
        (8, 2, 1, 0.5, 4),
        (8, 2, 1, 0.6, 2),
        (8, 2, 1, 1 / 3, 6),
        (8, 2, 4, 0.1, 2),
        (8, 3, 1, 2, 1),
        (8, 0, 1, 0.5, 0),
        (2, 4, 4, 1, 0),
    ],
)
def test_packs_are_counted_per_machine_and_shares_per_gpu(
    cpus: float, gpus: float, cpus_per_pack: float, gpus_per_pack: float, packs: int
) -> None:
    options = Options(cpus_per_pack=cpus_per_pack, gpus_per_pack=gpus_per_pack)
    assert packs_on({"CPU": cpus, "GPU": gpus}, options) == packs


# ---- the token


def test_a_cluster_of_our_own_has_a_token_of_its_own(started: list[dict[str, Any]]) -> None:
    """In the environment, which needs no file, and gone from there when it ends."""
    start()
    start()
    tokens = [given["RAY_AUTH_TOKEN"] for given in started]
    assert all(len(token) == 64 for token in tokens)
    assert tokens[0] != tokens[1]
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_of_the_users_own_is_used(
    name: str, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "mine")
    start()
    given = {variable: started[0].get(variable) for variable in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")}
    assert given == dict.fromkeys(given) | {name: "mine"}
    assert os.environ[name] == "mine"


def test_a_cluster_that_is_joined_is_given_no_token(started: list[dict[str, Any]]) -> None:
    """It has one already, or needs none."""
    start("auto")
    assert "RAY_AUTH_TOKEN" not in started[0]


# ---- what a user's environment breaks


@pytest.mark.parametrize("value", [None, "1"])
def test_uv_sets_up_no_workers_unless_the_user_wants_it_to(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would do that if a process above this one is `uv run`."""
    monkeypatch.setattr(ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV", True)
    if value:
        monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", value)
    seen: list[bool] = []
    monkeypatch.setattr(ray, "init", lambda **_: seen.append(ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV))
    monkeypatch.setattr(module, "_slots", lambda options: 2)
    monkeypatch.setattr(module, "shut_down", lambda processes: None)
    start()
    assert seen == [value is not None]
    assert ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV is True


def test_a_folder_of_ray_s_that_another_user_made_is_left_alone(
    started: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tmp_path / "ray"
    others.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(module, "_LONGEST_SOCKET", 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: path != others)  # root may write everywhere
    (note,) = start()
    assert note.startswith("note: Ray's files are in /tmp/ray-")
    assert f"{others} belongs to another user" in note
    assert started[0]["_temp_dir"].startswith("/tmp/ray-")


@pytest.mark.parametrize("name", module._REFUSED)
def test_a_variable_that_tune_refuses_is_set_aside_for_it(
    name: str, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "mine")
    start()
    assert name not in started[0]
    assert os.environ[name] == "mine"


# ---- the folder


def test_ray_chooses_its_folder_where_its_sockets_fit(started: list[dict[str, Any]], tmp_path: Path) -> None:
    assert start() == []
    assert started[0]["_temp_dir"] is None


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_ray_is_given_a_short_folder_where_its_sockets_would_not_fit(
    variable: str, started: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private one; which is said, and which is gone afterwards."""
    long = tmp_path / ("x" * 60)
    monkeypatch.setenv(variable, str(long))
    said: list[str] = []
    with cluster(Options(), LOG, said.append):
        folder = Path(started[0]["_temp_dir"])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert said == [f"note: Ray's files are in {folder} while it runs: its socket paths would be too long under {long}"]
    assert not folder.exists()


@pytest.mark.parametrize(("length", "fits"), [(39, True), (40, False)])
def test_a_folder_fits_if_the_longest_path_of_a_socket_does(
    length: int, fits: bool, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """107 bytes less /ray/, /sockets/plasma_store, and a session's name with a process id of 7 digits; UTF-8 counts."""
    monkeypatch.setattr(module, "_LONGEST_SOCKET", 107)
    monkeypatch.setenv("RAY_TMPDIR", "/é" + "x" * (length - 3))
    assert (start() == []) is fits


def test_where_there_is_no_short_folder_either_the_user_is_asked_for_one(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", "/tmp")

    monkeypatch.setattr(module.tempfile, "TemporaryDirectory", refuse)
    monkeypatch.setenv("RAY_TMPDIR", "/" + "x" * 60)
    with pytest.raises(ResourceError, match=r"cannot start Ray here: .*Permission denied.*set RAY_TMPDIR to a folder"):
        start()


# ---- what goes wrong


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "/.ray"),
        OSError("AF_UNIX path length cannot exceed 107 bytes"),
        AuthenticationError("Token authentication is enabled but no authentication token was found"),
        Exception("The current node timed out during startup."),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(
    ("address", "says"), [(None, "cannot start Ray here"), ("auto", "cannot join the Ray cluster")]
)
def test_a_start_that_fails_is_told_with_its_reason(
    address: str | None, says: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**given: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ResourceError, match=says) as caught:
        start(address)
    assert str(error).splitlines()[0] in str(caught.value)


def test_a_start_that_fails_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[subprocess.Popen[bytes]] = []

    def fail(**given: object) -> None:
        processes.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "raylet"]))
        wait_until(lambda: bool(psutil.Process(processes[0].pid).cmdline()))  # Popen can return before it is known
        raise RuntimeError("no")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ResourceError, match="cannot start Ray here: no"):
        start()
    assert processes[0].wait(60) == -signal.SIGKILL


def test_a_ray_of_the_users_own_in_this_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with pytest.raises(ResourceError, match=r"call ray\.shutdown\(\) first"):
        start()


# ---- the real one


def test_two_clusters_in_one_process_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker has its cluster's token, and nothing is written to a home that takes nothing."""
    home = tmp_path / "home"
    home.write_text("a file, so that nobody can write below it")
    monkeypatch.setenv("HOME", str(home))
    before = dict(os.environ)

    def token() -> str | None:
        return os.environ.get("RAY_AUTH_TOKEN")

    seen = []
    for _ in range(2):
        with cluster(Options(), LOG):
            ask: Callable[..., Any] = ray.remote(token).remote
            seen.append(ray.get(ask()))
            assert seen[-1] == token()
    assert len(set(seen)) == 2
    assert None not in seen
    assert dict(os.environ) == before


class _Trainable:
    def found(self) -> tuple[set[str], dict[str, Any], set[int]]:
        """What this worker has imported of this, its own environment, and how many threads products have there."""
        threads = {library["num_threads"] for library in threadpoolctl.threadpool_info()}
        imported = {"torch", "infomax_tune.on_ray.trainable"} & set(sys.modules)
        return imported, dict(ray.get_runtime_context().runtime_env), threads


def test_tune_s_actors_run_in_the_workers_that_ray_started_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of their own would need others. They have imported what training needs, with a thread each. Ray's
    servers that no sweep needs are not there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")  # Tune would hand it to workers of its own
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with cluster(Options(), LOG, trials=1000), in_prestarted_workers(local=True):
        actor: Any = class_cache._ActorClassCache().get(_Trainable).remote()
        assert ray.get(actor.found.remote()) == ({"torch", "infomax_tune.on_ray.trainable"}, {}, {1})
        commands = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                commands.append(" ".join(process.cmdline()))
    assert any("raylet" in command for command in commands)
    assert not [command for command in commands if any(name in command for name in ("dashboard.py", "monitor.py"))]


@pytest.mark.parametrize(
    ("options", "trials", "imports"),
    [
        (Options(), 8, True),
        (Options(), 7, False),
        (Options(cpus_per_pack=0.5), 8, True),
        (Options(cpus_per_pack=2), 8, False),
        (Options(max_concurrent=1), 8, False),
        (Options(gpus_per_pack=0.5), 8, False),
        (Options(address="auto"), 8, False),
    ],
)
def test_workers_import_torch_at_their_start_only_if_each_will_train(
    options: Options, trials: int, imports: bool, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes memory. The workers of a cluster that is joined were started by somebody else."""
    monkeypatch.setattr(module.granted, "cpus", lambda: 8)
    with cluster(options, LOG, trials=trials):
        pass
    assert ("RAY_preload_python_modules" in started[0]) is imports
