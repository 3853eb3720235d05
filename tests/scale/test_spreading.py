"""What explains a model, spread over workers: the same bits as in this process, and errors as they are raised there."""

import numpy as np
import pytest
import xarray as xr
from many import ABSENT

import popglm as pg
from popglm.engines.threads import at_most_threads

pytest.importorskip("distributed", reason=ABSENT)

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")


@pytest.fixture(scope="module")
def fitted():
    """A design, and a model of three neurons."""
    rng = np.random.default_rng(0)
    session = {name: rng.normal(size=900) for name in ("speed", "touch", "pitch")} | {"trial": np.arange(900) // 30}
    design = pg.Design([pg.linear(name) for name in ("speed", "touch", "pitch")], trial="trial")
    X = design.fit_transform(session)
    Y = rng.poisson(np.exp(np.outer(session["speed"], [0.5, 0, 0.2]) + np.outer(session["touch"], [0, 0.5, 0.2]) - 1))
    with at_most_threads(1):
        model = pg.GLMCV(penalty="group_lasso", n_lambdas=5, cv=3).fit(X, Y, groups=session["trial"])
    return design, model, X, Y, session["trial"]


@pytest.fixture
def spread(client):
    return pg.dask_map(client)


def test_comparisons_are_the_same(fitted, spread):
    _, model, X, Y, _ = fitted
    for method in ("remove", "add"):
        with at_most_threads(1):
            # a variable after the other, as workers do; in one batch rounding is another
            here = pg.compare(model, X, Y, method=method, map=lambda *each: map(*each))
            together = pg.compare(model, X, Y, method=method)
        xr.testing.assert_identical(pg.compare(model, X, Y, method=method, map=spread), here)
        xr.testing.assert_allclose(together, here, rtol=1e-3, atol=1e-3)


def test_bootstraps_are_the_same(fitted, spread):
    design, model, X, Y, trial = fitted
    options = {"trial": trial, "n_resamples": 6, "n_points": 5}
    with at_most_threads(1):
        here = pg.bootstrap(model, design, X, Y, **options)
    there = pg.bootstrap(model, design, X, Y, **options, map=spread)
    for group, kernel in here.items():
        xr.testing.assert_identical(there[group], kernel)


@pytest.mark.parametrize("options", [{}, {"refit": True}, {"method": "trial_permutation"}, {"refit": False}])
def test_tests_are_the_same(options, fitted, spread, monkeypatch):
    _, model, X, Y, trial = fitted
    # several blocks of shifts
    monkeypatch.setattr("popglm.explain.full_refits.BLOCK", 4 * Y.size)
    options = {"trial": trial, "n_shifts": 10, **options}
    with at_most_threads(1):
        here = pg.significance(model, X, Y, ["speed", "pitch"], **options)
    there = pg.significance(model, X, Y, ["speed", "pitch"], **options, map=spread)
    xr.testing.assert_identical(there, here)


def test_results_are_in_order_and_errors_are_those_of_the_call(spread):
    assert spread(divmod, [7, 8, 9], [2, 3, 4]) == [(3, 1), (2, 2), (2, 1)]
    with pytest.raises(ZeroDivisionError):
        spread(divmod, [7, 8], [2, 0])
    with pytest.raises(TypeError, match="cannot be sent to workers"):
        spread(lambda number: number, [1])
    with pytest.raises(TypeError, match="client must be"):
        pg.dask_map(None)


def test_a_client_is_no_map(fitted, client):
    design, model, X, Y, trial = fitted
    calls = {
        "compare": lambda how: pg.compare(model, X, Y, map=how),
        "significance": lambda how: pg.significance(model, X, Y, trial=trial, n_shifts=5, map=how),
        "bootstrap": lambda how: pg.bootstrap(model, design, X, Y, trial=trial, n_resamples=2, map=how),
    }
    for name, call in calls.items():
        for how in (client, client.map):
            with pytest.raises(TypeError, match=rf"{name}: map is a client of Dask .* map=popglm.dask_map\(client\)"):
                call(how)
        with pytest.raises(TypeError, match=f"{name}: map=3 must do the work of Python's map"):
            call(3)
    # an executor's map gives results
    assert pg.compare(model, X, Y, map=client.get_executor().map).sizes["variable"] == 3


def test_rows_on_workers_are_of_one_fit_at_a_time(fitted, client, spread):
    design, model, X, Y, trial = fitted
    rows = pg.rows_on_workers(X.to_numpy(), client)
    for call in (
        lambda: pg.compare(model, rows, Y, map=spread),
        lambda: pg.bootstrap(model, design, rows, Y, trial=trial, n_resamples=2, map=spread),
    ):
        with pytest.raises(
            ValueError, match=r"rows of X lie on workers, which sum for one fit at a time.*leave map out"
        ):
            call()
    with pytest.raises(TypeError, match=r"X is a DataFrame, .* give X.to_numpy\(\)"):
        pg.rows_on_workers(X, client)
