"""What is given the rows of a fit again notices arrays whose rows stand in another order, with folds and without."""

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import ShuffleSplit

import popglm as pg
from popglm import explain

N, LENGTH = 400, 10
RNG = np.random.default_rng(0)
TRIAL = np.arange(N) // LENGTH
SESSION = {"speed": RNG.standard_normal(N), "touch": RNG.standard_normal(N)}
DESIGN = pg.Design([pg.linear(name) for name in SESSION])
X = DESIGN.fit_transform(SESSION)
Y = RNG.poisson(np.exp(np.outer(SESSION["speed"], [0.6, 0.0]) + np.outer(SESSION["touch"], [0.0, 0.5]) - 0.3))
#: Arrays without labels, which nothing else could put in order.
ARRAY = X.to_numpy()
JOB = {"feature_groups": ["speed", "touch"], "lambdas": [0.1, 0.01]}
BINS = pg.bins(pd.Series(SESSION["speed"], name="speed"), [-1.0, 0.0, 1.0], 0.5)

#: Every public function that takes X and Y of a fit again. The first ones refuse others, the last ones warn.
REFUSED = {
    "bootstrap": lambda m, x, y: pg.bootstrap(m, DESIGN, x, y, trial=TRIAL, n_resamples=2),
    "calibration": lambda m, x, y: pg.calibration(m, x, y),
    "compare": lambda m, x, y: pg.compare(m, x, y),
    "debiased": lambda m, x, y: pg.debiased(m, x, y),
    "goodness_of_fit": lambda m, x, y: pg.goodness_of_fit(m, x, y),
    "likelihood_ratio": lambda m, x, y: pg.likelihood_ratio(m, x, y),
    "rescaled_quantiles": lambda m, x, y: pg.rescaled_quantiles(m, x, y),
    "shapley": lambda m, x, y: pg.shapley(m, x, y),
    "significance": lambda m, x, y: pg.significance(m, x, y, trial=TRIAL, n_shifts=19),
    "stability_selection": lambda m, x, y: pg.stability_selection(m, x, y, trial=TRIAL, n_pairs=1, n_false=2),
    "time_rescaling": lambda m, x, y: pg.time_rescaling(m, x, y),
    "wald": lambda m, x, y: pg.wald(m, x, y),
}
WARNED = {
    "breakdown": lambda m, x, y: pg.breakdown(m, x, y),
    "decode": lambda m, x, y: pg.decode(m, DESIGN, SESSION, y, "speed", np.linspace(-2, 2, 5)),
    "predicted_tuning": lambda m, x, y: pg.predicted_tuning(m, x, y, BINS),
}
UNPENALISED = ("likelihood_ratio", "wald")
OF_NEW_SPIKES = ("rescaled_quantiles", "time_rescaling")
OF_FOLDS = ("calibration", "compare", "shapley", "significance")


def fitted(kind, who, **more):
    job = {"penalty": "none"} if who in UNPENALISED else {"penalty": "lasso", **JOB}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return kind(**{"feature_groups": JOB["feature_groups"]} | job | more).fit(ARRAY, Y)


def quietly(call, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args)


def test_every_function_is_here():
    public = {name: getattr(explain, name) for name in explain.__all__}
    taking = {
        name
        for name, one in public.items()
        if inspect.isfunction(one) and {"model", "Y"} <= set(inspect.signature(one).parameters)
    }
    assert taking == {*REFUSED, *WARNED}


@pytest.mark.parametrize("who", REFUSED)
@pytest.mark.parametrize("folds", [True, False])
def test_another_order_is_refused(who, folds):
    if not folds and who in OF_FOLDS:
        pytest.skip("it scores by folds alone")
    model = fitted(pg.GLMCV if folds else pg.GLM, who, **({"cv": 3} if folds else {}))
    use = REFUSED[who]
    quietly(use, model, ARRAY, Y)
    warns = not folds and who in OF_NEW_SPIKES
    for x, y in ((ARRAY[::-1], Y), (ARRAY, Y[::-1])):
        if warns:
            with pytest.warns(pg.PopglmWarning, match=f"{who}: .*not those of the fit"):
                use(model, x, y)
            continue
        with pytest.raises(ValueError, match="not those of the fit"):
            quietly(use, model, x, y)
    if folds:
        # both alike: each row would be scored by the fold of another
        other = RNG.permutation(N)
        with pytest.raises(ValueError, match="not those of the fit"):
            quietly(use, model, ARRAY[other], Y[other])


@pytest.mark.parametrize("who", WARNED)
def test_what_may_be_a_part_of_the_samples_is_told(who):
    model = fitted(pg.GLMCV, who, cv=3)
    use = WARNED[who]
    with warnings.catch_warnings():
        warnings.simplefilter("error", pg.PopglmWarning)
        use(model, ARRAY, Y)
    with pytest.warns(pg.PopglmWarning, match=f"{who}: .*not those of the fit"):
        use(model, ARRAY, Y[::-1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: pg.GLM("gaussian", penalty="ridge", smoothness=0.1, **JOB),
        lambda: pg.GLM("gamma", penalty="group_lasso", **JOB),
        lambda: pg.GLM("negative_binomial", penalty="lasso", **JOB),
        lambda: pg.GLM("tweedie", power=1.5, penalty="lasso", **JOB),
        lambda: pg.GLM("censored_gaussian", penalty="lasso", **JOB),
        lambda: pg.GLM("inverse_gaussian", penalty="lasso", **JOB),
        lambda: pg.GLM("bernoulli", penalty="elastic_net", l1_ratio=0.5, **JOB),
        lambda: pg.GLM("poisson", penalty="mcp", **JOB),
        lambda: pg.GLM("poisson", penalty="group_scad", **JOB),
        lambda: pg.GLM("poisson", penalty="sparse_group_lasso", **JOB),
        lambda: pg.GLM("poisson", penalty="lasso", penalty_factors=[0.0, 2.0], **JOB),
        lambda: pg.GLM("poisson", inverse_link="softplus", penalty="ridge", smoothness=0.1, **JOB),
        lambda: pg.GLM(
            "poisson", penalty="none", feature_mask=[[True, True], [True, False]], feature_groups=JOB["feature_groups"]
        ),
        lambda: pg.GLMCV("poisson", penalty="lasso", cv=ShuffleSplit(3, random_state=0), **JOB),
        lambda: pg.GLMCV("poisson", penalty="lasso", relaxed=True, cv=ShuffleSplit(3, random_state=0), **JOB),
    ],
    ids=lambda make: "",
)
def test_the_objective_of_every_kind_of_fit_is_known_again(make):
    model = make()
    y = Y.astype(float)
    if model.family == "negative_binomial":
        y = np.random.default_rng(2).negative_binomial(1, 1 / (1 + np.exp(0.5 * ARRAY))).astype(float)
    y = {"gamma": y + 0.5, "inverse_gaussian": y + 0.5, "bernoulli": (y > 0) * 1.0}.get(model.family, y)
    y[:7, 1] = np.nan
    weight = np.random.default_rng(1).uniform(0.5, 2, N)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(ARRAY, y, sample_weight=weight)
        pg.goodness_of_fit(model, ARRAY, y, sample_weight=weight)
        with pytest.raises(ValueError, match="goodness_of_fit: X, Y, sample_weight or offset are not those of the fit"):
            pg.goodness_of_fit(model, ARRAY, y[::-1], sample_weight=weight)


def test_models_of_low_rank_and_of_curves():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        smooth = pg.SmoothGLM("poisson").fit(X, Y)
        low_rank = pg.LowRankGLM("gaussian", low_rank=1, lambdas=[0.01], feature_groups=["speed", "touch"])
        low_rank.fit(ARRAY, Y.astype(float))
        for model, rows in ((smooth, X), (low_rank, ARRAY)):
            pg.goodness_of_fit(model, rows, Y)
            with pytest.raises(ValueError, match="not those of the fit"):
                pg.goodness_of_fit(model, rows, Y[::-1])
