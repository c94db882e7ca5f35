"""The terminal's table: every objective of the study, InfoMax first."""

import pandas as pd
import synthetic

from analysis.answer import answer_table


def test_baselines_follow_infomax_at_each_level_of_what_they_ignore():
    """random ignores the optimizer: trained once, it is shown with both. InfoMax's own rows are those of a table without it."""
    axes = {"activation": ["relu", "tanh"], "hidden_dim": [8]}
    infomax = synthetic.make_results({**axes, "optimizer": ["adam", "sgd"]}, seeds=3)
    random = synthetic.make_results(axes, seeds=3, objective="random", epochs=0, lambda_tc=0.0, draw=1)
    table = answer_table(pd.concat([random, infomax], ignore_index=True))
    assert list(table)[:3] == ["objective", "activation", "optimizer"]
    assert table["objective"].tolist() == ["infomax"] * 4 + ["random"] * 4
    assert table["optimizer"].tolist() == ["adam", "sgd"] * 4
    pd.testing.assert_frame_equal(table.iloc[:4, 1:], answer_table(infomax))
    numbers = table.iloc[4:, 3:]
    assert numbers.iloc[0].tolist() == numbers.iloc[1].tolist() != numbers.iloc[2].tolist()


def test_one_objective_needs_no_column():
    """Whichever it is."""
    assert "objective" not in answer_table(synthetic.make_results({"activation": ["relu"]}, seeds=2))
    random = synthetic.make_results({"activation": ["relu"]}, seeds=2, objective="random", epochs=0)
    assert "objective" not in answer_table(random)
