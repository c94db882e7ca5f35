"""Checks every file of a sweep: which are damaged, and which are only outdated or left over."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from infomax_tune.errors import DamagedFileError
from infomax_tune.store.files import file_digest, for_each, link_problems, matching, read_json
from infomax_tune.store.formats import TRACKER_NOTE
from infomax_tune.store.sweep_folder import TABLES, SweepFolder
from infomax_tune.store.tables import digest_of_records, holds, make_tables, read_note
from infomax_tune.study.plan import Plan


@dataclass
class Verification:
    """The findings. checked: number of trial folders; damage: what is damaged; notes: what is outdated or left over.

    Each line of both ends with the command that clears it.
    """

    checked: int
    damage: list[str]
    notes: list[str]


def verify(folder: SweepFolder, plan: Plan) -> Verification:
    """Checks records with the files they name, checkpoints, environments, notes on trackers, tables against records, and for
    links."""
    trials = folder.trial_folders()
    found = Verification(len(trials), [], [])
    resume = folder.command("resume")

    def check(path: Path) -> tuple[dict[str, str], list[Path]]:
        trial = folder.trial(path.name)
        return trial.damage(), trial.leftovers()

    for damage, leftovers in for_each(check, trials, folder.root):
        found.damage += [f"{problem} Repair it with: {resume}" for problem in damage.values()]
        found.notes += [f"{left}: left over from a crash, harmless; remove it with: {resume}" for left in leftovers]
    found.damage += link_problems(folder.own_paths())
    found.damage += [f"{problem} Repair it with: {resume}" for problem in folder.environments.damage().values()]
    others = [str(path) for path in trials if path.name not in plan]
    if others:
        found.notes.append(
            f"{len(others)} trial folders are outside the sweep's current axes; they are kept in case the axes include them again; "
            f"{_how_to_remove(*others)}"
        )
    found.notes += [
        f"{path}: left over from a crash, harmless; remove it with: {resume}" for path in folder.leftovers()
    ]
    found.notes += [
        f"{path}: was damaged and set aside; {_how_to_remove(str(path))}"
        for pattern in ("trials/*/*.damaged-*", "environment.json.damaged-*", "environments/*.damaged*")
        for path in matching(folder.root, pattern)
    ]
    for path in matching(folder.root, "trackers/*/given/*.json"):
        try:
            read_json(path, TRACKER_NOTE)
        except DamagedFileError as error:
            again = folder.command("resume", "--logger", path.parents[1].name.partition("-")[0])
            found.notes.append(f"{error} Log the trial again with: {again}")
    _check_tables(folder, plan, found)
    return found


def _how_to_remove(*paths: str) -> str:
    if "://" in paths[0]:
        return "remove with the tool of your object store"
    return f"remove with: {shlex.join(['rm', '-r', *paths])}"


def _check_tables(folder: SweepFolder, plan: Plan, found: Verification) -> None:
    recreate = f"recreate it with: {folder.command('results')}"
    noted = None
    try:
        noted = read_note(folder)
    except DamagedFileError as error:
        found.damage.append(f"{error} Recreate it with: {folder.command('results')}")
    made = {} if noted else make_tables(folder, plan).files  # versions before 0.2.0 note nothing
    for name in TABLES:
        path = folder.root / name
        sha256 = file_digest(path)
        if sha256 is None:
            found.notes.append(f"{path}: does not exist yet; create it with: {folder.command('results')}")
        elif noted and sha256 != noted["files"].get(name):
            found.damage.append(f"{path}: damaged (its checksum is wrong); {recreate}")
        elif not noted and not holds(path, made[name]):
            found.notes.append(f"{path}: does not match the records; {recreate}")
    if noted and noted["records"] != digest_of_records(folder.find(plan)):
        found.notes.append(
            f"{folder.root}: its tables are older than its records; recreate them with: {folder.command('results')}"
        )
