"""softmax: a = e^z / sum e^z over the units: a function of whole rows, whose outputs sum to 1."""

from infomax_tune.parts.activations import Activation
from infomax_tune.parts.rowwise import softmax as forward
from infomax_tune.parts.rowwise import softmax_backward as backward

softmax = Activation(
    forward, backward=backward, rows=True, bound=1.0, color="#0056e4", marker="^", place=4,
    explanation="the units share 1 between them, a = e^z / sum e^z",
)  # fmt: skip
