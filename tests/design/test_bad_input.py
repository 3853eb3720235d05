"""Every bad input is met by a sentence that names the argument, what was found and where."""

from itertools import count

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.preprocessing import FunctionTransformer

from popglm import maze_session
from popglm.design import (
    Design,
    bumps,
    categories,
    cyclic_splines,
    kernel,
    linear,
    log_bumps,
    product,
    shifts,
    splines,
    transformed,
)
from popglm.design.variables import SessionVariables

GOOD = {"speed": np.arange(6.0), "side": list("aabbab"), "trial": [1, 1, 2, 2, 3, 3]}


def with_value(row, value, variable="speed"):
    values = list(GOOD[variable])
    values[row] = value
    return {**GOOD, variable: values}


@pytest.mark.parametrize(
    ("session", "error", "sentence"),
    [
        (
            {"sped": [1.0], "spread": [2.0]},
            ValueError,
            "'speed' is not in the session; nearest names: 'sped'",
        ),
        (
            pd.DataFrame({"zzz": [1.0], "trial": 1}),
            ValueError,
            "'speed' is not .* nearest names: 'zzz', 'trial'",
        ),
        (
            xr.Dataset({"Speed": ("t", [1.0])}),
            ValueError,
            "'speed' is not in the session; nearest names: 'Speed'",
        ),
        (with_value(2, "fast"), ValueError, "'speed' must be numeric, but row 2 holds 'fast'"),
        (with_value(0, "1.5"), ValueError, "'speed' must be numeric, but row 0 holds '1.5'"),
        (
            {**GOOD, "speed": list("abcdef")},
            ValueError,
            "must be numeric, but row 0 holds 'a'; .* categories",
        ),
        (
            {**GOOD, "speed": pd.date_range("2020", periods=6)},
            ValueError,
            "must be numeric, but row 0 holds Timestamp",
        ),
        ({**GOOD, "speed": np.arange(6) * 1j}, ValueError, "'speed' must be numeric"),
        (with_value(3, np.inf), ValueError, "'speed' is infinite in row 3"),
        (with_value(4, -np.inf), ValueError, "'speed' is infinite in row 4"),
        (with_value(2, -1e36), ValueError, r"'speed' is -1e\+36 in row 2, above 1e\+35 in size: .* in another unit"),
        ({**GOOD, "speed": np.arange(6) * 1e160}, ValueError, r"'speed' is 5e\+160 in row 5, above 1e\+35 in size"),
        (with_value(1, np.nan, "trial"), ValueError, "trial variable 'trial' is missing .* in row 1"),
        ({**GOOD, "trial": [1, 1, 2, 2, 1, 3]}, ValueError, "not contiguous: label 1 comes back in row 4"),
        ({**GOOD, "trial": list("abbabb")}, ValueError, "not contiguous: label 'a' comes back in row 3"),
        ({**GOOD, "trial": [1, 2]}, ValueError, "differ in length: 'speed' has 6 samples but 'trial' has 2"),
        ({"speed": [], "trial": []}, ValueError, "empty: 'speed' has 0 samples"),
        ({**GOOD, "speed": np.zeros((6, 2))}, ValueError, r"'speed' must be 1-D .* found shape \(6, 2\)"),
        ({**GOOD, "speed": 3.0}, ValueError, r"'speed' must be 1-D .* found shape \(\)"),
        (
            pd.DataFrame(np.zeros((2, 2)), columns=["speed", "speed"]),
            ValueError,
            "'speed' must be 1-D .* 2 columns of that name",
        ),
        (np.zeros((6, 2)), TypeError, "must be a DataFrame, a mapping .* found ndarray"),
        (None, TypeError, "found NoneType"),
    ],
)
def test_sessions(session, error, sentence):
    with pytest.raises(error, match=sentence):
        Design([linear("speed")], trial="trial").fit(session)
    fitted = Design([linear("speed")], trial="trial").fit(GOOD)
    with pytest.raises(error, match=sentence):
        fitted.transform(session)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: bumps("x", 1, 0, 1), ValueError, r"bumps\('x'\): a single bump .* give width="),
        (lambda: bumps("x", 0, 0, 1), ValueError, "n must be an integer >= 1; found 0"),
        (lambda: bumps("x", 2.5, 0, 1), ValueError, "n must be an integer >= 1; found 2.5"),
        (lambda: bumps("x", True, 0, 1), ValueError, "n must be an integer >= 1; found True"),
        (lambda: bumps("x", 3, 1, 1), ValueError, "low < high; found 1 and 1"),
        (lambda: bumps("x", 3, 0, np.inf), ValueError, "finite numbers with low < high; found 0 and inf"),
        (lambda: bumps("x", 3, 0, 1e300), ValueError, r"low and high must lie within ±1e\+35, .* found 0 and 1e\+300"),
        (lambda: bumps("x", 3, 0, 1e-300), ValueError, "1e-35 apart or more; found 0 and 1e-300; .* another unit"),
        (lambda: bumps("x", 3, 0, 1, width=1e-320), ValueError, r"width must be a number from 1e-35 to 1e\+35; found"),
        (lambda: bumps("x", 3, "0", 1), ValueError, "found '0' and 1"),
        (lambda: bumps("x", 3, 0, 1, width=0), ValueError, "width must be a positive number; found 0"),
        (lambda: bumps(np.arange(3), 3, 0, 1), TypeError, "variable must be the name of a variable"),
        (lambda: log_bumps("x", 1, 0, 1), ValueError, r"log_bumps\('x'\): n must be an integer >= 2"),
        (
            lambda: log_bumps("x", 3, 0, 1, offset=-1),
            ValueError,
            "offset must be a positive number; found -1",
        ),
        (lambda: splines("x", n=3), ValueError, "n must be an integer >= 4; found 3"),
        (lambda: splines("x", quantiles=1), ValueError, "quantiles must be an integer >= 2; found 1"),
        (lambda: splines("x", degree=-1), ValueError, "degree must be an integer >= 0"),
        (lambda: cyclic_splines("x", n=3), ValueError, "n must be an integer >= 4; found 3"),
        (lambda: cyclic_splines("x", low=1, high=0), ValueError, "low < high; found 1 and 0"),
        (lambda: categories("x", levels=["a", "a"]), ValueError, "levels must be .* different categories"),
        (lambda: categories("x", levels="ab"), ValueError, "levels must be .* found 'ab'"),
        (lambda: linear(3), TypeError, "linear: variable must be the name of a variable .* found 3"),
        (lambda: transformed("x", np.log), TypeError, "must be a scikit-learn transformer"),
        (lambda: transformed([], FunctionTransformer()), ValueError, "variables is empty"),
        (lambda: transformed(["x", 1], FunctionTransformer()), TypeError, "found 1"),
        (
            lambda: product(linear("x"), 2),
            TypeError,
            "product: expected a term or the name of a variable; found 2",
        ),
        (lambda: shifts("x", 3), TypeError, "lags must be a sequence of numbers, .* found 3"),
        (lambda: shifts("x", []), ValueError, "one or more finite numbers"),
        (lambda: shifts("x", [0, np.nan]), ValueError, "finite numbers"),
        (lambda: shifts("x", [0, 0.5]), ValueError, "whole samples unless dt= .* found 0.5"),
        (lambda: shifts("x", [0.1, 0.14], dt=0.1), ValueError, r"two lags fall on the same sample \(1\)"),
        (lambda: shifts("x", [1], dt=0), ValueError, "dt must be a positive number; found 0"),
        (lambda: kernel("x", linear("lag")), TypeError, r"kernel\('x'\): basis must be bumps"),
        (lambda: kernel("x", bumps("lag", 3, 0, 1), side="past"), ValueError, "side must be .* found 'past'"),
        (lambda: kernel("x", bumps("lag", 3, 0, 1), dt=-1), ValueError, "dt must be a positive number"),
        (lambda: kernel("x", bumps("lag", 3, 0.3, 0.4)), ValueError, "basis is 0 at every whole sample"),
        (lambda: kernel("x", bumps("lag", 3, -2, 8)), ValueError, "lags below 0 need side='both', or .* low=-2"),
        (lambda: kernel("x", log_bumps("lag", 3, -2, 8, offset=3)), ValueError, "lags below 0 need side='both'"),
        (
            lambda: kernel("x", bumps("lag", 3, -2, 8), side="anti-causal"),
            ValueError,
            "lags below 0 need side='both'; .* mirrors",
        ),
        (lambda: kernel("x", bumps("lag", 3, 0, 1), side=pd.NA), ValueError, "side must be .* found <NA>"),
        (lambda: kernel("x", bumps("lag", 3, 0, 1), events=pd.NA), TypeError, "events must be .* found <NA>"),
        (lambda: kernel("x", bumps("lag", 3, 0, 1), dt=pd.NA), ValueError, "dt must be .* found <NA>"),
        (lambda: shifts("x", [pd.NA]), TypeError, "lags must be a sequence of numbers"),
        (lambda: shifts("x", range(10**9)), ValueError, "lags must have at most 100,000 .* found 1,000,000,000"),
        (lambda: shifts("x", count()), ValueError, "lags must have at most 100,000 .* found more"),
        (
            lambda: shifts("x", np.arange(4) * 0.01, dt=0.05),
            ValueError,
            r"two lags fall on the same sample \(0\); in units of dt=0.05 s the lags 0, 0.01, 0.02 s are rounded to it",
        ),
        (lambda: linear(["p"]), TypeError, r"linear: variable must be the name .* found \['p'\]"),
        (lambda: linear({}), TypeError, "linear: variable must be the name .* found {}"),
        (lambda: categories(["p"]), TypeError, r"categories: variable must be the name .* found \['p'\]"),
        (lambda: categories("x", levels=3), ValueError, "levels must be a sequence .* found 3"),
        (lambda: categories("x", levels=pd.NA), ValueError, "levels must be a sequence .* found <NA>"),
        (lambda: categories("x", levels=b"ab"), ValueError, "levels must be a sequence .* found b'ab'"),
        (lambda: categories("x", levels=[]), ValueError, "levels must be one or more .* found \\[\\]"),
        (lambda: categories("x", levels=["a", None]), ValueError, "levels must be .* none of them missing"),
        (lambda: categories("x", levels=[["a"], ["b"]]), ValueError, "levels must be .* different categories"),
        (lambda: categories("x", levels=count()), ValueError, "levels must have at most 100,000"),
        (lambda: transformed(None, FunctionTransformer()), TypeError, "variables must be a name .* found None"),
        (lambda: transformed(3, FunctionTransformer()), TypeError, "variables must be a name .* found 3"),
        (lambda: bumps("x", 3, 0, 1, name=pd.NA), TypeError, "name must be a string or None; found <NA>"),
        (lambda: linear("x", name=["a"]), TypeError, r"name must be a string or None; found \['a'\]"),
        (lambda: product("x", "y", name=3), TypeError, "name must be a string or None; found 3"),
        (lambda: splines("x", quantiles=pd.NA), ValueError, "quantiles must be an integer >= 2; found <NA>"),
        (lambda: bumps("x", pd.NA, 0, 1), ValueError, "n must be an integer >= 1; found <NA>"),
        (lambda: bumps("x", 3, pd.NA, 1), ValueError, "low and high must be finite numbers .* found <NA>"),
        (lambda: log_bumps("x", 10**7, 0, 1), ValueError, "n must be .* to 100,000; found 10,000,000, .* 400,000 GB"),
        (lambda: cyclic_splines("x", n=2**63), ValueError, "n must be .* found 9,223,372,036,854,775,808, .* GB"),
        (lambda: splines("x", n=10**6), ValueError, "n must be an integer from 4 to 100,000"),
        (lambda: splines("x", n=900, degree=800), ValueError, "degree must be an integer from 0 to 20; found 800"),
        (lambda: np.arange(3) * linear("x"), TypeError, "'x' can be multiplied by a term .* found ndarray: put"),
        (lambda: linear("x") * np.arange(3), TypeError, "'x' can be multiplied by a term .* found ndarray"),
        (lambda: pd.Series([1, 2]) * linear("x"), TypeError, "'x' can be multiplied by a term"),
        (lambda: linear("x") * 3, TypeError, "'x' can be multiplied by a term .* found int"),
        (lambda: bumps("x", 3, 0, 1).grid(np.nan), ValueError, "grid: n_points must be an integer >= 1; found nan"),
        (lambda: bumps("x", 3, 0, 1).grid(2.5), ValueError, "grid: n_points must be an integer >= 1; found 2.5"),
        (
            lambda: SessionVariables(GOOD, None),
            TypeError,
            ": variables must be a name or .* found None",
        ),
        (
            lambda: SessionVariables(GOOD, [["speed"]]),
            TypeError,
            r": variables must be names .* found \['speed'\]",
        ),
        (lambda: SessionVariables(GOOD, []), ValueError, ": variables is empty"),
        (
            lambda: SessionVariables(GOOD, ["speed"], {}),
            TypeError,
            ": trial must be the name .* found {}",
        ),
    ],
)
def test_terms(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


@pytest.mark.parametrize(
    ("design", "error", "sentence"),
    [
        (Design([]), TypeError, "terms must be a list of terms"),
        (Design(linear("speed")), TypeError, "terms must be a list of terms"),
        (
            Design([linear("speed"), "side"]),
            TypeError,
            r"terms\[1\] must be a term .* write linear\('side'\)",
        ),
        (Design([linear("speed"), 3]), TypeError, r"terms\[1\] must be a term .* found 3"),
        (Design([linear("speed"), splines("speed")]), ValueError, "2 terms are named 'speed'"),
        (Design([linear("speed")], trial=GOOD["trial"]), TypeError, "trial must be the name of a variable"),
        (Design([linear("speed")], trial=pd.NA), TypeError, "trial must be the name of a variable .* found <NA>"),
        (Design([linear("speed")], dtype=pd.NA), ValueError, "dtype must be .* found <NA>"),
        (Design([linear("speed")], dtype=np.float32), ValueError, "dtype must be .* found <class"),
        (Design([linear("speed")], standardize=pd.NA), TypeError, "standardize must be True or False; found <NA>"),
        (Design([linear("speed")], standardize="no"), TypeError, "standardize must be True or False; found 'no'"),
        (Design([linear("speed")], dtype="int32"), ValueError, "dtype must be .* found 'int32'"),
        (Design([linear("side")]), ValueError, r"'side' must be numeric, .* use categories\('side'\)"),
    ],
)
def test_designs(design, error, sentence):
    with pytest.raises(error, match=sentence):
        design.fit_transform(GOOD)


def test_categories_without_an_order():
    with pytest.raises(TypeError, match="categories of different types"):
        Design([categories("side")]).fit(with_value(2, 5, "side"))


def test_a_transformer_that_makes_infinities_is_named():
    def log(x):
        with np.errstate(divide="ignore"):
            return np.log(x)

    design = Design([linear("side"), transformed("speed", FunctionTransformer(log), name="log speed")])
    with pytest.raises(ValueError, match="term 'log speed': column 'column0' is -inf in row 0"):
        design.fit({**GOOD, "side": np.arange(6)})
    with pytest.raises(ValueError, match="every sample is NaN"):
        design.fit({"side": np.arange(6), "speed": np.full(6, np.nan)})


@pytest.mark.filterwarnings("error")
def test_units_whose_squares_are_lost():
    tiny = {**GOOD, "speed": np.arange(6) * -1e-160}
    with pytest.raises(ValueError, match=r"'speed' is 5e-160 at most in size, below 1e-35: .* in another unit"):
        Design([linear("speed")]).fit_transform(tiny)
    # as good as 0 beside what was fitted
    at_0 = Design([linear("speed")]).fit(GOOD).transform(tiny)
    np.testing.assert_allclose(at_0, np.full((6, 1), -2.5 / np.std(np.arange(6))), rtol=1e-6)
    # any unit in between gives the same columns
    expected = Design([linear("speed")]).fit_transform(GOOD)
    for unit in (1e-34, 1e34):
        found = Design([linear("speed")]).fit_transform({**GOOD, "speed": GOOD["speed"] * unit})
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"term 'speed × side': .* is 1e\+40 in row 1, not within ±1e\+35"):
        Design([linear("speed") * "side"]).fit({"speed": GOOD["speed"] * 1e20, "side": GOOD["speed"] * 1e20})


def test_a_matrix_that_does_not_fit_is_refused_before_it_is_made():
    session = {"x": np.arange(10_000.0), "y": np.arange(10_000.0)}
    wide = bumps("x", 40_000, 0, 1) * bumps("y", 40_000, 0, 1)
    # a design that is fitted already, as if to a few samples
    design = Design([linear("x")]).fit(session)
    design.terms_, design.group_sizes_ = {"wide": wide}, [40_000**2]
    design.columns_ = range(40_000**2)
    with pytest.raises(
        ValueError, match=r"10,000 samples × 1,600,000,000 columns would take 64,000 GB, but this machine"
    ):
        design.transform(session)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sampling_rate": 1e12}, "maze_session: .* at sampling_rate=1e\\+12 would take .* GB, but this machine has"),
        ({"n_neurons": 10**9}, "n_neurons=1,000,000,000 .* would take .* GB"),
        ({"n_samples": 10**12}, "n_samples=1,000,000,000,000 .* would take .* GB"),
        ({"sampling_rate": pd.NA}, "sampling_rate must be a positive number .* not <NA>"),
        ({"sampling_rate": "6"}, "sampling_rate must be a positive number .* not '6'"),
        ({"seed": True}, "seed must be a whole number, 0 or more, not True"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, not -1"),
        ({"seed": np.arange(3)}, "seed must be a whole number"),
        ({"n_task_variables": True}, "n_task_variables must be a whole number"),
    ],
)
def test_simulated_sessions(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        maze_session(**options)
