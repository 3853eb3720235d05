"""Sparse group lasso: weights of other libraries, its limits, conditions of a minimum by hand, and ways to fit it."""

from functools import cache, partial

import numpy as np
import pytest
from complaints import assert_complaint
from few_groups import GROUP, SIZES, recorded
from scipy.optimize import brentq
from scipy.sparse import csr_matrix

import popglm as pg
from popglm.statistics.sparse_groups import SparseGroupPenalty

SHARE = 0.4
#: Columns of each group.
OF = [np.flatnonzero(b == GROUP) for b in range(len(SIZES))]


@cache
def drawn():
    """X and activity of three families."""
    X, Y, _ = recorded(240, 0.3, 5)
    return X, Y


def model(family="poisson", **settings):
    given = {"penalty": "sparse_group_lasso", "l1_ratio": SHARE, "feature_groups": SIZES, "precision": "float64"}
    given |= {"n_lambdas": 5, "lambda_min_ratio": 0.03, "tol": 1e-9, "verbose": 0}
    return pg.GLM(family, **{**given, **settings})


@cache
def fitted(family):
    X, Y = drawn()
    return model(family).fit(X, Y[family])


def other_problem():
    rng = np.random.default_rng(7)
    X = rng.standard_normal((60, 10)) @ (np.eye(10) + 0.3 * rng.standard_normal((10, 10)))
    return X, X[:, 0] - 0.5 * X[:, 3] + 0.8 * X[:, 4] + rng.standard_normal(60)


def test_weights_of_skglm():
    # skglm 0.5: GroupBCD with QuadraticGroup and WeightedL1GroupL2(0.3, ...), weights 0.4 and 0.6 √p_g, on centred data
    expected = [0.02777626, 0.00579127, 0.00508291, -0.29065354, 0.5894648, 0, 0.14920313, 0, 0, 0]
    found = model("gaussian", lambdas=[0.3], feature_groups=[3, 4, 1, 2]).fit(*other_problem())
    np.testing.assert_allclose(found.coef_, expected, atol=2e-5)
    assert (found.coef_[[5, 7, 8, 9]] == 0).all()


def test_weights_of_himalaya():
    # himalaya 0.4.11: solve_sparse_group_lasso(l21_reg=0.25, l1_reg=0.1), whose groups have no factor √p_g
    expected = [0.20820754, 0.0238798, 0.05244423, -0.26352774, 0.72570109, 0, 0, 0, 0, 0]
    lam = 0.1 + 0.25 / np.sqrt(2)
    found = model("gaussian", lambdas=[lam], l1_ratio=0.1 / lam, feature_groups=[2] * 5).fit(*other_problem())
    np.testing.assert_allclose(found.coef_, expected, atol=2e-5)
    assert (found.coef_[5:] == 0).all()


@pytest.mark.parametrize(("share", "penalty"), [(1.0, "lasso"), (0.0, "group_lasso")])
def test_its_limits(share, penalty):
    X, Y = drawn()
    limit, known = (model(**given).fit(X, Y["poisson"]) for given in (
        {"l1_ratio": share}, {"penalty": penalty, "l1_ratio": None},
    ))  # fmt: skip
    np.testing.assert_allclose(limit.lambda_path_, known.lambda_path_, rtol=1e-12)
    np.testing.assert_allclose(limit.coef_path_, known.coef_path_, atol=2e-5)


def gradients(found, X, Y):
    """Of the loss at every strength, over the samples in which a neuron was recorded."""
    inverse = {"gaussian": lambda eta: eta, "poisson": np.exp, "bernoulli": lambda eta: 1 / (1 + np.exp(-eta))}
    for W, b, lam in zip(found.coef_path_, found.intercept_path_, found.lambda_path_, strict=True):
        residual = np.nan_to_num(inverse[found.family](X @ W.T + b) - Y)
        yield W, residual.T @ X / np.isfinite(Y).sum(axis=0)[:, None], lam


@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
def test_conditions_of_a_minimum(family):
    X, Y = drawn()
    found = fitted(family)
    assert found.gap_.max() <= 1e-9
    some = 0
    for W, G, lam in gradients(found, X, Y[family]):
        for w, g, strength in zip(W, G, lam, strict=True):
            for b, size in enumerate(SIZES):
                own, force = w[OF[b]], g[OF[b]]
                beyond = np.maximum(np.abs(force) - SHARE * strength, 0)
                norm, of_group = np.linalg.norm(own), (1 - SHARE) * np.sqrt(size) * strength
                if norm == 0:
                    assert np.linalg.norm(beyond) <= of_group + 1e-4 * strength
                    continue
                used = own != 0
                np.testing.assert_allclose(beyond[~used], 0, atol=5e-4 * strength)
                pull = SHARE * strength * np.sign(own) + of_group * own / norm
                np.testing.assert_allclose(force[used], -pull[used], atol=5e-3 * strength)
                some += 0 < used.sum() < size
    # groups of which single columns are left out
    assert some > 5


def test_certificates_bound_the_distance_to_the_minimum():
    X, Y = drawn()
    rough, exact = model(tol=1e-2).fit(X, Y["poisson"]), fitted("poisson")
    penalty, y = exact.penalty_, Y["poisson"]

    def objectives(found):
        for W, b, lam in zip(found.coef_path_, found.intercept_path_, found.lambda_path_, strict=True):
            eta = X @ W.T + b
            yield np.nanmean(np.exp(eta) - y * eta, axis=0) + penalty.value(W, lam)

    apart = np.array(list(objectives(rough))) - np.array(list(objectives(exact)))
    # gaps are told in units of the null deviance of a sample
    mean = np.nanmean(y, axis=0)
    null = np.nanmean(np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / mean), 0) - (y - mean), axis=0)
    assert (apart >= -1e-8).all()
    assert (apart <= rough.gap_ * null + 1e-8).all()
    assert rough.gap_.max() > 1e-4


def test_the_largest_strength_is_the_root_of_its_equation():
    rng = np.random.default_rng(2)
    for share in (0.0, 0.05, 0.6, 0.999, 1.0):
        penalty = SparseGroupPenalty.of_share(share, SIZES, group_factors=np.array([1.0, 0.3, 2.0, 1.0]))
        gradient = rng.standard_normal((3, 10)) * [[1], [1e-6], [1e5]]
        found = penalty.dual_norm(gradient)
        for g, top in zip(gradient, found, strict=True):
            roots = []
            for b, (size, c) in enumerate(zip(SIZES, penalty.factors, strict=True)):
                force = np.abs(g[OF[b]])

                def above(lam, force=force, size=size, c=c, share=share):
                    beyond = np.maximum(force - lam * c * share, 0)
                    return np.sqrt(np.sum(beyond**2)) - lam * c * (1 - share) * np.sqrt(size)

                most = 10 * force.sum() / c
                roots.append(brentq(above, 0, most, xtol=1e-14 * most) if share < 1 else force.max() / c)
            assert top == pytest.approx(max(roots), rel=1e-7)
            # never below it: the first strength of a path has no weights
            assert top >= max(roots) * (1 - 1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"engine": "numpy", "schedule": "device"},
        {"engine": "torch", "schedule": "device"},
        {"engine": "jax", "schedule": "device"},
        {"engine": "tensorflow"},
    ],
    ids=lambda settings: settings["engine"],
)
def test_every_engine(settings):
    pytest.importorskip(settings["engine"])
    X, Y = drawn()
    given = settings | {"tol": 1e-6, "lambdas": [0.02]}
    X, y = X[:120], Y["poisson"][:120, 2:]
    found, own = (model(**one).fit(X, y) for one in (given, given | {"engine": "numpy", "schedule": "host"}))
    assert found.gap_.max() <= 1e-6
    np.testing.assert_allclose(found.coef_path_, own.coef_path_, atol=2e-3)


class TestWaysToFit:
    def test_masks_and_factors(self):
        X, Y = drawn()
        mask = np.ones((10, 4), bool)
        mask[4, :2] = mask[9, 3] = False
        factors = [1, 0.5, 2, 0]
        found = model(feature_mask=mask, penalty_factors=factors).fit(X, Y["poisson"])
        assert found.gap_.max() <= 1e-9
        assert not found.coef_path_[:, ~mask.T].any()
        # neuron 2 has no mask: the objective by hand is that of the penalty
        w, lam = found.coef_path_[-1, 2], found.lambda_path_[-1, 2]
        value = sum(
            c * (SHARE * np.abs(w[OF[b]]).sum() + (1 - SHARE) * np.sqrt(p) * np.linalg.norm(w[OF[b]]))
            for b, (p, c) in enumerate(zip(SIZES, factors, strict=True))
        )
        assert found.penalty_of(2).value(w[None], lam[None])[0] == pytest.approx(lam * value)

    def test_factors_of_each_neuron(self):
        X, Y = drawn()
        factors = np.random.default_rng(0).uniform(0.5, 2, (4, 4))
        together = model(penalty_factors=factors, lambdas=[0.02]).fit(X, Y["poisson"])
        alone = model(penalty_factors=factors[:, 1], lambdas=[0.02]).fit(X, Y["poisson"][:, 1])
        np.testing.assert_allclose(together.coef_path_[0, 1], alone.coef_path_[0, 0], atol=1e-5)

    def test_sparse_and_from_disk(self, tmp_path):
        X, Y = drawn()
        X = np.where(np.abs(X) > 1, X, 0)
        dense = model(n_lambdas=3).fit(X, Y["poisson"])
        np.testing.assert_allclose(model(n_lambdas=3).fit(csr_matrix(X), Y["poisson"]).coef_path_, dense.coef_path_)
        np.save(tmp_path / "X.npy", X)
        rows = pg.RowStream(np.load(tmp_path / "X.npy", mmap_mode="r"), memory=20_000)
        np.testing.assert_allclose(model(n_lambdas=3).fit(rows, Y["poisson"]).coef_path_, dense.coef_path_, atol=1e-5)

    def test_chosen_by_folds_kept_and_explained(self, tmp_path):
        X, Y = drawn()
        given = {"penalty": "sparse_group_lasso", "feature_groups": list("aaabbccccd"), "n_lambdas": 5, "cv": 3}
        found = pg.GLMCV("poisson", **given, relaxed=True).fit(X, Y["poisson"], groups=np.arange(240) // 20)
        found.save(tmp_path / "model.nc")
        again = pg.load(tmp_path / "model.nc")
        np.testing.assert_array_equal(again.coef_, found.coef_)
        assert again.penalty_.column_share == 0.5
        chosen = pg.GLMCV("poisson", **given).fit(X, Y["poisson"], groups=np.arange(240) // 20)
        reduced = pg.compare(chosen, X, Y["poisson"], reselect=False)
        j, g = 2, 1
        settings = {"penalty": "sparse_group_lasso", "feature_groups": list("aaabbccccd"), "n_lambdas": 5}
        without = pg.GLMCV("poisson", **settings | {"lambdas": [chosen.lambda_[j]]}, cv=chosen.splits_)
        without.set_params(feature_mask=np.array([[True], [False], [True], [True]])).fit(X, Y["poisson"][:, [j]])
        expected = without.cv_deviance_.sum(axis=0)[0, 0]
        assert float(reduced["reduced_deviance"].isel(neuron=j, variable=g)) == pytest.approx(expected, rel=1e-3)


def test_relaxed_weights_are_of_the_columns_that_were_chosen():
    rng = np.random.default_rng(7)
    X = rng.standard_normal((600, 6))
    y = rng.poisson(np.exp(0.5 * X[:, 0])).astype(float)
    given = {"feature_groups": ["a"] * 4 + ["b"] * 2, "lambdas": [0.15], "cv": 3, "tol": 1e-8}
    found = pg.GLMCV("poisson", penalty="sparse_group_lasso", relaxed=[0.0], precision="float64", **given).fit(X, y)
    assert np.flatnonzero(found.coef_path_[0, 0]).tolist() == [0]
    assert np.flatnonzero(found.coef_).tolist() == [0]
    alone = pg.GLM("poisson", penalty="none", tol=1e-8, precision="float64").fit(X[:, :1], y)
    assert found.coef_[0] == pytest.approx(alone.coef_[0], abs=1e-4)


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"smoothness": 0.1}, "leaves single columns out, which smoothness=0.1"),
            ({"feature_groups": None}, "feature_groups is needed by penalty='sparse_group_lasso'"),
            ({"l1_ratio": 1.2}, "l1_ratio=1.2 must lie between 0 and 1"),
        ],
    )
    def test_arguments(self, settings, said):
        X, Y = drawn()
        assert_complaint(said, partial(model(**settings).fit, X), Y["poisson"])

    def test_a_wide_sparse_design(self):
        fit = partial(model(feature_groups=[1200, 1200]).fit, csr_matrix((20, 2400)))
        assert_complaint("a sparse group lasso is out of reach", fit, np.arange(20.0))
