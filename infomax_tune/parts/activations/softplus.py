"""softplus: a = log(1 + e^z), a smooth relu."""

from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import sigmoid
from infomax_tune.parts.elementwise import softplus as forward


def derivative(z, a):
    return sigmoid(z)


softplus = Activation(forward, derivative, color="#a877d2", marker="P", place=6, explanation="a = log(1 + e^z)")
