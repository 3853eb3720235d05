"""What explains a model, with X on disk, against the same X in memory."""

import numpy as np
import pytest
import xarray as xr
from populations import design, fitted

import popglm as pg

#: Rows of X that a stream may hold at a time, about.
HELD = 300


class Counted:
    """An array that counts the rows that were asked for, and the most at once."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype
        self.rows, self.most = 0, 0

    def __getitem__(self, rows):
        found = self.X[rows].copy()
        self.rows, self.most = self.rows + len(found), max(self.most, len(found))
        return found


@pytest.fixture(scope="module")
def population():
    return fitted()


def streamed(X):
    source = Counted(X.to_numpy())
    return pg.RowStream(source, memory=HELD * source.X[0].nbytes), source


@pytest.mark.parametrize("method", ["zero", "keep"])
@pytest.mark.parametrize("held_out", [True, False])
def test_breakdown(population, method, held_out):
    model, X, Y, behaviour = population
    by = pg.bins(behaviour["position"], [25, 75], 25)
    settings = {"method": method, "held_out": held_out, "by": by}
    stream, source = streamed(X)
    known = pg.breakdown(model, X, Y, **settings)
    xr.testing.assert_allclose(pg.breakdown(model, stream, Y, **settings), known, rtol=1e-9)
    assert source.most <= HELD / 6
    # looked at for NaN and for the mean, predicted, and once for each of three groups
    assert source.rows <= 6 * len(X)


def test_breakdown_still_tells_of_columns_that_are_not_centred(population):
    model, X, Y, _ = population
    away = X + 3.0
    with pytest.warns(pg.PopglmWarning, match="not centred"):
        pg.breakdown(model, streamed(away)[0], Y)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("settings", [{}, {"method": "add", "reselect": False}])
def test_compare(population, settings):
    model, X, Y, _ = population
    stream, source = streamed(X)
    variables = {"position": ["position", "position × cue"], "speed": "speed"}
    known = pg.compare(model, X, Y, variables, **settings)
    found = pg.compare(model, stream, Y, variables, **settings)
    xr.testing.assert_allclose(found, known, rtol=1e-3, atol=1e-4)
    assert source.most <= HELD / 6


def test_compare_on_test_rows(population):
    model, X, Y, _ = population
    rows = slice(0, 400)
    tests = (X[rows], Y[rows]), (streamed(X[rows])[0], Y[rows])
    known, found = (pg.compare(model, X, Y, ["speed"], test=test, reselect=False) for test in tests)
    xr.testing.assert_allclose(found, known, rtol=1e-6)


def test_bootstrap(population):
    model, X, Y, behaviour = population
    fitted_design = design().fit(behaviour)
    settings = {"trial": behaviour["trial"], "n_resamples": 2}
    known = pg.bootstrap(model, fitted_design, X, Y, **settings)
    found = pg.bootstrap(model, fitted_design, streamed(X)[0], Y, **settings)
    for group, kernel in known.items():
        np.testing.assert_allclose(found[group]["sem"], kernel["sem"], atol=1e-2 * float(kernel["sem"].max()))


def test_what_needs_all_rows_at_once_says_so(population):
    model, X, Y, behaviour = population
    stream, source = streamed(X)
    sentence = "needs all rows of X at once .* give X in memory"
    with pytest.raises(TypeError, match=f"^significance {sentence}"):
        pg.significance(model, stream, Y, trial=behaviour["trial"], n_shifts=10)
    with pytest.raises(TypeError, match=f"^breakdown with method='shuffle' {sentence}"):
        pg.breakdown(model, stream, Y, method="shuffle")
    assert source.rows == 0


def test_some_columns_of_a_stream(population):
    X = population[1]
    stream, source = streamed(X)
    kept = np.array([1, 4])
    some = stream.with_columns(kept)
    np.testing.assert_array_equal(some[7:50], X.to_numpy()[7:50, kept])
    assert some.block_rows == stream.block_rows
    none = stream.with_columns(kept[:0])
    assert none.shape == (len(X), 1)
    assert not none[0:30].any()
    assert source.most <= HELD / 6
