"""The activation of a layer: f, or a head applied after f, each with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from infomax_tune.parts.activations import Activation
from infomax_tune.science.losses import by_autograd


@dataclass(frozen=True)
class LayerActivation:
    """forward(z) -> a; backward(grad_a, z, a) -> dL/dz. All have the shape (..., n, k): rows are over the units."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


def layer_activation(activation: Activation, head: Activation | None = None) -> LayerActivation:
    """a = f(z), or head(f(z)): with softmax as head, the implicit-EM architecture."""
    inner = LayerActivation(activation.forward, _backward(activation))
    if head is None:
        return inner
    of_head = _backward(head)

    def backward(grad: Tensor, z: Tensor, a: Tensor) -> Tensor:
        f = inner.forward(z)
        return inner.backward(of_head(grad, f, a), z, f)

    return LayerActivation(lambda z: head.forward(inner.forward(z)), backward)


def _backward(activation: Activation) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """dL/dz from dL/da: the part's own, by its derivative, or by autograd."""
    if activation.backward:
        return activation.backward
    if activation.derivative:
        derivative = activation.derivative
        return lambda grad, z, a: grad * derivative(z, a)
    return lambda grad, z, a: by_autograd(lambda leaf: activation.forward(leaf) * grad, z)
