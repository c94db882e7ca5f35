"""Imports all that a worker needs to train. Ray's workers import this module at their start, before a pack comes.

Python would look for garbage many times meanwhile, though what is imported stays: that takes a tenth of the time.
"""

from __future__ import annotations

import gc

gc.disable()
try:
    import infomax_tune.on_ray.trainable
    import infomax_tune.packs.pack_training
    import infomax_tune.science.compiled_trial  # noqa: F401
finally:
    gc.enable()
