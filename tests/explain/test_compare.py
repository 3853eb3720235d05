"""Comparison against models fitted from scratch, and the difference to breakdown that correlated variables make."""

import warnings
from copy import deepcopy

import numpy as np
import pytest
from populations import behaviour, design, fitted

import popglm as pg
from popglm.explain.reduced_models import ReducedPaths
from popglm.statistics.selection import at_strengths

VARIABLES = {"position": "position", "cue": "* × cue", "speed": "speed"}


@pytest.fixture(scope="module")
def population():
    return fitted(tol=1e-7)


def from_scratch(model, X, Y, groups, **settings):
    """A model of some groups alone, fitted without help."""
    columns = X.loc[:, X.columns.get_level_values("group").isin(groups)]
    fresh = pg.GLMCV(**model.get_params() | {"lambdas": model.lambda_path_, "cv": model.splits_} | settings)
    return fresh.fit(columns, Y), columns


def held_out_deviance(model):
    return at_strengths(model.cv_deviance_, model.lambda_index_, model.cv_null_model_deviance_, axis=1).sum(axis=0)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(
    ("family", "penalty", "method"),
    [
        ("poisson", "group_lasso", "remove"),
        ("poisson", "ridge", "add"),
        ("gaussian", "group_lasso", "add"),
        ("gaussian", "ridge", "remove"),
    ],
)
def test_refits_from_the_path_are_refits_from_scratch(family, penalty, method):
    model, X, Y, _ = fitted(family, penalty, tol=1e-8)
    result = pg.compare(model, X, Y, VARIABLES, method=method, weaker=None)
    for variable, own in (("cue", ["position × cue"]), ("speed", ["speed"])):
        rest = own if method == "add" else [g for g in design_groups(X) if g not in own]
        fresh, _ = from_scratch(model, X, Y, rest)
        at = result.sel(variable=variable)
        np.testing.assert_allclose(at.reduced_deviance, held_out_deviance(fresh), rtol=1e-5)
        np.testing.assert_allclose(at.selected_strength, fresh.lambda_)
        np.testing.assert_allclose(result.null_deviance, fresh.cv_null_deviance_)
        if method == "remove":
            rise = (held_out_deviance(fresh) - held_out_deviance(model)) / fresh.cv_null_deviance_
        else:
            rise = fresh.cv_deviance_explained_
        np.testing.assert_allclose(at.fraction_null_deviance, rise, atol=1e-5)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalty", ["group_lasso", "lasso", "ridge"])
def test_shortened_paths_find_what_whole_paths_find_in_fewer_strengths(penalty, monkeypatch):
    model, X, Y, _ = fitted(penalty=penalty, tol=1e-7, n_lambdas=12)
    walked, fit = [], pg.GLMCV.fit

    def counted(self, *args, **kwargs):
        fit(self, *args, **kwargs)
        columns = zip(self.lambda_path_.T, self.n_lambdas_fitted_, strict=True)
        walked[-1] += sum(len(np.unique(column[:n])) for column, n in columns)
        return self

    monkeypatch.setattr(pg.GLMCV, "fit", counted)
    results = []
    for weaker in (1, None):
        walked.append(0)
        results.append(pg.compare(model, X, Y, VARIABLES, weaker=weaker))
    short, whole = results
    off = np.abs(short.fraction_null_deviance - whole.fraction_null_deviance)
    assert off.max() < 1e-4
    assert walked[0] < walked[1]
    if penalty != "ridge":
        # strengths at which the full model leaves the variable out are never fitted
        assert walked[1] < len(VARIABLES) * model.lambda_path_.size


def test_a_slight_rise_does_not_end_a_path():
    """Without the position a neuron's held-out deviance rises a little, and is lowest some strengths later."""
    b, rng = behaviour(7), np.random.default_rng(7)
    X, cue, speed = design().fit_transform(b), b["cue"].to_numpy(), b["speed"].to_numpy()
    place = np.exp(-0.5 * ((b["position"].to_numpy() - 40) / 15) ** 2)
    eta = np.stack([0.9 * place, 0.9 * place * cue, 0.4 * speed, 0.5 * place + 0.3 * speed] * 2, axis=1) - 0.8
    Y = (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float)[:, 1]
    model = pg.GLMCV("bernoulli", penalty="group_lasso").fit(X, Y, groups=b["trial"])
    short, whole = (pg.compare(model, X, Y, ["position"], weaker=weaker) for weaker in (1, None))
    np.testing.assert_allclose(short.fraction_null_deviance, whole.fraction_null_deviance, atol=1e-4)


def test_refits_go_on_to_where_the_full_model_improves_again(population, monkeypatch):
    """A held-out deviance with two valleys: what the full model has, a smaller one may have too."""
    model, X, Y, _ = deepcopy(population)
    weakest, ended, fit = model.lambda_path_[-1], [], pg.GLMCV.fit

    def followed(self, *args, **kwargs):
        fit(self, *args, **kwargs)
        ended.append(self.lambda_path_[self.n_lambdas_fitted_ - 1, np.arange(len(weakest))])
        return self

    monkeypatch.setattr(pg.GLMCV, "fit", followed)
    pg.compare(model, X, Y, ["position"])
    best = model.cv_deviance_.sum(axis=0).min(axis=0)
    model.cv_deviance_[:, -2:] = np.stack([2 * best, 1.01 * best]) / len(model.cv_deviance_)
    pg.compare(model, X, Y, ["position"])
    assert (ended[0] > weakest).any()
    np.testing.assert_array_equal(ended[1], weakest)


@pytest.mark.parametrize("on_all_rows", [False, True])
def test_a_fold_begins_where_the_same_fold_ended_and_knows_of_no_other(population, on_all_rows):
    model, kept, neurons, index = population[0], np.array([0, 2, 5]), np.array([1, 3]), np.array([[2, 4], [3, 5]])
    starts = ReducedPaths.make(model, kept, on_all_rows).starts(neurons, index)
    every = [model.coef_path_] * on_all_rows + list(model.cv_coef_path_)
    for path, start in zip(every, starts, strict=True):
        for row, column in np.ndindex(2, 2):
            np.testing.assert_array_equal(start[row, column], path[index[row, column], neurons[column], kept])


def test_a_variable_that_spoils_the_full_model_does_not_hold_the_others_back():
    """Its outliers make the held-out deviance rise early; without it a far weaker strength is best."""
    rng = np.random.default_rng(0)
    n, trial = 1500, np.arange(1500) // 30
    signal, jump = rng.normal(size=(n, 6)), rng.normal(0, 0.05, n)
    jump[trial == 7] = 30.0
    session = {f"s{i}": signal[:, i] for i in range(6)} | {"jump": jump}
    X = pg.Design([pg.linear(v) for v in session]).fit_transform(session)
    Y = rng.poisson(np.exp(signal @ [0.5, 0.2, 0.1, 0.05, 0.3, 0.4] + (trial == 7) * 1.0 - 0.5))[:, None]
    model = pg.GLMCV(penalty="ridge", n_lambdas=15, tol=1e-7).fit(X, Y, groups=trial)
    short, whole = (pg.compare(model, X, Y, ["jump"], weaker=weaker) for weaker in (1, None))
    assert (whole.selected_strength.to_numpy() < model.lambda_path_[model.lambda_index_ + 1, 0]).all()
    np.testing.assert_allclose(short.fraction_null_deviance, whole.fraction_null_deviance, atol=1e-4)


def design_groups(X):
    return list(X.columns.unique("group"))


def test_on_test_data_all_models_were_fitted_to_all_rows():
    model, X, Y, b = fitted(tol=1e-8)
    test = np.asarray(b["trial"] % 4 == 0)
    train = pg.GLMCV(**model.get_params()).fit(X[~test], Y[~test], groups=b["trial"][~test])
    by = pg.bins(b["position"][test], centers=[20, 60], half_width=20)
    result = pg.compare(train, X[~test], Y[~test], VARIABLES, by, test=(X[test], Y[test]))
    fresh, columns = from_scratch(train, X[~test], Y[~test], ["position", "position × cue"])
    evaluated = fresh.evaluate(X[test][columns.columns], Y[test])
    np.testing.assert_allclose(result.reduced_deviance.sel(variable="speed"), evaluated["deviance"], rtol=1e-5)
    np.testing.assert_allclose(result.null_deviance, evaluated["null_deviance"], rtol=1e-9)
    np.testing.assert_allclose(result.full_deviance, train.evaluate(X[test], Y[test])["deviance"], rtol=1e-9)
    assert result.binned_fraction_null_deviance.dims == ("neuron", "variable", "bin")


def test_each_neuron_misses_the_variable_that_drives_it(population):
    model, X, Y, _ = population
    shares = pg.compare(model, X, Y, VARIABLES).fraction_explained_deviance.to_pandas()
    assert (shares.iloc[:3].to_numpy().argmax(axis=1) == [0, 1, 2]).all()
    assert (np.diag(shares.iloc[:3]) > 0.7).all()


def test_all_variables_together_leave_the_null_models_of_the_folds(population):
    model, X, Y, b = population
    result = pg.compare(model, X, Y, {"everything": "*"})
    folds = pg.GLMCV(**model.get_params() | {"lambdas": [1e6]}).fit(X, Y, groups=b["trial"])
    np.testing.assert_allclose(result.reduced_deviance[:, 0], held_out_deviance(folds), rtol=1e-6)


def test_a_neuron_without_the_variable_keeps_its_fit(population):
    model, X, Y, _ = population
    speed = X.columns.get_level_values("group") == "speed"
    without = (model.cv_coef_path_[..., speed] == 0).all(axis=(0, 1, 3))
    if not without.any():
        lambdas = model.lambda_path_[:2]
        model = pg.GLMCV(**model.get_params() | {"lambdas": lambdas, "cv": model.splits_}).fit(X, Y)
        without = (model.cv_coef_path_[..., speed] == 0).all(axis=(0, 1, 3))
    assert without.any()
    result = pg.compare(model, X, Y, ["speed"])
    np.testing.assert_array_equal(result.reduced_deviance[without, 0], result.full_deviance[without])


def test_a_duplicated_variable_has_nothing_to_itself_but_carries_its_half():
    """The guide's point: re-fitting underestimates correlated variables, breakdown shares between them."""
    rng = np.random.default_rng(0)
    speed, touch, trial = rng.normal(size=1500), rng.normal(size=1500), np.arange(1500) // 10
    session = {"speed": speed, "pace": speed, "touch": touch, "trial": trial}
    X = pg.Design([pg.linear(v) for v in ("speed", "pace", "touch")], trial="trial").fit_transform(session)
    Y = rng.normal(1.0 * speed[:, None] + 0.5 * touch[:, None], 1.0, size=(1500, 3))
    model = pg.GLMCV(family="gaussian", penalty="ridge", lambdas=10.0 ** np.linspace(0, -6, 13)).fit(X, Y, groups=trial)
    compared = pg.compare(model, X, Y).fraction_null_deviance
    broken = pg.breakdown(model, X, Y).fraction_null_deviance
    for copy in ("speed", "pace"):
        assert np.abs(compared.sel(variable=copy)).max() < 1e-4
        # half of the weight each: without it a quarter of the variable's variance is missed
        np.testing.assert_allclose(broken.sel(variable=copy), 0.25 * speed.var() / Y.var(axis=0), rtol=0.15)
    np.testing.assert_allclose(compared.sel(variable="touch"), broken.sel(variable="touch"), rtol=0.05)
    together = pg.compare(model, X, Y, {"either": ["speed", "pace"]}).fraction_null_deviance[:, 0]
    np.testing.assert_allclose(together, speed.var() / Y.var(axis=0), rtol=0.15)


def test_without_selecting_again_every_neuron_keeps_its_strength():
    model, X, Y, _ = fitted(tol=1e-8)
    result = pg.compare(model, X, Y, ["speed"], reselect=False)
    np.testing.assert_array_equal(result.selected_strength[:, 0], model.lambda_)
    fresh, _ = from_scratch(model, X, Y, ["position", "position × cue"])
    same = at_strengths(fresh.cv_deviance_, model.lambda_index_, model.cv_null_model_deviance_, axis=1).sum(axis=0)
    np.testing.assert_allclose(result.reduced_deviance[:, 0], same, rtol=1e-5)


def test_repeated_calls_and_neuron_order_do_not_matter(population):
    model, X, Y, _ = population
    once, again = (pg.compare(model, X, Y, ["position"]).reduced_deviance.to_numpy() for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_weights_and_offset_enter_the_refits():
    model, X, Y, b = fitted(tol=1e-8)
    rng = np.random.default_rng(0)
    weight, offset = rng.uniform(0.5, 2, len(Y)), rng.normal(0, 0.3, len(Y))
    given = {"sample_weight": weight, "offset": offset}
    model = pg.GLMCV(**model.get_params()).fit(X, Y, groups=b["trial"], **given)
    result = pg.compare(model, X, Y, ["speed"], weaker=None, **given)
    kept = X.loc[:, X.columns.get_level_values("group") != "speed"]
    fresh = pg.GLMCV(**model.get_params() | {"lambdas": model.lambda_path_}).fit(kept, Y, groups=b["trial"], **given)
    np.testing.assert_allclose(result.full_deviance, held_out_deviance(model), rtol=1e-6)
    np.testing.assert_allclose(result.reduced_deviance[:, 0], held_out_deviance(fresh), rtol=1e-5)


def test_a_file_brings_the_folds_back(population, tmp_path):
    model, X, Y, _ = population
    model.save(tmp_path / "model.nc")
    again = pg.compare(pg.load(tmp_path / "model.nc"), X, Y, ["speed"])
    np.testing.assert_allclose(again.reduced_deviance, pg.compare(model, X, Y, ["speed"]).reduced_deviance, rtol=1e-6)


class TestBadInput:
    def test_models_without_folds(self, population):
        _, X, Y, _ = population
        with pytest.raises(ValueError, match=r"compare scores held-out predictions.* found GLM\."):
            pg.compare(pg.GLM(lambdas=[0.1]).fit(X, Y), X, Y)

    def test_folds_that_overlap(self, population):
        _, X, Y, _ = population
        twice = [(np.arange(600), np.arange(600, 1200))] * 2
        model = pg.GLMCV(cv=twice, n_lambdas=2).fit(X, Y)
        with pytest.raises(ValueError, match="holds some rows out more than once"):
            pg.compare(model, X, Y)

    def test_a_file_without_its_folds(self, population, tmp_path):
        _, X, Y, _ = population
        gap = [(np.arange(500), np.arange(600, 1200)), (np.arange(700, 1200), np.arange(600))]
        pg.GLMCV(cv=gap, n_lambdas=2).fit(X, Y).save(tmp_path / "model.nc")
        with pytest.raises(ValueError, match="fit it again"):
            pg.compare(pg.load(tmp_path / "model.nc"), X, Y)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"variables": ["sped"]}, "Did you mean 'speed'"),
            ({"variables": {"a": "position*", "b": "position"}}, "overlap"),
            ({"method": "drop"}, "method='drop' is unknown; use remove or add"),
            ({"weaker": -1}, "weaker=-1 must be a whole number"),
        ],
    )
    def test_arguments(self, population, arguments, message):
        model, X, Y, _ = population
        with pytest.raises(ValueError) as caught:
            pg.compare(model, X, Y, **arguments)
        assert message in str(caught.value)

    def test_other_data(self, population):
        model, X, Y, _ = population
        with pytest.raises(ValueError, match="X has 100 rows, but the model was cross-validated on 1200"):
            pg.compare(model, X[:100], Y[:100])
        with pytest.raises(ValueError, match="Y has 2 neurons"):
            pg.compare(model, X, Y[:, :2])

    def test_refits_that_do_not_converge_are_told_of_once(self, population):
        model, X, Y, _ = population
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hasty = pg.GLMCV(**model.get_params() | {"max_iter": 1, "tol": 1e-9}).fit(X, Y)
        with pytest.warns(pg.ConvergenceWarning, match=r"outside tol=1e-09: 'position' \(\d neurons\)") as caught:
            pg.compare(hasty, X, Y, ["position", "speed"])
        assert len(caught) == 1
        assert caught[0].filename == __file__


def test_weights_of_each_neuron_go_with_those_that_are_fitted_again():
    # by the group lasso the third neuron has no weights, and nothing is fitted for it
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    eta = np.column_stack([0.8 * X[:, 0], -0.8 * X[:, 1], 0 * X[:, 0]])
    trials = rng.integers(3, 9, (400, 3))
    Y, weight = rng.binomial(trials, 1 / (1 + np.exp(-eta))) / trials, trials.astype(float)
    settings = {"penalty": "group_lasso", "lambdas": [0.1, 0.05], "cv": 3, "feature_groups": list("abc"), "tol": 1e-7}
    model = pg.GLMCV("binomial", precision="float64", **settings).fit(X, Y, sample_weight=weight)
    assert not model.coef_[2].any()
    found = pg.compare(model, X, Y, sample_weight=weight)
    for j in range(2):
        alone = pg.GLMCV("binomial", precision="float64", **settings).fit(X, Y[:, j], sample_weight=weight[:, j])
        own = pg.compare(alone, X, Y[:, j], sample_weight=weight[:, j])
        np.testing.assert_allclose(found["reduced_deviance"][j], own["reduced_deviance"][0], rtol=1e-5)
