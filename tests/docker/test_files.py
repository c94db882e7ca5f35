"""docker/: what can be checked of the files without an engine, a cloud or a Kubernetes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from jsonschema import Draft7Validator
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.docker.files import DOCKER, ROOT, compose, image_environment

SCHEMAS = ROOT.parent / "shared" / "schemas"
"""Where CI has the schemas of Compose and KubeRay."""
RAY_SCHEMA = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
DOCKERFILE = DOCKER / "Dockerfile"
RAY_CLUSTER = DOCKER / "ray-cluster.yaml"
RAY_JOB = DOCKER / "rayjob.yaml"
LOADED = """
import sys
import infomax_tune.on_ray.sweep, infomax_tune.on_ray.preload, analysis.report, ray.scripts.scripts, s3fs, tensorboard.program
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None))
print(open("/proc/self/maps").read().replace(" /", "\\n/"))
"""
"""Prints the files of the modules and libraries that the image's commands load."""


def schema(name: str) -> dict[str, Any]:
    path = SCHEMAS / name
    if not path.exists() and "CI" not in os.environ:
        pytest.skip(f"{path} is not here")
    return json.loads(path.read_text(encoding="utf-8"))


def complaints(about: object, of: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(of).iter_errors(about)]


def unknown_fields(value: object, of: dict[str, Any], path: str = "$") -> list[str]:
    """Fields that an OpenAPI schema does not name. It allows them; Kubernetes would drop them without a word."""
    if isinstance(value, list):
        return [field for item in value for field in unknown_fields(item, of.get("items", {}), f"{path}[]")]
    if not isinstance(value, dict) or "properties" not in of:
        return []
    known = of["properties"]
    return [f"{path}.{name}" for name in value if name not in known] + [
        field for name in value if name in known for field in unknown_fields(value[name], known[name], f"{path}.{name}")
    ]


def hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("hadolint"), dockerfile]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def ray_job() -> dict[str, Any]:
    (job,) = [part for part in yaml.safe_load_all(RAY_JOB.read_text(encoding="utf-8")) if part["kind"] == "RayJob"]
    return job


# ---- the image


def test_the_linter_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    done = hadolint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")
    worse = tmp_path / "Dockerfile"
    worse.write_text(DOCKERFILE.read_text(encoding="utf-8").replace("--no-cache-dir", ""))
    assert "DL3042" in hadolint(worse).stdout


def test_the_image_is_pinned_and_runs_the_command_without_root() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in line for line in installs)
    stages = re.findall(r"^FROM (.*)$", text, flags=re.MULTILINE)
    assert stages == ["${BASE_IMAGE} AS build", "${BASE_IMAGE}"]
    last_stage = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 1000$", last_stage, flags=re.MULTILINE)
    assert '\nENTRYPOINT ["infomax-tune"]\n' in last_stage
    assert image_environment()["RAY_AUTH_MODE"] == "token"


def test_the_image_leaves_out_nothing_that_is_imported() -> None:
    """The Dockerfile's rules, here only printed, for these packages: no module or library of a worker, a cluster or a report."""
    text = re.sub(r"^ +#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (rules,) = re.findall(r"^RUN find \S+ (.*?) -exec rm -r \{\} \+", text, flags=re.DOTALL | re.MULTILINE)
    packages = sysconfig.get_path("purelib")
    found = subprocess.run(["sh", "-c", f"find {packages} {rules} -print"], capture_output=True, text=True, check=True)
    out = found.stdout.splitlines()
    assert f"{packages}/pandas/tests" in out
    assert not [path for path in out if ".dist-info" in path]
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()
    assert any("libtorch_python" in path for path in loaded)
    assert [path for path in loaded if path.startswith(tuple(out))] == []


def test_a_login_shell_in_the_image_finds_its_commands(tmp_path: Path) -> None:
    """`ray up` runs its commands in one. Debian's /etc/profile sets PATH anew, then reads the files in profile.d."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    (words,) = re.findall(r"echo .* >/etc/profile\.d/infomax-tune\.sh$", text, flags=re.MULTILINE)
    written = tmp_path / "infomax-tune.sh"
    shell = (
        f"{words.replace('/etc/profile.d/infomax-tune.sh', str(written))}; PATH=/usr/bin:/bin; . {written}; echo $PATH"
    )
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout == image_environment()["PATH"].replace("$PATH", "/usr/bin:/bin") + "\n"


def test_the_build_is_given_what_the_dockerfile_copies_and_no_more() -> None:
    """.dockerignore lets through just that: no results, no token, no environment of this machine."""
    given = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert given == {name for names in copied for name in names.split()}
    assert all((ROOT / name).exists() for name in given)


# ---- compose.yaml


def test_compose_follows_the_specification() -> None:
    of = schema("compose-spec.json")
    assert complaints(compose({}), of) == []
    assert complaints({"services": {"head": {"ports": 8265}}}, of) != []


def test_one_service_builds_the_image_of_all() -> None:
    """Compose builds for all services at once, and two builds of one name fail."""
    services = compose({})["services"]
    assert {service["image"] for service in services.values()} == {"infomax-tune"}
    assert [name for name, service in services.items() if "build" in service] == ["head"]


def test_ports_are_open_to_this_machine_alone() -> None:
    services = compose({})["services"]
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"head": ["127.0.0.1:8265:8265"], "tensorboard": ["127.0.0.1:6006:6006"]}
    assert not any(service.get("network_mode") == "host" for service in services.values())


def test_the_token_is_a_secret_of_those_who_speak_to_ray() -> None:
    """And stands in no container's environment."""
    configuration = compose({"RAY_AUTH_TOKEN": "hush"})
    assert configuration["secrets"] == {"ray_token": {"environment": "RAY_AUTH_TOKEN"}}
    assert "hush" not in json.dumps(configuration)
    with_token = {name for name, service in configuration["services"].items() if "secrets" in service}
    assert with_token == {"head", "worker", "sweep"}
    for name in with_token:
        assert configuration["services"][name]["secrets"] == ["ray_token"]
        assert configuration["services"][name]["environment"] == {"RAY_AUTH_TOKEN_PATH": "/run/secrets/ray_token"}


def test_what_serves_is_checked_and_what_depends_on_it_waits() -> None:
    services = compose({})["services"]
    assert {name for name, service in services.items() if "healthcheck" in service} == {"head", "worker", "tensorboard"}
    healthy = {"condition": "service_healthy"}
    assert services["sweep"]["depends_on"] == {"head": healthy, "worker": healthy}
    assert services["report"]["depends_on"] == {"sweep": {"condition": "service_completed_successfully"}}


def test_number_and_size_of_the_workers_and_the_space_are_settings() -> None:
    services = compose({"WORKERS": "7", "CPUS": "3", "SPACE": "synthetic_2d"})["services"]
    assert services["worker"]["deploy"]["replicas"] == "7"
    assert "--num-cpus=3" in services["worker"]["command"]
    assert services["sweep"]["command"][2] == "synthetic_2d"
    for name in ("sweep", "tensorboard", "report"):
        assert "/results/synthetic_2d" in " ".join(services[name]["command"])


# ---- ray-cluster.yaml and rayjob.yaml


def test_ray_accepts_the_cluster() -> None:
    """By its own schema, alone and with the defaults that `ray up` adds."""
    cluster = yaml.safe_load(RAY_CLUSTER.read_text(encoding="utf-8"))
    assert complaints(cluster, json.loads(RAY_SCHEMA.read_text(encoding="utf-8"))) == []
    validate_config(prepare_config(cluster))
    del cluster["available_node_types"]["worker"]["node_config"]
    with pytest.raises(Exception, match="node_config"):
        validate_config(prepare_config(cluster))


def test_the_clusters_workers_come_and_go_and_are_spot_instances() -> None:
    cluster = yaml.safe_load(RAY_CLUSTER.read_text(encoding="utf-8"))
    worker = cluster["available_node_types"]["worker"]
    assert (worker["min_workers"], worker["max_workers"], cluster["max_workers"]) == (0, 8, 8)
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    head = cluster["head_start_ray_commands"][-1]
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head
    assert "--dashboard-host=127.0.0.1" in head
    # the token's file is where Ray looks for it in the image
    assert list(cluster["file_mounts"]) == [f"{image_environment()['HOME']}/.ray/auth_token"]


def test_kuberay_accepts_the_job() -> None:
    of = schema("rayjob-v1.json")
    job = ray_job()
    assert complaints(job, of) == []
    assert unknown_fields(job, of) == []
    assert unknown_fields({"spec": {"rayClusterSpec": {"authoptions": {}}}}, of) == [
        "$.spec.rayClusterSpec.authoptions"
    ]
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_the_jobs_ray_is_the_one_that_is_pinned() -> None:
    assert ray_job()["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")


def test_the_jobs_pods_are_not_root_and_share_one_folder() -> None:
    cluster = ray_job()["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"]["template"]["spec"]]
    pods += [group["template"]["spec"] for group in cluster["workerGroupSpecs"]]
    for pod in pods:
        assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000}
        assert pod["containers"][0]["image"] == pods[0]["containers"][0]["image"]
        assert pod["containers"][0]["volumeMounts"] == [{"name": "results", "mountPath": "/results"}]
        assert pod["volumes"] == [{"name": "results", "persistentVolumeClaim": {"claimName": "infomax-tune-results"}}]


@pytest.mark.parametrize("path", [RAY_CLUSTER, RAY_JOB], ids=lambda path: path.name)
def test_two_lines_are_to_be_edited(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum("# EDIT: " in line for line in lines) == 2


# ---- make image


def test_without_a_builder_make_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")  # and nothing else on the path
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "--directory", ROOT, "image"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "make image needs docker with a running engine, podman or buildah." in done.stderr
