"""Offsets of classes: a softmax likelihood minimised by scipy, weights that an offset takes, the Bernoulli GLM."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from categorical import EXACT, SIZES, centred, choices, loss, minimum, quietly
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax
from sparse_designs import kept_sparse

import popglm as pg

N, K = 360, 3
X, CODES = choices(n=N, n_classes=K)
LABELS = np.array(["left", "none", "right"])[CODES]
TRIAL = np.arange(N) // 12
RNG = np.random.default_rng(7)
OFFSET = RNG.standard_normal((N, K)) + 0.7 * np.eye(K)[CODES]
WEIGHT = RNG.uniform(0, 2, N)
#: A second response, which is not known everywhere, and has two of three classes.
TWO = pd.DataFrame({"choice": LABELS, "side": np.where(X[:, 0] + OFFSET[:, 0] > 0, "left", "right")}).astype(object)
TWO.iloc[:40, 1] = None
JOB = {"lambdas": [0.1, 0.01], **EXACT}


def test_a_ridge_is_the_minimum_that_scipy_finds():
    lam = 0.02
    V, b, value = minimum(X, CODES, K, lambda V: (lam / 2 * (V**2).sum(), lam * V), WEIGHT, OFFSET)
    model = pg.ClassifierGLM(lambdas=[lam], **EXACT).fit(X, LABELS, sample_weight=WEIGHT, offset=OFFSET)
    np.testing.assert_allclose(model.coef_, V, atol=2e-6)
    np.testing.assert_allclose(centred(model.intercept_), b, atol=2e-6)
    np.testing.assert_allclose(model.loss_path_[0, 0], value, rtol=1e-10)
    assert model.fitted_with_offset_
    p = softmax(X @ V.T + b + OFFSET, axis=1)
    np.testing.assert_allclose(model.predict_proba(X, OFFSET), p, atol=2e-6)
    np.testing.assert_array_equal(model.predict(X, OFFSET), np.array(["left", "none", "right"])[p.argmax(axis=1)])
    deviance = -2 * np.log(p[np.arange(N), CODES]).sum()
    np.testing.assert_allclose(model.evaluate(X, LABELS, offset=OFFSET)["deviance"], deviance, rtol=1e-6)
    null = -2 * np.log(np.bincount(CODES) / N)[CODES].sum()
    np.testing.assert_allclose(model.score(X, LABELS, offset=OFFSET), 1 - deviance / null, rtol=1e-6)
    # without one on purpose
    np.testing.assert_allclose(model.predict_proba(X, 0), softmax(X @ V.T + b, axis=1), atol=2e-6)


@pytest.mark.parametrize(("penalty", "groups"), [("group_lasso", SIZES), ("lasso", None)])
def test_sparse_weights_meet_the_conditions_of_their_minimum(penalty, groups):
    model = pg.ClassifierGLM(penalty, feature_groups=groups, lambdas=[0.05, 0.02], **EXACT)
    model.fit(X, LABELS, offset=OFFSET)
    for k, lam in enumerate(model.lambdas_):
        V = model.coef_path_[k, 0]
        _, G, g = loss(V, model.intercept_path_[k, 0], X, CODES, offset=OFFSET)
        np.testing.assert_allclose(g, 0, atol=1e-7)
        if penalty == "lasso":
            assert (np.abs(G) <= lam + 2e-6).all()
            np.testing.assert_allclose(G[V != 0], -lam * np.sign(V[V != 0]), atol=2e-6)
            continue
        for own in np.split(np.arange(8), np.cumsum(SIZES)[:-1]):
            pull, size = lam * np.sqrt(K * len(own)), np.linalg.norm(V[:, own])
            if size:
                np.testing.assert_allclose(G[:, own], -pull * V[:, own] / size, atol=2e-6)
            else:
                assert np.linalg.norm(G[:, own]) <= pull * (1 + 1e-9)


def test_an_offset_that_the_columns_could_have_takes_weights_away():
    w = RNG.standard_normal((K, 8))
    plain = pg.ClassifierGLM("none", **EXACT).fit(X, LABELS)
    moved = pg.ClassifierGLM("none", **EXACT).fit(X, LABELS, offset=X @ w.T + 3.0)
    np.testing.assert_allclose(moved.coef_, plain.coef_ - (w - w.mean(axis=0)), atol=5e-5)
    np.testing.assert_allclose(moved.predict_proba(X, X @ w.T), plain.predict_proba(X), atol=1e-5)


def test_two_classes_are_the_bernoulli_model():
    y, beside = (CODES == 1).astype(int), OFFSET[:, 1] - OFFSET[:, 0]
    given = {"feature_groups": SIZES, "cv": 3, "n_lambdas": 4, **EXACT, "penalty": "group_lasso"}
    ours = quietly(pg.ClassifierGLMCV(**given), X, y, groups=TRIAL, sample_weight=WEIGHT, offset={1: beside})
    known = quietly(pg.GLMCV("bernoulli", **given), X, y, groups=TRIAL, sample_weight=WEIGHT, offset=beside)
    np.testing.assert_allclose(ours.lambda_path_, known.lambda_path_, rtol=1e-6)
    np.testing.assert_allclose(2 * ours.coef_path_[:, 0, 1], known.coef_path_[:, 0], atol=2e-6)
    for name in ("cv_deviance_", "cv_null_model_deviance_", "cv_null_deviance_", "cv_deviance_explained_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(known, name), rtol=1e-6, err_msg=name)
    p = ours.predict_proba_held_out(offset={1: beside})[:, 1]
    np.testing.assert_allclose(p, known.predict_held_out(offset=beside), atol=2e-6)


def test_folds_and_null_models_by_hand():
    given = {"groups": TRIAL, "sample_weight": WEIGHT, "offset": OFFSET}
    model = quietly(pg.ClassifierGLMCV("ridge", cv=3, **JOB), X, LABELS, **given)
    log_p = np.log(model.predict_proba_held_out(X, OFFSET))[np.arange(N), CODES]
    for fold in range(3):
        held, rest = model.fold_ == fold, model.fold_ != fold
        deviance = model.cv_deviance_[fold, model.lambda_index_[0], 0]
        np.testing.assert_allclose(-2 * WEIGHT[held] @ log_p[held], deviance, rtol=1e-6)

        def likelihood(b, rows):
            return -WEIGHT[rows] @ log_softmax(b + OFFSET, axis=1)[np.arange(N), CODES][rows]

        b = minimize(likelihood, np.zeros(K), (rest,), "BFGS", options={"gtol": 1e-10}).x
        np.testing.assert_allclose(model.cv_null_intercept_[fold, 0], centred(b), atol=1e-6)
        np.testing.assert_allclose(model.cv_null_model_deviance_[fold, 0], 2 * likelihood(b, held), rtol=1e-6)


def test_weights_count_like_repeated_samples():
    times = RNG.integers(0, 3, N)
    often = np.repeat(np.arange(N), times)
    one = pg.ClassifierGLM("group_lasso", feature_groups=SIZES, **JOB)
    other = pg.ClassifierGLM("group_lasso", feature_groups=SIZES, **JOB)
    one.fit(X, LABELS, sample_weight=times, offset=OFFSET)
    other.fit(X[often], LABELS[often], offset=OFFSET[often])
    np.testing.assert_allclose(one.coef_path_, other.coef_path_, atol=2e-6)


def test_responses_may_have_their_own():
    own = np.stack([OFFSET, -OFFSET], axis=1)
    model = quietly(pg.ClassifierGLMCV("ridge", cv=2, **JOB), X, TWO, groups=TRIAL, offset=own)
    for j, name in enumerate(TWO):
        classes = sorted(TWO[name].dropna().unique())
        there = np.isin(model.classes_, classes)
        alone = quietly(pg.ClassifierGLMCV("ridge", cv=2, **JOB), X, TWO[name], groups=TRIAL, offset=own[:, j, there])
        np.testing.assert_allclose(model.coef_path_[:, j, there], alone.coef_path_[:, 0], atol=1e-6)
        np.testing.assert_allclose(model.cv_deviance_[..., j], alone.cv_deviance_[..., 0], rtol=1e-6)
        p = model.predict_proba(X, own)[:, j, there]
        np.testing.assert_allclose(p, alone.predict_proba(X, own[:, j, there]), atol=1e-6)
        assert not model.predict_proba(X, own)[:, j, ~there].any()
    # a stack of one and the same is that for all
    same = quietly(pg.ClassifierGLM(**JOB), X, TWO, offset=np.stack([OFFSET, OFFSET], axis=1))
    shared = quietly(pg.ClassifierGLM(**JOB), X, TWO, offset=OFFSET)
    np.testing.assert_allclose(same.coef_path_, shared.coef_path_, atol=1e-9)


def test_labels_say_whose_column_and_row_is_whose():
    model = quietly(pg.ClassifierGLM(**JOB), X, TWO, offset=OFFSET)
    table = pd.DataFrame(OFFSET, columns=["left", "none", "right"])
    cube = xr.DataArray(
        np.stack([OFFSET, OFFSET], axis=1)[:, :, ::-1],
        dims=("time", "neuron", "class"),
        coords={"neuron": ["choice", "side"], "class": ["right", "none", "left"]},
    )
    rows = pd.DataFrame(X, index=np.arange(N) / 10)
    for given in (table[["right", "left", "none"]], {k: table[k] for k in ("none", "right", "left")}, cube):
        np.testing.assert_allclose(model.predict_proba(X, given), model.predict_proba(X, OFFSET), rtol=1e-12)
    # of one class alone, the others have 0
    np.testing.assert_allclose(
        model.predict_proba(X, {"none": OFFSET[:, 1]}), model.predict_proba(X, OFFSET * [0, 1, 0]), rtol=1e-12
    )
    shuffled = table.set_axis(rows.index).sample(frac=1, random_state=0)
    np.testing.assert_allclose(model.predict_proba(rows, shuffled), model.predict_proba(X, OFFSET), rtol=1e-12)
    np.testing.assert_allclose(
        model.predict_proba(rows, {"none": shuffled["none"]}), model.predict_proba(X, OFFSET * [0, 1, 0]), rtol=1e-12
    )


def test_what_all_classes_have_in_common_is_no_offset():
    plain = pg.ClassifierGLM(**JOB).fit(X, LABELS)
    for same in (0, 0.3, np.repeat(RNG.standard_normal((N, 1)), K, axis=1)):
        model = pg.ClassifierGLM(**JOB).fit(X, LABELS, offset=same)
        assert not model.fitted_with_offset_
        np.testing.assert_array_equal(model.coef_path_, plain.coef_path_)
    above = pg.ClassifierGLM(**JOB).fit(X, LABELS, offset=OFFSET + RNG.standard_normal((N, 1)))
    beside = pg.ClassifierGLM(**JOB).fit(X, LABELS, offset=OFFSET)
    np.testing.assert_allclose(above.coef_path_, beside.coef_path_, atol=1e-8)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_rows_on_disk_and_sparse_columns(monkeypatch, fit_intercept):
    given = {"sample_weight": WEIGHT, "offset": OFFSET, "groups": TRIAL}
    job = {**JOB, "penalty": "group_lasso", "feature_groups": SIZES, "cv": 2, "fit_intercept": fit_intercept}
    whole = quietly(pg.ClassifierGLMCV(**job), X, TWO, **given)
    stream = pg.RowStream(X, memory=7 * 100 * X[0].nbytes)
    on_disk = quietly(pg.ClassifierGLMCV(**job), stream, TWO, **given)
    kept_sparse(monkeypatch, wide=False)
    sparse = quietly(pg.ClassifierGLMCV(**job), csr_array(X), TWO, **given)
    for other, rows, atol in ((on_disk, stream, 1e-5), (sparse, csr_array(X), 2e-4)):
        np.testing.assert_allclose(other.coef_path_, whole.coef_path_, atol=atol)
        np.testing.assert_allclose(other.cv_deviance_, whole.cv_deviance_, rtol=1e-4)
        np.testing.assert_allclose(other.predict_proba(rows, OFFSET), whole.predict_proba(X, OFFSET), atol=atol)
        held = other.predict_proba_held_out(offset=OFFSET)
        np.testing.assert_allclose(held, whole.predict_proba_held_out(X, OFFSET), atol=atol)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_other_engines(name):
    pytest.importorskip(name)
    job = {"penalty": "group_lasso", "feature_groups": SIZES, **EXACT, "lambdas": [0.05], "tol": 1e-9, "cv": 2}
    whole = quietly(pg.ClassifierGLMCV(**job), X, LABELS, groups=TRIAL, offset=OFFSET)
    other = quietly(
        pg.ClassifierGLMCV(**job | {"engine": name, "device": "cpu"}), X, LABELS, groups=TRIAL, offset=OFFSET
    )
    np.testing.assert_allclose(other.coef_path_, whole.coef_path_, atol=1e-4)
    np.testing.assert_allclose(other.cv_deviance_, whole.cv_deviance_, rtol=1e-5)


def test_columns_that_are_never_penalised_and_adaptive_factors():
    lam, factors = 0.02, np.repeat([0.0, 1.0, 4.0], SIZES)
    V, b, _ = minimum(X, CODES, K, lambda V: (lam / 2 * (factors * V**2).sum(), lam * factors * V), offset=OFFSET)
    settings = {"feature_groups": SIZES, "penalty_factors": [0.0, 1.0, 4.0], **EXACT}
    model = pg.ClassifierGLM(lambdas=[lam], **settings).fit(X, LABELS, offset=OFFSET)
    V[:, factors == 0] -= V[:, factors == 0].mean(axis=0)
    np.testing.assert_allclose(model.coef_, V, atol=2e-6)
    np.testing.assert_allclose(centred(model.intercept_), b, atol=2e-6)
    # the first fit of adaptive factors has the offset, too: of a class that it lacks there is none
    job = {"feature_groups": SIZES, "n_lambdas": 3, "cv": 3, "lambda_min_ratio": 1e-2, "penalty": "group_lasso"}
    given = {"groups": TRIAL, "offset": OFFSET}
    first = quietly(pg.ClassifierGLMCV(**job), X, LABELS, **given)
    adaptive = quietly(pg.ClassifierGLMCV(**job, penalty_factors=pg.AdaptiveFactors()), X, LABELS, **given)
    sizes = [np.linalg.norm(first.coef_[:, own]) for own in np.split(np.arange(8), np.cumsum(SIZES)[:-1])]
    with np.errstate(divide="ignore"):
        expected = np.repeat(max(sizes) / np.array(sizes), SIZES)
    np.testing.assert_allclose(adaptive.adaptive_factors_[:, 0], expected, rtol=1e-3)


def test_strengths_chosen_by_validation_data():
    model = pg.ClassifierGLM(**JOB).fit(X[:200], LABELS[:200], offset=OFFSET[:200])
    model.select(X[200:], LABELS[200:], offset=OFFSET[200:])
    expected = []
    for V, b in zip(model.coef_path_[:, 0], model.intercept_path_[:, 0], strict=True):
        log_p = log_softmax(X[200:] @ V.T + b + OFFSET[200:], axis=1)
        expected.append(-2 * log_p[np.arange(N - 200), CODES[200:]].sum())
    shares = np.bincount(CODES[200:]) / (N - 200)
    null = -2 * np.log(shares[CODES[200:]]).sum()
    np.testing.assert_allclose(model.deviance_explained_path_[:, 0], 1 - np.array(expected) / null, rtol=1e-6)


def test_files_starts_and_checkpoints(tmp_path):
    job = {**JOB, "cv": 2}
    model = quietly(pg.ClassifierGLMCV(**job), X, LABELS, groups=TRIAL, offset=OFFSET, checkpoint=tmp_path / "kept")
    with pytest.raises(ValueError, match="offset had other values"):
        quietly(pg.ClassifierGLMCV(**job), X, LABELS, groups=TRIAL, offset=-OFFSET, checkpoint=tmp_path / "kept")
    ended = quietly(pg.ClassifierGLMCV(**job), X, LABELS, groups=TRIAL, offset=OFFSET, checkpoint=tmp_path / "kept")
    np.testing.assert_array_equal(ended.coef_path_, model.coef_path_)
    again = quietly(pg.ClassifierGLMCV(**job), X, LABELS, groups=TRIAL, offset=OFFSET, start=model)
    assert again.n_iter_.sum() < 0.6 * model.n_iter_.sum()
    np.testing.assert_allclose(again.coef_path_, model.coef_path_, atol=1e-6)
    model.save(tmp_path / "model.nc")
    loaded = pg.load(tmp_path / "model.nc")
    assert loaded.fitted_with_offset_
    np.testing.assert_array_equal(loaded.predict_proba(X, OFFSET), model.predict_proba(X, OFFSET))


def test_what_cannot_be_an_offset():
    model = quietly(pg.ClassifierGLMCV(cv=2, **JOB), X, TWO, groups=TRIAL, offset=OFFSET)
    for use in (
        lambda: model.predict(X),
        lambda: model.predict_proba(X),
        lambda: model.decision_function(X),
        lambda: model.evaluate(X, TWO),
        lambda: model.predict_proba_held_out(),
        lambda: quietly(pg.ClassifierGLM(**JOB), X, TWO, offset=OFFSET).select(X, TWO),
    ):
        with pytest.raises(ValueError, match="needs offset=: the model was fitted with an offset"):
            use()

    def told(words, offset):
        with pytest.raises(ValueError, match=words):
            pg.ClassifierGLM(**JOB).fit(X, TWO, offset=offset)

    told(
        r"one number per sample, which is the same for all classes .* each of the 3 classes 'left', 'none', 'right'",
        np.ones(N),
    )
    told(r"shape \(360, 3\), one value per sample and class, or \(360, 2, 3\) .* has \(360, 4\)", np.ones((N, 4)))
    bad = OFFSET.copy()
    bad[7, 2] = -np.inf
    told(r"finite .* row 7 holds -inf for class 'right'\. A class that a sample cannot have", bad)
    told(
        "row 7 holds nan for class 'right' of response 'side'",
        np.stack([OFFSET, np.where(bad > -9, bad, np.nan)], axis=1),
    )
    told(
        "offset lacks class 'left' of the fit and has class 'up'", pd.DataFrame(OFFSET, columns=["up", "none", "right"])
    )
    told("offset names 'up', which is no class of y", {"up": np.ones(N)})
    told(r"offset of 'left' must have shape \(360,\).* has \(3,\)", {"left": np.ones(3)})
    told("offset must hold numbers", np.full((N, K), "a"))
    far = np.zeros((N, K))
    far[5, 1] = 1e16
    told("above the mean of the classes in row 5 for class 'none', beside which what the weights add", far)
    # another precision is a remedy where there is one
    for precision, remedy in {"float32": ", or fit with precision='float64'", "float64": ""}.items():
        with pytest.raises(ValueError, match=f"give logarithms of probabilities or odds{remedy}\\.$"):
            pg.ClassifierGLM(precision=precision).fit(X, LABELS, offset=far)


@pytest.mark.parametrize(("precision", "remedy"), [("float32", ", or use precision='float64'"), ("float64", "")])
def test_late_fits_advise_no_precision_that_is_set(precision, remedy):
    job = {"lambdas": [1e-4], "max_iter": 1, "tol": 1e-12, "precision": precision}
    counts = np.column_stack([np.arange(N) % 3, np.arange(N) % 4])
    for model, Y in ((pg.ClassifierGLM(**job), LABELS), (pg.GLM(**job), counts)):
        with pytest.warns(pg.ConvergenceWarning, match=rf"Raise max_iter or tol{remedy}\.$"):
            model.fit(X, Y)
