"""Published fits of Kramer & Eden, Case Studies in Neural Data Analysis (2016), chapters 9 and 10.

The notebooks 09 and 10 of the authors' Python edition print the coefficients and deviances; the longer
decimals are of a re-run with statsmodels 0.15. Columns go in as the book has them: x² in cm² beside a 0/1
direction, time in milliseconds.
"""

from pathlib import Path

import numpy as np
import pytest

from popglm import GLM

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "kramer_eden.npz"


@pytest.fixture(scope="module")
def recording():
    if not RECORDING.exists():
        pytest.skip("kramer_eden.npz is not in ../shared/data")
    with np.load(RECORDING) as file:
        return dict(file)


@pytest.fixture(scope="module")
def place_cell(recording):
    """Columns x, x², direction and the spikes of cell 1 in every millisecond."""
    x = recording["ch9_x_cm"]
    direction = np.r_[np.diff(x) > 0, False]
    return np.c_[x, x**2, direction], recording["ch9_spikes_1"].astype(float)


@pytest.fixture(scope="module")
def movement(recording):
    """Columns movement, direction, time and the (100,000,) spike train of the 50 trials in a row."""
    t, train = recording["ch10_t_ms"], recording["ch10_train"]
    time = np.tile(t, len(train))
    direction = np.repeat(recording["ch10_direction"] == 1, len(t))
    return np.c_[time >= 0, direction, time].astype(float), train.ravel().astype(float)


@pytest.fixture(scope="module")
def spiking_history(movement):
    """Columns movement, direction, lags 1-70, time; only rows whose lags stay in their own trial."""
    X, y = movement
    lags = np.column_stack([np.roll(y, lag) for lag in range(1, 71)])
    inside = X[:, 2] > X[70, 2]
    return np.c_[X[:, :2], lags, X[:, 2]][inside], y[inside]


def unpenalised(X, y):
    """Intercept and coefficients in one array, and the deviance."""
    # ten digits of a coefficient are twenty of the objective (the certificate is a Newton decrement here)
    model = GLM(family="poisson", penalty="none", precision="float64", tol=1e-20).fit(X, y)
    return np.r_[model.intercept_, model.coef_], float(np.squeeze(model.evaluate(X, y)["deviance"]))


@pytest.mark.parametrize(
    ("n_columns", "printed", "recomputed", "deviance"),
    [
        (1, [-7.438887, 0.012943], [-7.438887190626, 0.012943418559], 2900.790862939),
        (
            2,
            [-26.279057, 0.690114, -0.005463],
            [-26.279056907211, 0.690113974280, -0.005462964357],
            2262.776362292,
        ),
        (
            3,
            [-28.870275, 0.688905, -0.005452, 3.275282],
            [-28.870274796136, 0.688905262672, -0.005451545426, 3.275281725477],
            2026.906914899,
        ),
    ],
    ids=["model 2", "model 3", "model 4"],
)
def test_place_cell_models_of_chapter_9(place_cell, n_columns, printed, recomputed, deviance):
    X, y = place_cell
    coefficients, reached = unpenalised(X[:, :n_columns], y)
    np.testing.assert_array_equal(np.round(coefficients, 6), printed)
    np.testing.assert_allclose(coefficients, recomputed, rtol=1e-8)
    assert reached == pytest.approx(deviance, abs=1e-8)


def test_position_information_criteria_of_chapter_9(place_cell):
    """AIC(model 2) − AIC(model 3) and (3) − (4): deviance differences less 2 per extra column."""
    X, y = place_cell
    deviances = [unpenalised(X[:, :k], y)[1] for k in (1, 2, 3)]
    np.testing.assert_allclose(-np.diff(deviances) - 2, [636.0145006465605, 233.8694473933126], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("n_columns", "printed", "deviance", "recomputed"),
    [
        (1, [-3.2452, 0.3441], 28588, 28588.094713960),
        (2, [-3.0228, 0.3441, -0.5090], 28293, 28293.497995666),
    ],
    ids=["M1", "M2"],
)
def test_movement_models_of_chapter_10(movement, n_columns, printed, deviance, recomputed):
    X, y = movement
    coefficients, reached = unpenalised(X[:, :n_columns], y)
    np.testing.assert_array_equal(np.round(coefficients, 4), printed)
    assert round(reached) == deviance
    assert reached == pytest.approx(recomputed, abs=1e-7)


def test_spiking_history_model_of_chapter_10(spiking_history):
    X, y = spiking_history
    assert X.shape == (96450, 73)
    coefficients, reached = unpenalised(X, y)
    lags = [-1.5569, -1.2337, -0.4937, 0.0471, 0.3924, 0.5639, 0.4368, 0.2545, 0.0181, 0.0555]
    np.testing.assert_array_equal(np.round(coefficients[:13], 4), [-3.0622, 0.3665, -0.4989, *lags])
    assert round(reached) == 26792
    assert reached == pytest.approx(26791.654931, abs=1e-6)
