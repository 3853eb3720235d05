"""The same fit by every array library, against NumPy's."""

import numpy as np
import pytest

from popglm import GLM, GLMCV, FirstOrder

OTHERS = ["torch", "jax", "tensorflow"]
#: family, inverse link, penalty, further arguments.
MODELS = {
    "poisson group lasso": ("poisson", None, "group_lasso", {}),
    "poisson lasso, smooth": ("poisson", None, "lasso", {"smoothness": 0.01}),
    "poisson ridge, no intercept": ("poisson", None, "ridge", {"fit_intercept": False}),
    "poisson softplus, elastic net": ("poisson", "softplus", "elastic_net", {}),
    "poisson identity, ridge": ("poisson", "identity", "ridge", {}),
    "bernoulli group lasso": ("bernoulli", None, "group_lasso", {}),
    "gaussian group lasso": ("gaussian", None, "group_lasso", {}),
    "gaussian exp, ridge": ("gaussian", "exp", "ridge", {}),
    "censored gaussian group lasso": ("censored_gaussian", None, "group_lasso", {}),
}


@pytest.fixture(params=OTHERS)
def engine(request):
    pytest.importorskip(
        request.param, reason=f"{request.param} is not installed; pip install 'popglm[{request.param}]'"
    )
    return request.param


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(3)
    X = rng.uniform(-1, 1, (420, 6))
    # rates well above 0 under the identity too
    Y = rng.poisson(1.5 + X @ rng.uniform(-0.3, 0.3, (6, 5))).astype(float)
    Y[:30, 2] = np.nan
    return X, Y, rng.uniform(0.5, 1.5, len(X)), rng.uniform(-0.1, 0.1, len(X))


def fit(recording, model, engine, precision, **more):
    X, Y, weights, offset = recording
    family, inverse_link, penalty, settings = MODELS[model]
    y = np.minimum(Y, 1) if family == "bernoulli" else Y
    estimator = GLMCV(
        family, inverse_link, penalty, feature_groups=[2, 2, 2], lambdas=[0.1, 0.02], cv=3, engine=engine,
        precision=precision, tol=1e-9 if precision == "float64" else 1e-4, **settings,
    )  # fmt: skip
    return estimator.set_params(**more).fit(X, y, sample_weight=weights, offset=offset)


#: XLA compiles every model for seconds: together its two libraries see all of them, each what is most its own.
FEWER = {
    "jax": [
        *("poisson group lasso", "poisson ridge, no intercept", "poisson identity, ridge", "gaussian exp, ridge"),
        "censored gaussian group lasso",
    ],
    "tensorflow": [
        *("poisson group lasso", "poisson lasso, smooth", "poisson softplus, elastic net"),
        *("bernoulli group lasso", "gaussian group lasso"),
    ],
}
CASES = [(engine, model) for engine in OTHERS for model in FEWER.get(engine, MODELS)]


@pytest.mark.parametrize(("engine", "model"), CASES, indirect=["engine"])
def test_float64_agrees(recording, engine, model):
    ours, numpys = (fit(recording, model, name, "float64") for name in (engine, "numpy"))
    np.testing.assert_allclose(ours.coef_path_, numpys.coef_path_, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.cv_coef_path_, numpys.cv_coef_path_, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_path_, numpys.intercept_path_, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.cv_deviance_, numpys.cv_deviance_, rtol=1e-6)
    np.testing.assert_array_equal(ours.lambda_, numpys.lambda_)
    assert isinstance(ours.coef_, np.ndarray)


@pytest.mark.parametrize("model", ["poisson group lasso"])
def test_float32_agrees_within_the_certificates(recording, engine, model):
    ours, exact = fit(recording, model, engine, "float32"), fit(recording, model, "numpy", "float64")
    assert ours.coef_path_.dtype == np.float32
    # the unit of the certificate is half the mean null deviance
    objective = exact.loss_path_ + ours.gap_ * np.abs(exact.loss_path_).max()
    assert (ours.loss_path_ <= objective + 1e-5).all()
    assert (ours.gap_ <= 1e-4).all()
    np.testing.assert_array_equal(ours.lambda_, exact.lambda_)


def test_windows_of_few_rows_give_the_same_sums(recording, engine):
    """Folds whose edges cut the windows of a compiled pass."""
    from popglm.engines import get_engine
    from popglm.solve.held_out import HeldOut
    from popglm.solve.objective.row_objective import RowObjective
    from popglm.solve.passes.samples import Samples
    from popglm.statistics.families import get_family

    X, Y, weights, offset = recording
    Y = np.nan_to_num(Y).T.copy()
    rng = np.random.default_rng(0)
    W, b, neurons = rng.normal(0, 0.3, (3, 6)), rng.normal(0, 0.1, 3), np.array([0, 2, 4])
    ranges = [(0, 130), (201, 420)]
    for family, link in (("poisson", None), ("bernoulli", None)):
        loss, y = get_family(family, link), np.minimum(Y, 1) if family == "bernoulli" else Y
        results = []
        for name in ("numpy", engine):
            made = get_engine(name, precision="float64")
            if made.window is not None:
                made.window = 64
            with made.session():
                at = RowObjective(made, loss, Samples(X, y, weights, offset), [ranges]).evaluate(neurons, W, b)
                path_W, path_b = np.stack([W] * 2), np.stack([b] * 2)
                deviance = HeldOut(made, loss, Samples(X, y[neurons], weights, offset), [(130, 201)]).deviance(
                    path_W, path_b
                )
                some = HeldOut(made, loss, Samples(X, y, weights, offset), [(130, 201)]).deviance_of(neurons, W, b)
            np.testing.assert_allclose(some, deviance[0], rtol=1e-12)
            results.append((at, deviance))
        (mine, mine_held), (numpys, numpys_held) = results
        for field in ("loss", "b", "grad", "curvature", "chi2"):
            np.testing.assert_allclose(getattr(mine, field), getattr(numpys, field), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(mine_held, numpys_held, rtol=1e-9)
        # from the definition, by hand
        rows = slice(130, 201)
        eta = X[rows] @ W.T + b + offset[rows, None]
        unit = loss.deviance(eta, y[neurons][:, rows].T)
        np.testing.assert_allclose(mine_held[0], (weights[rows, None] * unit).sum(axis=0), rtol=1e-9)


def test_every_family_is_the_same_in_every_library(engine):
    from popglm.engines import get_engine
    from popglm.statistics.families import FAMILIES

    made = get_engine(engine, precision="float64")
    with made.session(), np.errstate(over="ignore"):
        for family in (under for links in FAMILIES.values() for under in links.values()):
            levels = np.array([-1.5, 0.0, 0.3, 1.0, 7.0])
            eta, y = np.meshgrid(np.linspace(-90, 90, 37), levels[~family.is_outside(levels)])
            for method in (family.value, family.excess, family.derivatives, family.link.mean, family.link.slope):
                of = (eta, y) if method.__self__ is family else (eta,)
                expected, found = method(np, *of), method(made.xp, *map(made.asarray, of))
                pairs = zip(expected, found, strict=True) if isinstance(found, tuple) else [(expected, found)]
                for numpys, mine in pairs:
                    np.testing.assert_allclose(made.to_numpy(mine), numpys, rtol=1e-9, atol=1e-12)


def test_tensorflow_makes_one_program_for_windows_wherever_they_begin():
    tf = pytest.importorskip("tensorflow")
    from popglm.engines import get_engine
    from popglm.solve.passes.samples import Points, Shape, Window
    from popglm.solve.passes.window_passes import linear_predictor

    engine = get_engine("tensorflow", "cpu", "float64")
    compiled = engine.compile(linear_predictor, Shape(type(engine), 4))
    X, offset = np.arange(20.0).reshape(10, 2), np.zeros(10)
    W, b = np.array([[1.0, 0.0]]), np.array([0.5])
    x, beside, w, zero = map(engine.asarray, (X, offset, W, b))

    def program(start):
        at = tf.constant([start, start, start, start + 4], tf.int32)
        arguments = Window(x, x, None, beside, at), Points(None, w, zero)
        np.testing.assert_allclose(compiled(*arguments), [2 * np.arange(start, start + 4) + 0.5])
        return compiled.experimental_get_compiler_ir(*arguments)(stage="hlo")

    assert program(0) == program(3)


@pytest.mark.filterwarnings("ignore::popglm.ConvergenceWarning")
def test_kinks_are_walked_by_mini_batches(recording, engine):
    X, Y, _, _ = recording
    made = [
        GLM(inverse_link="relu", lambdas=[0.05], solver=FirstOrder("adam", batch_size=64), max_iter=4, tol=1e-2,
            engine=name, precision="float64").fit(X, np.nan_to_num(Y))
        for name in (engine, "numpy")
    ]  # fmt: skip
    np.testing.assert_allclose(made[0].coef_, made[1].coef_, rtol=0, atol=1e-6)
