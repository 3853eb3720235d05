"""p-values keep their promise where nothing is there, and find what is."""

import numpy as np
import pytest
from signals import PATH, activity, smooth, standardised

import popglm as pg
from popglm.explain import significance

pytestmark = pytest.mark.filterwarnings("ignore::popglm.PopglmWarning")


@pytest.mark.thorough
@pytest.mark.parametrize(("family", "penalty"), [("gaussian", "ridge"), ("poisson", "group_lasso")])
def test_p_values_are_uniform_or_conservative_without_effect(family, penalty):
    share, any_found = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X = standardised(smooth(rng, 2000, 30, 4)).astype(np.float32)
        Y = activity(rng, family, 0.8 * smooth(rng, 2000, 150, 4) - 2.0 * (family == "poisson"))
        trial = np.arange(2000) // 50
        model = pg.GLMCV(family, penalty=penalty, feature_groups=[5] * 6, lambdas=[0.01], refit=False, tol=1e-3, cv=3)
        result = significance(model.fit(X, Y, groups=trial), X, Y, trial=trial, n_shifts=199, seed=seed, refit=False)
        share.append(float((result.p_value <= 0.05).mean()))
        any_found.append(bool((result.q_value < 0.05).any()))
    assert np.mean(share) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)
    assert not any(any_found)


@pytest.mark.thorough
def test_false_discovery_rate_is_held_beside_true_effects():
    false, power = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X = standardised(smooth(rng, 2000, 10, 4))
        weights = np.zeros((10, 120))
        weights[:, :40] = rng.normal(0, 0.12, (10, 40))
        Y = activity(rng, "poisson", X @ weights + 0.5 * smooth(rng, 2000, 120, 4) - 1.5)
        trial = np.arange(2000) // 50
        model = pg.GLMCV(lambdas=PATH, refit=False, tol=1e-3, cv=3).fit(X, Y, groups=trial)
        found = significance(model, X, Y, trial=trial, n_shifts=300, seed=seed, refit=False).q_value.values < 0.05
        false.append(found[40:].sum() / max(found.sum(), 1))
        power.append(found[:40].mean())
    assert np.mean(false) <= 0.05
    assert np.mean(power) > 0.7


@pytest.mark.thorough
@pytest.mark.parametrize(("family", "correlation"), [("gaussian", 0.0), ("poisson", 0.8)])
def test_a_variable_without_weight_is_not_found_beside_one_that_drives(family, correlation):
    share, power = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        A, own = smooth(rng, 2500, 4, 4), smooth(rng, 2500, 4, 4)
        B = correlation * A + np.sqrt(1 - correlation**2) * own
        X = standardised(np.hstack([A, B]))
        drive = X[:, :4] @ rng.normal(0, 0.4, (4, 100)) + 0.5 * smooth(rng, 2500, 100, 3)
        Y = activity(rng, family, drive - 1.5 * (family == "poisson"))
        trial = np.arange(2500) // 50
        model = pg.GLMCV(family, penalty="ridge", lambdas=[0.001], refit=False, feature_groups=[4, 4], tol=1e-3, cv=3)
        model.fit(X, Y, groups=trial)
        result = significance(
            model, X, Y, {"A": "group0", "B": "group1"}, trial=trial, n_shifts=199, seed=seed, refit=False
        )
        share.append(float((result.contribution_p_value.sel(variable="B") <= 0.05).mean()))
        power.append(float((result.contribution_q_value.sel(variable="A") < 0.05).mean()))
    assert np.mean(share) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(power) > 0.9


@pytest.mark.thorough
def test_drifts_that_are_alike_by_chance_are_not_significant():
    cases = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X, Y, trial = standardised(smooth(rng, 1000, 20, 20)), smooth(rng, 1000, 15, 20), np.arange(1000) // 20
        model = pg.GLMCV("gaussian", lambdas=[0.01], refit=False).fit(X, Y, groups=trial)
        cases.append((model, X, Y, trial))

    def found(**options):
        return np.mean([(significance(*c[:3], trial=c[3], **options).p_value <= 0.05).mean() for c in cases])

    bound = 0.05 + 2 * np.sqrt(0.05 * 0.95 / 75)
    assert found(n_shifts=99, refit=False) <= bound
    assert found(n_shifts=39, refit=True) <= bound
    # many would be by shifts alone, without the gain that is expected of them
    rng, p = np.random.default_rng(0), []
    for model, X, Y, _ in cases:
        predicted = model.predict_held_out(X)
        shifts = np.r_[0, rng.integers(20, len(Y) - 20, 99)]
        error = np.array([((np.roll(Y, s, axis=0) - predicted) ** 2).sum(axis=0) for s in shifts])
        p.append((error <= error[0]).mean(axis=0))
    assert np.mean(np.array(p) <= 0.05) > 0.3


@pytest.mark.thorough
def test_refitted_contributions_are_calibrated():
    rng = np.random.default_rng(0)
    A = smooth(rng, 1000, 3, 4)
    X = standardised(np.hstack([A, 0.8 * A + 0.6 * smooth(rng, 1000, 3, 4)]))
    Y = activity(rng, "poisson", X[:, :3] @ rng.normal(0, 0.5, (3, 25)) - 0.5)
    trial = np.arange(1000) // 25
    model = pg.GLMCV(lambdas=[0.01], refit=False, feature_groups=[3, 3], tol=1e-3, cv=3).fit(X, Y, groups=trial)
    result = significance(model, X, Y, ["group0", "group1"], trial=trial, n_shifts=39, refit=True)
    p = result.contribution_p_value
    assert (p.sel(variable="group1") <= 0.05).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 25)
    assert (p.sel(variable="group0") <= 0.05).mean() > 0.7
