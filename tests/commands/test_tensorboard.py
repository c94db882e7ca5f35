"""The command tensorboard, and TensorBoard's runs where processes are killed: read back by TensorBoard, and in a browser."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.plugins.hparams import api_pb2
from tensorboard_data_server import server_binary

from infomax_tune.errors import ResourceError
from infomax_tune.follow import tensorboard_server
from infomax_tune.follow.progress import PackProgress
from infomax_tune.follow.tensorboard_runs import Run, of_sweep
from infomax_tune.follow.tensorboard_server import free_port as first_free_port
from infomax_tune.packs.pack_training import train_pack
from infomax_tune.packs.run_trial import run_trial
from infomax_tune.science.data import Dataset
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder, run_path
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.space import SearchSpace
from tests.command import call, dies, free_port, start, wait_until
from tests.conftest import MakeConfig
from tests.folders import make_interrupted_sweep, make_sweep
from tests.read_tensorboard import Curves, curves, event_files, hparams, read, told
from tests.without_ray import Started, sweep_here

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DATA_SERVER = server_binary()
PLAYWRIGHT = importlib.util.find_spec("playwright")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]


@pytest.fixture
def alone(make_config: MakeConfig) -> TrialConfig:
    return make_config(dataset="digits", activation="tanh", epochs=5, save_metrics_every=2, checkpoint_every=2)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchSpace, SweepFolder]:
    """A sweep with trials done, diverged and half done, in a folder whose name has odd characters."""
    return make_interrupted_sweep(tmp_path_factory.mktemp("out") / "a study, 50% [x] & äö")


@pytest.mark.parametrize(
    "faults",
    [
        ["tensorboard:half:4"],  # within an epoch
        ["tensorboard:half:4", "tensorboard:removed:1"],  # between the removal of the old run and the new one
        ["tensorboard:ended:1"],  # before the record
    ],
)
def test_a_kill_inside_a_write_leaves_no_trace(faults: list[str], tmp_path: Path) -> None:
    settings = ["dataset=digits", "epochs=6", "checkpoint_every=2", "save_metrics_every=3", "--out", "run"]
    folder = TrialFolder(tmp_path / "run")
    for fault in faults:
        assert dies(fault, "run", *settings)
        assert not folder.has_record()
    call("run", *settings)
    assert curves(folder.path / "tensorboard/relu/k16/seed1") == told(folder)
    assert len(event_files(tmp_path)) == 1


SETTINGS = ["epochs=60", "checkpoint_every=4", "activation=[relu, tanh]", "seed=[1, 2]"]
OPTIONS = [word for setting in SETTINGS for word in ("--set", setting)]


def test_a_sweep_that_is_killed_resumed_extended_and_stripped_shows_the_same_curves(tmp_path: Path) -> None:
    """SIGKILL of what trains, then one more axis and another pack size, then no folder at all."""
    out = tmp_path / "sweep"
    # one trial after another, so that the kill finds one under way
    one_by_one = ["--pack", 1, "--max-concurrent", 1]
    sweep = Started("sweep", "quickstart", *OPTIONS, *one_by_one, "--out", out, folder=tmp_path)
    wait_until(lambda: any(out.glob("trials/*/checkpoint.safetensors")) or sweep.poll() is not None)
    assert sweep.poll() is None, sweep.communicate()
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    missing = [path for path in (out / "trials").iterdir() if not (path / "record.json").exists()]
    assert missing, "the kill came too late to be a test"
    _, groups = hparams(out / "tensorboard")
    assert {path.name for path in missing} <= {group.name for group in groups}

    sweep_here("resume", out, "--pack", 2)
    check_sweep(out)
    assert set(curves_in(out)) == {f"{activation}/k16/seed{seed}" for activation in ("relu", "tanh") for seed in (1, 2)}
    packed = curves_in(out)
    make_sweep(tmp_path / "whole", *SETTINGS)  # never killed
    assert curves_in(tmp_path / "whole") == packed

    sweep_here("sweep", "quickstart", *OPTIONS, "--set", "lambda_tc=[1, 10]", "--pack", 1, "--out", out)
    check_sweep(out)
    extended = curves_in(out)
    assert len(extended) == 8
    for name, before in packed.items():
        assert extended[name.replace("k16/", "k16/lambda_tc=1/")] == before

    shutil.rmtree(out / "tensorboard")
    assert "8 trials: 8 done" in call("resume", out, "--no-report").stdout
    assert curves_in(out) == extended
    check_sweep(out)
    assert "no damage" in call("verify", out).stdout


def curves_in(out: Path) -> dict[str, Curves]:
    """The curves of every run of a sweep, by the run's place."""
    runs = [path.parent for path in event_files(out / "tensorboard")]
    assert len(runs) == len(set(runs))
    return {run.relative_to(out / "tensorboard").as_posix(): curves(run) for run in runs}


def check_sweep(out: Path) -> None:
    """Every trial of the sweep has its curves, its image and its metrics; none has them twice."""
    _, groups = hparams(out / "tensorboard")
    assert len(curves_in(out)) == len(groups)
    for group in groups:
        (session,) = group.sessions
        assert session.status == api_pb2.STATUS_SUCCESS
        run, trial = out / "tensorboard" / session.name, SweepFolder(out).trial(group.name)
        found = told(trial)
        assert curves(run) == found
        assert len(read(run).Images("weights")) == 1
        assert {metric.name.tag: metric.value for metric in group.metric_values} == {
            tag: rows[-1][1] for tag, rows in found.items()
        }
        record = trial.read_record()
        assert record is not None
        trained_s = sum(trial.epoch_seconds(record))
        assert session.end_time_secs - session.start_time_secs == pytest.approx(trained_s, abs=1e-5)


@contextlib.contextmanager
def served(out: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """The command, until it has said where it listens and answers there; ended by Ctrl-C."""
    server = start("tensorboard", out, "--port", port)
    try:
        wait_until(lambda: server.poll() is not None or answers(port))
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(30)
        server.kill()


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; on Debian: apt-get install chromium")
@pytest.mark.skipif(PLAYWRIGHT is None, reason="playwright is not installed; pip install axe-playwright-python")
def test_the_page_shows_every_run_its_curves_its_weights_and_its_settings(
    study: tuple[SearchSpace, SweepFolder],
) -> None:
    """TensorBoard as the command opens it, in a browser, at the address that the command tells."""
    from playwright.sync_api import expect, sync_playwright

    space, sweep = study
    port = free_port()
    runs = [trial.run.folder for trial in of_sweep(space.plan(), sweep)]
    found = {run.relative_to(sweep.runs_folder).as_posix(): curves(run) for run in sorted(runs)}
    complaints: list[str] = []
    with served(sweep.root, port) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        curves_at, pictures_at, everything = (server.stdout.readline().strip().split(": ", 1)[1] for _ in range(3))
        assert everything == f"http://localhost:{port}/"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1200})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        expect.set_options(timeout=60_000)
        page.goto(curves_at)
        table = page.locator("runs-data-table")
        # the study's metrics first, of one seed per cell
        pinned = page.locator("metrics-pinned-view scalar-card")
        expect(pinned).to_have_count(4)
        shown = ["effective_rank", "weight_redundancy", "output_correlation", "loss"]
        assert [next(tag for tag in shown if tag in text) for text in pinned.all_inner_texts()] == shown
        for name in found:
            expect(table.get_by_text(name, exact=True)).to_have_count(int(name.endswith("seed1")))
        page.get_by_role("textbox", name="Filter runs").fill("")
        for name in found:
            expect(table.get_by_text(name, exact=True)).to_be_visible()
        swatches = table.locator("tb-data-table-content-row .run-color-swatch")
        colors = swatches.evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
        by_activation = {(name.split("/")[0], color) for name, color in zip(found, colors, strict=True)}
        assert len(by_activation) == len(dict(by_activation)) == len(set(colors)) == 2
        for tag in ("effective_rank", "loss"):
            page.get_by_role("combobox", name="Filter tags").fill(f"^{tag}$")
            card = page.locator("metrics-filtered-view scalar-card", has_text=tag)
            expect(card).to_have_count(1)
            for name, run_curves in found.items():
                if tag in run_curves:
                    expect(card.locator("scalar-card-data-table").get_by_text(name, exact=True)).to_be_attached()
        page.goto(pictures_at)
        expect(page.get_by_text("tag: weights")).to_have_count(2)  # of relu and identity, seed 1
        page.goto(f"http://localhost:{port}/#hparams")
        for config in space.trials():
            expect(page.get_by_text(config.trial_id, exact=True).first).to_be_visible()
        expect(page.get_by_text("16", exact=True).first).to_be_visible()  # and not 16.000
        expect(page.get_by_text("16.000")).to_have_count(0)
        browser.close()
    assert complaints == []
    assert server.returncode in (0, -signal.SIGINT)  # TensorBoard answers before it handles Ctrl-C
    assert "Traceback" not in server.communicate()[1]


@pytest.mark.skipif(not DATA_SERVER, reason="TensorBoard has no data server for this machine, and must be restarted")
def test_a_page_that_is_open_over_a_crash_forgets_what_was_lost(
    tmp_path: Path, alone: TrialConfig, digits: Dataset
) -> None:
    folder, port = TrialFolder(tmp_path / "alone"), free_port()
    folder.write_config(alone)
    its_run = Run(folder.runs_folder / run_path(alone), alone)

    def crash(progress: PackProgress) -> None:
        if progress.epoch == 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        train_pack([alone], [folder], digits, on_epoch=crash, runs=[its_run])

    def shown() -> list[float]:
        address = f"http://localhost:{port}/data/plugin/scalars/scalars?tag=loss&run=tanh%2Fk16%2Fseed1"
        with contextlib.suppress(OSError), urllib.request.urlopen(address) as answer:  # 404 until it has read the run
            return [number for _, _, number in json.load(answer)]
        return []

    with served(folder.path, port):
        wait_until(lambda: len(shown()) == 3)
        train_pack([alone], [folder], digits, runs=[its_run])
        wait_until(lambda: len(shown()) == 5)
        assert shown() == pytest.approx([number for _, number in told(folder)["loss"]])


def test_the_command_makes_what_is_missing_and_takes_a_run_of_its_own(tmp_path: Path, alone: TrialConfig) -> None:
    folder, port = TrialFolder(tmp_path / "alone"), free_port()
    run_trial(alone, folder)
    shutil.rmtree(folder.path / "tensorboard")
    with served(folder.path, port) as server:
        assert server.poll() is None
    assert server.returncode in (0, -signal.SIGINT)  # TensorBoard answers before it handles Ctrl-C
    assert curves(folder.path / "tensorboard/tanh/k16/seed1") == told(folder)


def test_a_folder_that_is_no_sweep_and_a_port_that_is_taken_are_said(
    tmp_path: Path, study: tuple[SearchSpace, SweepFolder]
) -> None:
    nothing = call("tensorboard", tmp_path, ok=False)
    assert nothing.returncode == 2
    assert "is not a sweep's output folder" in nothing.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        refused = call("tensorboard", study[1].root, "--port", number, "--host", "127.0.0.1", ok=False)
        assert refused.returncode == 2
        assert f"cannot listen on 127.0.0.1:{number} (Address already in use); choose another --port" in refused.stderr
        with pytest.raises(ResourceError, match=r"cannot listen on 192\.0\.2\.1:6006"):
            first_free_port("192.0.2.1", None)


@pytest.mark.parametrize(("host", "is_told"), [("localhost", False), ("127.0.0.1", False), ("0.0.0.0", True)])
def test_what_a_host_opens_is_told(
    host: str, is_told: bool, tmp_path: Path, alone: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard itself is not started."""
    monkeypatch.setattr(tensorboard_server, "serve", lambda runs, host, port: None)
    run_trial(alone, TrialFolder(tmp_path / "run"))
    port = free_port()
    told = call("tensorboard", tmp_path / "run", "--host", host, "--port", port).stderr
    assert (
        f"anyone who can reach port {port} of this machine can see these runs, without a password" in told
    ) is is_told
