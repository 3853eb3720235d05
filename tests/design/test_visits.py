"""Columns that few samples visited stay harmless in new data; all others keep their standard deviation."""

import warnings

import numpy as np
import pytest

import popglm as pg

BUMPS = pg.bumps("x", n=12, low=0, high=100)


def session(n_few, seed, n=2000):
    """Samples below 50, and a few with counts unlike the others' in a range that test data visit fully."""
    rng = np.random.default_rng(seed)
    x = rng.permutation(np.append(rng.uniform(0, 50, n - n_few), rng.uniform(60, 100, n_few)))
    new = rng.uniform(0, 100, 4000)
    rate = [np.exp(0.3 * np.sin(v / 8) - 1) for v in (x, new)]
    return x, rng.poisson(rate[0]), new, rng.poisson(rate[1])


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("n_few", [1, 2, 5, 10])
def test_a_few_visits_in_training_do_not_explode_in_test(n_few):
    scores = []
    for seed in range(2):
        x, y, new, counts = session(n_few, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pg.PopglmWarning)
            design = pg.Design([BUMPS], dtype="float64")
            model = pg.GLMCV(n_lambdas=12).fit(design.fit_transform({"x": x}), y)
        X = design.transform({"x": new})
        assert np.abs(X).to_numpy().max() < 10
        scores.append(model.score(X, counts))
    assert -0.03 < min(scores) < max(scores) < 0.04


def test_one_sample_in_the_tail_of_a_bump_cannot_be_huge_at_its_peak():
    x = np.append(np.linspace(0, 50, 1999), 58.0)
    design = pg.Design([BUMPS], dtype="float64").fit({"x": x})
    new = design.transform({"x": np.linspace(0, 100, 401)})
    assert np.abs(new).to_numpy().max() < 10
    assert design.report_["hardly_visited"].item() >= 1


@pytest.mark.parametrize("n_events", [1, 2, 3])
def test_rare_events_and_levels_are_held_back_too(n_events):
    n = 6000
    lick, level = np.zeros(n), np.full(n, "usual")
    rows = np.arange(n_events) * 700 + 100
    lick[rows], level[rows] = 1, "rare"
    data = {"lick": lick, "level": level}
    design = pg.Design([pg.kernel("lick", pg.bumps("lag", 3, 0, 4)), pg.categories("level")], dtype="float64").fit(data)
    new = design.transform({"lick": np.ones(50), "level": np.full(50, "rare")})
    assert np.abs(new["level"]).to_numpy().max() < 3  # of a level that is as rare, z-scored: √(6000 / 3) = 45
    assert np.abs(new["lick kernel"]).to_numpy().max() < 12
    assert design.report_["hardly_visited"].tolist() == [3, 2]


def test_ordinary_columns_keep_their_standard_deviation():
    rng = np.random.default_rng(0)
    n = 5000
    data = {"x": rng.uniform(0, 100, n), "v": 300 * rng.standard_t(3, n), "w": rng.normal(50, 2, n)}
    data["level"] = rng.choice(["a", "b", "c"], n, p=[0.9, 0.09, 0.01])  # about 50 samples of c
    data["lick"] = (rng.random(n) < 0.01).astype(float)
    terms = [
        *(
            BUMPS,
            BUMPS * "w",
            pg.splines("v", quantiles=True),
            pg.splines("x", name="along"),
            pg.linear("w"),
            pg.linear("v", name="one"),
        ),
        *(pg.categories("level"), pg.kernel("lick", pg.log_bumps("lag", 5, 0, 20)), pg.shifts("v", [0, 1])),
    ]
    raw = pg.Design(terms, standardize=False, dtype="float64").fit_transform(data)
    design = pg.Design(terms, dtype="float64").fit(data)
    alike = ~raw.columns.get_level_values("group").isin(["v shifts"])
    np.testing.assert_allclose(design.scales_[alike], raw.to_numpy().std(axis=0)[alike], rtol=1e-10)
    assert (design.report_["hardly_visited"] == 0).all()
