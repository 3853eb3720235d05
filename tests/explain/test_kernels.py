"""Kernels against predictions of hand-made sessions."""

import copy
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import PolynomialFeatures

import popglm as pg
from popglm.explain import kernels

N_POINTS = 17
DT = 0.1
LAGS = (0.0, 0.1, 0.3, -0.2)
LAGGED = ("speed shifts", "position shifts", "lick kernel", "cued speed × cue")


def recording(n=600, seed=0):
    rng = np.random.default_rng(seed)
    position = rng.uniform(0, 100, n)
    position[::7] = np.nan
    return {
        "position": position,
        "heading": rng.uniform(0, 360, n),
        "cue": rng.choice([-1.0, 1.0], n),
        "odour": rng.choice(["mint", "rose"], n),
        "speed": rng.normal(3, 2, n),
        "lick": rng.poisson(0.1, n).astype(float),
        "trial": np.arange(n) // 50,
    }


def all_terms():
    position = pg.bumps("position", n=5, low=0, high=100)
    heading = pg.cyclic_splines("heading", n=4, low=0, high=360)
    return [
        *(position, position * "cue", heading, position * heading, pg.categories("odour"), pg.linear("cue")),
        *(pg.categories("odour") * position, position * "cue" * "speed"),
        pg.shifts("speed", LAGS, dt=DT),
        pg.shifts(position, [0, 2]),
        pg.kernel("lick", pg.bumps("lag", n=3, low=-0.2, high=0.5), side="both", dt=DT),
        pg.transformed(["position", "speed"], PolynomialFeatures(2, include_bias=False), name="surface"),
        pg.shifts("speed", [1, 2], name="cued speed") * "cue",
    ]


def activity(n=600, seed=1):
    return pd.DataFrame(np.random.default_rng(seed).poisson(0.8, (n, 3)), columns=["a", "b", "c"])


def fitted(terms, standardize=True, y=None, session=None, model=None):
    session = recording() if session is None else session
    design = pg.Design(terms, trial="trial", standardize=standardize, dtype="float64")
    X = design.fit_transform(session)
    model = model or pg.GLM(lambdas=[0.01], precision="float64", tol=1e-3)
    return model.fit(X, activity(len(X)) if y is None else y), design


@pytest.fixture(scope="module")
def everything():
    model, design = fitted(all_terms())
    return model, design, kernels(model, design, n_points=N_POINTS)


def log_rate(model, design, without_lags=False, trial=None, **known):
    """Linear predictor (n_neurons, n_samples) where all columns that do not follow from what is known are 0."""
    n = len(next(iter(known.values())))
    session = dict.fromkeys(("position", "heading", "cue", "speed", "lick"), np.full(n, np.nan))
    session |= {"odour": np.full(n, None), "trial": np.arange(n) if trial is None else trial}
    bare = copy.copy(design)
    bare.means_, bare.scales_ = np.zeros_like(design.means_), np.ones_like(design.scales_)
    X = (bare.transform(session | known) - design.means_) / design.scales_
    follows = [g for g, term in design.terms_.items() if set(term.variables) <= set(known) and g not in LAGGED]
    alike = X.columns.get_level_values("group").isin(follows)
    # at the mean where the recording itself does not know
    X.loc[:, alike] = design.transform(session | known).loc[:, alike]
    if without_lags:
        lagged = X.columns.get_level_values("group").isin(LAGGED)
        X.loc[:, lagged] = -(design.means_ / design.scales_)[lagged]  # what a 0 is after z-scoring
    return np.log(model.predict(X.to_numpy())).T


def visited(model, design, *names, without_lags=True):
    """`log_rate` in the samples of the fit, of which only the named variables are known."""
    known = {name: recording()[name] for name in names}
    return log_rate(model, design, without_lags, trial=recording()["trial"], **known)


def test_baseline_is_the_mean_log_rate_of_the_fitted_samples(everything):
    model, design, results = everything
    expected = np.log(model.predict(design.transform(recording()))).mean(axis=0)
    for dataset in results.values():
        np.testing.assert_allclose(dataset["baseline"], expected, rtol=1e-10)
        assert list(dataset["neuron"].values) == ["a", "b", "c"]


@pytest.mark.parametrize("variable", ["position", "heading", "odour", "cue"])
def test_a_kernel_is_what_the_variable_alone_changes_from_its_mean(everything, variable):
    model, design, results = everything
    got = results[variable]
    assert got["kernel"].dims == ("neuron", variable)
    alone = log_rate(model, design, without_lags=True, **{variable: got[variable].values})
    expected = alone - visited(model, design, variable).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(got["kernel"], expected, atol=1e-10)
    np.testing.assert_allclose(got["gain"], np.exp(got["kernel"]))
    assert "total" not in got


def test_interaction_of_a_product_with_a_variable(everything):
    model, design, results = everything
    got = results["position × cue"]

    def interaction(log_rates, nothing):
        both, place, cue = log_rates
        return both - place - cue + nothing

    place, here = {"position": got["position"].values}, {"cue": np.ones(N_POINTS)}
    on_grid = [log_rate(model, design, without_lags=True, **known) for known in (place | here, place, here)]
    in_samples = [visited(model, design, *names) for names in (("position", "cue"), ("position",), ("cue",))]
    nothing = log_rate(model, design, without_lags=True, position=[np.nan])
    expected = interaction(on_grid, nothing) - interaction(in_samples, nothing).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(got["kernel"], expected, atol=1e-10)
    assert got.attrs == {"group": "position × cue", "variables": ["position", "cue"]}


@pytest.mark.parametrize(
    ("group", "axes", "held"),
    [
        ("position × cue", ("position",), ("cue",)),
        ("position × cue × speed", ("position",), ("cue", "speed")),
        ("position × heading", ("position", "heading"), ()),
        ("odour × position", ("odour", "position"), ()),
    ],
)
def test_total_is_what_the_variables_of_a_product_do_together(everything, group, axes, held):
    model, design, results = everything
    got = results[group]
    assert got["kernel"].dims == got["total"].dims == ("neuron", *axes)
    points = pd.MultiIndex.from_product([got[axis].values for axis in axes]).to_frame(index=False)
    known = {axis: points[k].to_numpy() for k, axis in enumerate(axes)} | {name: np.ones(len(points)) for name in held}
    on_grid = log_rate(model, design, without_lags=True, **known)
    expected = on_grid - visited(model, design, *known).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(got["total"], expected.reshape(got["total"].shape), atol=1e-10)
    np.testing.assert_allclose(got["total_gain"], np.exp(got["total"]))


def test_baseline_times_the_gains_is_the_predicted_rate():
    # samples that stand on the grid, so that every sample has its gain in the picture
    rng = np.random.default_rng(2)
    session = {"position": rng.choice(np.linspace(0, 100, 11), 800, p=np.arange(1, 12) / 66)}
    session["cue"] = rng.choice(["left", "right", "none"], 800, p=[0.6, 0.3, 0.1])
    design = pg.Design([pg.bumps("position", n=5, low=0, high=100), pg.categories("cue")], dtype="float64")
    X = design.fit_transform(session)
    peak = np.exp(-(((session["position"] - 90) / 10) ** 2))
    model = pg.GLM(lambdas=[1e-4], precision="float64").fit(X, rng.poisson(0.02 + 2 * peak))
    place, cue = (dataset.isel(neuron=0) for dataset in kernels(model, design, n_points=11).values())
    gains = [
        place["gain"].sel(position=session["position"], method="nearest").values,
        cue["gain"].sel(cue=session["cue"]).values,
    ]
    np.testing.assert_allclose(np.exp(place["baseline"].item()) * np.prod(gains, axis=0), model.predict(X))
    for gain in gains:
        np.testing.assert_allclose(np.log(gain).mean(), 0, atol=1e-12)
    # a cell that fires in its field is drawn as excited there
    assert place["gain"].max() > 5


def test_bands_lie_around_the_centred_kernel():
    session = recording(200)
    model, design = fitted([pg.linear("cue"), pg.bumps("speed", n=4, low=0, high=6)], session=session, y=activity(200))
    X = design.transform(session)
    for dataset in pg.bootstrap(model, design, X, activity(200), trial=session["trial"], n_resamples=8).values():
        inside = (dataset["lower"] <= dataset["kernel"]) & (dataset["kernel"] <= dataset["upper"])
        assert inside.mean() > 0.7


def test_lagged_kernels_are_responses_to_an_impulse(everything):
    model, design, results = everything
    now, n = 30, 61

    def response(name, size):
        impulse = np.where(np.arange(n) == now, size, np.nan)
        silence = log_rate(model, design, trial=np.zeros(n), **{name: np.full(n, np.nan)})
        return log_rate(model, design, trial=np.zeros(n), **{name: impulse}) - silence

    for group, variable in (("speed shifts", "speed"), ("lick kernel", "lick")):
        got = results[group]
        assert got["lag"].attrs == {"units": "s"}
        rows = now + np.rint(got["lag"].values / DT).astype(int)
        np.testing.assert_allclose(got["kernel"], response(variable, 1.0)[:, rows], atol=1e-10)
    np.testing.assert_array_equal(results["speed shifts"]["lag"], LAGS)

    got = results["position shifts"]
    for place in got["position"].values[::5]:
        expected = response("position", place)[:, now + 2]
        np.testing.assert_allclose(got["kernel"].sel(lag=2, position=place), expected, atol=1e-10)


def test_dimensions_and_units(everything):
    model, design, results = everything
    assert list(results) == design.groups_
    assert results["position shifts"]["kernel"].dims == ("neuron", "lag", "position")
    assert results["position shifts"]["lag"].attrs == {"units": "samples"}
    assert results["surface"]["kernel"].sizes == {"neuron": 3, "position": N_POINTS, "speed": N_POINTS}
    got = kernels(model, design, n_points=4, units={"position": "cm", "temperature": "°C"})
    assert got["position × heading"]["position"].attrs == {"units": "cm"}
    assert got["position × heading"]["heading"].attrs == {}


def test_axes_of_one_name_get_a_suffix():
    position = pg.bumps("position", n=3, low=0, high=100)
    names = dict.fromkeys(["kernel", "neuron"])
    session = recording() | {name: recording(seed=2)["speed"] for name in names}
    model, design = fitted([position * position, pg.linear("kernel"), pg.linear("neuron")], session=session)
    got = kernels(model, design, n_points=4)
    assert got["position × position"]["kernel"].dims == ("neuron", "position", "position_2")
    assert got["kernel"]["kernel"].dims == ("neuron", "kernel_2")
    assert got["neuron"]["kernel"].dims == ("neuron", "neuron_2")


def test_no_total_where_no_sample_can_stand(everything):
    _, _, results = everything
    assert results["cued speed × cue"]["kernel"].dims == ("neuron", "lag")
    assert "total" not in results["cued speed × cue"]
    position = pg.bumps("position", n=3, low=0, high=100)
    model, design = fitted([position, position * "position", pg.product(position, position, name="square")])
    got = kernels(model, design, n_points=5)
    for group in ("position × position", "square"):
        assert "total" not in got[group]
        assert "gain" in got[group]


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("y", ["one neuron", "population"])
@pytest.mark.parametrize("cv", [False, True])
def test_raw_columns_and_baseline_give_the_linear_predictor(standardize, y, cv):
    terms = [pg.bumps("position", n=4, low=0, high=200), pg.linear("cue"), pg.linear("speed")]
    session = recording() | {"cue": np.ones(600)}  # a constant column
    Y = activity()["a"] if y == "one neuron" else activity()
    kwargs = {"lambdas": [0.01], "precision": "float64"}
    model = pg.GLMCV(cv=3, **kwargs) if cv else pg.GLM(**kwargs)
    design = pg.Design(terms, standardize=standardize, dtype="float64")
    with pytest.warns(pg.PopglmWarning, match="cue") if standardize else nullcontext():
        X = design.fit_transform(session)
    model.fit(X, Y)
    got = kernels(model, design, n_points=5)
    eta = X.to_numpy() @ np.atleast_2d(model.coef_).T + model.intercept_

    # 5 points of a kernel determine its 4 weights, and one of a line its slope
    raw = pg.Design(terms[:1], standardize=False, dtype="float64").fit_transform(session).to_numpy()
    places = raw.mean(axis=0) if standardize else 0
    weights = np.linalg.lstsq(terms[0].grid(5)[1] - places, got["position"]["kernel"].values.T)[0]
    expected = (raw - places) @ weights + got["cue"]["baseline"].values
    for name in ("cue", "speed"):
        mean = session[name].mean() if standardize else 0
        away = got[name][name].values[-1] - mean
        slope = got[name]["kernel"].values[:, -1] / away if away else np.zeros(got.get(name).sizes["neuron"])
        expected = expected + np.outer(session[name] - mean, slope)
    np.testing.assert_allclose(eta, expected, atol=1e-9)
    assert got["cue"].sizes == {"neuron": 1 if y == "one neuron" else 3, "cue": 1}
    if standardize:
        assert (got["cue"]["kernel"] == 0).all()


def test_mean_over_neurons(everything):
    size = np.abs(everything[2]["position × heading"]["kernel"].values)
    np.testing.assert_allclose(everything[2]["position × heading"]["mean_absolute"], size.mean(axis=0))
    np.testing.assert_allclose(everything[2]["position × heading"]["mean_absolute_sem"], stats.sem(size))
    model, design = fitted([pg.linear("speed")], y=activity()["a"])
    one = kernels(model, design, n_points=3)["speed"]
    assert one["mean_absolute"].equals(np.abs(one["kernel"]).isel(neuron=0, drop=True))
    assert one["mean_absolute_sem"].isnull().all()


def test_gains_are_for_exponential_rates():
    model, design = fitted([pg.linear("speed")], model=pg.GLM(inverse_link="softplus", lambdas=[0.1]))
    assert set(kernels(model, design)["speed"]) == {"kernel", "mean_absolute", "mean_absolute_sem", "baseline"}


def test_a_file_keeps_the_kernels(everything, tmp_path):
    model, design, results = everything
    results["odour × position"].to_netcdf(tmp_path / "kernels.nc", engine="h5netcdf")
    assert xr.load_dataset(tmp_path / "kernels.nc", engine="h5netcdf").equals(results["odour × position"])
    model.save(tmp_path / "model.nc")
    again = kernels(pg.load(tmp_path / "model.nc"), design, n_points=N_POINTS)
    assert all(again[group].equals(results[group]) for group in results)


def test_what_does_not_belong_together(everything):
    model, design, _ = everything
    with pytest.raises(NotFittedError, match="Design"):
        kernels(model, pg.Design(all_terms()))
    with pytest.raises(NotFittedError, match="GLM"):
        kernels(pg.GLM(), design)
    with pytest.raises(TypeError, match=r"model must be a popglm.GLM or popglm.GLMCV; found Design"):
        kernels(design, model)
    with pytest.raises(TypeError, match=r"design must be a popglm.Design; found DataFrame"):
        kernels(model, pd.DataFrame())
    terms = all_terms()
    other = pg.Design([*terms[:2], pg.cyclic_splines("heading", n=5, low=0, high=360)], trial="trial").fit(recording())
    with pytest.raises(ValueError, match=r"group 2 is 'heading' of 5 columns, but .* to 'heading' of 4 columns there"):
        kernels(model, other)
    shorter = pg.Design(terms[:2], trial="trial").fit(recording())
    with pytest.raises(ValueError, match="group 2 is nothing, but the model was fitted to 'heading' of 4 columns"):
        kernels(model, shorter)
    folds_only, design = fitted([pg.linear("speed")], model=pg.GLMCV(refit=False, cv=2, lambdas=[0.1]))
    with pytest.raises(ValueError, match="refit=False"):
        kernels(folds_only, design)


@pytest.mark.parametrize("saved", [False, True])
def test_a_design_that_was_fitted_again(saved, tmp_path):
    """To another session, as by fit_transform in place of transform: the slope of speed would be a tenth."""
    session, Y = recording(), activity()
    design = pg.Design([pg.linear("speed"), pg.linear("cue")])
    X = design.fit_transform(session)
    model = pg.GLM(lambdas=[0.01]).fit(X, Y)
    if saved:
        model.save(tmp_path / "m.nc")
        model = pg.load(tmp_path / "m.nc")
    expected = kernels(model, design)["speed"]["kernel"].values
    again = pg.Design(design.terms).fit(session)
    np.testing.assert_array_equal(kernels(model, again)["speed"]["kernel"].values, expected)
    design.fit(session | {"speed": 10 * session["speed"]})
    sentence = "fitted to another session than the one that made X for the fit: the mean of column 'speed / linear'"
    with pytest.raises(ValueError, match=sentence):
        kernels(model, design)
    with pytest.raises(ValueError, match=sentence):
        pg.bootstrap(model, design, X, Y, trial=session["trial"], n_resamples=2)
    # an array does not say what made it
    kernels(pg.GLM(lambdas=[0.01], feature_groups=["speed", "cue"]).fit(X.to_numpy(), Y), design)


def test_a_grid_that_fits_no_memory():
    names = [f"band{k}" for k in range(12)]
    session = {name: np.random.default_rng(k).normal(size=600) for k, name in enumerate(names)}
    bands = pg.transformed(names, PolynomialFeatures(1, include_bias=False), name="bands")
    model, design = fitted([bands], session=session | {"trial": np.zeros(600)})
    with pytest.raises(ValueError, match=r"each of the 12 axes of group 'bands' is too large for 3 neurons; .*=4 or"):
        kernels(model, design)
    assert kernels(model, design, n_points=2)["bands"]["kernel"].shape == (3, *[2] * 12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_points": 1}, ValueError, "n_points must be an integer >= 2; found 1"),
        ({"units": "cm"}, TypeError, "units must be a mapping"),
    ],
)
def test_arguments(everything, arguments, error, message):
    with pytest.raises(error, match=message):
        kernels(*everything[:2], **arguments)
