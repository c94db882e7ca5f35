"""Folders that somebody made to do harm: every command that reads one ends, with words and without a traceback.

Their checksums are right: whoever can write into a folder can compute them too.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

import infomax_tune
from analysis.load import load_study
from analysis.reshape import varying
from infomax_tune import InfomaxTuneError, load_results
from infomax_tune.follow.tensorboard_runs import mend_unless_busy, of_sweep
from infomax_tune.on_ray.machines import drift
from infomax_tune.packs import pack_training
from infomax_tune.packs.execution import environment_here
from infomax_tune.packs.mixing import refuse_to_mix
from infomax_tune.science.data import load
from infomax_tune.store import checkpoint as checkpoints
from infomax_tune.store.files import digest
from infomax_tune.store.mending import mend_folder
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study import yaml_document
from tests.command import call
from tests.command import infomax_tune as infomax_tune_command
from tests.folders import Countdown, make_sweep

SETTINGS = ("epochs=2", "checkpoint_every=1", "activation=tanh", "hidden_dim=4", "seed=[1, 2]")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("finished") / "sweep", *SETTINGS).root


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "studies" / "sweep"))


def trial(out: Path, seed: int = 1) -> Path:
    return next(out.glob(f"trials/tanh-k4-s{seed}-*"))


def forge(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the content of a file, and its checksum with it."""
    is_yaml = path.suffix == ".yaml"
    content = yaml_document.parse(path.read_text(), "").content if is_yaml else json.loads(path.read_bytes())
    del content["sha256"]
    change(content)
    content["sha256"] = digest(content)
    path.write_text(yaml_document.dump(content) if is_yaml else json.dumps(content))


def write(path: Path, content: object) -> None:
    """Writes a file that a sweep does not have here, of the first version, with its checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"sha256": "0"}))
    forge(path, lambda empty: empty.update({"schema": 1, **content} if isinstance(content, dict) else {"x": content}))


def in_sweep(**content: object) -> Callable[[Path], None]:
    return lambda out: forge(out / "sweep.yaml", lambda space: space.update(content))


def in_axes(name: str, values: object) -> Callable[[Path], None]:
    return lambda out: forge(out / "sweep.yaml", lambda space: space["axes"].update({name: values}))


def in_base(section: str, key: str, value: object) -> Callable[[Path], None]:
    return lambda out: forge(out / "sweep.yaml", lambda space: space["base"][section].update({key: value}))


def in_record(**content: object) -> Callable[[Path], None]:
    return lambda out: forge(trial(out) / "record.json", lambda record: record.update(content))


def in_timing(**content: object) -> Callable[[Path], None]:
    return lambda out: forge(trial(out) / "record.json", lambda record: record["timing"].update(content))


def vouched(name: str, data: bytes) -> Callable[[Path], None]:
    """A file of a trial with another content, for which its record vouches."""

    def harm(out: Path) -> None:
        (trial(out) / name).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        forge(trial(out) / "record.json", lambda record: record["files"].update({name: sha256}))

    return harm


def unfinished(content: dict[str, object]) -> Callable[[Path], None]:
    """A failure in place of a record."""

    def harm(out: Path) -> None:
        (trial(out) / "record.json").unlink()
        write(trial(out) / "failure.json", content)

    return harm


def progress(**changes: object) -> Callable[[Path], None]:
    content = {
        "phase": "training", "counts": dict.fromkeys(("done", "diverged", "failed", "running", "left"), 1),
        "elapsed_s": 1.0, "epochs_per_s": 1.0, "eta_s": None, "share": 0.5, "packs": [],
        "host": "elsewhere", "pid": 1, "started": 1.0, "begun": 1.0, "updated": 1.0,
    }  # fmt: skip
    return lambda out: write(out / "progress.json", content | changes)


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def harm(out: Path) -> None:
        of_sweep = ("sweep.yaml", "environment.json", "tables.json", "lock")
        path = out / name if name in of_sweep else trial(out) / name
        path.unlink(missing_ok=name == "lock")
        make(path)

    return harm


def of_a_tebibyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def parquet(**columns: object) -> Callable[[Path], None]:
    def harm(out: Path) -> None:
        table = pd.read_parquet(out / "history.parquet")
        table.assign(**columns).to_parquet(out / "history.parquet", index=False)

    return harm


def many_rows(out: Path) -> None:
    """A parquet file of a few kilobytes with 200 million rows: its parts repeat the same page."""
    import pyarrow as pa
    from pyarrow import parquet

    part, data = (
        pa.table({"trial_id": pa.nulls(10**7, pa.string()), "epoch": pa.nulls(10**7, pa.int64())}),
        io.BytesIO(),
    )
    with parquet.ParquetWriter(data, part.schema) as writer:
        for _ in range(20):
            writer.write_table(part, row_group_size=10**7)
    assert len(data.getvalue()) < 2**20
    (out / "history.parquet").write_bytes(data.getvalue())


def with_note(out: Path, note: bytes) -> None:
    from pyarrow import parquet

    table = parquet.read_table(out / "history.parquet")
    parquet.write_table(table.replace_schema_metadata({b"pandas": note}), out / "history.parquet")


def in_results(change: Callable[[str], str]) -> Callable[[Path], None]:
    def harm(out: Path) -> None:
        text = (out / "results.csv").read_text()
        assert change(text) != text
        (out / "results.csv").write_text(change(text), newline="")

    return harm


def foreign(trial_id: str) -> Callable[[Path], None]:
    """A record of that id, in a sweep with a setting that this version does not know."""

    def harm(out: Path) -> None:
        in_base("training", "nesterov", True)(out)
        in_record(trial_id=trial_id)(out)

    return harm


LAYER = {"weight": np.zeros((4, 64), np.float32), "bias": np.zeros(4, np.float32)}

PIECES: dict[str, Callable[[Path], object]] = {
    "nine million trials": lambda out: forge(
        out / "sweep.yaml",
        lambda space: space["axes"].update(
            {"training.seed": [*range(300)], "model.hidden_dim": [*range(1, 301)], "training.epochs": [*range(100)]}
        ),
    ),
    "an axis without values": in_axes("training.seed", []),
    "an axis that is no list": in_axes("training.seed", 5),
    "an axis of lists": in_axes("training.seed", [[1]]),
    "an axis of no section": in_axes("seed", [1]),
    "an axis of nothing": in_axes("", [1]),
    "an axis of a setting without effect": in_axes("num_workers", [1, 2]),
    "an axis of three names": in_axes("data.x.num_workers", [1]),
    "an axis that is a number": in_sweep(axes={5: [1]}),
    "a value that is none of its axis": in_axes("model.hidden_dim", ["x"]),
    "no axes": in_sweep(axes={}),
    "axes in a list": in_sweep(axes=["training.seed"]),
    "a base that is a number": in_sweep(base=5),
    "a base of lists": in_sweep(base={"training": [1]}),
    "a section that nobody knows": in_sweep(base={"secrets": {"key": 1}}),
    "a name that is a list": in_sweep(name=["x"]),
    "ids without digits": in_sweep(id_digits=-1),
    "a number of 400 digits": in_base("data", "batch_size", 10**400),
    "a part that leads elsewhere": in_base("model", "activation", "../../../tmp/x"),
    "a part that leads up": in_base("model", "activation", ".."),
    "an axis that leads elsewhere": in_axes("model.activation", ["tanh", "/tmp/x"]),
    "a setting that leads elsewhere": in_base("training", "schedule", "../../x"),
    "a setting whose name leads elsewhere": in_base("training", "../../x", 1),
    "a text of megabytes": lambda out: (out / "sweep.yaml").write_text("x: " + "y" * 2**23),
    "a status that no trial ends with": in_record(status="running"),
    "an epoch that is no number": in_record(epoch="last"),
    "a billion epochs": in_record(epoch=10**9),
    "settings without sections": in_record(config=dict.fromkeys(("data", "model", "training"), 5)),
    "a dataset that is a list": in_record(config={"data": {"dataset": ["digits"]}}),
    "no settings": in_record(config={}),
    "results that are texts": in_record(result={"loss": "x"}),
    "results in place of settings": in_record(result={"trial_id": 1.0, "seed": 5.0, "status": 2.0}),
    "files elsewhere": in_record(files={"../../../sweep.yaml": "0"}),
    "files of no checksum": in_record(files={"history.csv": 5}),
    "no files": in_record(files={}),
    "not a word of files": lambda out: forge(trial(out) / "record.json", lambda record: record.pop("files")),
    "a name that is no path": foreign("x\0y"),
    "a name that leads up": foreign("../../x"),
    "a batch of text": in_record(config={"data": {"dataset": "digits", "batch_size": "x"}, "loss": {"lambda_wr": "x"}}),
    "no timing": in_record(timing=None),
    "an environment that is a list": in_timing(environment=[]),
    "an end that is a list": in_timing(finished=[1]),
    "threads that are a text": in_timing(threads="x"),
    "seconds that are texts": in_timing(epoch_s=["x"]),
    "seconds beyond all": in_timing(epoch_s=[1e308, 1e308], train_s=1e308),
    "half a character": lambda out: (trial(out) / "record.json").write_text(
        '{"schema": 2, "x": "\\ud800", "sha256": "0"}'
    ),
    "brackets without end": lambda out: (trial(out) / "record.json").write_text("[" * 10**5),
    "a number beyond all": lambda out: (trial(out) / "record.json").write_text('{"schema": 1e999, "sha256": "0"}'),
    "a history that is none": vouched("history.csv", b"not,a\nhistory,1\n"),
    "a history of texts": vouched("history.csv", b"epoch,loss,own\n0,1,x\n"),
    "a history of 400 digits": vouched("history.csv", b"epoch,loss\n" + b"9" * 400 + b",1\n"),
    "a history with an epoch twice": lambda out: vouched(
        "history.csv",
        b"".join((trial(out) / "history.csv").read_bytes().splitlines(keepends=True)[i] for i in (0, 1, 1)),
    )(out),
    "weights that are none": vouched("weights.safetensors", b"x" * 100),
    "weights of another name": vouched("weights.safetensors", safetensors.numpy.save({"w": LAYER["weight"]})),
    "weights of no layer": vouched("weights.safetensors", safetensors.numpy.save(LAYER | {"bias": np.zeros(9)})),
    "a failure without a word": unfinished({"error": "", "epoch": 0}),
    "a failure of another kind": unfinished({"error": ["x"], "epoch": "x"}),
    "an environment of lists": lambda out: forge(
        out / "environment.json", lambda found: found.update(torch=[[1]], data=5)
    ),
    "an environment of a version that is a list": lambda out: (
        forge(next(out.glob("environments/*.json")), lambda found: found.update({"infomax-tune": {"a": "b"}})),
        forge(trial(out) / "record.json", lambda record: record.update(arithmetic=1)),
    ),
    "an environment that is no mapping": lambda out: (out / "environment.json").write_text("[5]"),
    "an environment without end": lambda out: (out / "environment.json").write_text('{"x":' * 10**5),
    "tables that are not noted": lambda out: forge(out / "tables.json", lambda note: note.update(files={})),
    "a note on tables of another kind": lambda out: forge(
        out / "tables.json", lambda note: note.update(files=[], records={})
    ),
    "a note on the report": lambda out: write(out / "analysis/made_of.json", {"made_of": [], "report": {}}),
    "no note on the report": lambda out: write(out / "analysis/made_of.json", {}),
    "a note on a tracker": lambda out: write(
        out / f"trackers/csv/given/{trial(out).name}.json", {"record": [], "whole": "x"}
    ),
    "a driver without a number": progress(pid="x"),
    "a driver of number -1": progress(pid=-1, host=os.uname().nodename),
    "a driver of number 10^400": progress(pid=10**400, host=os.uname().nodename),
    "a driver without counts": progress(counts={}),
    "a driver that trains nothing": progress(packs=[5]),
    "a driver of no time": progress(updated=[]),
    "a driver of no duration": progress(elapsed_s="nan", updated=time.time()),
    "a driver's id that is a list": lambda out: write(out / "driver.json", {"id": []}),
    "a record that is a pipe": replaced("record.json", os.mkfifo),
    "a history that is a pipe": replaced("history.csv", os.mkfifo),
    "a sweep file that is a pipe": replaced("sweep.yaml", os.mkfifo),
    "an environment that is a pipe": replaced("environment.json", os.mkfifo),
    "a lock that is a pipe": replaced("lock", os.mkfifo),
    "a record without end": replaced("record.json", lambda path: path.symlink_to("/dev/zero")),
    "a record of a tebibyte": replaced("record.json", of_a_tebibyte),
    "weights of a tebibyte": replaced("weights.safetensors", of_a_tebibyte),
    "a record that is a folder": replaced("record.json", lambda path: path.mkdir()),
    "a note that is a folder": replaced("tables.json", lambda path: path.mkdir()),
    "a link to itself": replaced("record.json", lambda path: path.symlink_to(path.name)),
    "a trial whose name is no text": lambda out: Path(os.fsdecode(os.fsencode(out / "trials") + b"/\xff")).mkdir(),
    "a time beyond all": lambda out: os.utime(out / "results.csv", (2**40, 2**40)),
    "epochs that are texts": parquet(epoch="x"),
    "losses that are lists": parquet(loss=[[1.0]] * 6),
    "every epoch twice": parquet(epoch=1),
    "200 million rows": many_rows,
    "a note of pandas' that is none": lambda out: with_note(out, b"{}"),
    "a note of pandas' on another table": lambda out: with_note(out, b'{"columns": [], "index_columns": ["x"]}'),
    "a table with the end of another system's line": in_results(lambda text: text.replace("-k4", "\rk4", 1)),
    "a table with a quote in its header": in_results(lambda text: text.replace("loss", 'lo"ss', 1)),
    "a table with a quote that never ends": in_results(lambda text: text.replace("tanh", '"tanh', 1)),
}


def mend_runs(out: Path) -> None:
    """As `tensorboard` begins."""
    mend_unless_busy(out, of_sweep(SweepFolder(out).read_plan(), SweepFolder(out)))


def mend(out: Path) -> None:
    """As `resume` begins, with the look at what cannot be mixed."""
    folder = SweepFolder(out)
    mend_folder(folder, folder.read_space().plan())
    refuse_to_mix(folder.kept(), {"digits": load("digits")}, mix_arithmetic=False)
    drift(folder.environments.read_used().values(), [environment_here(device="cpu", threads=1)], silent=0)


@pytest.mark.parametrize("piece", PIECES)
def test_every_command_that_reads_ends_without_a_traceback(piece: str, out: Path) -> None:
    """What is no mistake of the program's own leaves no other exception."""
    PIECES[piece](out)
    for command in ("status", "verify", "results"):
        done = call(command, out, ok=False)
        assert done.returncode in (0, 1, 2)
        assert done.returncode != 2 or done.stderr.startswith("infomax-tune: ")
    for read in (load_results, load_study, mend_runs, mend):
        with contextlib.suppress(InfomaxTuneError):
            read(out)
    (listed,) = infomax_tune.list(out.parent)
    assert (listed.out, listed.kind) == (str(out), "sweep")
    assert listed.state in ("finished", "unfinished", "damaged", "unreadable")
    assert not list(Path("/tmp").glob("x*-k*"))


@pytest.mark.parametrize("piece", ["epochs that are texts", "losses that are lists"])
def test_the_analysis_says_what_cannot_be_analyzed(piece: str, out: Path) -> None:
    PIECES[piece](out)
    done = call("analyze", out, ok=False)
    assert "history.parquet: not a complete parquet file of histories (" in done.stderr


def test_a_name_that_is_no_text_is_shown_as_it_can_be(out: Path) -> None:
    renamed = out.rename(os.fsdecode(os.fsencode(out.parent) + b"/\xff"))
    assert "/?  sweep" in infomax_tune_command("list", out.parent).stdout
    (listed,) = infomax_tune_command("list", out.parent, "--json").stdout.splitlines()
    assert json.loads(listed)["out"] == str(renamed)


def test_a_list_is_not_ended_by_any_folder(finished: Path, tmp_path: Path) -> None:
    """Not by one that cannot be read, as it lies too deep, nor by one whose name is no text or that is of a newer version."""
    root = tmp_path / "studies"
    shutil.copytree(finished, root / "z")
    os.chdir(root)
    shutil.copytree(finished, root / "newer")
    forge(root / "newer/sweep.yaml", lambda space: space.update(schema=99))
    shutil.copytree(finished, root / "damaged")
    (root / "damaged/sweep.yaml").write_text("x")
    shutil.copytree(finished, root / "unreadable")
    (root / "unreadable/sweep.yaml").unlink()
    os.mkfifo(root / "unreadable/sweep.yaml")
    shutil.copytree(finished, Path(os.fsdecode(os.fsencode(root) + b"/\xff/no text")))
    for _ in range(30):  # the system refuses paths of more than 4096 bytes
        Path("a" * 200).mkdir()
        os.chdir("a" * 200)
    os.chdir(root)
    call("run", "dataset=synthetic_2d", "epochs=1", "--out", root / "run")
    (root / "run/config.yaml").write_text("model: 5")
    try:
        shown = call("list", root).stdout
        found = {Path(each.out).name[:10]: (each.kind, each.state) for each in infomax_tune.list(root)}
        assert found == {
            "a" * 10: ("folder", "unreadable"), "newer": ("sweep", "newer"), "damaged": ("sweep", "damaged"),
            "unreadable": ("sweep", "unreadable"), "no text": ("sweep", "finished"), "z": ("sweep", "finished"),
            "run": ("run", "damaged"),
        }  # fmt: skip
        assert len(shown.splitlines()) == len(found) + 1
    finally:
        shutil.rmtree(root)


def test_a_setting_of_another_version_can_be_looked_at_but_not_trained_with(out: Path) -> None:
    """Whether an id covers it depends on a default that is not known here: the trials that were left tell it."""

    def settings(momentum: object) -> dict[str, object]:
        return {"schedule": "cosine", "nesterov": momentum}

    forge(out / "sweep.yaml", lambda space: space["base"]["training"].update(settings(momentum=False)))
    forge(out / "sweep.yaml", lambda space: space["axes"].update({"model.gate": [0, 0.5]}))
    for seed, name in ((1, trial(out, 1)), (2, trial(out, 2))):
        other = name.with_name(f"tanh-k4-s{seed}-{'0123456789abcdef'}")
        shutil.copytree(name, other)
        for path, gate in ((name, 0), (other, 0.5)):
            change = {"trial_id": path.name}
            forge(path / "record.json", lambda record, change=change: record.update(change))
            forge(path / "record.json", lambda record: record["config"]["training"].update(settings(momentum=False)))
            forge(path / "record.json", lambda record, gate=gate: record["config"]["model"].update(gate=gate))
    assert json.loads(call("status", out, "--json").stdout)["counts"]["done"] == 4
    assert "4 done" in call("results", out).stdout
    assert "no damage" in call("verify", out).stdout
    table = load_results(out)
    assert sorted(table["gate"]) == [0, 0, 0.5, 0.5]
    assert table.drop(columns=["trial_id", "gate"]).duplicated().sum() == 2
    assert [(each.state, each.ended) for each in infomax_tune.list(out)] == [("finished", 4)]
    assert varying(load_study(out).results) == ["gate"]
    for command in (
        ["resume", out],
        ["evaluate", out, "--probe"],
        ["evaluate", out],
        ["sweep", "quickstart", "--out", out, "--no-report"],
    ):
        refused = call(*command, ok=False)
        assert refused.returncode == 2
        assert "training.nesterov" in refused.stderr
        assert "this version of infomax-tune" in refused.stderr


def test_a_run_with_a_setting_of_another_version_can_be_looked_at(tmp_path: Path) -> None:
    call("run", "dataset=synthetic_2d", "epochs=1", "--out", "run")
    content = yaml_document.parse(Path("run/config.yaml").read_text(), "").content
    content["model"]["gate"] = 0.5
    Path("run/config.yaml").write_text(yaml_document.dump(content))
    forge(tmp_path / "run/record.json", lambda record: record.update(trial_id="relu-k16-s1-01234567", config=content))
    assert json.loads(call("status", "run", "--json").stdout)["counts"]["done"] == 1
    assert [each.state for each in infomax_tune.list("run")] == ["finished"]


def forged(checkpoint: Path, **changes: Any) -> None:
    data = checkpoints.from_bytes(checkpoint.read_bytes(), checkpoint)
    checkpoint.write_bytes(checkpoints.to_bytes(type(data)(**vars(data) | changes)))


ARRAYS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another width": lambda found: {name: array[:3] for name, array in found.items()},
    "a weight fewer": lambda found: {name: array for name, array in found.items() if name != "bias"},
    "a moment fewer": lambda found: {name: array for name, array in found.items() if not name.startswith("bias.")},
    "one more": lambda found: found | {"offset": np.zeros(64, np.float32)},
    "another type": lambda found: {name: array.astype(np.float64) for name, array in found.items()},
    "no numbers": lambda found: found | {"bias": np.full(4, np.nan, np.float32)},
}
TIMINGS: dict[str, float] = {"a time without end": float("inf"), "a time that is none": float("nan")}


@pytest.mark.parametrize("change", [*ARRAYS, *TIMINGS, "no history", "no losses", "an epoch fewer"])
def test_a_checkpoint_that_is_none_of_the_trial_is_set_aside_and_it_trains_from_the_beginning(
    change: str, out: Path, finished: Path
) -> None:
    """By the loops and by torch alike; nothing of it is believed."""
    folder, (config, _) = SweepFolder(out), SweepFolder(out).read_space().plan()
    shutil.rmtree(folder.trial(config.trial_id).path)
    target, warnings = folder.trial(config.trial_id), []
    pack_training.train_pack([config], [target], load("digits"), should_stop=Countdown(2))
    path = target.path / "checkpoint.safetensors"
    checkpoint = target.read_checkpoint()
    assert checkpoint is not None
    if change in ARRAYS:
        forged(path, tensors=ARRAYS[change](checkpoint.tensors))
    elif change in TIMINGS:
        forged(path, timing=checkpoint.timing | {"train_s": TIMINGS[change], "mine": TIMINGS[change]})
    else:
        history = {"no history": [], "an epoch fewer": checkpoint.history[:-1]}
        forged(path, history=history.get(change, [{"epoch": row["epoch"]} for row in checkpoint.history]))
    pack_training.train_pack([config], [target], load("digits"), warn=warnings.append)
    assert [text for text in warnings if "Set aside" in text], warnings
    assert (target.path / "checkpoint.safetensors.damaged-1").exists()
    for name in ("history.csv", "weights.safetensors"):
        assert (target.path / name).read_bytes() == (finished / "trials" / config.trial_id / name).read_bytes()


def test_weights_of_another_layer_are_not_measured(out: Path) -> None:
    vouched("weights.safetensors", safetensors.numpy.save(LAYER | {"weight": np.zeros((4, 9), np.float32)}))(out)
    done = call("evaluate", out, "--probe", ok=False)
    assert f"{TrialFolder(trial(out)).path}: its weights are not those of {trial(out).name}" in done.stderr
    assert done.returncode == 2
