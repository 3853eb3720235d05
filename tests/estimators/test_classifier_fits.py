"""Fits of categorical responses: scikit-learn, scipy, the Bernoulli GLM, closed forms, the conditions of a minimum."""

import warnings

import numpy as np
import pytest
import sklearn
from categorical import EXACT, SIZES, centred, choices, loss, minimum, quietly
from sklearn.linear_model import LogisticRegression
from sklearn.utils.fixes import parse_version

import popglm as pg

GROUPS = np.split(np.arange(8), np.cumsum(SIZES)[:-1])


@pytest.fixture(scope="module")
def data():
    return choices()


def test_ridge_is_scikit_learns_logistic_regression(data):
    X, codes = data
    s = np.random.default_rng(1).uniform(0, 2, len(X))
    strengths = [0.3, 0.01]
    model = pg.ClassifierGLM(lambdas=strengths, **EXACT).fit(X, codes, sample_weight=s)
    for k, lam in enumerate(strengths):
        theirs = LogisticRegression(C=1 / (s.sum() * lam), tol=1e-10, max_iter=10_000).fit(X, codes, s)
        np.testing.assert_allclose(model.coef_path_[k, 0], theirs.coef_, atol=1e-6)
        np.testing.assert_allclose(centred(model.intercept_path_[k, 0]), centred(theirs.intercept_), atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(model.predict(X), theirs.predict(X))


def test_without_a_penalty_weights_are_those_of_the_likelihood_with_a_mean_of_0(data):
    X, codes = data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = pg.ClassifierGLM("none", **EXACT).fit(X, codes)
    V, _, value = minimum(X, codes, 4, lambda V: (0.0, 0 * V))
    np.testing.assert_allclose(model.coef_, V - V.mean(axis=0), atol=2e-5)
    np.testing.assert_allclose(model.coef_.sum(axis=0), 0, atol=1e-12)
    assert model.loss_path_[0, 0] <= value + 1e-12


@pytest.mark.parametrize(("penalty", "factor"), [("ridge", 2.0), ("lasso", 1.0), ("group_lasso", 1.0), ("none", 1.0)])
def test_two_classes_are_the_bernoulli_model_at_half_its_weights(data, penalty, factor):
    X, codes = data
    y, lambdas = codes % 2, None if penalty == "none" else np.array([0.05, 0.01])
    groups = SIZES if penalty == "group_lasso" else None
    ours = pg.ClassifierGLM(
        penalty, lambdas=None if lambdas is None else factor * lambdas, feature_groups=groups, **EXACT
    ).fit(X, y)
    known = pg.GLM("bernoulli", penalty=penalty, lambdas=lambdas, feature_groups=groups, **EXACT).fit(X, y)
    half = known.coef_path_[:, 0] / 2
    np.testing.assert_allclose(ours.coef_path_[:, 0], np.stack([-half, half], axis=1), atol=2e-6)
    b = known.intercept_path_[:, 0] / 2
    np.testing.assert_allclose(centred(ours.intercept_path_[:, 0]), np.stack([-b, b], axis=1), atol=2e-6)
    np.testing.assert_allclose(ours.loss_path_, known.loss_path_, atol=1e-10)
    np.testing.assert_allclose(ours.decision_function(X), X @ known.coef_ + known.intercept_, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_two_classes_have_the_strengths_of_logistic_regression(data, ratio):
    X, codes = data
    y, lam = codes % 2, 0.05
    # scikit-learn 1.8 takes the ratio without the penalty's name
    named = {} if parse_version(sklearn.__version__) >= parse_version("1.8") else {"penalty": "elasticnet"}
    settings = {"solver": "saga", "tol": 1e-8, "max_iter": 20_000, "random_state": 0, **named}
    theirs = LogisticRegression(C=1 / (len(X) * lam), l1_ratio=ratio, **settings).fit(X, y)
    penalty, own = {0.0: ("ridge", None), 1.0: ("lasso", None)}.get(ratio, ("elastic_net", ratio / (2 - ratio)))
    model = pg.ClassifierGLM(penalty, l1_ratio=own, lambdas=[lam * (2 - ratio)], **EXACT).fit(X, y)
    np.testing.assert_allclose(model.coef_[1] * 2, theirs.coef_[0], atol=1e-4)


def test_two_classes_have_the_grid_of_the_bernoulli_model(data):
    X, codes = data
    for penalty, factor in (("ridge", 2.0), ("lasso", 1.0), ("group_lasso", 1.0)):
        settings = {"penalty": penalty, "feature_groups": SIZES, "n_lambdas": 3, **EXACT}
        ours = pg.ClassifierGLM(**settings).fit(X, codes % 2)
        known = pg.GLM("bernoulli", **settings).fit(X, codes % 2)
        np.testing.assert_allclose(ours.lambda_path_, factor * known.lambda_path_, rtol=1e-9)


def test_a_group_lasso_meets_the_conditions_of_its_minimum(data):
    X, codes = data
    model = pg.ClassifierGLM("group_lasso", feature_groups=SIZES, n_lambdas=6, **EXACT | {"tol": 1e-15}).fit(X, codes)
    closed = 0
    for k, lam in enumerate(model.lambdas_[:, 0]):
        V = model.coef_path_[k, 0]
        value, G, g = loss(V, model.intercept_path_[k, 0], X, codes)
        np.testing.assert_allclose(g, 0, atol=1e-9)
        np.testing.assert_allclose(V.sum(axis=0), 0, atol=1e-12)
        total = 0.0
        for group in GROUPS:
            pull, size = lam * np.sqrt(4 * len(group)), np.linalg.norm(V[:, group])
            total += pull * size
            if size:
                np.testing.assert_allclose(G[:, group], -pull * V[:, group] / size, atol=1e-8)
            else:
                closed += 1
                assert np.linalg.norm(G[:, group]) <= pull * (1 + 1e-9)
        np.testing.assert_allclose(model.loss_path_[k, 0], value + total, rtol=1e-12)
    assert 3 < closed < 20


@pytest.mark.parametrize(("penalty", "alpha"), [("lasso", 1.0), ("elastic_net", 0.4)])
def test_norms_of_single_weights_meet_the_conditions_of_their_minimum(data, penalty, alpha):
    X, codes = data
    ratio = None if penalty == "lasso" else alpha
    model = pg.ClassifierGLM(penalty, l1_ratio=ratio, lambdas=[0.05, 0.02, 0.005], **EXACT).fit(X, codes)
    for k, lam in enumerate(model.lambdas_):
        V = model.coef_path_[k, 0]
        _, G, _ = loss(V, model.intercept_path_[k, 0], X, codes)
        G = G + lam * (1 - alpha) * V
        np.testing.assert_allclose(G[V != 0], -lam * alpha * np.sign(V[V != 0]), atol=2e-6)
        assert (np.abs(G) <= lam * alpha + 2e-6).all()
        if penalty == "lasso":
            # of four classes the two in the middle lie on both sides of 0, with a mean of 0 where they have room for it
            _, low, high, _ = np.sort(V, axis=0)
            np.testing.assert_allclose(np.clip(V.mean(axis=0), low, high), 0, atol=1e-12)


def test_the_lasso_is_scikit_learns(data):
    X, codes = data
    lam = 0.02
    model = pg.ClassifierGLM("lasso", lambdas=[lam], **EXACT).fit(X, codes)
    named = {"penalty": "l1"} if parse_version(sklearn.__version__) < parse_version("1.8") else {"l1_ratio": 1}
    theirs = LogisticRegression(C=1 / (len(X) * lam), solver="saga", tol=1e-6, max_iter=10_000, **named).fit(X, codes)
    value = loss(theirs.coef_, theirs.intercept_, X, codes)[0] + lam * np.abs(theirs.coef_).sum()
    np.testing.assert_allclose(model.loss_path_[0, 0], value, atol=1e-7)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-3)


def test_the_grid_begins_where_the_first_group_enters(data):
    X, codes = data
    shares = np.bincount(codes) / len(codes)
    force = (shares - np.eye(4)[codes]).T @ X / len(X)
    most = max(np.linalg.norm(force[:, group]) / np.sqrt(4 * len(group)) for group in GROUPS)
    model = pg.ClassifierGLM("group_lasso", feature_groups=SIZES, n_lambdas=3, **EXACT).fit(X, codes)
    np.testing.assert_allclose(model.lambdas_[0], 1.001 * most, rtol=1e-9)
    settings = {"penalty": "group_lasso", "feature_groups": SIZES, **EXACT}
    above, below = (pg.ClassifierGLM(lambdas=[c * most], **settings).fit(X, codes) for c in (1.0001, 0.999))
    assert not above.coef_.any()
    assert below.coef_.any()
    np.testing.assert_allclose(above.intercept_ - above.intercept_[0], np.log(shares / shares[0]), rtol=1e-9)
    # the null deviance, closed: half of its mean is the unit of the certificate
    entropy = -shares @ np.log(shares)
    np.testing.assert_allclose(above.loss_path_[0, 0], entropy, rtol=1e-9)
    np.testing.assert_allclose(above.evaluate(X, codes)["null_deviance"], 2 * len(X) * entropy, rtol=1e-12)
    assert above.score(X, codes) == pytest.approx(0, abs=1e-9)


def test_groups_that_are_never_penalised_stand_beside_the_others(data):
    X, codes = data
    lam, factors = 0.02, np.repeat([0.0, 1.0, 4.0], SIZES)
    V, b, value = minimum(X, codes, 4, lambda V: (lam / 2 * (factors * V**2).sum(), lam * factors * V))
    settings = {"feature_groups": SIZES, "penalty_factors": [0.0, 1.0, 4.0], **EXACT}
    model = pg.ClassifierGLM(lambdas=[lam], **settings).fit(X, codes)
    V[:, factors == 0] -= V[:, factors == 0].mean(axis=0)
    np.testing.assert_allclose(model.coef_, V, atol=2e-6)
    np.testing.assert_allclose(model.coef_.sum(axis=0), 0, atol=1e-7)
    np.testing.assert_allclose(centred(model.intercept_), b, atol=2e-6)
    np.testing.assert_allclose(model.loss_path_[0, 0], value, rtol=1e-10)
    bare = pg.ClassifierGLM("none", **EXACT).fit(X[:, :2], codes)
    np.testing.assert_allclose(model.null_coef_[0, :, :2], bare.coef_, atol=1e-5)
    assert not model.null_coef_[0, :, 2:].any()
    closed = pg.ClassifierGLM("group_lasso", n_lambdas=3, **settings).fit(X, codes)
    np.testing.assert_allclose(closed.coef_path_[0, 0, :, :2], bare.coef_, atol=1e-4)
    assert not closed.coef_path_[0, 0, :, 2:].any()
    single = pg.ClassifierGLM("lasso", lambdas=[0.02], **settings).fit(X, codes)
    _, G, _ = loss(single.coef_, single.intercept_, X, codes)
    np.testing.assert_allclose(G[:, :2], 0, atol=1e-6)
    np.testing.assert_allclose(single.coef_[:, :2].sum(axis=0), 0, atol=1e-10)


def test_smoothness_is_over_the_features_of_every_class(data):
    X, codes = data
    lam, sigma = 0.01, 0.2
    R = np.zeros((8, 8))
    for group in GROUPS:
        n = len(group)
        R[np.ix_(group, group)] = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    V, _, _ = minimum(
        X, codes, 4, lambda V: (lam / 2 * (V**2).sum() + sigma / 2 * np.sum(V @ R * V), lam * V + sigma * V @ R)
    )
    known = pg.GLM("gaussian", smoothness=sigma, feature_groups=SIZES, lambdas=[lam]).fit(X, codes.astype(float))
    np.testing.assert_allclose(known.penalty_.R, R, atol=1e-12)
    model = pg.ClassifierGLM(smoothness=sigma, feature_groups=SIZES, lambdas=[lam], **EXACT).fit(X, codes)
    np.testing.assert_allclose(model.coef_, V, atol=2e-6)


def test_masks_and_factors_differ_between_responses(data):
    X, codes = data
    Y = np.column_stack([codes, codes])
    mask = np.array([[True, True], [True, True], [True, False]])
    factors = np.array([[1.0, 1.0], [1.0, 2.0], [3.0, 1.0]])
    settings = {"penalty": "group_lasso", "feature_groups": SIZES, "lambdas": [0.02], **EXACT}
    model = pg.ClassifierGLM(feature_mask=mask, penalty_factors=factors, **settings).fit(X, Y)
    first = pg.ClassifierGLM(**settings | {"penalty_factors": factors[:, 0]}).fit(X, codes)
    np.testing.assert_allclose(model.coef_[0], first.coef_, atol=1e-6)
    second = pg.ClassifierGLM(**settings | {"penalty_factors": [1, 2], "feature_groups": SIZES[:2]}).fit(
        X[:, :5], codes
    )
    np.testing.assert_allclose(model.coef_[1, :, :5], second.coef_, atol=1e-6)
    assert not model.coef_[1, :, 5:].any()


def test_weights_count_like_repeated_samples(data):
    X, codes = data
    times = np.random.default_rng(0).integers(0, 3, len(X))
    settings = {"penalty": "group_lasso", "feature_groups": SIZES, "n_lambdas": 3, **EXACT}
    weighted = pg.ClassifierGLM(**settings).fit(X, codes, sample_weight=times)
    repeated = pg.ClassifierGLM(**settings).fit(np.repeat(X, times, axis=0), np.repeat(codes, times))
    np.testing.assert_allclose(weighted.lambdas_, repeated.lambdas_, rtol=1e-9)
    np.testing.assert_allclose(weighted.coef_path_, repeated.coef_path_, atol=1e-6)
    np.testing.assert_array_equal(weighted.class_counts_, repeated.class_counts_)


def test_class_weights_are_weights_of_samples(data):
    X, codes = data
    given = {0: 1.0, 1: 0.5, 3: 4.0}
    s = np.array([1.0, 0.5, 1.0, 4.0])[codes]
    ours = pg.ClassifierGLM(lambdas=[0.01], class_weight=given, **EXACT).fit(X, codes)
    np.testing.assert_allclose(
        ours.coef_, pg.ClassifierGLM(lambdas=[0.01], **EXACT).fit(X, codes, sample_weight=s).coef_
    )
    even = pg.ClassifierGLM(lambdas=[0.01], class_weight="balanced", **EXACT).fit(X, codes)
    theirs = LogisticRegression(C=1 / (len(X) * 0.01), class_weight="balanced", tol=1e-10, max_iter=9999).fit(X, codes)
    np.testing.assert_allclose(even.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(even.class_counts_, len(X) / 4)


@pytest.mark.thorough(keep=4)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("penalty", ["none", "ridge", "lasso", "elastic_net", "group_lasso"])
def test_the_gap_bounds_the_distance_from_the_minimum(penalty, precision):
    # a rare class, and columns that nearly separate another
    X, codes = choices(400, seed=3)
    X = np.column_stack([X[:, :7], np.where(codes == 1, 3.0, 0) + 0.3 * X[:, 7]])
    settings = {"penalty": penalty, "feature_groups": SIZES, "engine": "numpy"}
    settings |= {} if penalty == "none" else {"n_lambdas": 4, "lambda_min_ratio": 1e-3}
    exact = quietly(pg.ClassifierGLM(**settings, precision="float64", tol=1e-11, max_iter=2000), X, codes)
    if penalty != "none":
        settings["lambdas"] = exact.lambdas_
    rough = quietly(pg.ClassifierGLM(**settings, precision=precision, tol=1e-3), X, codes)
    shares = np.bincount(codes) / len(codes)
    distance = (rough.loss_path_ - exact.loss_path_) / -(shares @ np.log(shares))
    assert (rough.gap_ <= 1e-3).all()
    assert (distance <= rough.gap_ + (1e-6 if precision == "float32" else 1e-10)).all()


def test_separable_classes_reach_the_certificate():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 5))
    codes = X[:, :3].argmax(axis=1)
    for penalty in ("ridge", "lasso", "group_lasso"):
        model = pg.ClassifierGLM(penalty, feature_groups=[1, 1, 3], lambda_min_ratio=1e-6, n_lambdas=8).fit(X, codes)
        assert (model.gap_ <= 1e-4).all()
        assert model.evaluate(X, codes)["accuracy"].iloc[0] > 0.98
    with pytest.warns(pg.PopglmWarning, match="no finite weights are best, .* leave out what separates them.: neuron0"):
        free = pg.ClassifierGLM("none").fit(X, codes)
    assert np.isfinite(free.coef_).all()
    assert free.score(X, codes) > 0.999


def test_more_columns_than_samples_and_columns_that_repeat():
    X, codes = choices(60, 3, seed=1)
    wide = np.column_stack([X, X, np.random.default_rng(0).standard_normal((60, 80)), np.ones(60)])
    for penalty in ("ridge", "lasso", "group_lasso"):
        model = quietly(pg.ClassifierGLM(penalty, feature_groups=[8, 8, 40, 41], n_lambdas=6), wide, codes)
        assert (model.gap_ <= 1e-4).all()
        assert not model.coef_path_[..., -1].any()  # a constant column is the intercept's
    one = quietly(pg.ClassifierGLM("ridge", lambdas=[0.1], **EXACT), wide, codes)
    once = pg.ClassifierGLM("ridge", lambdas=[0.1], penalty_factors=[0.5, 1.0], feature_groups=[8, 80], **EXACT)
    half = quietly(once, wide[:, 8:96], codes)
    np.testing.assert_allclose(one.coef_[:, :8] + one.coef_[:, 8:16], half.coef_[:, :8], atol=1e-6)


def test_designs_too_wide_for_a_gram_matrix_are_fitted_by_its_diagonal(data, monkeypatch):
    X, codes = data
    settings = {"feature_groups": SIZES, "n_lambdas": 3, "lambda_min_ratio": 1e-2, **EXACT} | {"tol": 1e-8}
    for penalty in ("ridge", "lasso", "group_lasso"):
        known = pg.ClassifierGLM(penalty, **settings).fit(X, codes)
        with monkeypatch.context() as patch:
            patch.setattr("popglm.solve.categorical.problem.MOST_WEIGHTS", 10)
            wide = pg.ClassifierGLM(penalty, **settings).fit(X, codes)
        assert (wide.gap_ <= 1e-8).all()
        np.testing.assert_allclose(wide.loss_path_, known.loss_path_, atol=2e-8)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_other_engines_find_the_same(data, name):
    pytest.importorskip(name)
    X, codes = data
    y = np.where(np.arange(len(X)) % 9 == 0, None, codes)
    for penalty in ("ridge", "group_lasso"):
        settings = {"penalty": penalty, "feature_groups": SIZES, "lambdas": [0.03, 0.01], "tol": 1e-10, "cv": 3}
        known = pg.ClassifierGLMCV(**settings, precision="float64", engine="numpy").fit(X, y)
        found = pg.ClassifierGLMCV(**settings, precision="float64", engine=name, device="cpu").fit(X, y)
        np.testing.assert_allclose(found.coef_path_, known.coef_path_, atol=1e-5)
        np.testing.assert_allclose(found.cv_deviance_, known.cv_deviance_, rtol=1e-6)
