"""The report's statements are true: each kind of sentence on a table where it is true, and on one where it would be false."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
import synthetic
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import analysis
from analysis import claims, findings
from analysis.album import album
from analysis.comparison import compare_sweeps
from analysis.dynamics import only_settled, still_moving
from analysis.evidence import gather
from analysis.intervals import cell_statistics
from analysis.panels import panels_of
from analysis.paper import paper_tables
from analysis.reshape import done, mean_over_width, per_size, points, summary
from analysis.sections import sections
from analysis.stats import compare
from analysis.widths import reversals

SETTINGS = {"status": "done", "hidden_dim": 16, "epochs": 100}


def study(rows, history=None):
    """A study from rows that give only what differs from SETTINGS."""
    table = pd.DataFrame([{**SETTINGS, **row} for row in rows])
    table["trial_id"] = [f"t{i}" for i in range(len(table))]
    return analysis.Study("made up", table, history)


def evidence_of(rows, history=None):
    return gather(study(rows, history))


def values_of(named, metric="effective_rank", **settings_):
    """Rows from activation -> its value at seeds 1, 2, ...; None is a trial that diverged."""
    return [
        {
            "activation": name,
            "seed": seed,
            metric: value,
            "status": "done" if value is not None else "diverged",
            **settings_,
        }
        for name, found in named.items()
        for seed, value in enumerate(found, start=1)
    ]


# ---- statements that were wrong


def test_lost_trials_do_not_make_a_leader():
    """tanh diverged on its three hard seeds; on each seed that both have, relu is better. tanh's remaining seeds have
    the higher mean, and the report said "tanh leads, ahead of relu by -0.266"."""
    relu = [15.27, 15.29, 15.26, 15.3, 15.25, 15.28, 15.31, 9, 8, 9.5]
    tanh = [value - 0.25 - 0.01 * i for i, value in enumerate(relu[:7])] + [None] * 3
    assert np.mean(tanh[:7]) > np.mean(relu)
    e = evidence_of(values_of({"relu": relu, "tanh": tanh}))
    text = claims.leader_sentence(e, "effective_rank")
    assert "relu leads with 15.28" in text
    assert "tanh leads" not in text
    assert "above tanh" in text
    pair = e.pooled[e.pooled["metric"] == "effective_rank"].iloc[0]
    assert (pair["n"], pair["left_out"]) == (7, 3)


def test_an_activation_that_lost_most_of_its_seeds_is_not_ranked_and_takes_no_seeds_from_others():
    """tanh has two of ten; relu and softplus keep all theirs."""
    rng = np.random.default_rng(0)
    relu, softplus = rng.normal(10, 0.1, 10).tolist(), rng.normal(9, 0.1, 10).tolist()
    text = claims.leader_sentence(
        evidence_of(values_of({"relu": relu, "softplus": softplus, "tanh": [20, 21] + [None] * 8})), "effective_rank"
    )
    assert "relu leads" in text
    assert "Not ranked, with fewer than half as many seeds as the most complete activation: tanh." in text
    assert "it differs significantly from every other ranked activation" in text


def test_above_twelve_seeds_the_direction_and_the_test_are_of_the_same_mean():
    """relu is better in 27 of 30 seeds, but tanh is better on average: no lead is significant. Wilcoxon's p and the sign of
    the mean once came from different statistics."""
    rng = np.random.default_rng(1)
    difference = np.r_[-0.1 - 0.01 * rng.random(27), [2.0, 2.1, 1.9]]
    base = rng.normal(10, 0.5, 30)
    e = evidence_of(values_of({"relu": base.tolist(), "tanh": (base + difference).tolist()}))
    assert difference.mean() > 0
    assert (difference < 0).mean() == 0.9
    text = claims.leader_sentence(e, "effective_rank")
    assert "tanh is best on average" in text
    assert "leads" not in text
    assert e.pooled["method"].iloc[0] == "sign-flip, 9,999 draws"


def baseline_rows():
    rows = []
    for lam, shift in ((0.1, 0.0), (1.0, 1.0)):
        rows += values_of({"relu": [5 + shift] * 6}, objective="infomax", lambda_tc=lam)
    return rows + values_of({"relu": [5.0] * 6}, objective="random", lambda_tc=1.0)


def test_infomax_is_no_baseline_and_a_tie_is_no_defeat():
    """Two lambdas of InfoMax against random: one ties, one is better."""
    e = evidence_of(baseline_rows())
    assert set(e.baselines["b"]) == {"random"}
    tie, better = (text for text in claims.baseline_sentences(e) if text.startswith("Effective rank"))
    assert "better in 0 of 1 cells (0 significant), worse in 0 (0 significant) and the same in 1" in tie
    assert "better in 1 of 1 cells (1 significant), worse in 0 (0 significant)." in better


def test_a_baseline_counts_at_each_level_of_what_it_ignores():
    """random has one optimizer, since it trains nothing; InfoMax with sgd was compared with nothing. No trial is added."""
    rows = []
    for optimizer, shift in (("adam", 1.0), ("sgd", -1.0)):
        rows += values_of({"relu": [5 + shift] * 6}, objective="infomax", optimizer=optimizer)
    rows += values_of({"relu": [5.0] * 6}, objective="random", optimizer="adam")
    e = evidence_of(rows)
    pairs = e.baselines[e.baselines["metric"] == "effective_rank"].set_index("optimizer")
    assert pairs["difference"].to_dict() == {"adam": 1.0, "sgd": -1.0}
    (text,) = (text for text in claims.baseline_sentences(e) if text.startswith("Effective rank"))
    assert "better in 1 of 2 cells (1 significant), worse in 1 (1 significant)." in text
    assert (len(e.results), int(e.counts["planned"].sum())) == (18, 18)
    figures = {drawing.name: drawing for drawing in album(e)}
    panels = figures["baselines"].draw().axes
    assert [axes.get_title() for axes in panels] == ["K = 16, optimizer = adam", "K = 16, optimizer = sgd"]


def test_the_figure_of_the_baselines_has_them_side_by_side():
    """With an axis before the objective in the report's order, it had these instead, and the objectives in its titles."""
    rows = []
    for size in (32, 64):
        rows += values_of({"relu": [6.0] * 6}, objective="infomax", batch_size=size)
    rows += values_of({"relu": [5.0] * 6}, objective="random", batch_size=32)
    (drawing,) = (drawing for drawing in album(evidence_of(rows)) if drawing.name == "baselines")
    panels = drawing.draw().axes
    assert [axes.get_title() for axes in panels] == ["K = 16, batch_size = 32", "K = 16, batch_size = 64"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["random", "infomax"]


def test_a_point_of_a_line_comes_from_whole_seeds():
    """At lambda 10 every wide trial is lost: the remaining trials would make a cliff from 39 to 15. One lost seed is shown."""
    rows = []
    for lam, k in itertools.product((1.0, 10.0), (16, 64)):
        rows += values_of({"relu": [0.9 * k] * 3}, lambda_tc=lam, hidden_dim=k)
    table = study(rows).results
    table.loc[(table["lambda_tc"] == 10) & (table["hidden_dim"] == 64), ["status", "effective_rank"]] = [
        "failed",
        np.nan,
    ]
    found = points(table, "effective_rank", "lambda_tc").set_index("lambda_tc")
    assert found.loc[1.0, "mean"] == pytest.approx(0.9 * 40)
    assert np.isnan(found.loc[10.0, "mean"])
    assert found["complete"].tolist() == [True, False]
    table = study(rows).results
    table.loc[0, ["status", "effective_rank"]] = ["failed", np.nan]
    found = points(table, "effective_rank", "lambda_tc").set_index("lambda_tc")
    assert found["n"].tolist() == [2, 3]
    assert found["mean"].tolist() == pytest.approx([36, 36])
    assert found["complete"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("metric", "values", "low", "high"),
    [
        ("variance_ratio", [1.2, 1.3, 2.0, 5.0, 8e11], 0, np.inf),
        ("dead_units", [0, 0, 0, 0, 2], 0, 16),
        ("effective_rank", [15.99, 15.999, 15.9, 15.98, 15.999], 1, 16),
        ("probe_accuracy", [0.99, 1, 1, 1, 0.95], 0, 1),
    ],
)
def test_no_interval_leaves_what_a_metric_can_be(metric, values, low, high):
    """The report said "83 billion (-14 billion to 180 billion)" and "-0.1 to 0.9 dead units"."""
    table = study(values_of({"relu": values}, metric)).results
    row = summary(table).query("metric == @metric and group == 'activation x width'").iloc[0]
    cell = cell_statistics(table, [metric], by=["activation", "hidden_dim"]).iloc[0]
    for bottom, mean, top in (
        (row["ci_low"], row["mean"], row["ci_high"]),
        (cell["t_low"], cell["mean"], cell["t_high"]),
    ):
        assert low <= bottom <= mean <= top <= high
    if metric == "variance_ratio":
        assert row["mean"] == pytest.approx(np.exp(np.mean(np.log(values))))
    else:
        assert row["mean"] == pytest.approx(np.mean(values))


def test_ratios_are_compared_by_their_logarithm():
    """Ten times as large in each seed is +900%, whatever one dead unit does to a mean."""
    rng = np.random.default_rng(0)
    tanh = np.exp(rng.normal(0, 1, 8)) * np.r_[[1e9], np.ones(7)]
    pair = compare(
        study(values_of({"relu": (10 * tanh).tolist(), "tanh": tanh.tolist()}, "variance_ratio")).results,
        "variance_ratio",
    ).iloc[0]
    assert pair["percent"] == pytest.approx(900)
    assert pair["mean_a"] / pair["mean_b"] == pytest.approx(10)
    assert pair["significant"]


def test_settings_that_cannot_be_ranked_are_counted_and_ties_are_nobodys():
    """Three lambdas: in one relu leads, in one both are equal, in one no trial of tanh finished."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, 8)
    rows = values_of({"relu": (6 + noise).tolist(), "tanh": [5.0] * 8}, lambda_tc=0.1)
    rows += values_of({"relu": [5.0] * 8, "tanh": [5.0] * 8}, lambda_tc=1.0)
    rows += values_of({"relu": [5.0] * 8, "tanh": [None] * 8}, lambda_tc=10.0)
    text = claims.leader_sentence(evidence_of(rows), "effective_rank")
    assert (
        "of 3 settings of lambda_tc, relu leads in 1, no activation leads significantly in 1 and activations cannot be "
        "ranked in 1. No value for tanh in 1." in text
    )


def test_one_seed_does_not_lead():
    """A number is shown, no lead."""
    text = claims.leader_sentence(evidence_of(values_of({"relu": [2.0], "tanh": [1.0]})), "effective_rank")
    assert "one seed cannot show a lead" in text
    assert "leads" not in text


# ---- statements that were computed and misled


def crossing():
    """tanh is worst at K = 16 and best at K = 64, where the numbers are four times as large."""
    rng = np.random.default_rng(0)
    rows = []
    for k, shares in ((16, (0.95, 0.9, 0.8)), (64, (0.5, 0.52, 0.7))):
        named = {
            name: (k * (share + 0.004 * rng.normal(size=10))).tolist()
            for name, share in zip(("identity", "relu", "tanh"), shares, strict=True)
        }
        rows += values_of(named, hidden_dim=k)
    return rows


def test_an_order_that_changes_with_the_width_is_said_first_and_each_width_has_its_leader():
    """On the raw mean over widths, tanh led significantly."""
    e = evidence_of(crossing())
    raw = e.infomax.groupby("activation")["effective_rank"].mean()
    assert raw.idxmax() == "tanh"
    text = claims.leader_sentence(e, "effective_rank")
    assert "the order of the activations changes with the width." in text
    assert "K = 16: identity leads" in text
    assert "K = 64: tanh leads" in text
    assert len(reversals(e.by_width)) == 3
    (finding,) = [found.text for found in findings.findings(e) if found.text.startswith("Effective rank")]
    assert finding == "Effective rank: the leader depends on the width (identity at K = 16 and tanh at K = 64)."


def spread_by(sd, seed):
    """Ten values with mean 0 and this standard deviation, exactly."""
    x = np.random.default_rng(seed).normal(size=10)
    return sd * (x - x.mean()) / x.std(ddof=1)


def by_width_of(means, sd=0.1):
    """Rows from width -> activation -> its mean (over ten seeds; None: all diverged) or its values."""
    rows = []
    for k, named in means.items():
        values = {
            name: [None] * 10 if mean is None else np.asarray(mean + spread_by(sd, i + k)).tolist()
            for i, (name, mean) in enumerate(named.items())
        }
        rows += values_of(values, hidden_dim=k)
    return rows


def test_the_leader_depends_on_the_width_only_if_leaders_change_places():
    """Only identity and softplus change places, while nobody leads at K = 64: the report said "the leader depends on the
    width". `crossing` above is the table where it is true."""
    rows = by_width_of({16: {"tanh": 15, "relu": 14, "identity": 12, "softplus": 11}})
    rows += by_width_of({64: {"tanh": 60.1, "relu": 60, "identity": 40, "softplus": 44}}, sd=1)
    e = evidence_of(rows)
    assert findings.verdict(e, "effective_rank") == (
        "Effective rank: the order of the activations changes with the width, and no activation leads at every width (tanh at "
        "K = 16 and no significant leader at K = 64)."
    )
    assert "identity is better than softplus at K = 16 and worse at K = 64." in claims.leader_sentence(
        e, "effective_rank"
    )


def test_an_activation_that_is_lost_at_a_width_changes_no_order_and_is_named():
    """tanh leads at K = 16 and has no trial at K = 64. The report said that the leader depends on the width."""
    e = evidence_of(
        by_width_of({16: {"tanh": 15, "relu": 14, "identity": 12}, 64: {"tanh": None, "relu": 50, "identity": 45}})
    )
    assert findings.verdict(e, "effective_rank") == (
        "Effective rank: no activation leads at every width (tanh at K = 16 and relu at K = 64). No value for tanh at K = 64."
    )
    text = claims.leader_sentence(e, "effective_rank")
    assert "no activation leads significantly at every width" in text
    assert text.endswith("above identity. No value for tanh at K = 64.")


def test_every_width_is_every_planned_width():
    """At K = 64 only tanh finished. It led "at every width"; with two widths, the verdict did not name the one."""
    shares = {"tanh": 0.9, "relu": 0.7}
    means = {k: {name: share * k for name, share in shares.items()} for k in (16, 32, 64)}
    assert "tanh leads at every width" in findings.verdict(evidence_of(by_width_of(means)), "effective_rank")
    means[64]["relu"] = None
    e = evidence_of(by_width_of(means))
    assert findings.verdict(e, "effective_rank") == (
        "Effective rank: no activation leads at every width (tanh at K = 16, tanh at K = 32 and no ranking at K = 64). No value "
        "for relu at K = 64."
    )
    assert "K = 64: the activations cannot be ranked. No value for relu at K = 64." in claims.leader_sentence(
        e, "effective_rank"
    )
    del means[32]
    assert "(tanh at K = 16 and no ranking at K = 64)" in findings.verdict(
        evidence_of(by_width_of(means)), "effective_rank"
    )


def test_a_lost_activation_is_named_and_not_counted_among_the_others():
    """All of tanh diverged: relu differs from every other activation that can be ranked. What never records a metric is not
    lost: only softmax and tanh have responsibilities."""
    e = evidence_of(by_width_of({16: {"relu": 15, "identity": 12, "tanh": None}}))
    text = claims.leader_sentence(e, "effective_rank")
    assert text.endswith("it differs significantly from every other ranked activation. No value for tanh.")
    assert findings.verdict(e, "effective_rank").endswith("above identity. No value for tanh.")
    whole = claims.leader_sentence(evidence_of(by_width_of({16: {"relu": 15, "identity": 12}})), "effective_rank")
    assert whole.endswith("it differs significantly from every other activation.")
    rows = values_of({"softmax": [0.5] * 6, "tanh": [0.6] * 6}, "max_avg_responsibility")
    rows += values_of({"relu": [5.0] * 6})
    assert "No value" not in claims.leader_sentence(evidence_of(rows), "max_avg_responsibility")


def test_an_activation_leads_only_if_it_differs_significantly_from_all_others():
    """tanh is just above relu in every seed; identity is far below relu on average, but varies too much to differ from
    anything. The report said that tanh leads."""
    relu = 11 + spread_by(0.5, 0)
    tanh = relu + 0.16 + spread_by(0.008, 1)
    said = []
    for sd in (2.4, 0.05):
        named = {"relu": relu, "tanh": tanh, "identity": relu - 0.32 + spread_by(sd, 2)}
        e = evidence_of(values_of({name: values.tolist() for name, values in named.items()}))
        said.append((claims.leader_sentence(e, "effective_rank"), findings.verdict(e, "effective_rank")))
    (unsure, nobody), (sure, somebody) = said
    assert unsure.endswith(
        "its lead is not significant: it is significantly better than relu, but does not differ significantly from identity."
    )
    assert nobody == "Effective rank: no activation leads significantly."
    assert sure.endswith("it differs significantly from every other activation.")
    assert somebody.startswith("Effective rank: tanh leads")


def test_many_widths_are_listed_by_leader():
    """Six widths: which ones each activation leads at was not said."""
    means = {k: {"tanh": 0.8 * k, "relu": (0.7 if k < 64 else 0.9) * k} for k in (4, 8, 16, 32, 64, 128)}
    e = evidence_of(by_width_of(means))
    by_leader = "tanh{} at K = 4, 8, 16 and 32; relu{} at K = 64 and 128"
    assert findings.verdict(e, "effective_rank") == (
        f"Effective rank: the leader depends on the width ({by_leader.format('', '')})."
    )
    assert f". {by_leader.format(' leads', ' leads')}." in claims.leader_sentence(e, "effective_rank")


def test_an_order_that_stays_is_not_said_to_change():
    """The same differences per unit at both widths: one leader."""
    rng = np.random.default_rng(4)
    rows = []
    for k in (16, 64):
        named = {
            name: (k * (share + 0.01 * rng.normal(size=10))).tolist() for name, share in (("relu", 0.7), ("tanh", 0.8))
        }
        rows += values_of(named, hidden_dim=k)
    e = evidence_of(rows)
    text = claims.leader_sentence(e, "effective_rank")
    assert "tanh leads at every width" in text
    assert "Averaged over widths, tanh's effective rank / K is" in text
    assert "changes" not in text


def test_means_over_widths_are_of_what_a_unit_or_a_pair_has():
    """4 of 16 and 48 of 64 are a half on average, not 26 of 40."""
    rows = values_of({"relu": [4.0]}, hidden_dim=16) + values_of({"relu": [48.0]}, hidden_dim=64)
    table = study(rows).results.assign(output_correlation=[16 * 15 * 0.1, 64 * 63 * 0.3])
    averaged = mean_over_width(per_size(table))
    assert averaged["effective_rank"].tolist() == [0.5]
    assert averaged["output_correlation"].tolist() == pytest.approx([0.2])


def moving_study(last_tenth):
    """Ten seeds of 100 epochs whose loss falls to -10 (sd about 0.1) and by `last_tenth` in the last ten epochs."""
    rng = np.random.default_rng(0)
    rows, history = [], []
    for seed in range(1, 11):
        end = -10 + 0.1 * rng.normal()
        rows.append({"activation": "relu", "seed": seed, "loss": end, "convergence_epoch": 62.0})
        for epoch in range(1, 101):
            loss = end + last_tenth * (100 - epoch) / 10
            history.append({"trial_id": f"t{seed - 1}", "epoch": epoch, "loss": loss})
    return study(rows, pd.DataFrame(history))


def test_a_loss_that_still_falls_has_not_converged():
    """While the loss is still falling, 90% of its decrease measures only the number of epochs."""
    ended, falling = moving_study(0.02), moving_study(1.0)
    found = still_moving(falling.results, falling.history).iloc[0]
    assert (found["metric"], found["n"], bool(found["moving"])) == ("loss", 10, True)
    assert found["change"] == pytest.approx(-1)
    assert not still_moving(ended.results, ended.history)["moving"].iloc[0]
    assert gather(ended).metrics == ["convergence_epoch", "loss"]
    e = gather(falling)
    assert "convergence_epoch" not in e.metrics
    assert e.results["convergence_epoch"].isna().all()
    assert "loss in 1 cell still moved" in claims.moving_sentence(e)
    assert "has converged in the only cell" in claims.moving_sentence(gather(ended))


def test_a_settled_loss_beside_a_metric_that_moves_has_not_converged():
    """A loss that "converged" at epoch 3 while redundancy grew from 71 to 1,021; evaluated every 20 epochs only."""
    settled = moving_study(0.0)
    history = settled.history.assign(weight_redundancy=np.nan)
    at = history["epoch"] % 20 == 0
    history.loc[at, "weight_redundancy"] = 10.0 * history.loc[at, "epoch"]
    table = settled.results.assign(weight_redundancy=1000 + np.arange(10.0))
    moving = still_moving(table, history).set_index("metric")
    assert moving["moving"].to_dict() == {"loss": False, "weight_redundancy": True}
    assert moving.loc["weight_redundancy", "change"] == pytest.approx(100)  # of a tenth, between two evaluations
    assert only_settled(table, moving.reset_index())["convergence_epoch"].isna().all()


UNKNOWN = "seeds, losses, or evaluations near the end are missing."


def test_a_cell_with_one_seed_has_neither_converged_nor_moved():
    """Of tanh one seed finished, of softplus none. Only relu's cell was counted: "converged in the only cell"."""
    settled = moving_study(0.02)
    lost = {"loss": np.nan, "convergence_epoch": np.nan, "status": "failed"}
    more = pd.DataFrame(
        [
            {**SETTINGS, "activation": name, "seed": seed, "trial_id": f"{name}{seed}", "loss": -9.0, **over}
            for name, seed, over in (("tanh", 1, {}), ("tanh", 2, lost), ("softplus", 1, lost))
        ]
    )
    history = pd.concat([settled.history, settled.history.query("trial_id == 't0'").assign(trial_id="tanh1")])
    e = gather(analysis.Study("made up", pd.concat([settled.results, more], ignore_index=True), history))
    assert claims.moving_sentence(e) == (
        "Training has converged in 1 of 3 cells: in the last tenth of the epochs, nothing moved by more than the standard "
        f"deviation over seeds. In 2 cells, this is unknown: {UNKNOWN}"
    )


@pytest.mark.parametrize(("evaluated", "settled"), [((0, 90, 100), True), ((0, 100), False)])
def test_a_metric_that_was_not_evaluated_before_the_end_may_still_move(evaluated, settled):
    """Weight redundancy is 5 at epoch 0 and 100 at the end; without a value between, the report said that nothing moved."""
    made = moving_study(0.02)
    start = made.history.query("epoch == 1").assign(epoch=0, loss=np.nan)
    history = pd.concat([start, made.history], ignore_index=True)
    redundancy = np.where(history["epoch"] > 0, 100.0, 5.0)
    history["weight_redundancy"] = np.where(history["epoch"].isin(evaluated), redundancy, np.nan)
    e = gather(analysis.Study("made up", made.results.assign(weight_redundancy=100 + np.arange(10.0)), history))
    assert ("has converged in the only cell" in claims.moving_sentence(e)) == settled
    assert (
        claims.moving_sentence(e) == f"Whether training has converged is unknown in the only cell: {UNKNOWN}"
    ) != settled
    assert e.results["convergence_epoch"].notna().all() == settled


def test_without_a_loss_nothing_has_converged():
    """Only the metrics were recorded over the epochs."""
    made = moving_study(0.02)
    history = made.history.rename(columns={"loss": "weight_redundancy"})
    e = gather(analysis.Study("made up", made.results, history))
    assert claims.moving_sentence(e).startswith("Whether training has converged is unknown")
    assert e.results["convergence_epoch"].isna().all()


@pytest.mark.parametrize(
    ("epochs", "when"),
    [
        ([10], "in the last epoch,"),
        ([20], "in the last tenth of the epochs,"),
        ([10, 100], "in the last tenth of the epochs (below 20 epochs: in the last epoch),"),
    ],
)
def test_a_few_epochs_have_no_tenth(epochs, when):
    """Of ten epochs a tenth is one; of 15 the last one is looked at, not one and a half."""
    made = moving_study(0.02)
    parts, histories = [], []
    for n in epochs:
        parts.append(made.results.assign(epochs=n, trial_id=made.results["trial_id"] + f"of{n}"))
        short = made.history[made.history["epoch"] <= n]
        histories.append(short.assign(loss=short["loss"] / 100, trial_id=short["trial_id"] + f"of{n}"))
    e = gather(analysis.Study("made up", pd.concat(parts, ignore_index=True), pd.concat(histories)))
    assert when in claims.moving_sentence(e)
    assert when.removesuffix(",") in findings.methods(e)
    fifteen = made.history[made.history["epoch"] <= 15].copy()
    fifteen["loss"] = np.where(fifteen["epoch"] < 14, 9.0, 1.0)
    assert still_moving(made.results.assign(epochs=15), fifteen)["change"].tolist() == [0]


def test_a_metric_without_any_value_over_the_epochs_is_passed_over():
    """A column of the history that is empty after epoch 0, with ids as text from a file."""
    made = moving_study(0.02)
    history = made.history.assign(gaussian_total_correlation=np.nan).astype({"trial_id": "str"})
    assert still_moving(made.results.astype({"trial_id": "str"}), history)["metric"].tolist() == ["loss"]


def test_activations_are_not_ranked_by_what_their_range_decides():
    """Losses of outputs of +-40 and of +-1; and wr says what weight redundancy says."""
    e = gather(analysis.Study("whole", synthetic.make_results()))
    ranked = {"loss", "entropy", "tc", "wr"} & set(e.pooled["metric"])
    assert not ranked
    assert {"loss", "entropy"} <= set(e.summary["metric"])
    told = claims.leader_sentences(e)
    assert not [text for text in told if text.startswith(("Loss", "Entropy", "Weight term", "Decorrelation"))]
    assert [text for text in told if text.startswith("Weight redundancy")]


def test_findings_come_in_the_order_of_their_size_in_per_cent():
    """All are significant; the 50% lead comes before the 2% lead. Numbers have only the digits their interval justifies."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 10))
    rows = values_of({"relu": (10 + 0.01 * noise[0]).tolist(), "tanh": (10.2 + 0.01 * noise[1]).tolist()})
    table = study(rows).results
    table["output_correlation"] = np.r_[10 + 0.1 * noise[0], 5 + 0.1 * noise[1]]
    e = gather(analysis.Study("made up", table))
    first, second = claims.leader_sentences(e)
    assert re.match(
        r"Output correlation \(lower is better\): tanh leads with \d\.\d\d \(.*, 50\.\d% \(.*below relu", first
    )
    assert re.match(
        r"Effective rank \(higher is better\): tanh leads with 10\.\d{3} \(.*, 1\.9\d% \(.*above relu", second
    )


def test_equality_is_said_with_its_margin_and_only_where_the_whole_interval_is_inside():
    """0.1% apart, give or take 0.05%; and 0.1% apart, give or take 5%."""
    rng = np.random.default_rng(0)
    for spread, said in ((0.005, True), (0.5, False)):
        relu = 10 + spread * rng.normal(size=10)
        e = evidence_of(
            values_of({"relu": relu.tolist(), "leaky_relu": (10.01 + spread * rng.normal(size=10)).tolist()})
        )
        wanted = ["relu and leaky_relu are the same within 1% in effective rank (95% simultaneous intervals)."]
        assert claims.equivalent_sentences(e) == (wanted if said else [])


# ---- settings, baselines and few seeds


def near(mean, n=10, sd=0.01, seed=0):
    """Values around a mean."""
    return (mean + sd * np.random.default_rng(seed).normal(size=n)).tolist()


def test_a_setting_that_is_lost_is_counted():
    """No trial of lambda 10 finished: it was "of 2 settings". Of relu alone, lambda 10 is lost: it had a best lambda without a
    word about 10."""
    rows = []
    for lam in (0.1, 1.0, 10.0):
        values = {"relu": near(6 + lam, seed=1), "tanh": near(5 + lam, seed=2)}
        rows += values_of(values if lam < 10 else {name: [None] * 10 for name in values}, lambda_tc=lam)
    text = claims.leader_sentence(evidence_of(rows), "effective_rank")
    assert "of 3 settings of lambda_tc, relu leads in 2 and activations cannot be ranked in 1." in text
    assert text.endswith("No value for relu in 1 and tanh in 1.")
    e = evidence_of([row for row in rows if row["lambda_tc"] < 10])
    assert claims.leader_sentence(e, "effective_rank").endswith("of 2 settings of lambda_tc, relu leads in 2.")
    assert "No value" not in claims.setting_sentence(e, "lambda_tc", "effective_rank")
    rows[-10:] = values_of({"tanh": near(15, seed=2)}, lambda_tc=10.0)
    text = claims.setting_sentence(evidence_of(rows), "lambda_tc", "effective_rank")
    assert "the best lambda_tc is 1 for relu; the best lambda_tc is 10 for tanh. 4 of 4 pairs" in text
    assert text.endswith("No value for lambda_tc = 10 for relu.")


def test_means_over_widths_that_hide_a_change_of_order_are_said_to():
    """`crossing` at two lambdas: "tanh leads in 2". And a lambda that is better at K = 16 and worse at K = 64."""
    rows = [{**row, "lambda_tc": lam} for lam in (0.1, 1.0) for row in crossing()]
    changes = "in 2 of 2 settings of lambda_tc the order of the activations changes with the width, so the means below hide it."
    text = claims.leader_sentence(evidence_of(rows), "effective_rank")
    assert f"(higher is better): {changes} On the mean over widths, " in text
    narrow = [{**row, "lambda_tc": lam} for lam in (0.1, 1.0) for row in crossing() if row["hidden_dim"] == 16]
    same = narrow + [{**row, "hidden_dim": 32, "effective_rank": 2 * row["effective_rank"]} for row in narrow]
    assert "of 2 settings of lambda_tc, identity leads in 2." in claims.leader_sentence(
        evidence_of(same), "effective_rank"
    )

    hides = "for relu the order of the levels changes with the width, so the means below hide it. On the mean over widths, the"
    for wide, said in ((0.5, True), (0.9, False)):
        rows = []
        for k, shares in ((16, {0.1: 0.9, 1.0: 0.8}), (64, {0.1: wide, 1.0: 0.8})):
            for lam, share in shares.items():
                rows += values_of({"relu": near(k * share, seed=k)}, hidden_dim=k, lambda_tc=lam)
                rows[-1]["effective_rank"] += 0.001 * lam
        e = evidence_of(rows)
        assert (hides in claims.setting_sentence(e, "lambda_tc", "effective_rank")) == said
        assert "levels of lambda_tc, within a width" in set(e.pairs["scope"])


@pytest.mark.parametrize(
    ("n", "best", "pairs"),
    [
        (1, "1 seed cannot show which level is best for relu", "No pair was tested."),
        (5, "5 seeds cannot show which level is best for relu", "0 of 1 pairs differ significantly (1 has too few seeds to tell)."),
        (6, "the best lambda_tc is 1 for relu", "1 of 1 pairs differ significantly."),
    ],
)  # fmt: skip
def test_few_seeds_show_no_best_level(n, best, pairs):
    """It was "no level is significantly best" and "0 of 0 pairs"."""
    rows = values_of({"relu": near(6, n)}, lambda_tc=1.0) + values_of({"relu": near(5, n, seed=1)}, lambda_tc=2.0)
    text = claims.setting_sentence(evidence_of(rows), "lambda_tc", "effective_rank")
    assert text == f"Effective rank (higher is better): {best}. {pairs}"


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (1, "better in 1 of 1 cells (not tested), worse in 0 (not tested)."),
        (5, "better in 1 of 1 cells (0 significant), worse in 0 (0 significant) (1 has too few seeds to tell)."),
        (6, "better in 1 of 1 cells (1 significant), worse in 0 (0 significant)."),
    ],
)
def test_few_seeds_against_a_baseline_are_not_called_insignificant(n, said):
    """One seed was "0 significant"."""
    rows = values_of({"relu": near(6, n)}, objective="infomax") + values_of({"relu": near(5, n)}, objective="random")
    (text,) = claims.baseline_sentences(evidence_of(rows))
    assert text.endswith(said)


def test_all_infomax_settings_are_one_family_against_the_baselines():
    """Three lambdas and two activations against random: six comparisons, each corrected for all of them, not for two."""
    rng = np.random.default_rng(0)

    def drawn(mean):
        return {name: (mean + 0.3 * rng.normal(size=8)).tolist() for name in ("relu", "tanh")}

    rows = values_of(drawn(5.5), objective="random", lambda_tc=1.0)
    for lam in (0.1, 1.0, 10.0):
        rows += values_of(drawn(6), objective="infomax", lambda_tc=lam)
    e = evidence_of(rows)
    assert e.baselines["family_size"].tolist() == [6] * 6
    table = done(e.results).set_index(["objective", "lambda_tc", "activation", "seed"])["effective_rank"]
    differences = np.array(
        [
            (table["infomax"][lam][name] - table["random"][1.0][name]).to_numpy()
            for lam in (0.1, 1.0, 10.0)
            for name in ("relu", "tanh")
        ]
    )
    signs = np.array(list(itertools.product((1, -1), repeat=8)))
    flipped = signs[:, None] * differences
    t = np.abs(flipped.mean(axis=2)) / flipped.std(axis=2, ddof=1)
    largest = float(np.mean(t.max(axis=1) >= t[0].max() - 1e-9))  # of the first step: no other comparison is excluded
    assert e.baselines["p_max_t"].min() == pytest.approx(largest)


def test_other_outputs_are_not_compared_by_their_loss():
    """A softmax head has another range: its loss was ranked against that of no head. Learning rates may be ranked by it."""
    for factor, values, ranked in (("head", ["none", "softmax"], False), ("lr", [0.1, 0.2], True)):
        made = synthetic.make_results({"activation": ["relu"], factor: values}, seeds=6)
        e = gather(analysis.Study("made up", made))
        found = set(e.settings[factor]["metric"])
        assert "effective_rank" in found
        assert ({"loss", "entropy", "tc"} <= found) == ranked
        assert bool({"loss", "entropy", "tc", "wr"} & found) == ranked


def test_nothing_is_more_than_all_of_it_below():
    """tanh is 50% below relu, give or take 71%: the report said "0% to 121%"."""
    named = {
        "relu": [10, 10.1, 9.9, 10, 10.1, 9.9], "tanh": [0.1, 9.9, 0.1, 9.8, 0.2, 9.7], "identity": [20, 21, 22, 20, 21, 24]
    }  # fmt: skip
    e = evidence_of(values_of(named, "output_correlation"))
    assert "50% (0% to 100%) below relu" in claims.leader_sentence(e, "output_correlation")
    turned = evidence_of(values_of({"tanh": named["tanh"], "relu": named["relu"]}, "output_correlation")).pooled.iloc[0]
    assert -100 <= turned["percent_low"] < turned["percent"] < turned["percent_high"]


def test_the_methods_say_which_batches_and_sign_patterns():
    """Batches of another size are other batches; 12 of 16 seeds finished, so all patterns were counted."""
    values = {"relu": near(6), "tanh": near(5)}
    text = findings.methods(evidence_of(values_of(values)))
    assert "With the same seed and width, all settings share" in text
    rows = values_of(values, batch_size=128) + values_of(values, batch_size=-1)
    assert "With the same seed, width and batch_size, all settings share" in findings.methods(evidence_of(rows))
    rows = values_of({name: near(6, 12, seed=i) + [None] * 4 for i, name in enumerate(values)})
    assert "with all sign patterns counted, and" in findings.methods(evidence_of(rows))


# ---- the top of the page


def change_rows(metric, gains):
    """Trained and untrained, one cell per gain, ten seeds each."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "activation": "relu",
                "hidden_dim": 16 + cell,
                "seed": seed,
                "stage": stage,
                metric: 10 + rng.normal() * 0.1 + gain * (stage == "trained"),
            }
            for cell, gain in enumerate(gains)
            for seed in range(10)
            for stage in ("trained", "untrained")
        ]
    )


def change_of(metric, gains):
    """Trained against untrained, one cell per gain."""
    return compare(change_rows(metric, gains), metric, "stage", ["activation", "hidden_dim"])


@pytest.mark.parametrize(
    ("who", "metric", "gains", "said"),
    [
        (
            *("outputs", "output_correlation", [-5] * 18),
            "Outputs become less redundant with training in all 18 cells, with a median change in output correlation of -50%.",
        ),
        (
            *("weights", "weight_redundancy", [5] * 18),
            "Weights become more redundant with training in all 18 cells, with a median change in weight redundancy of +50%.",
        ),
        (
            *("weights", "weight_redundancy", [5, -5, -5]),
            "Weights become less redundant with training in 2 of 3 cells and more redundant in 1.",
        ),
        (
            *("weights", "weight_redundancy", [0, 0]),
            "These seeds cannot show whether weights become less redundant with training in any of the 2 cells.",
        ),
    ],
)  # fmt: skip
def test_the_first_question_is_answered_in_words(who, metric, gains, said):
    """In each direction, in both, and not at all."""
    assert findings.redundancy_answer(who, metric, change_of(metric, gains)) == said


def test_the_page_begins_with_five_answers_at_most_each_with_its_links():
    """A table and a figure that are on the page, or no link."""
    table = synthetic.make_results(
        {"activation": ["relu", "tanh"], "lambda_tc": [0.1, 1.0], "optimizer": ["adam", "sgd"]}, seeds=6
    )
    baseline = synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=6, objective="random", epochs=0, draw=1)
    both = pd.concat([table, baseline], ignore_index=True)
    e = gather(analysis.Study("made up", both, synthetic.make_history(both)))
    found = findings.findings(e)
    assert len(found) == 5
    assert [one.table for one in found] == ["change", "pairs", "pairs-lambda_tc", "pairs-optimizer", "baselines"]
    assert found[0].linked({"change"}, set()).table == "change"
    assert found[0].linked(set(), set()) == findings.Finding(found[0].text)


def test_the_methods_name_every_choice():
    """What a reviewer would ask for: the test, its correction, its draws, the blocks, the scales."""
    text = findings.methods(gather(analysis.Study("made up", synthetic.make_results(seeds=6))))
    for choice in (
        "sign-flip",
        "all sign patterns counted",
        "step-down max-T",
        "complete blocks",
        "K (K - 1)",
        "logarithm",
    ):
        assert choice in text
    assert "9,999 random sign patterns" in findings.methods(
        evidence_of(values_of({"relu": range(20), "tanh": range(1, 21)}))
    )


def leads_of(table, history):
    """The sentences below the page's first question, before its numbers."""
    return sections(gather(analysis.Study("made up", table, history)), [], [])[0].lead


def test_why_nothing_can_be_compared_is_said_as_it_is():
    """A baseline that did not finish was "not run", and of a study of random networks the history "had no epoch 0"."""
    trained = synthetic.make_results({"activation": ["relu"]}, seeds=2, epochs=20)
    history = synthetic.make_history(trained)
    random = synthetic.make_results({"activation": ["relu"]}, seeds=2, objective="random", epochs=0)
    both = pd.concat([trained, random], ignore_index=True)

    def change(why):
        return f"{why}, so trained networks cannot be compared with untrained ones."

    no_baseline = "No baseline objective was run in this study."
    assert leads_of(trained, history)[1:] == [no_baseline]
    assert leads_of(trained, None) == [change("There is no history of the training"), no_baseline]
    assert leads_of(trained, history[history["epoch"] > 0])[0] == change("The history has no epoch 0")
    start = history[history["epoch"] == 0].assign(trial_id="another")
    assert leads_of(trained, pd.concat([history[history["epoch"] > 0], start]))[0] == change(
        "No finished trial has values both before and after training"
    )
    assert leads_of(random, None) == [
        change("No network was to be trained"),
        "This study has no trial of InfoMax to compare its baselines with.",
    ]
    assert leads_of(synthetic.spoil(both, failed=[2, 3]), history)[1:] == [
        "InfoMax cannot be compared with the baselines: no trial of random finished."
    ]
    assert len(leads_of(both, history)) == 1


def test_a_cell_without_a_result_is_counted_among_the_cells():
    """One of two activations diverged: its outputs did not become less redundant "in the only cell"."""
    table = synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=6)
    whole, lost = (
        gather(analysis.Study("made up", made, synthetic.make_history(made)))
        for made in (table, synthetic.spoil(table, diverged=range(6, 12)))
    )
    assert "less redundant with training in both cells" in findings.findings(whole)[0].text
    text = findings.findings(lost)[0].text
    assert "less redundant with training in 1 of 2 cells" in text
    assert "(no result in 1)" in text
    assert "better in 1 of 2 cells (1 significant), no result in 1" in claims.change_sentence(
        lost, "output_correlation"
    )
    drawings = {drawing.name: drawing for drawing in album(lost)}
    assert drawings["effective_rank"].caption.endswith("0 to 6 seeds per cell.")
    drawings = {drawing.name: drawing for drawing in album(whole)}
    assert drawings["effective_rank"].caption.endswith(" 6 seeds per cell.")


def test_a_change_that_few_seeds_cannot_show_is_not_called_insignificant():
    """Ten seeds in one cell, three in two: these have "no significant change" whatever they have."""
    table = change_rows("output_correlation", [-5] * 3)
    pairs = compare(
        table[(table["hidden_dim"] == 16) | (table["seed"] < 3)],
        "output_correlation",
        "stage",
        ["activation", "hidden_dim"],
    )
    text = findings.redundancy_answer("outputs", "output_correlation", pairs)
    assert text.endswith(
        "in 1 of 3 cells, with a median change in output correlation of -50% (2 have too few seeds to tell)."
    )
    assert "(2 have too few seeds to tell)" in claims.change("output_correlation", pairs, "cells")


def test_the_text_of_a_figure_names_what_was_averaged():
    """With several widths it is the rank / K; the number was called the rank."""
    for widths, name in (([16, 32], "Mean effective rank / K"), ([16], "Mean effective rank")):
        made = synthetic.make_results({"activation": ["relu", "tanh"], "hidden_dim": widths}, seeds=2)
        (drawing,) = [d for d in album(gather(analysis.Study("made up", made))) if d.name == "effective_rank"]
        assert f"{name} over widths and seeds: relu" in drawing.alt


# ---- any table


def oracle_tests(blocks):
    """Of each stratum's matrix (seeds x levels, gaps are NaN): who is ranked, the means, and the step-down max-T p of each
    pair, over all strata together, from all sign patterns. Written from the definition, in plain loops."""
    n = max((int(block.index.max()) for block in blocks.values() if len(block)), default=0)
    views, pairs = {}, []
    for key, block in blocks.items():
        counts = block.notna().sum()
        ranked = [level for level in block if counts[level] > 0 and counts[level] >= counts.max() / 2]
        whole = block[ranked].dropna()
        views[key] = (ranked, whole)
        for a, b in itertools.combinations(block.columns, 2):
            use = whole if a in ranked and b in ranked else block[[a, b]].dropna()
            if len(use) >= 2:
                pairs.append((key, a, b, (use[a] - use[b]).round(9).reindex(range(1, n + 1)).to_numpy()))

    def t(d):
        d = d[~np.isnan(d)]
        if not d.any():
            return 0.0
        sd = d.std(ddof=1)
        return np.inf if sd < 1e-9 * np.abs(d).max() else abs(d.mean()) * len(d) ** 0.5 / sd

    p = {}
    # What has fewer than six seeds can never be told apart, and is a family of its own.
    for family in (
        [x for x in pairs if np.isfinite(x[3]).sum() >= 6],
        [x for x in pairs if np.isfinite(x[3]).sum() < 6],
    ):
        if not family:
            continue
        seen = [t(d) for *_, d in family]
        flipped = np.array([[t(d * s) for *_, d in family] for s in itertools.product((1, -1), repeat=n)])
        highest = 0.0
        order = sorted(range(len(family)), key=lambda i: -seen[i])
        for place, i in enumerate(order):
            highest = max(highest, float(np.mean(flipped[:, order[place:]].max(axis=1) >= seen[i] - 1e-7)))
            p[family[i][:3]] = highest
    return views, p


def oracle_lead(key, views, p, better):
    """The leader of a stratum that differs significantly from every other ranked activation, and the next best; or None."""
    ranked, whole = views[key]
    if len(ranked) < 2 or len(whole) < 2:
        return None
    order = sorted(ranked, key=lambda level: -better * whole[level].mean())
    first, second = order[:2]
    if np.isclose(whole[first].mean(), whole[second].mean(), rtol=1e-12, atol=0):
        return None
    corrected = [p.get((key, first, other), p.get((key, other, first), 1.0)) for other in order[1:]]
    return (first, second) if max(corrected) <= 0.05 else None


def oracle_reversals(blocks, views, p):
    """The pairs of which one is significantly better in one stratum, and the other one in another."""
    names = sorted({name for block in blocks.values() for name in block})
    better = {
        (key, a, b)
        for key, block in blocks.items()
        for a, b in itertools.permutations([name for name in names if name in block], 2)
        if p.get((key, a, b), p.get((key, b, a), 1.0)) <= 0.05 and _difference(views, blocks, key, a, b) > 0
    }
    return {
        frozenset((a, b))
        for a, b in itertools.combinations(names, 2)
        if any((k, a, b) in better and (m, b, a) in better for k, m in itertools.permutations(blocks, 2))
    }


@st.composite
def tables(draw):
    """One to four activations, one to three widths or lambdas, one to seven seeds; ties, reversals, constants, lost seeds and
    lost cells."""
    names = list(synthetic.ACTIVATIONS[: draw(st.integers(1, 4))])
    axis = draw(st.sampled_from(["hidden_dim", "lambda_tc"]))
    levels = draw(st.sampled_from([[16], [16, 64], [16, 32, 64]] if axis == "hidden_dim" else [[1], [1, 10]]))
    seeds = draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.0, 0.3, 3.0]))
    lost = draw(st.sampled_from([0.0, 0.0, 0.3]))
    empty = draw(st.sampled_from([0.0, 0.0, 0.25]))
    constant = draw(st.booleans())
    rows = []
    for level, name in itertools.product(levels, names):
        effect = rng.integers(0, 4)  # an order of its own at each level: ties and reversals
        no_cell = rng.random() < empty
        for seed in range(1, seeds + 1):
            value = 5.0 if constant else 5.0 + float(np.round(effect + spread * rng.normal(), 1))
            gone = no_cell or rng.random() < lost
            rows.append(
                {
                    "activation": name, axis: level, "seed": seed, "status": "failed" if gone else "done",
                    "effective_rank": np.nan if gone else value, "output_correlation": np.nan if gone else 1 + value,
                }
            )  # fmt: skip
    return axis, study(rows)


@settings(
    max_examples=20, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)  # shrinking takes minutes
@given(tables())
def test_every_lead_sign_and_told_apart_is_so(drawn):
    """On any table, compared with the oracle: every claim is true, and every true claim is made."""
    axis, made = drawn
    e = gather(made)
    table = done(made.results)
    for metric, better in (("effective_rank", 1), ("output_correlation", -1)):
        text = claims.leader_sentence(e, metric) or ""
        blocks = {
            key: part.pivot(index="seed", columns="activation", values=metric) for key, part in table.groupby(axis)
        }
        if not blocks or table["activation"].nunique() < 2:
            assert "leads" not in text
            continue
        views, p = oracle_tests(blocks)
        varied = made.results[axis].nunique() > 1
        check_table(e, metric, views, p, better)
        check_change(table, axis, metric, better)
        found = e.by_width if varied and axis == "hidden_dim" else e.pooled
        if len(found):
            found = found[(found["metric"] == metric) & found["p"].notna()]
            for pair in found.to_dict("records"):
                key = pair[axis] if varied else made.results[axis].iloc[0]
                wanted = (
                    p[(key, pair["a"], pair["b"])]
                    if (key, pair["a"], pair["b"]) in p
                    else p[(key, pair["b"], pair["a"])]
                )
                assert pair["p_max_t"] == pytest.approx(wanted)
                assert pair["significant"] == (wanted <= 0.05)
        leads = {key: oracle_lead(key, views, p, better) for key in blocks}
        sure = {key: lead for key, lead in leads.items() if lead}
        if axis == "lambda_tc" and varied:
            for name in table["activation"].unique():
                n = sum(lead[0] == name for lead in sure.values())
                assert (f"{name} leads in {n}" in text) == (n > 0)
            check_settings(text, views, made.results[axis].nunique())
            check_levels(e, table, metric, better)
            continue
        check_lost(text, made.results, axis)
        claimed = re.findall(r"(?:K = (\d+): )?(\w+) leads(?:, | with )", text)
        for width, name in claimed:
            key = int(width) if width else next(iter(blocks))
            assert sure[key][0] == name
        assert len(claimed) == len(sure), text
        for amount, side, behind in re.findall(r"(-?[\d.]+)%[^%]*(?:% to [-\d.]+%\))? (above|below) (\w+)", text):
            assert float(amount) >= 0
            assert side == ("above" if better > 0 else "below")
            assert behind in {second for _, second in sure.values()} or "Averaged over widths" in text
        if re.search(r"\): \w+ leads at every width", text):
            assert len({first for first, _ in sure.values()}) == 1
            assert len(sure) == len(blocks)
        turned = oracle_reversals(blocks, views, p)
        assert ("order of the activations changes" in text) == bool(turned)
        said = findings.verdict(e, metric) or ""
        assert leaders_in(said) == {first for first, _ in sure.values()}
        both_lead = any(pair <= {first for first, _ in sure.values()} for pair in turned)
        alone = len(sure) == len(made.results[axis].unique()) and len({first for first, _ in sure.values()}) == 1
        assert ("the leader depends on the width" in said) == both_lead
        assert bool(re.search(r"\w+ leads at every width,", said)) == (alone and varied)
        assert ("the order of the activations changes" in said) == (bool(turned) and not both_lead and not alone)


def leaders_in(verdict):
    """The activations that a verdict calls leaders, alone or by width."""
    ranked = re.split(r" No value| Not ranked", verdict)[0]
    found = re.findall(r"(?:[:,] | and )?(\w+) leads(?= at every|[,.])|(\w+) at K = ", ranked)
    return {one or other for one, other in found} - {"leader", "ranking", "activation"}


def check_settings(text, views, planned):
    """All planned settings are counted, and those that cannot be ranked."""
    rankable = sum(len(ranked) > 1 and len(whole) > 0 for ranked, whole in views.values())
    assert bool(text) == (rankable > 0)
    if text:
        assert f"of {planned} settings of lambda_tc" in text
        assert ("cannot be ranked in" in text) == (rankable < planned)


def check_lost(text, results, axis):
    """Each activation that lost all its seeds at a width is named, and no other."""
    named = set(re.findall(r"\w+", text.partition("No value for")[2].partition(".")[0]))
    finished = results["status"].eq("done").groupby([results[axis], results["activation"]]).any()
    lost = {name for (_, name), any_done in finished.items() if not any_done}
    assert named & set(results["activation"]) == lost


def check_table(e, metric, views, p, better):
    """In the paper's tables, only activations with the best mean of the whole seeds are bold, and only if some other one shares
    no letter with them. A leader is bold and shares no letter with any."""
    for made in paper_tables(e):
        key = int(made.title.split()[-1])
        key = key if key in views else next(iter(views))  # a single lambda is not in the title
        column = {name: entries[made.metrics.index(metric)] for name, entries in made.rows}
        ranked, whole = views[key]
        means = better * whole[ranked].mean() if len(whole) and len(ranked) > 1 else pd.Series(dtype=float)
        best = {name for name, mean in means.items() if np.isclose(mean, means.max(), rtol=1e-12, atol=0)}
        compared = {name: set(entry.letters) for name, entry in column.items() if entry and entry.letters}
        apart = {name for name in compared if any(not compared[name] & other for other in compared.values())}
        zero = {name for name, entry in column.items() if entry and entry.value == "0"}
        assert {name for name, entry in column.items() if entry and entry.best} == (best & apart) - zero
        lead = oracle_lead(key, views, p, better)
        if lead:
            assert best == {lead[0]}
            others = [column[name].letters for name in ranked if name != lead[0]]
            assert not set(column[lead[0]].letters) & set("".join(others))


def check_levels(e, table, metric, better):
    """The best lambda of each activation."""
    blocks = {
        name: part.pivot(index="seed", columns="lambda_tc", values=metric) for name, part in table.groupby("activation")
    }
    views, p = oracle_tests(blocks)
    leads = {name: oracle_lead(name, views, p, better) for name in blocks}
    text = claims.setting_sentence(e, "lambda_tc", metric) or ""
    told = {
        name: int(level)
        for level, names in re.findall(r"the best lambda_tc is (\d+) for ([\w, ]+)", text)
        for name in re.split(r", | and ", names)
    }
    assert told == {name: lead[0] for name, lead in leads.items() if lead}


def check_change(table, axis, metric, better):
    """What training did, with the first activation as untrained and the second as trained."""
    stages = dict(zip(synthetic.ACTIVATIONS, ("untrained", "trained"), strict=False))
    rows = table[table["activation"].isin(stages)].assign(stage=table["activation"].map(stages))
    blocks = {key: part.pivot(index="seed", columns="stage", values=metric) for key, part in rows.groupby(axis)}
    blocks = {key: block.dropna() for key, block in blocks.items() if block.shape[1] == 2 and len(block.dropna())}
    pairs = compare(rows, metric, "stage", [axis]) if blocks else pd.DataFrame()
    text = findings.redundancy_answer("outputs", metric, pairs)
    if not blocks:
        assert text is None
        return
    _, p = oracle_tests(blocks)
    gain = {
        key: better * (block["trained"] - block["untrained"]).mean() * (p.get((key, "trained", "untrained"), 1) <= 0.05)
        for key, block in blocks.items()
    }
    less, more, total = sum(g > 0 for g in gain.values()), sum(g < 0 for g in gain.values()), len(blocks)
    few = sum(gain[key] == 0 and len(block) < 6 for key, block in blocks.items())
    if less and more:
        assert f"less redundant with training in {less} of {total} cells and more redundant in {more}" in text
    elif less or more:
        n = less or more
        all_of_them = {1: "the only cell", 2: "both cells"}.get(total, f"all {total} cells")
        where = all_of_them if n == total else f"{n} of {total} cells"
        assert f"{'less' if less else 'more'} redundant with training in {where}" in text
        assert (f"{few} ha" in text and "too few seeds" in text) == (few > 0)
    else:
        assert text.startswith("These seeds cannot show")


def _difference(views, blocks, key, a, b):
    ranked, whole = views[key]
    use = whole if a in ranked and b in ranked else blocks[key][[a, b]].dropna()
    return (use[a] - use[b]).mean()


# ---- several data sets


@pytest.fixture(scope="module")
def two_datasets():
    """tanh is better than relu on both; on digits every metric has other values, as if divided by ten. Also digits alone."""
    axes = {
        "dataset": ["digits", "mnist"],
        "activation": ["relu", "tanh"],
        "hidden_dim": [8, 16],
        "lambda_tc": [0.1, 1.0],
    }
    table = synthetic.make_results(axes, seeds=6, effect=3)
    there = [name for name in synthetic.METRIC_COLUMNS if name != "convergence_epoch"]
    table[there] = table[there].div(table["dataset"].map({"digits": 10, "mnist": 1}), axis="index")
    digits = table[table["dataset"] == "digits"].reset_index(drop=True)
    return tuple(gather(analysis.Study("made up", rows, synthetic.make_history(rows))) for rows in (table, digits))


def test_a_data_set_is_not_a_treatment(two_datasets):
    """ "The best dataset is digits" compared numbers of different data. Every comparison is within one data set."""
    e, alone = two_datasets
    assert list(e.settings) == list(e.settings_by_width) == ["lambda_tc"]
    assert e.pairs["dataset"].isin(["digits", "mnist"]).all()
    assert not {"digits", "mnist"} & {*e.pairs["a"], *e.pairs["b"]}
    text = claims.leader_sentence(e, "effective_rank")
    told = "of 2 settings of lambda_tc, tanh leads in 2"
    assert text == f"Effective rank / K (higher is better): on digits, {told}; on mnist, {told}."
    assert f"{told}." in claims.leader_sentence(alone, "effective_rank")
    setting = claims.setting_sentence(e, "lambda_tc", "effective_rank")
    assert "for relu on digits, tanh on digits, relu on mnist and tanh on mnist." in setting
    all_sentences = " ".join(str(one) for section in sections(e, [], []) for one in section.findings)
    assert "dataset" not in all_sentences
    redundancy = str(findings.findings(e)[0])
    assert "Outputs on digits become less redundant with training in all 8 cells" in redundancy
    assert "Outputs on mnist become" in redundancy


def test_one_data_set_leads_without_settings():
    """If nothing but the data set varies, each data set has a leader of its own."""
    table = synthetic.make_results({"dataset": ["digits", "mnist"], "activation": ["relu", "tanh"]}, seeds=6, effect=9)
    text = claims.leader_sentence(gather(analysis.Study("made up", table)), "effective_rank")
    assert text == "Effective rank (higher is better): on digits, tanh leads; on mnist, tanh leads."
    one = table[table["activation"] == "relu"]
    e = gather(analysis.Study("made up", one))
    assert e.settings == {}
    box = {drawing.name: drawing for drawing in album(e)}["effective_rank"].draw()
    assert [axes.get_title() for axes in box.axes] == ["K = 16, dataset = digits", "K = 16, dataset = mnist"]


def test_no_figure_draws_data_sets_together(two_datasets):
    """Each figure of digits is the one of a study of digits alone; panels name their data set."""
    e, alone = two_datasets
    figures, expected = ({drawing.name: drawing for drawing in album(each)} for each in (e, alone))

    def numbers(drawing):
        return [
            [*(line.get_ydata().tolist() for line in axes.lines), *(np.ravel(c.get_array()) for c in axes.collections)]
            for axes in drawing.draw().axes
        ]

    for name in ("by_width", "by_lambda_tc", "pareto_lambda_tc"):
        assert {f"{name}_digits", f"{name}_mnist"} <= set(figures)
        assert name not in figures
        assert str(numbers(figures[f"{name}_digits"])) == str(numbers(expected[name]))
        assert figures[f"{name}_mnist"].title.endswith("(dataset = mnist)")
    for name in ("epochs_effective_rank", "effective_rank", "redundancy_vs_dead"):
        for axes in figures[name].draw().axes:
            assert not axes.get_visible() or "dataset = " in " ".join(axes.get_title().split())
    linked = findings.Finding("", figure="by_width").linked([], list(figures))
    assert linked.figure == "by_width_digits"


def test_a_choice_of_panels_has_every_data_set(two_datasets):
    """24 settings are too many: lambdas are drawn together, data sets are not; of 8 rows, 4 are shown, 2 of each data set."""
    axes = {
        "dataset": ["digits", "mnist"],
        "activation": ["relu"],
        "hidden_dim": [8, 16, 32],
        "lambda_tc": [1, 2, 3, 4],
    }
    titles = [title for title, _ in panels_of(synthetic.make_results(axes, seeds=1), "activation")]
    assert len(titles) == 6
    assert titles[:2] == [f"K = 8, dataset = {name}, all lambda_tc" for name in ("digits", "mnist")]
    axes = {"dataset": ["digits", "mnist"], "activation": ["relu"], "hidden_dim": list(range(2, 22))}
    panels = panels_of(synthetic.make_results(axes, seeds=1), "activation")
    assert len(panels) == 12
    assert all(part["dataset"].nunique() == 1 for _, part in panels)
    rows = {drawing.name: drawing for drawing in album(two_datasets[0])}["forest"].draw()
    labels = [axes.get_ylabel() for axes in rows.axes if axes.get_ylabel()]
    assert [sum(name in label for label in labels) for name in ("digits", "mnist")] == [2, 2]


def test_sweeps_of_different_data_sets_are_side_by_side_but_not_compared(tmp_path):
    """Only the other settings of two sweeps are compared."""
    axes = {"activation": ["relu", "tanh"]}
    folders = [
        synthetic.write_study(tmp_path / name, synthetic.make_results(axes, seeds=6, dataset=name))
        for name in ("digits", "mnist")
    ]
    found = compare_sweeps(folders)
    assert found.pairs.empty
    assert found.metrics["dataset"].unique().tolist() == ["digits", "mnist"]
