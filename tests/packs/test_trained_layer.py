"""load_layer: a finished trial as a torch module, with the data as it saw it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from infomax_tune import InfomaxTuneError, load_layer, load_results
from infomax_tune.science.metrics import evaluate
from tests.command import call
from tests.folders import make_sweep

SETTINGS = ("epochs=2", "seed=1", "dataset=digits")


@pytest.mark.parametrize(
    "settings", [("activation=relu,softmax",), ("activation=tanh", "head=softmax"), ("objective=reconstruction",)]
)
def test_its_activations_give_the_metrics_of_the_table_to_the_bit(settings: tuple[str, ...], tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "sweep", *SETTINGS, *settings).root
    for _, row in load_results(out).iterrows():
        layer = load_layer(out, row["trial_id"])
        with torch.no_grad():
            activations = layer(torch.from_numpy(layer.data.test))
            found = evaluate(layer.weight, activations)
        assert activations.shape == (360, row["hidden_dim"])
        assert {name: row[name] for name in found} == pytest.approx(found, rel=0, abs=0, nan_ok=True)
        assert layer.config.trial_id == row["trial_id"]


def test_it_can_be_trained_further(tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "sweep", *SETTINGS, "activation=tanh").root
    layer = load_layer(out, load_results(out)["trial_id"][0])
    layer(torch.from_numpy(layer.data.train[:10])).sum().backward()
    assert {name for name, parameter in layer.named_parameters() if parameter.grad is not None} == {"weight", "bias"}


def test_a_run_needs_no_name(tmp_path: Path) -> None:
    call("run", "dataset=digits", "activation=relu", "epochs=1", "--out", tmp_path / "run")
    assert load_layer(tmp_path / "run").weight.shape == (16, 64)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "sweep", *SETTINGS, "activation=tanh", "save_weights=false").root
    with pytest.raises(InfomaxTuneError, match=r"no finished trial; choose one of the ids in .*results.csv"):
        load_layer(out, "relu-k16-s1-0123456789abcdef")
    with pytest.raises(InfomaxTuneError, match="its weights were not saved"):
        load_layer(out, load_results(out)["trial_id"][0])
    with pytest.raises(InfomaxTuneError, match="give the folder of a sweep or a run"):
        load_layer(tmp_path)
