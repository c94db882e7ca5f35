"""adam: Kingma & Ba (2015), with the defaults of torch.optim.Adam."""

from infomax_tune.parts.elementwise import fma, sqrt
from infomax_tune.parts.optimizers import Optimizer, Rule

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def factors(lr, steps):
    """The step size with its bias correction, and one over the root of the other correction."""
    return lr / (1.0 - _power(BETA1, steps)), 1.0 / (1.0 - _power(BETA2, steps)) ** 0.5


def update(parameter, gradient, mean, square, step, inverse_root):
    mean = fma(1.0 - BETA1, gradient - mean, mean)
    square = fma((1.0 - BETA2) * gradient, gradient, BETA2 * square)
    return parameter - step * mean / fma(sqrt(square), inverse_root, EPS), mean, square


def fused(parameters, gradients, moments, lr, steps):
    """torch's kernel. Its functional form: the class imports torch's compiler, which would cost each worker a second."""
    from torch.optim.adam import adam as of_tensors

    averages, squares = moments
    of_tensors(parameters, gradients, averages, squares, [], steps, fused=True, lr=lr, beta1=BETA1, beta2=BETA2, eps=EPS,
               weight_decay=0.0, amsgrad=False, maximize=False)  # fmt: skip


def _power(base, exponents):
    """base^exponent for an array of whole numbers, by products alone: the C library's may round differently elsewhere."""
    exponents = exponents.astype("int64")
    result = exponents * 0.0 + 1.0
    while exponents.any():
        result[exponents % 2 == 1] *= base
        base *= base
        exponents = exponents // 2
    return result


RULE = Rule(update, factors, ("exp_avg", "exp_avg_sq"), fused)
adam = Optimizer(lambda: RULE, place=1, explanation="Adam")
