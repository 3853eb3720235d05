"""Fits of low rank against closed forms, other penalties, and the conditions of a minimum."""

import numpy as np
import pytest
from estimators.low_rank import BASIS, NAMES, N, Q, conditions, coupled, network, quietly

import popglm as pg

EXACT = {"precision": "float64", "tol": 1e-8}


def gaussian(n=300, m=6, q=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, m)) @ (np.eye(m) + 0.4 * rng.standard_normal((m, m))) + 3
    return X, X @ rng.standard_normal((m, 2)) @ rng.standard_normal((2, q)) + 2 * rng.standard_normal((n, q)) - 5


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_without_a_penalty_gaussian_fits_are_reduced_rank_regression(rank):
    X, Y = gaussian()
    model = pg.LowRankGLM("gaussian", low_rank=rank, lambdas=0, **EXACT).fit(X, Y)
    x, y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    ols = np.linalg.lstsq(x, y, rcond=None)[0]
    V = np.linalg.svd(x @ ols, full_matrices=False)[2][:rank].T
    # Izenman 1975: the least squares of rank r are those of full rank on the leading directions of what they predict
    np.testing.assert_allclose(model.coef_.T, ols @ V @ V.T, atol=1e-5)
    np.testing.assert_allclose(model.intercept_, Y.mean(axis=0) - X.mean(axis=0) @ ols @ V @ V.T, atol=1e-4)
    assert model.rank_ == rank
    assert np.isnan(model.gap_).all()
    assert not model.is_global_


@pytest.mark.parametrize("strength", [0.2, 0.8])
def test_orthonormal_columns_have_singular_values_less_the_strength(strength):
    X, Y = gaussian()
    x = np.linalg.qr(X - X.mean(axis=0))[0] * np.sqrt(len(X))
    U, size, Vt = np.linalg.svd(x.T @ (Y - Y.mean(axis=0)) / len(X), full_matrices=False)
    shrunk = np.maximum(size - strength, 0)
    model = pg.LowRankGLM("gaussian", low_rank=5, lambdas=strength, **EXACT).fit(x, Y)
    np.testing.assert_allclose(model.coef_.T, (U * shrunk) @ Vt, atol=1e-5)
    assert model.rank_ == (shrunk > 0).sum() < 5
    np.testing.assert_allclose(model.singular_values_, shrunk[shrunk > 0], atol=1e-5)
    assert model.is_global_
    assert 0 <= model.gap_[0, 0] <= 1e-8


@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_a_single_neuron_has_a_group_lasso_of_one_group(family):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 4)) @ (np.eye(4) + 0.3 * rng.standard_normal((4, 4)))
    y = (rng.poisson(np.exp(0.5 * X[:, 0] - 0.5)) > (0 if family == "bernoulli" else -1)) * 1.0
    y = y if family == "bernoulli" else rng.poisson(np.exp(0.5 * X[:, 0] - 0.5)).astype(float)
    low = pg.LowRankGLM(family, low_rank=1, lambdas=0.2, **EXACT).fit(X, y)
    group = pg.GLM(family, penalty="group_lasso", feature_groups=[4], lambdas=[0.2 / 2], tol=1e-10, precision="float64")
    np.testing.assert_allclose(low.coef_, group.fit(X, y).coef_, atol=1e-5)
    assert low.coef_.shape == (4,)
    assert low.is_global_


@pytest.fixture(scope="module")
def counts():
    return network()


@pytest.mark.parametrize("own", ["free", "zero", "low_rank"])
def test_certified_fits_meet_the_conditions_of_a_minimum(counts, own):
    X, _ = coupled(counts)
    Y = counts.copy()
    Y.iloc[:100, 2] = np.nan
    weight, offset = np.random.default_rng(1).uniform(0.5, 2, N), np.random.default_rng(2).normal(0, 0.3, N)
    model = pg.LowRankGLM(low_rank=Q, lambdas=0.03, own=own, ridge=0.01, **EXACT)
    model.fit(X, Y, sample_weight=weight, offset=offset)
    # own pasts are of full rank
    assert model.is_global_
    assert model.rank_ == Q if own == "low_rank" else 1 < model.rank_ < Q
    largest, along, free, intercept = conditions(model, X, Y, weight, offset)
    assert largest < 1 + 1e-5
    assert along < 1e-3
    assert free < 1e-6
    assert intercept < 1e-6
    blocks = model.coef_.reshape(Q, Q, 2)[np.arange(Q), np.arange(Q)]
    assert (blocks != 0).all() == (own != "zero")
    assert (blocks[:, 0] < -0.2).any() == (own != "zero")
    # the rest of the matrix is that of the factors
    part = (model.source_loadings_.to_numpy() * model.singular_values_) @ model.target_loadings_.to_numpy().T
    off = ~np.repeat(np.eye(Q, dtype=bool), 2, axis=0) | (own == "low_rank")
    np.testing.assert_allclose(model.coef_.T[off], part[off], atol=1e-6)


def test_weights_of_zero_and_weights_of_neurons_are_missing_samples(counts):
    X, _ = coupled(counts)
    Y, weight = counts.copy(), np.ones((N, Q))
    Y.iloc[300:, 1], weight[300:, 1] = np.nan, 0
    settings = {"low_rank": 2, "lambdas": 0.05, **EXACT}
    one = pg.LowRankGLM(**settings).fit(X, Y)
    other = pg.LowRankGLM(**settings).fit(X, counts, sample_weight=weight)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-6)


def test_a_higher_rank_changes_nothing_once_the_minimum_is_certified(counts):
    X, _ = coupled(counts)
    found = [pg.LowRankGLM(low_rank=r, lambdas=0.05, **EXACT).fit(X, counts) for r in (1, 2, 4, Q)]
    assert [model.is_global_ for model in found] == [False, False, True, True]
    assert found[2].rank_ == found[3].rank_
    np.testing.assert_allclose(found[2].coef_, found[3].coef_, atol=1e-5)
    assert found[0].gap_[0, 0] > found[1].gap_[0, 0] > 0.001
    assert (found[0].gap_ == found[0].gap_[0, 0]).all()


def test_a_detour_finds_a_better_minimum_where_the_rank_binds():
    counts = network(600, seed=3)
    X, _ = coupled(counts)
    settings = {"low_rank": 1, "lambdas": 0.05, "precision": "float64", "tol": 1e-6}
    models = [pg.LowRankGLM(detours=n, **settings).fit(X, counts) for n in (0, 1, 5)]
    values = [objective(model, X, counts) for model in models]
    assert values[0] > values[1] + 0.005
    assert abs(values[1] - values[2]) < 1e-6
    # each of them is a stationary point
    for model in models:
        assert model.slope_ <= 1e-6
        assert conditions(model, X, counts)[1] < 1e-3
        assert not model.is_global_


def objective(model, X, Y):
    eta = np.asarray(X) @ model.coef_.T.astype(float) + model.intercept_
    off = ~np.repeat(np.eye(Q, dtype=bool), 2, axis=0)
    loss = (np.exp(eta) - np.asarray(Y) * eta).mean(axis=0).sum()
    own = model.coef_.T[~off].astype(float)
    return loss + model.lambda_[0] * model.singular_values_.sum() + model.ridge_ / 2 * (own**2).sum()


@pytest.mark.parametrize("settings", [{"low_rank": 1}, {"low_rank": Q, "tol": 0.03}, {"low_rank": Q, "max_iter": 12}])
def test_the_gap_is_no_less_than_what_is_left(counts, settings):
    X, _ = coupled(counts)
    best = objective(pg.LowRankGLM(low_rank=Q, lambdas=0.05, **EXACT).fit(X, counts), X, counts)
    model = quietly(pg.LowRankGLM(lambdas=0.05, **{"precision": "float64", **settings}).fit, X, counts)
    mean = counts.to_numpy().mean(axis=0)
    y = counts.to_numpy()
    null = (np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / mean), 0) - (y - mean)).mean(axis=0).sum()
    left = (objective(model, X, counts) - best) / null
    assert 1e-6 < left <= model.gap_[0, 0]


def test_history_is_for_its_own_neuron_and_stands_in_for_its_coupling(counts):
    X, _ = coupled(counts, *(pg.history(name, BASIS) for name in NAMES[:3]))
    model = pg.LowRankGLM(low_rank=2, lambdas=0.05, ridge=1e-3, **EXACT).fit(X, counts)
    mask = model.feature_mask_
    own = np.array([[mask[2 * i, j] for j in range(Q)] for i in range(Q, Q + 3)])
    np.testing.assert_array_equal(own, np.eye(3, Q, dtype=bool))
    assert (mask[:6:2, :3].diagonal() == 0).all()
    assert (mask[6:16:2, 3:].diagonal() == 1).all()
    assert (model.coef_[~mask.T] == 0).all()
    _, along, free, _ = conditions(model, X, counts)
    assert along < 1e-3
    assert free < 1e-6


@pytest.fixture(scope="module")
def both(counts):
    """X with couplings and histories of the first four, its design, and settings of quick fits."""
    design = pg.Design([*(pg.history(n, BASIS) for n in NAMES[:4]), *pg.coupling(NAMES[:4], BASIS)])
    return design.fit_transform(counts), design, {"low_rank": 1, "lambdas": 0.05, "detours": 0}


def test_histories_of_neurons_that_y_does_not_hold_explain_nobody(counts, both):
    X, design, settings = both
    model = pg.LowRankGLM(**settings).fit(X, counts[["n2", "n3"]])
    own = np.zeros((8, 2), bool)
    own[4:6, 0] = own[6:, 1] = True
    np.testing.assert_array_equal(model.feature_mask_[:8], own)
    assert (model.coef_[:, :4] == 0).all()
    kept = X.drop(columns=["n0 history", "n1 history"], level=0)
    np.testing.assert_allclose(model.coef_[:, 4:], pg.LowRankGLM(**settings).fit(kept, counts[["n2", "n3"]]).coef_)
    assert pg.connectivity(model, design)["net"].sizes == {"source": 4, "target": 2}
    # what only sounds like a history is for everyone
    reward = X.rename(columns={"n0 history": "reward history"}, level=0)
    assert (pg.LowRankGLM(**settings).fit(reward, counts[["n2", "n3"]]).coef_[:, :2] != 0).all()


@pytest.mark.parametrize("own", ["free", "zero", "low_rank"])
def test_histories_of_no_neuron_of_y_are_told(counts, both, own):
    X, _, settings = both
    with pytest.raises(ValueError, match=r"X has 'n0 history', and Y has no names.*take 'n0 history', 'n1 history',"):
        pg.LowRankGLM(own=own, **settings).fit(X, counts.to_numpy())
    with pytest.raises(ValueError, match=r"Y holds 'm4', 'm5'"):
        pg.LowRankGLM(own=own, **settings).fit(X, counts[["n4", "n5"]].rename(columns=lambda name: f"m{name[1:]}"))


def test_zero_closes_histories_and_free_takes_them_out_of_the_low_rank_part(counts, both):
    X, _, settings = both
    Y = counts[NAMES[:4]]
    zero = pg.LowRankGLM(own="zero", **settings).fit(X, Y)
    assert not zero.feature_mask_[:8].any()
    np.testing.assert_array_equal(zero.feature_mask_[8::2], ~np.eye(4, dtype=bool))
    alone = pg.LowRankGLM(own="zero", **settings).fit(X[[f"{n} coupling" for n in NAMES[:4]]], Y)
    np.testing.assert_allclose(zero.coef_[:, 8:], alone.coef_, atol=1e-6)
    free = pg.LowRankGLM(**settings).fit(X, Y)
    within = pg.LowRankGLM(low_rank_groups="*", **settings).fit(X, Y)
    np.testing.assert_allclose(within.coef_, free.coef_, atol=1e-3)


def test_groups_and_masks_say_what_is_of_low_rank(counts):
    X, _ = coupled(counts)
    mask = np.ones((Q, Q), bool)
    mask[:, 4:] = False
    mask[5] = False
    model = pg.LowRankGLM(
        low_rank=1, low_rank_groups=["n[0-2] coupling"], own="low_rank", feature_mask=mask, lambdas=0.02
    )
    model.fit(X, counts)
    assert len(model.source_loadings_) == 6
    assert np.linalg.matrix_rank(model.coef_[:4, :6], tol=1e-6) == 1
    assert (model.coef_[4:] == 0).all()
    assert (model.coef_[:, 10:12] == 0).all()
    assert np.linalg.matrix_rank(model.coef_[:4, 6:]) == 4


SPREAD = {
    "negative_binomial": lambda rng, mu: rng.poisson(mu * rng.gamma(2, 0.5, mu.shape)),
    "gamma": lambda rng, mu: rng.gamma(2, mu / 2),
    "bernoulli": lambda rng, mu: rng.random(mu.shape) < mu / (1 + mu),
    "censored_gaussian": lambda rng, mu: np.maximum(np.log(mu) + 0.3 + rng.normal(0, 0.5, mu.shape), 0),
    "inverse_gaussian": lambda rng, mu: rng.wald(mu, 4.0),
}


@pytest.mark.parametrize("family", SPREAD)
def test_families_find_the_planted_signal(family):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 6))
    W = np.outer([1, -1, 0, 0, 0.5, 0], [0.5, 0.3, -0.4, 0])
    Y = SPREAD[family](rng, np.exp(X @ W)).astype(float)
    model = pg.LowRankGLM(family, inverse_link="exp" if family == "gamma" else None, low_rank=1, lambdas=1e-3).fit(X, Y)
    np.testing.assert_allclose(model.coef_.T, W, atol=0.17)
    assert np.linalg.matrix_rank(model.coef_, tol=1e-6) == 1
    if family == "negative_binomial":
        np.testing.assert_allclose(model.family_parameters_["alpha"], 0.5, atol=0.2)
        alone = pg.GLM(family, lambdas=[1e-3]).fit(X, Y)
        np.testing.assert_allclose(model.family_parameters_["alpha"], alone.family_parameters_["alpha"], rtol=0.15)


def test_a_neuron_without_a_fit_leaves_the_others_as_they_are(counts):
    X, _ = coupled(counts)
    Y = counts.assign(silent=0.0, lost=np.nan)
    settings = {"low_rank": 2, "lambdas": 0.05, **EXACT}
    with pytest.warns(pg.PopglmWarning, match="null model.*silent, lost"):
        model = pg.LowRankGLM(**settings).fit(X, Y)
    alone = pg.LowRankGLM(**settings).fit(X, counts)
    np.testing.assert_allclose(model.coef_[:Q], alone.coef_, atol=1e-6)
    assert (model.coef_[Q:] == 0).all()
    assert np.isfinite(model.intercept_).all()
    assert (model.target_loadings_.to_numpy()[Q:] == 0).all()


def test_activity_far_from_zero_keeps_its_digits_in_float32():
    X, Y = gaussian()
    near = pg.LowRankGLM("gaussian", low_rank=2, lambdas=0.1).fit(X, Y)
    far = pg.LowRankGLM("gaussian", low_rank=2, lambdas=0.1).fit(X + 1e4, Y + 1e6)
    np.testing.assert_allclose(far.coef_, near.coef_, atol=2e-3)


@pytest.mark.parametrize("cv", [None, 2])
def test_large_means_do_not_shift_predictions_in_float32(cv):
    X, Y = gaussian()
    X[:, 0] += 1e7
    model = pg.LowRankGLM("gaussian", low_rank=1 if cv is None else [0, 1, 2, 3], lambdas=0.05, cv=cv or 2)
    quietly(model.fit, X, Y)
    assert np.abs((model.predict(X) - Y).mean(axis=0)).max() < 1e-5
    if cv:
        near = pg.LowRankGLM("gaussian", low_rank=model.low_rank_, lambdas=[0.05], cv=2).fit(X - X.mean(axis=0), Y)
        np.testing.assert_allclose(model.predict_held_out(), near.predict_held_out(), atol=1e-2)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(("family", "unit"), [("gaussian", 1e-6), ("gaussian", 1e6), ("poisson", 1e-5)])
def test_units_change_nothing_but_the_unit(family, unit):
    X, Y = gaussian()
    Y = Y if family == "gaussian" else np.random.default_rng(0).poisson(np.exp(0.02 * Y))
    one = pg.LowRankGLM(family, low_rank=2, lambdas=0.1, tol=1e-5).fit(X, Y)
    other = pg.LowRankGLM(family, low_rank=2, lambdas=0.1 * unit, tol=1e-5).fit(X, Y * unit)
    np.testing.assert_allclose(other.coef_ / (unit if family == "gaussian" else 1), one.coef_, atol=1e-3)
    stretched = pg.LowRankGLM(family, low_rank=2, lambdas=0.1 * unit, tol=1e-5).fit(X * unit, Y)
    np.testing.assert_allclose(stretched.coef_ * unit, one.coef_, atol=1e-3)


def test_a_stimulus_has_free_weights_where_the_mask_allows(counts):
    cue = np.random.default_rng(3).normal(size=(N, 2))
    session = counts.assign(cue=cue[:, 0], tone=cue[:, 1])
    X = pg.Design([pg.linear("cue"), *pg.coupling(NAMES, BASIS), pg.linear("tone")]).fit_transform(session)
    mask = np.ones((Q + 2, Q), bool)
    mask[0, ::2] = mask[-1, 1:] = mask[3, 5] = False
    model = pg.LowRankGLM(low_rank=Q, lambdas=0.03, ridge=0.01, feature_mask=mask, **EXACT).fit(X, counts)
    assert model.is_global_
    assert (model.coef_[~model.feature_mask_.T] == 0).all()
    assert (model.coef_[1::2, 0] != 0).all()
    assert list((model.coef_[:, -1] != 0).nonzero()[0]) == [0]
    assert (model.coef_[5, 5:7] == 0).all()
    largest, along, free, intercept = conditions(model, X, counts)
    assert largest < 1 + 1e-5
    assert along < 1e-3
    assert max(free, intercept) < 1e-6


@pytest.mark.parametrize("engine", ["torch", "jax", "tensorflow"])
def test_engines_agree(counts, engine):
    pytest.importorskip(engine)
    session = counts.assign(cue=np.random.default_rng(0).normal(size=N))
    terms = [*pg.coupling(NAMES, BASIS), pg.history("n0", BASIS), pg.linear("cue")]
    X = pg.Design(terms).fit_transform(session)
    # every rank is compiled for
    settings = {"low_rank": 1, "lambdas": 0.05, "tol": 1e-6, "precision": "float64", "detours": 0}
    Y = counts.mask(np.arange(N)[:, None] + np.arange(Q) < 30)
    one = pg.LowRankGLM(engine="numpy", **settings).fit(X, Y)
    other = pg.LowRankGLM(engine=engine, **settings).fit(X, Y)
    np.testing.assert_allclose(other.coef_, one.coef_, atol=1e-5)
    np.testing.assert_allclose(other.gap_, one.gap_, rtol=1e-4)


def test_no_coupling_at_all_is_a_ridge_of_the_rest(counts):
    X, _ = coupled(counts)
    model = pg.LowRankGLM(low_rank=0, lambdas=0.05, ridge=0.01, **EXACT).fit(X, counts)
    mask = np.repeat(np.eye(Q, dtype=bool), 2, axis=0)
    ridge = pg.GLM(lambdas=[0.01], feature_mask=mask, tol=1e-10, precision="float64").fit(X, counts)
    np.testing.assert_allclose(model.coef_, ridge.coef_, atol=2e-5)
    assert model.rank_ == 0
    assert model.target_loadings_.shape == (Q, 0)
