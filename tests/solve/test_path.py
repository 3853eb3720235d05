"""All fits walk their strengths in one batch of columns: the same sums, the same minima, models of their own."""

import numpy as np
import pytest
from begun import begun

from popglm import GLM, GLMCV
from popglm.engines import NumpyEngine
from popglm.solve.fits.rows import evaluate_fits
from popglm.solve.local_models.own import OwnModels
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.local_models.rotated import RotatedModel
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.samples import Samples
from popglm.solve.walk.fit import Fit
from popglm.solve.walk.rounds import Course, walk_paths
from popglm.solve.walk.trace import Trace
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty

N, P, Q = 300, 6, 3
FITS = [[(0, N)], [(100, N)], [(0, 100), (180, N)]]


@pytest.fixture
def recording():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P))
    X -= X.mean(axis=0)
    Y = rng.poisson(np.exp(0.3 * X @ rng.normal(size=(P, Q)) - 0.5)).astype(float)
    return X, np.ascontiguousarray(Y.T), rng.uniform(0, 2, N) * (rng.random(N) < 0.9), 0.2 * rng.normal(size=N)


@pytest.mark.parametrize("extras", [False, True], ids=["plain", "weights and offset"])
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_columns_of_one_objective_are_fits_of_their_own(recording, family, extras):
    X, Y, weights, offset = recording
    Y = np.minimum(Y, 1) if family == "bernoulli" else Y
    extra = (weights, offset) if extras else (None, None)
    engine, loss, rng = NumpyEngine("float64"), get_family(family), np.random.default_rng(1)
    columns = np.array([0, 2, 4, 5, 6, 8])
    W, b = rng.normal(0, 0.2, (len(columns), P)), rng.normal(0, 0.1, len(columns))
    with engine.session():
        joint = RowObjective(engine, loss, Samples(X, Y, *extra), FITS).evaluate(columns, W, b)
        alone = [RowObjective(engine, loss, Samples(X, Y, *extra), [ranges]) for ranges in FITS]
        own = [columns // Q == fit for fit in range(len(FITS))]
        separate = [rows.evaluate(columns[at] % Q, W[at], b[at]) for rows, at in zip(alone, own, strict=True)]
    for i, column in enumerate(columns):
        rows = np.concatenate([np.arange(*r) for r in FITS[column // Q]])
        s = weights[rows] if extras else np.ones(len(rows))
        # at the best intercept, from the definition
        eta = X[rows] @ W[i] + joint.b[i] + (offset[rows] if extras else 0)
        r, h = loss.derivatives(np, eta, Y[column % Q, rows])
        assert abs((s * r).sum()) < 1e-8 * s.sum()
        np.testing.assert_allclose(joint.loss[i], np.average(loss.deviance(eta, Y[column % Q, rows]) / 2, weights=s))
        np.testing.assert_allclose(joint.grad[i], (s * r) @ X[rows] / s.sum(), atol=1e-9)
        np.testing.assert_allclose(joint.curvature[i], np.average(h, weights=s))
    for name in ("loss", "b", "grad", "chi2"):
        each = np.concatenate([getattr(one, name) for one in separate])
        np.testing.assert_allclose(each, getattr(joint, name), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("n", "p", "q"), [(3000, 186, 7), (2040, 60, 7), (90, 40, 7), (3072, 5, 100)])
def test_bits_of_a_fit_do_not_depend_on_the_fits_that_share_its_products(n, p, q, precision):
    rng, engine = np.random.default_rng(0), NumpyEngine(precision)
    X, Y = rng.normal(size=(n, p)).astype(engine.dtype), rng.poisson(1.0, (q, n)).astype(engine.dtype)
    folds = [[(0, n)], [(0, n // 3)], [(n // 3, n)], [(0, n // 3), (2 * n // 3, n)]]
    W, b = rng.normal(0, 0.1, (q * len(folds), p)), rng.normal(0, 0.1, q * len(folds))
    with engine.session():
        rows = RowObjective(engine, get_family("poisson"), Samples(X, Y), folds)
        joint = rows.evaluate(np.arange(len(W)), W, b)
        for own in np.split(np.arange(len(W)), len(folds)):
            alone = rows.evaluate(own, W[own], b[own])
            for name in ("loss", "b", "grad", "chi2", "spread"):
                np.testing.assert_array_equal(getattr(alone, name), getattr(joint, name)[own])


@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_weighted_grams_are_covariances_under_the_curvature_of_each_fit(recording, family):
    X, Y, weights, offset = recording
    Y, loss, rng = np.minimum(Y, 1), get_family(family), np.random.default_rng(1)
    columns = np.array([1, Q + 1, 2 * Q + 1])
    W, b = rng.normal(0, 1, (3, P)), np.array([-0.3, 0.2, 0.1])
    extras = weights, offset
    objective = RowObjective(NumpyEngine("float64"), loss, Samples(X, Y, *extras), FITS)
    for i, h in enumerate(_curvatures(loss, X, Y, weights, offset, W, b)):
        (each,) = objective.weighted_grams(columns[[i]], W[[i]], b[[i]])
        np.testing.assert_allclose(each, np.cov(X.T, aweights=h, ddof=0), rtol=1e-10, atol=1e-13)


def _curvatures(loss, X, Y, weights, offset, W, b):
    """Weight of every row in the fits of the second neuron, 0 where a fit does not count it."""
    for ranges, w, intercept in zip(FITS, W, b, strict=True):
        inside = np.zeros(N)
        for first, last in ranges:
            inside[first:last] = 1
        yield inside * weights * loss.derivatives(np, X @ w + intercept + offset, Y[1])[1]


@pytest.mark.parametrize("penalty", ["ridge", "lasso", "group_lasso"])
@pytest.mark.parametrize("smoothness", [0.0, 0.1])
def test_a_rotated_model_ends_where_its_quadratic_has_its_minimum(penalty, smoothness):
    rng = np.random.default_rng(0)
    sizes = np.array([3, 1, 2])
    root = rng.normal(size=(40, P)) @ rng.normal(size=(P, P))
    G = root.T @ root / 40
    terms = Penalty.make(penalty, None, smoothness, sizes)
    engine = NumpyEngine("float64")
    model = RotatedModel(engine, G, terms)
    memory = QuadraticModel(engine, G, terms).memory(1)
    w, grad, lam = np.zeros((1, P)), rng.normal(size=(1, P)), np.array([0.2])
    with engine.session():
        d = np.zeros_like(w)
        for _ in range(40):
            # each step begins where the last one ended: the gradient of the quadratic there
            step, promise = model.step(memory, np.array([0]), w + d, grad + 1.5 * d @ G, np.array([1.5]), lam)
            d = d + step

    def value(d):
        return d @ grad[0] + 0.75 * d @ G @ d + terms.value(d[None], lam)[0]

    lowest = value(d[0])
    assert promise < 1e-8
    for size in (1e-3, 1e-2, 0.1):
        assert all(value(d[0] + size * rng.normal(size=P)) >= lowest - 1e-12 for _ in range(50))


def problems_with_own_models():
    """Three problems of five, their Gram matrices, and an empty memory."""
    rng, sizes, problems = np.random.default_rng(0), np.array([3, 1, 2]), np.array([4, 0, 2])
    roots = rng.normal(size=(3, 40, P)) @ rng.normal(size=(3, P, P))
    G = np.einsum("ntp,ntq->npq", roots, roots) / 40
    terms, engine = Penalty.make("group_lasso", None, 0.0, sizes), NumpyEngine("float64")
    models = OwnModels(QuadraticModel(engine, np.eye(P), terms), 5, 1e6)
    assert models.make_room(problems).all()
    models.put(problems, G)
    return models, QuadraticModel(engine, G[0], terms).memory(5), problems, G, terms


def test_models_kept_together_end_where_their_quadratics_have_their_minima():
    models, memory, problems, G, terms = problems_with_own_models()
    rng, lam, c = np.random.default_rng(1), np.array([0.2, 0.02, 0.5]), np.array([1.5, 1.0, 0.3])
    w, grad, d = np.zeros((3, P)), rng.normal(size=(3, P)), np.zeros((3, P))
    for _ in range(40):
        slope = grad + c[:, None] * np.einsum("np,npq->nq", d, G)
        step, promise = models.step(memory, problems, w + d, slope, c, lam)
        d = d + step
    assert promise.max() < 1e-8

    def value(j, d):
        return d @ grad[j] + 0.5 * c[j] * d @ G[j] @ d + terms.value(d[None], lam[[j]])[0]

    for j in range(3):
        lowest = value(j, d[j])
        for size in (1e-3, 1e-2, 0.1):
            assert all(value(j, d[j] + size * rng.normal(size=P)) >= lowest - 1e-12 for _ in range(50))


def test_models_kept_together_learn_pairs_and_leave_their_place_to_others():
    models, memory, problems, G, _ = problems_with_own_models()
    s = np.random.default_rng(1).normal(size=(3, P))
    y = 2 * np.einsum("np,npq->nq", s, G) + s
    models.remember(memory, problems, s, y)
    # the secant equation Bs = y: without a penalty, the step against the gradient −y is s
    step, _ = models.step(memory, problems, np.zeros((3, P)), -y, np.ones(3), np.zeros(3))
    np.testing.assert_allclose(step, s, rtol=1e-4, atol=1e-4)
    models.drop(problems[:1])
    assert models.has(np.arange(5)).tolist() == [True, False, True, False, False]
    assert models.make_room(np.arange(5)).all()
    assert sorted(models.slot) == [0, 1, 2, 3, 4]


def bursts(n=1500, p=12, q=4, seed=0):
    """Neurons that are silent but for a few samples of very high rates, where the mean curvature says little."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * np.where(rng.random((n, p)) < 0.05, 3, 0.3)
    Y = rng.poisson(np.exp(np.minimum(1.2 * X @ rng.normal(size=(p, q)) - 4, 4)))
    return X, Y.astype(float)


class Watched(Fit):
    """A fit with a patience of its own, which remembers who got models, and how many had one after each round."""

    patience = 3

    def __post_init__(self):
        super().__post_init__()
        self.given, self.held = [], []

    @property
    def own_model_cost(self):
        return self.patience

    def give_own_models(self, problems):
        self.given.extend(problems)
        return super().give_own_models(problems)

    def drop_models(self, finished):
        super().drop_models(finished)
        kept = len(self.own) if self.together is None else int(self.together.has(np.arange(len(self.W))).sum())
        self.held.append(kept)


class Patient(Watched):
    """One that waits for ever."""

    patience = 10**9


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalty", ["group_lasso", "lasso"])
def test_slow_neurons_get_models_of_their_own(penalty):
    X, Y = bursts()
    n, (X, Y) = len(X), (X - X.mean(axis=0), np.ascontiguousarray(Y.T))
    parts = [[(0, n)], [(300, n)], [(0, 300), (600, n)]]
    rows = RowObjective(NumpyEngine("float64"), get_family("poisson"), Samples(X, Y), parts)
    terms = Penalty.make(penalty, None, 0.0, np.array([4, 4, 4]))
    lambdas = np.repeat(10.0 ** np.linspace(-1, -6, 6)[:, None], len(Y), axis=1)
    paths = {}
    for kind in (Watched, Patient):
        fits = begun(rows, terms, kind)
        with rows.engine.session():
            paths[kind] = walk_paths(fits, evaluate_fits, Course(lambdas, 1e-7, 200))
        for fit, path in zip(fits, paths[kind], strict=True):
            assert path.gap.max() <= 1e-7
            assert bool(fit.given) == (max(fit.held) > 0) == (kind is Watched)
            # they are let go when their neurons are done
            assert fit.held[-1] == 0
    own, shared = (np.stack([path.n_iter for path in paths[kind]]) for kind in (Watched, Patient))
    for ours, theirs in zip(*paths.values(), strict=True):
        np.testing.assert_allclose(ours.objective, theirs.objective, atol=1e-7 * np.abs(theirs.objective).max())
    # from the second strength on, the models are there
    assert own[:, 1:].sum() < 0.8 * shared[:, 1:].sum()


def test_strengths_side_by_side_keep_their_own_metric():
    """Ridge with a smoothness penalty: a batch has columns at several strengths."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 20)).cumsum(axis=1)
    Y = rng.poisson(np.exp(0.02 * X @ rng.normal(size=(20, 8)) - 1)).astype(float)
    strengths, trials = 10.0 ** np.linspace(0, -4, 6), np.repeat(np.arange(8), 50)
    settings = {"penalty": "ridge", "smoothness": 0.05, "feature_groups": [20], "tol": 1e-6}
    together = GLMCV(**settings, lambdas=strengths, cv=4).fit(X, Y, groups=trials)
    assert max(together.gap_.max(), together.cv_gap_.max()) <= 1e-6
    assert together.n_iter_.max() <= 12
    alone = [GLM(**settings, lambdas=[lam]).fit(X, Y) for lam in strengths]
    for k, model in enumerate(alone):
        np.testing.assert_allclose(together.loss_path_[k], model.loss_path_[0], atol=3e-6)


def test_the_trace_sums_what_each_neuron_has_reached():
    trace = Trace(2, 2)
    trace.append(np.array([0, 0, 0]), 0, np.array([0, 1, 2]), np.array([5.0, 7.0, 100.0]))
    trace.append(np.array([0]), np.array([1]), np.array([1]), np.array([6.0]))
    # neuron 1 goes on to the next strength while neuron 0 is still at the first
    trace.append(np.array([1]), 0, np.array([1]), np.array([4.0]))
    trace.append(np.array([0]), np.array([1]), np.array([0]), np.array([3.0]))
    trace.append(np.array([0]), np.array([2]), np.array([0]), np.array([2.0]))
    trace.append(np.array([1]), 0, np.array([0]), np.array([1.0]))
    assert trace.sums() == [[12.0, 9.0, 8.0], [5.0]]


def test_a_worker_may_share_out_work():
    engine = NumpyEngine("float64", n_workers=2)
    with engine.session():
        inner = [engine.map(lambda x: (engine.map(lambda y: y * x, [(1,), (2,), (3,)]),), [(i,) for i in range(8)])]
    assert inner[0][5] == ([5, 10, 15],)


def test_gaussian_fits_do_not_run_off_where_columns_depend_on_each_other():
    rng = np.random.default_rng(0)
    base = 30 * rng.normal(size=(3000, 10))
    X = np.hstack([base, base @ rng.normal(size=(10, 50))])
    Y = 0.02 * base @ rng.normal(size=(10, 4)) + rng.normal(size=(3000, 4))
    settings = {"family": "gaussian", "feature_groups": [10] * 6, "lambdas": 10.0 ** np.linspace(0, -8, 9)}
    single, double = (GLM(**settings, precision=precision).fit(X, Y) for precision in ("float32", "float64"))
    assert single.gap_.max() <= 1e-4
    np.testing.assert_allclose(single.loss_path_, double.loss_path_, rtol=2e-4)


class Lucky(RowObjective):
    """An objective whose loss is too low at every third point, by as much as is lost where weights are large."""

    calls = 0

    def evaluate(self, columns, W, b):
        self.calls += 1
        found = super().evaluate(columns, W, b)
        found.loss -= 4e-6 * np.abs(found.loss) * (self.calls % 3 == 0)
        return found


@pytest.mark.parametrize("penalty", ["ridge", "lasso", "group_lasso"])
def test_a_loss_that_rounding_made_too_low_holds_no_neuron_up(penalty):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 12))
    Y = rng.poisson(np.exp(X[:, :3] @ rng.normal(0, 0.6, (3, 5))))
    X, Y = (X - X.mean(axis=0)).astype(np.float32), np.ascontiguousarray(Y.T, np.float32)
    rows = Lucky(NumpyEngine("float32"), get_family("poisson"), Samples(X, Y), [[(0, 600)]])
    fits = begun(rows, Penalty.make(penalty, None, 0.0, np.array([4, 4, 4])))
    with rows.engine.session():
        lambdas = np.repeat(10.0 ** -np.arange(1, 6)[:, None], 5, axis=1)
        (path,) = walk_paths(fits, evaluate_fits, Course(lambdas, 1e-7, 200))
    assert path.gap.max() <= 1e-7
    assert path.n_iter.max() <= 10


@pytest.mark.parametrize("thin", [False, True])
def test_models_go_to_the_axes_of_their_matrix_and_back(thin):
    rng = np.random.default_rng(0)
    root, X = rng.normal(size=(40, P)), rng.normal(size=(2, P))
    G, terms = root.T @ root / 40, Penalty.make("group_lasso", None, 0.0, np.array([3, 1, 2]))
    model = QuadraticModel(NumpyEngine("float64"), G, terms, thin=thin)
    c, tau, at = np.ones(2), np.ones((2, 3)), np.arange(2)
    local = model.local(at, model.memory(2), at, c, tau, np.zeros(2))
    # few problems go back by the axes themselves: there may be many thin models
    assert len(local.transposed) == (not thin)
    np.testing.assert_allclose(local.from_axes(local.to_axes(X)), X, atol=1e-12)
    np.testing.assert_allclose(local.from_axes(local.to_axes(X) * local.spectra), X @ G, atol=1e-12)
