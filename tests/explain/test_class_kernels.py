"""Kernels and calibration of classifiers: as of Bernoulli models, against scikit-learn, and in pictures."""

import warnings

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

import popglm as pg

N = 600
TRIAL = np.arange(N) // 15
JOB = {"lambdas": [0.03, 0.01], "precision": "float64", "tol": 1e-9, "cv": 3}


@pytest.fixture(scope="module")
def session():
    rng = np.random.default_rng(0)
    contrast, side = rng.uniform(-1, 1, N), rng.choice([-1.0, 1.0], N)
    drive = np.column_stack([-2 * contrast + side, np.zeros(N), 2 * contrast]) + rng.gumbel(size=(N, 3))
    return {"contrast": contrast, "side": side}, np.array(["left", "none", "right"])[drive.argmax(axis=1)]


@pytest.fixture(scope="module")
def design(session):
    contrast = pg.splines("contrast", n=4)
    design = pg.Design([contrast, contrast * "side"])
    return design, design.fit_transform(session[0])


def fitted(model, X, Y):
    given = {"groups": TRIAL} if hasattr(model, "cv") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(X, Y, **given)


@pytest.fixture(scope="module")
def model(session, design):
    return fitted(pg.ClassifierGLMCV(**JOB), design[1], session[1])


@pytest.fixture(scope="module")
def pair(session, design):
    """A classifier of two classes, and the Bernoulli model that is the same."""
    y = session[1] == "right"
    classes = fitted(pg.ClassifierGLMCV(**JOB | {"lambdas": [0.06, 0.02]}), design[1], y)
    return classes, fitted(pg.GLMCV("bernoulli", **JOB), design[1], y[:, None].astype(float)), y


def test_kernels_of_two_classes_are_half_those_of_the_bernoulli_model(pair, design):
    ours, theirs = (pg.kernels(model, design[0], n_points=9) for model in pair[:2])
    for group, own in ours.items():
        assert own["kernel"].dims == ("neuron", "class", "contrast")
        for name in ("kernel", "baseline", *(["total"] if "total" in own else [])):
            expected = theirs[group][name].values / 2
            np.testing.assert_allclose(own[name].sel({"class": "True"}).values, expected, atol=1e-4)
            np.testing.assert_allclose(own[name].sel({"class": "False"}).values, -expected, atol=1e-4)


def test_kernels_and_baselines_add_up_to_the_predictors(model, design):
    found = pg.kernels(model, design[0], n_points=9)
    at = {"contrast": found["contrast"]["contrast"].values, "side": np.ones(9)}
    eta = found["contrast"]["kernel"] + found["contrast × side"]["kernel"] + found["contrast"]["baseline"]
    expected = model.decision_function(design[0].transform(at))
    np.testing.assert_allclose(eta.sel(neuron="neuron0").transpose("contrast", "class"), expected, atol=1e-6)
    gains = found["contrast"]["gain"]
    np.testing.assert_allclose(np.log(gains), found["contrast"]["kernel"], atol=1e-10)


def test_classes_that_a_response_lacks_have_no_kernel(session, design):
    y = np.column_stack([session[1], np.where(session[1] == "left", "left", "right")])
    found = kernels_of(design, y)
    assert np.isnan(found["kernel"].sel({"neuron": "neuron1", "class": "none"})).all()
    assert np.isnan(found["baseline"].sel({"neuron": "neuron1", "class": "none"}))
    assert np.isfinite(found["kernel"].sel(neuron="neuron0")).all()


def kernels_of(design, y):
    return pg.kernels(fitted(pg.ClassifierGLM(lambdas=[0.03]), design[1], y), design[0], n_points=3)["contrast"]


def test_an_axis_that_is_called_class_gets_another_name(session):
    renamed = pg.Design([pg.linear("class")])
    X = renamed.fit_transform({"class": session[0]["contrast"]})
    found = pg.kernels(fitted(pg.ClassifierGLM(lambdas=[0.03]), X, session[1]), renamed)["class"]
    assert found["kernel"].dims == ("neuron", "class", "class_2")


def test_calibration_of_two_classes_is_that_of_the_bernoulli_model(pair, design):
    classes, bernoulli, y = pair
    ours = pg.calibration(classes, design[1], y, trial=TRIAL, bins=5)
    theirs = pg.calibration(bernoulli, design[1], y[:, None].astype(float), trial=TRIAL, bins=5)
    for name in ("predicted", "observed", "standard_error", "n_samples", "slope", "intercept", "slope_error"):
        np.testing.assert_allclose(ours[name].sel({"class": "True"}), theirs[name], rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(ours["slope"].sel({"class": "False"}), theirs["slope"], rtol=1e-3)


def test_calibration_of_three_classes_is_that_of_scikit_learn(model, session, design):
    found = pg.calibration(model, design[1], session[1], bins=6)
    p = model.predict_proba_held_out()
    for k, kind in enumerate(model.classes_):
        observed, predicted = calibration_curve(session[1] == kind, p[:, k], n_bins=6, strategy="quantile")
        own = found.sel({"neuron": "neuron0", "class": kind})
        np.testing.assert_allclose(own["observed"], observed)
        np.testing.assert_allclose(own["predicted"], predicted)
    with pytest.raises(ValueError, match="X and Y are not those of the fit"):
        pg.calibration(model, design[1], session[1][::-1])


def test_pictures_have_the_classes_of_a_response(model, session, design):
    found = pg.kernels(model, design[0], n_points=5)
    ax = pg.plot.kernel_curves(found, group="contrast")
    assert ax.get_legend_handles_labels()[1] == ["left", "none", "right"]
    assert ax.get_title() == "contrast, neuron0"
    assert ax.get_ylabel() == "Kernel (change of log odds)"
    image = pg.plot.kernel_image(found, group="contrast", quantity="gain")
    assert sorted(tick.get_text() for tick in image.get_yticklabels()) == ["left", "none", "right"]
    one = pg.plot.kernel_curves(found["contrast"].sel({"class": "left"}))
    assert one.get_title() == "contrast, neuron0: left"
    with pytest.raises(ValueError, match="responses of a classifier have unlike classes; use kernel_curves"):
        pg.plot.mean_absolute_kernels(found)
    calibrated = pg.calibration(model, design[1], session[1], bins=4)
    ax = pg.plot.calibration(calibrated)
    assert ax.get_xlabel() == "Predicted (probability)"
    assert [text.split(",")[0] for text in ax.get_legend_handles_labels()[1]] == ["left", "none", "right"]


def test_pictures_ask_for_one_response(session, design):
    y = np.column_stack([session[1], session[1][::-1]])
    found = kernels_of(design, y)
    with pytest.raises(ValueError, match="neurons must name one response of a classifier to draw; there are"):
        pg.plot.kernel_curves(found)
    assert pg.plot.kernel_curves(found, neurons="neuron1").get_title() == "contrast, neuron1"


def test_designs_that_made_no_such_columns_are_refused(model, session):
    other = pg.Design([pg.linear("contrast")])
    other.fit_transform(session[0])
    with pytest.raises(ValueError, match="design: group 0 is 'contrast' of 1 columns, but the model was fitted to"):
        pg.kernels(model, other)


def test_bands_are_those_of_fits_to_duplicated_trials(session, design):
    y = np.column_stack([session[1], np.where(session[1] == "left", "left", "right")])
    job = {"precision": "float64", "tol": 1e-10, "class_weight": "balanced"}
    model = fitted(pg.ClassifierGLMCV(cv=3, lambdas=[0.1, 0.03, 0.01], **job), design[1], y)
    found = pg.bootstrap(model, design[0], design[1], y, trial=TRIAL, n_resamples=4, seed=3, level=0.5, n_points=5)
    rows, curves = np.arange(N).reshape(-1, 15), {group: [] for group in found}
    for trials in np.random.default_rng(3).integers(len(rows), size=(4, len(rows))):
        again = rows[trials].ravel()
        refit = fitted(pg.ClassifierGLM(lambdas=model.lambda_[None], **job), design[1].iloc[again], y[again])
        for group, own in pg.kernels(refit, design[0], n_points=5).items():
            curves[group].append(own["kernel"].values)
    for group, own in found.items():
        assert own["lower"].dims == own["kernel"].dims == ("neuron", "class", "contrast")
        np.testing.assert_allclose(own["sem"], np.std(curves[group], axis=0, ddof=1), atol=1e-4)
        np.testing.assert_allclose(own["lower"], np.percentile(curves[group], 25, axis=0), atol=1e-4)
        np.testing.assert_allclose(own["upper"], np.percentile(curves[group], 75, axis=0), atol=1e-4)
    assert np.isnan(found["contrast"]["upper"].sel({"neuron": "neuron1", "class": "none"})).all()
    ax = pg.plot.kernel_curves(found, group="contrast", neurons="neuron0")
    assert ax.get_title() == "contrast, neuron0, 50 % band"
    assert len(ax.collections) == 3


def test_resamples_without_a_class_are_left_out_and_counted(session, design):
    y = session[1].copy()
    y[TRIAL == 0] = "rare"
    model = fitted(pg.ClassifierGLM(lambdas=[0.03]), design[1], y)
    with pytest.warns(
        pg.PopglmWarning, match=r"Of 12 re-fits, responses .*drew no sample of a class.*: neuron0 \(\d\)"
    ):
        found = pg.bootstrap(model, design[0], design[1], y, trial=TRIAL, n_resamples=12, n_points=3)
    assert np.isfinite(found["contrast"]["upper"]).all()
    with pytest.raises(ValueError, match="which the fit did not have"):
        pg.bootstrap(model, design[0], design[1], np.where(y == "rare", "other", y), trial=TRIAL)
    with pytest.raises(ValueError, match="trial holds a single trial"):
        pg.bootstrap(model, design[0], design[1], y, trial=np.zeros(N))


@pytest.mark.parametrize(
    ("penalty", "more"),
    [("ridge", {}), ("lasso", {"class_weight": "balanced"}), ("group_lasso", {"fit_intercept": False}), ("none", {})],
)
def test_bands_without_folds_ask_for_the_data_of_the_fit(session, design, penalty, more):
    y = np.column_stack([session[1], np.where(session[1] == "none", None, session[1])])
    strength = {} if penalty == "none" else {"lambdas": [0.01]}
    plain = fitted(pg.ClassifierGLM(penalty, precision="float64", **strength, **more), design[1], y)
    job = {"trial": TRIAL, "n_resamples": 2, "n_points": 3}
    assert np.isfinite(pg.bootstrap(plain, design[0], design[1], y, **job)["contrast"]["sem"][0]).all()
    swapped, lacking = y.copy(), y.copy()
    swapped[:, 0] = np.where(y[:, 0] == "left", "right", np.where(y[:, 0] == "right", "left", y[:, 0]))
    lacking[:, 1] = np.where(y[:, 1] == "left", None, y[:, 1])
    for other, name in ((swapped, "neuron0"), (lacking, "neuron1"), (y[::-1], "neuron0")):
        with pytest.raises(ValueError, match=f"not those of the fit: the objective .* of response '{name}' are others"):
            pg.bootstrap(plain, design[0], design[1], other, **job)


def test_bands_of_other_labels_are_refused(model, session, design):
    with pytest.raises(ValueError, match="bootstrap: X, Y, sample_weight or offset are not those of the fit"):
        pg.bootstrap(model, design[0], design[1], session[1][::-1], trial=TRIAL)
