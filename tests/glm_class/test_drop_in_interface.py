"""Arguments, attributes, input of every kind, and complaints."""

import inspect
import pickle
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from documented import LAMBDAS, SIZES, cross_validated_model, simulated

from popglm import glm_class as glm

COMMON = {
    "activation": "exp",
    "loss_type": "poisson",
    "regularization": "elastic_net",
    "lambda_series": 10.0 ** np.linspace(-1, -8, 30),
    "l1_ratio": 0.0,
    "smooth_strength": 0.0,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "momentum": 0.5,
    "min_iter_per_lambda": 100,
    "max_iter_per_lambda": 10**4,
    "num_iter_check": 100,
    "convergence_tol": 1e-6,
}
SPLIT = {"n_folds": 5, "auto_split": True, "split_by_group": True, "split_random_state": None}


@pytest.fixture(autouse=True)
def without_a_screen():
    with plt.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


@pytest.fixture
def cross_validated():
    return cross_validated_model()


@pytest.mark.parametrize(("kind", "expected"), [(glm.GLM, COMMON), (glm.GLM_CV, {**SPLIT, **COMMON})])
def test_constructor(kind, expected):
    parameters = dict(inspect.signature(kind).parameters)
    assert parameters.pop("solver").kind is inspect.Parameter.KEYWORD_ONLY
    assert list(parameters) == list(expected)
    model = kind()
    for name, value in expected.items():
        np.testing.assert_array_equal(parameters[name].default, value)
        np.testing.assert_array_equal(getattr(model, name), value)
    assert model.n_lambdas == 30
    assert not model.fitted
    assert not model.selected


def test_arguments_of_methods():
    expected = {
        glm.GLM.fit: "X Y initial_w0 initial_w feature_group_size verbose=True",
        glm.GLM.select_model: "X_val Y_val min_lambda=0.0 make_fig=True",
        glm.GLM.predict: "X",
        glm.GLM.evaluate: "X_test Y_test make_fig=True",
        glm.GLM_CV.fit: "X Y train_idx val_idx group_idx initial_w initial_w0 feature_group_size verbose=True",
        glm.GLM_CV.select_model: "se_fraction=1.0 min_lambda=0.0 make_fig=True",
        glm.GLM_CV.make_prediction_cv: "X_ablated",
        glm.GLM_CV.evaluate: "X_test Y_test make_fig=True",
    }
    for method, listed in expected.items():
        parameters = list(inspect.signature(method).parameters.values())[1:]
        shown = [p.name if p.default in (p.empty, None) else f"{p.name}={p.default}" for p in parameters]
        assert shown == listed.split()


def test_strengths_are_sorted_and_reported_as_given():
    X, Y = simulated("gaussian")
    model = glm.GLM("linear", "gaussian", lambda_series=[0.01, 1, 0.1])
    model.fit(X, Y, verbose=False)
    model.select_model(X, Y, make_fig=False)
    np.testing.assert_array_equal(model.lambda_series, [1, 0.1, 0.01])
    assert set(model.selected_lambda) <= {1, 0.1, 0.01}
    assert set(model.lambda_trace) == {1, 0.1, 0.01}
    assert (model.n_features, model.n_responses, model.n_lambdas) == (8, 3, 3)


@pytest.mark.parametrize("kind", [glm.GLM, glm.GLM_CV])
def test_one_dimensional_input_is_one_column(kind):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(100)
    y = rng.poisson(np.exp(0.5 * x))
    model = kind(lambda_series=[0.1, 0.01])
    if kind is glm.GLM:
        model.fit(x, y, verbose=False)
        model.select_model(x, y, make_fig=False)
    else:
        model.fit(x, y, group_idx=np.arange(100) // 5, verbose=False)
        model.select_model(make_fig=False)
        assert model.make_prediction_cv(x).shape == (100, 1)
    assert (model.n_features, model.n_responses) == (1, 1)
    assert model.predict(x).shape == (100, 1)
    assert [v.shape for v in model.evaluate(x, y, False)] == [(1,)] * 4
    # the column that predict returns beside the vector that was recorded
    np.testing.assert_allclose(glm.deviance(model.predict(x), y)[0], model.evaluate(x, y, False)[0], rtol=1e-5)


def test_pandas_lists_and_integers_are_arrays():
    X, Y = simulated()
    plain, other = (glm.GLM_CV(3, lambda_series=LAMBDAS, regularization="group_lasso") for _ in range(2))
    trial = np.arange(300) // 10
    plain.fit(X, Y, group_idx=trial, feature_group_size=SIZES, verbose=False)
    index = pd.RangeIndex(5, 305)
    other.fit(
        pd.DataFrame(X, index),
        pd.DataFrame(Y.astype(int), index),
        group_idx=pd.Series(trial, index),
        feature_group_size=np.array(SIZES),
        verbose=False,
    )
    for model in (plain, other):
        model.select_model(make_fig=False)
    np.testing.assert_array_equal(plain.selected_w, other.selected_w)
    np.testing.assert_allclose(plain.predict(X.tolist()), other.predict(pd.DataFrame(X)), rtol=1e-12)
    assert other.feature_group_size == SIZES


def test_initial_weights_are_checked_and_change_nothing():
    X, Y = simulated()
    started, plain = glm.GLM(lambda_series=LAMBDAS), glm.GLM(lambda_series=LAMBDAS)
    assert started.fit(X, Y, np.ones((1, 3)), np.ones((8, 3)), None, False) is None
    plain.fit(X, Y, initial_w0=np.ones(3), verbose=False)
    np.testing.assert_array_equal(started.w_series[-1][1], plain.w_series[-1][1])
    cv = glm.GLM_CV(3, split_by_group=False, lambda_series=[0.1])
    # weights come before intercepts here
    assert cv.fit(X, Y, None, None, None, np.ones((8, 3)), np.ones((1, 3)), None, False) is None


@pytest.mark.parametrize("spelling", ["binominal", "binomial"])
def test_both_spellings(spelling):
    X, Y = simulated("binominal")
    model = glm.GLM("sigmoid", spelling, lambda_series=[0.1])
    model.fit(X, Y, verbose=False)
    assert model.loss_type == spelling
    with pytest.raises(glm.UsageError, match="activation='sigmoid'"):
        glm.GLM("exp", spelling)


@pytest.mark.parametrize(("loss_type", "activation"), [("poisson", "softplus"), ("gaussian", "relu")])
def test_other_activations(loss_type, activation):
    X, Y = simulated("poisson")
    model = glm.GLM(activation, loss_type, lambda_series=[0.01])
    model.fit(X, Y, verbose=False)
    model.select_model(X, Y, make_fig=False)
    assert (model.selected_frac_dev_expl_val > 0).all()


def test_evaluate_returns_and_prints(capsys):
    X, Y = simulated(n_responses=4)
    Y[200:, 3] = 0
    model = glm.GLM(lambda_series=LAMBDAS)
    model.fit(X[:200], Y[:200], verbose=False)
    model.select_model(X[:200], Y[:200], make_fig=False)
    capsys.readouterr()
    fraction, model_deviance, null, explained = model.evaluate(X[200:], Y[200:], make_fig=True)
    line = capsys.readouterr().out
    numbers = re.fullmatch(r"Fraction deviance explained: mean = (\S+), median = (\S+)\n", line).groups()
    np.testing.assert_allclose([float(v) for v in numbers], [fraction.mean(), np.median(fraction)], atol=1e-4)
    theirs = glm.deviance(model.predict(X[200:]), Y[200:])
    for ours, other in zip((fraction, model_deviance, null), theirs, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-5)
    np.testing.assert_allclose(explained, null - model_deviance)
    assert fraction[3] == 0
    assert len(plt.gcf().axes) == 2


def test_verbose_prints_a_line_per_strength(capsys):
    X, Y = simulated()
    model = glm.GLM(lambda_series=LAMBDAS)
    model.fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"lambda = {lam:.3e}" for lam in LAMBDAS]
    assert f"{model.loss_trace[-1]:.6f}" in lines[-2]
    assert lines[-1].startswith("3 responses fitted in")
    model.fit(X, Y, verbose=False)
    assert capsys.readouterr().out == ""


def test_silent_test_data_can_be_evaluated_with_a_figure():
    X, Y = simulated()
    model = glm.GLM(lambda_series=LAMBDAS)
    model.fit(X, Y, verbose=False)
    model.select_model(X, 0 * Y)
    assert (model.evaluate(X, 0 * Y)[0] == 0).all()


@pytest.mark.parametrize("prediction_first", [False, True])
def test_pickle(cross_validated, prediction_first):
    X, _, model = cross_validated
    model.select_model(make_fig=False)
    if prediction_first:
        assert len(model.all_prediction) == 11
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.make_prediction_cv(X), model.make_prediction_cv(X))
    np.testing.assert_array_equal(again.all_prediction[3], model.all_prediction[3])
    again.select_model(0.0, make_fig=False)
    assert again.selected


def test_a_new_fit_forgets_the_old_one(cross_validated):
    X, Y, model = cross_validated
    again = pickle.loads(pickle.dumps(model))
    again.select_model(make_fig=False)
    first = again.all_prediction[0]
    again.fit(X[:120], Y[:120], group_idx=np.arange(120) // 10, verbose=False)
    assert not again.selected
    assert again.all_prediction[0].shape != first.shape
    with pytest.raises(glm.UsageError, match="select_model first"):
        again.predict(X)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "tanh"}, "activation='tanh' is unknown; use one of linear, exp"),
        ({"loss_type": "gamma"}, "loss_type='gamma' is unknown"),
        ({"regularization": "lasso"}, "regularization='lasso' is unknown; use one of elastic_net, group_lasso"),
        ({"optimizer": "sgd"}, "optimizer='sgd' is unknown; use one of adam, sgdm"),
        ({"lambda_series": [-1.0]}, "lambda_series must be"),
        ({"lambda_series": []}, "lambda_series must be"),
        ({"lambda_series": object()}, "lambda_series must hold numbers"),
        ({"convergence_tol": 10**30}, "convergence_tol=1000000.* must be"),
        ({"l1_ratio": 1.5}, "l1_ratio=1.5 must be"),
        ({"smooth_strength": -1}, "smooth_strength=-1 must be"),
        ({"learning_rate": 0}, "learning_rate=0 must be"),
        ({"momentum": 1.0}, r"momentum=1.0 must lie in \[0, 1\)"),
        ({"max_iter_per_lambda": 1.5}, "max_iter_per_lambda=1.5 must be a whole number"),
        ({"min_iter_per_lambda": 0}, "min_iter_per_lambda=0 must be"),
        ({"num_iter_check": "100"}, "num_iter_check='100' must be"),
        ({"convergence_tol": np.nan}, "convergence_tol=nan must be"),
        ({"solver": "adam"}, "solver='adam' is unknown"),
    ],
)
def test_complaints_about_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        glm.GLM(**settings)
    with pytest.raises(ValueError, match=message):
        glm.GLM_CV(**settings)


def test_complaint_about_the_environment(monkeypatch):
    monkeypatch.setenv("POPGLM_GLM_CLASS_SOLVER", "fast")
    with pytest.raises(glm.UsageError, match="environment variable POPGLM_GLM_CLASS_SOLVER='fast' is unknown"):
        glm.GLM()


X0, Y0 = simulated(n_samples=30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": X0[:20]}, "X has 20 samples and Y has 30"),
        ({"X": X0[None]}, "X must have one or two axes"),
        ({"X": np.full(X0.shape, "a")}, "X must hold numbers"),
        ({"X": object()}, "X must hold numbers"),
        ({"initial_w": {}}, "initial_w must hold numbers: found dict"),
        ({"feature_group_size": [object()]}, "feature_group_size must hold numbers"),
        ({"X": np.where(np.arange(8) == 2, np.nan, X0)}, "X contains NaN in column 2"),
        ({"Y": Y0 - 5}, "negative value"),
        ({"initial_w0": np.ones(2)}, r"initial_w0 must have shape \(1, 3\); it has \(2,\)"),
        ({"initial_w": np.ones((3, 8))}, r"initial_w must have shape \(8, 3\); it has \(3, 8\)"),
        ({"initial_w": np.full((8, 3), np.nan)}, "initial_w holds NaN"),
        ({"feature_group_size": [3, 4]}, "feature_group_size sums to 7, but X has 8 columns"),
        ({"feature_group_size": [8.5]}, "feature_group_size must be a list of whole numbers"),
        ({"group_idx": None}, "group_idx is needed by split_by_group=True"),
        ({"group_idx": np.arange(29)}, r"group_idx has shape \(29,\); X has 30 samples"),
    ],
)
def test_complaints_about_data(arguments, message):
    arguments = {"X": X0, "Y": Y0, "group_idx": np.arange(30), **arguments}
    with pytest.raises(ValueError, match=message):
        glm.GLM_CV(lambda_series=[0.1]).fit(**arguments)


@pytest.mark.parametrize("settings", [{"regularization": "group_lasso"}, {"smooth_strength": 0.1}])
def test_groups_are_required(settings):
    with pytest.raises(glm.UsageError, match="feature_group_size is needed"):
        glm.GLM(**settings).fit(X0, Y0)


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (None, None, "train_idx has no fold 0"),
        ({0: [0, 1]}, {0: [2]}, "train_idx has no fold 1"),
        ({0: [0, 1], 1: [3, 4]}, {0: [2]}, "val_idx has no fold 1"),
        ({0: [0, 1], 1: [3, 30]}, {0: [2], 1: [5]}, r"train_idx\[1\] runs from 3 to 30; X has rows 0 … 29"),
        ({0: [0, 1], 1: []}, {0: [2], 1: [5]}, r"train_idx\[1\] must be a list of row numbers"),
        ({0: [0, 1], 1: [3, 4], 2: [0, 1]}, {0: [2], 1: [5]}, r"train_idx\[2\], the last fit, must be all 30 samples"),
    ],
)
def test_complaints_about_own_folds(train, val, message):
    with pytest.raises(glm.UsageError, match=message):
        glm.GLM_CV(2, auto_split=False).fit(X0, Y0, train, val)


def test_calls_out_of_order_and_other_shapes():
    model = glm.GLM_CV(3, lambda_series=[0.1])
    for call, before in (
        (lambda: model.select_model(), "fit"),
        (lambda: model.predict(X0), "select_model"),
        (lambda: model.evaluate(X0, Y0), "select_model"),
        (lambda: model.make_prediction_cv(X0), "select_model"),
        (lambda: model.all_prediction, "fit"),
        (lambda: glm.GLM().select_model(X0, Y0), "fit"),
    ):
        # an AssertionError as well, for code that catches that
        with pytest.raises(AssertionError, match=f"call {before} first"):
            call()
    model.fit(X0, Y0, group_idx=np.arange(30), verbose=False)
    model.select_model(make_fig=False)
    for call, message in (
        (lambda: model.predict(X0[:, :5]), "X has 5 columns; the model was fitted to 8"),
        (lambda: model.predict(X0 * np.nan), "X holds NaN or infinity in column 0"),
        (lambda: model.evaluate(X0, Y0[:20]), r"Y_test has shape \(20, 3\)"),
        (lambda: model.evaluate(X0, Y0[:, :2]), r"it must have \(30, 3\)"),
        (lambda: model.make_prediction_cv(X0[:20]), "X_ablated has 20 samples; the model was fitted to 30"),
        (lambda: model.select_model(se_fraction=-1), "se_fraction=-1 must be"),
        (lambda: model.select_model(min_lambda=-1), "min_lambda=-1 must be"),
        (lambda: glm.make_prediction(X0, np.ones((5, 2)), 0), "do not fit together"),
        (lambda: glm.make_prediction(X0, np.ones((8, 2)), np.ones(3)), "do not fit together"),
        (lambda: glm.make_prediction(X0, np.ones((8, 2)), 0, "tanh"), "activation='tanh' is unknown"),
        (lambda: glm.deviance(Y0[:20], Y0), "must be the same"),
        (lambda: glm.deviance(Y0, Y0, "gamma"), "loss_type='gamma' is unknown"),
        (lambda: glm.deviance(Y0 + 2, Y0 > 0, "binominal"), r"probabilities lie in \[0, 1\]"),
        (lambda: glm.null_deviance(Y0 - 5), "negative value"),
        (lambda: glm.make_group_matrix([2, 0]), "feature_group_size must be"),
        (lambda: glm.make_prior_matrix([]), "feature_group_size must be"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
