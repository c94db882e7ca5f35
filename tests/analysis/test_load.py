"""Bad input: each mistake gets a message that says what is wrong and what to do, or a smaller study."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import synthetic

import analysis
from analysis import AnalysisError, load_study, schema, style
from analysis.album import _effective_rank
from analysis.load import OwnPart
from infomax_tune.errors import InfomaxTuneError
from infomax_tune.study import columns
from infomax_tune.study.trial_status import IN_TABLES, TrialStatus
from tests.folders import make_sweep


@pytest.fixture
def folder(tmp_path):
    """A small study."""
    table = synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=3, epochs=5)
    return synthetic.write_study(tmp_path / "out", table, weights=1, dim=64)


def edit(folder, change):
    """The results table after a change to its text; the parquet twin goes, as it would no longer agree."""
    path = folder / "results.csv"
    path.write_text(change(path.read_text()))
    (folder / "results.parquet").unlink()


def test_analysis_errors_are_errors_for_users():
    """The command line prints them without a traceback."""
    assert issubclass(AnalysisError, InfomaxTuneError)


def test_a_folder_that_is_not_there(tmp_path):
    """A typing mistake in the path."""
    with pytest.raises(AnalysisError, match="no such folder"):
        load_study(tmp_path / "nothing")


def test_a_folder_without_results(tmp_path):
    """A folder that no sweep wrote."""
    with pytest.raises(AnalysisError, match=r"has no results\.csv.*run `infomax-tune sweep` first"):
        load_study(tmp_path)


def test_a_parent_or_child_of_the_right_folder_is_pointed_out(folder):
    """The near misses of path completion."""
    with pytest.raises(AnalysisError, match=r"but .*out has one"):
        load_study(folder.parent)
    with pytest.raises(AnalysisError, match=r"its parent .*out has one"):
        load_study(folder / "trials")


@pytest.mark.parametrize("cut", [30, 1000])
def test_a_csv_torn_in_the_middle_of_a_line(folder, cut):
    """pandas would read the short row as one with missing values."""
    edit(folder, lambda text: text[:-cut])
    with pytest.raises(AnalysisError, match=r"results\.csv.*cut off.*Run the sweep again"):
        load_study(folder)


def test_a_csv_torn_at_the_end_of_a_line_disagrees_with_its_twin(folder):
    """Only the parquet file knows that a row is gone."""
    path = folder / "results.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(AnalysisError, match=r"has 5 rows and results\.parquet has 6"):
        load_study(folder)


def test_an_empty_csv_and_one_without_rows(folder):
    """Nothing, and a header over nothing."""
    edit(folder, lambda text: text.splitlines()[0] + "\n")
    with pytest.raises(AnalysisError, match="has no rows"):
        load_study(folder)
    (folder / "results.csv").write_text("")
    with pytest.raises(AnalysisError, match="is empty"):
        load_study(folder)


def test_a_table_that_lacks_a_needed_column_names_the_near_miss(folder):
    """All that is lacking at once, and what looks like it."""
    edit(folder, lambda text: text.replace("hidden_dim", "hidden_dims", 1).replace("status", "state", 1))
    with pytest.raises(
        AnalysisError, match=r"lacks the columns status, hidden_dim;.*Is 'hidden_dims' meant to be 'hidden_dim'"
    ):
        load_study(folder)


def test_a_word_where_a_number_belongs_names_its_line(folder):
    """Line 2 is the first trial."""
    edit(folder, lambda text: text.replace(",128,", ",many,", 1))
    with pytest.raises(AnalysisError, match=r"line 2: batch_size is 'many', which is not a number"):
        load_study(folder)


def test_an_unknown_status_lists_the_known_ones(folder):
    """The list is complete."""
    edit(folder, lambda text: text.replace(",done,", ",ready,", 1))
    with pytest.raises(
        AnalysisError, match="status 'ready' is unknown; expected one of done, diverged, failed, missing"
    ):
        load_study(folder)


@pytest.mark.parametrize("status", TrialStatus)
def test_the_statuses_of_a_results_table_are_those_of_the_enum(status):
    """One list: what a table can hold is known here, and what only a running sweep shows is not."""
    table = synthetic.make_results({}, seeds=2)
    table.loc[1, "status"] = status.value
    if status in IN_TABLES:
        assert analysis.counts(analysis.check_results(table))[status.value].tolist() == [1 + (status == "done")]
    else:
        with pytest.raises(AnalysisError, match=f"status '{status}' is unknown"):
            analysis.check_results(table)


def test_every_setting_of_the_study_names_a_cell_and_is_text_where_its_default_is():
    """A setting added to the study is one here too, without a list to extend."""
    assert {*schema.CONFIG_COLUMNS, "seed"} == set(columns.SETTINGS | columns.LATER)
    table = synthetic.make_results({}, seeds=2)
    for column in synthetic.BASE:
        assert (column in schema.TEXT_COLUMNS) == (not pd.api.types.is_numeric_dtype(table[column])), column


def test_a_folder_that_the_first_release_left_has_all_that_a_report_needs():
    """Its tables, its space and environment, and the weights of its trials."""
    study = load_study(Path(__file__).parents[1] / "old_folders" / "0.1.0" / "finished")
    assert all("has no column" in note for note in study.notes), study.notes
    assert study.history is not None
    assert study.space["name"] == "finished"
    assert study.environment["infomax-tune"] == "0.1.0"
    done = study.results.loc[study.results["status"] == "done", "trial_id"].iloc[0]
    weight, bias = study.load_weights(done)
    assert (weight.shape, bias.shape) == ((16, 64), (16,))


def test_a_trial_in_two_rows(folder):
    """It would count twice."""
    edit(folder, lambda text: text + text.splitlines(keepends=True)[-1])
    with pytest.raises(AnalysisError, match="has more than one row"):
        load_study(folder)


def test_a_configuration_in_two_rows():
    """The pairing by seed would not know which to take."""
    table = synthetic.make_results({}, seeds=2).assign(seed=1)
    with pytest.raises(AnalysisError, match=r"same settings and seed"):
        analysis.check_results(table)


def test_an_empty_seed_names_its_line():
    """A trial without a seed has no partner."""
    table = synthetic.make_results({}, seeds=2).astype({"seed": object})
    table.loc[1, "seed"] = None
    with pytest.raises(AnalysisError, match="line 3: seed is empty"):
        analysis.check_results(table)


@pytest.mark.parametrize("seed", ["1e400", "-1e300", "1.5", "99999999999999999999"])
def test_a_seed_that_is_no_whole_number_names_its_line(folder, seed):
    def change(text: str) -> str:
        heading, first, rest = text.split("\n", 2)
        values = dict(zip(heading.split(","), first.split(","), strict=True)) | {"seed": seed}
        return "\n".join([heading, ",".join(values.values()), rest])

    edit(folder, change)
    with pytest.raises(AnalysisError, match=r"line 2: seed is .*, which is not a whole number"):
        load_study(folder)


def test_the_word_none_is_a_head_and_not_a_gap(folder):
    """pandas has a list of words for missing values."""
    assert set(load_study(folder).results["head"]) == {"none"}


def test_a_torn_history_is_an_error(folder):
    """It would otherwise be a report that says there is no history."""
    path = folder / "history.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AnalysisError, match=r"history\.parquet: not a complete parquet file"):
        load_study(folder)


@pytest.mark.parametrize("name", ["history.parquet", "environment.json", "sweep.yaml"])
def test_only_the_results_are_needed(folder, name):
    """What is not there makes a note and a smaller report."""
    (folder / name).unlink()
    study = load_study(folder)
    assert len(study.results) == 6
    assert any(name in note for note in study.notes)


def test_neither_the_twin_nor_the_trials_are_needed(folder):
    """Their absence is not worth a note."""
    whole = load_study(folder)
    trial = whole.results["trial_id"].iloc[0]
    assert whole.load_weights(trial) is not None
    (folder / "results.parquet").unlink()
    shutil.rmtree(folder / "trials")
    study = load_study(folder)
    assert (len(study.results), study.notes) == (6, whole.notes)
    assert study.load_weights(trial) is None


def test_a_broken_environment_or_space_is_a_note(folder):
    """Neither holds a number of the study."""
    (folder / "environment.json").write_text("{")
    (folder / "sweep.yaml").write_text("a: [")
    study = load_study(folder)
    assert (study.environment, study.space) == ({}, {})
    assert len([note for note in study.notes if "cannot be read" in note]) == 2


def test_a_broken_weight_file_is_as_good_as_none(folder):
    """The gallery goes without it."""
    trial = folder / "trials" / "relu-1"
    trial.mkdir(parents=True)
    (trial / "weights.safetensors").write_bytes(b"nonsense")
    assert load_study(folder).load_weights("relu-1") is None
    assert load_study(folder).load_weights("relu-2") is None


def test_numbers_come_back_as_they_were_written(folder):
    """The csv holds every bit of a float."""
    pd.testing.assert_frame_equal(
        load_study(folder).results, pd.read_parquet(folder / "results.parquet"), check_dtype=False, check_exact=True
    )


def with_activations(*names):
    """The names of the activations of a checked table that has these, in its order."""
    table = synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=2)
    table["activation"] = table["activation"].map(dict(zip(["relu", "tanh"], names, strict=True)))
    return analysis.check_results(table)["activation"].unique().tolist()


ONE, OTHER = "3f2a9c1b4d5e", "0123456789ab"


def test_a_users_part_is_shown_without_its_digest():
    """Two of different names, or one beside one of ours."""
    assert with_activations(f"swish.{ONE}", "tanh") == ["swish", "tanh"]
    assert with_activations(f"swish.{ONE}", f"my_relu.{OTHER}") == ["swish", "my_relu"]


def test_a_digest_stays_where_a_name_alone_would_be_two_things():
    """Two versions of one file, one that is called as one of ours, whether or not that is in the table, and what is no digest."""
    for names in (
        [f"swish.{ONE}", f"swish.{OTHER}"],
        [f"relu.{ONE}", "relu"],
        [f"relu.{ONE}", "tanh"],
        ["swish.1", f"swish.{ONE}0"],
    ):
        assert with_activations(*names) == names


def test_every_column_that_names_a_part_is_shown_so_and_by_itself():
    """The optimizers are two versions of one file, which leaves the datasets as they are."""
    table = synthetic.make_results({"optimizer": ["adam", "sgd"]}, seeds=2).assign(
        dataset=f"moons.{ONE}", term=f"spread.{ONE}"
    )
    table["optimizer"] = table["optimizer"].map({"adam": f"lion.{ONE}", "sgd": f"lion.{OTHER}"})
    shown = analysis.check_results(table)
    assert shown["dataset"].unique().tolist() == ["moons"]
    assert shown["term"].unique().tolist() == ["spread"]
    assert shown["optimizer"].tolist() == table["optimizer"].tolist()
    assert shown["trial_id"].tolist() == table["trial_id"].tolist()


def test_a_users_part_is_drawn_and_explained_as_it_says(tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.album.ALBUM", (_effective_rank,))  # one figure instead of all
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from infomax_tune.parts.activations import Activation\n\n"
        "half = Activation(lambda z: z / 2, color='#123456', marker='d', explanation='Half of what comes in.')\n"
    )
    out = make_sweep(tmp_path / "sweep", "epochs=1", "seed=1,2", f"activation=relu,{mine}:half").root
    study = load_study(out)
    assert study.own_parts()["half"] == OwnPart("#123456", "d", "Half of what comes in.")
    style.know(study.own_parts())
    assert (style.color("half"), style.marker("half")) == ("#123456", "d")
    assert (style.color("relu"), style.marker("relu")) == (style.COLORS["relu"], style.MARKERS["relu"])
    page = Path(analysis.analyze(out, tmp_path / "report").report).read_text(encoding="utf-8")
    assert "Half of what comes in." in page
    assert "#123456" in page


def test_what_a_foreign_file_says_of_a_part_reaches_no_figure_unchecked(folder):
    file = folder / "environment.json"
    content = json.loads(file.read_text())
    said = [{"color": "url(evil)"}, {"marker": "$x$"}, {"size": 3}, "red", None, {"color": 3}, {"explanation": "Fine."}]
    content["parts"] = {f"p.py:part_{i}@{i:012x}": each for i, each in enumerate(said)}
    file.write_text(json.dumps(content))
    assert load_study(folder).own_parts() == {
        name: OwnPart(explanation="Fine.") for name in ("part_6", "part_6.000000000006")
    }
