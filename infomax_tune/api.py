"""infomax-tune from Python: what the commands run, sweep and resume do, as functions."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infomax_tune.errors import ConfigError, DataError, ResourceError
from infomax_tune.follow import display
from infomax_tune.process.streams import diverted
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import Record, TrialFolder
from infomax_tune.study import yaml_document
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.datasets import check_batch_size
from infomax_tune.study.options import Options, device_problems
from infomax_tune.study.read_config import Settings, build_config, read_settings
from infomax_tune.study.read_space import load_space, parse_space
from infomax_tune.study.space import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from infomax_tune.on_ray.estimate import Estimate

logging.getLogger("ray.widgets").setLevel(logging.WARNING)  # when Ray is imported in a notebook it advertises a package


@dataclass(frozen=True)
class Sweep:
    """What became of a sweep. counts: its trials by status (done, diverged, failed, missing); report: the HTML page, if made."""

    out: Path
    counts: Counter[str]
    interrupted: bool
    report: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether every trial has a record."""
        return set(self.counts) <= {"done", "diverged"}

    @property
    def results(self) -> pd.DataFrame:
        """The results table. See `load_results`."""
        return load_results(self.out)


def run(
    config: Mapping[str, Any] | str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> Record:
    """Runs one experiment into a folder of its own, from its checkpoint if it has one; its record.

    config: settings, nested by section or flat (`{"activation": "tanh", "dataset": "digits"}`), or the path of a YAML
    file. settings: over the config's. out: the folder, default results/<trial id>. device: cpu, cuda or mps.
    say: told how it goes, line by line.
    Raises ConfigError or DataError before anything is trained, StoreError if the folder holds something else,
    KeyboardInterrupt if it was stopped.
    """
    built, notes = _config(config, settings or {})
    for note in notes:
        say(note)
    return run_config(built, out=_path(out), data_dir=_path(data_dir), device=device, say=say)


def run_config(
    config: TrialConfig,
    *,
    out: Path | None,
    data_dir: Path | None,
    device: str,
    say: Callable[[str], None],
) -> Record:
    """`run` of a config that has been read. See there."""
    problems = device_problems(device)
    if problems:
        raise ConfigError(problems[0])
    require_device(device)
    trial = TrialFolder(out or default_out(config))
    trial.refuse_strangers()

    from infomax_tune.packs.run_trial import run_trial  # imports torch

    return run_trial(config, trial, data_dir=data_dir, device=device, say=say)


def default_out(config: TrialConfig) -> Path:
    """Where `run` leaves an experiment unless told otherwise."""
    return Path("results") / config.trial_id


def sweep(
    space: str | Path | Mapping[str, Any] | SearchSpace | None,
    *,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | str | Path | None = None,
    pack: int | str = "auto",
    cpus_per_pack: float = 1,
    gpus_per_pack: float = 0,
    address: str | None = None,
    max_concurrent: int | None = None,
    data_dir: str | Path | None = None,
    device: str | None = None,
    max_failures: int = 2,
    strict_environment: bool = False,
    loggers: Sequence[str] = (),
    report: bool = True,
    quiet: bool = False,
    verbose: bool = False,
) -> Sweep:
    """Trains every trial of a search space that has no record yet, and assembles the results table and the report.

    space: the name of a bundled space, the path of a YAML file, the same as a mapping, or a SearchSpace; None goes
    on with the sweep that `out` holds. out: the output folder, default results/<space>. settings: over the space's;
    a list, a range or `{"range": [first, last]}` is an axis. config: a base config, under the space's own settings.
    report: end with the analysis. quiet: tell problems only. verbose: tell each pack. The rest: see `Options`.
    Raises ConfigError, DataError, ResourceError, StoreError or EnvironmentDriftError before anything is trained.
    A trial that fails raises nothing: see `Sweep.counts`. Ctrl-C once lets the packs under way leave checkpoints, and
    `Sweep.interrupted` tells of it; twice raises KeyboardInterrupt. While it is at work, what else this process prints
    (not in a notebook) goes to ray.log in `out`.
    """
    options = Options(
        pack,
        cpus_per_pack,
        gpus_per_pack,
        address,
        max_concurrent,
        _path(data_dir),
        device,
        max_failures,
        strict_environment,
        (loggers,) if isinstance(loggers, str) else tuple(loggers),
    )
    if space is None:
        if out is None or settings or config:
            raise ConfigError("to go on with a sweep give its out, and neither settings nor config.")
        store = SweepFolder(Path(out))
        return train(space_of(store), store, options, report=report, quiet=quiet, verbose=verbose)
    loaded, notes = _space(space, settings or {}, config)
    store = SweepFolder(Path(out) if out else Path("results") / _stem(space, loaded))
    return train(loaded, store, options, report=report, quiet=quiet, verbose=verbose, notes=notes)


def load_results(out: str | Path) -> pd.DataFrame:
    """The results table of a sweep, one row a trial, every bit of its numbers kept; columns as in the README.

    Raises StoreError if the folder has none.
    """
    return SweepFolder(Path(out)).read_results()


def train(
    space: SearchSpace,
    store: SweepFolder,
    options: Options,
    *,
    report: bool,
    quiet: bool = False,
    verbose: bool = False,
    notes: list[str] | None = None,
    hard: bool = False,
) -> Sweep:
    """The sweep of a space that has been loaded into a folder. See `sweep`; hard: see `Interrupt`."""
    _check(space, options)
    with _alone(), _folder(store), diverted(store.ray_log) as (out, err):
        from infomax_tune.on_ray import sweep  # imports Ray and torch

        shown = display.choose(out, err, quiet=quiet, verbose=verbose)
        with shown:
            for note in notes or []:
                shown.say(note)
            outcome = sweep.run(space, store, options, shown, hard=hard)
        page = _report(store, shown) if report and not outcome.interrupted and outcome.counts["done"] else None
    return Sweep(store.root, outcome.counts, outcome.interrupted, page)


def estimate(space: SearchSpace, store: SweepFolder, options: Options) -> Estimate:
    """What a sweep would take, from a few batches of each of its cells. Leaves nothing in the folder."""
    from infomax_tune.on_ray import estimate as estimates  # imports Ray and torch

    _check(space, options)
    with _alone(), diverted(Path(os.devnull)):
        return estimates.estimate(space, store, options)


_at_work = threading.Lock()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Raises ResourceError if another thread of this process is at a sweep: a process has one Ray."""
    if not _at_work.acquire(blocking=False):
        raise ResourceError("another sweep is at work in this process; wait for it, or start another process.")
    try:
        yield
    finally:
        _at_work.release()


def _check(space: SearchSpace, options: Options) -> None:
    for config in space.trials():
        check_batch_size(config)
    if options.address is None:
        require_device(options.device)


def space_of(store: SweepFolder) -> SearchSpace:
    """The space that a folder holds a sweep of. Raises StoreError."""
    return SearchSpace.from_dict(store.read_sweep(), str(store.root / "sweep.yaml"))


def read_document(path: Path) -> yaml_document.Document:
    """A config file. Raises ConfigError."""
    try:
        return yaml_document.parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such config file. Settings look like key=value.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from None


def require_device(device: str | None) -> None:
    """Raises ResourceError if torch finds no such device on this machine."""
    if device in (None, "cpu"):
        return
    import torch  # slow

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not found[device]:
        raise ResourceError(f"--device {device}: torch {torch.__version__} finds no such device here; use cpu.")


def _report(store: SweepFolder, shown: display.Display) -> Path | None:
    """Ends a sweep with its report; a sweep is no worse for a report that failed."""
    if store.report_is_current():
        return store.root / "analysis" / "report.html"
    import analysis  # imports pandas, scipy and matplotlib

    try:
        return Path(analysis.analyze(store.root).report)
    except Exception as error:  # noqa: BLE001 - the records are safe, whatever it is
        again = f"infomax-tune analyze {shlex.quote(str(store.root))}"
        shown.warn(f"no report: {error}; try again with: {again}")
        return None


@contextlib.contextmanager
def _folder(store: SweepFolder) -> Iterator[None]:
    """Makes and holds the sweep's folder; removes it again if it is new and the sweep cannot begin."""
    new, made = not store.has_sweep(), not store.root.exists()
    store.create()
    with store.lock():
        try:
            yield
        except (ConfigError, DataError, ResourceError):
            if new:
                store.remove_unused(root=made)
            raise


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def _document(given: Mapping[str, Any] | str | Path, source: str) -> yaml_document.Document:
    if isinstance(given, Mapping):
        return yaml_document.Document(_plain(given), source)
    return read_document(Path(given))


def _settings(given: Mapping[str, Any]) -> tuple[Settings, list[str], list[str]]:
    return read_settings(_plain(given), yaml_document.Document({}, "settings"))


def _config(given: Mapping[str, Any] | str | Path | None, settings: Mapping[str, Any]) -> tuple[TrialConfig, list[str]]:
    document = yaml_document.Document({}, "") if given is None else _document(given, "config")
    under, notes, problems = read_settings(document.content, document)
    over, more_notes, mistakes = _settings(settings)
    if problems or mistakes:
        raise ConfigError("\n".join(problems + mistakes))
    return build_config(under, over), notes + more_notes


def _space(
    given: str | Path | Mapping[str, Any] | SearchSpace,
    settings: Mapping[str, Any],
    config: Mapping[str, Any] | str | Path | None,
) -> tuple[SearchSpace, list[str]]:
    if isinstance(given, SearchSpace):
        if settings or config:
            raise ConfigError("a SearchSpace is complete: settings and config go with a name, a path or a mapping.")
        return given, []
    over, notes, problems = _settings(settings)
    base = None if config is None else _document(config, "config")
    if problems:
        raise ConfigError("\n".join(problems))
    if isinstance(given, Mapping):
        space, more = parse_space(yaml_document.Document(_plain(given), "space"), "sweep", base, over)
    else:
        space, more = load_space(str(given), config=base, overrides=over)
    return space, notes + more


def _stem(given: str | Path | Mapping[str, Any] | SearchSpace, space: SearchSpace) -> str:
    return Path(given).stem if isinstance(given, (str, Path)) else space.name


def _plain(value: Any) -> Any:
    """Python's own collections as YAML would give them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(inner) for inner in value]
    return value.item() if hasattr(value, "item") else value  # a NumPy number
