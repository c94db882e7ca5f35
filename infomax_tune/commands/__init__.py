"""The commands, a file for each stage of a study: they parse, call and print.

Torch and Ray take seconds to import, so only the commands that need them do. The help lists the commands in the order of
these files, and of their places in them.
"""

import importlib

for _stage in ("ask", "train", "watch", "answer", "check"):
    importlib.import_module(f"{__name__}.{_stage}")
