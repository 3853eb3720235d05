"""Certificates where the metric of the solver says little: bad scaling, other units, no penalty, separated events."""

import tempfile
import warnings

import numpy as np
import pytest
from independent import half_null_deviance, objective
from scipy.special import expit

from popglm import GLM, GLMCV, PopglmWarning
from popglm.solve.stream import RowStream
from popglm.statistics.families import get_family

LINK = {"gaussian": "identity", "poisson": "exp", "bernoulli": "sigmoid"}
MEAN = {"gaussian": lambda eta: eta, "poisson": np.exp, "bernoulli": expit}


def quietly(model, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*args, **kwargs)


def coordinate_descent(Z, y, w, b, family, tau, ridge):
    """Minimum of the mean loss + Σ τ|w| + Σ ridge/2 w² by quadratic models with the exact curvature, in float64."""

    def value(w, b):
        eta = Z @ w + b
        loss = {"gaussian": (y - eta) ** 2 / 2, "poisson": np.exp(eta) - y * eta}
        loss["bernoulli"] = np.logaddexp(0, eta) - y * eta
        return loss[family].mean() + tau @ np.abs(w) + ridge @ w**2 / 2

    for _ in range(60):
        mu = MEAN[family](Z @ w + b)
        h = {"gaussian": np.ones_like(mu), "poisson": mu, "bernoulli": mu * (1 - mu)}[family]
        g, shift = Z.T @ (mu - y) / len(y), (mu - y).mean() / h.mean()
        mean = h @ Z / h.sum()
        H, g = (Z * h[:, None]).T @ Z / len(y) - np.outer(mean, mean) * h.mean(), g - mean * (mu - y).mean()
        z, q = w.copy(), g.copy()
        for _ in range(3000):
            before = z.copy()
            for k in np.flatnonzero(np.diag(H) > 0):
                r = H[k, k] * z[k] - q[k]
                new = np.sign(r) * max(abs(r) - tau[k], 0) / (H[k, k] + ridge[k])
                q += H[:, k] * (new - z[k])
                z[k] = new
            if np.abs(z - before).max() < 1e-13:
                break
        size, now = 1.0, value(w, b)
        d, db = z - w, -shift - mean @ (z - w)
        while size > 1e-6 and not value(w + size * d, b + size * db) <= now:
            size /= 2
        w, b = w + size * d, b + size * db
        if now - value(w, b) < 1e-14:
            break
    return value(w, b), w, b


def badly_scaled(family, ratio, seed=0, n=500):
    """A position in other units beside z-scored columns."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.uniform(0, np.sqrt(12) * ratio, n), rng.standard_normal((n, 4))])
    X[:, 3] += X[:, 2]
    eta = 0.3 * X[:, 0] / ratio + 0.4 * X[:, 1] - 0.2 * X[:, 3] - 0.5
    if family == "gaussian":
        return X, eta + rng.normal(size=n)
    return X, (rng.poisson(np.exp(eta)) if family == "poisson" else rng.random(n) < expit(eta)).astype(float)


RATIOS = [12, 400, 1e8]


@pytest.mark.thorough(keep=5)
@pytest.mark.parametrize(("penalty", "l1_ratio"), [("lasso", 1.0), ("elastic_net", 0.5)])
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("family", LINK)
def test_gap_bounds_the_excess_of_a_column_in_other_units(family, ratio, penalty, l1_ratio):
    # every pair with a precision, not every combination
    odd = (list(LINK).index(family) + RATIOS.index(ratio) + (penalty == "lasso")) % 2
    X, y, precision = *badly_scaled(family, ratio), ("float32", "float64")[odd]
    model = quietly(GLM(family, penalty=penalty, precision=precision, n_lambdas=10), X, y)
    deviation, unit = X.std(axis=0), half_null_deviance(y, family)
    Z, w, b = (X - X.mean(axis=0)) / deviation, np.zeros(5), {"poisson": np.log(y.mean())}.get(family, 0.0)
    for k, lam in enumerate(model.lambda_path_[:, 0]):
        tau, ridge = l1_ratio * lam / deviation, (1 - l1_ratio) * lam / deviation**2
        lowest, w, b = coordinate_descent(Z, y, w, b, family, tau, ridge)
        found = model.coef_path_[k, 0].astype(float)
        # the intercept belongs to weights in float64
        eta = X @ found
        start = float(model.intercept_path_[k, 0])
        shift = min(
            (_loss(family, eta + start + step, y) for step in np.linspace(-1e-5, 1e-5, 3) * np.abs(eta).max()),
        )
        excess = shift + tau @ np.abs(found * deviation) + ridge @ (found * deviation) ** 2 / 2 - lowest
        assert excess / unit <= model.gap_[k, 0] + 2e-6
    assert model.gap_.max() <= 1e-4
    assert model.n_iter_.max() <= 25


def _loss(family, eta, y):
    values = {"gaussian": (y - eta) ** 2 / 2, "poisson": np.exp(eta) - y * eta}
    values["bernoulli"] = np.logaddexp(0, eta) - y * eta
    return values[family].mean()


def test_a_position_in_millimetres_does_not_hide_the_speed_beside_it():
    from sklearn.linear_model import Lasso

    rng = np.random.default_rng(3)
    n = 2000
    position, speed = rng.uniform(0, 2000, n), rng.gamma(2, 0.5, n)
    X = np.column_stack([position, speed])
    y = 5e-4 * position + 0.4 * speed + rng.normal(size=n)
    model = GLM("gaussian", penalty="lasso", lambdas=[10, 1, 0.1, 0.05, 0.01]).fit(X, y)
    for k, lam in enumerate(model.lambdas_):
        np.testing.assert_allclose(
            model.coef_path_[k, 0], Lasso(alpha=lam, tol=1e-10).fit(X, y).coef_, rtol=0.02, atol=2e-3
        )


@pytest.mark.parametrize("schedule", ["host", "device"])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_a_lasso_of_activity_in_other_units(unit, missing, schedule):
    X, y = badly_scaled("gaussian", 3)
    y[7] = np.nan if missing else y[7]
    lam = np.array([0.3, 0.1, 0.01])
    settings = {"penalty": "lasso", "tol": 1e-6, "schedule": schedule}
    plain, other = (GLM("gaussian", lambdas=lam * u, **settings).fit(X, y * u) for u in (1.0, unit))
    np.testing.assert_allclose(other.coef_path_ / unit, plain.coef_path_, atol=2e-3)
    assert (other.coef_path_[-1] != 0).any()
    assert other.gap_.max() <= 1e-6


@pytest.mark.parametrize("schedule", ["host", "device"])
@pytest.mark.parametrize(("penalty", "lambdas"), [("none", None), ("ridge", [0.0])])
@pytest.mark.parametrize("family", LINK)
def test_columns_in_other_units_without_a_penalty(family, penalty, lambdas, schedule):
    X, y = badly_scaled(family, 1)
    units = 10.0 ** np.array([-12, 0, 12, 3, -3])
    settings = {"penalty": penalty, "lambdas": lambdas, "tol": 1e-6, "schedule": schedule}
    plain, other = (GLM(family, **settings).fit(A, y) for A in (X, X * units))
    np.testing.assert_allclose(other.coef_ * units, plain.coef_, atol=2e-3)
    np.testing.assert_allclose(other.loss_path_, plain.loss_path_, atol=1e-6)


def unpenalised(kind, family, link, seed):
    """Short recordings, smooth bumps that nearly depend on each other, a rare condition, weights with zeros."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(60, 250)), 10
    t = rng.uniform(0, 1, n)
    X = np.exp(-0.5 * ((t[:, None] - np.linspace(0, 1, p)) / 0.2) ** 2)
    if kind == "rare":
        X = np.column_stack([rng.standard_normal((n, 4)), rng.random(n) < 0.05]).astype(float)
    eta = 2 * np.sin(5 * t) - 1.5 if kind == "bumps" else X[:, 0] - 1
    y = rng.random(n) < expit(eta) if family == "bernoulli" else rng.poisson(np.exp(eta))
    return X, y.astype(float), rng.uniform(0, 2, n) * (rng.random(n) < 0.7)


def damped_newton(X, y, s, family, link):
    """Lowest mean loss of Levenberg's method with exact second derivatives, in float64."""
    loss = get_family(family, link)
    Z = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])
    theta, damping = np.zeros(Z.shape[1]), 1e-2
    now = s @ loss.value(np, Z @ theta, y)
    for _ in range(500):
        eta = Z @ theta
        g = Z.T @ (s * loss.derivatives(np, eta, y)[0])
        # curvature by differences of the gradient per sample
        step = 1e-5
        h = (loss.derivatives(np, eta + step, y)[0] - loss.derivatives(np, eta - step, y)[0]) / (2 * step)
        H = (Z * (s * np.maximum(h, 0))[:, None]).T @ Z
        moved = theta - np.linalg.solve(H + damping * np.diag(np.diag(H)) + 1e-13 * H.max() * np.eye(len(H)), g)
        then = s @ loss.value(np, Z @ moved, y)
        if 0 <= now - then < 1e-14 * s.sum() and damping < 1e-3:
            break
        damping = damping / 5 if then <= now else damping * 4
        if then <= now:
            theta, now = moved, then
        if damping > 1e12:
            break
    return now / s.sum()


@pytest.mark.thorough(keep=4)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["bumps", "rare"])
@pytest.mark.parametrize(("family", "link"), [("poisson", "exp"), ("poisson", "softplus"), ("bernoulli", "sigmoid")])
def test_gap_bounds_the_excess_without_a_penalty(family, link, kind, precision):
    for seed in range(2):
        X, y, s = unpenalised(kind, family, link, seed)
        model = quietly(GLM(family, link, penalty="none", precision=precision), X, y, sample_weight=s)
        eta = X @ model.coef_.astype(float) + model.intercept_
        found = s @ get_family(family, link).value(np, eta, y) / s.sum()
        excess = (found - damped_newton(X, y, s, family, link)) / half_null_deviance(y, family, s)
        assert excess <= model.gap_[0, 0] + 2e-6


@pytest.mark.parametrize(
    ("family", "link"),
    [
        ("gaussian", "identity"),
        ("poisson", "exp"),
        ("poisson", "softplus"),
        ("poisson", "identity"),
        ("bernoulli", "sigmoid"),
    ],
)
def test_second_derivatives_are_those_of_the_loss(family, link):
    loss = get_family(family, link)
    eta = np.linspace(0.3, 6, 40) if link == "identity" else np.linspace(-30, 6, 200)
    for y in (0.0, 1.0, 3.0)[: 2 if family == "bernoulli" else 3]:
        step = 1e-4
        r = [loss.derivatives(np, eta + d, np.full_like(eta, y))[0] for d in (step, -step)]
        # residuals near y lose digits in the difference
        floor = 1e-11 * max(y, 1)
        np.testing.assert_allclose(
            loss.second_derivative(eta, np.full_like(eta, y)), (r[0] - r[1]) / (2 * step), rtol=1e-5, atol=floor
        )


def separated_cases():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 800))
    cue = (rng.random(800) < 0.3).astype(float)
    return {
        "one column": ("bernoulli", np.column_stack([x, z]), x > 0, 0.0),
        "a combination": ("bernoulli", np.column_stack([x, z]), x + z > 0, 0.0),
        "no events": ("poisson", np.column_stack([cue, x]), rng.poisson(np.where(cue > 0, 0, 1.0)), None),
        "no events in two": (
            "poisson",
            np.column_stack([x, cue, cue * x]),
            rng.poisson(np.where(cue > 0, 0, 1.0)),
            None,
        ),
        "none": ("poisson", np.column_stack([cue, x]), rng.poisson(np.exp(0.3 * x)), None),
    }


@pytest.mark.thorough(keep=6)
@pytest.mark.parametrize("route", ["host", "device", "stream", "folds"])
@pytest.mark.parametrize("case", separated_cases())
def test_separated_events_are_named_and_certified(case, route):
    family, X, y, infimum = separated_cases()[case]
    y = y.astype(float)
    schedule = "device" if route == "device" else "auto"
    with tempfile.NamedTemporaryFile() as file, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rows = X
        if route == "stream":
            on_disk = np.memmap(file, "float64", "w+", shape=X.shape)
            on_disk[:] = X
            rows = RowStream(on_disk, memory=100_000)
        if route == "folds":
            model = GLMCV(family, penalty="ridge", lambdas=[0.01, 0.0], cv=2).fit(rows, y)
        else:
            model = GLM(family, penalty="none", schedule=schedule).fit(rows, y)
    named = [str(w.message) for w in said if "finite weights" in str(w.message)]
    assert len(named) == (case != "none")
    if infimum is not None and route != "folds":
        # the loss at infinity is 0
        assert model.loss_path_[-1, 0] <= model.gap_[-1, 0] * half_null_deviance(y, family) + 1e-8
        assert all(issubclass(w.category, PopglmWarning) for w in said if "finite weights" in str(w.message))


def test_first_order_steps_do_not_claim_what_separation_leaves():
    family, X, y, _ = separated_cases()["one column"]
    model = quietly(GLM(family, penalty="none", solver="adam", max_iter=10), X, y.astype(float))
    # here the certificate is the loss itself, which cannot fall below 0
    bound = model.gap_[0, 0] * half_null_deviance(y.astype(float), family)
    assert model.loss_path_[0, 0] <= bound * (1 + 1e-6)


@pytest.mark.thorough
def test_a_constant_offset_is_a_shift_of_the_intercept_within_the_certificates():
    for seed in range(2):
        X, y, s = unpenalised("bumps", "poisson", "exp", seed)
        terms = {"penalty": "elastic_net", "l1_ratio": 0.5}
        models = [
            quietly(GLM("poisson", lambdas=[0.01, 0.0], tol=1e-3, **terms), X, y, sample_weight=s, offset=offset)
            for offset in (None, np.full(len(y), 3.0))
        ]
        values = [
            objective(X, y, float(m.intercept_path_[k, 0]) + shift, m.coef_path_[k, 0].astype(float), lam, "poisson",
                      "exp", "elastic_net", 0.5, s=s)
            for m, shift in zip(models, (0.0, 3.0), strict=True) for k, lam in enumerate((0.01, 0.0))
        ]  # fmt: skip
        unit = half_null_deviance(y, "poisson", s)
        for k in (0, 1):
            allowed = max(m.gap_[k, 0] for m in models)
            assert abs(values[k] - values[2 + k]) / unit <= allowed + 2e-6


@pytest.mark.parametrize("every", [2, 4])
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_rows_that_a_mask_shuts_off_periodically_do_not_stand_for_the_others(family, every):
    rng = np.random.default_rng(0)
    X, n = rng.standard_normal((20_000, 4)), 20_000
    dark = np.arange(n) % every == 0
    rate = np.exp(X @ [0.5, -0.4, 0, 0] - 1)
    y = np.where(dark, 0, rng.poisson(rate) if family == "poisson" else rng.random(n) < rate / (1 + rate))
    offset = np.where(dark, -100.0, 0)
    model = GLM(family, lambdas=[1e-3]).fit(X, y, offset=offset)
    # the strength per sample of the rows that see light
    light = GLM(family, lambdas=[1e-3 * n / (~dark).sum()], precision="float64", tol=1e-9).fit(X[~dark], y[~dark])
    np.testing.assert_allclose(model.coef_, light.coef_, atol=3e-3)
    assert model.gap_.max() <= model.tol
