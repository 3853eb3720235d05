"""Breakdown against predictions made by hand, sklearn's deviances, and the Gaussian identity."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from populations import fitted
from scipy.linalg import hadamard
from sklearn.metrics import log_loss, mean_poisson_deviance, mean_squared_error

import popglm as pg

SCORES = {
    "poisson": lambda y, mu: len(y) * mean_poisson_deviance(y, mu),
    "gaussian": lambda y, mu: len(y) * mean_squared_error(y, mu),
    "bernoulli": lambda y, mu: 2 * log_loss(y, mu, normalize=False),
}
VARIABLES = {"position": "position", "cue": "* × cue", "speed": "speed"}


@pytest.fixture(scope="module")
def population():
    return fitted()


def ablated(X, groups):
    """A copy of the design matrix with the columns of some groups at 0."""
    X = X.copy()
    X.loc[:, X.columns.get_level_values("group").isin(groups)] = 0
    return X


@pytest.mark.parametrize("family", ["poisson", "gaussian", "bernoulli"])
def test_zero_is_the_held_out_prediction_from_an_ablated_matrix(family):
    model, X, Y, _ = fitted(family)
    result = pg.breakdown(model, X, Y, VARIABLES)
    full, without = model.predict_held_out(X), model.predict_held_out(ablated(X, ["position × cue"]))
    for j in range(Y.shape[1]):
        constant = np.full(len(Y), Y[:, j].mean())

        def score(mu, y=Y[:, j]):
            return SCORES[family](y, mu)

        at = result.isel(neuron=j)
        np.testing.assert_allclose(at.null_deviance, score(constant), rtol=1e-9)
        np.testing.assert_allclose(at.full_deviance, score(full[:, j]), rtol=1e-9)
        np.testing.assert_allclose(at.reduced_deviance.sel(variable="cue"), score(without[:, j]), rtol=1e-9)
        share = (score(without[:, j]) - score(full[:, j])) / score(constant)
        np.testing.assert_allclose(at.fraction_null_deviance.sel(variable="cue"), share, atol=1e-9)
        np.testing.assert_allclose(at.deviance_explained, 1 - score(full[:, j]) / score(constant), atol=1e-9)


def test_each_neuron_is_carried_by_the_variable_that_drives_it(population):
    model, X, Y, _ = population
    shares = pg.breakdown(model, X, Y, VARIABLES).fraction_explained_deviance.to_pandas()
    assert (shares.iloc[:3].to_numpy().argmax(axis=1) == [0, 1, 2]).all()
    assert (np.diag(shares.iloc[:3]) > 0.7).all()


def test_keep_ablates_all_others(population):
    model, X, Y, _ = population
    result = pg.breakdown(model, X, Y, VARIABLES, method="keep")
    alone = model.predict_held_out(ablated(X, ["position", "position × cue"]))
    expected = [len(Y) * mean_poisson_deviance(Y[:, j], alone[:, j]) for j in range(4)]
    np.testing.assert_allclose(result.reduced_deviance.sel(variable="speed"), expected, rtol=1e-9)
    gain = (result.null_deviance - result.reduced_deviance) / result.null_deviance
    np.testing.assert_allclose(result.fraction_null_deviance, gain, atol=1e-12)


def test_shuffle_permutes_the_rows_of_a_variable_together(population):
    model, X, Y, _ = population
    result = pg.breakdown(model, X, Y, ["speed"], method="shuffle", seed=3)
    again = pg.breakdown(model, X, Y, ["speed"], method="shuffle", seed=3)
    other = pg.breakdown(model, X, Y, ["speed"], method="shuffle", seed=4)
    np.testing.assert_array_equal(result.reduced_deviance, again.reduced_deviance)
    assert (result.reduced_deviance[2] != other.reduced_deviance[2]).all()
    shuffled = X.copy()
    rows = np.random.default_rng(3).permutation(np.arange(len(X)))
    shuffled[("speed", "linear")] = X[("speed", "linear")].to_numpy()[rows]
    expected = [len(Y) * mean_poisson_deviance(Y[:, j], model.predict_held_out(shuffled)[:, j]) for j in range(4)]
    np.testing.assert_allclose(result.reduced_deviance[:, 0], expected, rtol=1e-9)


def test_bins_hold_means_per_sample_and_capped_shares(population):
    model, X, Y, b = population
    by = [
        pg.bins(b["position"], centers=np.linspace(0, 100, 6), half_width=20, unit="cm"),
        pg.bins(b["speed"], centers=[-1, 1], half_width=1),
    ]
    result = pg.breakdown(model, X, Y, VARIABLES, by)
    assert list(result.axis.values) == ["position"] * 6 + ["speed"] * 2
    assert list(result.unit.values) == ["cm"] * 6 + [""] * 2
    full, without = model.predict_held_out(X), model.predict_held_out(ablated(X, ["position"]))
    inside = (b["position"] >= 20) & (b["position"] < 60)  # the bin around 40

    def score(rows, mu):
        return mean_poisson_deviance(Y[rows, 0], mu[rows])

    at = result.isel(neuron=0, bin=2)
    everyone = np.ones(len(Y), bool)
    mean = np.full(len(Y), Y[:, 0].mean())
    np.testing.assert_allclose(at.n_samples, inside.sum())
    np.testing.assert_allclose(at.binned_null_deviance, score(inside, mean))
    np.testing.assert_allclose(at.binned_full_deviance, score(inside, full[:, 0]))
    np.testing.assert_allclose(at.binned_reduced_deviance.sel(variable="position"), score(inside, without[:, 0]))
    rise = score(inside, without[:, 0]) - score(inside, full[:, 0])
    explained_here = max(score(inside, mean) - score(inside, full[:, 0]), 0)
    explained = score(everyone, mean) - score(everyone, full[:, 0])
    shares = at.sel(variable="position")
    np.testing.assert_allclose(shares.binned_fraction_explained_deviance, min(rise, explained_here) / explained)
    capped = min(rise, score(inside, mean)) / score(everyone, mean)
    np.testing.assert_allclose(shares.binned_fraction_null_deviance, capped)
    assert (result.binned_fraction_explained_deviance.isel(neuron=3) > 0).any() or np.isnan(
        result.fraction_explained_deviance.isel(neuron=3)
    ).all()


def test_bins_that_tile_the_samples_average_to_the_whole(population):
    model, X, Y, b = population
    tiles = pg.bins(b["position"], centers=np.arange(0, 110, 10), half_width=5)
    result = pg.breakdown(model, X, Y, VARIABLES, tiles)
    mean = (result.binned_reduced_deviance * result.n_samples).sum("bin")
    np.testing.assert_allclose(mean, result.reduced_deviance, rtol=1e-9)
    # without a cap in force, the shares of tiles add up to the overall share
    loose = (result.binned_reduced_deviance - result.binned_full_deviance) * result.n_samples
    share = loose.sum("bin") / result.null_deviance
    np.testing.assert_allclose(share, (result.reduced_deviance - result.full_deviance) / result.null_deviance)


def test_empty_bins_are_nan_and_only_they(population):
    model, X, Y, b = population
    with pytest.warns(pg.PopglmWarning, match="hold no sample"):
        by = pg.bins(b["position"], centers=[50, 500], half_width=10)
    result = pg.breakdown(model, X, Y, VARIABLES, by)
    for name in ("binned_null_deviance", "binned_fraction_null_deviance", "binned_fraction_explained_deviance"):
        assert np.isnan(result[name].isel(bin=1)).all()
    assert np.isfinite(result.binned_fraction_null_deviance.isel(bin=0)).all()
    assert np.isfinite(result.fraction_null_deviance).all()


def test_missing_samples_drop_out_of_their_neuron_alone(population):
    model, X, Y, b = population
    holes = Y.copy()
    holes[300:500, 0] = np.nan
    by = pg.bins(b["position"], centers=[20, 60], half_width=20)
    result, complete = pg.breakdown(model, X, holes, VARIABLES, by), pg.breakdown(model, X, Y, VARIABLES, by)
    xr_rest = {"neuron": slice(1, None)}
    np.testing.assert_array_equal(result.reduced_deviance.isel(xr_rest), complete.reduced_deviance.isel(xr_rest))
    known = ~np.isnan(holes[:, 0])
    mu = model.predict_held_out(X)[known, 0]
    np.testing.assert_allclose(result.full_deviance[0], known.sum() * mean_poisson_deviance(Y[known, 0], mu))
    inside = known & (b["position"] >= 0) & (b["position"] < 40)
    here = mean_poisson_deviance(Y[inside, 0], model.predict_held_out(X)[inside, 0])
    np.testing.assert_allclose(result.binned_full_deviance[0, 0], here)


def test_weights_count_like_repeated_samples(population):
    model, X, Y, b = population
    weight = np.random.default_rng(0).integers(0, 3, len(Y))
    by = pg.bins(b["position"], centers=[20, 60], half_width=20)
    weighted = pg.breakdown(model, X, Y, VARIABLES, by, held_out=False, sample_weight=weight)
    rows = np.repeat(np.arange(len(Y)), weight)
    by = pg.bins(b["position"].iloc[rows], centers=[20, 60], half_width=20)
    repeated = pg.breakdown(model, X.iloc[rows], Y[rows], VARIABLES, by, held_out=False)
    for name in ("null_deviance", "reduced_deviance", "binned_reduced_deviance", "binned_fraction_null_deviance"):
        np.testing.assert_allclose(weighted[name], repeated[name], rtol=1e-9, atol=1e-12)


def test_on_test_data_with_a_model_that_was_not_cross_validated(population):
    _, X, Y, _ = population
    model = pg.GLM(penalty="ridge", lambdas=[0.01]).fit(X[:800], Y[:800])
    result = pg.breakdown(model, X[800:], Y[800:], VARIABLES, held_out=False)
    np.testing.assert_allclose(
        result.deviance_explained, model.evaluate(X[800:], Y[800:])["deviance_explained"], rtol=1e-5
    )


def test_gaussian_contributions_of_orthogonal_groups_add_up():
    """Hadamard columns are orthogonal and centred, over all rows and in every fold of whole copies of the matrix."""
    H = hadamard(16)[:, 1:13].astype(float)
    X = pd.DataFrame(np.tile(H, (10, 1)), columns=pd.MultiIndex.from_product([list("abcd"), range(3)]))
    rng = np.random.default_rng(0)
    Y = X.to_numpy() @ rng.normal(size=(12, 5)) + rng.normal(size=(160, 5))
    # each copy has the same mean, so that every fold's intercept is the mean of its test samples
    copies = Y.reshape(10, 16, 5)
    Y = (copies - copies.mean(axis=1, keepdims=True)).reshape(160, 5) + 3
    fold = np.repeat(np.arange(5), 32)
    for penalty in ("ridge", "group_lasso"):
        model = pg.GLMCV(family="gaussian", penalty=penalty, lambdas=[0.3, 0.05], cv=5, precision="float64")
        model.fit(X, Y, groups=fold)
        result = pg.breakdown(model, X, Y)
        np.testing.assert_allclose(result.fraction_explained_deviance.sum("variable"), 1, rtol=1e-9)
        np.testing.assert_allclose(result.fraction_null_deviance.sum("variable"), result.deviance_explained, rtol=1e-9)
        # a group that is kept alone explains what is missing without it
        alone = pg.breakdown(model, X, Y, method="keep")
        np.testing.assert_allclose(alone.fraction_null_deviance, result.fraction_null_deviance, atol=1e-9)


def test_shares_are_nan_where_nothing_is_explained_and_0_for_silent_neurons(population):
    model, X, Y, _ = population
    silent = np.column_stack([Y[:, :3], np.zeros(len(Y))])
    result = pg.breakdown(model, X, silent, VARIABLES)
    assert (result.fraction_null_deviance[3] == 0).all()
    assert (result.null_deviance[3], result.deviance_explained[3]) == (0, 0)
    assert np.isnan(result.fraction_explained_deviance[3]).all()
    assert np.isfinite(result.fraction_explained_deviance[:3]).all()


class TestOtherData:
    """Rows without labels can be in another order than in the fit; only what the model predicts of them tells."""

    def test_permuted_rows_are_told(self, population):
        model, X, Y, _ = population
        order = np.random.default_rng(3).permutation(len(X))
        with pytest.warns(pg.PopglmWarning, match="breakdown: X and Y are not those of the fit, or in another order"):
            pg.breakdown(model, X.to_numpy()[order], Y[order])
        with pytest.warns(pg.PopglmWarning, match=r"explained of neuron 'neuron0' is .*, and was .* in the fit\."):
            pg.breakdown(model, X.to_numpy(), Y[order])

    @pytest.mark.parametrize("held_out", [True, False])
    def test_the_data_of_the_fit_and_parts_of_it_are_not(self, population, held_out):
        model, X, Y, _ = population
        rows = slice(None) if held_out else np.arange(1, len(X), 2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pg.breakdown(model, X.to_numpy()[rows], Y[rows], held_out=held_out)


class TestBadInput:
    def test_a_model_that_was_not_cross_validated(self, population):
        _, X, Y, _ = population
        model = pg.GLM(lambdas=[0.1]).fit(X, Y)
        with pytest.raises(ValueError, match=r"breakdown scores held-out predictions.* found GLM\."):
            pg.breakdown(model, X, Y)
        with pytest.raises(ValueError, match="found an unfitted GLMCV"):
            pg.breakdown(pg.GLMCV(), X, Y)

    def test_an_unknown_variable(self, population):
        model, X, Y, _ = population
        with pytest.raises(ValueError, match="Did you mean 'speed'"):
            pg.breakdown(model, X, Y, ["sped"])

    def test_variables_that_overlap(self, population):
        model, X, Y, _ = population
        with pytest.raises(ValueError, match="'a' and 'b' overlap"):
            pg.breakdown(model, X, Y, {"a": "position*", "b": "position"})

    def test_a_matrix_from_another_design(self, population):
        model, X, Y, b = population
        position = pg.bumps("position", n=5, low=0, high=100)
        terms = [position, pg.linear("speed"), position * "cue"]
        other = pg.Design(terms, trial="trial", dtype="float64").fit_transform(b)
        # the same columns in another order are put in that of the fit
        xr.testing.assert_identical(pg.breakdown(model, other, Y), pg.breakdown(model, X, Y))
        with pytest.raises(ValueError, match="acceleration"):
            pg.breakdown(model, X.rename(columns={"speed": "acceleration"}), Y)
        complaint = r"0 columns of 'position × cue' where the model was fitted to 5 \(5 columns in all, and 11\)"
        with pytest.raises(ValueError, match=complaint):
            pg.breakdown(model, X[["position"]], Y)
        with pytest.raises(ValueError, match="3 features"):
            pg.breakdown(model, X.to_numpy()[:, :3], Y)

    def test_other_rows(self, population):
        model, X, Y, _ = population
        with pytest.raises(ValueError, match="X has 100 rows, but the model was cross-validated on 1200"):
            pg.breakdown(model, X[:100], Y[:100])

    def test_other_neurons(self, population):
        model, X, Y, _ = population
        with pytest.raises(ValueError, match="Y has 2 neurons; the model was fitted to 4"):
            pg.breakdown(model, X, Y[:, :2])

    def test_an_unknown_method(self, population):
        model, X, Y, _ = population
        with pytest.raises(ValueError, match="method='drop' is unknown; use one of zero, shuffle, keep"):
            pg.breakdown(model, X, Y, method="drop")

    def test_columns_that_are_not_centred(self, population):
        _, X, Y, b = population
        raw = pg.Design([pg.bumps("position", n=5, low=0, high=100), pg.linear("speed")], standardize=False)
        X = raw.fit_transform(b)
        model = pg.GLMCV(n_lambdas=3, cv=3).fit(X, Y, groups=b["trial"])
        with pytest.warns(pg.PopglmWarning, match="columns of 'position' are not centred") as caught:
            pg.breakdown(model, X, Y)
        assert caught[0].filename == __file__
