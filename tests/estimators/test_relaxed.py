"""Relaxed fits: against scipy's minimisers on the chosen columns of every fold, and blends against their definition."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from complaints import assert_complaint
from few_groups import GROUP, SIZES, Q, recorded
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, xlogy

import popglm as pg
from popglm import GLM, GLMCV
from popglm.solve.stream import RowStream

N = 300
TRIAL = np.arange(N) // 10
STRENGTHS = [0.3, 0.1, 0.03]
RECORDINGS = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def recording():
    """X, activity of which some is unknown, weights and an offset."""
    X, Y, rng = recorded(N, 0.4, seed=5)
    return X, Y, rng.uniform(0.5, 2, N), 0.2 * rng.normal(size=N)


def fitted(model, *data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*data, **more)


def relaxing(family, penalty="group_lasso", relaxed=True, **more):
    given = {"feature_groups": SIZES, "lambdas": STRENGTHS, "cv": 3, "precision": "float64", "tol": 1e-10}
    return GLMCV(family, penalty=penalty, relaxed=relaxed, **given | more)


UNIT = {
    "gaussian": lambda eta, y: (y - eta) ** 2,
    "poisson": lambda eta, y: 2 * (xlogy(y, y) - y * eta - y + np.exp(eta)),
    "bernoulli": lambda eta, y: 2 * (np.logaddexp(0, eta) - y * eta),
}
MEAN = {"gaussian": lambda eta: eta, "poisson": np.exp, "bernoulli": expit}


def unpenalised(family, X, y, s, offset):
    """Weights and intercept that maximise the likelihood."""
    Z = np.column_stack([X, np.ones(len(X))])
    known = ~np.isnan(y)
    Z, y, s, offset = Z[known], y[known], s[known] / s[known].sum(), offset[known]

    def objective(b):
        eta = Z @ b + offset
        return s @ UNIT[family](eta, y) / 2, Z.T @ (s * (MEAN[family](eta) - y))

    answer = minimize(objective, np.zeros(Z.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-10})
    return answer.x[:-1], answer.x[-1]


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
@pytest.mark.parametrize("penalty", ["group_lasso", "lasso", "mcp", "scad", "group_mcp", "group_scad"])
def test_all_of_it_by_scipy(recording, family, penalty):
    X, activity, s, offset = recording
    Y = activity[family]
    model = fitted(relaxing(family, penalty), X, Y, groups=TRIAL, sample_weight=s, offset=offset)
    plain = fitted(relaxing(family, penalty, False), X, Y, groups=TRIAL, sample_weight=s, offset=offset)
    np.testing.assert_array_equal(model.coef_path_, plain.coef_path_)
    np.testing.assert_array_equal(model.cv_relaxed_deviance_[0], plain.cv_deviance_)
    fits = [(np.arange(N), plain.coef_path_, model.relaxed_coef_path_, model.relaxed_intercept_path_)]
    folds = [plain.cv_coef_path_, model.cv_relaxed_coef_path_, model.cv_relaxed_intercept_path_]
    fits += [(train, *(path[i] for path in folds)) for i, (train, _) in enumerate(model.splits_)]
    n_relaxed = 0
    for rows, path, relaxed, intercept in fits:
        for k in range(len(STRENGTHS)):
            for j in range(Q):
                used = path[k, j] != 0
                if penalty.startswith("group"):
                    used = np.bincount(GROUP, used)[GROUP] > 0
                assert not relaxed[k, j, ~used].any()
                if used.any():
                    w, b = unpenalised(family, X[rows][:, used], Y[rows, j], s[rows], offset[rows])
                    np.testing.assert_allclose(relaxed[k, j, used], w, atol=2e-5)
                    np.testing.assert_allclose(intercept[k, j], b, atol=2e-5)
                    n_relaxed += 1
    assert n_relaxed > 24
    # blends of linear predictors, scored on what the folds hold out
    gammas = np.array([1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_array_equal(model.gammas_, gammas)
    wanted = np.zeros((5, 3, len(STRENGTHS), Q))
    for i, (_, test) in enumerate(model.splits_):
        eta = X[test] @ plain.cv_coef_path_[i].transpose(0, 2, 1) + plain.cv_intercept_path_[i][:, None]
        free = (
            X[test] @ model.cv_relaxed_coef_path_[i].transpose(0, 2, 1) + model.cv_relaxed_intercept_path_[i][:, None]
        )
        for g, gamma in enumerate(gammas):
            unit = UNIT[family](gamma * eta + (1 - gamma) * free + offset[test, None], Y[test])
            wanted[g, i] = np.nansum(s[test, None] * unit, axis=1)
    np.testing.assert_allclose(model.cv_relaxed_deviance_, wanted, rtol=1e-7)
    # the best pair of each neuron, and its blend of weights
    mean = wanted.mean(axis=1)
    for j in range(Q):
        if np.isinf(model.lambda_[j]):
            assert mean[..., j].min() > model.cv_null_model_deviance_[:, j].mean() * (1 - 1e-6)
            continue
        g, k = int(np.flatnonzero(gammas == model.gamma_[j])[0]), int(model.lambda_index_[j])
        # strengths that choose the same columns have the same relaxed fits, to rounding
        assert mean[g, k, j] <= mean[..., j].min() * (1 + 1e-9)
        blend = gammas[g] * plain.coef_path_[k, j] + (1 - gammas[g]) * model.relaxed_coef_path_[k, j]
        np.testing.assert_allclose(model.coef_[j], blend, rtol=1e-12)
        blend = gammas[g] * plain.cv_coef_path_[:, k, j] + (1 - gammas[g]) * model.cv_relaxed_coef_path_[:, k, j]
        np.testing.assert_allclose(model.cv_coef_[:, j], blend, rtol=1e-12)
        np.testing.assert_array_equal(model.cv_deviance_[:, :, j], model.cv_relaxed_deviance_[g, :, :, j])
    # concave penalties have little to undo
    assert (model.gamma_ < 1).any() or not penalty.endswith("lasso")
    # predictions, contributions and curves have the blend
    held = model.predict_held_out(offset=offset)
    for i, (_, test) in enumerate(model.splits_):
        eta = X[test] @ model.cv_coef_[i].T + model.cv_intercept_[i] + offset[test, None]
        np.testing.assert_allclose(held[test], MEAN[family](eta), rtol=1e-10)
    found = pg.breakdown(model, X, Y, sample_weight=s, offset=offset)
    np.testing.assert_allclose(found["deviance_explained"], model.cv_deviance_explained_, atol=1e-9)


@pytest.mark.thorough
def test_shares_of_one_alone_are_the_plain_fit(recording):
    X, activity, *_ = recording
    model = fitted(relaxing("poisson", relaxed=[1.0]), X, activity["poisson"], groups=TRIAL)
    plain = fitted(relaxing("poisson", relaxed=False), X, activity["poisson"], groups=TRIAL)
    for name in ("coef_", "intercept_", "cv_coef_", "cv_deviance_", "lambda_", "cv_deviance_explained_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(plain, name))
    assert plain.gamma_ is None
    assert plain.relaxed_coef_path_ is None
    # and an estimator that is fitted again forgets
    assert fitted(model.set_params(relaxed=False), X, activity["poisson"], groups=TRIAL).gamma_ is None


def test_large_means_do_not_shift_predictions_in_float32():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 3))
    Y = X[:, :1] * [1.0, 0.5] + 0.1 * rng.standard_normal((300, 2))
    X[:, 0] += 1e7
    for shares in ([0], [0.5]):
        model = pg.GLMCV("gaussian", penalty="lasso", relaxed=shares, lambdas=[0.1, 0.01], cv=2).fit(X, Y)
        assert np.abs((model.predict(X) - Y).mean(axis=0)).max() < 1e-5
        assert np.abs((model.predict_held_out() - Y).mean(axis=0)).max() < 0.02


def test_rule_of_one_standard_error_prefers_strength_and_then_the_penalised(recording):
    X, activity, *_ = recording
    model = fitted(relaxing("poisson"), X, activity["poisson"], groups=TRIAL)
    best, deviance = (model.lambda_index_.copy(), model.gamma_.copy()), model.cv_relaxed_deviance_
    model.select(se_fraction=1.0)
    mean, error = deviance.mean(axis=1), deviance.std(axis=1) / np.sqrt(3)
    for j in np.flatnonzero(np.isfinite(model.lambda_)):
        at = np.unravel_index(mean[..., j].argmin(), mean.shape[:2])
        within = mean[..., j] <= mean[(*at, j)] + error[(*at, j)]
        k = int(np.flatnonzero(within.any(axis=0))[0])
        assert (model.lambda_index_[j], model.gamma_[j]) == (k, model.gammas_[within[:, k].argmax()])
    assert (model.lambda_index_ <= best[0]).all()
    model.select()
    np.testing.assert_array_equal(model.gamma_, best[1])


@pytest.mark.thorough
def test_files_pickles_and_a_single_neuron(recording, tmp_path):
    X, activity, *_ = recording
    for y in (activity["poisson"], activity["poisson"][:, 0]):
        model = fitted(relaxing("poisson", feature_groups=SIZES), X, y, groups=TRIAL)
        model.save(tmp_path / "model.nc")
        for again in (pg.load(tmp_path / "model.nc"), pickle.loads(pickle.dumps(model))):
            for name in ("coef_", "intercept_", "gamma_", "gammas_", "cv_coef_", "relaxed_coef_path_", "cv_deviance_"):
                np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
            np.testing.assert_array_equal(again.predict(X), model.predict(X))
            np.testing.assert_array_equal(again.select(se_fraction=2.0).coef_, model.select(se_fraction=2.0).coef_)
            model.select()
    assert model.coef_.shape == (10,)
    assert isinstance(model.intercept_, float)
    folds_alone = fitted(relaxing("poisson", refit=False), X, y, groups=TRIAL)
    np.testing.assert_array_equal(folds_alone.cv_relaxed_deviance_, model.cv_relaxed_deviance_)
    folds_alone.save(tmp_path / "model.nc")
    np.testing.assert_array_equal(pg.load(tmp_path / "model.nc").cv_coef_, folds_alone.cv_coef_)


def test_masks_and_groups_without_a_penalty(recording):
    X, activity, *_ = recording
    mask = np.ones((4, Q), bool)
    mask[2, 0] = mask[0, 3] = False
    given = {"feature_mask": mask, "penalty_factors": [1, 0, 1, 1]}
    model = fitted(relaxing("poisson", **given), X, activity["poisson"], groups=TRIAL)
    assert not model.relaxed_coef_path_.transpose(1, 2, 0)[~mask[GROUP].T].any()
    for k in range(len(STRENGTHS)):
        for j in range(Q):
            used = np.bincount(GROUP, model.coef_path_[k, j] != 0)[GROUP] > 0
            if not used[GROUP != 1].any():
                np.testing.assert_array_equal(model.relaxed_coef_path_[k, j], model.coef_path_[k, j])
                continue
            assert used[GROUP == 1].all()
            y = activity["poisson"][:, j]
            w, _ = unpenalised("poisson", X[:, used], y, np.ones(N), np.zeros(N))
            np.testing.assert_allclose(model.relaxed_coef_path_[k, j, used], w, atol=2e-5)


def test_where_no_weights_are_best_the_penalised_ones_stay(recording):
    X, activity, *_ = recording
    place = np.zeros((N, 1))
    place[:90] = 1
    X, y = np.column_stack([place, X[:, 1:]]), activity["poisson"].copy()
    # silent in a place: the best weight of its column is minus infinity
    y[:90, 0] = 0
    with pytest.warns(pg.PopglmWarning, match="no finite weights are best in the columns that were chosen.*: neuron0"):
        model = relaxing("poisson", "lasso", [1, 0]).fit(X, y, groups=TRIAL)
    chosen = model.coef_path_[:, 0, 0] != 0
    assert chosen.any()
    np.testing.assert_array_equal(model.relaxed_coef_path_[chosen, 0], model.coef_path_[chosen, 0])
    assert np.abs(model.coef_[0]).max() < 20
    assert (model.relaxed_coef_path_[:, 2] != model.coef_path_[:, 2]).any()


def test_silent_neurons_and_patience(recording):
    X, activity, *_ = recording
    y = activity["poisson"][:60].copy()
    y[:, 2] = 0
    many = np.geomspace(0.3, 1e-4, 12)
    model = fitted(relaxing("poisson", lambdas=many, patience=1), X[:60], y, groups=TRIAL[:60])
    assert not model.coef_[2].any()
    assert model.gamma_[2] == 1
    assert np.isfinite(model.coef_).all()
    went = np.arange(12)[:, None] < model.n_lambdas_fitted_
    assert (model.n_lambdas_fitted_ < 12).any()
    np.testing.assert_array_equal(np.isnan(model.cv_relaxed_deviance_).any(axis=(0, 1)), ~went)
    chosen = np.isfinite(model.lambda_)
    assert chosen.any()
    assert (model.lambda_index_ < model.n_lambdas_fitted_)[chosen].all()


@pytest.fixture(scope="module")
def usual(recording):
    """A fit to X in memory, in float64."""
    X, activity, *_ = recording
    return fitted(relaxing("poisson"), X, activity["poisson"], groups=TRIAL)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("kind", ["stream", "sparse", "float32"])
def test_every_kind_of_design(recording, usual, kind):
    X, activity, *_ = recording
    given = {"stream": RowStream, "sparse": sparse.csr_array, "float32": lambda a: a.astype(np.float32)}[kind](X)
    more = {"precision": "float32", "tol": 1e-5} if kind == "float32" else {}
    model = fitted(relaxing("poisson", **more), given, activity["poisson"], groups=TRIAL)
    far = 0.02 if kind == "float32" else 1e-5
    np.testing.assert_allclose(model.relaxed_coef_path_, usual.relaxed_coef_path_, atol=far)
    np.testing.assert_allclose(model.cv_relaxed_deviance_, usual.cv_relaxed_deviance_, rtol=far)
    np.testing.assert_array_equal(model.gamma_, usual.gamma_)


def test_families_with_a_dispersion(recording):
    X, *_ = recording
    rng = np.random.default_rng(0)
    wild = rng.poisson(np.exp(0.3 * X[:, :2]) * rng.gamma(1, 1, (N, 2)))
    model = fitted(relaxing("negative_binomial", tol=1e-8, lambdas=[0.3, 0.05]), X, wild, groups=TRIAL)
    # at the weakest strength as a fit of its own to the columns that were chosen
    for j in range(2):
        used = np.bincount(GROUP, model.coef_path_[1, j] != 0)[GROUP] > 0
        own = GLM("negative_binomial", penalty="none", precision="float64", tol=1e-10).fit(X[:, used], wild[:, j])
        np.testing.assert_allclose(model.relaxed_coef_path_[1, j, used], own.coef_, atol=1e-4)
        relaxed = model.relaxed_family_parameters_path_["alpha"][1, j]
        np.testing.assert_allclose(relaxed, own.family_parameters_["alpha"][0], rtol=1e-3)
        penalised, share = model.family_parameters_path_["alpha"][1, j], model.gamma_[j]
        if model.lambda_index_[j] == 1:
            wanted = share * penalised + (1 - share) * relaxed
            np.testing.assert_allclose(model.family_parameters_["alpha"][j], wanted)


@pytest.mark.parametrize("engine", ["torch", "jax", "tensorflow"])
def test_every_engine(recording, engine):
    pytest.importorskip(engine)
    X, activity, *_ = recording
    few, y = {"lambdas": [0.1]}, activity["poisson"][:, 0]
    model = fitted(relaxing("poisson", engine=engine, tol=1e-8, **few), X, y, groups=TRIAL)
    usual = fitted(relaxing("poisson", **few), X, y, groups=TRIAL)
    np.testing.assert_allclose(model.relaxed_coef_path_, usual.relaxed_coef_path_, atol=1e-4)
    np.testing.assert_array_equal(model.gamma_, usual.gamma_)


@pytest.mark.parametrize(
    ("relaxed", "sentence"),
    [
        (2, "relaxed=2 must be True, False or a sequence of shares"),
        ("all", "relaxed='all' must be True, False or a sequence of shares"),
        ([], "relaxed must be True, False or a sequence of 1 to 100 numbers; it has shape (0,)"),
        ([0.5, 1.5], "relaxed: shares of the penalised weights lie from 0 to 1; entry 1 is 1.5"),
        ([np.nan], "relaxed: shares of the penalised weights lie from 0 to 1; entry 0 is nan"),
        (["half"], "relaxed must hold numbers"),
        ([True, False], "relaxed holds True or False in a sequence; give relaxed=True"),
    ],
)
def test_bad_shares(recording, relaxed, sentence):
    X, activity, *_ = recording
    assert_complaint(
        sentence, lambda value: relaxing("poisson", relaxed=value).fit(X, activity["poisson"], groups=TRIAL), relaxed
    )


def test_what_is_refused(recording):
    X, activity, *_ = recording
    Y = activity["poisson"]
    with pytest.raises(ValueError, match="relaxed has nothing to relax under penalty='ridge'"):
        relaxing("poisson", "ridge").fit(X, Y, groups=TRIAL)
    with pytest.raises(ValueError, match="relaxed needs fits that end at a minimum"):
        relaxing("poisson", solver="adam").fit(X, Y, groups=TRIAL)
    model = fitted(relaxing("poisson", tol=1e-6), X, Y, groups=TRIAL)
    assert np.isnan(pg.goodness_of_fit(model, X, Y)["aic"][model.gamma_ < 1]).all()


@pytest.mark.thorough
def test_a_place_cell():
    file = RECORDINGS / "kramer_eden.npz"
    if not file.exists():
        pytest.skip("the recording kramer_eden.npz is not in ../shared/data")
    with np.load(file) as data:
        x, spikes = data["ch9_x_cm"], np.stack([data["ch9_spikes_1"], data["ch9_spikes_2"]], axis=1)
    # bins of 20 ms
    n = len(x) // 20
    x, Y = x[: n * 20].reshape(n, 20).mean(axis=1), spikes[: n * 20].reshape(n, 20, 2).sum(axis=1)
    design = pg.Design([pg.bumps("x", 12, 0, 100)])
    X = design.fit_transform({"x": x})
    lap = np.arange(n) // 200
    given = {"penalty": "lasso", "n_lambdas": 8, "cv": 4}
    relaxed = fitted(GLMCV("poisson", relaxed=True, **given), X, Y, groups=lap)
    plain = fitted(GLMCV("poisson", **given), X, Y, groups=lap)
    # no worse on held-out laps, and no more columns
    assert (relaxed.cv_deviance_explained_ >= plain.cv_deviance_explained_ - 1e-6).all()
    assert ((relaxed.coef_ != 0).sum(axis=1) <= (plain.coef_ != 0).sum(axis=1)).all()
    assert np.isfinite(relaxed.coef_).all()
    assert np.abs(relaxed.coef_).max() < 50
    assert np.isfinite(pg.kernels(relaxed, design)["x"]["kernel"]).all()
