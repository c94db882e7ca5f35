"""leaky_relu: a = z where z > 0, else 0.01 z."""

from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import where_less

SLOPE = 0.01


def forward(z):
    return where_less(0.0, z, z, SLOPE * z)


def derivative(z, a):
    return where_less(0.0, z, 1.0, SLOPE)


leaky_relu = Activation(forward, derivative, color="#e37800", marker="D", place=3, explanation="a = max(z, 0.01 z)")
