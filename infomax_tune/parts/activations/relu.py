"""relu: a = max(z, 0)."""

from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import maximum, where_less


def forward(z):
    return maximum(z, 0.0)


def derivative(z, a):
    return where_less(0.0, z, 1.0, 0.0)


relu = Activation(forward, derivative, color="#b82a24", marker="s", place=2, explanation="a = max(z, 0)")
