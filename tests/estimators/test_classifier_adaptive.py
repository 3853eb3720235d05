"""Adaptive factors of classifiers: those of Bernoulli models for two classes, and by their definition for more."""

import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg

N, TRIAL = 360, np.arange(360) // 12
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 12))
GROUPS = list("aaabbbcccddd")
DRIVE = np.column_stack([1.5 * X[:, 0] + X[:, 1], 1.2 * X[:, 4], np.zeros(N)]) + RNG.gumbel(size=(N, 3))
LABELS = np.array(["run", "rest", "groom"])[DRIVE.argmax(axis=1)].astype(object)
CHOICE = (X[:, 0] + RNG.logistic(size=N) > 0).astype(int)
JOB = {"cv": 3, "n_lambdas": 2, "lambda_min_ratio": 3e-2, "precision": "float64", "tol": 1e-8}
ADAPTIVE = {"penalty_factors": pg.AdaptiveFactors()}


def fitted(model, y, rows=X, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(rows, y, groups=TRIAL, **given)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalty", ["lasso", "group_lasso"])
def test_two_classes_are_the_adaptive_bernoulli_model(penalty):
    job = {**JOB, **ADAPTIVE, **({"feature_groups": GROUPS} if penalty == "group_lasso" else {})}
    ours = fitted(pg.ClassifierGLMCV(penalty, **job), CHOICE)
    theirs = fitted(pg.GLMCV("bernoulli", penalty=penalty, **job), CHOICE[:, None].astype(float))
    np.testing.assert_allclose(ours.adaptive_factors_, theirs.adaptive_factors_, rtol=1e-3)
    np.testing.assert_allclose(ours.cv_adaptive_factors_, theirs.cv_adaptive_factors_, rtol=1e-3)
    np.testing.assert_allclose(ours.lambda_path_, theirs.lambda_path_, rtol=1e-3)
    np.testing.assert_allclose(2 * ours.coef_path_[:, :, 1], theirs.coef_path_, atol=1e-3)
    np.testing.assert_allclose(ours.cv_deviance_, theirs.cv_deviance_, rtol=1e-4)


@pytest.fixture(scope="module")
def model():
    y = pd.DataFrame({"state": LABELS, "choice": CHOICE}).astype(object)
    y.iloc[:24, 1] = None
    given = {**JOB, **ADAPTIVE, "feature_groups": GROUPS, "class_weight": {"run": 2.0}}
    return fitted(pg.ClassifierGLMCV("group_lasso", **given), y), y


def test_every_fit_is_one_with_factors_of_its_own_rows(model):
    """A fold by hand: first fit to its training rows by the other folds, then a fit with these factors and masks."""
    model, y = model
    train, test = model.splits_[1]
    assert not set(test) & set(train)
    inner = [np.isin(train, held) for k, (_, held) in enumerate(model.splits_) if k != 1]
    folds = [(np.flatnonzero(~held), np.flatnonzero(held)) for held in inner]
    job = {name: value for name, value in JOB.items() if name != "cv"}
    weights = np.where(y.iloc[train] == "run", 2.0, 1.0)
    groups = {"feature_groups": GROUPS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        first = pg.ClassifierGLMCV("group_lasso", cv=folds, **groups, **job)
        first.fit(X[train], y.iloc[train], sample_weight=weights)
    norms = np.sqrt(np.square(first.coef_).sum(axis=1).reshape(2, 4, 3).sum(axis=2))
    with np.errstate(divide="ignore"):
        expected = norms.max(axis=1, keepdims=True) / norms
    np.testing.assert_allclose(model.cv_adaptive_factors_[1][::3].T, expected, rtol=1e-4)
    open_ = np.isfinite(expected.T)
    second = pg.ClassifierGLM(
        "group_lasso", lambdas=model.lambda_path_, feature_mask=open_, penalty_factors=np.where(open_, expected.T, 1.0),
        **groups, **{name: job[name] for name in ("precision", "tol")},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        second.fit(X[train], y.iloc[train], sample_weight=weights)
    np.testing.assert_allclose(model.cv_coef_path_[1], second.coef_path_, atol=1e-4)


def test_fewer_groups_are_left_than_without(model):
    model, y = model
    plain = fitted(pg.ClassifierGLMCV("group_lasso", feature_groups=GROUPS, **JOB), y)
    used, before = ((one.coef_.reshape(2, -1, 4, 3) != 0).any(axis=(1, 3)).sum() for one in (model, plain))
    assert used < before
    assert (model.coef_[0].reshape(-1, 4, 3) != 0).any(axis=(0, 2))[:2].all()


def test_files_and_explanations_take_them(model, tmp_path):
    model, y = model
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    assert again.penalty_factors == model.penalty_factors
    np.testing.assert_array_equal(again.adaptive_factors_, model.adaptive_factors_)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.penalty_of(0).mask.tolist() == np.isfinite(model.adaptive_factors_[:, 0]).tolist()
    lost = pg.compare(model, X, y, ["a"])["fraction_explained_deviance"]
    assert (lost > 0.2).all()


def test_rows_on_disk_have_the_same_factors():
    job = {**ADAPTIVE, "cv": 3, "n_lambdas": 2, "lambda_min_ratio": 0.1, "precision": "float64", "tol": 1e-6}
    whole = fitted(pg.ClassifierGLMCV("lasso", **job), CHOICE)
    stream = pg.RowStream(X, memory=120 * 7 * X[0].nbytes)
    on_disk = fitted(pg.ClassifierGLMCV("lasso", **job), CHOICE, stream)
    np.testing.assert_allclose(on_disk.cv_adaptive_factors_, whole.cv_adaptive_factors_, rtol=0.05)
    np.testing.assert_allclose(on_disk.cv_deviance_, whole.cv_deviance_, rtol=1e-3)


def test_trials_are_not_drawn_again():
    design = pg.Design([pg.linear(f"v{k}") for k in range(12)])
    Z = design.fit_transform({f"v{k}": X[:, k] for k in range(12)})
    model = fitted(pg.ClassifierGLMCV("lasso", cv=3, lambdas=[0.05], **ADAPTIVE), CHOICE, Z)
    with pytest.raises(ValueError, match="has AdaptiveFactors, which a resample of trials would not find anew"):
        pg.bootstrap(model, design, Z, CHOICE, trial=TRIAL)


def test_what_cannot_be_is_told():
    with pytest.raises(ValueError, match="choose by held-out labels, which a ClassifierGLM has not"):
        pg.ClassifierGLM("lasso", **ADAPTIVE).fit(X, LABELS)
    with pytest.raises(ValueError, match="AdaptiveFactors are for penalties that choose, and penalty='ridge' does not"):
        fitted(pg.ClassifierGLMCV("ridge", **ADAPTIVE), LABELS)
    with pytest.raises(ValueError, match="does not search for factors"):
        fitted(pg.ClassifierGLMCV("ridge", penalty_factors=pg.FactorSearch({"a": "a"})), LABELS)
    with pytest.raises(ValueError, match=r"mcp.* is unknown"):
        fitted(pg.ClassifierGLMCV("lasso", penalty_factors=pg.AdaptiveFactors(first="mcp")), LABELS)
