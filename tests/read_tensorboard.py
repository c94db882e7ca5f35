"""TensorBoard's runs as TensorBoard itself reads them: its event reader, its HParams plugin."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study import columns

Curves = dict[str, list[tuple[int, float]]]


def event_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if "tfevents" in path.name)


def read(folder: Path) -> EventAccumulator:
    """A run as TensorBoard's own reader sees it, with nothing sampled away."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def curves(folder: Path) -> Curves:
    """Every scalar of a run, by tag. A run is one file, and no step of a curve is in it twice, or late."""
    (path,) = event_files(folder)
    steps: dict[str, list[int]] = {}
    for event in LegacyEventFileLoader(str(path)).Load():  # the accumulator may drop what is doubled
        for value in event.summary.value:
            steps.setdefault(value.tag, []).append(event.step)
    assert all(np.diff(taken).min(initial=1) > 0 for taken in steps.values())
    accumulator = read(folder)
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def told(trial: TrialFolder) -> Curves:
    """What a finished trial's own files tell, as TensorBoard keeps it: float32, and only what was measured."""
    record, history = trial.read_record(), trial.read_history()
    assert record is not None
    found: Curves = {}
    for name in columns.HISTORY[1:]:
        rows = [(int(epoch), value) for epoch, value in zip(history["epoch"], history[name], strict=True)]
        found[name] = [(epoch, float(np.float32(value))) for epoch, value in rows if math.isfinite(value)]
    for name in set(columns.FINAL) - set(columns.HISTORY):
        value = record.result.get(name, math.nan)
        found[name] = [(record.epoch, float(np.float32(value)))] if math.isfinite(value) else []
    return {name: rows for name, rows in found.items() if rows}


def hparams(root: Path) -> tuple[Any, list[Any]]:
    """The experiment and its sessions, as TensorBoard's HParams plugin finds them."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(root))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(root))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=str(root)))
    found = context.hparams_metadata(RequestContext(), "")
    experiment = get_experiment.Handler(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    assert found
    statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=1000, allowed_statuses=statuses)
    groups = list_session_groups.Handler(RequestContext(), context, "", request).run().session_groups
    return experiment, list(groups)
