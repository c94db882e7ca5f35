"""tanh: the hyperbolic tangent."""

from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import tanh as forward


def derivative(z, a):
    return 1.0 - a * a


tanh = Activation(forward, derivative, bound=1.0, color="#49a672", marker="v", place=5, explanation="a = tanh(z)")
