"""Which strength is taken, and what follows from it, against few-line computations and scikit-learn's metrics."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    d2_log_loss_score,
    d2_tweedie_score,
    log_loss,
    mean_poisson_deviance,
    mean_squared_error,
)
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from popglm import GLM, GLMCV
from popglm.statistics.selection import at_strengths, fraction_explained, select_strengths

RNG = np.random.default_rng(1)
N, P = 400, 5
X = RNG.standard_normal((N, P))
ETA = X @ np.array([[0.6, 0, 0, 0, 0], [0, 0.3, -0.3, 0, 0], [0, 0, 0, 0, 0]]).T
Y = {
    "poisson": RNG.poisson(np.exp(ETA)).astype(float),
    "gaussian": ETA + RNG.standard_normal(ETA.shape),
    "bernoulli": (RNG.random(ETA.shape) < 1 / (1 + np.exp(-2 * ETA))).astype(float),
}
TRIALS = np.repeat(np.arange(40), 10)
TRAIN, TEST = slice(0, 300), slice(300, None)
FAMILIES = list(Y)


@pytest.fixture(scope="module", params=FAMILIES)
def cross_validated(request):
    model = GLMCV(family=request.param, penalty="lasso", n_lambdas=12, lambda_min_ratio=1e-2)
    return model.fit(X, Y[request.param], groups=TRIALS)


def first_within(deviance, lambdas, se_fraction, min_lambda, null):
    """The rule as a loop over one neuron's strengths; their number for the null model."""
    mean = [np.mean(d) for d in deviance.T]
    allowed = [k for k in range(len(mean)) if lambdas[k] >= min_lambda] or [0]
    best = min(allowed, key=lambda k: mean[k])
    limit = mean[best] + se_fraction * np.std(deviance[:, best]) / np.sqrt(len(deviance))
    if np.mean(null) <= limit * (1 + 1e-6):
        return len(lambdas)
    return next(k for k in allowed if mean[k] <= limit)


@pytest.mark.thorough(keep=11)
@pytest.mark.parametrize("se_fraction", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 10.0])
def test_selection_index_by_index(cross_validated, se_fraction, share):
    model = cross_validated
    lambdas = model.lambdas_
    min_lambda = share * np.median(lambdas[0])
    coef_path, before = model.coef_path_.copy(), model.n_iter_.sum()
    assert model.select(se_fraction=se_fraction, min_lambda=min_lambda) is model
    null = model.cv_null_model_deviance_
    expected = [
        first_within(model.cv_deviance_[:, :, j], lambdas[:, j], se_fraction, min_lambda, null[:, j]) for j in range(3)
    ]
    assert model.lambda_index_.tolist() == expected
    # no fit was run again, and everything follows the new choice
    assert np.array_equal(model.coef_path_, coef_path)
    assert model.n_iter_.sum() == before
    for j, k in enumerate(expected):
        if k == len(lambdas):
            assert np.isinf(model.lambda_[j])
            assert not model.coef_[j].any()
            assert model.intercept_[j] == model.null_intercept_[j]
            continue
        assert model.lambda_[j] == lambdas[k, j]
        assert np.array_equal(model.coef_[j], coef_path[k, j])
        assert model.intercept_[j] == model.intercept_path_[k, j]
        assert model.cv_deviance_explained_[j] == model.cv_deviance_explained_path_[k, j]


def test_constructor_and_select_agree():
    settings = {"penalty": "lasso", "n_lambdas": 12, "lambda_min_ratio": 1e-2}
    strict = GLMCV(**settings, se_fraction=1.0, min_lambda=0.01).fit(X, Y["poisson"])
    plain = GLMCV(**settings).fit(X, Y["poisson"])
    assert (strict.lambda_ >= plain.lambda_).all()
    assert np.array_equal(plain.select(se_fraction=1.0, min_lambda=0.01).lambda_index_, strict.lambda_index_)
    # the constructor's come back
    assert np.array_equal(plain.select().lambda_index_, GLMCV(**settings).fit(X, Y["poisson"]).lambda_index_)


@pytest.mark.parametrize("bad", [{"se_fraction": -1}, {"min_lambda": -0.1}, {"se_fraction": np.nan}])
def test_selection_rejects_negative_rules(cross_validated, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        cross_validated.select(**bad)


def test_a_fold_that_scored_nothing_is_left_out():
    deviance = np.array([[[3.0], [1.0]], [[np.nan], [np.nan]], [[1.0], [2.0]]])
    assert select_strengths(deviance, np.array([[1.0], [0.1]])).tolist() == [1]
    assert select_strengths(np.full((2, 2, 1), np.nan), np.array([[1.0], [0.1]])).tolist() == [0]


def test_infinite_deviance_is_never_chosen():
    deviance = np.array([[[3.0], [np.inf], [2.0]], [[3.0], [1.0], [3.5]]])
    assert select_strengths(deviance, np.array([[1.0], [0.1], [0.01]])).tolist() == [2]
    assert select_strengths(deviance, np.array([[1.0], [0.1], [0.01]]), 1.0).tolist() == [0]


def test_ties_go_to_the_larger_strength():
    assert select_strengths(np.ones((3, 4, 2)), np.ones((4, 2))).tolist() == [0, 0]


class TestValidationData:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_glm_takes_the_best_on_validation_data(self, family):
        model = GLM(family=family, penalty="lasso", n_lambdas=10).fit(X[TRAIN], Y[family][TRAIN])
        assert model.lambda_index_.tolist() == [9, 9, 9]
        model.select(X[TEST], Y[family][TEST])
        for j in range(3):
            scores = []
            for k in range(10):
                one = GLM(family=family, penalty="lasso", lambdas=[model.lambdas_[k, j]])
                one.fit(X[TRAIN], Y[family][TRAIN, j])
                one.coef_, one.intercept_ = model.coef_path_[k, j], model.intercept_path_[k, j]
                scores.append(one.score(X[TEST], Y[family][TEST, j]))
            np.testing.assert_allclose(model.deviance_explained_path_[:, j], scores, atol=1e-6)
            one.coef_, one.intercept_ = np.zeros(P), model.null_intercept_[j]
            null = one.score(X[TEST], Y[family][TEST, j])
            assert model.lambda_index_[j] == (10 if null >= max(scores) - 1e-6 else np.argmax(scores))
            np.testing.assert_allclose(
                model.evaluate(X[TEST], Y[family][TEST])["deviance_explained"].iloc[j], max(*scores, null), atol=1e-6
            )

    def test_min_lambda(self):
        model = GLM(lambdas=[1.0, 0.1, 0.01, 0.001]).fit(X[TRAIN], Y["poisson"][TRAIN])
        model.select(X[TEST], Y["poisson"][TEST], min_lambda=0.05)
        assert (model.lambda_ >= 0.05).all()

    def test_unrecorded_samples_do_not_count(self):
        model = GLM(n_lambdas=6).fit(X[TRAIN], Y["poisson"][TRAIN])
        gaps = Y["poisson"][TEST].copy()
        gaps[:30, 1] = np.nan
        table = model.evaluate(X[TEST], gaps)
        kept = model.evaluate(X[TEST][30:], gaps[30:])
        np.testing.assert_allclose(table.loc["neuron1"], kept.loc["neuron1"])
        weights = np.r_[np.zeros(30), np.ones(70)]
        weighted = model.evaluate(X[TEST], Y["poisson"][TEST], sample_weight=weights)
        np.testing.assert_allclose(weighted.loc["neuron1"], kept.loc["neuron1"])


class TestAgainstScikitLearn:
    """Their metrics know the same deviances."""

    @pytest.fixture
    def model(self, request):
        return GLM(family=request.param, n_lambdas=5).fit(X[TRAIN], Y[request.param][TRAIN])

    @pytest.mark.parametrize(("model", "power"), [("poisson", 1), ("gaussian", 0)], indirect=["model"])
    @pytest.mark.parametrize("weights", [None, np.linspace(0.1, 2, 100)])
    def test_tweedie(self, model, power, weights):
        y, mu = Y[model.family][TEST], model.predict(X[TEST])
        table = model.evaluate(X[TEST], y, sample_weight=weights)
        expected = [d2_tweedie_score(y[:, j], mu[:, j], power=power, sample_weight=weights) for j in range(3)]
        np.testing.assert_allclose(table["deviance_explained"], expected, rtol=1e-4, atol=1e-6)
        mean_deviance = mean_poisson_deviance if power else mean_squared_error
        total = 100 if weights is None else weights.sum()
        expected = [total * mean_deviance(y[:, j], mu[:, j], sample_weight=weights) for j in range(3)]
        np.testing.assert_allclose(table["deviance"], expected, rtol=1e-5)
        np.testing.assert_allclose(model.score(X[TEST], y, sample_weight=weights), table["deviance_explained"].mean())

    @pytest.mark.parametrize("model", ["bernoulli"], indirect=True)
    def test_log_loss(self, model):
        y, mu = Y["bernoulli"][TEST], model.predict(X[TEST])
        table = model.evaluate(X[TEST], y)
        for j in range(3):
            np.testing.assert_allclose(table["deviance"].iloc[j], 200 * log_loss(y[:, j], mu[:, j]), rtol=1e-5)
            expected = d2_log_loss_score(y[:, j], mu[:, j])
            np.testing.assert_allclose(table["deviance_explained"].iloc[j], expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("model", FAMILIES, indirect=True)
    def test_silent_and_constant_test_data_explain_nothing(self, model):
        y = Y[model.family][TEST].copy()
        y[:, 0], y[:, 1] = 0, 1
        table = model.evaluate(X[TEST], y)
        assert table["deviance_explained"].iloc[:2].tolist() == [0, 0]
        assert table["null_deviance"].iloc[:2].tolist() == [0, 0]
        assert np.isfinite(table.to_numpy()).all()


def test_fraction_explained_without_null_deviance_is_zero():
    np.testing.assert_array_equal(fraction_explained(np.array([1e-30, 0, 1.0]), np.array([0.0, 0.0, 2.0])), [0, 0, 0.5])


class TestFolds:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_held_out_by_hand(self, family):
        splitter = GroupKFold(4)
        model = GLMCV(family=family, penalty="lasso", n_lambdas=6, cv=splitter, precision="float64", tol=1e-10)
        model.fit(X, Y[family], groups=TRIALS)
        mu = np.empty((N, 3))
        deviance = np.empty((4, 3))
        for fold, (train, test) in enumerate(splitter.split(X, groups=TRIALS)):
            assert (model.fold_[test] == fold).all()
            alone = GLM(family=family, penalty="lasso", lambdas=model.lambdas_, precision="float64", tol=1e-10)
            alone.fit(X[train], Y[family][train])
            alone.take_strengths(model.lambda_index_)
            mu[test] = alone.predict(X[test])
            deviance[fold] = alone.evaluate(X[test], Y[family][test])["deviance"]
        np.testing.assert_allclose(model.predict_held_out(), mu, atol=1e-4)
        np.testing.assert_allclose(model.predict_held_out(X), model.predict_held_out())
        chosen = at_strengths(model.cv_deviance_, model.lambda_index_, model.cv_null_model_deviance_, axis=1)
        np.testing.assert_allclose(chosen, deviance, rtol=1e-5)
        null = GLM(family=family, n_lambdas=1).fit(X, Y[family]).evaluate(X, Y[family])["null_deviance"]
        np.testing.assert_allclose(model.cv_null_deviance_, null, rtol=1e-10)
        np.testing.assert_allclose(model.cv_deviance_explained_, 1 - chosen.sum(axis=0) / null, rtol=1e-10)

    def test_ablated_columns_change_what_is_held_out(self):
        model = GLMCV(n_lambdas=5).fit(X, Y["poisson"], groups=TRIALS)
        ablated = X.copy()
        ablated[:, 0] = 0
        change = np.abs(model.predict_held_out(ablated) - model.predict_held_out()).max(axis=0)
        assert change[0] > 0.5
        with pytest.raises(ValueError, match="X has 10 rows; the model was fitted to 400"):
            model.predict_held_out(X[:10])

    def test_integer_cv_keeps_trials_whole(self):
        model = GLMCV(n_lambdas=3).fit(X, Y["poisson"], groups=TRIALS)
        assert set(model.fold_) == set(range(5))
        assert (pd.Series(model.fold_).groupby(TRIALS).nunique() == 1).all()
        blocks = GLMCV(n_lambdas=3, cv=4).fit(X, Y["poisson"]).fold_
        assert np.array_equal(blocks, np.repeat(np.arange(4), 100))

    def test_iterable_and_splitter_are_the_same(self):
        settings = {"penalty": "lasso", "n_lambdas": 5}
        splitter = KFold(3, shuffle=True, random_state=0)
        a = GLMCV(**settings, cv=splitter).fit(X, Y["poisson"])
        b = GLMCV(**settings, cv=iter(list(splitter.split(X)))).fit(X, Y["poisson"])
        assert np.array_equal(a.cv_deviance_, b.cv_deviance_)
        assert np.array_equal(a.fold_, b.fold_)

    @pytest.mark.parametrize("family", ["poisson", "gaussian"])
    def test_splits_that_do_not_partition_the_rows(self, family):
        splitter = ShuffleSplit(3, test_size=0.2, train_size=0.5, random_state=0)
        settings = {"family": family, "penalty": "lasso", "precision": "float64", "tol": 1e-10}
        model = GLMCV(**settings, n_lambdas=6, cv=splitter).fit(X, Y[family])
        for fold, (train, test) in enumerate(splitter.split(X)):
            alone = GLM(**settings, lambdas=model.lambdas_).fit(X[train], Y[family][train])
            alone.select(X[test], Y[family][test])
            null = alone.evaluate(X[test], Y[family][test])["null_deviance"].to_numpy()
            expected = (1 - alone.deviance_explained_path_) * null
            np.testing.assert_allclose(model.cv_deviance_[fold], expected, rtol=1e-5)
        with pytest.raises(ValueError, match="more than once"):
            model.predict_held_out()

    def test_rows_that_no_fold_holds_out(self):
        rows = np.arange(N)
        model = GLMCV(n_lambdas=4, cv=[(rows[100:], rows[:100])]).fit(X, Y["poisson"])
        assert np.array_equal(model.fold_, np.where(rows < 100, 0, -1))
        held_out = model.predict_held_out()
        assert np.isfinite(held_out[:100]).all()
        assert np.isnan(held_out[100:]).all()

    def test_without_refit_the_folds_are_the_same(self):
        settings = {"penalty": "lasso", "n_lambdas": 6, "precision": "float64", "tol": 1e-10}
        with_all = GLMCV(**settings).fit(X, Y["poisson"])
        folds_only = GLMCV(**settings, refit=False).fit(X, Y["poisson"])
        assert folds_only.coef_path_ is None
        assert not hasattr(folds_only, "coef_")
        # they begin elsewhere: weights agree to the square root of tol
        np.testing.assert_allclose(folds_only.cv_deviance_, with_all.cv_deviance_, rtol=1e-5)
        np.testing.assert_allclose(folds_only.predict_held_out(), with_all.predict_held_out(), rtol=1e-3)
        for use in (lambda: folds_only.predict(X), lambda: folds_only.evaluate(X, Y["poisson"])):
            with pytest.raises(ValueError, match="refit=False"):
                use()
        assert folds_only.summary()["neurons"] == 3

    def test_offset_is_part_of_the_held_out_prediction(self):
        offset = 0.3 * np.sin(np.arange(N))
        model = GLMCV(n_lambdas=4).fit(X, Y["poisson"], offset=offset)
        ratio = model.predict_held_out(offset=offset) / model.predict_held_out(offset=0)
        np.testing.assert_allclose(ratio, np.exp(offset)[:, None].repeat(3, axis=1), rtol=1e-4)
        table = model.evaluate(X, Y["poisson"], offset=offset)
        mu = model.predict(X, offset=offset)
        assert table["deviance"].iloc[0] == pytest.approx(
            N * mean_poisson_deviance(Y["poisson"][:, 0], mu[:, 0]), rel=1e-5
        )


class TestStrengths:
    def test_one_column_per_neuron(self):
        grid = np.array([[0.3, 0.2, 0.1], [0.03, 0.02, 0.01]])
        together = GLM(penalty="lasso", lambdas=grid, precision="float64", tol=1e-10).fit(X, Y["poisson"])
        assert np.array_equal(together.lambdas_, grid)
        for j in range(3):
            alone = GLM(penalty="lasso", lambdas=grid[:, j], precision="float64", tol=1e-10)
            alone.fit(X, Y["poisson"][:, j])
            np.testing.assert_allclose(together.coef_path_[:, j], alone.coef_path_[:, 0], atol=1e-5)
        assert np.array_equal(together.lambda_, grid[-1])

    def test_automatic_grid_begins_at_each_neurons_largest_strength(self):
        model = GLM(penalty="lasso", n_lambdas=7, lambda_min_ratio=1e-3).fit(X, Y["poisson"])
        y = Y["poisson"]
        centred = (X - X.mean(axis=0)).T @ (y - y.mean(axis=0)) / N
        np.testing.assert_allclose(model.lambdas_[0], np.abs(centred).max(axis=0), rtol=2e-3)
        np.testing.assert_allclose(model.lambdas_[-1], 1e-3 * model.lambdas_[0])
        assert model.lambdas_.shape == (7, 3)

    def test_penalty_none_has_one_strength(self):
        model = GLM(penalty="none").fit(X, Y["poisson"])
        assert model.lambdas_.tolist() == [0.0]
        assert model.lambda_.tolist() == [0.0, 0.0, 0.0]


class TestOneNeuron:
    @pytest.mark.parametrize("estimator", [GLM(n_lambdas=4), GLMCV(n_lambdas=4)])
    def test_shapes(self, estimator):
        y = Y["poisson"][:, 0]
        model = estimator.fit(X, y)
        assert model.coef_.shape == (P,)
        assert isinstance(model.intercept_, float)
        assert model.predict(X).shape == (N,)
        assert model.coef_path_.shape == (4, 1, P)
        assert model.lambda_.shape == (1,)
        assert isinstance(model.score(X, y), float)
        assert model.evaluate(X, y).shape == (1, 3)
        if isinstance(model, GLMCV):
            assert model.predict_held_out().shape == (N,)
            assert model.cv_deviance_explained_.shape == (1,)

    def test_a_column_stays_a_column(self):
        model = GLM(n_lambdas=3).fit(X, Y["poisson"][:, :1])
        assert model.coef_.shape == (1, P)
        assert model.predict(X).shape == (N, 1)

    def test_a_series_gives_its_name(self):
        model = GLM(n_lambdas=3).fit(X, pd.Series(Y["poisson"][:, 0], name="cell 7"))
        assert model.evaluate(X, Y["poisson"][:, 0]).index.tolist() == ["cell 7"]
