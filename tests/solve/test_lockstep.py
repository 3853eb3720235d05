"""All fits as one batch of columns reach the minima that fits one after the other reach, on every engine."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from independent import CONVEX, PENALTIES, objective, population

from popglm import GLMCV
from popglm.engines import NumpyEngine, get_engine
from popglm.solve.coordinates import Coordinates
from popglm.solve.devices import walk_lockstep
from popglm.solve.fit_rows import FitRows
from popglm.solve.lockstep import model as lockstep_model
from popglm.solve.lockstep import passes as lockstep_passes
from popglm.solve.lockstep import proximal
from popglm.solve.lockstep.walk import Lockstep
from popglm.solve.objective import RowObjective
from popglm.solve.path import start_fit
from popglm.solve.quadratic import QuadraticModel
from popglm.solve.units import Units
from popglm.solve.walk import walk_path
from popglm.statistics.families import Family, get_family
from popglm.statistics.penalties import Penalty
from popglm.statistics.responses import response_sums

SIZES = [3, 1, 4, 2]
LAMBDAS = [0.1, 0.01, 1e-3]
N_FOLDS = 3


@dataclass
class Problem:
    """Arrays in solver coordinates, and which rows each of the fits (all rows, then folds) counts."""

    loss: Family
    penalty: Penalty
    G: np.ndarray
    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    counts: np.ndarray
    lambdas: np.ndarray

    def model(self, engine):
        return QuadraticModel(engine, self.G, self.penalty)

    def arguments(self, precision):
        def cast(a):
            return None if a is None else a.astype(precision)

        return cast(self.X), cast(self.Y), cast(self.weights), cast(self.offset), self.counts

    def walk(self, engine, tol=1e-6, max_iter=200, **more):
        return walk_lockstep(
            engine, self.loss, self.model(NumpyEngine(str(engine.dtype))), *self.arguments(engine.dtype), self.lambdas,
            tol, max_iter, **more,
        )  # fmt: skip

    def minima(self, tol=1e-10, max_iter=1000):
        """Objective, weights, intercepts and scale of every fit by `walk_path`, one fit after the other."""
        engine, n = NumpyEngine("float64"), len(self.X)
        X, Y, weights, offset, counts = self.arguments("float64")
        found = []
        for count in counts:
            edges = np.flatnonzero(np.diff(count > 0, prepend=False, append=False))
            ranges = [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
            assert ranges[-1][1] <= n
            sums = response_sums(self.loss, Y, weights, ranges, offset)
            rows = FitRows(RowObjective(engine, self.loss, X, Y, weights, offset, [ranges]))
            fit = start_fit(
                self.loss, rows, self.model(engine),
                np.flatnonzero(sums.fittable(self.loss)), sums.intercept, sums, Units.plain(len(Y)),
            )  # fmt: skip
            found.append((walk_path(fit, self.lambdas, tol, max_iter), fit.scale))
        return found


def make(family="poisson", link="exp", penalty="group_lasso", l1_ratio=None, smoothness=0.0, extras=False, q=3, seed=0):
    X, Y = population(family, link, sizes=SIZES, q=q, seed=seed)
    n, rng = len(X), np.random.default_rng(1)
    X = X - X.mean(axis=0)
    terms = Penalty.make(penalty, l1_ratio, smoothness, np.array(SIZES))
    coordinates = Coordinates.fit(NumpyEngine("float64"), np.zeros(X.shape[1]), X.T @ X / n, terms.block_sizes)
    G = coordinates.rotate_matrix(X.T @ X / n)
    if terms.R is not None:
        terms = replace(terms, R=coordinates.rotate_matrix(terms.R), product=NumpyEngine("float64").product)
    weights = rng.uniform(0, 2, Y.T.shape) * (rng.random(Y.T.shape) < 0.9) if extras else None
    offset = 0.3 * rng.uniform(0, 1, n) if extras else None
    counts = np.ones((1 + N_FOLDS, n))
    for fold, rows in enumerate(np.array_split(np.arange(n), N_FOLDS)):
        counts[fold + 1, rows] = 0
    lambdas = np.tile(np.array(LAMBDAS)[:, None] * (penalty != "none"), (1, q))
    return Problem(
        get_family(family, link), terms, G, coordinates.rotate(X.copy()), np.ascontiguousarray(Y.T), weights, offset,
        counts, lambdas,
    )  # fmt: skip


@pytest.mark.parametrize(("penalty", "l1_ratio"), [*PENALTIES, ("none", None)])
@pytest.mark.parametrize(("family", "link"), CONVEX)
def test_objectives_lie_within_their_certificates(family, link, penalty, l1_ratio):
    # every pair of what the problem is made of, not every combination
    case = CONVEX.index((family, link)) + [*PENALTIES, ("none", None)].index((penalty, l1_ratio))
    extras, smoothness = case % 2 == 1, 0.05 * (case % 4 in (1, 2))
    problem = make(family, link, penalty, l1_ratio, smoothness, extras)
    # a minimum at a kink, where a rate without events touches 0, is found slowly and never certified
    kinks = problem.loss.has_barrier and extras
    problem.counts = problem.counts[: 2 if kinks else 3]
    minima = problem.minima(max_iter=60 if kinks else 100)
    for precision, tol, rounding in (("float64", 1e-6, 1e-8), ("float32", 1e-4, 2e-6)):
        paths, fittable = problem.walk(NumpyEngine(precision), tol, 20 if kinks else 200)
        assert fittable.all()
        for path, (best, scale) in zip(paths, minima, strict=True):
            excess = (path.objective - best.objective) / scale
            # beside a kink the estimate of a smooth model is an estimate alone
            assert (excess <= np.maximum(path.gap, kinks * tol) + rounding).all()
            if not kinks:
                assert (path.gap <= tol).all()
                # the minima themselves are known to this
                assert (excess > -max(rounding, 1e-7)).all()


def test_objectives_are_those_of_the_formula():
    problem = make(extras=True)
    paths, _ = problem.walk(NumpyEngine("float64"))
    for path, count in zip(paths, problem.counts, strict=True):
        for k, lam in enumerate(LAMBDAS):
            for j, y in enumerate(problem.Y):
                value = objective(
                    problem.X, y, path.b[k, j], path.W[k, j], lam, "poisson", "exp", "group_lasso", sizes=SIZES,
                    s=problem.weights[j] * count, offset=problem.offset,
                )  # fmt: skip
                np.testing.assert_allclose(path.objective[k, j], value, rtol=1e-9)


def test_a_row_that_is_counted_twice_is_a_row_of_twice_the_weight():
    problem = make()
    twice = 1.0 + (np.arange(len(problem.X)) % 3 == 0)
    counted = replace(problem, counts=twice[None])
    weighted = replace(problem, counts=np.ones((1, len(twice))), weights=twice)
    (a,), (b,) = (p.walk(NumpyEngine("float64"), 1e-10)[0] for p in (counted, weighted))
    np.testing.assert_allclose(a.W, b.W, atol=1e-6)
    np.testing.assert_allclose(a.objective, b.objective, rtol=1e-9)


def test_held_out_deviance_is_that_of_fits_one_after_the_other():
    problem = make()
    paths, _ = problem.walk(NumpyEngine("float64"), 1e-8)
    for path, (best, _), count in zip(paths[1:], problem.minima()[1:], problem.counts[1:], strict=True):
        held = count == 0

        def deviance(fit, held=held):
            eta = fit.W @ problem.X[held].T + fit.b[..., None]
            return problem.loss.deviance(eta, problem.Y[None, :, held]).sum(axis=-1)

        np.testing.assert_allclose(deviance(path), deviance(best), rtol=2e-4)


def compile_little(monkeypatch):
    """Fewer steps and pairs in a compiled call: XLA compiles for seconds otherwise."""
    monkeypatch.setattr(lockstep_model, "MEMORY", 3)
    monkeypatch.setattr(proximal, "STEPS", 3)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_engines_agree(name, monkeypatch):
    compile_little(monkeypatch)
    pytest.importorskip(name, reason=f"{name} is not installed")
    ridge = {"family": "bernoulli", "link": "sigmoid", "penalty": "ridge", "extras": True}
    # XLA compiles each for seconds
    for settings in ({}, ridge) if name == "torch" else ({},) if name == "jax" else (ridge,):
        problem = make(**settings)
        engine = get_engine(name, "cpu", "float64")
        with engine.session():
            paths, _ = problem.walk(engine, 1e-8)
        for path, same in zip(paths, problem.walk(NumpyEngine("float64"), 1e-8)[0], strict=True):
            np.testing.assert_allclose(path.W, same.W, atol=1e-6)
            np.testing.assert_allclose(path.objective, same.objective, rtol=1e-9)
            assert path.W.dtype == np.float64
            assert isinstance(path.W, np.ndarray)


def test_nothing_is_traced_again_for_another_strength_or_another_fit(monkeypatch):
    compile_little(monkeypatch)
    pytest.importorskip("jax", reason="jax is not installed")
    traced = []
    for module, name in ((proximal, "split_steps"), (lockstep_passes, "poisson_exp_chunk")):
        function = getattr(module, name)

        def counted(*arrays, function=function, name=name):
            traced.append(name)
            return function(*arrays)

        monkeypatch.setattr(module, name, counted)
    engine = get_engine("jax", "cpu", "float32")
    with engine.session():
        make(q=4).walk(engine, 1e-5)
        # the whole batch of 16 columns, and at most the one of 8 that it shrinks to: not once more for other strengths
        assert all(1 <= traced.count(name) <= 2 for name in set(traced))
        make(q=4, seed=7).walk(get_engine("jax", "cpu", "float32"), 1e-5)
        assert all(1 <= traced.count(name) <= 2 for name in set(traced))
        assert len(set(traced)) == 2
        known = len(traced)
        make(q=4, seed=0).walk(get_engine("jax", "cpu", "float32"), 1e-5)
        assert len(traced) == known


def test_compiled_by_pytorch_it_is_the_same_and_compiled_once_for_all_strengths_folds_and_fits(monkeypatch):
    compile_little(monkeypatch)
    pytest.importorskip("torch", reason="torch is not installed")

    def walk(compiler, **settings):
        engine = get_engine("torch", "cpu", "float64")
        engine.compiler = compiler
        with engine.session():
            return make(q=4, **settings).walk(engine, 1e-8)[0]

    for settings, n_functions in (({}, 2), ({"smoothness": 0.05}, 2), ({"family": "bernoulli", "link": "sigmoid"}, 3)):
        graphs = []

        def counting(graph, inputs, graphs=graphs):
            graphs.append(graph)
            return graph.forward

        for path, same in zip(walk(counting, **settings), walk(None, **settings), strict=True):
            np.testing.assert_allclose(path.W, same.W, atol=1e-12)
            np.testing.assert_array_equal(path.n_iter, same.n_iter)
        known = len(graphs)
        walk(counting, **settings)
        assert len(graphs) == known
        walk(counting, **settings, seed=7)
        # the whole batch of 16 columns, and the one of 8 that it shrinks to
        assert n_functions <= known <= len(graphs) <= 2 * n_functions


def test_columns_that_are_done_leave_the_batch():
    problem = make(q=12)
    # one neuron with a far weaker penalty goes on when the others are done
    problem.lambdas[:, 5] = [1e-4, 1e-5, 1e-6]
    fits = Lockstep(
        NumpyEngine("float64"), problem.loss, problem.model(NumpyEngine("float64")), *problem.arguments("float64")
    )
    sizes = []
    evaluate = fits.rows.evaluate
    fits.rows.evaluate = lambda at, *rest: sizes.append(len(at.total)) or evaluate(at, *rest)
    paths = fits.walk(problem.lambdas, 1e-8, 200)
    assert {48, 12} <= set(sizes) <= {48, 12, 8}
    for path, (best, scale) in zip(paths, problem.minima(), strict=True):
        assert ((path.objective - best.objective) / scale <= path.gap + 1e-8).all()
        assert (path.gap <= 1e-8).all()


def test_a_neuron_that_cannot_be_fitted_stays_at_its_null_model_and_leaves_the_others_alone():
    problem = make()
    silent = replace(problem, Y=np.concatenate([problem.Y, np.zeros((1, len(problem.X)))]))
    silent.lambdas = np.tile(problem.lambdas[:, :1], 4)
    paths, fittable = silent.walk(NumpyEngine("float64"))
    assert fittable[:, :3].all()
    assert not fittable[:, 3].any()
    for path, same in zip(paths, problem.walk(NumpyEngine("float64"))[0], strict=True):
        assert not path.W[:, 3].any()
        assert np.isfinite(path.b).all()
        np.testing.assert_allclose(path.W[:, :3], same.W, atol=1e-8)


def test_a_guide_at_the_minimum_needs_one_evaluation():
    problem = make()
    paths, _ = problem.walk(NumpyEngine("float64"), 1e-9)
    again, _ = problem.walk(NumpyEngine("float64"), 1e-6, guides=[path.W for path in paths])
    assert all((path.n_iter == 1).all() for path in again)
    first, _ = problem.walk(NumpyEngine("float64"), 1e-6, guides=[path.W for path in paths[1:]], first_fit=1)
    assert len(first) == N_FOLDS
    np.testing.assert_allclose(first[0].objective, paths[1].objective, rtol=1e-6)


def test_strengths_are_reported_fit_by_fit_and_the_trace_descends():
    seen = []
    paths, _ = make().walk(NumpyEngine("float64"), on_strength=lambda k, fit: seen.append((k, fit)))
    assert seen == [(k, fit) for k in range(len(LAMBDAS)) for fit in range(1 + N_FOLDS)]
    for path in paths:
        for k, steps in enumerate(path.trace):
            assert (np.diff(steps) <= 1e-9).all()
            np.testing.assert_allclose(steps[-1], path.objective[k].sum(), rtol=1e-9)


TWO_DEVICES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_lockstep import make
from popglm.engines import get_engine
import jax
assert len(jax.devices("cpu")) == 2
problem = make(penalty="ridge", q=4)
one, two = get_engine("jax", "cpu:0", "float64"), get_engine("jax", "cpu:1", "float64")
from popglm.solve import devices
from popglm.solve.lockstep import model as lockstep_model
lockstep_model.MEMORY = 3
def walk(engines):
    arguments = (problem.loss, problem.model(one), *problem.arguments("float64"), problem.lambdas, 1e-8, 200)
    return devices.walk_lockstep(engines, *arguments)[0]
with one.session():
    alone = walk(one)
split = walk([one, two])
print(json.dumps([[p.W.tolist(), p.objective.tolist(), p.n_iter.tolist()] for p in (*alone, *split)]))
"""


def test_two_devices_give_the_answer_of_one():
    pytest.importorskip("jax", reason="jax is not installed")
    environment = dict(os.environ, XLA_FLAGS="--xla_force_host_platform_device_count=2", JAX_PLATFORMS="cpu")
    run = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, os.path.dirname(__file__)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout)
    for alone, split in zip(found[: len(found) // 2], found[len(found) // 2 :], strict=True):
        np.testing.assert_allclose(alone[0], split[0], atol=1e-9)
        np.testing.assert_allclose(alone[1], split[1], rtol=1e-12)
        assert alone[2] == split[2]


@pytest.mark.parametrize("refit", [True, False])
def test_an_estimator_with_several_devices_gives_what_one_gives(refit):
    X, trial, Y = _session(np.random.default_rng(0))
    settings = {"penalty": "group_lasso", "feature_groups": [3, 3, 2], "lambdas": [0.1, 0.01], "cv": 3, "refit": refit}
    settings |= {"precision": "float64", "tol": 1e-9, "engine": "numpy"}
    one, two = (GLMCV(**settings, device=device).fit(X, Y, groups=trial) for device in ("cpu", ["cpu", "cpu"]))
    np.testing.assert_allclose(two.cv_coef_path_, one.cv_coef_path_, atol=2e-4)
    np.testing.assert_allclose(two.cv_deviance_, one.cv_deviance_, rtol=1e-5)
    assert np.array_equal(two.lambda_index_, one.lambda_index_)
    if refit:
        np.testing.assert_allclose(two.predict(X), one.predict(X), rtol=1e-3)


def _session(rng):
    """(X, trial, Y) of five neurons."""
    X, trial = rng.standard_normal((300, 8)), np.arange(300) // 20
    return X, trial, rng.poisson(np.exp(0.4 * X @ rng.standard_normal((8, 5)) - 0.5))
