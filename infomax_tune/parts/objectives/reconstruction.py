"""reconstruction, a baseline: the mean over rows of ||x - W^T a - c||^2, with the encoder's weights and a learned offset c."""

from infomax_tune.parts.objectives import Objective


def initial(weight):
    return {"offset": weight.new_zeros(weight.shape[0], weight.shape[2])}


def rebuild(a, x, parameters):
    weight, offset = parameters["weight"], parameters["offset"]
    residual = a @ weight + offset.unsqueeze(-2) - x
    loss = residual.square().sum(dim=(-2, -1)) / a.shape[-2]
    grad = residual * (2 / a.shape[-2])
    # of the weights, the decoder's share; the encoder's comes through a
    return loss, grad @ weight.mT, {"weight": a.mT @ grad, "offset": grad.sum(dim=-2)}


reconstruction = Objective(
    {"loss.lambda_tc": 0.0, "loss.lambda_wr": 0.0}, initial, rebuild, terms=(), place=3,
    explanation="an autoencoder with tied weights",
)  # fmt: skip
