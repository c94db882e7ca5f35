"""Checks every file of a sweep: what is damaged, and what is merely left over."""

from __future__ import annotations

from dataclasses import dataclass

from infomax_tune.errors import DamagedFileError
from infomax_tune.store.files import TEMPORARY, read_json
from infomax_tune.store.formats import TRACKER_NOTE
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import make_tables
from infomax_tune.study.plan import Plan


@dataclass
class Verification:
    """The findings. checked: number of trial folders; damage: what is damaged; notes: what is outdated or left over."""

    checked: int
    damage: list[str]
    notes: list[str]


def verify(folder: SweepFolder, plan: Plan) -> Verification:
    """Checks records with the files they name, checkpoints, environments, notes on trackers, and tables against records."""
    trials = folder.trial_folders()
    found = Verification(len(trials), [], [])
    for path in trials:
        found.damage += folder.trial(path.name).damage()
    others = sum(path.name not in plan for path in trials)
    if others:
        found.notes.append(f"{others} trial folders are of other axes than the sweep has now; they are kept")
    root = folder.root
    found.notes += [f"{path}: left over by a crash, harmless" for path in sorted(root.glob(f"**/.*{TEMPORARY}"))]
    found.notes += [f"{path}: was damaged, and set aside" for path in sorted(root.glob("trials/*/*.damaged-*"))]
    for path in sorted(root.glob("trackers/*/given/*.json")):
        try:
            read_json(path, TRACKER_NOTE)
        except DamagedFileError as error:
            found.notes.append(f"{error} The trial is handed over again by the next run with that --logger.")
    found.damage += folder.environments.damage()
    _compare_tables(folder, plan, found)
    return found


def _compare_tables(folder: SweepFolder, plan: Plan, found: Verification) -> None:
    records = folder.root.glob("trials/*/record.json")
    newest = max((path.stat().st_mtime_ns for path in records), default=0)
    for name, data in make_tables(folder, plan).files.items():
        path = folder.root / name
        if not path.exists():
            found.notes.append(f"{path}: not there yet; make it with: infomax-tune results {folder.root}")
        elif path.read_bytes() != data:
            again = f"make it anew with: infomax-tune results {folder.root}"
            if path.stat().st_mtime_ns <= newest:  # a stopped sweep has records that are not in its tables yet
                found.notes.append(f"{path}: older than the records; {again}")
            else:
                found.damage.append(f"{path}: not what the records say; {again}")
