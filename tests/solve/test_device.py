"""Weights on a device or on the host: the same minima, within the certificates, by about as many evaluations."""

import logging
import warnings

import numpy as np
import pytest
from independent import CONVEX, PENALTIES, half_null_deviance, objective, population

from popglm import GLM, GLMCV, ConvergenceWarning, PopglmWarning
from popglm.engines import NumpyEngine
from popglm.engines.memory import is_out_of_memory
from popglm.solve.passes.samples import FitData
from popglm.solve.population import Settings, fit_population
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty

SIZES = [3, 1, 4, 2]
LAMBDAS = np.array([0.1, 1e-3])
#: As PyTorch, JAX and TensorFlow say it.
COMPLAINTS = (
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes.",
    "OOM when allocating tensor with shape[1500,16384]",
)


def quietly(model, X, Y, **data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PopglmWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, Y, **data)


class Case:
    """A problem, its independent objective, and fits with weights on the host and on the device."""

    def __init__(self, family, link, penalty, l1_ratio=None, smoothness=0.0, extras=False, q=3, seed=0):
        self.X, self.Y = population(family, link, sizes=SIZES, q=q, seed=seed)
        n, rng = len(self.X), np.random.default_rng(1)
        self.weights = rng.uniform(0, 2, n) * (rng.random(n) < 0.9) if extras else None
        self.offset = 0.3 * rng.uniform(0, 1, n) if extras else None
        if extras:
            self.Y[rng.random(self.Y.shape) < 0.02] = np.nan
        self.family, self.link, self.penalty, self.l1_ratio, self.smoothness = (
            family,
            link,
            penalty,
            l1_ratio,
            smoothness,
        )
        self.lambdas = None if penalty == "none" else LAMBDAS

    def fit(self, schedule, engine="numpy", **settings):
        grouped = self.penalty == "group_lasso" or self.smoothness > 0
        model = GLM(
            self.family,
            self.link,
            penalty=self.penalty,
            l1_ratio=self.l1_ratio,
            smoothness=self.smoothness,
            feature_groups=SIZES if grouped else None,
            lambdas=self.lambdas,
            schedule=schedule,
            engine=engine,
            **settings,
        )
        return quietly(model, self.X, self.Y, sample_weight=self.weights, offset=self.offset)

    def excess(self, model, best):
        """How far the objectives of one model lie above those of another, in the certificate's unit."""
        offset = 0.0 if self.offset is None else self.offset
        out = np.zeros(model.gap_.shape)
        terms = self.family, self.link, self.penalty, self.l1_ratio, self.smoothness, SIZES, self.weights, offset
        for k, lam in enumerate(np.zeros(1) if self.lambdas is None else self.lambdas):
            for j, y in enumerate(self.Y.T):
                one, other = (
                    objective(self.X, y, m.intercept_path_[k, j], m.coef_path_[k, j].astype(float), lam, *terms)
                    for m in (model, best)
                )
                known = ~np.isnan(y)
                s = None if self.weights is None else self.weights[known]
                out[k, j] = (one - other) / half_null_deviance(y[known], self.family, s)
        return out


@pytest.mark.thorough(keep=9)
@pytest.mark.parametrize(("penalty", "l1_ratio"), [*PENALTIES, ("none", None)])
@pytest.mark.parametrize(("family", "link"), CONVEX)
def test_objectives_lie_within_their_certificates(family, link, penalty, l1_ratio):
    # every pair of what the problem is made of, not every combination
    number = CONVEX.index((family, link)) + [*PENALTIES, ("none", None)].index((penalty, l1_ratio))
    extras, smoothness = number % 2 == 1, 0.05 * (number % 4 in (1, 2))
    case = Case(family, link, penalty, l1_ratio, smoothness, extras)
    best = case.fit("host", precision="float64", tol=1e-9, max_iter=500)
    for precision, tol, rounding in (("float64", 1e-6, 1e-8), ("float32", 1e-4, 3e-6)):
        host, device = (case.fit(schedule, precision=precision, tol=tol) for schedule in ("host", "device"))
        # beside a kink, where a rate without events touches 0, a minimum is found slowly and only estimated
        kinks = tol * (link == "identity" and family == "poisson")
        for model in (host, device):
            excess = case.excess(model, best)
            assert (excess <= np.maximum(model.gap_, kinks) + rounding + best.gap_).all()
            assert (excess >= -rounding - best.gap_).all()
            if not kinks:
                assert model.gap_.max() <= tol
        assert abs(device.n_iter_.mean() - host.n_iter_.mean()) <= 2


@pytest.mark.parametrize("inverse_link", ["exp", "softplus", "sigmoid"])
def test_losses_that_are_not_convex_end_at_the_same_points(inverse_link):
    case = Case("gaussian", inverse_link, "group_lasso")
    host, device = (case.fit(schedule, precision="float64", tol=1e-7) for schedule in ("host", "device"))
    np.testing.assert_allclose(device.loss_path_, host.loss_path_, rtol=1e-6)
    assert device.gap_.max() <= 1e-7


@pytest.mark.parametrize(
    ("engine", "family", "penalty", "smoothness"),
    [
        ("torch", "poisson", "group_lasso", 0.0),
        ("torch", "bernoulli", "lasso", 0.0),
        ("torch", "poisson", "group_lasso", 0.05),
        ("jax", "poisson", "ridge", 0.0),
        ("tensorflow", "bernoulli", "lasso", 0.0),
    ],
)
def test_engines_agree(engine, family, penalty, smoothness):
    pytest.importorskip(engine)
    case = Case(family, "exp" if family == "poisson" else "sigmoid", penalty, smoothness=smoothness)
    host = case.fit("host", precision="float64", tol=1e-8)
    device = case.fit("device", engine=engine, device="cpu:0", precision="float64", tol=1e-8)
    assert (np.abs(case.excess(device, host)) <= 1e-8 + np.maximum(device.gap_, host.gap_)).all()
    assert device.gap_.max() <= 1e-8
    assert abs(device.n_iter_.mean() - host.n_iter_.mean()) <= 2
    assert isinstance(device.coef_path_, np.ndarray)
    assert device.coef_path_.dtype == np.float64


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalty", ["lasso", "group_lasso"])
@pytest.mark.parametrize("n_samples", [120, 1500], ids=["crowded", "slow"])
def test_slow_and_crowded_neurons_are_certified_too(penalty, n_samples):
    # silent but for a few samples of very high rates: the mean curvature says little
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 12)) * np.where(rng.random((n_samples, 12)) < 0.05, 3, 0.3)
    Y = rng.poisson(np.exp(np.minimum(1.2 * X @ rng.normal(size=(12, 4)) - 4 + (n_samples < 1000), 4))).astype(float)
    settings = {"penalty": penalty, "feature_groups": [4, 4, 4], "lambdas": 10.0 ** np.linspace(-1, -4, 3)}
    settings |= {"precision": "float64", "max_iter": 1000}
    best, host, device = (
        quietly(GLM(**settings, **more), X, Y)
        for more in ({"tol": 1e-9}, {"schedule": "host", "tol": 1e-6}, {"schedule": "device", "tol": 1e-6})
    )
    scale = [half_null_deviance(y, "poisson") for y in Y.T]
    for model in (host, device):
        excess = (model.loss_path_ - best.loss_path_) / scale
        assert (excess <= model.gap_ + 1e-8).all()
        assert model.gap_.max() <= 1e-6
    assert abs(device.n_iter_.mean() - host.n_iter_.mean()) <= 2


def test_a_row_that_counts_twice_is_a_row_of_twice_the_weight():
    case = Case("poisson", "exp", "group_lasso")
    twice = 1.0 + (np.arange(len(case.X)) % 3 == 0)
    again = np.repeat(np.arange(len(twice)), twice.astype(int))
    settings = {"schedule": "device", "precision": "float64", "tol": 1e-10, "lambdas": LAMBDAS}
    settings |= {"penalty": "group_lasso", "feature_groups": SIZES}
    a = quietly(GLM(**settings), case.X, case.Y, sample_weight=twice)
    b = quietly(GLM(**settings), case.X[again], case.Y[again])
    np.testing.assert_allclose(a.coef_path_, b.coef_path_, atol=1e-6)


def test_a_neuron_that_cannot_be_fitted_stays_at_its_null_model_and_leaves_the_others_alone():
    case = Case("poisson", "exp", "lasso", q=4)
    case.lambdas = np.array([0.1, 0.01, 1e-3])
    alone = case.fit("device", precision="float64", tol=1e-9)
    case.Y[:, 2] = 0
    silent = case.fit("device", precision="float64", tol=1e-9)
    assert silent.null_fitted_.tolist() == [False, False, True, False]
    assert not silent.coef_path_[:, 2].any()
    assert np.isfinite(silent.intercept_path_).all()
    others = [0, 1, 3]
    np.testing.assert_allclose(silent.coef_path_[:, others], alone.coef_path_[:, others], atol=1e-6)
    case.Y[:] = 0
    assert case.fit("device").null_fitted_.all()


def test_few_neurons_that_go_on_are_gathered_in_a_smaller_batch():
    case = Case("poisson", "exp", "group_lasso", q=40)
    # one neuron with a far weaker penalty goes on when the others are done
    case.lambdas = np.tile(LAMBDAS[:, None], (1, 40))
    case.lambdas[:, 5] = [1e-4, 1e-8]
    sizes = []

    class Watched(NumpyEngine):
        @classmethod
        def compile(cls, function, *static):
            def call(*arrays):
                if function.__name__ == "exp_sums":
                    sizes.append(len(arrays[-1].W))
                return function(*static, *arrays)

            return call

    found = fit(Watched("float64"), case, tol=1e-8)
    assert {40, 8} <= set(sizes)
    assert found.gap.max() <= 1e-8
    best = fit(NumpyEngine("float64"), case, tol=1e-8, schedule="host")
    np.testing.assert_allclose(found.objective, best.objective, atol=1e-7)


def fit(engine, case, tol=1e-6, schedule="device", **more):
    """The problem of a case on an engine, by the solver itself."""
    lambdas = case.lambdas if np.ndim(case.lambdas) == 2 else np.tile(case.lambdas[:, None], (1, case.Y.shape[1]))
    settings = Settings(
        get_family(case.family, case.link), Penalty.make(case.penalty, None, 0.0, np.array(SIZES)), lambdas, tol=tol
    )
    with engine.session():
        return fit_population(FitData(engine, case.X, case.Y, None, None, []), settings, schedule=schedule, **more)


def test_a_guide_at_the_minimum_needs_one_evaluation():
    case = Case("poisson", "exp", "group_lasso")
    engine = NumpyEngine("float64")
    first = fit(engine, case, tol=1e-9)
    again = fit(engine, case, start=first.coef[None])
    assert (again.n_iter == 1).all()


def test_the_trace_descends_to_the_objective():
    case = Case("poisson", "exp", "lasso")
    found = fit(NumpyEngine("float64"), case)
    for k, steps in enumerate(found.trace):
        assert (np.diff(steps) <= 1e-9).all()
        np.testing.assert_allclose(steps[-1], found.objective[k].sum(), rtol=1e-9)


class ShortOfMemory(NumpyEngine):
    """Fails where a pass has more than ``most`` neurons, or one array more entries than ``largest``."""

    most, largest, complaint = 0, np.inf, COMPLAINTS[0]

    @classmethod
    def compile(cls, function, *static):
        def call(*arrays):
            if function.__name__ in ("exp_sums", "value_sums") and len(arrays[-1].b) > cls.most:
                raise RuntimeError(cls.complaint)
            return function(*static, *arrays)

        return call

    def asarray(self, a):
        if np.size(a) > self.largest:
            raise RuntimeError(self.complaint)
        return super().asarray(a)


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_a_device_short_of_memory_takes_fewer_neurons_at_a_time(caplog, complaint):
    case = Case("poisson", "exp", "group_lasso", q=8)
    # two windows of rows
    case.X, case.Y = (np.tile(a, (8, 1)) for a in (case.X, case.Y))
    expected = fit(NumpyEngine("float64"), case)
    # 8 neurons are too many at once and so is X, but 2 neurons and some rows are not
    limits = {"most": 2, "largest": 0.7 * case.X.size, "complaint": complaint}
    with caplog.at_level(logging.WARNING, logger="popglm"):
        found = fit(type("Short", (ShortOfMemory,), limits)("float64"), case)
    assert "2 neurons at a time" in caplog.text
    assert "no room for X" in caplog.text
    np.testing.assert_allclose(found.objective, expected.objective, atol=1e-5)
    assert (found.gap <= 1e-6).all()
    with pytest.raises(RuntimeError, match=r"(?i)memory|OOM"):
        fit(type("Shorter", (ShortOfMemory,), limits | {"most": 0})("float64"), case)


def test_other_errors_are_no_lack_of_memory():
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("no room for improvement"))
    assert is_out_of_memory(MemoryError())


def test_two_devices_of_jax_give_the_answer_of_one():
    """The problem of `test_engines_agree`, so that its programs are compiled for one more device and no more."""
    jax = pytest.importorskip("jax", reason="jax is not installed")
    # conftest.py asks for them
    assert len(jax.devices("cpu")) == 2
    case, settings = Case("poisson", "exp", "ridge"), {"engine": "jax", "precision": "float64", "tol": 1e-8}
    alone, split = (case.fit("device", device=device, **settings) for device in ("cpu:0", ["cpu:0", "cpu:1"]))
    np.testing.assert_allclose(split.coef_path_, alone.coef_path_, atol=1e-9)
    np.testing.assert_allclose(split.loss_path_, alone.loss_path_, rtol=1e-12)
    np.testing.assert_array_equal(split.n_iter_, alone.n_iter_)


@pytest.mark.parametrize("refit", [True, False])
def test_an_estimator_with_several_devices_gives_what_one_gives(refit):
    rng = np.random.default_rng(0)
    X, trial = rng.standard_normal((300, 8)), np.arange(300) // 20
    Y = rng.poisson(np.exp(0.4 * X @ rng.standard_normal((8, 5)) - 0.5))
    settings = {"penalty": "group_lasso", "feature_groups": [3, 3, 2], "lambdas": [0.1, 0.01], "cv": 3, "refit": refit}
    settings |= {"precision": "float64", "tol": 1e-9, "engine": "numpy"}
    one, two = (GLMCV(**settings, device=device).fit(X, Y, groups=trial) for device in ("cpu", ["cpu", "cpu"]))
    np.testing.assert_allclose(two.cv_coef_path_, one.cv_coef_path_, atol=2e-4)
    np.testing.assert_allclose(two.cv_deviance_, one.cv_deviance_, rtol=1e-5)
    assert np.array_equal(two.lambda_index_, one.lambda_index_)
    if refit:
        np.testing.assert_allclose(two.predict(X), one.predict(X), rtol=1e-3)


def test_an_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="schedule='gpu' is unknown; use one of auto, host, device"):
        GLM(schedule="gpu").fit(np.eye(4), np.arange(4))


def test_pytorch_compiles_once_for_all_strengths_and_neurons():
    torch_engine = pytest.importorskip("popglm.engines.torch_engine")
    case, graphs = Case("poisson", "exp", "group_lasso", q=4), []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def compiled(compiler):
        engine = torch_engine.TorchEngine("float64", "cpu")
        engine.compiler = compiler
        return fit(engine, case, tol=1e-8)

    plain = compiled(None)
    np.testing.assert_allclose(compiled(counting).coef, plain.coef, atol=1e-10)
    known = len(graphs)
    assert known > 0
    compiled(counting)
    assert len(graphs) == known
