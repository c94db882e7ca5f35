"""Mends a sweep's folder as far as that takes no training: what is damaged is set aside, what a crash left is removed."""

from __future__ import annotations

from infomax_tune.store.files import set_aside
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.plan import Plan


def mend_folder(folder: SweepFolder, plan: Plan) -> list[str]:
    """Returns what was damaged and is set aside, in sentences for the user. The caller holds the folder's lock.

    Leaves the damaged trials of the plan to those who train them again. Raises StoreError if a file cannot be read.
    """
    folder.tidy()
    problems: list[str] = []
    for path, problem in folder.environments.damage().items():
        set_aside(path)
        problems.append(f"{problem} Set aside; whether its trials were trained elsewhere is not known.")
    for path in folder.trial_folders():
        trial = folder.trial(path.name)
        for leftover in trial.leftovers():
            leftover.unlink(missing_ok=True)
        if path.name not in plan:
            for name, problem in trial.damage().items():
                trial.set_aside(name)
                problems.append(f"{problem} Set aside; the trial is not in the sweep now.")
    return problems
