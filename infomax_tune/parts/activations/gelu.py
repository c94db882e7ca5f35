"""gelu: a = z Phi(z), Phi the standard normal distribution function (Hendrycks & Gimpel 2016)."""

from infomax_tune.parts.activations import Activation
from infomax_tune.parts.elementwise import erf, exp


def forward(z):
    return 0.5 * z * (1.0 + erf(0.7071067811865476 * z))


def derivative(z, a):
    return 0.5 * (1.0 + erf(0.7071067811865476 * z)) + 0.3989422804014327 * z * exp(-0.5 * z * z)


gelu = Activation(forward, derivative, color="#785850", marker="X", place=7, explanation="a = z Phi(z)")
