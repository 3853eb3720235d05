"""`popglm demo`, on a session so small that it takes a few seconds."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

import popglm as pg
from popglm.cli import app

N_SAMPLES, N_NEURONS = 2000, 5
SMALL = ["--n-samples", N_SAMPLES, "--n-neurons", N_NEURONS, "--n-task-variables", 0, "--folds", 3, "--seed", 3]


def run(*arguments):
    # wide enough that no cell of a table is broken
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demo once; what it printed, and its folder."""
    folder = tmp_path_factory.mktemp("demo") / "in" / "here"
    result = run("demo", "--output", folder, *SMALL)
    assert result.exit_code == 0, result.output
    return result.output, folder


@pytest.fixture(scope="module")
def evaluation(demo):
    return pd.read_csv(demo[1] / "evaluation.csv", index_col="neuron")


def test_all_files_are_written_and_the_pictures_show_something(demo):
    _, folder = demo
    pictures = ["deviance_histogram.png", "deviance_over_strengths.png", "predicted_and_recorded.png"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*pictures, "evaluation.csv", "model.nc"])
    for name in pictures:
        picture = imread(folder / name)
        assert min(picture.shape[:2]) > 200
        assert picture[..., :3].std() > 0.02


def test_the_table_per_neuron_follows_from_the_saved_model(demo, evaluation):
    model = pg.load(demo[1] / "model.nc")
    session = pg.maze_session(N_SAMPLES, N_NEURONS, n_task_variables=0, seed=3)
    assert list(evaluation.index) == list(session.activity)
    np.testing.assert_allclose(evaluation["cv_deviance_explained"], model.cv_deviance_explained_, rtol=1e-6)
    np.testing.assert_allclose(evaluation["lambda_"], model.lambda_)

    # every sample is either fitted or tested, trial by trial; the share of trials is as promised
    n_test = N_SAMPLES - len(model.fold_)
    assert 0.05 < n_test / N_SAMPLES < 0.3

    null, ours = evaluation["null_deviance"], evaluation["deviance"]
    np.testing.assert_allclose(evaluation["deviance_explained"], 1 - ours / null, rtol=1e-6)
    assert (evaluation["n_true_groups_found"] <= evaluation[["n_groups", "n_true_groups"]].min(axis=1)).all()


def test_the_fit_finds_most_of_what_there_is_to_find(evaluation):
    assert evaluation["deviance_explained"].median() > 0.5 * evaluation["true_rate_deviance_explained"].median()
    assert evaluation["n_true_groups_found"].sum() > 0.5 * evaluation["n_true_groups"].sum()


def test_the_printed_tables_agree_with_the_file(demo, evaluation):
    text, _ = demo
    assert "2,000 samples × 54 columns in 5 groups, 5 neurons" in text
    for label, column in (
        ("held-out folds", "cv_deviance_explained"),
        ("test trials", "deviance_explained"),
        ("test trials, true rates", "true_rate_deviance_explained"),
    ):
        cells = re.search(rf"│ {label} +│(.*)│(.*)│(.*)│", text)
        values = evaluation[column]
        assert [cell.strip() for cell in cells.groups()] == [
            f"{values.median():.3f}",
            f"{values.mean():.3f}",
            str((values > 0).sum()),
        ]
    strengths = {float(a): int(b) for a, b in re.findall(r"│ (\d\.\de-\d\d) │ +(\d+) │", text)}
    assert len(strengths) == 11
    assert sum(strengths.values()) == N_NEURONS
    for strength, count in evaluation["lambda_"].value_counts().items():
        assert strengths[float(f"{strength:.1e}")] == count
    phases = ["simulate the session", "build the design matrix", "fit", "evaluate on the test trials", "total"]
    assert all(re.search(rf"│ {phase} +│ +\d+\.\d │", text) for phase in phases)
    found, true = evaluation["n_true_groups_found"].sum(), evaluation["n_true_groups"].sum()
    assert f"{found} of the {true} groups that truly drive the neurons were found" in text
    assert "evaluation.csv, model.nc" in "".join(text.splitlines())


def test_a_session_of_one_trial_cannot_be_split():
    result = run("demo", "--n-samples", 20)
    assert result.exit_code == 2
    assert "--n-samples" in result.output


def test_more_folds_than_trials_are_refused():
    result = run("demo", "--n-samples", 600, "--n-neurons", 2, "--n-task-variables", 0, "--folds", 500)
    assert result.exit_code == 2
    assert "give fewer --folds" in " ".join(result.output.replace("│", " ").split())


def test_without_arguments_the_commands_are_listed():
    result = run()
    assert "demo" in result.output


@pytest.mark.parametrize("name", [command.callback.__name__ for command in app.registered_commands])
def test_help_says_every_word_of_what_was_written(name):
    command = next(one for one in app.registered_commands if one.callback.__name__ == name)
    help_text = " ".join(run(name.replace("_", "-"), "--help").output.split())
    for paragraph in inspect.getdoc(command.callback).split("\n\n"):
        assert " ".join(paragraph.split()) in help_text
    first = " ".join(inspect.getdoc(command.callback).split("\n\n")[0].split())
    assert first in " ".join(run("--help").output.split())
