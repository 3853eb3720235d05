"""`LowRankGLM` with X on disk, or sparse, against the same X in memory."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from estimators.low_rank import BASIS, NAMES, Q, network, quietly
from estimators.sparse_designs import kept_sparse
from scipy.sparse import csr_array, random_array
from sklearn.model_selection import KFold

import popglm as pg
from popglm.solve.stream import RowStream

N = 600
TRIAL = np.arange(N) // 40
SPLITS = {
    "trials": 2,  # ranges of rows
    "shuffled": KFold(2, shuffle=True, random_state=0),  # a count per row
    "overlapping": [(np.arange(0, 400), np.arange(400, N)), (np.arange(200, N), np.arange(0, 150))],
}
KINDS = ["disk", "sparse", "wide"]
EXACT = {"precision": "float64", "tol": 1e-7, "detours": 0}


@pytest.fixture(scope="module")
def recorded():
    """X as it is: couplings, which are of low rank, histories of three, and a cue far from 0; and the activity."""
    counts = network(N)
    session = counts.assign(cue=300 + np.random.default_rng(3).standard_normal(N))
    terms = [*pg.coupling(NAMES, BASIS), *(pg.history(name, BASIS) for name in NAMES[:3]), pg.linear("cue")]
    return pg.Design(terms, standardize=False).fit_transform(session), counts


@pytest.fixture
def given(monkeypatch):
    """A matrix as a kind of X."""

    def make(kind, X):
        X = np.asarray(X)
        if kind == "memory":
            return X
        if kind == "disk":
            return RowStream(X, X.nbytes // 2)
        kept_sparse(monkeypatch, wide=kind == "wide")
        return csr_array(X)

    return make


def groups_of(X):
    return X.columns.get_level_values(0).tolist()


def agree(one, other, atol=2e-5):
    pd.testing.assert_frame_equal(one.candidates_, other.candidates_, rtol=1e-5)
    assert (one.candidate_, one.rank_, one.is_global_) == (other.candidate_, other.rank_, other.is_global_)
    for name in ("coef_", "singular_values_", "cv_coef_", "lambda_"):
        if hasattr(other, name):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=atol, err_msg=name)


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(
    ("kind", "splits"), [*(("disk", splits) for splits in SPLITS), ("sparse", "shuffled"), ("wide", "trials")]
)
def test_cross_validation_is_that_of_the_array_in_memory(recorded, given, kind, splits):
    X, counts = recorded
    Y = counts.mask(np.arange(N)[:, None] + np.arange(Q) < 30)
    rng = np.random.default_rng(1)
    beside = {"sample_weight": rng.uniform(0.5, 2, N), "offset": rng.normal(0, 0.3, N)}
    beside |= {"groups": TRIAL if splits == "trials" else None}
    job = {"low_rank": [0, 2], "lambdas": [0.06], "feature_groups": groups_of(X), "cv": SPLITS[splits], **EXACT}
    one = quietly(pg.LowRankGLM(**job).fit, given(kind, X), Y, **beside)
    agree(one, quietly(pg.LowRankGLM(**job).fit, X.to_numpy(), Y, **beside))
    assert one.rank_ == 2
    assert (one.coef_[:, -1] != 0).all()


@pytest.mark.parametrize(("kind", "family"), [("disk", "negative_binomial"), ("disk", "gaussian"), ("wide", "gaussian"),
                                               ("sparse", "negative_binomial")])  # fmt: skip
@pytest.mark.thorough(keep=1)
def test_families_that_shift_activity_or_have_parameters(recorded, given, kind, family):
    X, counts = recorded
    job = {"low_rank": 1, "lambdas": 0.05, "feature_groups": groups_of(X), **EXACT}
    Y, weight = counts + 100.0 * (family == "gaussian"), np.random.default_rng(1).uniform(0, 2, (N, Q))
    one, other = (
        quietly(pg.LowRankGLM(family, **job).fit, given(own, X), Y, sample_weight=weight) for own in (kind, "memory")
    )
    agree(one, other)
    np.testing.assert_allclose(one.intercept_, other.intercept_, atol=1e-2)
    for name, values in other.family_parameters_.items():
        np.testing.assert_allclose(one.family_parameters_[name], values, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_all_weights_of_low_rank_and_a_grid(recorded, given, kind):
    X, counts = recorded[0].iloc[:, : 2 * Q], recorded[1]
    job = {"low_rank": 2, "own": "low_rank", "n_lambdas": 2, "lambda_min_ratio": 0.5, "cv": 2, **EXACT}
    agree(*(quietly(pg.LowRankGLM(**job).fit, given(own, X), counts) for own in (kind, "memory")))


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("kind", KINDS)
def test_what_reads_x_again(recorded, given, kind, tmp_path):
    X, counts = recorded
    job = {"low_rank": [0, 2], "lambdas": 0.05, "feature_groups": groups_of(X), "cv": 2}
    same = given(kind, X)
    model = quietly(pg.LowRankGLM(**job).fit, same, counts, groups=TRIAL)
    model.save(tmp_path / "model.nc")
    again, array = pg.load(tmp_path / "model.nc"), X.to_numpy()
    for one in (model, again):
        np.testing.assert_allclose(one.predict(same), one.predict(array), rtol=1e-5)
        np.testing.assert_allclose(one.predict_held_out(same), one.predict_held_out(array), rtol=1e-5)
        np.testing.assert_allclose(one.latent_signals(same), one.latent_signals(array), atol=1e-6)
        assert one.score(same, counts) == pytest.approx(one.score(array, counts), abs=1e-8)
    np.testing.assert_array_equal(model.predict_held_out(), model.predict_held_out(same))
    groups = {"couplings": [f"{name} coupling" for name in NAMES], "cue": "cue"}
    for held_out in (True, False):
        found, known = (quietly(pg.breakdown, model, own, counts, groups, held_out=held_out) for own in (same, array))
        np.testing.assert_allclose(found["reduced_deviance"], known["reduced_deviance"], rtol=1e-6)
    found, known = (pg.calibration(model, own, counts) for own in (same, array))
    np.testing.assert_allclose(found["observed"], known["observed"], rtol=1e-6)


@pytest.mark.thorough
def test_rows_on_disk_are_not_held():
    n, p = 40_000, 100
    X = np.random.default_rng(0).standard_normal((n, p), np.float32)
    Y = np.random.default_rng(1).poisson(np.exp(0.5 * X[:, :2])).astype(float)
    memory, job = X.nbytes // 16, {"low_rank": [0, 1], "lambdas": 0.05, "cv": 2, "max_iter": 3, "detours": 0}
    quietly(pg.LowRankGLM(**job).fit, X[:500], Y[:500])
    tracemalloc.start()
    quietly(pg.LowRankGLM(**job).fit, RowStream(X, memory), Y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a stream for the checks and one for the fit, and some dozen copies of the activity
    assert peak < 2 * memory + 14 * Y.nbytes
    assert peak < X.nbytes


def test_a_sparse_x_is_never_dense():
    rng = np.random.default_rng(0)
    X = csr_array(random_array((40_000, 500), density=0.01, rng=rng))
    Y = rng.poisson(np.exp(0.5 * X[:, [0, 1]].toarray())).astype(float)
    job = {"low_rank": [0, 1], "lambdas": 0.01, "cv": 2, "max_iter": 3, "detours": 0}
    tracemalloc.start()
    model = quietly(pg.LowRankGLM(**job).fit, X, Y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert model.coef_.shape == (2, 500)
    # in float32 it would be 80 MB
    assert peak < 0.5 * X.shape[0] * X.shape[1] * 4


def test_what_cannot_be_fitted_is_told(recorded, given):
    X, counts = recorded
    holed = X.to_numpy().copy()
    holed[417, 5] = np.nan
    with pytest.raises(ValueError, match="X contains NaN in column 5, first in row 417"):
        pg.LowRankGLM(lambdas=0.05).fit(RowStream(holed, holed.nbytes // 2), counts)
    model = quietly(pg.LowRankGLM(low_rank=1, lambdas=0.05, own="low_rank").fit, given("disk", X), counts)
    with pytest.raises(ValueError, match="expecting 23 features"):
        model.predict(given("disk", X.iloc[:, :7]))
    with pytest.raises(TypeError, match=r"goodness_of_fit needs all rows of X at once"):
        pg.goodness_of_fit(model, given("disk", X), counts)


def test_another_array_library_for_a_sparse_x(recorded, given):
    pytest.importorskip("torch")
    X, counts = recorded
    with pytest.raises(ValueError, match="A sparse X is fitted by NumPy alone; use engine='numpy', or make X dense"):
        pg.LowRankGLM(lambdas=0.05, own="low_rank", engine="torch").fit(given("sparse", X), counts)


@pytest.mark.parametrize("engine", ["torch", "jax"])
def test_engines_read_windows_from_disk(recorded, given, engine):
    pytest.importorskip(engine)
    X, counts = recorded
    job = {"low_rank": 1, "lambdas": 0.05, "feature_groups": groups_of(X), **EXACT}
    one = quietly(pg.LowRankGLM(engine=engine, **job).fit, given("disk", X), counts)
    agree(one, quietly(pg.LowRankGLM(**job).fit, X.to_numpy(), counts))
