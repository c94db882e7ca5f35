"""Shared fixtures. Array shapes in the annotations of what is computed are checked in every test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from jaxtyping import install_import_hook

# before the modules are imported; a new module of the room is checked too
install_import_hook("infomax_tune.science", "beartype.beartype")

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from infomax_tune.science import data  # noqa: E402
from infomax_tune.study.config import TrialConfig  # noqa: E402
from infomax_tune.study.read_config import build_config, read_overrides  # noqa: E402
from tests.gate import Gate  # noqa: E402

# no test depends on how busy the machine is
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")

MakeConfig = Callable[..., TrialConfig]

SLOW = (
    "cluster/",
    "commands/",
    "docker/test_commands.py",
    "on_ray/",
    "analysis/test_browser.py",
    "analysis/test_calibration.py",
    "analysis/test_claims.py",
    "analysis/test_load.py::test_a_users_part_is_drawn",
    "analysis/test_page.py",
    "analysis/test_paper.py",
    "analysis/test_plots.py",
    "analysis/test_report.py",
    "packs/test_pilot.py::test_a_pilot_measures",
    "parts/test_own.py::test_the_id_does_not_depend_on_the_process",
    "parts/test_plugin.py",
    "process/test_streams.py",
    "science/test_compiled.py::test_a_broken_cache",
    "science/test_compiled.py::test_a_cpu_without_wide_registers",
    "science/test_compiled.py::test_two_formulas_of_one_file",
    "science/test_compiled.py::test_with_numba_turned_off",
    "science/test_data.py::test_every_array_is_part",
    "science/test_selfcheck.py",
    "science/test_training.py::test_a_trials_numbers_do_not_depend_on_its_pack[",
    "store/test_store_properties.py",
)
"""What `make quick` leaves out, by the beginning of its name: it starts Ray or other processes, draws, or takes seconds."""
LONG = (
    "cluster/test_failing_machines.py",
    "cluster/test_nodes.py::test_a_sweep_is_submitted_as_a_job",
    "cluster/test_nodes.py::test_two_packs_share_one_gpu",
    "cluster/test_slurm.py::test_the_script_stops_before_its_limit",
    "commands/test_cli.py::test_a_sweep_needs_neither",
    "commands/test_cli.py::test_the_selfcheck_finds",
    "commands/test_full_disk.py::test_a_disk_that_fills_up",
    "commands/test_failing_trials.py::test_a_worker_that_runs_out_of_memory",
    "commands/test_foreign_folder.py::test_the_report_is_the_same_there",
    "commands/test_leaves_no_trace.py::test_a_host_program",
    "commands/test_kills.py::test_a_sweep_that_loses_a_process_of_rays",
    "commands/test_notebook.py::test_a_notebook_runs",
    "commands/test_tensorboard.py::test_a_page_that_is_open_over_a_crash",
    "commands/test_wheel.py",
    "docker/test_commands.py",
    "science/test_compiled.py::test_a_cpu_without_wide_registers",
)
"""What only `make test-all` runs: each takes minutes of CPU, for several machines, a machine of another kind, or a death that
`make test` has in a shorter form."""
REPORTS = ("test_browser.py", "test_page.py", "test_report.py")
"""The files that look at the reports of `analysis/conftest.py`, each of which takes as long as a sweep."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: left out by `make quick`, see SLOW in tests/conftest.py")
    config.addinivalue_line("markers", "long: left out by `make test` too, see LONG in tests/conftest.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs whole commands takes longest: it comes first, so that no process begins a long file when the others end."""
    items.sort(key=lambda item: item.path.parent.name not in ("commands", "cluster"))
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(SLOW):
            item.add_marker("slow")
        if item.nodeid.removeprefix("tests/").startswith(LONG):
            item.add_marker("long")


def promises() -> dict[str, str]:
    """The promises of docs/nothing-lost.md, each with its test."""
    text = (Path(__file__).parents[1] / "docs/nothing-lost.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| (.+) \| `(\S+::test_\w+)` \|$", text, flags=re.MULTILINE))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Which promises this run saw hold, if it was about most of them."""
    seen = {
        outcome: {
            report.nodeid.removeprefix("tests/").partition("[")[0] for report in terminalreporter.getreports(outcome)
        }
        for outcome in ("passed", "failed", "error")
    }
    held = {promise: test in seen["passed"] - seen["failed"] - seen["error"] for promise, test in promises().items()}
    if sum(held.values()) > len(held) / 2:
        terminalreporter.section(
            f"{sum(held.values())} of {len(held)} promises of docs/nothing-lost.md were seen to hold"
        )
        for promise in (promise for promise, is_held in held.items() if not is_held):
            terminalreporter.line(f"not seen: {promise}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests run in one process, and so do those of all files that share reports."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "reports" if file.endswith(REPORTS) else file

    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As in a sweep: a trial's bits depend on the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _reports_are_drawn_here() -> Iterator[None]:
    """Processes to draw a report's figures would import for seconds."""
    with mock.patch("analysis.run.share", lambda draw, tasks, **environment: [draw(*task) for task in tasks]):
        yield


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves anything in the source tree."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """At which the commands that this test starts wait in their first epochs; so would this process if it trained."""
    made = Gate(tmp_path / "trace")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture(scope="session")
def make_config() -> MakeConfig:
    """make_config(activation="tanh", epochs=2): the config of these settings, by their short names."""

    def make(**settings: object) -> TrialConfig:
        layer, problems = read_overrides([f"{key}={value}" for key, value in settings.items()])
        assert not problems, problems
        return build_config(layer)

    return make


@pytest.fixture
def pack(make_config: MakeConfig) -> list[TrialConfig]:
    """Three short trials of one cell."""
    return [
        make_config(dataset="digits", activation="tanh", epochs=5, save_metrics_every=2, checkpoint_every=2, seed=seed)
        for seed in (1, 2, 3)
    ]


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(scope="session")
def synthetic_2d() -> data.Dataset:
    return data.load("synthetic_2d")
