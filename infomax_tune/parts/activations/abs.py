"""abs: a = |z|."""

from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import absolute as forward
from infomax_tune.parts.elementwise import where_less


def derivative(z, a):
    return where_less(z, 0.0, -1.0, where_less(0.0, z, 1.0, 0.0))


abs = Activation(forward, derivative, color="#9878f8", marker="*", place=10, explanation="a = |z|")  # noqa: A001
