"""The activations by name, each with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

LEAKY_SLOPE = 0.01


@dataclass(frozen=True)
class Activation:
    """An activation a = f(z) and its gradient.

    forward(z) -> a; backward(grad_a, z, a) -> dL/dz. All have the shape (..., k): softmax is over the units.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


def _softmax(z: Tensor) -> Tensor:
    return torch.softmax(z, dim=-1)


def _softmax_backward(grad: Tensor, a: Tensor) -> Tensor:
    return a * (grad - (grad * a).sum(dim=-1, keepdim=True))


ACTIVATION: dict[str, Activation] = {
    "identity": Activation(lambda z: z, lambda grad, z, a: grad),
    "relu": Activation(torch.relu, lambda grad, z, a: grad * (z > 0)),
    "leaky_relu": Activation(
        lambda z: F.leaky_relu(z, LEAKY_SLOPE),
        lambda grad, z, a: torch.where(z > 0, grad, LEAKY_SLOPE * grad),
    ),
    "softmax": Activation(_softmax, lambda grad, z, a: _softmax_backward(grad, a)),
    "tanh": Activation(torch.tanh, lambda grad, z, a: grad * (1 - a * a)),
    "softplus": Activation(F.softplus, lambda grad, z, a: grad * torch.sigmoid(z)),
}
"""Each activation, by its name in `config.ActivationName`."""


def with_head(name: str, head: str) -> Activation:
    """The activation of a layer: f, or softmax(f(z)) with `head="softmax"` (the implicit-EM architecture)."""
    inner = ACTIVATION[name]
    if head == "none":
        return inner

    def backward(grad: Tensor, z: Tensor, a: Tensor) -> Tensor:
        return inner.backward(_softmax_backward(grad, a), z, inner.forward(z))

    return Activation(lambda z: _softmax(inner.forward(z)), backward)


def activate(z: Float[Tensor, "*s n k"], name: str, head: str = "none") -> Float[Tensor, "*s n k"]:
    """a = f(z), or softmax(f(z)) with `head="softmax"`."""
    return with_head(name, head).forward(z)
