"""What is larger than any recording needs, or than memory holds, is refused before memory is asked for."""

import itertools
import tracemalloc

import numpy as np
import pytest

import popglm as pg

N = 60
LEVELS = {name: np.arange(N) for name in "abc"}


@pytest.fixture
def small_machine(monkeypatch):
    """One of 10 MB."""
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4000, "SC_PHYS_PAGES": 2500}[name])


def product():
    return pg.categories("a") * pg.categories("b") * pg.categories("c")


def test_a_product_of_products_is_counted_before_it_is_made():
    tracemalloc.start()
    for fit in ("fit", "fit_transform"):
        with pytest.raises(ValueError, match="term 'a × b × c' would have 216,000 columns, but 100,000 are"):
            getattr(pg.Design([product()]), fit)(LEVELS)
    with pytest.raises(ValueError, match="term 'a shifts' would have 180,000 columns"):
        pg.Design([pg.shifts(pg.categories("a"), range(3000))]).fit(LEVELS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the smaller of the two matrices would take 86 MB
    assert peak < 20e6


@pytest.mark.parametrize(
    "term",
    [
        pg.bumps("a", n=30_000, low=0, high=N),
        pg.categories("a", levels=range(30_000)),
        pg.categories("a") * pg.categories("b", levels=range(500)),
        pg.shifts(pg.categories("a"), range(500)),
    ],
)
def test_terms_that_no_memory_holds(term, small_machine):
    with pytest.raises(ValueError, match=r", 60 samples × 30,000 columns, would take 0.014 GB, but .* has 0.01 GB"):
        pg.Design([term]).fit(LEVELS)


def test_transform_of_a_longer_session(small_machine):
    design = pg.Design([pg.bumps("a", n=200, low=0, high=N)], dtype="float32").fit(LEVELS)
    with pytest.raises(ValueError, match=r"^Design: a matrix of 60,000 samples × 200 columns would take"):
        design.transform({"a": np.tile(LEVELS["a"], 1000)})
    # twice the size of the matrix in float32, on the way
    with pytest.raises(ValueError, match=r"^term 'a', 9,000 samples × 200 columns, would take"):
        design.transform({"a": np.tile(LEVELS["a"], 150)})


@pytest.mark.parametrize("maker", ["splines", "cyclic_splines"])
def test_coefficients_of_splines(maker, small_machine):
    with pytest.raises(ValueError, match=rf"^{maker}\('a'\): the coefficients of n=2,000 splines would take"):
        getattr(pg, maker)("a", n=2000)


def test_grids_of_many_levels(small_machine):
    many, few = (pg.categories("a", levels=range(n)).fit(None) for n in (1200, 40))
    assert few.grid()[1].shape == (40, 40)
    with pytest.raises(ValueError, match=r"^categories\('a'\): a grid of 1,200 levels would take"):
        many.grid()
    with pytest.raises(ValueError, match=r"^a grid of 1,600 points × 1,600 columns would take"):
        pg.product(few, pg.categories("b", levels=range(40)).fit(None)).grid()


def names():
    return map(str, itertools.count())


BASIS = pg.bumps("lag", n=2, low=1, high=3)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: pg.coupling(names(), BASIS), "coupling: sources must have at most 100,000 entries; found more"),
        (lambda: pg.coupling(["a"], BASIS, exclude=names()), "coupling: exclude must have at most 100,000 entries"),
        (lambda: pg.transformed(names(), None), "transformed: variables must have at most 100,000 entries"),
        (lambda: pg.bins(np.zeros(3), np.arange(10**6), 1), "bins: centers holds 1,000,000 bins, but 100,000 are the"),
        (lambda: pg.tuning([1, 2], itertools.repeat(1)), "by: the list of bins must have at most 100,000 entries"),
        (
            lambda: pg.GLMCV(cv=itertools.repeat(([0], [1]))).fit(np.eye(4), [1, 0, 2, 1]),
            "cv: the folds must have at most 10,000 entries; found more",
        ),
        (
            lambda: pg.bumps("a", n=10**400, low=0, high=1),
            r"n must be an integer from 1 to 100,000; found 10*\.\.\.$",
        ),
    ],
)
def test_counts_without_an_end(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.fixture(scope="module")
def population():
    rng = np.random.default_rng(0)
    session, trial = {"speed": rng.normal(size=200)}, np.arange(200) // 20
    design, Y = pg.Design([pg.linear("speed")]), rng.poisson(1.0, (200, 2))
    X = design.fit_transform(session)
    return pg.GLMCV(lambdas=[0.1], cv=3).fit(X, Y, groups=trial), design, X, Y, trial


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda m, d, X, Y, trial: pg.bootstrap(m, d, X, Y, trial=trial, n_resamples=10**7),
            "bootstrap: n_resamples must be an integer from 2 to 1,000,000; found 10,000,000",
        ),
        (
            lambda m, d, X, Y, trial: pg.significance(m, X, Y, trial=trial, n_shifts=10**7),
            "significance: n_shifts must be an integer from 1 to 1,000,000; found 10,000,000",
        ),
        (
            lambda m, d, X, Y, trial: pg.kernels(m, d, n_points=10**7),
            "kernels: n_points must be an integer from 2 to 100,000; found 10,000,000",
        ),
        (
            lambda m, d, X, Y, trial: pg.breakdown(m, X, Y, names()),
            "variables: the list must have at most 100,000 entries; found more",
        ),
    ],
)
def test_counts_of_what_explains_a_model(population, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(*population)
