"""What a leader pays for its lead, and which network collapses: said where it is so, and nowhere else."""

import numpy as np
import pytest
import synthetic

import analysis
from analysis.contrasts import collapse_sentence, price_sentence
from analysis.evidence import gather

AXES = {"activation": ["identity", "relu", "tanh"], "hidden_dim": [16, 32]}


@pytest.fixture(scope="module")
def table():
    """tanh leads on every main metric by construction; a ridge accuracy and a rank of the same noise for all."""
    made = synthetic.make_results(AXES, seeds=8, effect=9)
    noise = np.random.default_rng(1).normal(0, 0.002, len(made))
    return made.assign(ridge_accuracy=0.8 + noise)


@pytest.fixture(scope="module")
def alike():
    """No activation differs from another by more than the seeds do."""
    return synthetic.make_results(AXES, seeds=8, effect=0)


def told(table, sentence):
    return sentence(gather(analysis.Study("made up", table)))


def with_accuracy(table, **means):
    shift = table["activation"].map(means).fillna(0.0)
    return table.assign(ridge_accuracy=table["ridge_accuracy"] + shift)


def test_a_leader_of_less_use_is_said_to_be_so(table):
    """At every width, or at those where it is so; the ones it is significantly worse than, and no others."""
    text = told(with_accuracy(table, identity=0.05), price_sentence)
    assert text.startswith("Where tanh leads on effective rank")
    assert text.endswith("(at every width), its ridge accuracy is significantly lower than that of identity.")
    both = with_accuracy(table, identity=0.05, relu=0.04)
    assert told(both, price_sentence).endswith("lower than that of identity and relu.")
    narrow = both[both["hidden_dim"] == 16]
    assert "(at" not in told(narrow, price_sentence)


def test_a_leader_that_is_as_useful_pays_no_price(table, alike):
    """Nor does one without an accuracy, one that leads in nothing, and one that is only better."""
    assert told(table, price_sentence) is None
    assert told(with_accuracy(table, tanh=0.05), price_sentence) is None
    assert told(table.drop(columns="ridge_accuracy"), price_sentence) is None
    alike = alike.assign(ridge_accuracy=table["ridge_accuracy"])
    assert told(with_accuracy(alike, identity=0.05), price_sentence) is None
    one_seed = with_accuracy(table, identity=0.05).query("seed == 1")
    assert told(one_seed, price_sentence) is None


def test_a_network_that_uses_half_of_its_width_is_named_at_the_width_where_it_is_worst(alike):
    low = (alike["activation"] == "relu") & (alike["hidden_dim"] == 32)
    half = alike.assign(effective_rank=alike["effective_rank"].where(~low, alike["effective_rank"] / 2))
    means = half[half["hidden_dim"] == 32].groupby("activation")["effective_rank"].mean()
    text = told(half, collapse_sentence)
    assert text.startswith(f"Relu collapses at K = 32: its effective rank is {means['relu']:.3g}, ")
    rest = sorted(means.drop("relu"))
    assert text.endswith(f"that of the other activations {rest[0]:.3g} to {rest[1]:.3g}.")


def test_a_network_that_is_a_little_below_the_others_has_not_collapsed(alike):
    """10% below all others is the forest's to say; nor is one that cannot be told apart from them, or the lower of two."""
    low, rank = alike["activation"] == "relu", alike["effective_rank"]
    assert told(alike.assign(effective_rank=rank.where(~low, 0.9 * rank)), collapse_sentence) is None
    half = alike.assign(effective_rank=rank.where(~low, rank / 2))
    assert told(half, collapse_sentence) is not None
    assert told(half.query("seed <= 3"), collapse_sentence) is None
    assert told(half.query("activation != 'tanh'"), collapse_sentence) is None
