"""Binomial fits against statsmodels, and against the fits to every trial by itself; and what is done with a model."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from explained import driven_session
from scipy import stats

import popglm as pg
from popglm.statistics.families import get_family

REFERENCE = Path(__file__).parents[1] / "reference" / "binomial.npz"
EXACT = {"penalty": "none", "precision": "float64", "tol": 1e-12}


@pytest.fixture(scope="module")
def counted():
    """Reference data: successes and trials of three neurons."""
    return dict(np.load(REFERENCE))


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


def test_it_is_statsmodels(counted):
    X, offset, trials, successes = (counted[name] for name in ("X", "offset", "trials", "successes"))
    given, block = {"sample_weight": trials, "offset": offset}, counted["block"]
    Y = successes / trials
    model = pg.GLM("binomial", **EXACT).fit(X, Y, **given)
    fitted = pg.goodness_of_fit(model, X, Y, **given)
    plain, over_blocks = pg.wald(model, X, Y, **given), pg.wald(model, X, Y, trial=block, **given)
    pearson = pg.wald(model, X, Y, dispersion="pearson", **given)
    deviance = model.loss_.deviance(X @ model.coef_.T + model.intercept_ + offset[:, None], Y)
    for j, found in enumerate(counted["found"]):
        weights, errors, clustered = np.split(found[:12], 3)
        np.testing.assert_allclose([*model.coef_[j], model.intercept_[j]], weights, atol=1e-6)
        for own, expected in ((plain, errors), (over_blocks, clustered)):
            both = [*own["standard_error"].values[j], own["intercept_standard_error"].values[j]]
            np.testing.assert_allclose(both, expected, rtol=1e-5)
        row = fitted.iloc[j]
        likelihood, aic, bic, total, dispersion = found[12:]
        assert row["log_likelihood"] == pytest.approx(likelihood, rel=1e-9)
        assert row["aic"] == pytest.approx(aic, rel=1e-9)
        assert row["bic"] == pytest.approx(bic, rel=1e-9)
        assert trials[:, j] @ deviance[:, j] == pytest.approx(total, rel=1e-9)
        assert pearson["dispersion"].values[j] == pytest.approx(dispersion, rel=1e-6)


@pytest.mark.parametrize("penalty", ["none", "lasso", "ridge"])
def test_a_sample_of_many_trials_is_many_samples(counted, penalty):
    """The same weights, gaps, held-out deviances and errors as with a row for every trial."""
    X, trials, successes = counted["X"], counted["trials"][:, 0], counted["successes"][:, 0]
    row = np.repeat(np.arange(120), trials)
    event = np.concatenate([np.arange(n) < k for n, k in zip(trials, successes, strict=True)]).astype(float)
    options = {"penalty": penalty, "precision": "float64", "tol": 1e-11, "cv": [(np.arange(80), np.arange(80, 120))]}
    options |= {} if penalty == "none" else {"lambdas": [0.1, 0.01]}
    model = quietly(pg.GLMCV("binomial", **options).fit, X, successes / trials, sample_weight=trials)
    options["cv"] = [(np.flatnonzero(row < 80), np.flatnonzero(row >= 80))]
    other = quietly(pg.GLMCV("bernoulli", **options).fit, X[row], event)
    np.testing.assert_allclose(model.coef_path_, other.coef_path_, atol=2e-5)
    np.testing.assert_allclose(model.cv_coef_path_, other.cv_coef_path_, atol=2e-5)
    assert model.n_events_[0] == other.n_events_[0] == successes.sum()
    # a deviance of shares is less by that of the shares' own trials
    own = get_family("bernoulli").saturated(successes / trials)
    np.testing.assert_allclose(model.cv_deviance_ + 2 * (trials * own)[80:].sum(), other.cv_deviance_, rtol=1e-5)
    table, apart = model.evaluate(X, successes / trials, trials), other.evaluate(X[row], event)
    fallen = table["null_deviance"] - table["deviance"]
    np.testing.assert_allclose(fallen, apart["null_deviance"] - apart["deviance"], rtol=1e-4, atol=1e-9)
    if penalty == "none":
        errors = pg.wald(model, X, successes / trials, sample_weight=trials)["standard_error"]
        np.testing.assert_allclose(errors, pg.wald(other, X[row], event)["standard_error"], rtol=1e-4)
        ratio = pg.likelihood_ratio(model, X, successes / trials, sample_weight=trials)
        np.testing.assert_allclose(ratio["chi2"], pg.likelihood_ratio(other, X[row], event)["chi2"], rtol=1e-4)


def test_its_likelihood_is_scipys(counted):
    rng = np.random.default_rng(0)
    trials, eta = rng.integers(1, 30, 50), rng.normal(size=50)
    k = rng.binomial(trials, 0.4)
    found = get_family("binomial").log_likelihood(eta, k / trials, trials.astype(float))
    assert found == pytest.approx(stats.binom.logpmf(k, trials, 1 / (1 + np.exp(-eta))).sum())


@pytest.mark.parametrize("engine", ["numpy", "torch", "jax", "tensorflow"])
def test_every_engine_finds_the_same(counted, engine):
    pytest.importorskip(engine)
    X, Y, trials = counted["X"], counted["successes"] / counted["trials"], counted["trials"]
    options = {"penalty": "lasso", "lambdas": [0.05], "precision": "float64", "tol": 1e-10}
    model = pg.GLM("binomial", engine=engine, **options).fit(X, Y, sample_weight=trials)
    expected = pg.GLM("binomial", **options).fit(X, Y, sample_weight=trials)
    assert (model.gap_ <= 1e-10).all()
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-5)


def test_few_successes_are_told_and_many_in_few_samples_are_not(counted):
    X = counted["X"][:8, :1]
    trials = np.full(8, 200)
    many = np.array([90, 100, 110, 120, 95, 80, 105, 99])
    few = np.array([1, 0, 2, 0, 0, 1, 0, 0])
    with pytest.warns(pg.PopglmWarning, match="neuron1") as told:
        model = pg.GLMCV("binomial", lambdas=[0.1], cv=2).fit(
            X, np.column_stack([many, few]) / 200, sample_weight=trials
        )
    assert not any("neuron0" in str(one.message) for one in told if "event" in str(one.message))
    assert model.n_events_.tolist() == [many.sum(), 4]
    assert (model.null_margin_ > 0).tolist() == [False, True]


def test_bad_input(counted):
    X, trials, successes = counted["X"], counted["trials"], counted["successes"]
    with pytest.raises(ValueError, match=r"outside \[0, 1\] for neuron . .*the share of successes, successes / trials"):
        pg.GLM("binomial").fit(X, successes, sample_weight=trials)
    more = successes / trials
    more[4, 1] = (trials[4, 1] + 1) / trials[4, 1]
    with pytest.raises(
        ValueError, match=r"outside \[0, 1\] for neuron 1 .*first in row 4.*and trials as sample_weight"
    ):
        pg.GLM("binomial").fit(X, more, sample_weight=trials)
    with pytest.warns(
        pg.PopglmWarning, match="no whole number of successes in some samples.*neuron0, neuron1, neuron2"
    ):
        pg.GLM("binomial", lambdas=[0.1]).fit(X, successes / trials)
    model = pg.GLM("binomial", **EXACT).fit(X, successes / trials, sample_weight=trials)
    with pytest.raises(ValueError, match="needs sample_weight="):
        pg.wald(model, X, successes / trials)
    with pytest.raises(ValueError, match="inverse_link='exp' lets the mean of a binomial response leave"):
        pg.GLM("binomial", "exp").fit(X, successes / trials, sample_weight=trials)
    with warnings.catch_warnings():
        # shares that come in float32 are those of whole numbers
        warnings.simplefilter("error")
        pg.GLM("binomial", lambdas=[0.1]).fit(X, (successes / trials).astype(np.float32), sample_weight=trials)


@pytest.mark.thorough
def test_all_that_is_done_with_a_model(tmp_path):
    design, X, eta, trial = driven_session()
    shared = np.full(len(X), 12)
    Y = np.random.default_rng(0).binomial(12, 1 / (1 + np.exp(-eta))) / 12
    model = quietly(
        pg.GLMCV("binomial", penalty="group_lasso", n_lambdas=4, cv=3).fit, X, Y, groups=trial, sample_weight=shared
    )
    assert ((model.predict(X) > 0) & (model.predict(X) < 1)).all()
    model.save(tmp_path / "model.nc")
    variables = {"first": [design.groups_[0]], "rest": list(design.groups_[1:])}
    for explain in (pg.breakdown, pg.compare):
        share = explain(model, X, Y, variables, sample_weight=shared)["fraction_null_deviance"]
        assert (share.sel(variable="first") > share.sel(variable="rest") + 0.1).all()
    found = pg.significance(model, X, Y, variables, trial=trial, n_shifts=29, refit=False, sample_weight=shared)
    assert (found["contribution_p_value"].sel(variable="first") <= 0.05).all()
    # trials that are alike are still how much is known
    with pytest.raises(ValueError, match="needs sample_weight="):
        pg.goodness_of_fit(model, X, Y)
    again = pg.load(tmp_path / "model.nc")
    assert again.fitted_with_sample_weight_
    assert again.loss_ == model.loss_
    np.testing.assert_array_equal(again.evaluate(X, Y, shared), model.evaluate(X, Y, shared))


def test_a_place_is_decoded_from_successes():
    """By Bayes' rule of binomial counts, and better than by one trial a sample."""
    rng = np.random.default_rng(3)
    place, trial = rng.uniform(0, 100, 600), np.arange(600) // 50
    p = 0.05 + 0.5 * np.exp(-0.5 * ((place[:, None] - np.linspace(5, 95, 6)) / 12) ** 2)
    n = rng.integers(5, 40, p.shape)
    k = rng.binomial(n, p)
    design, grid = pg.Design([pg.bumps("place", 10, 0, 100)]), np.arange(0, 101, 5.0)
    X = design.fit_transform({"place": place})
    model = quietly(pg.GLMCV("binomial", lambdas=[0.001], cv=3).fit, X, k / n, groups=trial, sample_weight=n)
    given = (model, design, {"place": place}, k / n, "place", grid)
    found = pg.decode(*given, held_out=False, sample_weight=n)
    mean = model.predict(design.transform({"place": grid}))
    logs = stats.binom.logpmf(k[7], n[7], mean).sum(axis=1)
    expected = np.exp(logs - logs.max())
    np.testing.assert_allclose(found["posterior"][7], expected / expected.sum(), rtol=1e-3, atol=1e-8)
    error = [np.abs(one["most_likely"] - place).median().item() for one in (found, pg.decode(*given, held_out=False))]
    assert error[0] <= error[1]
    poisson = quietly(pg.GLMCV(lambdas=[0.1], cv=3).fit, X, k, groups=trial)
    with pytest.raises(ValueError, match="sample_weight stands for trials of binomial activity"):
        pg.decode(poisson, *given[1:3], k, *given[4:], sample_weight=n)


@pytest.mark.parametrize("failures", [False, True])
@pytest.mark.parametrize("per_neuron", [False, True])
def test_all_successes_in_one_condition_are_no_single_event(failures, per_neuron):
    """Events are trials, not rows: the fit is that of every trial by itself."""
    condition = np.arange(6.0)[:, None]
    trials, k = np.full(6, 20), np.array([0, 0, 12, 0, 0, 0])
    k = trials - k if failures else k
    y = k / trials
    settings = {"lambdas": [0.01], "precision": "float64", "tol": 1e-12}
    X = np.exp(-((condition - np.arange(6)) ** 2))
    weight = np.column_stack([trials, trials]) if per_neuron else trials
    Y = np.column_stack([y, y])
    with warnings.catch_warnings():
        warnings.simplefilter("error", pg.PopglmWarning)
        model = pg.GLM("binomial", **settings).fit(X, Y, sample_weight=weight)
    row = np.repeat(np.arange(6), trials)
    event = np.concatenate([np.arange(20) < one for one in k]).astype(float)
    single = pg.GLM("bernoulli", **settings).fit(X[row], event)
    np.testing.assert_allclose(model.coef_[1], single.coef_, rtol=1e-5)
    assert np.abs(model.coef_).max() > 0.5
    assert model.n_events_.tolist() == [k.sum()] * 2
    lonely = np.where(np.arange(6) == 2, 0.05, 0) if not failures else np.where(np.arange(6) == 2, 0.95, 1)
    with pytest.warns(pg.PopglmWarning, match="single event"):
        pg.GLM("binomial", **settings).fit(X, lonely, sample_weight=trials)
