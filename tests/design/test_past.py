"""History and coupling: strictly earlier samples, of other neurons or one's own, and never across trials or gaps."""

import numpy as np
import pandas as pd
import pytest

import popglm as pg

BASES = {
    "bumps from 1": pg.bumps("lag", n=5, low=1, high=10),
    "bumps from 0": pg.bumps("lag", n=3, low=0, high=4),
    "log bumps": pg.log_bumps("lag", n=8, low=1, high=100),
    "log bumps from 0": pg.log_bumps("lag", n=4, low=0, high=12),
}
LENGTHS = (7, 1, 30, 12, 3)


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
def test_white_noise_does_not_predict_itself(basis):
    rng = np.random.default_rng(1)
    n = 6000
    y, trial = rng.poisson(0.3, n), np.repeat(np.arange(n // 200), 200)
    X = pg.Design([pg.history("y", basis)], trial="trial").fit_transform({"y": y, "trial": trial})
    score = pg.GLMCV(n_lambdas=6).fit(X, y, groups=trial).cv_deviance_explained_
    assert -0.01 < score < 0.005


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
def test_it_is_the_sum_over_earlier_samples_of_the_trial(basis):
    rng = np.random.default_rng(0)
    y = rng.poisson(1.0, sum(LENGTHS)).astype(float)
    y[[3, 20]] = np.nan
    trial = np.repeat([5, 3, 9, 1, 2], LENGTHS)
    term = pg.history("y", basis)
    lags, weights = term.grid()
    assert lags.min() == 1
    assert term.reach <= (100 if basis.n == 8 else 19)
    expected, share = np.zeros((2, len(y), basis.n))
    for t in range(len(y)):
        for lag in range(1, t + 1):
            if trial[t - lag] == trial[t] and not np.isnan(y[t - lag]):
                b = basis.evaluate(np.array([float(lag)]))[0]
                expected[t] += b * y[t - lag]
                share[t] += b / np.maximum(weights.sum(axis=0), 1e-300)
    share[:, weights.sum(axis=0) == 0] = 1
    raw = pg.Design([term], trial="trial", standardize=False, dtype="float64").fit_transform({"y": y, "trial": trial})
    np.testing.assert_allclose(raw, expected, atol=1e-12)
    # in part unknown: what is missing counts as the mean
    design = pg.Design([term], trial="trial", dtype="float64")
    with np.errstate(invalid="ignore"):
        mean = expected.sum(axis=0) / np.maximum(share.sum(axis=0), 1e-300)
        X = design.fit_transform({"y": y, "trial": trial})
    np.testing.assert_allclose(design.means_, mean, atol=1e-12)
    np.testing.assert_allclose(
        X * np.where(np.isinf(design.scales_), 0, design.scales_),
        np.where(np.isinf(design.scales_), 0, expected - mean * share),
        atol=1e-10,
    )
    assert (X[share[:, 0] == 0].iloc[:, 0] == 0).all()


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
def test_a_sample_and_what_follows_change_nothing_before(basis):
    rng = np.random.default_rng(0)
    y = rng.poisson(1.0, 60)
    design = pg.Design([pg.history("y", basis), *pg.coupling(["z"], basis)], dtype="float64").fit({"y": y, "z": y})
    X = design.transform({"y": y, "z": y})
    later = np.append(y[:30], rng.poisson(9.0, 30))
    np.testing.assert_array_equal(design.transform({"y": later, "z": later})[:31], X[:31])
    assert (design.transform({"y": later, "z": later})[31:] != X[31:]).any(axis=None)


def test_log_bumps_reach_to_high_and_no_further():
    assert pg.history("y", pg.log_bumps("lag", n=8, low=1, high=100)).reach == 99
    assert pg.history("y", pg.log_bumps("lag", n=8, low=0, high=0.1), dt=0.001).reach == pytest.approx(0.099)
    assert pg.history("y", pg.bumps("lag", n=5, low=1, high=10)).reach == 14  # 10 + 2 spacings of 2.25
    assert pg.kernel("y", pg.log_bumps("lag", n=8, low=1, high=100)).grid()[0].max() <= 100


def test_a_refractory_neuron_and_the_one_it_drives_are_found():
    """Simulated with known weights: n0 is silent after a spike, and drives n1, which drives nobody."""
    rng = np.random.default_rng(3)
    n = 20_000
    y = np.zeros((n, 2))
    for t in range(1, n):
        y[t] = rng.poisson(np.exp([-1 - 2.0 * y[t - 1, 0], -1.5 + 0.8 * y[t - 1, 0]]))
    one_lag = pg.bumps("lag", n=1, low=0.5, high=1.5, width=2)  # 1 at lag 1 and 0 at all others
    spikes = pd.DataFrame(y, columns=["n0", "n1"])
    design = pg.Design([*(pg.history(c, one_lag) for c in spikes), *pg.coupling(spikes.columns, one_lag)])
    X = design.fit_transform(spikes)
    found = {}
    for neuron in spikes:
        own = design.for_neuron(neuron)
        model = pg.GLM(penalty="none").fit(X[own.columns_], spikes[neuron])
        found[neuron] = dict(zip(own.groups_, model.coef_ / own.scales_, strict=True))
        assert pg.kernels(model, own)[f"{neuron} history"].lag.attrs["units"] == "samples"
    assert list(found["n1"]) == ["n1 history", "n0 coupling"]
    assert found["n0"]["n0 history"] == pytest.approx(-2, abs=0.25)
    assert found["n0"]["n1 coupling"] == pytest.approx(0, abs=0.08)
    assert found["n1"]["n0 coupling"] == pytest.approx(0.8, abs=0.06)
    assert found["n1"]["n1 history"] == pytest.approx(0, abs=0.08)


def test_the_design_of_a_neuron_is_the_design_made_for_it_alone():
    rng = np.random.default_rng(0)
    names = ["a", "b", "c"]
    session = {**{name: rng.poisson(0.5, 400) for name in names}, "x": rng.normal(size=400)}
    basis = pg.log_bumps("lag", n=3, low=1, high=12)
    design = pg.Design([pg.linear("x"), *(pg.history(c, basis) for c in names), *pg.coupling(names, basis)])
    unfitted = design.for_neuron("b")
    X = design.fit_transform(session)
    own = design.for_neuron("b")
    alone = pg.Design([pg.linear("x"), pg.history("b", basis), *pg.coupling(names, basis, exclude="b")])
    expected = alone.fit_transform(session)
    pd.testing.assert_frame_equal(X[own.columns_], expected)
    pd.testing.assert_frame_equal(own.transform(session), expected)
    pd.testing.assert_frame_equal(unfitted.fit_transform(session), expected)
    np.testing.assert_array_equal(own.scales_, alone.scales_)
    assert own.group_sizes_ == alone.group_sizes_
    assert own.report_.index.tolist() == alone.groups_


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda b: pg.history(3, b), TypeError, "history: neuron must be the name .* found 3"),
        (lambda b: pg.history("y", "b"), TypeError, r"history\('y'\): basis must be bumps"),
        (lambda b: pg.history("y", b, dt=0), ValueError, "dt must be a positive number; found 0"),
        (lambda b: pg.history("y", b, dt=99), ValueError, "basis is 0 at every lag of one sample or more"),
        (lambda b: pg.history("y", b, name=3), TypeError, "name must be a string or None; found 3"),
        (lambda b: pg.coupling([], b), ValueError, "coupling: sources is empty"),
        (lambda b: pg.coupling(None, b), TypeError, "coupling: sources must be a name or a sequence"),
        (lambda b: pg.coupling(["a", ["b"]], b), TypeError, r"sources must be names .* found \['b'\]"),
        (lambda b: pg.coupling(["a", "a"], b), ValueError, "names 'a' 2 times"),
        (lambda b: pg.coupling(["n1", "n2"], b, exclude="n3"), ValueError, "exclude names 'n3', .* nearest names: 'n"),
        (lambda b: pg.Design([pg.coupling(["a"], b)]).fit({"a": [1]}), TypeError, r"terms\[0\].* unpack .* with \*"),
        (lambda b: pg.Design(pg.coupling(["a"], b)).for_neuron("b"), ValueError, "reads 'b'; neurons with one: 'a'"),
        (lambda b: pg.Design(pg.coupling(["a"], b)).for_neuron("a"), ValueError, "no term is left to explain 'a'"),
    ],
)
def test_wrong_arguments(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make(pg.bumps("lag", n=3, low=1, high=5))
