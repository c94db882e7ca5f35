"""sae, a baseline: a sparse autoencoder, the mean over all entries of (x - V a - c)^2, plus lambda_l1 times the mean of |a|.

The decoder V (d, k) is learned on its own and begins as the encoder's transpose; c begins at 0. The published weight of
the second term is 0.01.
"""

from infomax_tune.parts.objectives import Objective


def initial(weight):
    return {"decoder": weight.mT.contiguous(), "offset": weight.new_zeros(weight.shape[0], weight.shape[2])}


def rebuild(a, x, parameters):
    decoder = parameters["decoder"]
    residual = a @ decoder.mT + parameters["offset"].unsqueeze(-2) - x
    entries = x.shape[-2] * x.shape[-1]
    grad = residual * (2 / entries)
    gradients = {"decoder": grad.mT @ a, "offset": grad.sum(dim=-2)}
    return residual.square().sum(dim=(-2, -1)) / entries, grad @ decoder, gradients


sae = Objective(
    {"loss.lambda_tc": 0.0, "loss.lambda_wr": 0.0}, initial, rebuild, terms=("lambda_l1",), place=5,
    explanation="a sparse autoencoder with its own decoder",
)  # fmt: skip
