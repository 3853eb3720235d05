"""Neurons that stop to descend once their held-out deviance has clearly turned."""

import functools
import warnings

import numpy as np
import pytest
from sklearn.model_selection import KFold

import popglm as pg
from popglm import GLMCV
from popglm.engines import NumpyEngine
from popglm.solve.passes.samples import FitData, Points
from popglm.solve.population import Settings, fit_population
from popglm.solve.walk.trace import Trace
from popglm.statistics.ends import ClearTurn, Patience
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty
from popglm.statistics.selection import fitted_strengths, select_strengths

N, Q = 360, 8
LAMBDAS = 10.0 ** np.linspace(-1, -5, 7)
TRIAL = np.repeat(np.arange(36), 10)
SETTINGS = {"penalty": "lasso", "lambdas": LAMBDAS, "cv": 4, "precision": "float64", "tol": 1e-6}


def recording(family="poisson"):
    """Many columns for few samples, so that most neurons overfit; the last one is silent or constant."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 40))
    eta = X[:, :4] @ rng.normal(0, 0.4, (4, Q)) - 0.5
    Y = {"poisson": rng.poisson(np.exp(eta)), "gaussian": eta + rng.standard_normal(eta.shape)}[family].astype(float)
    Y[:, -1] = 0
    return X, Y


def quiet_fit(X, Y, trial=TRIAL, sample_weight=None, **settings):
    with warnings.catch_warnings():
        # the silent neuron
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return GLMCV(**SETTINGS | settings).fit(X, Y, groups=trial, sample_weight=sample_weight)


def by_hand(deviance, patience):
    """From the definition, for one neuron: (n_folds, n_lambdas)."""
    mean, in_a_row = np.nanmean(deviance, axis=0), 0
    for k in range(len(mean)):
        best = np.argmin(mean[: k + 1])
        folds = deviance[:, best][~np.isnan(deviance[:, best])]
        in_a_row = in_a_row + 1 if mean[k] > mean[best] + np.std(folds) / np.sqrt(len(folds)) else 0
        if in_a_row == patience:
            return k + 1
    return len(mean)


def assert_cut(model, full, patience):
    """Same numbers as without the option down to where the deviance of the full path turns, and nothing below."""
    turned = [by_hand(full.cv_deviance_[:, :, j], patience) for j in range(full.cv_deviance_.shape[2])]
    np.testing.assert_array_equal(model.n_lambdas_fitted_, turned)
    np.testing.assert_array_equal(model.lambda_index_, full.lambda_index_)
    np.testing.assert_allclose(model.cv_deviance_explained_, full.cv_deviance_explained_, rtol=1e-9)
    names = ["cv_coef_path_", "cv_intercept_path_", "cv_gap_", "cv_n_iter_", "cv_deviance_"]
    names += ["coef_path_", "intercept_path_", "gap_", "n_iter_", "loss_path_"] if model.refit else []
    for name in names:
        axis = 1 if name.startswith("cv") else 0
        ours, theirs = (np.moveaxis(getattr(m, name), [axis, axis + 1], [0, 1]) for m in (model, full))
        for j, n in enumerate(turned):
            np.testing.assert_allclose(ours[:n, j], theirs[:n, j], rtol=1e-7, atol=1e-9, err_msg=name)
            if "coef" in name or "intercept" in name:
                np.testing.assert_array_equal(ours[n:, j], np.broadcast_to(ours[n - 1, j], ours[n:, j].shape))
            elif "n_iter" in name:
                assert not ours[n:, j].any()
            else:
                assert np.isnan(ours[n:, j]).all()
    beyond = np.arange(len(full.cv_deviance_explained_path_))[:, None] >= turned
    np.testing.assert_array_equal(np.isnan(model.cv_deviance_explained_path_), beyond)


@pytest.fixture(scope="module")
def fits():
    X, Y = recording()
    return X, Y, quiet_fit(X, Y), {patience: quiet_fit(X, Y, patience=patience) for patience in (1, 2, 7)}


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_where_it_turns(patience):
    rng = np.random.default_rng(patience)
    for _ in range(50):
        deviance = 10 + np.abs(np.linspace(-1, 2, 8))[:, None] + rng.normal(0, 0.7, (5, 8, 3))
        deviance[rng.integers(5), :, 0] = np.nan
        expected = [by_hand(deviance[:, :, j], patience) for j in range(3)]
        np.testing.assert_array_equal(fitted_strengths(deviance, patience), expected)
        # of what is not known yet nothing follows
        known = 1 + rng.integers(8)
        deviance[:, known:] = np.nan
        expected = np.where(np.array(expected) <= known, expected, 8)
        np.testing.assert_array_equal(fitted_strengths(deviance, patience), expected)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("patience", [1, 2])
def test_down_to_where_it_stops_a_neuron_has_the_numbers_of_the_whole_path(fits, patience):
    _, _, full, stopped = fits
    assert_cut(stopped[patience], full, patience)
    n_fitted = stopped[patience].n_lambdas_fitted_
    assert (n_fitted[:-1] < len(LAMBDAS)).any()
    assert n_fitted[-1] == len(LAMBDAS)  # the silent neuron
    kept, all_ = (m.n_iter_.sum() + m.cv_n_iter_.sum() for m in (stopped[patience], full))
    assert kept < 0.9 * all_


def test_with_patience_for_all_strengths_nothing_changes(fits):
    _, _, full, stopped = fits
    assert (stopped[7].n_lambdas_fitted_ == len(LAMBDAS)).all()
    assert_cut(stopped[7], full, 7)
    assert (full.n_lambdas_fitted_ == len(LAMBDAS)).all()


class Counting(NumpyEngine):
    """Counts the points, (n, n_features) each time, at which passes are made, but those that ask whether to stop."""

    points = 0

    @classmethod
    def compile(cls, function, *static):
        run = NumpyEngine.compile(function, *static)

        def call(*arrays):
            if function.__name__ != "value_sums":
                cls.points += sum(len(a.W) for a in arrays if isinstance(a, Points) and a.W is not None)
            return run(*arrays)

        return call


def counted_fit(ends, **members):
    """The fits of a recording that end so, and the points at which passes were made for them."""
    X, Y = recording()
    lambdas = np.repeat(LAMBDAS[:, None], Q, axis=1)
    penalty = Penalty.make("lasso", None, 0.0, np.ones(40, int))
    settings = Settings(get_family("poisson"), penalty, lambdas, tol=1e-6, ends=ends)
    engine = type("Own", (Counting,), members)("float64")
    with engine.session():
        fit = fit_population(FitData(engine, X, Y, None, None, list(KFold(4).split(X))), settings)
    assert engine.points >= fit.n_iter.sum() + fit.cv_n_iter.sum()
    return fit, engine.points


def test_evaluations_are_saved():
    assert counted_fit(Patience(1))[1] < 0.8 * counted_fit(None)[1]


def test_fits_wait_where_their_ends_say_what_they_need_at_once():
    class Hasty(ClearTurn):
        at_once = None

        def of(self, neurons, unit):
            return Hasty(*vars(super().of(neurons, unit)).values())

    unknown, known, least = np.full((4, len(LAMBDAS), Q), np.nan), np.zeros(Q, int), np.full(Q, 2)
    each = [kind(unknown, known, least, np.full((4, Q), 1.0)) for kind in (ClearTurn, Hasty)]
    (waiting, few), (hasty, many) = (counted_fit(own, pad=staticmethod(np.asarray)) for own in each)
    np.testing.assert_array_equal(waiting.n_fitted, hasty.n_fitted)
    assert 2 <= waiting.n_fitted.min() < waiting.n_fitted[:-1].max()
    np.testing.assert_allclose(waiting.cv_deviance, hasty.cv_deviance, rtol=1e-9)
    assert few < 0.95 * many


def missing(Y):
    """One neuron not recorded in the rows of a fold of `test_other_fits`, one in single samples."""
    Y = Y.copy()
    Y[:90, 1] = np.nan
    Y[::7, 2] = np.nan
    return Y


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(
    "case", ["no refit", "gaussian", "missing samples", "weights", "overlapping folds", "adam", "stream", "device"]
)
def test_other_fits(case):
    X, Y = recording("gaussian" if case == "gaussian" else "poisson")
    settings = {"lambdas": LAMBDAS[::2], "cv": 3, "trial": None}
    if case == "no refit":
        settings["refit"] = False
    elif case == "gaussian":
        settings |= {"family": "gaussian", "lambdas": 10.0 ** np.linspace(0, -4, 7)}
    elif case == "missing samples":
        Y = missing(Y)
    elif case == "weights":
        settings["sample_weight"] = np.random.default_rng(1).integers(0, 3, N).astype(float)
    elif case == "overlapping folds":
        rows = np.arange(N)
        settings["cv"] = [(rows[(rows - i) % 4 > 1], rows[(rows - i) % 4 < 2]) for i in range(3)]
    elif case == "adam":
        settings |= {"solver": "adam", "tol": 1e-2, "max_iter": 1, "lambdas": LAMBDAS[:5:2], "refit": False}
        Y = missing(Y)
    elif case == "stream":
        X = pg.RowStream(X)
    elif case == "device":
        settings |= {"schedule": "device", "penalty": "ridge"}
    full, stopped = (quiet_fit(X, Y, patience=patience, **settings) for patience in (None, 1))
    assert (stopped.n_lambdas_fitted_ < full.n_lambdas_fitted_).any()
    assert_cut(stopped, full, 1)


def test_neurons_without_anything_to_fit_never_stop():
    X, Y = recording()
    model = quiet_fit(X, 0 * Y, patience=1)
    assert (model.n_lambdas_fitted_ == len(LAMBDAS)).all()
    np.testing.assert_array_equal(model.cv_deviance_, quiet_fit(X, 0 * Y).cv_deviance_)


def test_a_strength_that_was_left_out_is_never_selected(fits):
    model = fits[3][1]
    for se_fraction in (0.0, 1.0, 50.0):
        for min_lambda in (0.0, 1e-4):
            model.select(se_fraction=se_fraction, min_lambda=min_lambda)
            assert ((model.lambda_index_ < model.n_lambdas_fitted_) | np.isinf(model.lambda_)).all()
            # the last strengths alone are missing, and were no candidates
            full = fits[2]
            index = select_strengths(
                full.cv_deviance_, full.lambda_path_, se_fraction, min_lambda, full.cv_null_model_deviance_
            )
            np.testing.assert_array_equal(model.lambda_index_, index)
            assert np.isfinite(model.cv_deviance_explained_).all()
    model.select()


def test_warnings_and_summaries_speak_of_what_was_fitted(fits):
    X, Y, full, stopped = fits
    assert stopped[1].summary()["largest gap"] <= SETTINGS["tol"]
    drop = ["largest gap"]
    np.testing.assert_allclose(stopped[1].summary().drop(drop).astype(float), full.summary().drop(drop).astype(float))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The selected strength lies at an end", pg.PopglmWarning)
        GLMCV(**SETTINGS, patience=1).fit(X, Y[:, :-1], groups=TRIAL)


def test_the_trace_counts_a_neuron_that_stopped_with_its_last_value():
    trace = Trace(3, 2)
    for k, iteration, column, objective in (
        (0, 0, 0, 5.0), (0, 1, 0, 4.0), (0, 0, 1, 7.0), (0, 1, 1, 6.0), (1, 0, 1, 5.0), (1, 1, 1, 3.0), (2, 0, 1, 2.0),
    ):  # fmt: skip
        trace.append(np.array([k]), iteration, np.array([column]), np.array([objective]))
    assert trace.sums() == [[12.0, 10.0], [9.0, 7.0], [6.0]]


def test_explanations_of_such_a_model(fits):
    X, Y, full, stopped = fits
    variables = {"first": ["feature0"], "others": [f"feature{i}" for i in range(1, 40)]}
    # how far a re-fit goes is read from the full model's path: they are compared where that is all the way
    whole = functools.partial(pg.compare, weaker=None)
    for explain in (pg.breakdown, whole):
        ours, theirs = (explain(model, X, Y, variables) for model in (stopped[2], full))
        np.testing.assert_allclose(
            ours.fraction_explained_deviance, theirs.fraction_explained_deviance, rtol=1e-4, atol=1e-5
        )
    ours, theirs = (pg.significance(m, X, Y, trial=TRIAL, n_shifts=20).deviance_explained for m in (stopped[2], full))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    np.testing.assert_allclose(stopped[2].predict_held_out(), full.predict_held_out(), rtol=1e-6)


@pytest.mark.parametrize("family", ["poisson", pytest.param("gaussian", marks=pytest.mark.thorough)])
def test_a_search_for_factors_knows_no_patience_and_the_fit_after_it_does(family):
    X, Y = recording(family)
    search = pg.FactorSearch(candidates=[[1, 1], [20, 1], [1, 20]])
    settings = {"family": family, "penalty": "ridge", "feature_groups": [20, 20], "lambdas": 100 * LAMBDAS}
    full, stopped = (quiet_fit(X, Y, penalty_factors=search, patience=p, **settings) for p in (None, 1))
    assert stopped.factor_search_.identical(full.factor_search_)
    np.testing.assert_array_equal(stopped.penalty_factors_, full.penalty_factors_)
    assert (full.penalty_factors_ != 1).any()
    assert_cut(stopped, full, 1)
    assert stopped.n_lambdas_fitted_.min() < len(LAMBDAS) == full.n_lambdas_fitted_.min()


@pytest.mark.parametrize("patience", [0, -1, 1.5, True, "2"])
def test_what_patience_may_be(patience):
    X, Y = recording()
    with pytest.raises(ValueError, match=r"^patience="):
        GLMCV(patience=patience).fit(X, Y)
