"""Bands of kernels against closed forms, duplicated trials and plain re-fits."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import popglm as pg
from popglm.explain import bootstrap, kernels

N_TRIALS, LENGTH = 40, 10
TRIAL = np.repeat([f"trial {i}" for i in range(N_TRIALS)], LENGTH)


@pytest.fixture(scope="module")
def population():
    rng = np.random.default_rng(0)
    n = N_TRIALS * LENGTH
    session = pd.DataFrame({"position": rng.uniform(0, 100, n), "speed": rng.normal(size=n), "trial": TRIAL})
    design = pg.Design([pg.bumps("position", n=4, low=0, high=100), pg.linear("speed")], trial="trial", dtype="float64")
    X = design.fit_transform(session)
    eta = np.column_stack([session["position"] / 100, 0.5 * session["speed"], np.zeros(n)])
    Y = pd.DataFrame(rng.poisson(np.exp(eta)).astype(float), columns=["place", "speed", "none"])
    Y.iloc[:25, 0] = np.nan
    model = pg.GLMCV(penalty="group_lasso", lambdas=[0.1, 0.02, 0.005], cv=4, tol=1e-10, precision="float64")
    return model.fit(X, Y, groups=TRIAL), design, X, Y


def test_every_resample_is_a_fit_to_duplicated_trials(population):
    model, design, X, Y = population
    n_resamples, seed = 5, 3
    got = bootstrap(model, design, X, Y, trial=TRIAL, n_resamples=n_resamples, seed=seed, level=0.5, n_points=7)
    rows = np.arange(len(X)).reshape(N_TRIALS, LENGTH)
    drawn = np.random.default_rng(seed).integers(N_TRIALS, size=(n_resamples, N_TRIALS))
    assert len(set(model.lambda_)) > 1
    # a neuron that selected the null model stays there
    strengths = np.where(np.isfinite(model.lambda_), model.lambda_, 1e3)
    refitted = {group: [] for group in design.groups_}
    for trials in drawn:
        again = rows[trials].ravel()
        refit = pg.GLM(penalty="group_lasso", lambdas=strengths[None], tol=1e-10, precision="float64")
        refit.fit(X.iloc[again], Y.iloc[again])
        for group, dataset in kernels(refit, design, n_points=7).items():
            refitted[group].append(dataset["kernel"].values)
    for group, dataset in kernels(model, design, n_points=7).items():
        curves = np.array(refitted[group])
        assert_allclose(got[group]["sem"], curves.std(axis=0, ddof=1), atol=1e-4)
        assert_allclose(got[group]["lower"], np.percentile(curves, 25, axis=0), atol=1e-4)
        assert_allclose(got[group]["upper"], np.percentile(curves, 75, axis=0), atol=1e-4)
        assert got[group]["upper"].dims == got[group]["kernel"].dims
        assert got[group][list(dataset)].equals(dataset)
    assert {"level": 0.5, "n_resamples": 5, "seed": 3}.items() <= got["speed"].attrs.items()


def test_the_seed_fixes_the_bands(population):
    first, same, other = (
        bootstrap(*population, trial=TRIAL, n_resamples=3, seed=seed, n_points=3)["speed"] for seed in (1, 1, 2)
    )
    assert first.equals(same)
    assert not np.allclose(first["sem"], other["sem"])


def test_a_loose_tolerance_does_not_narrow_the_bands(population):
    # re-fits begin at the model's weights, which may lie within its tolerance of theirs
    _, design, X, Y = population
    sems = []
    for tol in (0.02, 1e-10):
        model = pg.GLM(lambdas=[0.02], tol=tol, precision="float64").fit(X, Y)
        got = bootstrap(model, design, X, Y, trial=TRIAL, n_resamples=20, n_points=5)
        sems.append(np.concatenate([got[group]["sem"].values.ravel() for group in got]))
    assert_allclose(sems[0], sems[1], rtol=0.05)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("cluster", [1, 5])
def test_standard_error_of_a_slope(cluster):
    # least squares of one variable; samples that repeat within a trial carry nothing new
    rng = np.random.default_rng(4)
    x = rng.normal(size=300)
    y = 1 + 0.7 * x + rng.normal(size=300)
    slope = np.cov(x, y)[0, 1] / x.var(ddof=1)
    residual = y - y.mean() - slope * (x - x.mean())
    # the standard error that does not assume one variance for all samples (White 1980), as trials drawn again do not
    expected = np.sqrt(((x - x.mean()) ** 2 * residual**2).sum()) / ((x - x.mean()) ** 2).sum()
    x, y, trial = (np.repeat(values, cluster) for values in (x, y, np.arange(300)))
    design = pg.Design([pg.linear("x")], dtype="float64")
    X = design.fit_transform({"x": x})
    model = pg.GLM(family="gaussian", penalty="none", precision="float64").fit(X, y)
    line = bootstrap(model, design, X, y, trial=trial, n_resamples=120, n_points=3)["x"].isel(x=-1)
    assert_allclose(line["sem"] / line["x"], expected, rtol=0.12)
    width = (line["upper"] - line["lower"]) / line["x"]
    assert_allclose(width, 2 * 1.96 * expected, rtol=0.2)


def test_weights_and_offsets_of_the_fit(population):
    _, design, X, Y = population
    rng = np.random.default_rng(5)
    weight, offset = rng.uniform(0.5, 2, len(X)), rng.normal(size=len(X))
    model = pg.GLM(lambdas=[0.02], tol=1e-10, precision="float64").fit(X, Y, sample_weight=weight, offset=offset)
    with_both = {"sample_weight": weight, "offset": offset}
    got = bootstrap(model, design, X, Y, trial=TRIAL, n_resamples=2, n_points=3, **with_both)["speed"]
    drawn = np.random.default_rng(0).integers(N_TRIALS, size=(2, N_TRIALS))
    times = [np.bincount(trials, minlength=N_TRIALS).repeat(LENGTH) for trials in drawn]
    curves = [
        kernels(
            pg.GLM(lambdas=[0.02], tol=1e-10, precision="float64").fit(X, Y, sample_weight=weight * k, offset=offset),
            design,
            n_points=3,
        )["speed"]["kernel"]
        for k in times
    ]
    assert_allclose(got["sem"], np.abs(curves[1] - curves[0]) / np.sqrt(2), atol=1e-4)


def test_one_neuron_and_a_bare_array(population):
    _, design, X, Y = population
    model = pg.GLM(lambdas=[0.02]).fit(X, Y["speed"])
    got = bootstrap(model, design, X.to_numpy(), Y["speed"], trial=TRIAL, n_resamples=3, n_points=4)
    assert got["position"]["sem"].sizes == {"neuron": 1, "position": 4}
    assert (got["position"]["sem"] > 0).all()


def test_one_warning_names_the_neurons(population):
    _, design, X, Y = population
    Y = Y.assign(rare=0.0, silent=0.0)
    Y.iloc[:LENGTH, 3] = 1  # active in one trial, which a resample misses with odds of 1 to 1.7
    with pytest.warns(pg.PopglmWarning):
        model = pg.GLM(lambdas=[1e-4], max_iter=2, tol=1e-9).fit(X, Y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = bootstrap(model, design, X, Y, trial=TRIAL, n_resamples=20, n_points=3)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert issubclass(caught[0].category, pg.ConvergenceWarning)
    assert caught[0].filename == __file__
    assert "Of 20 re-fits" in message
    assert "did not reach tol=1e-09 in max_iter=2 steps: place (20), speed (20), none (20)" in message
    drawn = np.random.default_rng(0).integers(N_TRIALS, size=(20, N_TRIALS))
    missed = (drawn != 0).all(axis=1).sum()
    assert f"had nothing to fit (silent, constant or a single event): rare ({missed})." in message
    assert all(np.isfinite(dataset[name]).all() for dataset in got.values() for name in ("lower", "upper", "sem"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_resamples": 1}, "n_resamples must be an integer >= 2; found 1"),
        ({"level": 95}, "level must lie between 0 and 1, as 0.95 does; found 95"),
        ({"trial": TRIAL[:-1]}, r"trial must have shape \(400,\), one label per sample; it has \(399,\)"),
        ({"trial": np.full(400, "one")}, "trial holds a single trial"),
        ({"trial": np.where(np.arange(400) == 7, np.nan, 1.0)}, "trial has no label in row 7"),
        ({"offset": np.zeros(3)}, "offset must have shape"),
    ],
)
def test_arguments(population, arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(*population, **{"trial": TRIAL, "n_resamples": 2} | arguments)


def test_another_design(population):
    model, design, _, Y = population
    other = pg.Design([pg.linear("speed")])
    X_other = other.fit_transform({"speed": np.arange(400.0)})
    with pytest.raises(ValueError, match="design: group 0 is 'speed' of 1 columns, but the model was fitted to"):
        bootstrap(model, other, X_other, Y, trial=TRIAL)
    with pytest.raises(ValueError, match="X comes from another design"):
        bootstrap(model, design, X_other, Y, trial=TRIAL)
