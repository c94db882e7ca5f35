"""Studies that several test modules share. Made once: writing and analysing one takes seconds."""

import pytest
import synthetic

import analysis


@pytest.fixture(scope="session")
def results():
    """The activation study, whole: 6 activations x 3 widths x 10 seeds."""
    return synthetic.make_results()


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory):
    """A study with lost trials, in a folder whose name has odd characters."""
    table = synthetic.make_results({"activation": synthetic.ACTIVATIONS, "hidden_dim": (16, 32)}, epochs=20)
    table = synthetic.spoil(table, failed=[3], diverged=[45, 46], missing=[100])
    return synthetic.write_study(tmp_path_factory.mktemp("out") / "a study & <more> äö", table, weights=1)


@pytest.fixture(scope="session")
def analyzed(study_folder):
    """That study, analyzed."""
    return analysis.analyze(study_folder)


@pytest.fixture(scope="session")
def small_analyzed(tmp_path_factory):
    """Every kind of section in few rows, of a study whose name, description and environment are markup."""
    axes = {"activation": ["relu", "tanh"], "lambda_tc": [0.1, 1.0], "optimizer": ["adam", "sgd"]}
    table = synthetic.spoil(synthetic.make_results(axes, seeds=2, epochs=5), failed=[0])
    folder = synthetic.write_study(tmp_path_factory.mktemp("small") / "out", table, weights=2, dim=64)
    (folder / "sweep.yaml").write_text("name: '<script>alert(1)</script>'\ndescription: '\"><img src=x>'\n")
    (folder / "environment.json").write_text('{"system": "<b>&\\"", "nested": {"list": [1, "<i>"]}}')
    return analysis.analyze(folder)
