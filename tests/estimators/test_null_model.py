"""The null model as a candidate beside the strengths, and what is said of neurons with few events."""

import warnings

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import PoissonRegressor

import popglm as pg
from popglm.estimators.convergence import late_fits
from popglm.statistics import null
from popglm.statistics.families import get_family
from popglm.statistics.null import null_models
from popglm.statistics.responses import response_sums
from popglm.statistics.selection import at_strengths, select_strengths

N = 600
LAMBDAS = 10.0 ** np.linspace(-1, -4, 4)


@pytest.fixture(scope="module")
def session():
    """X, and a tuned unit, one that is not, and one with two events."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((N, 12))
    Y = np.zeros((N, 3))
    Y[:, 0] = rng.poisson(np.exp(0.7 * X[:, 0] - 1))
    Y[:, 1] = rng.poisson(0.3, N)
    # in two folds, and alike: each predicts the other
    Y[[30, 500], 2], X[500] = 1, X[30]
    return X, Y


@pytest.fixture(scope="module")
def fitted(session):
    with pytest.warns(pg.PopglmWarning, match="1 of 3 neurons have fewer than 10 samples with activity"):
        return pg.GLMCV(penalty="ridge", lambdas=LAMBDAS).fit(*session)


def test_without_gain_the_null_model_is_selected(fitted):
    assert np.isfinite(fitted.lambda_).tolist() == [True, False, False]
    assert fitted.lambda_index_[1:].tolist() == [4, 4]
    with pytest.raises(IndexError):
        fitted.coef_path_[fitted.lambda_index_, np.arange(3)]
    assert not fitted.coef_[1:].any()
    assert fitted.coef_[0].any()
    assert fitted.summary()["neurons selected as null"] == 2


def test_two_events_that_predict_each_other_are_not_enough(fitted):
    held_out = np.nansum(fitted.cv_deviance_, axis=0)
    # better than the null model, and likely by chance
    assert (held_out[:, 2] < fitted.cv_null_model_deviance_[:, 2].sum()).any()
    assert fitted.null_margin_[0] == 0
    # a likelihood ratio of 100, twice
    np.testing.assert_allclose(fitted.null_margin_[2], 4 * np.log(100))


@pytest.mark.parametrize("family", ["poisson", "gaussian", "bernoulli", "binomial", "gamma", ("poisson", "softplus")])
@pytest.mark.parametrize("kind", ["complete", "not recorded", "weights of neurons", "silent in training"])
def test_null_models_of_folds_that_are_read_together(family, kind, monkeypatch):
    rng = np.random.default_rng(5)
    loss = get_family(*(family if isinstance(family, tuple) else (family,)))
    Y = rng.gamma(2.0, size=(60, 4)) + 0.1
    if loss.has_events or loss.valid_range[1] == 1:
        Y = (rng.random((60, 4)) < 0.4).astype(float)
    weights = None
    if kind == "not recorded":
        Y[:13, 0], Y[40:, 1], weights = np.nan, np.nan, rng.uniform(1, 2, 60)
    elif kind == "weights of neurons":
        weights = rng.integers(0, 3, (60, 4)).astype(float)
    elif kind == "silent in training" and family != "gamma":
        Y[:, 0] = np.arange(60) == 7
    fold = rng.permutation(60) % 4
    rows = np.arange(60)
    splits = {
        "folds": [(rows[fold != i], rows[fold == i]) for i in range(4)],
        "growing": [(rows[fold < i], rows[fold == i]) for i in range(1, 4)],
        "shuffled": [(rng.permutation(rows[fold != i]), rows[fold == i]) for i in range(4)],
    }
    for intercept in (True, False):
        for parts in splits.values():
            assert null._ranges_of_folds(60, parts) is not None
            found = null_models(loss, Y, weights, None, parts, intercept)
            with monkeypatch.context() as patched:
                patched.setattr(null, "MOST_PIECES", 0)
                alone = null_models(loss, Y, weights, None, parts, intercept)
            for name, value in vars(alone).items():
                np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, atol=1e-12, err_msg=name)
    # rows twice, or some of what the fold holds out
    twice, half = [(np.r_[0:30, 0:30], rows[30:])], [(rows[5:], rows[:10])]
    assert null._ranges_of_folds(60, twice) is None
    assert null._ranges_of_folds(60, half) is None


@pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")
@pytest.mark.parametrize("seed", range(3))
def test_weights_say_nothing_of_a_neuron_that_always_fires(seed):
    # the weighted mean of ones may be a rounding below 1
    rng = np.random.default_rng(seed)
    X, y, weight = rng.normal(size=(97, 2)), np.ones((97, 1)), rng.uniform(0.5, 2, 97)
    for family in ("bernoulli", "binomial"):
        found = pg.GLM(family=family, penalty="ridge", lambdas=[0.1]).fit(X, y, sample_weight=weight)
        # half an event of 97 did not happen
        np.testing.assert_allclose(found.null_intercept_, np.log((97 - 0.5) / 0.5))


def test_folds_take_their_training_means(session, fitted):
    _, Y = session
    predicted = fitted.predict_held_out()
    for fold in range(5):
        test = fitted.fold_ == fold
        np.testing.assert_allclose(predicted[test, 1], Y[~test, 1].mean(), rtol=1e-5)
    mean = np.array([Y[fitted.fold_ != f, 1].mean() for f in range(5)])[fitted.fold_]
    deviance = 2 * (mean - Y[:, 1] + np.where(Y[:, 1] > 0, Y[:, 1] * np.log(np.maximum(Y[:, 1], 1) / mean), 0))
    explained = 1 - deviance.sum() / fitted.cv_null_deviance_[1]
    np.testing.assert_allclose(fitted.cv_deviance_explained_[1], explained, rtol=1e-5)


def test_explanations_take_the_null_model(session, fitted):
    X, Y = session
    held_out = pg.breakdown(fitted, X, Y)
    assert not held_out.fraction_null_deviance[1:].values.any()
    np.testing.assert_allclose(held_out.deviance_explained, fitted.cv_deviance_explained_, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        kept = pg.compare(fitted, X, Y, ["feature0"], reselect=False)
    assert not kept.fraction_null_deviance[1:].values.any()
    assert np.isinf(kept.selected_strength[1:]).all()


def test_files_keep_it(session, fitted, tmp_path):
    fitted.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.predict_held_out(session[0]), fitted.predict_held_out())
    np.testing.assert_array_equal(again.select().lambda_, fitted.lambda_)


def test_validation_data_may_choose_it(session):
    X, Y = session
    model = pg.GLM(penalty="ridge", lambdas=LAMBDAS).fit(X[:400], Y[:400, :2])
    model.select(X[400:], Y[400:, :2])
    assert np.isfinite(model.lambda_).tolist() == [True, False]
    np.testing.assert_allclose(np.exp(model.intercept_[1]), Y[:400, 1].mean())


@pytest.mark.parametrize(("family", "link"), [("poisson", "exp"), ("poisson", "softplus"), ("bernoulli", "sigmoid")])
def test_null_intercepts_balance_offset_and_weights(session, family, link):
    y = np.minimum(session[1].T, 1)
    rng = np.random.default_rng(0)
    offset, s = rng.normal(0, 1, N), np.tile(rng.uniform(0, 2, N), (3, 1))
    loss = get_family(family, link)
    b = response_sums(loss, y, s, [(0, N)], offset).intercept
    residual, _ = loss.derivatives(np, b[:, None] + offset, y)
    np.testing.assert_allclose((s * residual).sum(axis=1), 0, atol=1e-6)
    if link == "exp":
        exposure = np.exp(offset)
        for own, y_own, s_own in zip(b, y, s, strict=True):
            known = PoissonRegressor(alpha=0).fit(np.zeros((N, 1)), y_own / exposure, s_own * exposure)
            np.testing.assert_allclose(own, known.intercept_, atol=1e-3)


def test_ties_and_margins():
    deviance, grid = np.array([[[3.0], [2.0]], [[3.0], [2.0]]]), np.array([[1.0], [0.1]])
    assert select_strengths(deviance, grid, null=np.full((2, 1), 2.0)).tolist() == [2]
    assert select_strengths(deviance, grid, null=np.full((2, 1), 2.1)).tolist() == [1]
    assert select_strengths(deviance, grid, null=np.full((2, 1), 2.1), margin=0.3).tolist() == [2]
    assert select_strengths(np.full((2, 2, 1), np.nan), grid, null=np.full((2, 1), np.nan)).tolist() == [2]
    path = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(at_strengths(path, np.array([0, 1, 2]), -1.0, axis=1), [[0, 4, -1], [6, 10, -1]])


def test_late_fits_are_counted_and_placed():
    late = np.zeros((6, 3, 4), bool)
    late[0, 2, 1] = late[3, 1:, 1] = late[5, 2, 3] = True
    gaps = np.where(late, 0.5, 0.0)
    grid = np.repeat([[1.0], [0.1], [0.01]], 4, axis=1)
    sentence = late_fits(late, gaps, grid, np.array([0, 1, 0, 3]), ["a", "b", "c", "d"])
    assert sentence == (
        "4 fits of 2 neurons (b, gap 5.0e-01, d, gap 5.0e-01), at λ = 0.1 to 0.01 (2 of 3 strengths), in the fit to "
        "all rows and folds 2, 4; 1 at the strength selected for 1 neuron."
    )


def test_the_warning_says_whether_a_selected_fit_is_late(session):
    X, Y = session
    with pytest.warns(
        pg.ConvergenceWarning, match=r"\d+ fits of 2 neurons .* at λ = .* in the fit to all rows"
    ) as caught:
        pg.GLMCV(penalty="lasso", lambdas=LAMBDAS, max_iter=1, tol=1e-9).fit(X, Y[:, :2])
    assert "selected" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_units_with_few_events_do_not_lose_by_their_weights():
    rng = np.random.default_rng(3)
    train, trials, bins, units = 1000, 400, 20, 32
    time = np.tile(np.linspace(0, 1, bins), trials)
    cue = np.repeat(rng.choice([-1.0, 1.0], (trials, 2)), bins, axis=0)
    bumps = np.exp(-0.5 * ((time[:, None] - np.linspace(0, 1, 5)) / 0.12) ** 2)
    X = np.concatenate([bumps, bumps * cue[:, :1], bumps * cue[:, 1:]], axis=1)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    # half of them are tuned
    rate = np.exp(X @ (rng.normal(0, 0.5, (15, units)) * (np.arange(units) % 2)))
    share = rate / rate[:train].sum(axis=0)
    n_events = rng.integers(2, 7, units)
    Y = rng.poisson(share * n_events).astype(float)
    Y[:train] = 0
    for j in range(units):
        np.add.at(Y[:, j], rng.choice(train, n_events[j], p=share[:train, j]), 1)
    model = pg.GLMCV(penalty="group_lasso", lambdas=10.0 ** np.linspace(-1, -3, 4), feature_groups=[5, 5, 5], tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        model.fit(X[:train], Y[:train], groups=np.arange(train) // bins)

    def worst():
        y = Y[train:]
        null = model.loss_.deviance(np.broadcast_to(model.null_intercept_, y.shape), y).sum(axis=0)
        return (1 - model.evaluate(X[train:], y)["deviance"] / null).min()

    # one of a hundred loses more than 0.05, by benchmarks/few_events.py
    assert worst() > -0.1
    # without the margin some would
    model.null_margin_ = np.zeros(units)
    model.select()
    assert worst() < -0.15


def test_a_fold_that_holds_out_no_weight_has_no_deviance():
    """Of 0 the null model would look perfect there."""
    rng = np.random.default_rng(0)
    Y = rng.poisson(1.0, (90, 2)).astype(float)
    parts = np.arange(90).reshape(3, 30)
    thirds = [(np.setdiff1d(parts, part), part) for part in parts]
    weights = np.repeat([0.0, 1.0, 1.0], 30)
    for family in ("poisson", "gaussian"):
        found = null_models(get_family(family), Y, weights, None, thirds, fit_intercept=True)
        assert np.isnan(found.cv_deviance[0]).all()
        assert (found.cv_deviance[1:] > 0).all()
        # nor has one that trains on none
        found = null_models(get_family(family), Y, weights, None, [(parts[0], parts[1])], fit_intercept=True)
        assert np.isnan(found.cv_deviance).all()


@pytest.mark.parametrize("mean", [0.002, 0.5])
@pytest.mark.parametrize("kind", ["masked", "spread", "far"])
def test_null_intercepts_beside_offsets_that_lie_far_apart(kind, mean):
    rng = np.random.default_rng(0)
    n = 5000
    dark = np.arange(n) % 2 == 0
    offset = {"masked": np.where(dark, -300.0, 0), "spread": rng.normal(0, 50, n), "far": np.where(dark, 500.0, 0)}[
        kind
    ]
    y = (rng.random(n) < mean).astype(float)
    model = pg.GLM("bernoulli", lambdas=[0.1]).fit(rng.standard_normal((n, 2)), y, offset=offset)
    root = brentq(lambda b: expit(offset + b).mean() - y.mean(), -900, 900, xtol=1e-12)
    assert model.null_intercept_[0] == pytest.approx(root, abs=1e-6)
