"""No wrong call ends in another library's sentence: the complaint is a ValueError or TypeError naming the argument."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from complaints import assert_complaint
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

import popglm as pg
from popglm import GLM, GLMCV
from popglm.solve.stream import RowStream

RNG = np.random.default_rng(11)
N = 80
X = RNG.standard_normal((N, 2))
Y = RNG.poisson(np.exp(0.5 * X))
EVENTS = (Y[:, 0] > 0).astype(float)
TRIAL = np.arange(N) // 8
FITTED = GLMCV(lambdas=[0.1], cv=4).fit(X, Y, groups=TRIAL)
PATH = GLM(lambdas=[0.1, 0.01]).fit(X, Y)
DESIGN = pg.Design([pg.linear("a"), pg.linear("b")]).fit({"a": X[:, 0], "b": X[:, 1]})
COLUMNS = DESIGN.transform({"a": X[:, 0], "b": X[:, 1]})
DESIGNED = GLM(lambdas=[0.1]).fit(COLUMNS, Y)
BINS = pg.bins(X[:, 0], [0.0], 9.0)

MATRICES = [
    {"a": X[:, 0]},
    xr.Dataset({"a": ("t", X[:, 0])}),
    b"bytes",
    "text",
    3.0,
    X[:, 0],
    None,
    X[:, :, None],
    object(),
    [],
    X[:0],
    X[:, :0],
    pd.DataFrame(),
    [[object(), object()]] * N,
]
ACTIVITIES = [{"a": Y[:, 0]}, xr.Dataset({"a": ("t", X[:, 0])}), b"bytes", "text", 3.0, object(), Y[:-1], Y[:, :, None]]
VECTORS = ["text", b"b", {"a": 1}, [pd.NA] * N, np.ones((N, 3)), np.ones(N - 1), object(), ["x"] * N, xr.Dataset()]
LABELS = ["text", 5, np.ones((N, 2)), [None] * N, {"a": 1}, object(), [[1]] * N, xr.Dataset(), pd.DataFrame(X)]
SEEDS = [True, -1, np.arange(3.0), "seed", 1.5, pd.NA]
NUMBERS = [pd.NA, "1", pd.Series([1.0]), np.nan, None, [0.1], True, -1, 10**30, pd.DataFrame(), xr.Dataset()]
NO_NAMES = [np.array([1, 2]), pd.NA, pd.DataFrame(), 3, [], object()]
NO_FLAGS = [np.array([True, False]), pd.NA, "yes", None, 2, pd.DataFrame()]


def calls():
    """(argument, call, wrong values)."""
    yield "X", lambda v: GLM().fit(v, Y), MATRICES
    yield "X", lambda v: FITTED.predict(v), MATRICES
    yield "X", lambda v: FITTED.evaluate(v, Y), MATRICES
    yield "X", lambda v: PATH.select(v, Y), MATRICES
    yield "X", lambda v: FITTED.predict_held_out(v), [v for v in MATRICES if v is not None]
    yield "X", lambda v: pg.breakdown(FITTED, v, Y), MATRICES
    yield "X", lambda v: pg.bootstrap(DESIGNED, DESIGN, v, Y, trial=TRIAL), MATRICES
    yield "Y", lambda v: GLM().fit(X, v), ACTIVITIES
    yield "Y", lambda v: FITTED.evaluate(X, v), ACTIVITIES
    yield "Y", lambda v: PATH.select(X, v), ACTIVITIES
    yield "Y", lambda v: pg.breakdown(FITTED, X, v), ACTIVITIES
    yield "Y", lambda v: pg.compare(FITTED, X, v), ACTIVITIES
    for name in ("sample_weight", "offset"):
        yield name, lambda v, name=name: GLM().fit(X, Y, **{name: v}), VECTORS
        yield name, lambda v, name=name: FITTED.evaluate(X, Y, **{name: v}), VECTORS
        yield name, lambda v, name=name: pg.compare(FITTED, X, Y, **{name: v}), VECTORS
        yield name, lambda v, name=name: pg.breakdown(FITTED, X, Y, **{name: v}), VECTORS
    yield "power", lambda v: GLM("tweedie", power=v).fit(X, Y), [v for v in NUMBERS if v is not None]
    yield "groups", lambda v: GLMCV().fit(X, Y, groups=v), LABELS
    yield "trial", lambda v: pg.significance(FITTED, X, Y, trial=v, n_shifts=5), LABELS
    yield "trial", lambda v: pg.bootstrap(DESIGNED, DESIGN, COLUMNS, Y, trial=v), LABELS
    yield "seed", lambda v: pg.breakdown(FITTED, X, Y, method="shuffle", seed=v), SEEDS
    yield "seed", lambda v: pg.significance(FITTED, X, Y, trial=TRIAL, n_shifts=5, seed=v), SEEDS
    yield "seed", lambda v: pg.bootstrap(DESIGNED, DESIGN, COLUMNS, Y, trial=TRIAL, seed=v), SEEDS
    yield "level", lambda v: pg.bootstrap(DESIGNED, DESIGN, COLUMNS, Y, trial=TRIAL, level=v), NUMBERS
    yield (
        "n_resamples",
        lambda v: pg.bootstrap(DESIGNED, DESIGN, COLUMNS, Y, trial=TRIAL, n_resamples=v),
        [*NUMBERS, 10**15],
    )
    yield "n_shifts", lambda v: pg.significance(FITTED, X, Y, trial=TRIAL, n_shifts=v), [*NUMBERS, 10**15]
    yield "method", lambda v: pg.breakdown(FITTED, X, Y, method=v), NO_NAMES
    yield "method", lambda v: pg.compare(FITTED, X, Y, method=v), NO_NAMES
    yield "method", lambda v: pg.significance(FITTED, X, Y, trial=TRIAL, method=v), NO_NAMES
    yield "variables", lambda v: pg.breakdown(FITTED, X, Y, v), [np.arange(2), X[:, :0], [object()], b"feature0", 3]
    yield "held_out", lambda v: pg.breakdown(FITTED, X, Y, held_out=v), NO_FLAGS
    yield "held_out", lambda v: pg.predicted_tuning(FITTED, X, Y, BINS, held_out=v), NO_FLAGS
    yield "reselect", lambda v: pg.compare(FITTED, X, Y, reselect=v), NO_FLAGS
    yield "refit", lambda v: pg.significance(FITTED, X, Y, trial=TRIAL, refit=v), [v for v in NO_FLAGS if v is not None]
    yield "weaker", lambda v: pg.compare(FITTED, X, Y, weaker=v), [v for v in NUMBERS if v is not None]
    yield "standardize", lambda v: pg.maze_design(2, standardize=v), NO_FLAGS
    yield "half_width", lambda v: pg.bins(X[:, 0], [0], v), [*NUMBERS, object(), 1j]
    yield "values", lambda v: pg.bins(v, [0], 1.0), [[], "text", object(), X, None]
    yield "centers", lambda v: pg.bins(X[:, 0], v, 1.0), [[], "1", object(), X, [np.nan]]
    for name in ("split", "trial"):
        yield name, lambda v, name=name: pg.tuning(Y, BINS, **{name: v}), [xr.Dataset(), {"a": 1}, "text", X]
    for name in ("events", "trial", "time"):
        wrong = [xr.Dataset(), {"a": 1}, "text", X, pd.DataFrame(X)]
        yield name, lambda v, name=name: pg.psth(Y, **{"events": EVENTS, name: v}, before=1, after=1), wrong
    for name in ("before", "after"):
        yield name, lambda v, name=name: pg.psth(Y, EVENTS, **{"before": 1, "after": 1, name: v}), NUMBERS
    yield "dt", lambda v: pg.psth(Y, EVENTS, before=1, after=1, dt=v), [v for v in NUMBERS if v is not None]
    for name in ("learning_rate", "momentum", "check_every", "batch_size"):
        wrong = [v for v in NUMBERS if v is not None]
        yield name, lambda v, name=name: pg.FirstOrder(**{name: v}), wrong
    yield "method", lambda v: pg.FirstOrder(v), NO_NAMES
    yield "seed", lambda v: pg.FirstOrder(seed=v), SEEDS
    yield "by", lambda v: pg.breakdown(FITTED, X, Y, by=v), [3, "text", [1], object()]
    yield "test", lambda v: pg.compare(FITTED, X, Y, test=v), [3, X, (X,), "text"]
    for name in ("tol", "max_iter", "n_lambdas", "lambda_min_ratio", "smoothness"):
        yield name, lambda v, name=name: GLM(**{name: v}).fit(X, Y), NUMBERS
    yield "l1_ratio", lambda v: GLM(penalty="elastic_net", l1_ratio=v).fit(X, Y), [v for v in NUMBERS if v is not None]
    for name in ("family", "penalty", "precision", "inverse_link", "solver", "engine", "device"):
        wrong = [pd.NA, 3, pd.Series(["a"]), ["poisson"], np.array(["a", "b"]), object(), pd.DataFrame()]
        yield name, lambda v, name=name: GLM(**{name: v}).fit(X, Y), wrong
    yield "verbose", lambda v: GLM(verbose=v).fit(X, Y), ["1", pd.NA, pd.Series([1]), None, 9, -1]
    yield "fit_intercept", lambda v: GLM(fit_intercept=v).fit(X, Y), ["yes", pd.NA, pd.Series([True]), None]
    yield "refit", lambda v: GLMCV(refit=v).fit(X, Y), ["yes", pd.NA, pd.Series([True, False]), None]
    yield "lambdas", lambda v: GLM(lambdas=v).fit(X, Y), [pd.NA, "strong", {"a": 1}, [pd.NA], [None], object()]
    yield "feature_groups", lambda v: GLM(feature_groups=v).fit(X, Y), [pd.NA, "ab", 3, [pd.NA, 1], {"a": 1}, [1, 1]]
    yield (
        "cv",
        lambda v: GLMCV(cv=v).fit(X, Y),
        [pd.NA, "a", 2.5, [1, 2], [("a", "b")], {"a": 1}, StratifiedKFold(2), [np.arange(N)]],
    )
    for name in ("se_fraction", "min_lambda"):
        wrong = [pd.NA, "1", pd.Series([1.0, 2.0]), np.nan, -1, [0.1]]
        yield name, lambda v, name=name: FITTED.select(**{name: v}), wrong
        yield name, lambda v, name=name: GLMCV(**{name: v}).fit(X, Y), wrong
    yield "patience", lambda v: GLMCV(patience=v).fit(X, Y), [pd.NA, "1", 0, 1.5, True, [1]]
    yield "min_lambda", lambda v: PATH.select(X, Y, min_lambda=v), ["1", pd.Series([0.1]), -1]
    yield "path", lambda v: PATH.save(v), [3, None, b"m.nc", "", "no/such/folder/m.nc", "/", pd.NA]
    yield "path", pg.load, [3, None, b"m.nc", "", "/", pd.NA, [1]]
    yield "source", RowStream, [3, "text", [1, 2], object(), {"a": 1}]
    yield "source", RowStream, [X[:0], X[:, :0]]
    yield "memory", lambda v: RowStream(X, memory=v), ["much", None, pd.NA, -1, True, np.inf]


CALLS = [(name, call, value) for name, call, values in calls() for value in values]


@pytest.mark.parametrize(
    ("name", "call", "value"),
    CALLS,
    ids=[f"{k}-{name}-{type(value).__name__}" for k, (name, _, value) in enumerate(CALLS)],
)
@pytest.mark.filterwarnings("ignore")
def test_the_argument_is_named(name, call, value):
    assert_complaint(name, call, value)


@pytest.mark.parametrize(
    ("who", "call"),
    [
        ("predict", lambda: GLM().predict(X)),
        ("predict_held_out", lambda: GLMCV().predict_held_out(X)),
        ("evaluate", lambda: GLM().evaluate(X, Y)),
        ("score", lambda: GLMCV().score(X, Y)),
        ("select", lambda: GLM().select(X, Y)),
        ("select", lambda: GLMCV().select()),
        ("summary", lambda: GLMCV().summary()),
        ("save", lambda: GLM().save("model.nc")),
        ("to_xarray", lambda: GLM().to_xarray()),
        ("kernels", lambda: pg.kernels(GLM(), DESIGN)),
        ("kernels", lambda: pg.kernels(DESIGNED, pg.Design([pg.linear("a")]))),
        ("breakdown", lambda: pg.breakdown(GLM(), X, Y, held_out=False)),
        ("bootstrap", lambda: pg.bootstrap(GLM(), DESIGN, X, Y, trial=TRIAL)),
        ("transform", lambda: pg.Design([pg.linear("a")]).transform({"a": X[:, 0]})),
    ],
)
def test_before_the_fit(who, call):
    with pytest.raises(
        NotFittedError, match=rf"^{who}: this \w+ is not fitted yet; call fit\((X, Y|session)\) first\."
    ):
        call()


@pytest.mark.parametrize(
    ("x", "y", "settings", "words"),
    [
        ([[1, 2], [3]], Y, {}, "X has rows of different lengths"),
        (X, [[1], [1, 2]], {}, "Y has rows of different lengths"),
        (X, csr_array(Y), {}, "Y must hold numbers, one column per neuron: found a sparse matrix"),
        (X, Y, {"lambdas": [[1], [2, 3]]}, "lambdas must hold numbers: found rows of different lengths"),
    ],
)
def test_what_is_no_table_is_told_in_own_words(x, y, settings, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        GLM(**settings).fit(x, y)
    assert "inhomogeneous" not in str(caught.value)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_time_that_is_not_known_is_told_without_a_warning_of_numpy():
    times = np.arange(len(X)) * 0.1
    x, y = pd.DataFrame(X, index=times), pd.DataFrame(Y, index=[np.nan, *times[1:]])
    with pytest.raises(ValueError, match="row"):
        GLM(lambdas=[0.1]).fit(x, y)


def test_more_strengths_than_fit_into_memory():
    settings = GLM(n_lambdas=1000)
    with pytest.raises(ValueError, match=r"n_lambdas=1000 strengths .* take .* GB"):
        settings._check_size(SimpleNamespace(lambdas=None, n_lambdas=1000), 10**6, 10**5, 6)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"n_lambdas": 10**12}, "n_lambdas=1,000,000,000,000 asks for"),
        ({"lambdas": np.linspace(1, 0.1, 1001)}, "lambdas has 1,001"),
    ],
)
def test_more_strengths_than_anybody_needs(settings, found):
    with pytest.raises(ValueError, match=f"{found} strengths; use 1,000 or fewer"):
        GLM(**settings).fit(X, Y)


class TestNumbersOfAnyKind:
    EXPECTED = GLM(lambdas=[0.1]).fit(X, Y, sample_weight=TRIAL + 1.0)

    @pytest.mark.parametrize(
        "turn",
        [
            lambda a: np.asarray(a).astype(np.asarray(a).dtype.newbyteorder(">")),
            lambda a: pd.DataFrame(a).convert_dtypes() if np.ndim(a) == 2 else pd.Series(a).convert_dtypes(),
            lambda a: np.asarray(a).astype(object),
            np.asfortranarray,
            lambda a: pd.DataFrame(np.asfortranarray(a)) if np.ndim(a) == 2 else pd.Series(a),
            lambda a: np.repeat(a, 2, axis=0)[::2],
        ],
        ids=["big-endian", "nullable", "objects", "fortran", "frame", "strided"],
    )
    def test_same_bits(self, turn):
        found = GLM(lambdas=[0.1]).fit(turn(X), turn(Y), sample_weight=turn(TRIAL + 1.0))
        np.testing.assert_array_equal(found.coef_, self.EXPECTED.coef_)

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    def test_two_types_of_the_same_values(self, precision):
        half = X.astype(np.float16)
        fits = [GLM(lambdas=[0.1], precision=precision).fit(half.astype(t), Y).coef_ for t in ("f2", "f4", "f8", ">f4")]
        for found in fits[1:]:
            np.testing.assert_array_equal(found, fits[0])

    def test_masked_samples_are_missing(self):
        y = np.ma.masked_array(Y.astype(float), mask=np.arange(Y.size).reshape(Y.shape) == 3)
        given = np.where(y.mask, 1e6, Y)
        masked = np.ma.masked_array(given, mask=y.mask)
        expected = np.where(y.mask, np.nan, Y)
        found = GLM(lambdas=[0.1]).fit(np.ma.masked_array(X), masked)
        np.testing.assert_array_equal(found.coef_, GLM(lambdas=[0.1]).fit(X, expected).coef_)
        hidden = np.ma.masked_array(X, mask=np.zeros(X.shape, bool))
        hidden[2, 0] = np.ma.masked
        with pytest.raises(ValueError, match="X"):
            GLM(lambdas=[0.1]).fit(hidden, Y)

    def test_missing_samples(self):
        known = pd.DataFrame(Y, columns=["a", "b"]).astype("Int64")
        known.iloc[3, 1] = pd.NA
        expected = Y.astype(float)
        expected[3, 1] = np.nan
        for given in (known, known.astype(object), known.astype(object).to_numpy()):
            found = GLM(lambdas=[0.1]).fit(X, given).coef_
            np.testing.assert_array_equal(found, GLM(lambdas=[0.1]).fit(X, expected).coef_)

    @pytest.mark.parametrize(
        "turn",
        [
            lambda t: t.astype(">i4"),
            lambda t: [("monkey", int(k)) for k in t],
            lambda t: pd.Categorical([f"trial {k:02d}" for k in t]),
            lambda t: pd.Timestamp("2020-01-01") + pd.to_timedelta(t, "D"),
            lambda t: t.astype(np.float16),
            lambda t: pd.array(t, "Int64"),
            lambda t: np.array([f"{k:02d}" for k in t], "S"),
        ],
    )
    def test_labels_of_any_kind(self, turn):
        fitted = GLMCV(lambdas=[0.1], cv=4).fit(X, Y, groups=turn(TRIAL))
        np.testing.assert_array_equal(fitted.fold_, FITTED.fold_)
        found = pg.significance(FITTED, X, Y, trial=turn(TRIAL), n_shifts=5)
        expected = pg.significance(FITTED, X, Y, trial=TRIAL, n_shifts=5)
        xr.testing.assert_equal(found, expected)
        by = pg.bins(X[:, 0], [0.0], 9.0)
        averages = pg.tuning(Y, by, turn(TRIAL % 2), trial=turn(TRIAL))
        np.testing.assert_array_equal(averages.sem, pg.tuning(Y, by, TRIAL % 2, trial=TRIAL).sem)


class TestSplitters:
    @pytest.mark.parametrize(
        "splitter",
        [
            StratifiedKFold(4),
            StratifiedGroupKFold(2),
            ShuffleSplit(2, random_state=0),
            GroupShuffleSplit(2, random_state=0),
            LeaveOneGroupOut(),
            PredefinedSplit(np.arange(N) % 3),
            TimeSeriesSplit(3),
            KFold(3),
        ],
        ids=lambda splitter: type(splitter).__name__,
    )
    def test_any_of_one_neuron(self, splitter):
        fitted = GLMCV("bernoulli", lambdas=[0.1], cv=splitter).fit(X, EVENTS, groups=TRIAL)
        expected = list(splitter.split(X, EVENTS, TRIAL))
        assert len(fitted.splits_) == len(expected)
        for (train, test), (other_train, other_test) in zip(fitted.splits_, expected, strict=True):
            np.testing.assert_array_equal(train, other_train)
            np.testing.assert_array_equal(test, other_test)

    def test_stratified_by_many_neurons(self):
        with pytest.raises(ValueError, match=r"cv=StratifiedKFold.*Y of 2 neurons; to stratify by one label"):
            GLMCV(cv=StratifiedKFold(4)).fit(X, Y)

    def test_training_rows_among_the_test_rows(self):
        rows = np.arange(N)
        with pytest.raises(ValueError, match="fold 0 trains on 10 of its 20 test samples, the first in row 10"):
            GLMCV(cv=[(rows[10:], rows[:20])]).fit(X, Y)


class TestFeatureGroups:
    def test_a_size_or_a_label(self):
        with pytest.raises(ValueError, match=r"feature_groups=\[1, 1\] means 2 groups.*\[2\] for one group"):
            GLM(penalty="group_lasso", feature_groups=[1, 1]).fit(X, Y)

    @pytest.mark.parametrize(
        ("groups", "sizes"),
        [([2], [2]), (["a", "a"], [2]), (pd.Series(["a", "b"]), [1, 1]), ([0, 1], [1, 1]), (np.array([5, 5]), [2])],
    )
    def test_others(self, groups, sizes):
        fitted = GLM(penalty="group_lasso", lambdas=[0.1], feature_groups=groups).fit(X, Y)
        assert fitted.feature_group_sizes_.tolist() == sizes
