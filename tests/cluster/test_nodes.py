"""A sweep over several machines: each trains, the table is that of one machine, and no door is open to a stranger."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from infomax_tune.errors import ResourceError
from infomax_tune.on_ray import cluster, joining
from tests.cluster.machines import RAY, Machine, Machines
from tests.command import COMMAND, call, tables, wait_until
from tests.folders import make_sweep

SETTINGS = ["activation=[relu, tanh, identity]", "epochs=60", "seed=[1, 2]"]
WORDS = [*("quickstart", *(word for setting in SETTINGS for word in ("--set", setting))), "--no-report"]
ANOTHER_CPU = "Another CPU"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("undisturbed") / "sweep", *SETTINGS).root


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the last machine does not see."""
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory, private: Path) -> Iterator[Machines]:
    """A head, a worker with what it takes for a GPU, and one with another CPU that does not see every folder."""
    with Machines(tmp_path_factory.mktemp("machines"), dashboard=True) as made:
        made.head("--include-dashboard=true")
        made.worker("--num-gpus=1")
        made.worker(hides=private, cpu=ANOTHER_CPU)
        made.wait()
        yield made


def test_each_machine_trains_and_the_table_is_that_of_one(
    machines: Machines, undisturbed: Path, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    """The driver is on a worker. No machine gets on before all have begun, so that none can do it all alone."""
    record_property("machines", machines.kind)
    out = tmp_path / "sweep"
    for machine in machines.machines:
        machine.set_gate()
    sweep = machines.machines[1].start(*COMMAND, "sweep", *WORDS, "--address", machines.address, "--out", out)
    wait_until(lambda: all(machine.has_begun() for machine in machines.machines) or sweep.poll() is not None)
    hosts = [machine.name if machine.namespace else "" for machine in machines.machines]
    if machines.problem is None:
        wait_until(lambda: _hosts(out) - {""} == set(hosts) or sweep.poll() is not None)
        assert {line.split(":")[0] for line in call("status", out).stdout.splitlines() if line.startswith("on ")} == {
            f"on {host}" for host in hosts
        }
    stdout, stderr = machines.let_go(sweep)
    assert sweep.returncode == 0, stdout + stderr
    assert "in 3 packs, 3 at a time" in stdout
    assert re.search(r"^6/6 trials  100% of the epochs", stdout, flags=re.MULTILINE), "no plain lines in a log"
    assert tables(out) == tables(undisturbed)
    assert machines.token not in stdout + stderr
    _holds_no_token(out, machines.token)
    if machines.problem is None:
        timings = pd.read_csv(out / "timings.csv")
        assert set(timings["host"]) == set(hosts)
        assert "warning: the machines in the cluster differ: cpu is" in stderr
        assert ANOTHER_CPU in stderr
        noted = {path.stem: json.loads(path.read_text())["cpu"] for path in out.glob("environments/*.json")}
        of_trials = dict(zip(timings["host"], timings["environment"].map(noted), strict=True))
        assert [ANOTHER_CPU in of_trials[host] for host in hosts] == [False, False, True]


def _hosts(out: Path) -> set[str]:
    driver = json.loads(call("status", out, "--json").stdout)["driver"]
    return {pack["host"] for pack in driver["packs"]} if driver else set()


def _holds_no_token(folder: Path, token: str) -> None:
    """Ray's own pickles included."""
    for path in folder.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path


def test_a_folder_that_a_machine_does_not_see_is_found_out_at_once(machines: Machines, private: Path) -> None:
    """And nothing is left of the sweep that could not begin."""
    if machines.problem:
        pytest.skip(f"all machines see the same folders here: {machines.problem}")
    out = private / "sweep"
    done = machines.machines[0].infomax_tune("sweep", *WORDS, "--address", "auto", "--out", out)
    assert done.returncode == 2, done.stdout + done.stderr
    blind = machines.machines[2]
    assert (
        f"{out}: {blind.name} ({blind.address}) cannot see it. On several machines, use an output folder" in done.stderr
    )
    assert not out.exists()


def test_two_packs_share_one_gpu(machines: Machines, tmp_path: Path) -> None:
    """Ray takes the worker's word for its GPU. Each pack waits in its first epoch, until two have a place."""
    worker = machines.machines[1]
    options = ["--gpus-per-pack", "0.5", "--cpus-per-pack", "0.5", "--device", "cpu", "--set", "seed=1"]
    out = tmp_path / "sweep"
    worker.set_gate()
    sweep = worker.start(*COMMAND, "sweep", *WORDS, *options, "--address", machines.address, "--out", out)

    wait_until(lambda: len(worker.workers()) >= 2 or sweep.poll() is not None)
    at_once = {machine.name: len(machine.workers()) for machine in machines.machines}
    stdout, stderr = machines.let_go(sweep)
    assert sweep.returncode == 0, stdout + stderr
    assert "in 3 packs, 2 at a time" in stdout
    if machines.problem is None:
        assert at_once == {"machine1": 0, "machine2": 2, "machine3": 0}


# ---- doors


WRONG = "another-one-0123456789abcdef"


@pytest.mark.parametrize(("address", "token"), [("HOST:PORT", ""), ("HOST:PORT", WRONG), ("auto", "")])
def test_who_has_not_the_token_is_told_so_at_once(address: str, token: str, machines: Machines, tmp_path: Path) -> None:
    """On a machine of the cluster. With the commands that set it; and nothing is left behind."""
    if address == "auto" and machines.problem:
        pytest.skip(f"Ray finds this machine's own address here: {machines.problem}")
    address = machines.address if address == "HOST:PORT" else address
    variables = {"RAY_AUTH_TOKEN": token, "RAY_AUTH_MODE": "token" if token else "", "HOME": str(tmp_path)}
    words = ["sweep", *WORDS, "--address", address, "--out", tmp_path / "sweep"]
    done = machines.machines[1].infomax_tune(*words, **variables)
    assert done.returncode == 2
    assert _is_told(done.stderr, token, machines)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("token", ["", WRONG])
def test_who_has_not_the_token_is_told_so_at_once_from_another_address(
    token: str, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", token) if token else monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    cluster._read_token_again()
    with pytest.raises(ResourceError) as caught:
        joining.check(machines.address)
    assert _is_told(str(caught.value), token, machines)


def _is_told(text: str, token: str, machines: Machines) -> bool:
    problem = "yours is wrong" if token else "none is set here"
    told = f"{machines.address} requires a token, but {problem}. Set it with:\n  export RAY_AUTH_MODE=token\n"
    return f"{told}  export RAY_AUTH_TOKEN=" in text and machines.token not in text and not (token and token in text)


def test_the_ports_of_people_are_closed_or_ask_for_the_token(machines: Machines) -> None:
    """The dashboard is on loopback. From a machine of the cluster, its data and a machine's agent ask for the token."""
    head, other = machines.machines[0], machines.machines[1]
    if machines.problem is None:
        assert _asks(other, f"http://{head.address}:8265/api/version") == "refused"
        agent = f"http://{other.address}:52365/api"
        assert _asks(head, f"{agent}/local_raylet_healthz") == "200"
        assert _asks(head, f"{agent}/job_agent/jobs/none/logs") == "401"
        assert _asks(head, f"{agent}/job_agent/jobs/none/logs", token=machines.token) == "404"
    assert _asks(head, "http://127.0.0.1:8265/api/version") == "401"
    assert _asks(head, "http://127.0.0.1:8265/api/jobs/") == "401"
    assert _asks(head, "http://127.0.0.1:8265/api/version", token=machines.token) == "200"


ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"} if sys.argv[2] else {})
try:
    print(urllib.request.urlopen(request, timeout=30).status)
except urllib.error.HTTPError as error:
    print(error.code)
except urllib.error.URLError as error:
    print("refused" if isinstance(error.reason, ConnectionRefusedError) else error)
"""


def _asks(machine: Machine, address: str, token: str = "") -> str:
    """The status that the server answers with, or refused."""
    done = machine.run(sys.executable, "-c", ASK, address, token)
    return done.stdout.strip() or done.stderr


def test_a_machine_does_not_show_its_metrics(machines: Machines) -> None:
    """RAY_enable_metrics_collection=0 closes that port, which asks for no token. The head's two others stay open."""
    if machines.problem:
        pytest.skip(f"all machines have the same ports here: {machines.problem}")
    open_ports = [
        machine.run(sys.executable, "-c", SHOW_METRICS, machine.address).stdout.split() for machine in machines.machines
    ]
    assert open_ports == [["44217", "44227"], [], []]


SHOW_METRICS = """
import sys, urllib.request
import psutil
for port in sorted({each.laddr.port for each in psutil.net_connections("tcp") if each.status == "LISTEN"}):
    try:
        text = urllib.request.urlopen(f"http://{sys.argv[1]}:{port}/metrics", timeout=5).read()
    except Exception:
        continue
    if b"# HELP" in text:
        print(port)
"""


def test_a_sweep_is_submitted_as_a_job(machines: Machines, undisturbed: Path, tmp_path: Path) -> None:
    """Its code and its space are in its working directory, a checkout whose arithmetic is another. The job's log has the
    plain lines; it finds the cluster and the token by itself, and shows the token to nobody."""
    if machines.problem:
        pytest.skip(f"the agents of all machines want the same port here: {machines.problem}")
    head, out, checkout = machines.machines[0], tmp_path / "sweep", tmp_path / "checkout"
    for name in ("infomax_tune", "search_spaces", "analysis"):
        shutil.copytree(ROOT / name, checkout / name)
    shutil.copy(ROOT / "search_spaces" / "quickstart.yaml", checkout / "my_study.yaml")
    changed = checkout / "infomax_tune" / "science" / "arithmetic.py"
    text, replaced = re.subn(
        r"^ARITHMETIC = \d+", "ARITHMETIC = 99", changed.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert replaced == 1
    changed.write_text(text, encoding="utf-8")
    job = [RAY, "job", "submit", "--address", "http://127.0.0.1:8265", "--working-dir", checkout, "--"]
    one_worker = ["--max-concurrent", "1", "--address", "auto"]
    done = head.run(*job, *COMMAND, "sweep", "my_study.yaml", *WORDS[1:], *one_worker, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^6/6 trials  100% of the epochs", done.stdout, flags=re.MULTILINE)
    assert "6 trials: 6 done" in done.stdout
    assert machines.token not in done.stdout + done.stderr
    assert tables(out) == tables(undisturbed)
    _holds_no_token(out, machines.token)
    records = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("trials/*/record.json")]
    assert [record["arithmetic"] for record in records] == [99] * 6
