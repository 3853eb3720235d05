"""Contributions in a simulated session, where it is known which groups drive which neuron."""

import numpy as np
import pytest

import popglm as pg


@pytest.fixture(scope="module")
def session():
    made = pg.maze_session(8_000, 24, n_task_variables=3)
    X = pg.maze_design(3).fit_transform(made.behavior)
    model = pg.GLMCV(penalty="group_lasso", lambdas=10.0 ** np.linspace(-1, -3.5, 6), tol=1e-3)
    model.fit(X, made.activity, groups=made.behavior["trial"])
    return model, X, made.activity, made.truth.active.reindex(columns=X.columns.unique("group"))


def standard_errors(table):
    """Mean over all entries in standard errors over neurons, whose entries are not independent of each other."""
    by_neuron = table.mean(axis=1).dropna()
    return by_neuron.mean() / by_neuron.sem()


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["zero", "shuffle"])
def test_variables_without_weight_carry_nothing(session, method):
    model, X, Y, active = session
    table = pg.breakdown(model, X, Y, method=method, seed=0).fraction_null_deviance.to_pandas()
    idle, busy = table.where(~active), table.where(active)
    assert abs(standard_errors(idle)) < 2
    # weights fitted to noise cost a little on held-out data, so single variables lie a hair below 0
    assert (idle.median().abs() < 1e-3).all()
    assert (busy.median() > 10 * idle.median().abs().max()).all()


@pytest.mark.thorough
def test_variables_without_weight_are_not_missed(session):
    model, X, Y, active = session
    names = ["position × cue", "pitch"]
    table = pg.compare(model, X, Y, names).fraction_null_deviance.to_pandas()
    idle, busy = table.where(~active[names]), table.where(active[names])
    # held-out predictions are a little better without what can only fit noise
    assert standard_errors(idle) < 2
    assert (idle.median().abs() < 1e-3).all()
    assert (busy.median() > 10 * idle.median().abs().max()).all()


def test_contributions_in_the_task_lie_where_their_group_is(session):
    """Time from the choice says nothing in the maze, position nothing after it: there the shares are 0."""
    model, X, Y, _ = session
    behaviour = pg.maze_session(8_000, 1, n_task_variables=3).behavior
    by = [
        pg.bins(behaviour["position"], np.linspace(30, 230, 11), 20, unit="cm"),
        pg.bins(behaviour["time_from_choice"], np.linspace(0.5, 4.5, 9), 0.5, unit="s"),
    ]
    result = pg.breakdown(model, X, Y, {"place": "position*", "outcome": "time*"}, by)
    shares = np.abs(result.binned_fraction_null_deviance).mean("neuron")
    place, outcome = (shares.sel(variable=name) for name in ("place", "outcome"))
    maze = result.axis == "position"
    assert place.sel(bin=maze).mean() > 20 * place.sel(bin=~maze).mean()
    assert outcome.sel(bin=~maze).mean() > 20 * outcome.sel(bin=maze).mean()
