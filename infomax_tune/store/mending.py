"""Repairs a sweep's folder without training: damaged files are set aside, leftovers of a crash are removed."""

from __future__ import annotations

from infomax_tune.store.files import for_each, remove, set_aside
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.plan import Plan


def mend_folder(folder: SweepFolder, plan: Plan) -> list[str]:
    """Returns the damaged files that were set aside, in sentences for the user. The caller holds the folder's lock.

    Leaves the damaged trials of the plan to the code that trains them again. Raises StoreError if a file cannot be
    read.
    """
    folder.tidy()
    problems: list[str] = []
    for path, problem in folder.environments.damage().items():
        set_aside(path)
        problems.append(f"{problem} Set aside; it is now unknown whether its trials were trained elsewhere.")
    paths = folder.trial_folders()
    for path, leftovers in zip(
        paths, for_each(lambda path: folder.trial(path.name).leftovers(), paths, folder.root), strict=True
    ):
        for leftover in leftovers:
            remove(leftover)
        if path.name not in plan:
            trial = folder.trial(path.name)
            for name, problem in trial.damage().items():
                trial.set_aside(name)
                problems.append(f"{problem} Set aside; the trial is not part of the sweep now.")
    return problems
