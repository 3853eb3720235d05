"""The adaptive lasso: against scikit-learn on scaled columns, conditions of the minimum, and first fits by hand."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from complaints import assert_complaint
from few_groups import GROUP, SIZES, Q, recorded
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import Lasso

import popglm as pg
from popglm import GLM, GLMCV, AdaptiveFactors
from popglm.solve.stream import RowStream

N = 240
TRIAL = np.arange(N) // 10
STRENGTHS = [0.2, 0.05, 0.01]
RECORDINGS = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def recording():
    X, Y, _ = recorded(N, 0.5, seed=6)
    return X, Y


def fitted(model, *data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*data, **more)


def adaptive(family, penalty="group_lasso", factors=None, **more):
    factors = AdaptiveFactors() if factors is None else factors
    given = {
        "feature_groups": SIZES,
        "lambdas": STRENGTHS,
        "n_lambdas": 5,
        "cv": 3,
        "precision": "float64",
        "tol": 1e-7,
    }
    return GLMCV(family, penalty=penalty, penalty_factors=factors, **given | more)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("family", "penalty"),
    [("gaussian", "group_lasso"), ("poisson", "lasso"), ("bernoulli", "elastic_net")],
)
def test_two_fits_by_hand(recording, family, penalty):
    X, Y = recording[0], recording[1][family]
    factors = AdaptiveFactors(exponent=1.5, first="ridge" if penalty == "lasso" else None)
    rng = np.random.default_rng(0)
    s, offset = rng.uniform(0.5, 2, N), None if family == "gaussian" else 0.1 * rng.normal(size=N)
    model = fitted(adaptive(family, penalty, factors, tol=1e-8), X, Y, groups=TRIAL, sample_weight=s, offset=offset)
    kind, blocks = factors.first or penalty, GROUP if penalty == "group_lasso" else np.arange(10)
    first = {"penalty": kind, "feature_groups": SIZES, "n_lambdas": 5, "precision": "float64", "tol": 1e-8}
    paths = [(np.arange(N), model.adaptive_factors_, model.coef_path_)]
    paths += [(model.splits_[i][0], model.cv_adaptive_factors_[i], model.cv_coef_path_[i]) for i in range(3)]
    for f, (rows, found, path) in enumerate(paths):
        shift = None if offset is None else offset[rows]
        # folds of the first fit: trials of the others, among the rows that this one trains on
        place = np.full(N, -1)
        place[rows] = np.arange(len(rows))
        tests = [place[test] for i, (_, test) in enumerate(model.splits_) if i != f - 1]
        inner = [(np.setdiff1d(np.arange(len(rows)), test), test) for test in tests]
        own = fitted(GLMCV(family, cv=inner, **first), X[rows], Y[rows], sample_weight=s[rows], offset=shift)
        for j in range(Q):
            norm = np.sqrt(np.bincount(blocks, own.coef_[j] ** 2))[blocks]
            wanted = np.full(10, np.inf)
            wanted[norm > 0] = (norm.max() / norm[norm > 0]) ** 1.5
            np.testing.assert_allclose(found[:, j], wanted, rtol=1e-6)
            left = np.isfinite(wanted)
            assert not path[:, j, ~left].any()
            if not left.any():
                continue
            # the second fit has the factors as any fit may have them
            labels = [f"b{b}" for b in blocks[left]]
            names = dict.fromkeys(labels)
            given = {name: wanted[left][labels.index(name)] for name in names}
            second = GLM(
                family, penalty=penalty, feature_groups=labels, penalty_factors=given, lambdas=STRENGTHS,
                precision="float64", tol=1e-9,
            )  # fmt: skip
            second.fit(X[rows][:, left], Y[rows, j], sample_weight=s[rows], offset=shift)
            np.testing.assert_allclose(path[:, j][:, left], second.coef_path_[:, 0], atol=1e-4)


@pytest.mark.thorough
def test_as_scikit_learn_on_scaled_columns(recording):
    X, Y = recording[0], recording[1]["gaussian"]
    model = fitted(adaptive("gaussian", "lasso", tol=1e-12), X, Y, groups=TRIAL)
    assert np.isfinite(model.adaptive_factors_).any(axis=0)[[0, 2]].all()
    for j in (0, 2):
        c = model.adaptive_factors_[:, j]
        left = np.isfinite(c)
        for k, lam in enumerate(STRENGTHS):
            other = Lasso(alpha=lam, tol=1e-12, max_iter=100_000).fit(X[:, left] / c[left], Y[:, j])
            np.testing.assert_allclose(model.coef_path_[k, j, left], other.coef_ / c[left], atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_conditions_of_the_minimum(recording, family):
    X, Y = recording[0], recording[1][family]
    model = fitted(adaptive(family, tol=1e-10), X, Y, groups=TRIAL)
    mean = {"poisson": np.exp, "bernoulli": expit}[family]
    n_active = 0
    for k, lam in enumerate(STRENGTHS):
        for j in range(Q):
            known, w = ~np.isnan(Y[:, j]), model.coef_path_[k, j]
            mu = mean(X[known] @ w + model.intercept_path_[k, j])
            gradient = X[known].T @ (mu - Y[known, j]) / known.sum()
            for g, size in enumerate(SIZES):
                own = g == GROUP
                strength = lam * np.sqrt(size) * model.adaptive_factors_[own, j][0]
                if w[own].any():
                    n_active += 1
                    np.testing.assert_allclose(gradient[own], -strength * w[own] / np.linalg.norm(w[own]), atol=1e-5)
                else:
                    assert np.linalg.norm(gradient[own]) <= strength + 1e-6
            # what other functions of the model ask for
            penalty = model.penalty_of(j)
            usual = sum(
                np.sqrt(size) * model.adaptive_factors_[g == GROUP, j][0] * np.linalg.norm(w[g == GROUP])
                for g, size in enumerate(SIZES)
                if w[g == GROUP].any()
            )
            np.testing.assert_allclose(penalty.value(w[None], np.array([lam]))[0], lam * usual, rtol=1e-10)
    assert n_active >= 6


@pytest.mark.thorough
def test_nothing_of_a_fold_knows_what_it_holds_out(recording):
    X, Y = recording[0], recording[1]["poisson"]
    model = fitted(adaptive("poisson", relaxed=True), X, Y, groups=TRIAL)
    other, test = Y.copy(), model.splits_[1][1]
    other[test] = np.random.default_rng(1).poisson(2.0, (len(test), Q))
    again = fitted(adaptive("poisson", relaxed=True), X, other, groups=TRIAL)
    for name in ("cv_adaptive_factors_", "cv_coef_path_", "cv_intercept_path_", "cv_relaxed_coef_path_"):
        np.testing.assert_array_equal(getattr(model, name)[1], getattr(again, name)[1])
        assert (getattr(model, name)[0] != getattr(again, name)[0]).any()
    assert (model.adaptive_factors_ != again.adaptive_factors_).any()


@pytest.mark.thorough
def test_units_of_the_activity_do_not_matter(recording):
    X, Y = recording[0], recording[1]["gaussian"]
    given = {"lambdas": None, "n_lambdas": 4, "tol": 1e-9}
    # a neuron without columns borrows a grid
    one, other = (fitted(adaptive("gaussian", **given), X, unit * Y, groups=TRIAL) for unit in (1.0, 1e-3))
    np.testing.assert_allclose(other.adaptive_factors_, one.adaptive_factors_, rtol=1e-5)
    np.testing.assert_allclose(other.coef_ * 1e3, one.coef_, atol=1e-5)
    np.testing.assert_allclose(other.lambda_path_ * 1e3, one.lambda_path_, rtol=1e-5)


@pytest.mark.thorough
def test_files_masks_silent_neurons_and_a_single_one(recording, tmp_path):
    X, activity = recording
    Y, mask = activity["poisson"].copy(), np.ones((4, Q), bool)
    Y[:, 3], mask[2, 0] = 0, False
    model = fitted(adaptive("poisson", feature_mask=mask, lambdas=None, n_lambdas=5), X, Y, groups=TRIAL)
    assert np.isinf(model.adaptive_factors_[~mask[GROUP]]).all()
    assert not model.coef_[~mask[GROUP].T].any()
    assert np.isinf(model.adaptive_factors_[:, 3]).all()
    assert not model.coef_[3].any()
    assert np.isfinite(model.coef_path_).all()
    assert np.isfinite(model.lambda_path_).all()
    model.save(tmp_path / "model.nc")
    for again in (pg.load(tmp_path / "model.nc"), pickle.loads(pickle.dumps(model))):
        assert again.penalty_factors == model.penalty_factors
        for name in ("coef_", "adaptive_factors_", "cv_adaptive_factors_", "cv_deviance_", "lambda_path_"):
            np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
        np.testing.assert_array_equal(again.penalty_of(0).factors, model.penalty_of(0).factors)
    alone = fitted(adaptive("poisson"), X, Y[:, 0], groups=TRIAL)
    assert alone.coef_.shape == (10,)
    assert np.isfinite(pg.goodness_of_fit(alone, X, Y[:, 0])["aic"]).all()
    # folds alone, at the same strengths
    folds = fitted(adaptive("poisson", refit=False), X, Y[:, 0], groups=TRIAL)
    np.testing.assert_array_equal(folds.cv_coef_path_, alone.cv_coef_path_)
    # and an estimator that is fitted again forgets
    assert fitted(alone.set_params(penalty_factors=None), X, Y[:, 0], groups=TRIAL).adaptive_factors_ is None


@pytest.mark.parametrize("engine", ["torch", "jax", "tensorflow"])
def test_every_engine(recording, engine):
    pytest.importorskip(engine)
    X, activity = recording
    few, y = {"lambdas": [0.1], "n_lambdas": 3}, activity["poisson"][:, 0]
    model = fitted(adaptive("poisson", engine=engine, tol=1e-8, **few), X, y, groups=TRIAL)
    usual = fitted(adaptive("poisson", **few), X, y, groups=TRIAL)
    np.testing.assert_allclose(model.adaptive_factors_, usual.adaptive_factors_, rtol=1e-2)
    np.testing.assert_allclose(model.coef_path_, usual.coef_path_, atol=1e-3)


@pytest.mark.thorough
def test_x_that_is_not_copied(recording):
    X, activity = recording
    rng = np.random.default_rng(4)
    given = {"sample_weight": rng.uniform(0.5, 2, len(X)), "groups": TRIAL}
    usual, *others = (
        fitted(adaptive("poisson", tol=1e-6, lambdas=STRENGTHS[1:]), x, activity["poisson"], **given)
        for x in (X, RowStream(X), sparse.csr_array(X))
    )
    for found in others:
        np.testing.assert_allclose(found.adaptive_factors_, usual.adaptive_factors_, rtol=1e-3)
        np.testing.assert_allclose(found.cv_coef_path_, usual.cv_coef_path_, atol=1e-4)
        np.testing.assert_array_equal(found.lambda_, usual.lambda_)


@pytest.mark.parametrize(
    ("factors", "sentence"),
    [
        (AdaptiveFactors(exponent=0), "AdaptiveFactors: exponent=0 must be a number above 0"),
        (AdaptiveFactors(exponent="1"), "AdaptiveFactors: exponent='1' must be a number above 0"),
        (AdaptiveFactors(exponent=np.nan), "AdaptiveFactors: exponent=nan must be a number above 0"),
        (AdaptiveFactors(first="ols"), "AdaptiveFactors: first='ols' is unknown; use one of none, ridge"),
    ],
)
def test_bad_arguments(recording, factors, sentence):
    X, activity = recording
    assert_complaint(
        sentence, lambda value: adaptive("poisson", factors=value).fit(X, activity["poisson"], groups=TRIAL), factors
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"penalty": "ridge"}, "AdaptiveFactors are for penalties that choose, and penalty='ridge' does not"),
        ({"patience": 2}, "patience has no effect with AdaptiveFactors"),
        ({"solver": "adam"}, "first-order solvers do not end there"),
        ({"cv": 2}, "Use 3 or more folds that train on the rest, as cv=5 does; splitters that only look forward"),
    ],
)
def test_what_cannot_be(recording, more, sentence):
    X, activity = recording
    with pytest.raises(ValueError, match=sentence):
        adaptive("poisson", **more).fit(X, activity["poisson"], groups=TRIAL)


def test_what_is_refused(recording):
    X, activity = recording
    Y = activity["poisson"]
    with pytest.raises(ValueError, match="AdaptiveFactors chooses by held-out activity, which a GLM has not"):
        GLM(penalty="lasso", penalty_factors=AdaptiveFactors()).fit(X, Y)
    for kind in (AdaptiveFactors, pg.FactorSearch):
        with pytest.raises(ValueError, match=f"the class {kind.__name__} itself; call it"):
            pg.GLMCV(penalty="lasso", penalty_factors=kind).fit(X, Y)


@pytest.mark.thorough
def test_linear_track_of_a_rat():
    file = RECORDINGS / "ca1_lineartrack_nelpy.npz"
    if not file.exists():
        pytest.skip("the recording ca1_lineartrack_nelpy.npz is not in ../shared/data")
    with np.load(file) as data:
        run = data["time_s"] < data["time_s"][0] + 300
        Y, track = data["counts"][run][:, :4].astype(float), {"x": data["x_px"][run], "y": data["y_px"][run]}
    n = len(Y) // 5
    # bins of a sixth of a second
    Y = Y[: 5 * n].reshape(n, 5, 4).sum(axis=1)
    track = {name: values[: 5 * n].reshape(n, 5).mean(axis=1) for name, values in track.items()}
    noise = np.random.default_rng(0).normal(size=(n, 6)).cumsum(axis=0)
    track |= {f"drift {i}": noise[:, i] for i in range(6)}
    low, high = track["x"].min(), track["x"].max()
    terms = [pg.bumps("x", 8, float(low), float(high)), *(pg.linear(f"drift {i}") for i in range(6))]
    X, lap = pg.Design(terms).fit_transform(track), np.arange(n) // 60
    given = {"penalty": "group_lasso", "n_lambdas": 6, "cv": 3, "tol": 1e-3}
    plain = fitted(GLMCV("poisson", **given), X, Y, groups=lap)
    twice = fitted(GLMCV("poisson", penalty_factors=AdaptiveFactors(), **given), X, Y, groups=lap)
    used = [int((model.coef_[:, 8:] != 0).sum()) for model in (plain, twice)]
    assert used[1] <= used[0]
    assert np.isfinite(twice.coef_).all()
    assert twice.cv_deviance_explained_.max() > 0.05
