"""What the public tests of statsmodels assert, asked of popglm.

The digits are those of R and Stata that ``statsmodels/genmod/tests/results`` and ``discrete/tests/results`` quote. The
data are those of ``statsmodels.datasets``, and tables that statsmodels installs with its tests.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from peer_fits import exact
from sklearn.datasets import load_iris

from popglm import ClassifierGLM, goodness_of_fit, likelihood_ratio, wald

sm = pytest.importorskip("statsmodels.api", reason="statsmodels, whose data these are, is not installed")
TABLES = Path(sm.__file__).parent / "genmod" / "tests" / "results"


def table(name, **settings):
    """A table of statsmodels' own tests."""
    if not (TABLES / name).exists():
        pytest.skip(f"this statsmodels came without {name}")
    return pd.read_csv(TABLES / name, **settings)


def columns_of(data):
    """Columns (n, p) and activity (n,) of one of ``statsmodels.datasets``."""
    loaded = data.load_pandas()
    return loaded.exog.to_numpy(float), loaded.endog.to_numpy(float)


def cpunish():
    X, y = columns_of(sm.datasets.cpunish)
    X[:, 3] = np.log(X[:, 3])
    return X, y


def unpenalised(family, X, y, tol=1e-18, **given):
    """Fit, likelihoods and standard errors, with the intercept's last as statsmodels has them."""
    model = exact(family, penalty="none", tol=tol).fit(X, y, **given)
    tests = wald(model, X, y, **given)
    params = np.r_[model.coef_, model.intercept_]
    errors = np.r_[tests["standard_error"].values.ravel(), tests["intercept_standard_error"].values]
    return model, goodness_of_fit(model, X, y, **given).iloc[0], params, errors


def deviance(model, X, y, **given):
    return model.evaluate(X, y, **given)["deviance"].item()


def test_longley_gaussian():
    X, y = columns_of(sm.datasets.longley)
    model, fit, params, errors = unpenalised("gaussian", X, y)
    expected = [15.0618723, -0.0358191793, -2.0202298, -1.03322687, -0.0511041057, 1829.15146, -3482258.63]
    np.testing.assert_allclose(params, expected, rtol=1e-6)
    bse = [84.9149258, 0.0334910078, 0.488399682, 0.214274163, 0.2260732, 455.478499, 890420.384]
    np.testing.assert_allclose(errors, bse, rtol=1e-6)
    assert deviance(model, X, y) == pytest.approx(836424.0555058046, rel=1e-7)
    assert fit["log_likelihood"] == pytest.approx(-109.61743480847952, abs=1e-5)
    assert fit["aic"] == pytest.approx(235.23486961695903, abs=1e-5)  # R counts the dispersion, and so does popglm


def test_star98_binomial():
    loaded = sm.datasets.star98.load_pandas()
    X, counts = loaded.exog.to_numpy(float), loaded.endog.to_numpy(float)
    trials = counts.sum(axis=1)
    y = counts[:, 0] / trials
    model, fit, params, errors = unpenalised("binomial", X, y, sample_weight=trials)
    expected = [
        -0.0168150366, 0.0099254766, -0.0187242148, -0.0142385609, 0.2544871730, 0.2406936644, 0.0804086739,
        -1.9521605027, -0.3340864748, -0.1690221685, 0.0049167021, -0.0035799644, -0.0140765648, -0.0040049918,
        -0.0039063958, 0.0917143006, 0.0489898381, 0.0080407389, 0.0002220095, -0.0022492486, 2.9588779262,
    ]  # fmt: skip
    np.testing.assert_allclose(params, expected, rtol=2e-4)
    np.testing.assert_allclose(errors[:3], [4.339467e-04, 6.013714e-04, 7.435499e-04], rtol=1e-4)
    np.testing.assert_allclose(errors[-1], 1.546712, rtol=1e-4)
    assert deviance(model, X, y, sample_weight=trials) == pytest.approx(4078.76541772, rel=1e-9)
    assert fit["log_likelihood"] == pytest.approx(-2998.61255899391, abs=1e-6)
    assert fit["aic"] == pytest.approx(6039.22511799, abs=1e-6)
    constant = model.evaluate(X, y, sample_weight=trials)["null_deviance"].item()
    assert constant == pytest.approx(34345.3688931, rel=1e-9)


def birth_weights():
    """Columns (n, 8) and whether a birth weight was low."""
    data = table("stata_lbw_glm.csv")
    races = pd.get_dummies(data["race"], prefix="race", dtype=float)
    X = pd.concat([data, races], axis=1)[["age", "lwt", "race_black", "race_other", "smoke", "ptl", "ht", "ui"]]
    return X.to_numpy(float), data["low"].to_numpy(float)


def test_low_birth_weight_logit():
    X, y = birth_weights()
    model, fit, params, errors = unpenalised("bernoulli", X, y)
    expected = [-0.02710031, -0.01515082, 1.26264728, 0.86207916, 0.92334482, 0.54183656, 1.83251780, 0.75851348]
    np.testing.assert_allclose(params, [*expected, 0.46122388], atol=1e-7)
    bse = [0.036449917, 0.006925765, 0.526405169, 0.439146744, 0.400820976, 0.346246857, 0.691623875, 0.459373871]
    np.testing.assert_allclose(errors, [*bse, 1.204574885], rtol=1e-4)
    assert deviance(model, X, y) == pytest.approx(201.4479911325021, rel=1e-10)
    assert fit["log_likelihood"] == pytest.approx(-100.7239955662511, rel=1e-10)
    assert fit["aic"] == pytest.approx(219.447991133, rel=1e-10)


@pytest.mark.parametrize(
    ("added", "dropped", "score"),
    [
        (lambda X: X[:, 1] ** 2, None, 0.2837680293459376),
        (lambda X: X[:, 0] ** 2, None, 0.6713492821514992),
        (lambda X: X[:, 7], 7, 2.7864148487452),
    ],
    ids=["weight squared", "age squared", "ui"],
)
def test_score_tests_of_added_variables(added, dropped, score):
    X, y = birth_weights()
    rest = X if dropped is None else np.delete(X, dropped, axis=1)
    columns = np.column_stack([rest, added(X)])
    names = [f"x{j}" for j in range(rest.shape[1])] + ["added"]
    model = exact("bernoulli", penalty="none", feature_groups=names).fit(columns, y)
    found = likelihood_ratio(model, columns, y, ["added"])
    assert found["score"].item() == pytest.approx(score, rel=1e-4)


def test_cpunish_poisson():
    X, y = cpunish()
    model, fit, params, errors = unpenalised("poisson", X, y)
    expected = [2.611017e-04, 7.781801e-02, -9.493111e-02, 2.969349e-01, 2.301183, -18.72207, -6.801480]
    np.testing.assert_allclose(params, expected, rtol=1e-6)
    bse = [5.187132e-05, 7.940193e-02, 2.291926e-02, 4.375164e-01, 4.283826e-01, 4.283961, 4.146850]
    np.testing.assert_allclose(errors, bse, rtol=1e-5)
    assert deviance(model, X, y) == pytest.approx(18.591641759528944, rel=1e-9)
    assert fit["log_likelihood"] == pytest.approx(-31.92732869482515, rel=1e-10)
    assert fit["aic"] == pytest.approx(77.8546573896503, rel=1e-10)
    assert model.evaluate(X, y)["null_deviance"].item() == pytest.approx(136.57281747225, rel=1e-10)
    np.testing.assert_allclose(model.predict(X)[:3], [35.2263655, 8.1965744, 1.3118966], rtol=1e-6)


def test_exposure_moves_the_intercept_alone():
    X, y = cpunish()
    plain, _, params, errors = unpenalised("poisson", X, y)
    model, _, moved, with_exposure = unpenalised("poisson", X, y, offset=np.full(17, np.log(100)))
    assert moved[-1] == pytest.approx(-11.40665, rel=1e-6)
    np.testing.assert_allclose(moved[:-1], params[:-1], rtol=1e-7)
    np.testing.assert_allclose(with_exposure, errors, rtol=1e-6)
    np.testing.assert_allclose(model.predict(X, offset=np.full(17, np.log(100))), plain.predict(X), rtol=1e-7)


def test_missing_samples_are_dropped_with_their_exposure():
    X, y = cpunish()
    offset, gone = np.log(np.arange(1.0, 18)), [2, 4, 6, 8]
    with_gaps = y.copy()
    with_gaps[gone] = np.nan
    one = exact("poisson", penalty="none").fit(X[:, :2], with_gaps, offset=offset)
    other = exact("poisson", penalty="none").fit(
        np.delete(X[:, :2], gone, axis=0), np.delete(y, gone), offset=np.delete(offset, gone)
    )
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-6)
    np.testing.assert_allclose(one.intercept_, other.intercept_, rtol=1e-6)


def test_null_model_has_the_exposure():
    x = np.sin(np.arange(1000) / 20) + 2
    rng = np.random.RandomState(0)
    exposure = rng.randint(100, 200, size=1000)
    y = rng.poisson(x * exposure).astype(float)
    given = {"offset": np.log(exposure)}
    model, fit, _, _ = unpenalised("poisson", x[:, None], y, **given)
    rate = exposure * y.sum() / exposure.sum()
    mu = model.predict(x[:, None], **given)
    apart = (y * np.log(rate) - rate).sum() - (y * np.log(mu) - mu).sum()
    assert fit["null_log_likelihood"] - fit["log_likelihood"] == pytest.approx(apart, rel=1e-8)


def test_cancer_gamma_with_log_link():
    data = table("stata_cancer_glm.csv")
    drugs = pd.get_dummies(data["drug"].astype("category"), drop_first=True).to_numpy(float)
    X, y = np.column_stack([data["age"], drugs]), data["studytime"].to_numpy(float)
    model, fit, params, errors = unpenalised("gamma", X, y)
    np.testing.assert_allclose(params, [-0.04477778, 0.57437126, 1.05210726, 4.64604002], rtol=5e-5)
    np.testing.assert_allclose(errors, [0.0147328, 0.19694727, 0.19772507, 0.83534671], rtol=1e-4)
    assert deviance(model, X, y) == pytest.approx(16.174635536991005, rel=1e-7)
    assert model.evaluate(X, y)["null_deviance"].item() == pytest.approx(27.92207137420696, rel=1e-9)
    assert fit["log_likelihood"] == pytest.approx(-160.94511197686035, rel=1e-7)  # R's, at the deviance over n


def test_length_of_stay_inverse_gaussian_with_log_link():
    data = table("stata_medpar1_glm.csv")
    kind = pd.get_dummies(data["admitype"], drop_first=True).to_numpy(float)
    X, y = np.column_stack([data["codes"], kind]), data["los"].to_numpy(float)
    model, fit, params, errors = unpenalised("inverse_gaussian", X, y)
    np.testing.assert_allclose(params, [0.09927544, -0.19161722, 1.05712336], rtol=1e-4)
    np.testing.assert_allclose(errors, [0.00600728, 0.02632126, 0.04915765], rtol=2e-3)
    assert deviance(model, X, y) == pytest.approx(304.27188306012789, rel=1e-6)
    assert fit["log_likelihood"] == pytest.approx(-9268.9182107979905, rel=1e-5)


def test_affairs_tweedie_without_a_constant():
    loaded = sm.datasets.fair.load_pandas()
    X, y = loaded.exog[["rate_marriage", "age", "yrs_married"]].to_numpy(float), loaded.endog.to_numpy(float)
    model = exact("tweedie", penalty="none", power=1.5, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(model.coef_, [-0.389168171340452, 0.0670222370664611, -0.0970852004566712], rtol=5e-5)
    assert deviance(model, X, y) == pytest.approx(20741.82, rel=1e-6)
    errors = wald(model, X, y)["standard_error"].values.ravel()
    np.testing.assert_allclose(errors, [0.0323435784513691, 0.0063805300018014, 0.00893580175352525], rtol=1e-3)


def test_quasi_poisson_is_poisson_with_pearson_errors():
    """A Tweedie power of 1 is no power of popglm's: the family is Poisson, and the errors are widened."""
    data = sm.datasets.cpunish.load_pandas()
    X, y = data.exog[["INCOME", "SOUTH"]].to_numpy(float), data.endog.to_numpy(float)
    model = exact("poisson", penalty="none", fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(model.coef_, [1.65700638623525e-05, 1.54257997850499], rtol=1e-6)
    assert deviance(model, X, y) == pytest.approx(95.0325613464258, rel=1e-9)
    errors = wald(model, X, y, dispersion="pearson")["standard_error"].values.ravel()
    np.testing.assert_allclose(errors, [1.81044999017907e-05, 0.725739640176733], rtol=1e-5)


def test_doctor_visits_negative_binomial():
    """The dispersion is estimated: α is glm.nb's 1/θ."""
    X, y = columns_of(sm.datasets.randhie)
    model, fit, params, errors = unpenalised("negative_binomial", X, y, tol=1e-11)
    expected = [
        -0.0579469537244314, -0.267787718814838, 0.0412060770911646, -0.0381376804392121, 0.268915772213171,
        0.0381637446219235, -0.0441338846217674, 0.0172521803400544, 0.177960787443151, 0.663556087183864,
    ]  # fmt: skip
    np.testing.assert_allclose(params, expected, atol=2e-6)
    assert model.family_parameters_["alpha"].item() == pytest.approx(1.292953339909746, rel=1e-5)
    bse = [
        0.00607085853920512, 0.0226125368090765, 0.00405542008282773, 0.00344455937127785, 0.0298855063286547,
        0.00142421904710063, 0.0199374393307107, 0.0358416931939136, 0.0741013728607101, 0.0250354082637892,
    ]  # fmt: skip
    np.testing.assert_allclose(errors, bse, rtol=1e-4)
    assert fit["aic"] == pytest.approx(86789.32415307125484, abs=1e-3)


def test_spector_logit():
    X, y = columns_of(sm.datasets.spector)
    _, _, params, errors = unpenalised("bernoulli", X, y)
    np.testing.assert_allclose(params, [2.82611297201, 0.0951576702557, 2.37868772835, -13.0213483201], rtol=1e-6)
    np.testing.assert_allclose(errors, [1.26294114526, 0.141554207662, 1.06456430165, 4.93132462871], rtol=1e-6)


def test_bic_of_two_kinds_of_iris():
    iris = load_iris()
    X, y = iris.data[50:], iris.target[50:] - 1.0
    fit = unpenalised("bernoulli", X, y)[1]
    assert fit["bic"] == pytest.approx(34.9244, abs=1e-3)


def test_quasi_aic_of_budworms():
    dose, female = np.tile(np.arange(6.0), 2), np.repeat([0.0, 1.0], 6)
    dead = np.array([10, 4, 9, 12, 18, 20, 0, 2, 6, 10, 12, 16])
    X = np.column_stack([female, dose, female * dose])
    fit = unpenalised("binomial", X, 1 - dead / 20, sample_weight=np.full(12, 20))[1]
    assert -2 * fit["log_likelihood"] / 2.412699 + 2 * 4 == pytest.approx(29.13266, abs=1e-5)


def test_deviance_is_a_likelihood_ratio_without_a_constant_too():
    rng = np.random.RandomState(123987)
    x = rng.randn(50, 1)
    y = rng.poisson(np.exp(1 + x[:, 0])).astype(float)
    model = exact("poisson", penalty="none", fit_intercept=False).fit(x, y)
    family, mu = sm.families.Poisson(), model.predict(x)
    assert abs((y - mu).sum()) > 1
    expected = 2 * (family.loglike(y, y + 1e-20) - family.loglike(y, mu))
    assert deviance(model, x, y) == pytest.approx(expected, rel=1e-10)


def test_large_mean_beside_a_small_slope():
    rng = np.random.RandomState(123)
    x = np.arange(50.0)
    model = exact("gaussian", penalty="none").fit(x[:, None], 1000 + x + rng.normal(0, 1, 50))
    np.testing.assert_allclose([model.intercept_, model.coef_[0]], [999.82244338, 1.0077889], rtol=1e-8)


@pytest.mark.parametrize("family", ["poisson", "gamma", "gaussian", "inverse_gaussian", "tweedie"])
def test_weights_are_repeated_samples(family):
    X, y = cpunish()
    X, y = (X[:, :2] - X[:, :2].mean(axis=0)) / X[:, :2].std(axis=0), y + 0.5 * (family != "poisson")
    repeats = np.array([1, 2, 3] * 5 + [1, 2])
    _, fit, params, errors = unpenalised(family, X, y, sample_weight=repeats)
    _, long, expected, long_errors = unpenalised(family, np.repeat(X, repeats, axis=0), np.repeat(y, repeats))
    np.testing.assert_allclose(params, expected, rtol=1e-6)
    np.testing.assert_allclose(errors, long_errors, rtol=1e-6)
    assert fit["log_likelihood"] == pytest.approx(long["log_likelihood"], rel=1e-9)


PENALISED = {  # α, λ and weights, from glmnet
    "enet_binomial.csv": [
        (0, 6.618737, [0.004032037, 0.01433665, 0.01265635, 0.006173346, 0.01067706]),
        (0, 1.029661, [0.02180239, 0.07769613, 0.06756466, 0.03156418, 0.05851878]),
        (0, 0.1601819, [0.07111087, 0.2544921, 0.2110318, 0.08577924, 0.1984383]),
        (0.5, 0.05343991, [0.004990061, 0.2838563, 0.2167881, 0.02370156, 0.2096612]),
        (0.5, 0.02313286, [0.0708914, 0.3791042, 0.2938332, 0.07506391, 0.2982251]),
        (0.5, 0.009124078, [0.106681, 0.4327268, 0.3362166, 0.1019452, 0.3479955]),
        (1, 0.02932512, [0, 0.3085764, 0.2300801, 0.01143652, 0.2291531]),
        (1, 0.01269414, [0.07022348, 0.396642, 0.3044255, 0.07151663, 0.31301]),
        (1, 0.005494992, [0.1049623, 0.4385186, 0.3391729, 0.09907393, 0.3527401]),
    ],
    "enet_poisson.csv": [
        (0, 23.5349, [0.009251658, 0.003730997, 0.01266164, 0.003439135, 0.0141719]),
        (0, 3.661269, [0.04842557, 0.02095708, 0.06550316, 0.02029514, 0.07300782]),
        (0, 0.5695749, [0.1440462, 0.07208017, 0.182649, 0.07511376, 0.2018242]),
        (0.5, 0.1577593, [0.1247603, 0.02857521, 0.185693, 0.03840622, 0.2200925]),
        (0.5, 0.05669575, [0.187629, 0.08842012, 0.2348627, 0.09736964, 0.2628845]),
        (0.5, 0.0185653, [0.2118078, 0.1121067, 0.2534181, 0.1204543, 0.2784761]),
        (1, 0.07887965, [0.1339927, 0.0322772, 0.1969884, 0.0439019, 0.2339252]),
        (1, 0.02834788, [0.1927163, 0.09160406, 0.2398164, 0.1010126, 0.2682158]),
        (1, 0.0101877, [0.2126847, 0.1123439, 0.2544153, 0.1208601, 0.2796794]),
    ],
}


@pytest.mark.parametrize("name", PENALISED)
def test_elastic_nets_of_glmnet(name):
    """glmnet had the columns centred, over their standard deviation (that of n − 1), and no intercept."""
    data = table(name).to_numpy(float)  # with the first row for a header, as R had it there
    y, X = data[:, 0], data[:, 1:]
    X = (X - X.mean(axis=0)) / X.std(axis=0, ddof=1)
    family = "bernoulli" if "binomial" in name else "poisson"
    for l1_ratio, lam, expected in PENALISED[name]:
        penalty = {0: "ridge", 0.5: "elastic_net", 1: "lasso"}[l1_ratio]
        settings = {"l1_ratio": 0.5} if l1_ratio == 0.5 else {}
        model = exact(family, penalty=penalty, lambdas=[lam], fit_intercept=False, **settings).fit(X, y)
        np.testing.assert_allclose(model.coef_, expected, rtol=2e-3, atol=2e-5)


#: ``results_discrete.py``, Anes: what Stata's mlogit found, weights of five columns and the constant against class 0.
ANES = np.array(
    [
        [-0.01153598, 0.29771435, -0.024945, 0.08249144, 0.00519655, -0.37340167],
        [-0.08875065, 0.39166864, -0.02289784, 0.18104276, 0.04787398, -2.2509132],
        [-0.1059667, 0.57345051, -0.01485121, -0.00715242, 0.05757516, -3.6655835],
        [-0.0915567, 1.2787718, -0.00868135, 0.19982796, 0.08449838, -7.6138431],
        [-0.0932846, 1.3469616, -0.01790407, 0.21693885, 0.08095841, -7.0604782],
        [-0.14088069, 2.0700801, -0.00943265, 0.3219257, 0.10889408, -12.105751],
    ]
)


def test_seven_classes_of_voters():
    X, y = columns_of(sm.datasets.anes96)
    model = ClassifierGLM("none", precision="float64", tol=1e-18).fit(X, y)
    against_first = np.column_stack([model.coef_, model.intercept_])[1:] - np.append(
        model.coef_[0], model.intercept_[0]
    )
    np.testing.assert_allclose(against_first, ANES, rtol=2e-6, atol=1e-7)
    found = model.evaluate(X, y).iloc[0]
    np.testing.assert_allclose(found["deviance"], 2 * 1461.922747312, rtol=1e-9)
    np.testing.assert_allclose(found["null_deviance"], 2 * 1750.34670999, rtol=1e-9)
    np.testing.assert_allclose(found["deviance_explained"], 0.1647810465387, rtol=1e-9)
