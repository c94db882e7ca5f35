"""A part's name stands in its own file. A second list would have to be edited with every new part.

The metrics are in `test_metrics.py`.
"""

from __future__ import annotations

import pytest

from infomax_tune.parts.catalogue import ours
from tests.parts.named import files_that_name

KINDS = ("activations", "datasets", "objectives", "optimizers", "terms")

MEAN_OTHER_THINGS = {
    "random",  # made-up data and settings of self-checks have this name
    "tanh",  # also a function of `elementwise`, which the compiled loops have by name,
    "softplus",  # and so is this
    "entropy",  # also a column of the tables, of which figures and sentences may speak,
    "tc",  # and so is this
    "wr",  # and this
    "abs",  # a word of Python's
    "identity",  # a word of mathematics
    "l1",
}
"""Names that are strings for another reason too, so that a string is no sign of a list."""

SPEAK_OF_ONE = {
    # the settings' defaults
    "infomax_tune/study/config.py": {"mnist", "relu", "infomax", "adam"},
    # torchvision's sets are in folders of these names
    "infomax_tune/parts/datasets/mnist.py": {"mnist"},
    "infomax_tune/parts/datasets/fashion_mnist.py": {"fashion_mnist"},
    "infomax_tune/parts/datasets/kmnist.py": {"kmnist"},
    # a fixed tiny study, whose digest two machines compare
    "infomax_tune/science/digest.py": {"digits", "synthetic_2d", "softmax"},
    # what another part is trained with to check it
    "infomax_tune/science/part_checks/shared.py": {"sgd"},
    # the reference of a forest plot, where it was run
    "analysis/plots_comparison.py": {"relu"},
    # a default for callers that have no table
    "analysis/plots_weights.py": {"synthetic_2d"},
    # what the study is of, against which baselines are set
    "analysis/claims.py": {"infomax"},
    "analysis/evidence.py": {"infomax"},
    "analysis/reshape.py": {"infomax"},
    "analysis/sections.py": {"infomax"},
}
"""Where one part is meant, and not any."""


def test_no_other_file_names_a_part() -> None:
    names = {name for kind in KINDS for name in ours(kind)}
    assert names >= MEAN_OTHER_THINGS
    assert files_that_name(names - MEAN_OTHER_THINGS) == SPEAK_OF_ONE


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_names_three_of_a_kind(kind: str) -> None:
    """Not even those with names that mean other things. Only the columns of the loss have figures about two of them."""
    assert {file for file, there in files_that_name(ours(kind)).items() if len(there) > 2} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_parts_is_without_ties(kind: str) -> None:
    """Equal places would be in the order of the alphabet."""
    places = [part.place for part in ours(kind).values()]
    assert places == list(range(1, len(places) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_has_a_plain_name_by_which_it_is_known_everywhere(kind: str) -> None:
    """No name is a part of two kinds, and "none" is none."""
    others = {name for other in KINDS if other != kind for name in ours(other)}
    for name in ours(kind):
        assert name.isidentifier()
        assert name != "none"
        assert name not in others
