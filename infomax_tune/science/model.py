"""The single layer, stacked over the replicas of a pack: weight (S, K, D), bias (S, K)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def initial_weight(seed: int, units: int, inputs: int) -> Float[Tensor, "k d"]:
    """Xavier-uniform weights drawn from the seed's own generator: U(-b, b), b = sqrt(6 / (D + K)).

    For one seed and width, all activations start from the same weights. The global generators are neither read nor changed.
    """
    generator = torch.Generator().manual_seed(seed)
    bound = (6 / (inputs + units)) ** 0.5
    # in two operations: torch's own U(-b, b) is one or two of them, and rounds so, depending on the CPU
    return torch.rand(units, inputs, generator=generator) * (2 * bound) - bound


class SingleLayer:
    """z = x W^T + b for S independent replicas at once. weight: (S, K, D); bias: (S, K)."""

    def __init__(self, weight: Float[Tensor, "s k d"], bias: Float[Tensor, "s k"]) -> None:
        self.weight = weight
        self.bias = bias

    @classmethod
    def initial(cls, seeds: Sequence[int], units: int, inputs: int) -> SingleLayer:
        """The untrained layer of each seed: Xavier-uniform weights, zero bias."""
        weight = torch.stack([initial_weight(seed, units, inputs) for seed in seeds])
        return cls(weight, torch.zeros(len(seeds), units))

    def pre_activation(self, x: Float[Tensor, "s n d"]) -> Float[Tensor, "s n k"]:
        """z = x W^T + b."""
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.transpose(1, 2))
