"""The parts that a trial's config names."""

from __future__ import annotations

from dataclasses import dataclass

from infomax_tune.parts import catalogue
from infomax_tune.parts.activations import Activation
from infomax_tune.parts.objectives import Objective
from infomax_tune.parts.optimizers import Rule
from infomax_tune.parts.terms import Term
from infomax_tune.study.config import TrialConfig


@dataclass(frozen=True)
class LayerParts:
    """What a trial trains with. weights: of our terms that the objective adds. own: terms of the user's, with their weights."""

    activation: Activation
    head: Activation | None
    rule: Rule
    objective: Objective
    weights: dict[str, float]
    own: dict[str, tuple[Term, float]]

    @property
    def bound(self) -> float | None:
        """sup |a| of the layer's outputs; None if they are not bounded."""
        return (self.head or self.activation).bound

    @property
    def competitive(self) -> bool:
        """Whether the loss has a term by which the units compete."""
        terms = [(term, self.weights[term.weight]) for term in catalogue.ours("terms").values()]
        return any(term.competitive and weight for term, weight in (*terms, *self.own.values()))


def parts_of(config: TrialConfig) -> LayerParts:
    """The parts of a trial. Raises ConfigError if one cannot be loaded."""
    head = None if config.model.head == "none" else catalogue.find("activations", config.model.head)
    optimizer = catalogue.find("optimizers", config.training.optimizer)
    settings = {name: getattr(config.training, name) for name in optimizer.settings}
    objective = catalogue.find("objectives", config.loss.objective)
    own = {}
    if config.loss.term != "none":
        own[catalogue.short(config.loss.term)] = (catalogue.find("terms", config.loss.term), config.loss.lambda_term)
    weights = config.weights()
    if objective.terms is not None:
        weights = {name: weight if name in objective.terms else 0.0 for name, weight in weights.items()}
    return LayerParts(
        catalogue.find("activations", config.model.activation),
        head,
        optimizer.rule(**settings),
        objective,
        weights,
        own,
    )
