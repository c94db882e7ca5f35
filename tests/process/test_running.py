"""running.py: a process is told from another with its number, whatever the clock of the machine does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from infomax_tune.follow.tally import Tally
from infomax_tune.process.running import begun, is_running
from infomax_tune.store.locks import Work, _Lease
from tests.command import wait_until


def test_a_process_that_ended_does_not_run_even_if_its_parent_has_not_asked_after_it() -> None:
    assert is_running(os.getpid(), begun(os.getpid()))
    assert not is_running(os.getpid(), begun(os.getpid()) - 1)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
        since = begun(child.pid)
        assert is_running(child.pid, since)
        child.kill()
        wait_until(lambda: not is_running(child.pid, since), 60)
        assert psutil.pid_exists(child.pid)
    assert not is_running(child.pid, since)


LOOK = """
import json, sys
from infomax_tune.follow.progress import SweepState
from infomax_tune.store.locks import _Lease
state, lease = json.load(sys.stdin)
assert SweepState.from_dict(state).is_alive()
assert _Lease(**lease).is_held()
"""


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root sets a clock")
def test_a_driver_is_alive_after_its_clock_was_set(tmp_path: Path) -> None:
    """By an hour, as another process sees it: it computes what the clock is when the machine started."""
    began = f"btime {int(psutil.boot_time())}"
    stat = Path("/proc/stat").read_text()
    assert began in stat
    (tmp_path / "stat").write_text(stat.replace(began, f"btime {int(time.time())}"))
    notes = [Tally([], {}).state().as_dict(), asdict(_Lease.new(Work.SWEEP))]
    script = f"mount --bind {tmp_path}/stat /proc/stat && exec {sys.executable} -c '{LOOK}'"
    subprocess.run(["unshare", "--mount", "sh", "-c", script], input=json.dumps(notes), text=True, check=True)
