"""Updates the stacked parameters of a pack by the rule of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from infomax_tune.errors import ConfigError
from infomax_tune.parts.optimizers import Rule


class Optimizer:
    """Updates parameters in place, given their gradients.

    moments: `<parameter>.<moment>`, shaped as the parameter. steps: how many were taken, in a tensor per parameter, which
    torch's kernels count up.
    """

    def __init__(self, rule: Rule, lr: float, parameters: Mapping[str, Tensor]) -> None:
        self.rule = rule
        self.lr = lr
        self.parameters = parameters
        device = next(iter(parameters.values())).device
        self.steps = torch.zeros(len(parameters), device=device)
        self.moments = {
            f"{key}.{moment}": torch.zeros_like(value) for key, value in parameters.items() for moment in rule.moments
        }

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """One update. gradients: one per parameter, by name."""
        if self.rule.fused:
            moments = [[self.moments[f"{name}.{moment}"] for name in self.parameters] for moment in self.rule.moments]
            given = [gradients[name] for name in self.parameters]
            self.rule.fused(list(self.parameters.values()), given, moments, self.lr, list(self.steps.unbind()))
            return
        self.steps += 1
        steps = self.steps[:1].cpu().double().numpy()
        factors = [np.ravel(factor)[0].item() for factor in self.rule.factors(self.lr, steps)]
        for name, parameter in self.parameters.items():
            kept = [self.moments[f"{name}.{moment}"] for moment in self.rule.moments]
            found = self.rule.update(parameter, gradients[name], *kept, *factors)
            for tensor, new in zip((parameter, *kept), found if isinstance(found, tuple) else (found,), strict=True):
                if not isinstance(new, Tensor) or new.shape != tensor.shape:
                    given = f"the shape {tuple(new.shape)}" if isinstance(new, Tensor) else repr(new)
                    raise ConfigError(f"an optimizer gave {given} for a parameter of the shape {tuple(tensor.shape)}")
                tensor.copy_(new)
