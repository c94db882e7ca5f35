"""The documents: links lead somewhere, and commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from infomax_tune.cli import app
from infomax_tune.commands.reference import reference
from infomax_tune.study import columns
from infomax_tune.study.settings import as_markdown, describe_settings
from tests.conftest import promises

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_resolves(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_and_option_named_exists(document: Path) -> None:
    commands = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    options = {name for command in commands.values() for parameter in command.params for name in parameter.opts}
    text = document.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    for line in re.findall(r"^ *infomax-tune (.*)$", blocks, flags=re.MULTILINE):
        assert line.split()[0] in commands, line
        assert set(re.findall(r"--[a-z-]+", line.partition("#")[0])) <= options, line


def test_the_readme_s_python_runs_and_every_file_is_explained() -> None:
    """README's Python as it stands there, and what its sweep leaves in docs/output-folder.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    check = "assert len(table) == 20 and record.status == 'done'"
    done = subprocess.run([sys.executable, "-c", f"{program}\n{check}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path("results/pair/analysis/report.html").exists()
    explained = (ROOT / "docs/output-folder.md").read_text(encoding="utf-8").partition("## Columns")[0]
    (trial, *_) = Path("results/pair/trials").iterdir()
    for path in (*Path("results/pair").iterdir(), *trial.iterdir()):
        assert re.search(rf"(^|\s){re.escape(path.name)}[\s,;/]", explained, flags=re.MULTILINE), path


def test_every_promise_names_a_test() -> None:
    assert len(promises()) >= 25
    for test in promises().values():
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(encoding="utf-8"), flags=re.MULTILINE), (
            test
        )


def test_every_bundled_space_is_named() -> None:
    text = (ROOT / "docs/sweeps.md").read_text(encoding="utf-8")
    for path in (ROOT / "search_spaces").glob("*.yaml"):
        assert f"| `{path.stem}` |" in text


def test_every_column_is_explained() -> None:
    """The settings stand in docs/settings.md."""
    text = (ROOT / "docs/output-folder.md").read_text(encoding="utf-8")
    rows = "\n".join(line.partition(" | ")[0] for line in text.splitlines() if line.startswith("| `"))
    assert [name for name in columns.RESULTS if f"`{name}`" not in rows and name not in columns.SETTINGS] == []
    assert f"`{next(iter(columns.SETTINGS))}` to `{list(columns.SETTINGS)[-1]}`" in rows


def test_the_references_are_those_of_the_code() -> None:
    """Of commands and options, and of settings."""
    written = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert written == reference(), "python -m infomax_tune.commands.reference > docs/commands.md"
    head, _, table = (ROOT / "docs/settings.md").read_text(encoding="utf-8").partition("| setting")
    assert head.startswith("# Settings")
    assert f"| setting{table}" == as_markdown(describe_settings()), "infomax-tune settings --markdown"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_english_is_plain(document: Path) -> None:
    """Words that only a translation would use."""
    text = " ".join(document.read_text(encoding="utf-8").lower().split())
    quaint = ("anew", "tell of", "tells of", "in vain", "seldom", "told apart", "row a trial", "cannot be said")
    assert [words for words in quaint if re.search(rf"\b{words}\b", text)] == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = [path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")]
    assert [name for name in pages if f"]({name})" not in index and name != "README.md"] == []


MACHINES = "test_each_machine_trains_and_the_table_is_that_of_one"
HEAD_DIES = "test_a_sweep_outlives_its_machines_and_is_resumed_after_the_head_s_death"
ENGINE = "not run: needs a container engine"
CLOUD = "not run: needs AWS"
KUBERNETES = "not run: needs Kubernetes"
COMMANDS = {
    "cluster.md": {
        "export RAY_AUTH_MODE=token": MACHINES,
        "export RAY_AUTH_TOKEN=$(cat /shared/token)": MACHINES,
        "export RAY_enable_metrics_collection=0": "test_a_machine_does_not_show_its_metrics",
        "export RAY_USAGE_STATS_ENABLED=0": MACHINES,
        "ray start --head --port=6379": MACHINES,
        "ray start --address=HEAD:6379": MACHINES,
        "infomax-tune sweep quickstart --set epochs=20 --address auto --out /shared/quick --no-report": HEAD_DIES,
        "infomax-tune status /shared/quick": MACHINES,
        "infomax-tune tensorboard /shared/quick": "test_a_cluster_of_containers_finishes_a_sweep",
        "infomax-tune resume /shared/quick --address auto": HEAD_DIES,
        "ssh -N -L 8265:localhost:8265 HEAD &": "not run: needs ssh",
        "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=...": MACHINES,
        "ray job submit --address http://localhost:8265 --working-dir . -- "
        "infomax-tune sweep my_study.yaml --address auto --out /shared/study": "test_a_sweep_is_submitted_as_a_job",
        "sbatch docs/slurm/sweep.sbatch activation_study --out results/study": (
            "test_the_script_stops_before_its_limit_and_goes_on_when_it_is_requeued"
        ),
    },
    "containers.md": {
        "make image": ENGINE,
        "docker run --rm infomax-tune spaces": ENGINE,
        "docker run --rm --shm-size 1g --volume results:/results infomax-tune sweep quickstart": ENGINE,
        "cd docker": ENGINE,
        '(umask 077 && echo "RAY_AUTH_TOKEN=$(openssl rand -hex 32)" > .env)': ENGINE,
        "docker compose up": ENGINE,
        "pip install --constraint constraints.txt '.[cluster]'": CLOUD,
        "export RAY_AUTH_MODE=token": CLOUD,
        "ray get-auth-token --generate": CLOUD,
        "ray up docker/ray-cluster.yaml": CLOUD,
        "ray dashboard docker/ray-cluster.yaml &": CLOUD,
        "ray job submit --address http://localhost:8265 -- "
        "infomax-tune sweep activation_study --address auto --out /results/study": CLOUD,
        "mkdir -p results": CLOUD,
        "ray rsync-down docker/ray-cluster.yaml /results/study/ results/study/": CLOUD,
        "ray down docker/ray-cluster.yaml": CLOUD,
        "kubectl apply --filename docker/rayjob.yaml": KUBERNETES,
        "kubectl wait --for=jsonpath='{.status.jobDeploymentStatus}'=Running rayjob/infomax-tune --timeout=15m": KUBERNETES,
        "kubectl logs --follow --selector job-name=infomax-tune": KUBERNETES,
        "head=$(kubectl get pod --selector ray.io/node-type=head --output name)": KUBERNETES,
        'kubectl port-forward "$head" 8265 &': KUBERNETES,
        'kubectl cp "${head#pod/}:/results/quickstart" results/quickstart': KUBERNETES,
        "kubectl delete --filename docker/rayjob.yaml": KUBERNETES,
        "debootstrap --include=python3,python3-venv,ca-certificates bookworm base": ENGINE,
        'container=$(buildah from scratch) && buildah add "$container" base / '
        '&& buildah commit "$container" debian-python': ENGINE,
        "sed -i 's/^torch==.*/torch==2.13.0/; s/^torchvision==.*/torchvision==0.28.0/' constraints.txt": ENGINE,
        "export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs": ENGINE,
        'make image IMAGE_ARGS="--build-arg BASE_IMAGE=localhost/debian-python --build-arg TORCH_INDEX=$PYPI '
        '--volume $PWD/pip.conf:/etc/pip.conf:ro --volume $PWD/wheels:/wheels:ro"': ENGINE,
    },
}
"""The test that runs each command of a page, with addresses and folders of its own; or why none does."""


@pytest.mark.parametrize("page", COMMANDS)
def test_every_command_of_a_cluster_is_run_by_a_test_or_cannot_be(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)).replace("\\\n", "")
    lines = [" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in blocks.splitlines()]
    assert {line for line in lines if line} == set(COMMANDS[page])
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    tests = {name for source in sources for name in re.findall(r"^def (test_\w+)", source, flags=re.MULTILINE)}
    assert {test for test in COMMANDS[page].values() if not test.startswith("not run: ")} <= tests


def test_how_to_install_and_to_cite_is_true() -> None:
    """Nothing is published: an extra is installed from the source. The version to cite is this one."""
    files = [*DOCUMENTS, *(ROOT / "infomax_tune").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    published = re.compile(r"pip install ['\"]?infomax-tune")
    assert [path.name for path in files if published.search(path.read_text(encoding="utf-8"))] == []
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in project
    assert "no licence yet" in (ROOT / "README.md").read_text(encoding="utf-8")
