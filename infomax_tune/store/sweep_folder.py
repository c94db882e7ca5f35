"""The output folder of a sweep: where everything is, its sweep file, its lock, its trials.

`tables` makes the tables of its trials, `verify` checks its files.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infomax_tune.errors import ConfigError, DamagedFileError, StoreError
from infomax_tune.store import driver_notes, environments, formats, objects
from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.driver_notes import DriverNotes
from infomax_tune.store.environments import Environments
from infomax_tune.store.files import (
    MAX_TEXT,
    TEMPORARY,
    digest,
    exists,
    file_digest,
    for_each,
    is_temporary,
    make_folder,
    matching,
    names_in,
    read_bytes,
    read_json,
    remove,
    require_leave,
    write_atomically,
    write_json,
)
from infomax_tune.store.locks import LOCK, Work, is_ours, locked
from infomax_tune.store.part_copies import PARTS, keep
from infomax_tune.store.record import Finding, Record
from infomax_tune.store.tracker_folder import TrackerFolder
from infomax_tune.store.trial_folder import RUNS, TrialFolder, run_path
from infomax_tune.study import yaml_document
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import from_nested
from infomax_tune.study.space import SWEEP_FILE, SearchSpace

RESULTS_CSV, RESULTS_PARQUET = "results.csv", "results.parquet"
HISTORY_PARQUET, UNITS_PARQUET, TIMINGS_CSV = "history.parquet", "units.parquet", "timings.csv"
TABLES = (RESULTS_CSV, RESULTS_PARQUET, HISTORY_PARQUET, UNITS_PARQUET, TIMINGS_CSV)
TABLES_NOTE = "tables.json"
_RAY_LOG = "ray.log"


class SweepFolder:
    """An output folder. environments: what its trials were trained in; driver: the notes of the driver that works in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._here = root
        self.environments = Environments(root)
        self.driver = DriverNotes(root)

    def trial(self, trial_id: str) -> TrialFolder:
        return TrialFolder(self.root / "trials" / trial_id)

    @property
    def address(self) -> str:
        """The folder as it is found from any working directory, and from other machines that see it."""
        return str(self.root if objects.is_object(self.root) else self.root.resolve())

    @contextlib.contextmanager
    def files_here(self) -> Iterator[None]:
        """While entered, `ray_log` and the trackers' own files are on this machine.

        That is in the folder itself, or, if it is in an object store, in a temporary folder, from which ray.log is put
        into the store in the end.
        """
        if not objects.is_object(self.root):
            yield
            return
        with tempfile.TemporaryDirectory(prefix="infomax-tune-", ignore_cleanup_errors=True) as here:
            self._here = Path(here)
            try:
                yield
            finally:
                with contextlib.suppress(OSError, StoreError):
                    write_atomically(self.root / _RAY_LOG, self.ray_log.read_bytes())
                self._here = self.root

    @property
    def ray_log(self) -> Path:
        """The log of everything that Ray and other libraries print during a sweep. See `files_here`."""
        return self._here / _RAY_LOG

    @property
    def results_csv(self) -> Path:
        """The results table."""
        return self.root / RESULTS_CSV

    @property
    def report(self) -> Path:
        """The HTML page that the analysis makes."""
        return self.root / "analysis" / "report.html"

    @property
    def runs_folder(self) -> Path:
        """What TensorBoard reads: one run per trial."""
        return self.root / RUNS

    def run_folder(self, config: TrialConfig, axes: Iterable[str]) -> Path:
        """The folder of a trial's run. axes: what the sweep's trials differ in, see `run_path`."""
        return self.runs_folder / run_path(config, axes)

    def create(self) -> None:
        """Makes the folder. Raises StoreError if it cannot be written, or holds something that is not a sweep."""
        self.refuse_strangers()
        try:
            make_folder(self.root / "trials")
        except OSError as error:
            raise StoreError(
                f"{self.root}: cannot be written ({error.strerror}); choose another output folder."
            ) from None

    def refuse_strangers(self) -> None:
        """Raises StoreError if the path is not a folder, or holds a file that a sweep would overwrite and no sweep made."""
        # the sweep file of a sweep may have been moved away, but not its trials
        if self.has_sweep() or self.trial_folders():
            return
        try:
            names = set(names_in(self.root))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(
                f"{self.root}: cannot be written ({error.strerror}); choose another output folder."
            ) from None
        strangers = [name for name in (*TABLES, TABLES_NOTE, RUNS, "trackers") if name in names]
        strangers += [name for name in ("record.json", "checkpoint.safetensors") if name in names]  # a run's
        strangers += self.driver.strangers()
        strangers += [LOCK] if not is_ours(self.root) else []
        strangers += [str(path.relative_to(self.root)) for path in self.environments.damage()]
        if exists(self.report) and not exists(self._report_note):
            strangers.append(str(self.report.relative_to(self.root)))
        if strangers:
            raise StoreError(
                f"{self.root}: holds {strangers[0]}, which no sweep made; choose another output folder, or move that away."
            )

    def yet_to_make(self) -> list[Path]:
        """What a sweep makes before its first trial and is not there yet: files first, then folders, the innermost first.

        Not included are the driver's id, see `DriverNotes.step_down`, and leases in an object store: their numbers are never
        reused.
        """
        files = (SWEEP_FILE, environments.LATEST, driver_notes.PROGRESS, _RAY_LOG, driver_notes.STOP)
        if objects.is_object(self.root):
            return [path for path in (self.root / name for name in files) if not exists(path)]
        files += (LOCK,)
        folders = (self.root / "trials", self.root, *self.root.parents)
        return [path for path in (*(self.root / name for name in files), *folders) if not os.path.lexists(path)]

    def read_space(self) -> SearchSpace:
        """The search space of the sweep in the folder. Raises StoreError if there is no sweep, or one of a newer version."""
        path = self.root / SWEEP_FILE
        return SearchSpace.from_dict(self._read_sweep_file(path), str(path))

    def read_plan(self) -> Plan:
        """The trials of the sweep in the folder, to look at: see `TrialConfig.foreign`. Raises like `read_space`."""
        space = self.read_space()
        plan = space.plan()
        if not space.foreign:
            return plan
        ids: dict[Any, str] = {}
        for kept in self.kept():
            with contextlib.suppress(ConfigError):
                ids[_settings(from_nested(kept.config, kept.trial_id))] = kept.trial_id
        vary = set(space.foreign) & set(space.axes)

        def known(config: TrialConfig) -> TrialConfig:
            # a trial from before there were these settings has none of them
            left = (config,) if vary else (config, config.model_copy(update={"foreign": ()}))
            found = [ids[_settings(each)] for each in left if _settings(each) in ids]
            return config.model_copy(update={"known_id": found[0] if found else ""})

        return Plan(map(known, plan), plan.further_axes)

    def space_as_written(self) -> dict[str, Any] | None:
        """All of sweep.yaml, version and checksum included, unchecked; None if there is none.

        For readers who only show it. Raises StoreError or ValueError if it cannot be read.
        """
        path = self.root / SWEEP_FILE
        try:
            return yaml_document.parse(read_bytes(path).decode("utf-8"), str(path)).content
        except FileNotFoundError:
            return None
        except ConfigError as error:  # the user has made no mistake here, so it is not a ConfigError
            raise ValueError(str(error)) from None

    def write_space(self, space: SearchSpace) -> None:
        """Writes sweep.yaml, which makes the folder a sweep of this space.

        Raises ConfigError if the file could not be read back.
        """
        content = {"schema": formats.SWEEP.version, **space.as_dict()}
        content["sha256"] = digest(content)
        text = yaml_document.dump(content)
        if yaml_document.parse(text, SWEEP_FILE).content != content:
            raise ConfigError("the space cannot be saved as YAML; use plain text in its name and description.")
        keep(self.root, (name for _, name in space.parts()))
        write_atomically(self.root / SWEEP_FILE, text.encode())

    def _read_sweep_file(self, path: Path) -> dict[str, Any]:
        try:
            text = read_bytes(path, MAX_TEXT).decode("utf-8")
        except FileNotFoundError:
            raise self._no_sweep() from None
        except UnicodeDecodeError as error:
            raise DamagedFileError(f"{path}: cannot be read ({error}). {_HOW_TO_MEND_SWEEP}") from None
        try:
            content = yaml_document.parse(text, str(path)).content
        except ConfigError as error:
            raise DamagedFileError(f"{error} {_HOW_TO_MEND_SWEEP}") from None
        checksum = content.pop("sha256", None)
        try:
            intact = checksum == digest(content)
        except (TypeError, ValueError):  # JSON has no such type, a date for example, so it was not written by us
            intact = False
        version = content.get("schema")
        if intact or (isinstance(version, int) and version > formats.SWEEP.version):
            try:
                return formats.SWEEP.read(content, path)
            except DamagedFileError as error:
                raise DamagedFileError(f"{error} {_HOW_TO_MEND_SWEEP}") from None
        raise DamagedFileError(f"{path}: damaged or edited (its checksum is wrong). {_HOW_TO_MEND_SWEEP}")

    def require_sweep(self) -> None:
        """Raises StoreError, which says what the folder is instead, if it holds no sweep."""
        if not self.has_sweep():
            raise self._no_sweep()

    def _no_sweep(self) -> StoreError:
        if TrialFolder(self.root).has_config():
            show = shlex.join(["infomax-tune", "status", str(self.root)])
            return StoreError(f"{self.root}: holds a single run, not a sweep; show it with: {show}")
        problem = "does not exist"
        if self.exists():
            problem = f"is not a sweep's output folder (it has no {SWEEP_FILE})"
        return StoreError(f"{self.root}: {problem}; give the output folder of a sweep.")

    def has_sweep(self) -> bool:
        return exists(self.root / SWEEP_FILE)

    def exists(self) -> bool:
        """Whether there is anything at the path."""
        return bool(names_in(self.root)) if objects.is_object(self.root) else self.root.exists()

    def tracker(self, name: str) -> TrackerFolder:
        """The folder of a tracker, with what it was given."""
        return TrackerFolder(self.root / "trackers" / name, self._here / "trackers" / name)

    def leftovers(self) -> list[Path]:
        """The temporary files that a crash left. In an object store there are none."""
        if objects.is_object(self.root):
            return []
        folders = ("", "trials/*/", "environments/", f"{RUNS}/**/", "trackers/*/", "trackers/*/given/", "analysis/")
        found = (path for folder in folders for path in self.root.glob(f"{folder}.*{TEMPORARY}*"))
        return sorted(path for path in found if is_temporary(path.name))

    def tidy(self) -> None:
        """Removes the temporary files that a crash left. The caller holds the lock."""
        for leftover in self.leftovers():
            remove(leftover)

    def room_problem(self) -> str | None:
        """Why the folder cannot take another mebibyte (a full disk, a quota, a disk gone read-only); None if it can.

        An object store is not checked: a mebibyte would not show its limit.
        """
        if objects.is_object(self.root):
            return None
        probe = self.root / f".room{TEMPORARY}"
        try:
            probe.write_bytes(bytes(2**20))
        except OSError as error:
            return f"{self.root}: cannot be written ({error.strerror or error})"
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
        return None

    def require_room(self) -> None:
        """Raises StoreError, which says how to resume, if the disk is full. See `room_problem`."""
        require_leave(self.root)
        problem = self.room_problem()
        if problem:
            again = self.command("resume")
            raise StoreError(f"{problem}. What was trained is kept: free some space there, then resume with: {again}")

    @contextlib.contextmanager
    def lock(self, work: Work = Work.SWEEP) -> Iterator[None]:
        """Holds the folder for one process. The lock is released when its holder ends, however it ends: see `locks`.

        What this process would write raises TakenOverError once another has the lock, or has become the driver. Raises
        LockedError, with the holder's host and pid, if another driver holds it, StoreError if a link is in the folder.
        """
        with locked(self.root, work, self.own_paths()), self.driver.heeded(self.driver.latest()):
            yield

    def own_paths(self) -> list[Path]:
        """The files and folders that a sweep writes, whether they are there or not.

        Of a tracker's folder for one trial, which is emptied before it is written, only the folder if it is a link: the
        tracker may keep links in it.
        """
        paths = [self.root / name for name in sorted(_OWN_NAMES - {"trackers"})]
        if not objects.is_object(self.root):
            for pattern in ("trackers", "trackers/*", "trackers/*/*"):
                paths += (path for path in self.root.glob(pattern) if path.is_symlink())
        return paths

    def trial_folders(self) -> list[Path]:
        """The folders of all trials that have one, in the plan or not, sorted by name."""
        folder = self.root / "trials"
        try:
            names = names_in(folder)
        except OSError:  # there are no trials yet
            return []
        return [folder / name for name in names if _TRIAL_ID.fullmatch(name)]

    def id_digits(self) -> int | None:
        """The hex digits of the hash in the ids of the trials that the folder has; None if it has none."""
        return next((len(path.name.rpartition("-")[2]) for path in self.trial_folders()), None)

    def find(self, trials: Iterable[TrialConfig]) -> dict[str, Finding]:
        """The finding of each of these trials, by trial id. Raises StoreError, see `TrialFolder.find`."""
        trials = list(trials)
        found = for_each(lambda config: self.trial(config.trial_id).find(config), trials, self.root)
        return {config.trial_id: finding for config, finding in zip(trials, found, strict=True)}

    def checkpoints(self) -> int:
        """How many trials have a checkpoint."""
        return len(matching(self.root, "trials/*/checkpoint.safetensors"))

    def kept(self) -> Iterator[Record | Checkpoint]:
        """The record or checkpoint of every trial that has started, in the plan or not."""
        for kept in for_each(lambda path: TrialFolder(path).kept(), self.trial_folders(), self.root):
            if kept is not None:
                yield kept

    def report_sources(self) -> dict[str, str | None]:
        """The sha256 of each file that a report is made of, by name; None for one that is not there."""
        names = (RESULTS_CSV, HISTORY_PARQUET, SWEEP_FILE, environments.LATEST)
        return {name: file_digest(self.root / name) for name in names}

    def note_report(self, sources: Mapping[str, str | None], finding: str = "") -> None:
        """Notes what the report was made of: the `report_sources` from before it was made. finding: its first answer."""
        content = {"made_of": dict(sources), "report": file_digest(self.report), "finding": finding}
        write_json(self._report_note, formats.REPORT_NOTE, content)

    def report_is_current(self) -> bool:
        """Whether there is an unchanged report of what is in the folder now."""
        with contextlib.suppress(StoreError):
            now = {"made_of": self.report_sources(), "report": file_digest(self.report)}
            noted = read_json(self._report_note, formats.REPORT_NOTE)
            return noted is not None and all(noted[name] == value for name, value in now.items())
        return False

    def report_finding(self) -> str:
        """The first answer of the report that was noted last; "" if there is none."""
        with contextlib.suppress(StoreError):
            return str((read_json(self._report_note, formats.REPORT_NOTE) or {}).get("finding", ""))
        return ""

    @property
    def _report_note(self) -> Path:
        return self.report.parent / "made_of.json"

    def command(self, name: str, *options: str) -> str:
        """A command on this folder, as it can be typed."""
        return shlex.join(["infomax-tune", name, str(self.root), *options])


def _settings(config: TrialConfig) -> frozenset[tuple[str, Any]]:
    return frozenset(config.numbers().items())


_TRIAL_ID = re.compile(r"\w+-k\d+-s\d+-([0-9a-f]{8}|[0-9a-f]{16})")

_OWN_NAMES = {
    "trials",
    SWEEP_FILE,
    LOCK,
    driver_notes.DRIVER,
    driver_notes.STOP,
    driver_notes.PROGRESS,
    "ray",
    _RAY_LOG,
    environments.LATEST,
    environments.USED,
    "analysis",
    RUNS,
    "trackers",
    PARTS,
    *TABLES,
    TABLES_NOTE,
}

_HOW_TO_MEND_SWEEP = (
    "The trials are safe: move this file away and repeat the `infomax-tune sweep` command that created the folder."
)
