"""`SmoothGLM` with X on disk, or sparse, against the same X in memory; and fits that are kept while they go on."""

import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from estimators.sparse_designs import kept_sparse
from scipy.sparse import csr_array

import popglm as pg
from popglm.io import checkpoints
from popglm.solve.curves.smoothing import Smoother
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import RowStream

N = 500
KINDS = ["disk", "sparse"]


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


@pytest.fixture(scope="module")
def session():
    """Columns as they are, most of them 0: bumps along a line and around a circle, a category, and one far from 0."""
    rng = np.random.default_rng(0)
    session = {
        "phase": rng.uniform(0, 2 * np.pi, N),
        "speed": rng.uniform(0, 1, N),
        "cue": rng.choice(["a", "b", "c"], N),
        "pupil": 300 + rng.standard_normal(N),
    }
    terms = [pg.cyclic_splines("phase", n=6), pg.splines("speed", n=7), pg.categories("cue"), pg.linear("pupil")]
    design = pg.Design(terms, standardize=False, dtype="float64")
    X = design.fit_transform(session)
    eta = np.column_stack([np.sin(session["phase"]), 2 * session["speed"] - 1, 0.3 * (session["pupil"] - 300)])
    return X, eta, design


@pytest.fixture(scope="module")
def settings(session):
    X, *_ = session
    groups = X.columns.get_level_values(0).tolist()
    return {"feature_groups": groups, "feature_shapes": {"phase": ("circle", 6), "cue": ("levels", 3)}}


def activity(family, eta):
    rng = np.random.default_rng(1)
    match family:
        case "gaussian":
            return eta + rng.normal(0, 0.5, eta.shape)
        case "bernoulli":
            return (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float)
        case "gamma":
            return np.exp(eta) * rng.gamma(3, 1 / 3, eta.shape)
    wild = rng.gamma(2, 0.5, eta.shape) if family == "negative_binomial" else 1
    return rng.poisson(wild * np.exp(eta - 0.5)).astype(float)


@pytest.fixture
def given(monkeypatch):
    """A matrix as a kind of X."""

    def make(kind, X):
        X = np.asarray(X)
        if kind == "memory":
            return X
        if kind == "disk":
            return RowStream(X, X.nbytes)
        kept_sparse(monkeypatch)
        return csr_array(X)

    return make


def agree(job, X, Y, one, **beside):
    """A fit is that to the array in memory: it ends at the same criterion, and that is the same function.

    Where a criterion is flat, rounding moves a strength along it. At the very strengths that the one has found the
    other has the same criterion, its minimum there, and the same weights.
    """
    other = quietly(job().fit, X, Y, **beside)
    np.testing.assert_allclose(one.criterion_, other.criterion_, rtol=0, atol=one.tol)
    np.testing.assert_allclose(one.edf_, other.edf_, atol=0.01)
    np.testing.assert_array_equal(one.null_fitted_, other.null_fitted_)
    for name, values in other.family_parameters_.items():
        np.testing.assert_allclose(one.family_parameters_[name], values, rtol=1e-4)
    at = quietly(job(smoothing=one.smoothing_).fit, X, Y, **beside)
    # dispersions, and parameters of a family, are estimated to so many digits
    exact = 1e-4 if one.family_parameters_ else 1e-6
    for name in ("criterion_", "dispersion_", "coef_", "intercept_"):
        np.testing.assert_allclose(getattr(one, name), getattr(at, name), rtol=exact, atol=exact, err_msg=name)
    np.testing.assert_allclose(one.slope_, at.slope_, atol=1e-4)


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("family", "method"), [
    ("poisson", "gcv"), ("gaussian", "reml"), ("gamma", "reml"), ("negative_binomial", "reml"),
])  # fmt: skip
def test_a_fit_is_that_of_the_array_in_memory(session, settings, given, kind, family, method):
    X, eta, _ = session
    Y = activity(family, eta)
    Y[:200, 1] = np.nan
    rng = np.random.default_rng(2)
    beside = {"sample_weight": rng.uniform(0.5, 2, N), "offset": rng.normal(0, 0.2, N)}

    def job(**more):
        return pg.SmoothGLM(family, method=method, **settings, **more)

    one = quietly(job().fit, given(kind, X), Y, **beside)
    agree(job, X.to_numpy(), Y, one, **beside)
    assert (one.edf_.to_numpy()[[0, 2], [0, 3]] > 0.7).all()


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("family", "own"), [
    ("poisson", {"fit_intercept": False}), ("poisson", {"constraints": {"speed": "increasing", "cue": "positive"}}),
    ("gaussian", {"shrink": False, "penalties": {"speed": [np.diag(np.arange(7.0))]}}),
    ("gaussian", {"feature_mask": [[1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1]]}),
])  # fmt: skip
def test_settings_are_those_of_a_fit_in_memory(session, settings, given, kind, family, own):
    X, eta, _ = session
    X = X if own.get("fit_intercept", True) else X.assign(**{"pupil": 0})
    Y = activity(family, eta)
    weight = np.random.default_rng(3).uniform(0, 2, Y.shape)
    weight[:50, 2] = 0
    own = own if "feature_mask" not in own else {"feature_mask": np.array(own["feature_mask"], bool)}

    def job(**more):
        return pg.SmoothGLM(family, **settings, **own, **more)

    one = quietly(job().fit, given(kind, X), Y, sample_weight=weight)
    agree(job, X.to_numpy(), Y, one, sample_weight=weight)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_one_bad_neuron_leaves_the_others_as_they_are(session, settings, given, kind, monkeypatch):
    X, eta, _ = session
    counts = activity("poisson", eta)
    Y = np.column_stack([counts, np.zeros(N), np.full(N, np.nan)])
    whole = quietly(pg.SmoothGLM(**settings).fit, given(kind, X), Y)
    assert whole.null_fitted_.tolist() == [False, False, False, True, True]
    alone = pg.SmoothGLM(**settings).fit(given(kind, X), counts[:, 1])
    # the same bits, whoever else asks for the rows
    np.testing.assert_array_equal(alone.coef_, whole.coef_[1])
    choose = Smoother.choose

    def breaks(self, *arguments):
        if self.data.n_columns and np.log(counts[:, 1].mean()) == self.start[0]:
            raise np.linalg.LinAlgError("as if numbers overflowed")
        return choose(self, *arguments)

    monkeypatch.setattr(Smoother, "choose", breaks)
    with pytest.warns(pg.PopglmWarning, match=r"numbers overflowed or the curvature vanished.*: neuron1\."):
        broken = pg.SmoothGLM(**settings).fit(given(kind, X), counts)
    assert broken.null_fitted_.tolist() == [False, True, False]
    np.testing.assert_array_equal(broken.coef_[[0, 2]], whole.coef_[[0, 2]])


class Counted:
    """An array that counts how often its first row was asked for, and the most rows at once."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype
        self.passes, self.most = 0, 0

    def __getitem__(self, rows):
        self.passes, self.most = self.passes + (rows.start == 0), max(self.most, rows.stop - rows.start)
        return self.X[rows].copy()


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_a_pass_answers_all_neurons(session, settings, family):
    X, eta, _ = session
    few, many = Counted(X.to_numpy()), Counted(X.to_numpy())
    memory = X.to_numpy().nbytes
    quietly(pg.SmoothGLM(family, **settings).fit, RowStream(few, memory), activity(family, eta[:, :1]))
    Y = activity(family, np.tile(eta, 5))
    model = quietly(pg.SmoothGLM(family, **settings).fit, RowStream(many, memory), Y)
    # the longest search of all sets the number
    assert many.passes < 4 * few.passes
    assert many.passes < (8 if family == "gaussian" else model.n_iter_.sum())
    assert many.most < N / 4


@pytest.mark.thorough
def test_rows_on_disk_are_not_held():
    n, p = 60_000, 60
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p), np.float32)
    y = rng.poisson(np.exp(0.5 * X[:, 0])).astype(float)
    memory, job = X.nbytes // 16, {"feature_groups": [p], "smoothing": 0.1}
    quietly(pg.SmoothGLM(**job).fit, X[:500], y[:500])
    tracemalloc.start()
    quietly(pg.SmoothGLM(**job).fit, RowStream(X, memory), y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a stream of the checks and one of a pass, pieces of the workers, and vectors over samples
    assert peak < 2 * memory + 14 * y.nbytes
    assert peak < X.nbytes


def test_a_sparse_x_is_never_dense():
    rng = np.random.default_rng(0)
    n, p = 60_000, 300
    X = csr_array((np.ones(n), (np.arange(n), rng.integers(p, size=n))), shape=(n, p))
    y = rng.poisson(np.exp(np.sin(np.arange(p) / 30)[X.indices])).astype(float)
    tracemalloc.start()
    model = pg.SmoothGLM(feature_groups=[p], smoothing=1e-3).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # in float32 it would be 72 MB
    assert peak < 0.5 * n * p * 4
    assert np.corrcoef(model.coef_, np.sin(np.arange(p) / 30))[0, 1] > 0.98


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("kind", KINDS)
def test_what_reads_x_again(session, settings, given, kind, tmp_path):
    X, eta, _ = session
    Y, array, same = activity("poisson", eta), X.to_numpy(), given(kind, X)
    model = pg.SmoothGLM(**settings).fit(same, Y)
    model.save(tmp_path / "model.nc")
    for one in (model, pg.load(tmp_path / "model.nc")):
        np.testing.assert_allclose(one.predict(same), one.predict(array), rtol=1e-6)
        assert one.score(same, Y) == pytest.approx(one.score(array, Y), abs=1e-8)
        np.testing.assert_array_equal(one.penalty_of(1).R, model.penalty_of(1).R)
    for call, name in ((pg.breakdown, "reduced_deviance"), (pg.calibration, "observed")):
        found, known = (quietly(call, model, own, Y, held_out=False) for own in (same, array))
        np.testing.assert_allclose(found[name], known[name], rtol=1e-6)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("kind", KINDS)
def test_fits_again_read_it_too(session, settings, given, kind):
    X, eta, design = session
    Y = activity("poisson", eta[:, :2])
    rows, rest, trial = slice(0, 400), slice(400, N), np.arange(400) // 40
    array, same = X.to_numpy()[rows], given(kind, X.to_numpy()[rows])
    model = pg.SmoothGLM(**settings).fit(array, Y[rows])
    test = X.to_numpy()[rest], Y[rest]
    for more in ({}, {"method": "add", "reselect": False}):
        found, known = (pg.compare(model, own, Y[rows], ["phase", "speed"], test=test, **more) for own in (same, array))
        np.testing.assert_allclose(found["reduced_deviance"], known["reduced_deviance"], rtol=1e-5)
    found, known = (
        pg.bootstrap(model, design, own, Y[rows], trial=trial, n_resamples=2, seed=0) for own in (same, array)
    )
    for group, kernel in known.items():
        np.testing.assert_allclose(found[group]["sem"], kernel["sem"], atol=1e-5)
    with pytest.raises(TypeError, match="significance needs all rows of X at once"):
        pg.significance(model, same, Y[rows], ["phase"], trial=trial, n_shifts=3)


def test_scales_of_a_table_are_asked_for(session, given):
    design = pg.Design([pg.splines("speed", n=7)])
    X = design.fit_transform({"speed": np.random.default_rng(0).uniform(0, 1, N)})
    Y = activity("poisson", session[1][:, :1])
    model = pg.SmoothGLM().fit(X, Y)
    with pytest.raises(TypeError, match=r"bootstrap fits curves again, .* Give X as that DataFrame of its Design"):
        pg.bootstrap(model, design, given("disk", X), Y, trial=np.arange(N) // 50, n_resamples=2)


def test_what_cannot_be_fitted_is_told(session, settings, given, monkeypatch):
    X, eta, _ = session
    Y, holed = activity("poisson", eta), X.to_numpy().copy()
    holed[417, 5] = np.nan
    with pytest.raises(ValueError, match="X contains NaN in column 5, first in row 417"):
        pg.SmoothGLM(**settings).fit(RowStream(holed, holed.nbytes), Y)
    sparse = given("sparse", X)
    monkeypatch.setattr(SparseRows, "WIDE", 8)
    with pytest.raises(ValueError, match=r"sparse and has 17 columns; a SmoothGLM makes matrices .* at most 8 of them"):
        pg.SmoothGLM(**settings).fit(sparse, Y)


def test_rows_on_workers_are_refused(session):
    distributed = pytest.importorskip("distributed")
    X, eta, _ = session
    with distributed.Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as client:
        rows = pg.rows_on_workers(X.to_numpy(), client)
        for model in (pg.SmoothGLM(), pg.LowRankGLM(lambdas=0.05)):
            with pytest.raises(ValueError, match=f"and {type(model).__name__} fits on one machine; give the array on"):
                model.fit(rows, activity("poisson", eta))


def test_a_disk_that_fails_ends_the_fit(session, settings):
    X, eta, _ = session
    source = Counted(X.to_numpy())

    class Failing(Counted):
        def __getitem__(self, rows):
            if self.passes > 8:
                raise OSError("the disk is gone")
            return super().__getitem__(rows)

    source = Failing(X.to_numpy())
    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        pg.SmoothGLM(**settings).fit(RowStream(source, X.to_numpy().nbytes), activity("poisson", eta))
    assert threading.active_count() <= before


@pytest.fixture
def always(monkeypatch):
    """Keep a state after every criterion."""
    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", np.inf)


def counted(monkeypatch, number=None, error=RuntimeError):
    """Count how often a criterion is solved for, and end a fit in one of them."""
    count, solved, turn = [0], Smoother._solved, threading.Lock()

    def counting(self, log_strengths):
        with turn:
            count[0] += 1
            if number is not None and count[0] >= number:
                raise error("cut off")
        return solved(self, log_strengths)

    monkeypatch.setattr(Smoother, "_solved", counting)
    return count


def assert_same(one, other):
    for name, value in vars(other).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(one, name), value, name)
    for name in ("smoothing_", "edf_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


class TestCheckpoints:
    @pytest.mark.thorough(keep=1)
    @pytest.mark.parametrize(
        ("kind", "family"), [("memory", "poisson"), ("disk", "negative_binomial"), ("sparse", "poisson")]
    )
    def test_a_fit_goes_on_after_an_error(self, session, settings, given, tmp_path, monkeypatch, always, kind, family):
        X, eta, _ = session
        Y, model = activity(family, eta), pg.SmoothGLM(family, **settings)

        def fit(checkpoint=None):
            return quietly(model.fit, given(kind, X), Y, checkpoint=checkpoint)

        with monkeypatch.context() as patch:
            count = counted(patch)
            plain = vars(fit()).copy()
            n_all = count[0]
        for share in (0.4, 0.4):
            with monkeypatch.context() as patch:
                counted(patch, int(share * n_all))
                with pytest.raises(RuntimeError, match="cut off"):
                    fit(tmp_path)
        with monkeypatch.context() as patch:
            count = counted(patch)
            fit(tmp_path)
            # each search reads what it has found, and solves again where rounds of it ended
            assert count[0] < 0.6 * n_all
        again = pg.SmoothGLM()
        vars(again).update(plain)
        assert_same(model, again)
        counted(monkeypatch, 1)
        assert_same(fit(tmp_path), again)

    @pytest.fixture(scope="class")
    def kept(self, session, settings, tmp_path_factory):
        """A folder of a fit that has ended, and what it was called with."""
        X, eta, _ = session
        path = tmp_path_factory.mktemp("fits") / "fit"
        Y = activity("poisson", eta)
        pg.SmoothGLM(**settings).fit(X, Y, checkpoint=path)
        return path, Y

    @pytest.mark.parametrize(("what", "more"), [
        ("y had other values", {"Y": True}),
        ("method was reml .now gcv", {"method": "gcv"}),
        ("order was 2 .now 1", {"order": 1}),
        ("smoothing was none", {"smoothing": 0.1}),
        ("penalties, of feature_shapes was", {"penalties": {"speed": []}}),
        ("penalties, of feature_shapes had", {"penalties": {"phase": [np.eye(6), np.diag(np.arange(6.0))]}}),
        ("constraints was None .now {'speed': 'increasing'}", {"constraints": {"speed": "increasing"}}),
        ("max_iter was 200 .now 100", {"max_iter": 100}),
        ("feature_mask was none", {"feature_mask": np.arange(12).reshape(4, 3) > 0}),
    ])  # fmt: skip
    def test_another_call_is_refused_with_what_differs(self, session, settings, kept, what, more):
        (X, *_), (path, Y) = session, kept
        Y = Y[::-1] if more.pop("Y", False) else Y
        before = (path / "fit.end.npz").read_bytes()
        with pytest.raises(ValueError, match=rf"holds another fit, in which .*{what}.*give another folder"):
            pg.SmoothGLM(**settings, **more).fit(X, Y, checkpoint=path)
        assert (path / "fit.end.npz").read_bytes() == before
