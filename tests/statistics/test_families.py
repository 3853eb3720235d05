"""The contract for every registered family and link, by numerical derivatives and identities."""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from popglm.statistics.families import FAMILIES, get_family
from popglm.statistics.responses import response_sums, sums_of_parts

EVERY = [(family, link) for family, links in FAMILIES.items() for link in links]


def responses(family):
    """Possible responses, at the ends of their range and inside."""
    y = np.array([-1.5, 0.0, 0.3, 1.0, 2.5, 7.0])
    return y[~family.is_outside(y)]


def inside_domain(family, low=-3.0, high=3.0):
    """η × y where the loss is finite and smooth."""
    eta, y = (a.ravel() for a in np.meshgrid(np.linspace(low, high, 61) + 0.004, responses(family)))
    # no closer to a kink at 0 than a numerical derivative reaches
    kept = eta > 0.03 if family.has_barrier or not family.is_smooth else np.ones(len(eta), bool)
    return eta[kept], y[kept]


#: Values of nuisance parameters under which families that have some are tried too.
VALUES = {"negative_binomial": [(0.02,), (0.7,), (30.0,)], "censored_gaussian": [(0.2,), (0.7,), (5.0,)]}
#: Powers of the mean that are tried besides the default.
POWERS = {"tweedie": [1.02, 1.98]}
GIVEN = [(*pair, values) for pair in EVERY for values in [(), *VALUES.get(pair[0], [])]]
GIVEN += [(*pair, power) for pair in EVERY for power in POWERS.get(pair[0], [])]


@pytest.fixture(params=GIVEN, ids=lambda given: "-".join(str(v) for v in given if v != ()))
def family(request):
    *pair, last = request.param
    if isinstance(last, float):
        return get_family(*pair, last)
    return get_family(*pair).given(*last) if last else get_family(*pair)


@pytest.mark.parametrize("pair", EVERY, ids="-".join)
def test_one_object_stands_for_a_family_under_a_link(pair):
    family = get_family(*pair)
    name, link = family.name, family.link.name
    assert family is get_family(name, link) is FAMILIES[name][link]
    assert family == type(family)(family.link)
    assert len({other for links in FAMILIES.values() for other in links.values()}) == len(EVERY)
    with pytest.raises(FrozenInstanceError):
        family.link = None
    # a registered family has parameters without effect, in their range
    for own in family.parameters:
        assert own.range[0] <= getattr(family, own.name) <= own.range[1]
        assert own.range[0] <= own.start <= own.range[1]


def test_derivatives_are_those_of_the_value(family):
    eta, y = inside_domain(family)
    residual, weight = family.derivatives(np, eta, y)
    step = 1e-5
    numeric = (family.value(np, eta + step, y) - family.value(np, eta - step, y)) / (2 * step)
    np.testing.assert_allclose(residual, numeric, rtol=1e-6, atol=1e-6)
    mu = family.link.mean(np, eta)
    slope = (family.link.mean(np, eta + step) - family.link.mean(np, eta - step)) / (2 * step)
    np.testing.assert_allclose(family.link.slope(np, eta), slope, rtol=1e-6, atol=1e-9)
    if family.is_exponential:
        # Fisher weight: h'² over the variance of a response with mean μ
        np.testing.assert_allclose(weight, slope**2 / family.variance(mu), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(residual, (mu - y) * slope / family.variance(mu), rtol=1e-6, atol=1e-6)
    if family.is_canonical:
        np.testing.assert_allclose(residual, mu - y, rtol=1e-12, atol=1e-12)
    if family.is_convex:
        r = [family.derivatives(np, eta + d, y)[0] for d in (step, -step)]
        np.testing.assert_allclose(family.second_derivative(eta, y), (r[0] - r[1]) / (2 * step), rtol=1e-5, atol=1e-8)


def test_excess_is_the_value_above_the_saturated_one(family):
    eta, y = inside_domain(family)
    excess = family.excess(np, eta, y)
    np.testing.assert_allclose(excess, family.value(np, eta, y) - family.saturated(y), rtol=1e-10, atol=1e-10)
    assert (excess >= 0).all()
    # no prediction is better than the saturated one
    for level in responses(family):
        at = np.linspace(-60, 60, 4801)
        with np.errstate(over="ignore", invalid="ignore"):
            least = np.nanmin(family.value(np, at, np.full_like(at, level)))
        assert least >= family.saturated(np.array(level)) - 1e-12
    np.testing.assert_array_equal(family.deviance(eta, y), 2 * excess)


def test_deviance_of_means_is_that_of_predictors(family):
    eta, y = inside_domain(family)
    mu = family.link.mean(np, eta)
    possible = (mu >= family.valid_range[0]) & (mu <= family.valid_range[1])
    found = family.unit_deviance(y, mu)[possible]
    np.testing.assert_allclose(found, family.deviance(eta, y)[possible], rtol=1e-8, atol=1e-12)
    if family.is_exponential:
        positive = responses(family)
        np.testing.assert_array_equal(family.unit_deviance(positive, positive), 0)


def test_excess_keeps_its_digits_where_the_prediction_is_right(family):
    low, high = max(family.valid_range[0], family.link.means[0]), min(family.valid_range[1], family.link.means[1])
    y = np.array([0.2, 0.7]) if high == 1 else np.array([0.4, 3.0])
    assert ((y > low) & (y < high)).all()
    # where a mean is not the predictor of the response, the saturated one is the response itself
    eta = family.link.link(y) if family.is_exponential else y
    np.testing.assert_allclose(family.deviance(eta, y), 0, atol=1e-30)
    # half the second derivative times δ², which is the Fisher weight there
    for delta in (1e-6, -1e-6):
        expected = family.derivatives(np, eta, y)[1] * delta**2 / 2
        np.testing.assert_allclose(family.excess(np, eta + delta, y), expected, rtol=1e-4)


def test_value_is_linear_in_a_function_of_the_predictor(family):
    if not family.is_exponential:
        pytest.skip("of exponential families")
    # ℓ(y, η) = a(η) − yθ(η) + c(y)
    eta = np.linspace(0.1, 3, 30)
    a = family.value(np, eta, 0.0) - family.constant(0.0)
    theta = a - family.value(np, eta, 1.0) + family.constant(1.0)
    for y in responses(family):
        np.testing.assert_allclose(family.value(np, eta, y), a - y * theta + family.constant(y), rtol=1e-10, atol=1e-10)
    if family.gathers:
        # so are its slopes, with Fisher weights that are the same for all responses
        (none, weight), (one, _) = (family.derivatives(np, eta, y) for y in (np.float64(0), np.float64(1)))
        for y in responses(family):
            r, h = family.derivatives(np, eta, np.full(30, y))
            np.testing.assert_allclose(r, none + y * (one - none), rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(h, weight, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_tails(family, dtype):
    eta, y = (a.ravel() for a in np.meshgrid([-1e3, -80, -40, 40, 80, 1e3], responses(family)))
    eta, y = eta.astype(dtype), y.astype(dtype)
    with np.errstate(over="ignore"):
        for found in (family.value(np, eta, y), family.excess(np, eta, y), *family.derivatives(np, eta, y)):
            assert found.dtype == dtype
            assert not np.isnan(found).any()
        assert (family.excess(np, eta, y) >= 0).all()
        assert (family.derivatives(np, eta, y)[1] >= 0).all()
    # a convex loss falls for ever, or not
    if family.is_convex:
        # the loss of silence falls by a power below 1 of the mean
        reach = 60 / (2 - family.power if family.name == "tweedie" else 1)
        reach = 20 * family.sigma if family.name == "censored_gaussian" else reach
        far, y = np.array([[-reach], [reach]]), responses(family)
        with np.errstate(over="ignore"):
            end, before = family.excess(np, far + 0 * y, y + 0 * far), family.excess(np, far / 2 + 0 * y, y + 0 * far)
        assert family.can_separate == bool(((end < before) & (end < 1e-9)).any())


def test_samples_that_are_not_recorded_leave_no_nan(family):
    # they come in as 0 with a weight of 0, also where 0 is no response
    y, s = np.array([[0.3, 0.0, 0.6, 0.2]]), np.array([[1.0, 0.0, 1.0, 1.0]])
    offset = np.array([0.1, 9.0, 0.2, -0.3])
    for beside in (None, offset):
        some = response_sums(family, y, s, [(0, 4)], beside)
        kept = [0, 2, 3]
        whole = response_sums(family, y[:, kept], None, [(0, 3)], None if beside is None else offset[kept])
        for name in ("mean", "saturated", "null", "intercept"):
            np.testing.assert_allclose(getattr(some, name), getattr(whole, name), rtol=1e-9)
    nobody = response_sums(family, 0 * y, 0 * s, [(0, 4)])
    assert np.isfinite([nobody.saturated, nobody.null, nobody.intercept]).all()
    assert not np.isnan(family.saturated(np.zeros(3)) + family.null(np.zeros(3), np.ones(3))).any()


def test_null_is_a_bregman_divergence(family):
    if not family.is_exponential:
        pytest.skip("of exponential families")
    rng = np.random.default_rng(0)
    y, s = rng.choice(responses(family), 50), rng.uniform(0, 2, 50)
    mean = s @ y / s.sum()
    np.testing.assert_allclose(family.null(y, mean), family.unit_deviance(y, mean) / 2, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(family.null(np.array([mean]), mean), 0, atol=1e-15)
    # least at the mean, and larger elsewhere by as many times the divergence of the mean
    other = 0.7 * mean + 0.3 * responses(family)[-1]
    gained = s @ (family.null(y, other) - family.null(y, mean)) / s.sum()
    np.testing.assert_allclose(gained, family.null(np.array([mean]), other)[0], rtol=1e-9)
    null = s @ family.null(y, mean) / s.sum()
    np.testing.assert_allclose(
        family.saturated_mean(np.array([mean]), null), s @ family.saturated(y) / s.sum(), rtol=1e-10, atol=1e-13
    )


def test_sums_of_parts_are_those_of_their_rows(family):
    rng = np.random.default_rng(3)
    y, s = rng.choice(responses(family), (3, 90)), rng.uniform(0.5, 2, (3, 90))
    # a neuron that is not recorded in one of the parts, and one that does not vary in them
    y[1, 20:50], s[1, 20:50], y[2, :50] = 0, 0, y[2, 0]
    parts = [[(0, 90)], [(0, 20), (50, 90)], [(20, 50)], [(10, 30)], [(0, 50)]]
    for weights in (None, s[0], s):
        given = np.where(y == 0, responses(family)[-1], y) if weights is not s else y
        for found, ranges in zip(sums_of_parts(family, given, weights, parts), parts, strict=True):
            alone = response_sums(family, given, weights, ranges)
            for field in fields(alone):
                own, other = (getattr(sums, field.name) for sums in (alone, found))
                np.testing.assert_allclose(other, own, rtol=1e-9, atol=1e-12, err_msg=field.name)


def test_parts_hear_nothing_of_other_rows(family):
    rng = np.random.default_rng(4)
    y = rng.choice(responses(family), (2, 90))
    other = y.copy()
    other[:, 30:60] = rng.permutation(y[:, 30:60] * (1 if family.valid_range[1] == 1 else 3.7))
    parts = [[(0, 30), (60, 90)], [(0, 60)], [(30, 90)]]
    before, after = (sums_of_parts(family, given, None, parts)[0] for given in (y, other))
    for field in fields(before):
        np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name))


@pytest.mark.parametrize("beside", [False, True])
def test_null_intercept_minimises(family, beside):
    rng = np.random.default_rng(1)
    y, s = rng.choice(responses(family), (2, 60)), rng.uniform(0, 2, (2, 60))
    if family.link.means[1] == 1:
        y = np.clip(y, 0, 1)
    if family.has_barrier or not family.is_smooth:
        y = np.abs(y) + 0.3
    offset = rng.uniform(-0.4, 0.4, 60) if beside else np.zeros(60)
    found = response_sums(family, y, s, [(0, 60)], offset if beside else None)
    estimated = [family.of_neurons(own) for own in found.parameters]
    for j in range(2):

        def loss(b, j=j):
            return s[j] @ estimated[j].excess(np, b + offset, y[j]) / s[j].sum()

        b = found.intercept[j]
        np.testing.assert_allclose(found.null[j], loss(b), rtol=1e-9)
        best = minimize_scalar(loss, bracket=(b - 0.05, b + 0.05), tol=1e-12)
        assert loss(b) <= best.fun * (1 + 1e-10)


@pytest.mark.parametrize("pair", [pair for pair in EVERY if get_family(*pair).intercept_steps == "ratio"], ids="-".join)
def test_best_intercept_in_one_step(pair):
    family = get_family(*pair)
    rng = np.random.default_rng(2)
    y, eta = rng.choice(responses(family), 80), rng.normal(0, 2, 80)
    r, h = family.derivatives(np, eta, y)
    r, _ = family.derivatives(np, eta + np.log1p(-r.sum() / h.sum()), y)
    assert abs(r.sum()) <= 1e-12 * np.abs(r).sum()


def test_fittable(family):
    enough, few = np.full(3, 50), np.array([0, 1, 2])
    varies = np.zeros(3, bool)
    assert family.fittable(enough, enough, enough, varies).all()
    assert not family.fittable(enough, enough, enough, ~varies).any()
    assert family.fittable(few, few, few, varies).tolist() == [False, False, True]
    silent = [False, False, True] if family.has_events else [True] * 3
    assert family.fittable(enough, few, enough, varies).tolist() == silent
    # events in every sample say as little as none, where there is at most one in a sample
    full = [False, False, True] if family.valid_range == (0, 1) else [True] * 3
    assert family.fittable(enough, enough, few, varies).tolist() == full


def test_range_of_responses(family):
    low, high = family.valid_range
    tried = np.array([-np.inf, -3.0, 0.0, 0.5, 4.0, np.inf, np.nan])
    outside = family.is_outside(tried)
    assert not outside[[3, 6]].any()
    assert outside[tried < low].all()
    assert outside[tried > high].all()
    assert all(family.out_of_range) == (not family.is_unbounded) == outside.any()
    y = np.array([0.2, 0.9])
    moved = family.into_range(tried[1:5], y)
    assert not family.is_outside(moved).any()
    kept = ~outside[1:5]
    np.testing.assert_array_equal(moved[kept], tried[1:5][kept])


def test_units_change_nothing_but_the_unit(family):
    """What is fitted to y′ is, translated, the fit to y = shift + size·y′."""
    rng = np.random.default_rng(3)
    decade, q = 3.0, 2
    shift = rng.normal(0, 50, q) if family.scale == "linear" else np.zeros(q)
    units = family.units(decade, shift, has_norm=True)
    if family.scale is None:
        np.testing.assert_array_equal([units.size, units.loss, units.weight, units.strength], 1)
        np.testing.assert_array_equal([units.shift, units.intercept, units.per_mean, units.level], 0)
        return
    assert (np.abs(np.log10(units.size) - decade) < 0.5).all()
    y, eta = rng.choice(responses(family), (q, 40)), rng.normal(0, 1, (q, 40))
    recorded = units.shift[:, None] + units.size[:, None] * y
    moved = units.weight[:, None] * eta + units.intercept[:, None]
    # parameters have a unit too
    powers = [own.power for own in family.parameters]
    fitted = family.given(*(getattr(family, own.name) / units.size[0] ** own.power for own in family.parameters))
    expected = units.loss[:, None] * fitted.excess(np, eta, y)
    np.testing.assert_allclose(family.excess(np, moved, recorded), expected, rtol=1e-9)
    sums = response_sums(family, y, None, [(0, 40)], units=units)
    known = family.at(sums.parameters * units.size[:, None] ** np.array(powers))
    saturated = known.saturated(recorded) + known.normaliser(recorded)
    np.testing.assert_allclose(units.saturated(sums), saturated.mean(axis=1), rtol=1e-9)
    # λ‖w‖ beside the loss: both grow alike
    np.testing.assert_allclose(units.strength * units.weight, units.loss)
    assert (units.take(np.array([1])).size == units.size[1]).all()


def test_the_convexity_flag_is_true(family):
    loss, y = family, responses(family)
    eta = np.linspace(-6, 6, 481)
    worst = np.inf
    for level in y:
        value = loss.value(np, eta, np.full_like(eta, level))
        with np.errstate(invalid="ignore"):
            bend = value[2:] - 2 * value[1:-1] + value[:-2]
        # inside the domain; a convex domain is an interval
        inside = np.isfinite(value)
        assert not (np.diff(np.flatnonzero(inside)) > 1).any()
        worst = min(worst, bend[inside[2:] & inside[1:-1] & inside[:-2]].min())
    assert (worst >= -1e-12) == loss.is_convex


def test_canonical_pairs_and_smoothness():
    canonical = {("gaussian", "identity"), ("poisson", "exp"), ("bernoulli", "sigmoid"), ("binomial", "sigmoid")}
    assert {pair for pair in EVERY if get_family(*pair).is_canonical} == canonical
    assert {link for family, link in EVERY if not get_family(family, link).is_smooth} == {"relu"}
    assert [pair for pair in EVERY if get_family(*pair).has_exp_sums] == [("poisson", "exp")]
    assert [pair for pair in EVERY if get_family(*pair).is_least_squares] == [("gaussian", "identity")]
    others = {pair for pair in EVERY if not get_family(*pair).is_exponential}
    assert others == {("censored_gaussian", "identity")}


def test_unknown_names_and_meaningless_pairs():
    with pytest.raises(ValueError, match="family='beta' is unknown"):
        get_family("beta")
    with pytest.raises(ValueError, match="inverse_link='log' is unknown"):
        get_family("poisson", "log")
    with pytest.raises(ValueError, match=r"leave \[0, 1\]"):
        get_family("bernoulli", "exp")


def test_densities_are_those_of_scipy():
    rng = np.random.default_rng(0)
    eta, counts, positive = rng.normal(size=50), rng.poisson(2, 50), rng.gamma(2, size=50)
    mean, alpha = np.exp(eta), 0.7
    of_counts = get_family("negative_binomial").given(alpha)
    for family, y, dispersion, expected in (
        (get_family("poisson"), counts, 1.0, stats.poisson.logpmf(counts, mean)),
        (get_family("bernoulli"), counts > 1, 1.0, stats.bernoulli.logpmf(counts > 1, 1 / (1 + np.exp(-eta)))),
        (get_family("gaussian"), positive, 0.3, stats.norm.logpdf(positive, eta, np.sqrt(0.3))),
        (get_family("gamma"), positive, 0.4, stats.gamma.logpdf(positive, 2.5, scale=0.4 * mean)),
        (get_family("inverse_gaussian"), positive, 0.4, stats.invgauss.logpdf(positive, 0.4 * mean, scale=2.5)),
        (of_counts, counts, 1.0, stats.nbinom.logpmf(counts, 1 / alpha, 1 / (1 + alpha * mean))),
        # without a dispersion, counts are those of Poisson
        (of_counts.given(0.0), counts, 1.0, stats.poisson.logpmf(counts, mean)),
    ):
        found = family.log_density(eta, np.asarray(y, float), dispersion)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10, err_msg=family.name)
