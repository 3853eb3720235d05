"""A fit may begin near its minimum, and no fold at anything that has seen what it holds out."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from popglm import GLM, GLMCV, FirstOrder
from popglm.warnings import PopglmWarning

RNG = np.random.default_rng(5)
N, LAMBDAS = 240, [0.3, 0.03, 0.003]
X = pd.DataFrame(RNG.standard_normal((N, 4)), columns=list("wxyz"))
RATE = np.exp(X.to_numpy() @ (0.5 * RNG.standard_normal((4, 3))))
Y = pd.DataFrame(RNG.poisson(RATE), columns=list("abc"))
TRIAL = np.arange(N) // 20
EXACT = {"lambdas": LAMBDAS, "precision": "float64", "tol": 1e-9}


def fitted(model, *args, **kwargs):
    """The fit, without what it says of strengths at the end of their grid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PopglmWarning)
        return model.fit(*args, **kwargs)


@pytest.fixture(scope="module")
def path():
    return fitted(GLM(**EXACT), X, Y)


@pytest.fixture(scope="module")
def crossed():
    return fitted(GLMCV(**EXACT, cv=3), X, Y, groups=TRIAL)


def steps(model):
    return [int(model.n_iter_.sum()), *([] if isinstance(model, GLM) else model.cv_n_iter_.sum(axis=(1, 2)).tolist())]


class TestSavesSteps:
    def test_of_a_path(self, path):
        for start in (path, path.coef_path_):
            again = fitted(GLM(**EXACT), X, Y, start=start)
            assert steps(again)[0] < 0.5 * steps(path)[0]
            np.testing.assert_allclose(again.coef_path_, path.coef_path_, atol=1e-4)

    def test_of_every_fold(self, crossed):
        again = fitted(GLMCV(**EXACT, cv=3), X, Y, groups=TRIAL, start=crossed)
        assert all(few < 0.5 * many for few, many in zip(steps(again), steps(crossed), strict=True))
        np.testing.assert_allclose(again.cv_coef_path_, crossed.cv_coef_path_, atol=1e-4)
        np.testing.assert_allclose(again.cv_deviance_, crossed.cv_deviance_, rtol=1e-5)

    def test_of_a_model_that_starts_at_itself(self):
        model = fitted(GLMCV(lambdas=LAMBDAS, cv=3), X, Y)
        before = model.coef_path_
        fitted(model.set_params(tol=1e-8, precision="float64"), X, Y, start=model)
        exact = fitted(GLMCV(**EXACT, cv=3), X, Y)
        assert np.abs(before - exact.coef_path_).max() > 1e-4
        np.testing.assert_allclose(model.coef_path_, exact.coef_path_, atol=1e-4)
        # the columns of its earlier fit stood in another order
        cold = steps(exact)
        assert steps(fitted(exact, X[list("zxwy")], Y, start=exact))[0] < 0.5 * cold[0]

    def test_of_all_rows_from_a_cross_validated_model(self, path, crossed):
        assert steps(fitted(GLM(**EXACT), X, Y, start=crossed))[0] < 0.5 * steps(path)[0]

    def test_a_single_strength_for_all(self, path):
        again = fitted(GLM(**EXACT), X, Y, start=path.coef_)
        np.testing.assert_allclose(again.coef_path_, path.coef_path_, atol=1e-4)
        one = fitted(GLM(**EXACT), X, Y["a"])
        np.testing.assert_allclose(fitted(GLM(**EXACT), X, Y["a"], start=one.coef_).coef_, one.coef_, atol=1e-4)

    def test_a_far_start_and_one_that_is_not_used_change_nothing(self, path):
        far = fitted(GLM(**EXACT), X, Y, start=np.full((4,), 3.0) + np.zeros((3, 4)))
        np.testing.assert_allclose(far.coef_path_, path.coef_path_, atol=1e-4)
        first = GLM(solver=FirstOrder("adam"), lambdas=[0.3], max_iter=20, tol=1.0)
        cold = fitted(first, X, Y).coef_path_.copy()
        np.testing.assert_array_equal(fitted(first, X, Y, start=path.coef_).coef_path_, cold)


def test_neurons_and_features_are_matched_by_name(path, crossed):
    own = fitted(GLM(**EXACT), X[list("zxwy")], Y[["c", "a"]], start=path)
    assert steps(own)[0] < 0.5 * int(path.n_iter_[:, [2, 0]].sum())
    own = fitted(GLMCV(**EXACT, cv=3), X[list("zxwy")], Y[["c", "a"]], groups=TRIAL, start=crossed)
    cold = crossed.cv_n_iter_[:, :, [2, 0]].sum(axis=(1, 2))
    assert (own.cv_n_iter_.sum(axis=(1, 2)) < 0.5 * cold).all()


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("engine", ["numpy", "torch"])
@pytest.mark.parametrize(("family", "penalty"), [("poisson", "ridge"), ("gaussian", "lasso"), ("bernoulli", "lasso")])
def test_a_fold_learns_nothing_of_what_it_holds_out(family, penalty, engine):
    """Activity of fold 0 is another: what fold 0 makes of its training rows stays the same."""
    pytest.importorskip(engine)
    rng = np.random.default_rng(0)
    wide, y = rng.standard_normal((60, 80)), rng.integers(0, 2, 60).astype(float)
    other = y.copy()
    other[:20] = 1 - other[:20]
    settings = {"family": family, "penalty": penalty, "lambdas": [0.1, 1e-3], "cv": 3, "max_iter": 15, "engine": engine}
    folds = []
    for activity in (y, other):
        first = fitted(GLMCV(**settings), wide, activity)
        second = fitted(GLMCV(**settings | {"tol": 1e-6, "max_iter": 60}), wide, activity, start=first)
        folds.append(second.cv_coef_path_)
    # Gaussian folds are what is left of sums over all rows, in which rounding differs
    np.testing.assert_allclose(folds[0][0], folds[1][0], atol=1e-5 if family == "gaussian" else 0)
    assert np.abs(folds[0][1] - folds[1][1]).max() > 0.01


class TestWrongStarts:
    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"cv": 4}, "start was fitted to other folds"),
            ({"lambdas": [0.1]}, "start has 3 strengths, and this fit has 1"),
            ({"family": "gaussian"}, "start was fitted with family='poisson' and inverse_link='exp'; this fit has"),
        ],
    )
    def test_of_other_settings(self, crossed, change, sentence):
        with pytest.raises(ValueError, match=sentence):
            GLMCV(**EXACT | {"cv": 3} | change).fit(X, Y, groups=TRIAL, start=crossed)

    def test_of_other_activity_weights_and_samples(self, crossed):
        model, given = GLMCV(**EXACT, cv=3), {"groups": TRIAL, "start": crossed}
        with pytest.raises(ValueError, match=r"start was fitted to other activity, .* of neuron 'a' in fold 0"):
            model.fit(X, pd.DataFrame(np.roll(Y, 7, axis=0), columns=Y.columns), **given)
        with pytest.raises(ValueError, match="start was fitted to other activity, sample weights or offset"):
            model.fit(X, Y, sample_weight=np.arange(1, N + 1), **given)
        time = pd.Index(np.arange(N) / 10)
        timed = fitted(GLMCV(**EXACT, cv=3), X.set_axis(time), Y, groups=TRIAL)
        with pytest.raises(ValueError, match="or to samples in another order"):
            model.fit(X.set_axis(time[::-1]), Y, groups=TRIAL, start=timed)

    @pytest.mark.parametrize("start", [np.zeros((3, 3, 4)), GLM(**EXACT)])
    def test_of_what_does_not_tell_what_it_has_seen(self, start):
        start = start if isinstance(start, np.ndarray) else fitted(start, X, Y)
        with pytest.raises((TypeError, ValueError), match=r"start must be a GLMCV .* what it holds out"):
            GLMCV(**EXACT, cv=3).fit(X, Y, start=start)

    def test_of_folds_alone(self):
        alone = fitted(GLMCV(**EXACT, cv=3, refit=False), X, Y)
        with pytest.raises(ValueError, match="start was fitted with refit=False"):
            GLMCV(**EXACT, cv=3).fit(X, Y, start=alone)
        assert fitted(GLMCV(**EXACT, cv=3, refit=False), X, Y, start=alone).cv_n_iter_.sum() < alone.cv_n_iter_.sum()

    @pytest.mark.parametrize(
        ("start", "error", "sentence"),
        [
            (np.zeros((2, 3, 4)), ValueError, r"start must have shape \(3, 3, 4\).*; it has \(2, 3, 4\)"),
            (np.full((3, 4), np.nan), ValueError, r"start must be finite; entry \(0, 0\) is not"),
            (pd.DataFrame(np.zeros((3, 4))), TypeError, "found DataFrame, whose labels are not read"),
            ("zero", ValueError, "start must hold numbers"),
            (GLM(), NotFittedError, "fit: start: this GLM is not fitted yet"),
        ],
    )
    def test_of_another_kind(self, start, error, sentence):
        with pytest.raises(error, match=sentence):
            GLM(**EXACT).fit(X, Y, start=start)

    def test_of_other_neurons_and_features(self, path):
        with pytest.raises(ValueError, match=r"start lacks neuron 'd' of this fit \(1 missing\)"):
            GLM(**EXACT).fit(X, Y.rename(columns={"a": "d"}), start=path)
        with pytest.raises(ValueError, match=r"start lacks feature 'q' of this fit"):
            GLM(**EXACT).fit(X.rename(columns={"w": "q"}), Y, start=path)
        with pytest.raises(ValueError, match="start has 4 features, and this fit has 3"):
            GLM(**EXACT).fit(X.to_numpy()[:, :3], Y, start=path)
        with pytest.raises(ValueError, match="start has 3 neurons, and this fit has 2"):
            GLM(**EXACT).fit(X, Y.to_numpy()[:, :2], start=path)
