"""silu, also called swish: a = z sigmoid(z)."""

from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import sigmoid


def forward(z):
    return z * sigmoid(z)


def derivative(z, a):
    s = sigmoid(z)
    return a * (1.0 - s) + s


silu = Activation(forward, derivative, color="#9030b0", marker="p", place=8, explanation="a = z sigmoid(z)")
