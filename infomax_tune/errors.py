"""The errors that infomax-tune raises on purpose.

InfomaxTuneError                 base; its message is for the user and needs no traceback
├── ConfigError (ValueError)     a config, search space, override or option is wrong (exit code 2)
├── PartError                    an activation, a term or the like of the user's own raised an error (exit code 2)
├── DataError                    a dataset is missing or cannot be read (exit code 2)
├── ResourceError                the machine, the cluster or this process lacks something (exit code 2)
├── StoreError                   the output folder cannot be used (exit code 2)
│   ├── DamagedFileError         a file's checksum or content is wrong
│   ├── NewerVersionError        a newer infomax-tune wrote a file
│   ├── LockedError              another process is using the folder
│   └── TakenOverError           another process has taken the folder over, or it is gone
└── EnvironmentDriftError        trials of the sweep were trained in a different environment (exit code 2)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InfomaxTuneError(Exception):
    """Base of all errors whose message is meant for the user."""


class ConfigError(InfomaxTuneError, ValueError):
    """A config, search space, override or option is wrong; the message lists every mistake found."""


class PartError(InfomaxTuneError):
    """A part of the user's own raised an error; the message names its line."""


class DataError(InfomaxTuneError):
    """A dataset is missing, cannot be downloaded, or does not match its name."""


class ResourceError(InfomaxTuneError):
    """The machine or the cluster cannot provide what was asked for."""


class StoreError(InfomaxTuneError):
    """The output folder is missing, has a newer version, holds something else, or cannot be written."""


class DamagedFileError(StoreError):
    """A file in the output folder fails its checksum or cannot be parsed."""


class NewerVersionError(StoreError):
    """A newer infomax-tune wrote a file in the output folder, in a format that this one does not know."""


class LockedError(StoreError):
    """Another process is using the same output folder."""


class TakenOverError(StoreError):
    """Another process has taken over the output folder meanwhile, or it was moved, removed or unmounted."""


class EnvironmentDriftError(InfomaxTuneError):
    """Trials of the sweep were trained with different versions or hardware."""


def unknown(what: str, given: object, allowed: Iterable[str]) -> str:
    """The message that `given` is unknown, with the nearest allowed value and a list of all."""
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(given), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"{what}: {given!r} is unknown{hint} One of {', '.join(names)}."
