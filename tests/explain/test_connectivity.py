"""The matrix of couplings: against impulses into predictions, against what was planted, and against `kernels`."""

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

import popglm as pg

NAMES = ["a", "b", "c"]
LAGS = pg.log_bumps("lag", n=3, low=1, high=8)


def spikes(n=600):
    return pd.DataFrame(np.random.default_rng(0).poisson(0.4, (n, 3)), columns=NAMES)


def fitted(terms, Y=None, family="poisson", **options):
    Y = spikes() if Y is None else Y
    design = pg.Design(terms, dtype="float64")
    X = design.fit_transform(spikes())
    return pg.GLM(family, lambdas=[0.01], precision="float64", **options).fit(X, Y), design


def terms_of_two_lengths():
    """Of b two terms, of which the longer comes second; and something that is no neuron."""
    longer = pg.history("b", pg.bumps("lag", n=4, low=0, high=14), name="b longer")
    return [pg.linear("c", name="now") * pg.linear("a", name="then"), *pg.coupling(NAMES, LAGS), longer]


@pytest.mark.parametrize("standardize", [True, False])
def test_it_is_the_response_to_an_impulse(standardize):
    design = pg.Design(terms_of_two_lengths(), dtype="float64", standardize=standardize)
    model = pg.GLM(lambdas=[0.01], precision="float64").fit(design.fit_transform(spikes()), spikes())
    found = pg.connectivity(model, design)
    silence = pd.DataFrame(0.0, index=range(40), columns=NAMES)
    before = np.log(model.predict(design.transform(silence)))
    for source in NAMES:
        impulse = silence.copy()
        impulse.loc[10, source] = 1.0
        kernel = np.log(model.predict(design.transform(impulse))) - before
        assert kernel[10:14].any()
        farthest = kernel[np.abs(kernel).argmax(axis=0), range(3)]
        there = found.sel(source=source)
        assert_allclose(there["net"], kernel.sum(axis=0), atol=1e-10)
        assert_allclose(there["norm"], np.sqrt((kernel**2).sum(axis=0)), atol=1e-10)
        assert_allclose(there["peak"], farthest, atol=1e-10)
        assert_allclose(there["gain"], np.exp(farthest), atol=1e-10)
    assert found["source"].values.tolist() == found["target"].values.tolist() == NAMES


def test_it_is_what_the_weights_say():
    """By hand, with functions of the basis that are 1 at one lag: weights over scales are the kernel."""
    steps = pg.bumps("lag", n=2, low=1, high=2, width=2)
    model, design = fitted(pg.coupling(NAMES, steps))
    at_lags = (model.coef_ / design.scales_).reshape(3, 3, 2).transpose(1, 0, 2)  # source, target, lag
    found = pg.connectivity(model, design)
    assert_allclose(found["net"], at_lags.sum(axis=2))
    assert_allclose(found["norm"], np.linalg.norm(at_lags, axis=2))
    first_is_farther = np.abs(at_lags[..., 0]) > np.abs(at_lags[..., 1])
    assert_allclose(found["peak"], np.where(first_is_farther, at_lags[..., 0], at_lags[..., 1]))


def test_models_of_single_neurons_are_put_together():
    design = pg.Design([*(pg.history(name, LAGS) for name in NAMES), *pg.coupling(["a", "c"], LAGS)])
    X = design.fit_transform(spikes())
    models = {}
    for name in ("c", "a"):
        own = design.for_neuron(name)
        models[name] = pg.GLM(lambdas=[0.01]).fit(X[own.columns_], spikes()[name].to_numpy())
    found = pg.connectivity(models, design)
    assert found["target"].values.tolist() == ["c", "a"]
    for name, model in models.items():
        for group, kernel in pg.kernels(model, design.for_neuron(name)).items():
            assert_allclose(
                found["net"].sel(source=group.split()[0], target=name), kernel["kernel"].sum(), rtol=1e-6, atol=1e-12
            )
    assert found["net"].isnull().sel(target="a").values.tolist() == [False, True, False]
    assert found["gain"].isnull().sel(target="c").values.tolist() == [False, True, False]


def test_pairs_that_a_mask_forbids_are_not_known():
    """A group of zeros that the penalty left is known to be 0, and one that was never there is not."""
    mask = np.array([[True, False, True], [True, True, True], [False, True, True]])
    model, design = fitted(pg.coupling(NAMES, LAGS), feature_mask=mask, penalty="group_lasso")
    strong = pg.GLM(penalty="group_lasso", lambdas=[10.0], feature_mask=mask).fit(design.transform(spikes()), spikes())
    assert_array_equal(pg.connectivity(model, design)["net"].notnull(), mask)
    found = pg.connectivity(strong, design)
    for name, nothing in (("net", 0), ("norm", 0), ("peak", 0), ("gain", 1)):
        assert_array_equal(found[name], np.where(mask, nothing, np.nan))


def planted(n_samples=12_000, n_neurons=8):
    """Neurons that hold themselves down; six pairs of others, by (source, target)."""
    weights = -1.5 * np.eye(n_neurons)
    pairs = {(0, 1): 1.5, (1, 4): -1.6, (3, 2): 1.2, (5, 0): -1.4, (6, 7): 1.8, (2, 6): 1.1}
    for pair, weight in pairs.items():
        weights[pair] = weight
    rng = np.random.default_rng(1)
    counts = np.zeros((n_samples, n_neurons))
    for t in range(1, n_samples):
        counts[t] = rng.random(n_neurons) < 1 / (1 + np.exp(1.2 - counts[t - 1] @ weights))
    return pd.DataFrame(counts, columns=[f"n{j}" for j in range(n_neurons)]), weights


def test_planted_couplings_are_found_and_found_again_in_what_the_model_draws():
    counts, weights = planted()
    design = pg.Design(pg.coupling(counts.columns, pg.bumps("lag", n=3, low=1, high=3, width=2)))
    options = {"penalty": "group_lasso", "lambdas": [1e-3]}
    model = pg.GLM("bernoulli", **options).fit(design.fit_transform(counts), counts)
    drawn = pg.simulate(model, design, counts, seed=2)["activity"][0].to_pandas()
    again = pg.Design(design.terms)
    models = [(model, design), (pg.GLM("bernoulli", **options).fit(again.fit_transform(drawn), drawn), again)]
    for found in (pg.connectivity(*one) for one in models):
        peak = found["peak"].values
        assert_allclose(peak[weights != 0], weights[weights != 0], atol=0.35)
        assert_array_equal(np.sign(peak[weights != 0]), np.sign(weights[weights != 0]))
        assert np.abs(peak[weights == 0]).max() < 0.5 * np.abs(peak[weights != 0]).min()


def test_a_link_other_than_exp_has_no_gain():
    model, design = fitted(pg.coupling(NAMES, LAGS), Y=spikes() > 0, family="bernoulli")
    assert list(pg.connectivity(model, design)) == ["net", "norm", "peak"]


def test_area_that_is_listened_to_but_not_fitted():
    other = spikes().rename(columns=str.upper)
    design = pg.Design(pg.coupling(["a", "b"], LAGS))
    model = pg.GLM(lambdas=[0.01]).fit(design.fit_transform(spikes()), other)
    found = pg.connectivity(model, design)
    assert (found["source"].values.tolist(), found["target"].values.tolist()) == (["a", "b"], ["A", "B", "C"])
    assert found["net"].notnull().all()


def test_wrong_arguments_are_told():
    model, design = fitted(pg.coupling(NAMES, LAGS))
    none, without = fitted([pg.shifts("a", [1])])
    assert_complaint("no history or coupling term, only 'a shifts'", lambda v: pg.connectivity(none, v), without)
    assert_complaint("design", lambda v: pg.connectivity(model, v), spikes())
    with pytest.raises(NotFittedError):
        pg.connectivity(model, pg.Design(design.terms))
    with pytest.raises(NotFittedError):
        pg.connectivity(pg.GLM(), design)
    part = pg.Design(pg.coupling(NAMES[:2], LAGS))
    part.fit(spikes())
    assert_complaint("design: group 2 is nothing", lambda v: pg.connectivity(model, v), part)
    assert_complaint("model", lambda v: pg.connectivity(v, design), "model")
    assert_complaint("empty mapping", lambda v: pg.connectivity(v, design), {})
    assert_complaint("'z', whose past is in no term", lambda v: pg.connectivity(v, design), {"z": model})
    own = design.for_neuron("a")
    both = pg.GLM(lambdas=[0.01]).fit(design.transform(spikes())[own.columns_], spikes()[["a", "b"]])
    assert_complaint("model of 'a' was fitted to 2 neurons", lambda v: pg.connectivity(v, design), {"a": both})
    other = spikes()[["b"]].rename(columns={"b": "B"})
    for nameless in (spikes().to_numpy(), spikes()["a"].to_numpy(), spikes()[["a"]].to_numpy(), other):
        alone, past = fitted([pg.history("a", LAGS)], Y=nameless)
        assert_complaint("history of 'a', which is none of", lambda v, m=alone: pg.connectivity(m, v), past)
    assert pg.connectivity({"a": alone}, past)["target"].values.tolist() == ["a"]
