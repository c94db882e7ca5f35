"""Adam and plain SGD with torch's fused kernels, for the stacked parameters of a pack.

Calls the functional forms of torch.optim: its classes import torch's compiler, which would cost each worker a second.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

BETA1, BETA2, ADAM_EPS = 0.9, 0.999, 1e-8
"""torch.optim.Adam's defaults, after Kingma & Ba (2015)."""


class Optimizer:
    """Updates parameters in place, given their gradients. name: adam or sgd (no momentum).

    moments: `<parameter>.exp_avg` and `<parameter>.exp_avg_sq`, shaped as the parameter; none with sgd.
    steps: the number of steps taken, which Adam's bias correction needs.
    """

    def __init__(self, name: str, lr: float, parameters: Mapping[str, Tensor]) -> None:
        self.name = name
        self.lr = lr
        self.parameters = parameters
        device = next(iter(parameters.values())).device
        self.steps = torch.zeros(len(parameters), device=device)
        kinds = ("exp_avg", "exp_avg_sq") if name == "adam" else ()
        self.moments = {f"{key}.{kind}": torch.zeros_like(value) for key, value in parameters.items() for kind in kinds}

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """One update. gradients: one per parameter, by name."""
        parameters = list(self.parameters.values())
        given = [gradients[name] for name in self.parameters]
        if self.name == "sgd":
            sgd(parameters, given, [None] * len(given), fused=True, lr=self.lr, weight_decay=0.0, momentum=0.0,
                dampening=0.0, nesterov=False, maximize=False)  # fmt: skip
            return
        averages = [self.moments[f"{name}.exp_avg"] for name in self.parameters]
        squares = [self.moments[f"{name}.exp_avg_sq"] for name in self.parameters]
        adam(parameters, given, averages, squares, [], list(self.steps.unbind()), fused=True, lr=self.lr, beta1=BETA1,
             beta2=BETA2, eps=ADAM_EPS, weight_decay=0.0, amsgrad=False, maximize=False)  # fmt: skip
