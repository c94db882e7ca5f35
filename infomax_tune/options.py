"""How a sweep is run. Imports nothing slow, so that the command line can check it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class Options:
    """How a sweep is run. None of it changes its numbers, but device and threads (cpus_per_pack) can change their last bits.

    pack: seeds a pack, None lets `plan` choose. cpus_per_pack, gpus_per_pack: what one pack occupies, fractions
    allowed. address: a Ray cluster to join, None starts one here. max_concurrent: packs at once, None is no limit.
    device: cpu, cuda or mps; None is cuda with gpus_per_pack, else cpu. max_failures: how often a pack whose
    worker dies or raises is tried again. strict_environment: refuse to go on under other versions or hardware.
    """

    pack: int | None = None
    cpus_per_pack: float = 1
    gpus_per_pack: float = 0
    address: str | None = None
    max_concurrent: int | None = None
    data_dir: Path | None = None
    device: str | None = None
    max_failures: int = 2
    strict_environment: bool = False

    @property
    def threads(self) -> int:
        return max(1, int(self.cpus_per_pack))
