"""Arrays without dimensions say that they can be gone through, and cannot; one sentence says what was expected."""

import numpy as np
import pytest

import popglm as pg
from popglm import plot

ALONE = np.array("x")
BASIS = pg.bumps("lag", n=2, low=1, high=3)
DESIGN = pg.Design([pg.linear("speed")])
SPEED = {"speed": np.arange(40.0) % 7}
Y = np.arange(80).reshape(40, 2) % 3


@pytest.fixture(scope="module")
def model():
    return pg.GLMCV(lambdas=[0.1], cv=2).fit(DESIGN.fit_transform(SPEED), Y)


CALLS = {
    "tuning: by": (lambda m: pg.tuning(Y, ALONE), "by must be popglm.bins"),
    "breakdown: by": (
        lambda m: pg.breakdown(m, DESIGN.transform(SPEED), Y, ["speed"], by=ALONE),
        "by must be popglm.bins",
    ),
    "breakdown: variables": (
        lambda m: pg.breakdown(m, DESIGN.transform(SPEED), Y, ALONE),
        "variables must be a list of group names",
    ),
    "breakdown: a variable": (
        lambda m: pg.breakdown(m, DESIGN.transform(SPEED), Y, {"a": ALONE}),
        r"variables, 'a': array\('x'",
    ),
    "shifts": (lambda m: pg.shifts("a", ALONE), "lags must be a sequence of numbers"),
    "shifts by bytes": (lambda m: pg.shifts("a", b"x"), r"lags must be a sequence of numbers, .*; found b'x'"),
    "shifts by text": (lambda m: pg.shifts("a", "12"), r"lags must be a sequence of numbers, .*; found '12'"),
    "categories": (lambda m: pg.categories("a", levels=ALONE), "levels must be a sequence of different categories"),
    "coupling": (lambda m: pg.coupling(ALONE, BASIS), "coupling: sources must be a name or a sequence of names"),
    "exclude": (lambda m: pg.coupling("a", BASIS, exclude=ALONE), "coupling: exclude must be a name or a sequence"),
    "transformed": (lambda m: pg.transformed(ALONE, None), "variables must be a name or a sequence of names"),
    "neurons": (
        lambda m: plot.kernel_curves(pg.kernels(m, DESIGN), neurons=ALONE),
        "neurons must be a name, a shell pattern or a list of these",
    ),
    "a session": (lambda m: plot.session_overview(ALONE, Y), "session must be a table or a mapping of variables"),
    "kernels as a session": (
        lambda m: plot.session_overview(pg.kernels(m, DESIGN), Y),
        "variable 'speed' must be 1-D with one value per sample; found Dataset of sizes",
    ),
    "X without a number": (
        lambda m: plot.design_matrix(DESIGN.transform(SPEED) * np.nan),
        "X is NaN in every sample and column; there is nothing to draw",
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_one_sentence(call, model):
    make, sentence = CALLS[call]
    with pytest.raises((TypeError, ValueError), match=sentence):
        make(model)


def test_an_image_of_a_matrix_with_some_nan_says_that_colours_end():
    X = DESIGN.transform({"speed": np.r_[np.arange(6.0), 500.0]})
    X.iloc[0] = np.nan
    colors = plot.design_matrix(X).images[0].colorbar
    assert colors.extend == "both"
    assert colors.vmax == 3
