"""A session whose neurons follow one term alone, and what all explanations of a model of theirs must say."""

import warnings

import numpy as np
import pandas as pd

import popglm as pg


def driven_session() -> tuple[pg.Design, pd.DataFrame, np.ndarray, np.ndarray]:
    """Design, X, linear predictors of two neurons that the first term drives, and trials."""
    session = pg.maze_session(n_samples=800, n_neurons=2, n_task_variables=0)
    design = pg.maze_design(0)
    X = design.fit_transform(session.behavior)
    columns = X.columns.get_level_values(0) == design.groups_[0]
    weights = np.random.default_rng(0).normal(0, 0.3, (columns.sum(), 2))
    return design, X, X.loc[:, columns].to_numpy() @ weights, session.behavior["trial"].to_numpy()


def check_explanations(model: pg.GLMCV, design: pg.Design, X: pd.DataFrame, Y: np.ndarray, trial: np.ndarray) -> None:
    """The first term explains the activity of every neuron, whoever is asked."""
    first = design.groups_[0]
    assert (model.cv_deviance_explained_ > 0.05).all()
    variables = {"first": [first], "rest": list(design.groups_[1:])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        for table in (pg.breakdown(model, X, Y, variables), pg.compare(model, X, Y, variables)):
            np.testing.assert_allclose(table["deviance_explained"], model.cv_deviance_explained_, atol=1e-5)
            share = table["fraction_null_deviance"].sel(variable="first")
            assert (share > 0.05).all()
            assert (share > table["fraction_null_deviance"].sel(variable="rest")).all()
        for refit in (False, True):
            # of 24 shifts and the recording, 1 of 25 is the least that can be
            found = pg.significance(model, X, Y, variables, trial=trial, n_shifts=24, refit=refit)
            assert (found["contribution_p_value"].sel(variable="first") <= 0.05).all()
        bands = pg.bootstrap(model, design, X, Y, trial=trial, n_resamples=2, n_points=10)
    assert all(np.isfinite(part["kernel"]).all() for part in bands.values())
    # what is added to the predictor multiplies the mean
    np.testing.assert_allclose(bands[first]["gain"], np.exp(bands[first]["kernel"]), rtol=1e-6)
