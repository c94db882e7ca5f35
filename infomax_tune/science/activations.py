"""The activation of a layer: f, or a head applied after f, each with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from infomax_tune.errors import ConfigError
from infomax_tune.parts.activations import Activation
from infomax_tune.science.losses import by_autograd


@dataclass(frozen=True)
class LayerActivation:
    """forward(z) -> a; backward(grad_a, z, a) -> dL/dz. All have the shape (..., n, k): rows are over the units."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


def layer_activation(activation: Activation, head: Activation | None = None) -> LayerActivation:
    """a = f(z), or head(f(z)): with softmax as head, the implicit-EM architecture."""
    inner = LayerActivation(lambda z: _of_its_shape(activation.forward(z), z), _backward(activation))
    if head is None:
        return inner
    of_head = _backward(head)

    def backward(grad: Tensor, z: Tensor, a: Tensor) -> Tensor:
        f = inner.forward(z)
        return inner.backward(of_head(grad, f, a), z, f)

    return LayerActivation(lambda z: _of_its_shape(head.forward(inner.forward(z)), z), backward)


def _of_its_shape(a: Tensor, z: Tensor) -> Tensor:
    """The outputs. Raises ConfigError if a user's function gave others than it should."""
    if not isinstance(a, Tensor) or a.shape != z.shape or a.dtype != z.dtype:
        given = f"{tuple(a.shape)} and {a.dtype}" if isinstance(a, Tensor) else repr(a)
        raise ConfigError(
            f"the activation of z of shape {tuple(z.shape)} and {z.dtype} must be like it, but is {given}"
        )
    return a


def _backward(activation: Activation) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """dL/dz from dL/da: the part's own, by its derivative, or by autograd."""
    if activation.backward:
        return activation.backward
    if activation.derivative:
        derivative = activation.derivative
        return lambda grad, z, a: grad * derivative(z, a)
    return lambda grad, z, a: by_autograd(lambda leaf: _differentiable(activation.forward(leaf)) * grad, z)


def _differentiable(a: Tensor) -> Tensor:
    if not a.requires_grad:
        raise ConfigError("autograd finds no way from the activation's output to its input: is there a detach() in it?")
    return a
