"""A finished trial as a torch module, with the data as it saw it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from infomax_tune.errors import DamagedFileError, StoreError
from infomax_tune.science.activations import layer_activation
from infomax_tune.science.data import Dataset, load
from infomax_tune.science.layer_parts import parts_of
from infomax_tune.science.model import SingleLayer
from infomax_tune.science.training import shapes_of
from infomax_tune.store.record import Record
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.read_config import from_nested


class TrainedLayer(nn.Module):
    """A trial's layer: module(x) are the activations (n, k) of rows x (n, d), as the metrics saw them, to the bit on a CPU.

    weight (k, d), bias (k,): parameters; offset (d,) of a reconstruction, decoder of an autoencoder: buffers, which `forward`
    does not use. config: the trial's settings. data: what it was trained and measured on; see `Dataset`.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, tensors: dict[str, Tensor], config: TrialConfig, data: Dataset) -> None:
        super().__init__()
        self.config = config
        self.data = data
        for name, tensor in tensors.items():
            if name in ("weight", "bias"):
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        parts = parts_of(config)
        self._activation = layer_activation(parts.activation, parts.head).forward

    def forward(self, x: Tensor) -> Tensor:
        layer = SingleLayer(self.weight.unsqueeze(0), self.bias.unsqueeze(0))
        return self._activation(layer.pre_activation(x.unsqueeze(0)))[0]


def trained_layer(trial: TrialFolder, record: Record, data_dir: Path | None) -> TrainedLayer:
    """The layer of the trial in the folder, whose record it is. Raises like `api.load_layer`."""
    digits = len(record.trial_id.rpartition("-")[2])
    config = from_nested(record.config, str(trial.path)).model_copy(update={"id_digits": digits})
    data = load(config.data.dataset, data_dir)
    return TrainedLayer(final_tensors(trial, record, config, data), config, data)


def final_tensors(trial: TrialFolder, record: Record, config: TrialConfig, data: Dataset) -> dict[str, Tensor]:
    """A finished trial's weight, bias and what its objective rebuilds with, by name. Raises StoreError if they were not saved,
    DamagedFileError if they are of another shape."""
    if not record.has_weights:
        raise StoreError(
            f"{trial.path}: its weights were not saved (save_weights was false), so nothing can be made of them."
        )
    weights = trial.read_weights()
    shapes = {name: shape for name, shape in shapes_of(config, data.train.shape[1]).items() if "." not in name}
    if {name: array.shape for name, array in weights.items()} != shapes:
        raise DamagedFileError(f"{trial.path}: its weights are not those of {record.trial_id}.")
    return {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
