"""How many CPUs a process may use, whatever grants them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from infomax_tune.process import granted


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """64 CPUs, all of them this process's, and a folder for its cgroups."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr(granted, "_CGROUPS", tmp_path)
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def quotas(machine: Path, *memberships: str) -> list[float]:
    """Of a process with these lines in /proc/self/cgroup."""
    own = machine / "memberships"
    own.write_text("\n".join(memberships) + "\n")
    return list(granted._quotas(own))


def test_without_limits_all_cpus_of_the_machine(machine: Path) -> None:
    assert granted.cpus() == 64


def test_an_affinity(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7, 9}, raising=False)
    assert granted.cpus() == 4


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_this_process_s_own_affinity() -> None:
    everywhere = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(everywhere)})
        assert granted.cpus() == 1
    finally:
        os.sched_setaffinity(0, everywhere)


@pytest.mark.parametrize(
    ("name", "value", "cpus"),
    [
        ("SLURM_CPUS_PER_TASK", "4", 4),
        ("SLURM_CPUS_ON_NODE", "8", 8),
        ("SLURM_CPUS_PER_TASK", "many", 64),
        ("SLURM_CPUS_PER_TASK", "0", 1),
    ],
)
def test_slurm_s_grant(name: str, value: str, cpus: int, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert granted.cpus() == cpus


def test_a_task_of_slurm_s_has_less_than_its_node(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "32")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    assert granted.cpus() == 2


def test_the_quota_of_a_group_and_of_those_around_it(machine: Path) -> None:
    (machine / "user/job").mkdir(parents=True)
    (machine / "user/job/cpu.max").write_text("max 100000\n")
    (machine / "user/cpu.max").write_text("350000 100000\n")
    assert quotas(machine, "0::/user/job") == [3.5]


def test_a_container_whose_group_has_the_name_its_host_gave_it(machine: Path) -> None:
    (machine / "cpu").mkdir()
    (machine / "cpu/cpu.cfs_quota_us").write_text("200000\n")
    (machine / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert quotas(machine, "4:memory:/", "1:cpu,cpuacct:/docker/0123abcd", "0::/docker/0123abcd") == [2]


def test_no_limit_in_version_1(machine: Path) -> None:
    (machine / "cpu").mkdir()
    (machine / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    (machine / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert quotas(machine, "1:cpu:/") == []


def test_less_than_one_cpu_counts_as_one(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(granted, "_quotas", lambda memberships: iter([0.5]))
    assert granted.cpus() == 1


def test_another_system_than_linux(machine: Path) -> None:
    assert list(granted._quotas(machine / "none")) == []
