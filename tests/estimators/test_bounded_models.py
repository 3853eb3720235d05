"""Models within bounds: what explains them, files, streams, other kinds of steps, separation, and what refuses them."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from bounded import BOX, INF, LOWER, UPPER, assert_within, drawn, model
from complaints import assert_complaint
from few_groups import GROUP
from scipy.sparse import csr_matrix
from scipy.stats import poisson as poisson_density
from sklearn.base import clone

import popglm as pg
from popglm.solve.stream import RowStream


class TestTheRestOfTheModel:
    def test_masks_free_groups_and_starts_in_float32(self):
        X, Y = drawn()
        mask = np.ones((10, 4), bool)
        mask[0] = False
        given = {"penalty": "ridge", "feature_mask": mask, "penalty_factors": {"d": 0}}
        given |= {"precision": "float32", "tol": 1e-5}
        found = model(**given).fit(X, Y["poisson"])
        assert_within(found.coef_path_)
        assert not found.coef_path_[..., 0].any()
        free = model(**given | {"constraints": None}).fit(X, Y["poisson"])
        assert (free.coef_path_ > UPPER).any()
        # the start leaves the bounds
        begun = model(**given).fit(X, Y["poisson"], start=free)
        assert_within(begun.coef_path_)
        np.testing.assert_allclose(begun.coef_path_, found.coef_path_, atol=5e-3)

    def test_chosen_by_folds_kept_and_compared(self, tmp_path):
        X, Y = drawn()
        given = {"kind": pg.GLMCV, "cv": 3, "precision": "float32", "tol": 1e-5}
        found = model(**given).fit(X, Y["poisson"], groups=np.arange(240) // 20)
        assert_within(found.coef_)
        assert_within(found.cv_coef_path_)
        assert clone(found).constraints == BOX
        found.save(tmp_path / "model.nc")
        again = pg.load(tmp_path / "model.nc")
        assert again.constraints == BOX
        np.testing.assert_array_equal(again.penalty_.bounds, [LOWER, UPPER])
        reduced = pg.compare(found, X, Y["poisson"], variables={"b": "b"}, reselect=False)
        without = model(**given | {"cv": found.splits_}, lambdas=[found.lambda_[2]])
        without.set_params(feature_mask=(GROUP != 1)[:, None]).fit(X, Y["poisson"][:, [2]])
        lost = float(reduced["reduced_deviance"].isel(neuron=2, variable=0))
        assert lost == pytest.approx(without.cv_deviance_.sum(axis=0)[0, 0], rel=1e-3)
        # a weight at its bound is not free to move
        moving = (found.coef_ != 0) & ~np.isclose(found.coef_, LOWER) & ~np.isclose(found.coef_, UPPER)
        freedom = pg.goodness_of_fit(found, X, Y["poisson"])["degrees_of_freedom"]
        assert (moving.sum(axis=1) < (found.coef_ != 0).sum(axis=1)).any()
        np.testing.assert_allclose(freedom, 1 + moving.sum(axis=1), atol=1e-6)

    def test_refits_of_explanations_stay_within(self):
        rng = np.random.default_rng(8)
        session = pd.DataFrame(rng.normal(size=(240, 3)), columns=["speed", "lick", "turn"])
        trial = np.arange(240) // 20
        design = pg.Design([pg.linear(name) for name in session], standardize=False)
        X = design.fit_transform(session)
        Y = rng.poisson(np.exp(session @ [0.3, 0.3, -0.4])).astype(float)
        box = {"speed": (-0.1, 0.1), "turn": "positive"}
        found = pg.GLMCV(penalty="lasso", cv=3, lambdas=[0.01, 0.001], tol=1e-3, constraints=box)
        found.fit(X, Y, groups=trial)
        np.testing.assert_allclose(found.coef_[[0, 2]], [0.1, 0], rtol=1e-6)
        bands = pg.bootstrap(found, design, X, Y, trial=trial, n_resamples=5)["speed"]
        at = bands["speed"].to_numpy()
        for side in ("kernel", "lower", "upper"):
            np.testing.assert_allclose(bands[side].to_numpy().reshape(-1), 0.1 * at, rtol=1e-5)
        shares = pg.shapley(found, X, Y)["shapley"].to_series().droplevel(0)
        # without lick, speed would have more than its bound
        lost = {name: float(value) for name, value in shares.items()}
        assert lost["lick"] > lost["speed"] > 0
        assert lost["turn"] == pytest.approx(0, abs=1e-6)

    def test_norms_of_groups_are_fitted_on_the_host(self):
        X, Y = drawn()
        given = {"penalty": "sparse_group_lasso", "lambdas": [0.02], "tol": 1e-6}
        found = model(schedule="device", **given).fit(X, Y["poisson"])
        np.testing.assert_array_equal(found.coef_, model(schedule="host", **given).fit(X, Y["poisson"]).coef_)

    def test_checkpoints_tell_long_lists_of_bounds_apart(self, tmp_path):
        rng = np.random.default_rng(1)
        X, y, upper = rng.normal(size=(40, 1200)), rng.normal(size=40), np.ones(1200)
        upper[600] = 0.5
        for k, bounds in enumerate((np.ones(1200), upper)):
            kept = pg.GLM(
                "gaussian",
                penalty="lasso",
                feature_groups=["a"] * 1200,
                lambdas=[0.5],
                constraints={"a": (None, bounds)},
            )
            if k == 0:
                kept.fit(X, y, checkpoint=tmp_path)
            else:
                assert_complaint("constraints", partial(kept.fit, X, checkpoint=tmp_path), y)

    @pytest.mark.thorough
    def test_an_adaptive_lasso(self):
        X, Y = drawn()
        adaptive = {"penalty_factors": pg.AdaptiveFactors(), "precision": "float32", "tol": 1e-4}
        assert_within(model(kind=pg.GLMCV, cv=3, **adaptive).fit(X, Y["poisson"]).coef_)

    def test_rows_on_disk_and_sparse_rows(self, tmp_path):
        X, Y = drawn()
        given = {"lambdas": [0.02], "precision": "float32", "tol": 1e-5}
        whole = model(**given).fit(X, Y["poisson"])
        stream = RowStream(X.astype(np.float32), memory=4e5)
        found = model(**given).fit(stream, Y["poisson"])
        assert_within(found.coef_)
        np.testing.assert_allclose(found.coef_, whole.coef_, atol=1e-3)
        kept = np.where(np.abs(X) > 0.5, X, 0)
        sparse, dense = (model(**given).fit(rows, Y["poisson"]) for rows in (csr_matrix(kept), kept))
        assert_within(sparse.coef_)
        np.testing.assert_allclose(sparse.coef_, dense.coef_, atol=1e-3)

    @pytest.mark.parametrize(("penalty", "solver"), [("elastic_net", "adam"), ("sparse_group_lasso", "sgd")])
    def test_first_order_steps(self, penalty, solver):
        X, Y = drawn()
        given = {"penalty": penalty, "lambdas": [0.02], "tol": 1e-4}
        found = model(solver=solver, max_iter=400, **given).fit(X, Y["poisson"])
        assert_within(found.coef_)
        np.testing.assert_allclose(found.coef_, model(**given).fit(X, Y["poisson"]).coef_, atol=0.02)

    def test_a_loss_that_is_not_convex(self):
        """Activity that is Gaussian about exp(η): no force moves a weight that its bounds do not stop."""
        X, Y = drawn()
        y = np.exp(0.6 * Y["gaussian"][:, 0] - 1)
        found = model("gaussian", "ridge", inverse_link="exp", lambdas=[0.02]).fit(X, y)
        assert_within(found.coef_)
        mean = np.exp(X @ found.coef_ + found.intercept_)
        push = -((mean - y) * mean) @ X / len(y) - 0.02 * found.coef_
        stopped = ((found.coef_ == UPPER) & (push > 0)) | ((found.coef_ == LOWER) & (push < 0))
        assert (stopped & (found.coef_ != 0)).any()
        np.testing.assert_allclose(push[~stopped], 0, atol=1e-3)


class TestSeparation:
    """A weight that separates, and is stopped by a bound, is at its best there."""

    @pytest.mark.parametrize("constraints", [{"a": (-3, 3), "b": (-3, 3)}, {"a": (-3, 3)}, {"a": "negative"}])
    def test_where_a_bound_stops_it(self, constraints):
        X, y = separable()
        with warnings.catch_warnings():
            warnings.simplefilter("error", pg.PopglmWarning)
            found = alone("bernoulli", constraints).fit(X, y)
        assert found.coef_[0] == {"negative": 0}.get(constraints["a"], 3)

    def test_of_a_poisson_neuron(self):
        X, y = separable()
        X[:, 0] = y  # a condition without events
        y *= np.arange(len(y)) % 3
        with warnings.catch_warnings():
            warnings.simplefilter("error", pg.PopglmWarning)
            found = alone("poisson", {"a": (-3, 3), "b": (-3, 3)}).fit(X, y)
        assert found.coef_[0] == 3
        with pytest.warns(pg.PopglmWarning, match="no finite weights are best"):
            alone("poisson", {"b": (-3, 3)}).fit(X, y)

    @pytest.mark.parametrize("constraints", [{"a": (-3, None)}, {"a": "positive", "b": (-1, 1)}, {"b": "positive"}])
    def test_where_no_bound_stops_it(self, constraints):
        X, y = separable()
        with pytest.warns(pg.PopglmWarning, match="no finite weights are best"):
            alone("bernoulli", constraints).fit(X, y)


def separable() -> tuple[np.ndarray, np.ndarray]:
    """Two columns (200, 2), and events (200,) wherever the first one is above 0."""
    X = np.random.default_rng(5).normal(size=(200, 2))
    return X, (X[:, 0] > 0) * 1.0


def alone(family: str, constraints: dict) -> pg.GLM:
    return pg.GLM(family, penalty="none", feature_groups=["a", "b"], constraints=constraints)


class TestGoodnessOfFit:
    def test_of_a_neuron_with_all_its_weights_at_bounds(self):
        rng = np.random.default_rng(6)
        X = rng.normal(size=(300, 2))
        Y = rng.poisson(np.exp(X @ [[0.5, 0.0], [0.5, 0.0]])).astype(float)
        found = alone("poisson", {"a": (0, 0.1), "b": (0, 0.1)}).fit(X, Y)
        np.testing.assert_allclose(found.coef_[0], 0.1, rtol=1e-6)
        table = pg.goodness_of_fit(found, X, Y)
        # the intercept is all that is free, and its best value has a closed form
        assert table["degrees_of_freedom"].iloc[0] == 1
        eta = X.sum(axis=1) * 0.1
        eta += np.log(Y[:, 0].sum() / np.exp(eta).sum())
        likely = poisson_density.logpmf(Y[:, 0], np.exp(eta)).sum()
        assert table["log_likelihood"].iloc[0] == pytest.approx(likely, rel=1e-6)
        assert table["aic"].iloc[0] == pytest.approx(2 - 2 * likely, rel=1e-6)


class TestBadInput:
    @pytest.mark.parametrize(
        ("constraints", "said"),
        [
            ({"a": 0.5}, "constraints of group 'a' must be 'positive', 'negative' or a pair (lower, upper); found 0.5"),
            ({"a": (0, 1, 2)}, "or a pair (lower, upper); found (0, 1, 2)"),
            ({"a": {"lower": 0, "upper": 1}}, "or a pair (lower, upper); found {'lower': 0, 'upper': 1}"),
            ({"a": (0.1, 1)}, "constraints of group 'a': the lower bound is 0.1, which leaves no weight of 0"),
            ({"a": (-1, -0.1)}, "the upper bound is -0.1, which leaves no weight of 0"),
            ({"a": (INF, None)}, "the lower bound is inf, which leaves no weight of 0"),
            ({"a": (None, [1, -2, 1])}, "the upper bound is -2"),
            ({"a": (1, -1)}, "constraints of group 'a': the lower bound 1 is above the upper bound -1; swap them"),
            ({"a": (INF, -INF)}, "the lower bound inf is above the upper bound -inf"),
            ({"a": (0, [1, -2, 1])}, "the lower bound 0 is above the upper bound -2"),
            ({"a": [np.nan, 1]}, "the lower bound must be a number, or -inf where there is none; found nan"),
            ({"a": (0, "much")}, "the upper bound must be a number, or inf where there is none; found 'much'"),
            ({"a": (False, 1)}, "the lower bound must be a number, or -inf where there is none; found False"),
            ({"a": [(None, None), (0, None), (0, 1)]}, "all upper bounds, as in ([l1, l2], [u1, u2]) for two columns"),
            (
                {"a": [[-1, 1], [-2, 2], [-3, 3]]},
                "found what may be a pair for each column, [[-1, 1], [-2, 2], [-3, 3]]",
            ),
            (
                {"b": [(None, None), (0, None)]},
                "constraints of group 'b' must have all lower bounds first and then all",
            ),
            ({"b": ((-1, 1), (0, 2))}, "as in ([l1, l2], [u1, u2]) for two columns; found what may be a pair"),
            ({"a": (0, [1, 2])}, "constraints of group 'a' has 2 upper bounds for 3 columns; give one number"),
            ({"a": (0, [[1, 2, 3]])}, "the upper bound must be one number, or a list of one per column"),
            ({"z": (0, 1)}, "constraints names 'z', which is no feature group"),
        ],
    )
    def test_bounds(self, constraints, said):
        X, Y = drawn()
        assert_complaint(said, partial(model(constraints=constraints).fit, X), Y["poisson"])

    @pytest.mark.parametrize("kind", [tuple, list, np.array])
    def test_two_lists_for_two_columns_are_lower_and_upper_bounds(self, kind):
        X, Y = drawn()
        found = model(constraints={"b": kind([[-0.5, 0], [0.25, 1]])}, lambdas=[0.02]).fit(X, Y["poisson"])
        np.testing.assert_array_equal(found.penalty_.bounds[:, 3:5], [[-0.5, 0], [0.25, 1]])

    def test_tests_of_weights(self):
        X, Y = drawn()
        found = model(penalty="none", tol=1e-6).fit(X, Y["poisson"])
        assert_complaint("wald: the model has constraints", partial(pg.wald, found, X), Y["poisson"])
        assert_complaint("the model has constraints, under which", partial(pg.likelihood_ratio, found, X), Y["poisson"])
        chosen = model(kind=pg.GLMCV, cv=3, precision="float32", tol=1e-3).fit(X, Y["poisson"])
        test = partial(pg.significance, chosen, X, trial=np.arange(240) // 20, n_shifts=19)
        assert_complaint("local refits do not know of constraints", lambda Y: test(Y=Y), Y["poisson"])

    def test_norms_of_groups_of_a_wide_sparse_design(self):
        wide = {"feature_groups": [2400], "constraints": {"group0": (0, 1)}, "penalty": "group_lasso"}
        fit = partial(model(**wide).fit, csr_matrix((20, 2400)))
        assert_complaint("norms of groups do not go with constraints", fit, np.arange(20.0))
