"""Folds know nothing of the activity that they hold out: they end where a fit to their training rows alone ends."""

import numpy as np
import pytest
from independent import population
from scipy.optimize import minimize
from sklearn.metrics import d2_tweedie_score
from sklearn.model_selection import KFold

import popglm as pg
from popglm.estimators.splits import deal_trials
from popglm.solve.walk.problems import OWN_MODEL_AFTER, OWN_MODEL_SOON
from popglm.statistics.families import get_family

N = 240
CONTIGUOUS = [(np.r_[0 : 60 * i, 60 * i + 60 : N], np.r_[60 * i : 60 * i + 60]) for i in range(4)]
HALVES = [(np.r_[120:N], np.r_[0:120]), (np.r_[0:120], np.r_[120:N])]
#: Rows that are held out by two folds or by none, and rows that are trained on twice.
OVERLAPPING = [(np.r_[0:120, 118:120, 200:N], np.r_[120:200]), (np.r_[80:N], np.r_[0:80]), (np.r_[0:200], np.r_[200:N])]


def late_cue(n=1000):
    rng = np.random.default_rng(0)
    cue, speed = np.zeros(n), rng.normal(size=n)
    cue[800:] = 1
    return np.column_stack([speed, cue]), rng.poisson(np.exp(-1 + 1.5 * cue + 0.2 * speed))


@pytest.mark.parametrize("refit", [True, False])
def test_a_cue_that_is_on_in_the_last_fold_alone_has_no_weight_there(refit):
    X, y = late_cue()
    held_out = np.zeros(len(y))
    for train, test in KFold(5).split(X):

        def objective(p, train=train):
            eta = p[0] + X[train] @ p[1:]
            residual = np.exp(eta) - y[train]
            gradient = np.r_[residual.mean(), X[train].T @ residual / len(train) + 1e-4 * p[1:]]
            return (np.exp(eta) - y[train] * eta).mean() + 0.5e-4 * p[1:] @ p[1:], gradient

        b, *w = minimize(objective, np.zeros(3), jac=True, method="BFGS", options={"gtol": 1e-9}).x
        held_out[test] = np.exp(b + X[test] @ w)
    model = pg.GLMCV(penalty="ridge", lambdas=[1e-4], refit=refit).fit(X, y)
    assert model.cv_coef_path_[4, 0, 0, 1] == 0
    assert abs(model.cv_deviance_explained_[0] - d2_tweedie_score(y, held_out, power=1)) < 1e-3


def recording(family, seed=0, q=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 6)) * np.where(rng.random((N, 6)) < 0.2, 2, 0.5)
    X[:, 5] = (np.arange(N) >= 200) * rng.normal(size=N)
    eta = 0.6 * X @ rng.normal(size=(6, q)) - 0.5
    match family:
        case "poisson":
            return X, rng.poisson(np.exp(np.minimum(eta, 3))).astype(float)
        case "bernoulli":
            return X, (rng.random((N, q)) < 1 / (1 + np.exp(-eta))).astype(float)
    return X, eta + rng.normal(size=(N, q)) + 1e3


def others(Y, test, family):
    """Y with other activity in some rows: permuted, ten times as much, and unknown for one and for all neurons."""
    rng = np.random.default_rng(1)
    permuted, more, one, unknown = (Y.copy() for _ in range(4))
    permuted[test] = rng.permutation(Y[test])
    more[test] = 1 - Y[test] if family == "bernoulli" else 10 * Y[test]
    one[test, 0], unknown[test] = np.nan, np.nan
    return permuted, more, one, unknown


def assert_same_bits(
    X, Y, fold, family, splits=CONTIGUOUS, engine="numpy", few=False, complete=False, groups=(3, 3), **settings
):
    """The evaluations that the fold took.

    ``few``: without the changes that take the same path as others through the code; ``complete``: no NaN either.
    """

    def fit(Y):
        model = pg.GLMCV(family, cv=splits, engine=engine, feature_groups=groups and list(groups), **settings)
        model.fit(X, Y)
        return model.cv_coef_path_[fold], model.cv_intercept_path_[fold], model.cv_n_iter_[fold]

    first, changed = fit(Y), others(Y, splits[fold][1], family)
    for other in changed[1:2] if complete else changed[1:3] if few else changed:
        for a, b in zip(first, fit(other), strict=True):
            np.testing.assert_array_equal(a, b)
    return first[2]


FAMILIES = ["poisson", "bernoulli", "gaussian"]
PENALTIES = {
    "ridge": {"penalty": "ridge", "lambdas": [1e-1, 1e-4]},
    "lasso": {"penalty": "lasso", "lambdas": [1e-1, 1e-3]},
    "group lasso": {"penalty": "group_lasso", "lambdas": [1e-1, 1e-3]},
    "smooth": {"penalty": "ridge", "smoothness": 0.1, "lambdas": [1e-2]},
    "none": {"penalty": "none"},
}
quiet = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning", "ignore::popglm.ConvergenceWarning")


@pytest.mark.thorough(keep=4)
@quiet
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_held_out_activity_changes_no_bit_of_a_fold(family, penalty):
    # every pair of family, penalty and refit, not every triple
    refit = (FAMILIES.index(family) + list(PENALTIES).index(penalty)) % 2 == 1
    few = (family, penalty) not in (("poisson", "lasso"), ("bernoulli", "ridge"), ("gaussian", "ridge"))
    assert_same_bits(*recording(family), 1, family, HALVES, refit=refit, few=few, **PENALTIES[penalty])


@quiet
@pytest.mark.parametrize(("family", "fold"), [("poisson", 0), ("gaussian", 2)])
def test_nor_of_overlapping_splits(family, fold):
    assert_same_bits(*recording(family), fold, family, OVERLAPPING, few=True, **PENALTIES["lasso"])


@pytest.mark.thorough(keep=1)
@quiet
@pytest.mark.parametrize("penalty", ["lasso", "group lasso"])
def test_nor_through_models_of_the_curvature_of_slow_neurons(penalty):
    # silent but for a few samples of very high rates
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 6)) * np.where(rng.random((N, 6)) < 0.05, 3, 0.3)
    Y = rng.poisson(np.exp(np.minimum(1.2 * X @ rng.normal(size=(6, 3)) - 1, 4))).astype(float)
    n_iter = assert_same_bits(X, Y, 3, "poisson", few=True, **PENALTIES[penalty], tol=1e-7)
    # after so many they get models of their own
    assert n_iter[0].min() >= (OWN_MODEL_AFTER if penalty == "lasso" else OWN_MODEL_SOON)


@quiet
@pytest.mark.parametrize("solver", [pg.FirstOrder("adam"), pg.FirstOrder("sgd", batch_size=64)])
def test_nor_of_first_order_solvers(solver):
    settings = {"solver": solver, "complete": True, "refit": False, "max_iter": 4}
    assert_same_bits(*recording("poisson"), 1, "poisson", CONTIGUOUS[2:], **settings, **PENALTIES["lasso"])


@quiet
@pytest.mark.parametrize(
    ("engine", "family"),
    [("torch", "poisson"), ("torch", "bernoulli"), ("jax", "bernoulli"), ("tensorflow", "poisson")],
)
def test_nor_on_another_engine(engine, family):
    pytest.importorskip(engine)
    settings = {"engine": engine, "few": True, "refit": False}
    assert_same_bits(*recording(family), 1, family, CONTIGUOUS[2:], **settings, **PENALTIES["group lasso"])


@quiet
@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_nor_with_weights_on_the_device(engine):
    pytest.importorskip(engine)
    settings = {"engine": engine, "schedule": "device", "few": True, "refit": False}
    assert_same_bits(*recording("poisson"), 1, "poisson", CONTIGUOUS[2:], **settings, **PENALTIES["group lasso"])


@quiet
@pytest.mark.parametrize(
    ("engine", "family", "penalty"), [("jax", "poisson", "ridge"), ("tensorflow", "bernoulli", "lasso")]
)
def test_nor_where_xla_compiles_the_steps(engine, family, penalty):
    """The problem of `test_engines_agree`, whose programs are compiled once for both.

    For neurons with samples of their own about twenty programs would be compiled again.
    """
    pytest.importorskip(engine)
    X, Y = population(family, "exp" if family == "poisson" else "sigmoid")
    settings = {
        "engine": engine,
        "device": "cpu:0",
        "schedule": "device",
        "complete": True,
        "refit": False,
        "precision": "float64",
    }
    assert_same_bits(X, Y, 1, family, CONTIGUOUS[2:], groups=None, **settings, **PENALTIES[penalty])


#: Twenty folds, whose training rows are counted by weights.
MANY = [(np.setdiff1d(np.arange(N), test), test) for test in np.split(np.arange(N), 20)]


@pytest.mark.thorough
@quiet
@pytest.mark.parametrize(
    ("family", "penalty"), [("poisson", "lasso"), ("bernoulli", "group lasso"), ("gaussian", "ridge")]
)
def test_nor_of_many_folds(family, penalty):
    assert_same_bits(*recording(family), 17, family, MANY, complete=True, refit=False, **PENALTIES[penalty])


@pytest.mark.thorough(keep=1)
@quiet
@pytest.mark.parametrize("schedule", ["host", "device"])
def test_many_folds_end_where_fits_to_their_rows_end(schedule):
    X, Y = recording("poisson")
    settings = {"penalty": "lasso", "lambdas": [1e-1, 1e-2], "tol": 1e-7, "precision": "float64", "schedule": schedule}
    model = pg.GLMCV(cv=MANY, **settings).fit(X, Y)
    for fold in (0, 7, 19):
        train, test = MANY[fold]
        alone = pg.GLM(**settings).fit(X[train], Y[train])
        np.testing.assert_allclose(model.cv_coef_path_[fold], alone.coef_path_, atol=1e-3)
        np.testing.assert_allclose(model.cv_intercept_path_[fold], alone.intercept_path_, atol=1e-3)
        eta = np.einsum("tp,knp->ktn", X[test], alone.coef_path_) + alone.intercept_path_[:, None]
        deviance = get_family("poisson").deviance(eta, Y[test]).sum(axis=1)
        np.testing.assert_allclose(model.cv_deviance_[fold], deviance, rtol=1e-3)


@quiet
def test_nor_of_a_stream(tmp_path):
    X, Y = recording("poisson", q=4)
    on_disk = np.memmap(tmp_path / "X", "float32", "w+", shape=X.shape)
    on_disk[:] = X
    for splits, family, penalty in (
        (CONTIGUOUS, "poisson", "lasso"), (OVERLAPPING, "poisson", "lasso"), (OVERLAPPING, "gaussian", "ridge"),
    ):  # fmt: skip
        stream = pg.RowStream(on_disk, memory=40_000)
        assert_same_bits(stream, Y, 1, family, splits, few=True, **PENALTIES[penalty])


def test_a_fold_without_weight_scores_nothing():
    X, Y = recording("poisson")
    splits = list(KFold(6).split(X))
    weight = np.ones(N)
    weight[splits[2][1]] = 0
    unknown = Y.copy()
    unknown[splits[2][1]] = np.nan
    for family in ("poisson", "gaussian"):
        settings = {"family": family, "penalty": "lasso", "n_lambdas": 4, "cv": splits, "se_fraction": 1.0}
        model = pg.GLMCV(**settings).fit(X, Y, sample_weight=weight)
        assert np.isnan(model.cv_deviance_[2]).all()
        assert np.isfinite(np.delete(model.cv_deviance_, 2, axis=0)).all()
        without = pg.GLMCV(**settings, lambdas=model.lambdas_).fit(X, unknown)
        np.testing.assert_array_equal(model.lambda_index_, without.lambda_index_)
        np.testing.assert_allclose(model.cv_deviance_explained_, without.cv_deviance_explained_, atol=1e-3)


def drifting(n=600):
    """Bumps of the time in the session, so that contiguous folds have columns that are on nowhere else."""
    rng = np.random.default_rng(3)
    time = np.linspace(0, 1, n)
    X = np.exp(-0.5 * ((time[:, None] - np.linspace(0, 1, 12)) / 0.06) ** 2)
    X = np.column_stack([X, rng.normal(size=n)])
    return X, rng.poisson(np.exp(-0.5 + np.outer(np.sin(3 * time), [1, -1]) + 0.3 * X[:, -1:])).astype(float)


def noise(n=60, p=90):
    rng = np.random.default_rng(2)
    return rng.normal(size=(n, p)), rng.poisson(1.0, (n, 2)).astype(float)


def blocks():
    """A column for every fold beside two others."""
    X, Y = recording("poisson")
    return np.column_stack([X[:, :2], np.repeat(np.eye(4), 60, axis=0)]), Y


def cue():
    X, y = late_cue()
    return X, y[:, None].astype(float)


RIDGE = {"penalty": "ridge", "lambdas": [1e-2, 1e-4]}
AGREEING = {
    "late cue": (cue, {"penalty": "ridge", "lambdas": [1e-4]}, "poisson", {"cv": KFold(5)}),
    "late cue, lasso": (cue, {"penalty": "lasso", "lambdas": [1e-4]}, "poisson", {"cv": KFold(5)}),
    "blocks": (blocks, RIDGE, "poisson", {}),
    "blocks, no penalty": (blocks, {"penalty": "none"}, "poisson", {}),
    "drift": (drifting, {"penalty": "ridge", "lambdas": [1e-3, 1e-4, 1e-5]}, "poisson", {"cv": KFold(5)}),
    "drift, group lasso": (drifting, {"penalty": "group_lasso", "lambdas": [1e-2, 1e-4]}, "poisson", {"cv": KFold(5)}),
    "more columns than samples": (noise, {"penalty": "ridge", "lambdas": [0.1]}, "poisson", {"cv": KFold(5)}),
    # separated samples: the minimum lies at infinity, and in float32 the way there is one of many
    "more columns, no penalty": (noise, {"penalty": "none", "precision": "float64"}, "poisson", {"cv": KFold(5)}),
    "Bernoulli": (lambda: recording("bernoulli"), RIDGE, "bernoulli", {}),
    "missing": (lambda: recording("gaussian"), RIDGE, "gaussian", {"missing": True}),
    "weights and offset": (lambda: recording("poisson"), RIDGE, "poisson", {"extras": True}),
    "overlapping": (lambda: recording("poisson"), RIDGE, "poisson", {"cv": OVERLAPPING}),
}


@pytest.mark.thorough(keep=4)
@quiet
@pytest.mark.parametrize("case", AGREEING)
def test_folds_end_where_fits_to_their_training_rows_end(case):
    make, settings, family, more = AGREEING[case]
    X, Y = make()
    n, rng = len(X), np.random.default_rng(5)
    if more.get("missing"):
        Y[rng.random(Y.shape) < 0.05] = np.nan
    weight = rng.uniform(0.2, 2, n) if more.get("extras") else np.ones(n)
    offset = 0.3 * rng.normal(size=n) if more.get("extras") else np.zeros(n)
    cv = more.get("cv", CONTIGUOUS)
    splits = cv if isinstance(cv, list) else list(cv.split(X))
    loss = get_family(family)

    def mean_loss(coef, intercept, rows):
        eta = np.einsum("...p,tp->t...", coef.astype(float), X[rows]) + intercept + offset[rows, None, None]
        y = np.broadcast_to(Y[rows][:, None], eta.shape)
        value = loss.value(np, eta, np.nan_to_num(y)) - loss.saturated(np.nan_to_num(y))
        s = np.where(np.isnan(y), 0, weight[rows][:, None, None])
        return (s * value).sum(axis=0) / s.sum(axis=0)

    def penalty(coef):
        lam = np.array(settings.get("lambdas", [0.0]))[:, None]
        match settings["penalty"]:
            case "lasso":
                return lam * np.abs(coef).sum(axis=-1)
            case "group_lasso":
                return lam * np.sqrt(coef.shape[-1]) * np.linalg.norm(coef, axis=-1)
        return 0.5 * lam * np.square(coef).sum(axis=-1)

    own = {"feature_groups": [X.shape[1]]} if settings["penalty"] == "group_lasso" else {}
    extras = {"sample_weight": weight, "offset": offset} if more.get("extras") else {}
    models = [
        pg.GLMCV(family, refit=refit, cv=splits, **settings, **own).fit(X, Y, **extras) for refit in (True, False)
    ]
    np.testing.assert_array_equal(models[0].cv_coef_path_, models[1].cv_coef_path_)
    for fold, (train, test) in enumerate(splits):
        some = {name: values[train] for name, values in extras.items()}
        alone = pg.GLM(family, **settings, **own).fit(X[train], Y[train], **some)
        points = [(alone.coef_path_, alone.intercept_path_)]
        points += [(models[0].cv_coef_path_[fold], models[0].cv_intercept_path_[fold])]
        null = mean_loss(0 * points[0][0], np.log(np.nanmean(Y[train])) if family == "poisson" else np.nanmean(Y), test)
        held_out = [mean_loss(*point, test) / null for point in points]
        objective = [mean_loss(*point, train) + penalty(point[0]) for point in points]
        # of hundreds of null deviances, as drift may have, as many digits as float32 gives to exp(η)
        np.testing.assert_allclose(held_out[1], held_out[0], atol=1e-3, rtol=2e-3)
        assert np.max(np.abs(objective[1] - objective[0])) < 2e-4 * max(1, np.nanvar(Y))


@pytest.mark.parametrize("lengths", [np.full(200, 3), np.arange(1, 40), np.tile([5, 4, 5], 60)])
def test_trials_are_dealt_alike_on_every_processor(lengths):
    # of trials that are as long, the later ones first, which no sort may change
    total, expected = [0] * 4, {}
    for length, trial in sorted(((n, k) for k, n in enumerate(lengths)), reverse=True):
        expected[trial] = total.index(min(total))
        total[expected[trial]] += length
    codes = np.repeat(np.arange(len(lengths)), lengths)
    splits = deal_trials(np.random.default_rng(0).permutation(codes), 4)
    assert len(splits) == 4
    codes = np.random.default_rng(0).permutation(codes)
    for fold, (train, test) in enumerate(splits):
        assert {expected[trial] for trial in codes[test]} == {fold}
        np.testing.assert_array_equal(np.union1d(train, test), np.arange(len(codes)))
        assert len(train) + len(test) == len(codes)
