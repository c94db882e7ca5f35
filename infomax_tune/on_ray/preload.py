"""Imports all that a worker needs to train. The workers of a Ray that a sweep starts import this module at their start,
before a pack comes. From a source tree that is not installed they cannot, and import when a pack comes.
"""

from __future__ import annotations

import contextlib
import gc
import os

# NumPy's library of products reads it when it is loaded. Ray sets it later, to this for packs of one CPU
os.environ.setdefault("OMP_NUM_THREADS", "1")

os.chdir("/")  # numba would take settings from a file in the working folder
gc.disable()  # a tenth of the time: Python would look for garbage many times, though what is imported stays
with contextlib.suppress(Exception):  # it would end the worker; a pack will meet it again, and report it
    import infomax_tune.on_ray.trainable
    import infomax_tune.packs.pack_training
    import infomax_tune.science.compiled_trial  # noqa: F401
gc.enable()
