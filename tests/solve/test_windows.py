"""Passes over the windows of X on a device that has no room for all of it, or for all points at once."""

import logging

import numpy as np
import pytest

from popglm.engines import NumpyEngine
from popglm.estimators.predictions import means_on_device
from popglm.solve.first_order import FirstOrder
from popglm.solve.held_out import HeldOut
from popglm.solve.passes.samples import FitData, Points, Samples
from popglm.solve.population import Settings, fit_population
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty

N, P, Q = 3000, 5, 4
LOSS = get_family("poisson", "exp")
COMPLAINT = "CUDA out of memory. Tried to allocate 2.00 GiB."


class Short(NumpyEngine):
    """Has no room for arrays of ``largest`` entries; nor, beside all rows of X, for a pass; nor for many columns."""

    largest, beside_X, most_columns = np.inf, True, np.inf

    def asarray(self, a):
        if np.size(a) >= self.largest:
            raise RuntimeError(COMPLAINT)
        return super().asarray(a)

    @classmethod
    def compile(cls, function, *static):
        run = NumpyEngine.compile(function, *static)

        def call(window, *more):
            columns = max((len(a.W) for a in more if isinstance(a, Points) and a.W is not None), default=0)
            whole = window.X is not None and len(window.X) == N
            if (whole and not cls.beside_X) or columns > cls.most_columns:
                raise RuntimeError(COMPLAINT)
            return run(window, *more)

        return call


def short(**limits):
    return type("Limited", (Short,), limits)("float64")


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P))
    return X, rng.poisson(np.exp(0.3 * X @ rng.normal(size=(P, Q)) - 1)).astype(float)


def fit(engine, X, Y, **settings):
    settings = Settings(
        LOSS,
        Penalty.make("ridge", None, 0.0, np.ones(P, int)),
        np.array([[0.1], [0.01]]) * np.ones(Q),
        tol=1e-6,
        **settings,
    )
    splits = [(np.arange(1000, N), np.arange(1000)), (np.arange(1000), np.arange(1000, N))]
    with engine.session():
        return fit_population(FitData(engine, X, Y, None, None, splits), settings)


X_ALONE, PASSES = {"largest": N * P}, {"beside_X": False}


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(
    ("limits", "first_order"),
    [(X_ALONE, None), (PASSES, None), (X_ALONE, FirstOrder("adam")), (PASSES, FirstOrder("sgd", batch_size=500))],
    ids=["X", "passes", "X, Adam", "passes, SGD"],
)
def test_without_room_for_X_the_fit_is_the_same(data, limits, first_order, caplog):
    settings = {"first_order": first_order, "max_iter": 2 if first_order is None else 1}
    expected = fit(NumpyEngine("float64"), *data, **settings)
    with caplog.at_level(logging.WARNING, logger="popglm"):
        found = fit(short(**limits), *data, **settings)
    assert "no room for X; copying it window by window" in caplog.text
    for name in ("coef", "intercept", "cv_coef", "cv_deviance", "n_iter"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_held_out_deviance_takes_fewer_strengths_at_a_time(data, caplog):
    X, Y = data
    rng = np.random.default_rng(1)
    W, b = 0.1 * rng.normal(size=(9, Q, P)), 0.1 * rng.normal(size=(9, Q))
    with caplog.at_level(logging.WARNING, logger="popglm"):
        found = HeldOut(short(most_columns=24), LOSS, Samples(X, Y.T), [(500, 2500)]).deviance(W, b)
    assert "going on with 5 strengths at a time" in caplog.text
    unit = LOSS.deviance(W @ X[500:2500].T + b[..., None], Y[500:2500].T)
    np.testing.assert_allclose(found, unit.sum(axis=-1), rtol=1e-12)
    with pytest.raises(RuntimeError, match="out of memory"):
        HeldOut(short(most_columns=3), LOSS, Samples(X, Y.T), [(500, 2500)]).deviance(W, b)


def test_other_errors_of_a_pass_are_raised_as_they_are(data):
    X, Y = data
    broken = type("Broken", (NumpyEngine,), {"asarray": lambda self, a: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        HeldOut(broken("float64"), LOSS, Samples(X, Y.T), [(0, N)])


def test_prediction_takes_fewer_rows_at_a_time(data, caplog):
    X, offset, rng = data[0], np.linspace(-1, 1, N), np.random.default_rng(1)
    coef, b, center = 0.3 * rng.normal(size=(Q, P)), rng.normal(size=Q), rng.normal(size=P)
    with caplog.at_level(logging.WARNING, logger="popglm"):
        found = means_on_device(short(largest=N * P // 3), LOSS, X, center, coef, b, offset, exact=False)
    np.testing.assert_allclose(found, np.exp((X - center) @ coef.T + b + offset[:, None]), rtol=1e-12)
    assert "rows at a time" in caplog.text
