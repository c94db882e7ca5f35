"""elu: a = z where z > 0, else e^z - 1 (Clevert et al. 2016)."""

from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import expm1, where_less


def forward(z):
    return where_less(0.0, z, z, expm1(z))


def derivative(z, a):
    return where_less(0.0, z, 1.0, a + 1.0)


elu = Activation(forward, derivative, color="#789898", marker="h", place=9, explanation="a = z, or e^z - 1 below 0")
