"""sgd: gradient descent; with momentum, along the sum of all gradients so far, each weaker by that factor every step."""

import functools

from infomax_tune.parts.optimizers import Optimizer, Rule


def update(parameter, gradient, lr):
    return parameter - lr * gradient


def update_with_momentum(parameter, gradient, velocity, lr, momentum):
    velocity = momentum * velocity + gradient
    return parameter - lr * velocity, velocity


@functools.cache  # one rule is compiled once
def rule(momentum):
    if momentum == 0:
        return Rule(update, fused=_fused)
    return Rule(update_with_momentum, lambda lr, steps: (lr, momentum), ("momentum_buffer",))


def _fused(parameters, gradients, moments, lr, steps):
    """torch's kernel, in its functional form: the class imports torch's compiler, which would cost each worker a second."""
    from torch.optim.sgd import sgd as of_tensors

    of_tensors(parameters, gradients, [None] * len(gradients), fused=True, lr=lr, weight_decay=0.0, momentum=0.0,
               dampening=0.0, nesterov=False, maximize=False)  # fmt: skip


sgd = Optimizer(rule, settings={"momentum": 0.0}, place=2, explanation="gradient descent")
