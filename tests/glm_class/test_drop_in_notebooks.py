"""The guide's two notebooks, call by call."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import GroupShuffleSplit, KFold, train_test_split

import popglm
from popglm import glm_class as glm


@pytest.fixture(autouse=True)
def without_a_screen():
    with plt.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


@pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")
def test_notebook_on_synthetic_data(capsys):
    """The guide's first notebook: Gaussian, with validation data and by cross-validation."""
    rng = np.random.default_rng(0)
    X_full = rng.normal(size=(500, 20))
    X_full[:, 2:4] = X_full[:, :2] + rng.normal(scale=0.5, size=(500, 2))
    X_full = stats.zscore(X_full, axis=0)
    w_true, w0_true = rng.normal(scale=0.25, size=(20, 10)), rng.normal(1.2, 0.25, size=10)
    Y = X_full @ w_true + w0_true + rng.normal(scale=0.25, size=(500, 10))
    X = X_full[:, :16]
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.2, random_state=42)
    X_train, X_val, Y_train, Y_val = train_test_split(X_train, Y_train, test_size=0.2, random_state=42)

    settings = {
        "activation": "linear", "loss_type": "gaussian",
        "regularization": "elastic_net", "lambda_series": 10.0 ** np.linspace(3, -6, 10),
        "l1_ratio": 0.0, "smooth_strength": 0.0,
        "optimizer": "adam", "learning_rate": 1e-2, "momentum": 0.5,
        "min_iter_per_lambda": 100, "max_iter_per_lambda": 10**4,
        "num_iter_check": 100, "convergence_tol": 1e-6,
    }  # fmt: skip
    model = glm.GLM(**settings)
    model.fit(X_train, Y_train)
    plt.plot(model.loss_trace)
    plt.twinx().plot(np.log10(model.lambda_trace))
    model.select_model(X_val, Y_val, min_lambda=0.0, make_fig=True)
    for data in ((X_train, Y_train), (X_val, Y_val), (X_test, Y_test)):
        frac_dev_expl, dev_model, dev_null, dev_expl = model.evaluate(*data, make_fig=True)
    np.testing.assert_allclose(frac_dev_expl, dev_expl / dev_null)
    np.testing.assert_allclose(dev_model, ((model.predict(X_test) - Y_test) ** 2).sum(axis=0), rtol=1e-5)
    plt.hist(model.selected_lambda_ind)
    # 16 of 20 features are observed
    assert 0.6 < frac_dev_expl.mean() < 0.95
    assert np.corrcoef(model.selected_w.ravel(), w_true[:16].ravel())[0, 1] > 0.9
    assert np.corrcoef(model.selected_w0, w0_true)[0, 1] > 0.9

    group_idx = rng.integers(0, 40, len(Y_train))
    model_cv = glm.GLM_CV(n_folds=5, auto_split=True, split_by_group=True, split_random_state=42, **settings)
    model_cv.fit(X_train, Y_train, group_idx=group_idx)
    model_cv.select_model(se_fraction=1.0, min_lambda=0.0, make_fig=True)
    model_cv.evaluate(X_test, Y_test, make_fig=True)
    assert np.all(np.abs(model_cv.selected_frac_dev_expl_cv - frac_dev_expl) < 0.2)

    own = glm.GLM_CV(5, False, True, 42, *settings.values())
    folds = list(KFold(5).split(X_train))
    own.fit(
        X_train,
        Y_train,
        train_idx={fold: train for fold, (train, _) in enumerate(folds)},
        val_idx={fold: val for fold, (_, val) in enumerate(folds)},
        initial_w0=np.zeros((1, 10)),
        initial_w=np.zeros((16, 10)),
        feature_group_size=[8, 8],
        verbose=True,
    )
    own.select_model(0.0)
    assert capsys.readouterr().out.count("Fraction deviance explained: mean = ") == 4
    assert len(plt.get_fignums()) >= 8


@pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")
def test_notebook_on_calcium_imaging(capsys):
    """The guide's second notebook: Poisson, group lasso, folds by trial; kernels, breakdown and comparison."""
    session = popglm.maze_session(n_samples=2500, n_neurons=8, n_task_variables=1, seed=1)
    behavior, Y = session.behavior, session.activity.to_numpy()
    position = behavior["position"].to_numpy()
    centers = np.linspace(10, 250, 20)
    spacing = centers[1] - centers[0]
    angle = np.clip((position[:, None] - centers) * np.pi / (2 * spacing), -np.pi, np.pi)
    bumps = 0.5 * np.cos(angle) + 0.5
    cue = behavior["cue"].to_numpy()[:, None]
    features = np.hstack([bumps, bumps * cue, behavior[["pitch", "roll", "yaw"]]])
    names = [f"{v}fPos_bump{k}" for v in ("", "cue_") for k in range(20)] + ["pitch", "roll", "yaw"]
    group_size, group_name, group_ind = glm.parse_group_from_feature_names(names)
    X = stats.zscore(np.nan_to_num(features), axis=0)
    trial_id = behavior["trial"].to_numpy()
    train_idx, test_idx = next(GroupShuffleSplit(n_splits=1, train_size=0.85, random_state=42).split(X, Y, trial_id))
    X_train, Y_train, X_test, Y_test = X[train_idx], Y[train_idx], X[test_idx], Y[test_idx]

    def fit(X, sizes):
        model = glm.GLM_CV(
            n_folds=5, auto_split=True, split_by_group=True,
            activation="exp", loss_type="poisson",
            regularization="group_lasso", lambda_series=10.0 ** np.linspace(-1, -5, 5),
            optimizer="adam", learning_rate=1e-3,
        )  # fmt: skip
        model.fit(X, Y_train, group_idx=trial_id[train_idx], feature_group_size=sizes, verbose=True)
        model.select_model(se_fraction=0.0, min_lambda=0.0, make_fig=True)
        return model

    model_cv = fit(X_train, group_size)
    frac_dev_expl, _, dev_null, _ = model_cv.evaluate(X_test, Y_test, make_fig=True)
    again = model_cv.predict(X_test)
    np.testing.assert_allclose(glm.deviance(again, Y_test, loss_type=model_cv.loss_type)[0], frac_dev_expl, atol=1e-5)
    weights, intercepts = model_cv.selected_w, model_cv.selected_w0.flatten()
    np.testing.assert_array_equal(glm.make_prediction(X_test, weights, intercepts, activation="exp"), again)
    kernel = bumps @ weights[group_ind == group_name.index("cue_fPos")]
    assert kernel.shape == (2500, 8)

    null_dev = glm.pointwise_null_deviance(Y_train, loss_type=model_cv.loss_type)
    full = glm.pointwise_deviance(Y_train, model_cv.make_prediction_cv(X_train), loss_type=model_cv.loss_type)
    np.testing.assert_allclose(
        1 - full.sum(axis=0) / null_dev.sum(axis=0), model_cv.selected_frac_dev_expl_cv, atol=1e-5
    )
    contribution = {}
    for index, name in enumerate(group_name):
        X_ablated = X_train.copy()
        X_ablated[:, group_ind == index] = 0
        ablated = glm.pointwise_deviance(Y_train, model_cv.make_prediction_cv(X_ablated), model_cv.loss_type)
        contribution[name] = (ablated - full).sum(axis=0) / null_dev.sum(axis=0)
    assert contribution["fPos"].mean() > contribution["pitch"].mean()

    reduced = fit(X_train[:, group_ind != 0], group_size[1:])
    lost = model_cv.selected_frac_dev_expl_cv - reduced.selected_frac_dev_expl_cv
    assert lost.mean() > 0
    assert (dev_null > 0).all()
    assert "Fraction deviance explained" in capsys.readouterr().out
