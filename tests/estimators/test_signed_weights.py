"""Weights of one sign: other libraries' minima, conditions of a minimum by hand, and what refuses them."""

from functools import cache, partial

import numpy as np
import pytest
from complaints import assert_complaint
from few_groups import GROUP, SIZES, recorded
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.linear_model import ElasticNet

import popglm as pg

LABELS = np.array(list("abcd"))[GROUP].tolist()
SIGNS = {"a": "positive", "c": "negative"}
SIGN = np.repeat([1, 0, -1, 0], SIZES)


@cache
def drawn():
    X, Y, _ = recorded(240, 0.3, 5)
    return X, Y


def model(family="poisson", penalty="lasso", kind=pg.GLM, **settings):
    given = {"feature_groups": LABELS, "constraints": SIGNS, "precision": "float64", "tol": 1e-9}
    given |= {} if "lambdas" in settings else {"n_lambdas": 4, "lambda_min_ratio": 0.03}
    return kind(family, penalty=penalty, **{**given, **settings})


def assert_signs(coef):
    assert (SIGN * coef >= 0).all()


@pytest.mark.parametrize(("penalty", "ratio"), [("lasso", None), ("elastic_net", 0.3)])
def test_positive_weights_of_scikit_learn(penalty, ratio):
    X, Y = drawn()
    y = Y["gaussian"][:, 0]
    found = model("gaussian", penalty, l1_ratio=ratio, constraints=dict.fromkeys("abcd", "positive"), lambdas=[0.05])
    other = ElasticNet(0.05, l1_ratio=ratio or 1.0, positive=True, tol=1e-14, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(found.fit(X, y).coef_, other.coef_, atol=2e-5)
    assert ((other.coef_ == 0) & (found.coef_ == 0)).sum() == (other.coef_ == 0).sum() > 2


@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_ridge_within_bounds_of_scipy(family):
    X, Y = drawn()
    y, lam = Y[family][:, 2], 0.03
    found = model(family, "ridge", lambdas=[lam]).fit(X, y)
    assert_signs(found.coef_)

    def objective(at):
        eta = X @ at[:-1] + at[-1]
        mean, loss = (
            (np.exp(eta), np.exp(eta)) if family == "poisson" else (1 / (1 + np.exp(-eta)), np.logaddexp(0, eta))
        )
        slope = (mean - y) / len(y)
        value = np.mean(loss - y * eta) + lam / 2 * at[:-1] @ at[:-1]
        return value, np.append(slope @ X + lam * at[:-1], slope.sum())

    bounds = [{1: (0, None), 0: (None, None), -1: (None, 0)}[s] for s in SIGN] + [(None, None)]
    best = minimize(objective, np.zeros(11), jac=True, bounds=bounds, method="L-BFGS-B", tol=1e-15)
    np.testing.assert_allclose(found.coef_, best.x[:-1], atol=1e-4)
    # some weights are held at 0, and moving them would help
    _, gradient = objective(np.append(found.coef_, found.intercept_))
    assert ((SIGN * gradient[:-1] > 1e-3) & (found.coef_ == 0)).any()


@pytest.mark.parametrize(
    ("penalty", "ratio"), [("group_lasso", None), ("group_lasso", 0.6), ("sparse_group_lasso", 0.3)]
)
def test_groups_meet_the_conditions_of_a_minimum(penalty, ratio):
    X, Y = drawn()
    y = Y["poisson"]
    found = model("poisson", penalty, l1_ratio=ratio).fit(X, y)
    assert found.gap_.max() <= 1e-9
    assert_signs(found.coef_path_)
    share, of_norms = (ratio, 1.0) if penalty.startswith("sparse") else (0.0, ratio or 1.0)
    held = 0
    for W, b, lam in zip(found.coef_path_, found.intercept_path_, found.lambda_path_, strict=True):
        residual = np.nan_to_num(np.exp(X @ W.T + b) - y)
        G = residual.T @ X / np.isfinite(y).sum(axis=0)[:, None]
        for w, g, strength in zip(W, G + (1 - of_norms) * lam[:, None] * W, lam, strict=True):
            for block, size in enumerate(SIZES):
                at = block == GROUP
                own, push = w[at], np.where(SIGN[at] * -g[at] < 0, 0, -g[at])
                column, group = share * of_norms * strength, (1 - share) * of_norms * np.sqrt(size) * strength
                beyond = np.maximum(np.abs(push) - column, 0)
                if not own.any():
                    assert np.linalg.norm(beyond) <= group + 1e-3 * strength
                    continue
                used = own != 0
                pull = column * np.sign(own) + group * own / np.linalg.norm(own)
                np.testing.assert_allclose(-g[at][used], pull[used], atol=1e-2 * strength)
                np.testing.assert_allclose(beyond[~used], 0, atol=1e-2 * strength)
                held += (~used & (push != -g[at])).sum()
    assert held


def test_the_grid_begins_where_a_weight_of_its_sign_enters():
    X, Y = drawn()
    for penalty in ("lasso", "group_lasso"):
        found = model("gaussian", penalty, constraints=dict.fromkeys("abcd", "positive"), n_lambdas=30).fit(
            X, Y["gaussian"]
        )
        assert not found.coef_path_[0].any()
        assert found.coef_path_[2].any(axis=1).all()


@pytest.mark.parametrize("engine", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("penalty", ["ridge", "group_lasso"])
def test_accelerators_and_other_engines(engine, penalty):
    pytest.importorskip(engine)
    X, Y = drawn()
    # compiling takes long there
    schedule = "host" if engine == "jax" else "device"
    given = {"penalty": penalty, "lambdas": [0.02], "tol": 1e-6}
    found = model(engine=engine, schedule=schedule, **given).fit(X, Y["poisson"])
    assert_signs(found.coef_)
    np.testing.assert_allclose(found.coef_, model(**given).fit(X, Y["poisson"]).coef_, atol=2e-3)


class TestTheRestOfTheModel:
    def test_masks_factors_and_starts_in_float32(self):
        X, Y = drawn()
        mask = np.ones((10, 4), bool)
        mask[0] = False
        given = {"feature_mask": mask, "penalty_factors": {"b": 0, "d": 3}, "precision": "float32", "tol": 1e-5}
        found = model(penalty="ridge", **given).fit(X, Y["poisson"])
        assert_signs(found.coef_path_)
        assert not found.coef_path_[..., 0].any()
        free = model(penalty="ridge", constraints=None, **given).fit(X, Y["poisson"])
        assert (SIGN * free.coef_path_ < 0).any()
        # the start breaks the signs
        begun = model(penalty="ridge", **given).fit(X, Y["poisson"], start=free)
        assert_signs(begun.coef_path_)
        np.testing.assert_allclose(begun.coef_path_, found.coef_path_, atol=5e-3)

    def test_chosen_by_folds_kept_and_compared(self, tmp_path):
        X, Y = drawn()
        given = {"kind": pg.GLMCV, "penalty": "group_lasso", "cv": 3, "precision": "float32", "tol": 1e-5}
        found = model(**given).fit(X, Y["poisson"], groups=np.arange(240) // 20)
        assert_signs(found.coef_)
        assert_signs(found.cv_coef_path_)
        assert clone(found).constraints == SIGNS
        found.save(tmp_path / "model.nc")
        again = pg.load(tmp_path / "model.nc")
        assert again.constraints == SIGNS
        np.testing.assert_array_equal(
            again.penalty_.bounds, [np.where(SIGN > 0, 0, -np.inf), np.where(SIGN < 0, 0, np.inf)]
        )
        reduced = pg.compare(found, X, Y["poisson"], variables={"a": "a"}, reselect=False)
        without = model(**given | {"cv": found.splits_}, lambdas=[found.lambda_[2]], constraints={"c": "negative"})
        without.set_params(feature_mask=(GROUP != 0)[:, None]).fit(X, Y["poisson"][:, [2]])
        lost = float(reduced["reduced_deviance"].isel(neuron=2, variable=0))
        assert lost == pytest.approx(without.cv_deviance_.sum(axis=0)[0, 0], rel=1e-3)
        freedom = pg.goodness_of_fit(found, X, Y["poisson"])["degrees_of_freedom"]
        assert (freedom <= 1 + (found.coef_ != 0).sum(axis=1) + 1e-6).all()

    def test_an_adaptive_lasso(self):
        X, Y = drawn()
        given = {
            "kind": pg.GLMCV,
            "cv": 3,
            "penalty_factors": pg.AdaptiveFactors(),
            "precision": "float32",
            "tol": 1e-4,
        }
        assert_signs(model(**given).fit(X, Y["poisson"]).coef_)


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"constraints": ["a"]}, "constraints=['a'] must be a mapping"),
            ({"constraints": np.array(["positive"]), "penalty": "group_lasso"}, "must be a mapping"),
            ({"constraints": {"z": "positive"}}, "constraints names 'z', which is no feature group"),
            ({"constraints": {"a": "increasing"}}, "or a pair (lower, upper); found 'increasing'. A SmoothGLM has"),
            ({"smoothness": 0.1}, "constraints need smoothness=0"),
            ({"penalty": "group_mcp"}, "constraints need a convex penalty"),
            ({"penalty_factors": {"a": 0}}, "constraints of group 'a' need a penalty factor above 0"),
            ({"kind": pg.GLMCV, "penalty_factors": pg.FactorSearch()}, "a FactorSearch does not know of them"),
            ({"kind": pg.GLMCV, "relaxed": True}, "relaxed weights know no constraints"),
        ],
    )
    def test_arguments(self, settings, said):
        X, Y = drawn()
        assert_complaint(said, partial(model(**settings).fit, X), Y["poisson"])

    def test_what_does_not_know_of_signs(self):
        X, Y = drawn()
        found = model(kind=pg.GLMCV, cv=3, precision="float32", tol=1e-3).fit(X, Y["poisson"])
        trial = np.arange(240) // 20
        test = partial(pg.significance, found, X, trial=trial, n_shifts=19)
        assert_complaint("local refits do not know of constraints", lambda Y: test(Y=Y), Y["poisson"])
