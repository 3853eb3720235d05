"""What the public checks of glmnet and of its ports assert, asked of popglm.

The numbers are those that R's glmnet found for the ten rows below; ``test/runtests.jl`` of GLMNet.jl prints them. It
divides columns by their standard deviation (that of n, not n − 1) before it penalises them, and weights by it
afterwards; so do these tests. Its own fits stop at changes of about 1e-7 of the null deviance, hence the tolerances.
"""

import numpy as np
import pytest
from peer_fits import DEVIANCES, MEANS, exact

from popglm import GLM, GLMCV
from popglm.warnings import PopglmWarning

# ten samples, as glmnet's example has them, are few, and a made response is one of its columns
pytestmark = pytest.mark.filterwarnings("ignore:.*(fewer than 10|own activity)")

X = np.array(
    [
        [74, 1, 93, 93, 79, 18],
        [98, 36, 2, 27, 65, 70],
        [61, 8, 99, 53, 77, 92],
        [47, 51, 67, 84, 87, 80],
        [81, 32, 9, 18, 32, 10],
        [78, 67, 92, 98, 4, 65],
        [67, 94, 30, 20, 85, 73],
        [51, 100, 75, 76, 86, 18],
        [93, 71, 76, 64, 70, 91],
        [30, 5, 13, 89, 19, 2],
    ],
    dtype=float,
)
y = np.array([9, 67, 91, 80, 2, 61, 70, 13, 83, 21], dtype=float)
SCALE = X.std(axis=0)
FOLD = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 3])
FAMILIES = ["gaussian", "bernoulli", "poisson"]
ACTIVITY = {"gaussian": y, "poisson": y, "bernoulli": (y >= 50).astype(float)}
LARGEST = {"gaussian": 31.828916949571, "poisson": 31.828916949571, "bernoulli": 0.472385796995596}
# runs of strengths with the same number of weights: (weights, strengths)
COUNTS = {
    "gaussian": [(0, 1), (1, 23), (2, 7), (4, 2), (5, 9), (6, 27)],
    "bernoulli": [(0, 1), (1, 52), (2, 22)],
    "poisson": [(0, 1), (1, 28), (3, 1), (4, 4), (5, 5), (6, 30)],
}
MODELS = [10, 45, 53]
WEIGHTS = {
    "gaussian": [
        [0, 0, 0, 0, 0, 0.5705016364],
        [-0.2610625986, -0.0332936920, -0.0809663336, 0.0249701533, -0.0581532580, 1.0427927693],
        [-0.2699930657, -0.0405255314, -0.1130184185, 0.0589364226, -0.0596593766, 1.0709725126],
    ],
    "bernoulli": [
        [0, 0, 0, 0, 0, 0.0411856789],
        [0, 0, 0, 0, 0, 0.1609132093],
        [0, 0, 0, 0, -0.0001247957, 0.1892922464],
    ],
    "poisson": [
        [0, 0, 0, 0, 0, 0.0128103282],
        [-0.0066873360, 0.0002507962, -0.0053947766, 0.0023364619, -0.0043227868, 0.0302846638],
        [-0.0077845592, 0.0004117856, -0.0064339449, 0.0029034876, -0.0051301926, 0.0318823279],
    ],
}
INTERCEPTS = {
    "gaussian": [20.0909650685, 21.3405100552, 20.5818972051],
    "bernoulli": [-1.5875412029, -6.8004616554, -7.9993250879],
    "poisson": [3.1534348562, 2.8706683386, 2.9068339607],
}
EXPLAINED = {  # of strengths 2, 16, 31, 46, 61
    "gaussian": [0.1611406847, 0.8908650918, 0.9629898204, 0.9921544907, 0.9950724417],
    "bernoulli": [0.1171140914, 0.7854771945, 0.9454551157, 0.9860314769, 0.9964870119],
    "poisson": [0.1294997192, 0.7973476291, 0.8778389535, 0.9403262449, 0.9454757467],
}
PREDICTIONS = {  # linear predictors of the first three rows at strengths 16 and 62
    "gaussian": [[25.6745153328, 62.5277661498, 78.1195261108], [9.6884639553, 65.5136648666, 89.5375868926]],
    "bernoulli": [[-1.3155193916, 1.7224256981, 3.0077101592], [-5.3281526342, 5.9363018347, 10.6401039778]],
    "poisson": [[3.1950433393, 4.0632756632, 4.4306047233], [2.1086079744, 4.1259623192, 4.4818672954]],
}
HELD_OUT = {  # mean over samples of the loss in three folds, and its standard error, at strengths 1, 11, 21, 31
    "gaussian": (
        [1196.1831818915, 256.7448523901, 126.7380620119, 128.0051831351],
        [136.3223528207, 88.2039985031, 13.4854437504, 47.3664947235],
    ),
    "bernoulli": (
        [1.4923449423, 0.5069758819, 0.2055316120, 0.0952806756],
        [0.1870601732, 0.0361867026, 0.0370970329, 0.0316690701],
    ),
    "poisson": (
        [29.7515432302, 8.6972214304, 5.3514170402, 8.3980276592],
        [0.9290454430, 3.2733038661, 2.0811001612, 1.4124151349],
    ),
}
SELECTED = {"gaussian": 4.110862702400506, "bernoulli": 0.0004835015175294886, "poisson": 4.951548678559192}


def strengths(family):
    """glmnet's, which ends its path where the fraction of deviance explained stands still."""
    n = sum(count for _, count in COUNTS[family])
    return LARGEST[family] * 1e-4 ** (np.arange(n) / 99)


@pytest.fixture(scope="module", params=FAMILIES)
def path(request):
    """Family, and its lasso on columns divided by their standard deviation."""
    family = request.param
    return family, exact(family, penalty="lasso", lambdas=strengths(family)).fit(X / SCALE, ACTIVITY[family])


def linear_predictors(model, columns):
    """Those of all strengths, (n_lambdas, n_samples)."""
    n = len(model.lambdas_)
    return model.coef_path_.reshape(n, -1) @ columns.T + model.intercept_path_.reshape(n, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_own_grid_is_that_of_glmnet_from_a_thousandth_above(family):
    model = GLM(family, penalty="lasso", n_lambdas=100, lambda_min_ratio=1e-4).fit(X / SCALE, ACTIVITY[family])
    expected = 1.001 * LARGEST[family] * 1e-4 ** (np.arange(100) / 99)
    np.testing.assert_allclose(model.lambdas_.ravel(), expected, rtol=1e-6)


@pytest.mark.thorough(keep=1)
def test_as_many_weights_at_every_strength(path):
    family, model = path
    counts = np.concatenate([np.full(n, weights) for weights, n in COUNTS[family]])
    np.testing.assert_array_equal((model.coef_path_ != 0).sum(axis=-1).ravel(), counts)


def test_weights_and_intercepts(path):
    family, model = path
    found = model.coef_path_[MODELS].reshape(3, -1) / SCALE
    np.testing.assert_allclose(found, WEIGHTS[family], rtol=1e-3, atol=5e-4 * np.abs(WEIGHTS[family]).max())
    np.testing.assert_allclose(model.intercept_path_.ravel()[MODELS], INTERCEPTS[family], rtol=3e-3)


def test_objective_is_not_above_that_of_the_printed_digits(path):
    family, model = path
    values, lambdas = ACTIVITY[family], strengths(family)[MODELS]
    null = DEVIANCES[family](values, np.full_like(values, values.mean())).mean() / 2

    def objective(weights, intercepts):
        mu = MEANS[family](weights @ X.T + np.c_[intercepts])
        return DEVIANCES[family](values, mu).mean(axis=1) / 2 + lambdas * np.abs(weights * SCALE).sum(axis=1)

    ours = objective(model.coef_path_[MODELS].reshape(3, -1) / SCALE, model.intercept_path_.ravel()[MODELS])
    theirs = objective(np.array(WEIGHTS[family]), INTERCEPTS[family])
    assert (ours <= theirs + 1e-9 * null).all()
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * null)


def test_fraction_of_deviance_explained(path):
    family, model = path
    seen = [1, 15, 30, 45, 60]
    mu = MEANS[family](linear_predictors(model, X / SCALE)[seen])
    values, deviance = ACTIVITY[family], DEVIANCES[family]
    null = deviance(values, np.full_like(values, values.mean())).sum()
    explained = 1 - deviance(values, mu).sum(axis=1) / null
    np.testing.assert_allclose(explained, EXPLAINED[family], atol=1.5e-4)


def test_predictions(path):
    family, model = path
    found = linear_predictors(model, X / SCALE)[[15, 61], :3]
    np.testing.assert_allclose(found, PREDICTIONS[family], rtol=1e-3)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", FAMILIES)
def test_held_out_loss_and_selected_strength(family):
    """glmnet divides columns by the standard deviation of each fold's training rows, hence a fit per fold."""
    values, lambdas, losses = ACTIVITY[family], strengths(family), []
    for fold in (1, 2, 3):
        train, test = fold != FOLD, fold == FOLD
        scale = X[train].std(axis=0)
        model = exact(family, penalty="lasso", lambdas=lambdas, tol=1e-8).fit(X[train] / scale, values[train])
        mu = MEANS[family](linear_predictors(model, X[test] / scale))
        losses.append(DEVIANCES[family](values[test], mu).mean(axis=1))
    sizes = np.array([4, 3, 3]) / 10
    mean = sizes @ np.array(losses)
    error = np.sqrt(sizes @ (np.array(losses) - mean) ** 2 / 2)
    seen = [0, 10, 20, 30]
    np.testing.assert_allclose(mean[seen], HELD_OUT[family][0], rtol=2e-3)
    np.testing.assert_allclose(error[seen], HELD_OUT[family][1], rtol=4e-3)
    if family != "bernoulli":  # separable: the last strength of the list is the best, and glmnet's digits end there
        assert lambdas[mean.argmin()] == pytest.approx(SELECTED[family], rel=1e-9)
    else:
        assert mean.argmin() == len(lambdas) - 1
        assert lambdas[-1] == pytest.approx(SELECTED[family], rel=1e-9)


def test_activity_with_zeros_has_no_nan():
    """Of one event popglm makes no model, and says so; everything stays a number."""
    columns = np.array([[1, 1], [2, 2], [3, 4]], dtype=float)
    with pytest.warns(PopglmWarning, match="single event"):
        model = GLM(penalty="lasso").fit(columns, [0, 0, 1])
    assert np.isfinite(model.loss_path_).all()
    assert np.isfinite(model.evaluate(columns, [0, 0, 1])).all(axis=None)
    two = exact("poisson", penalty="lasso", lambdas=[0.05]).fit(columns, [0, 1, 1])
    assert np.isfinite(two.loss_path_).all()
    assert np.any(two.coef_ != 0)


def test_one_column_explains_the_activity_it_makes():
    x = np.random.default_rng(0).random((500, 1))
    model = GLMCV("gaussian", penalty="lasso").fit(x, 1.3 * x.ravel())
    assert model.score(x, 1.3 * x.ravel()) > 0.9


def test_weights_grow_without_their_penalty():
    """python-glmnet: the weights that a lasso keeps are at least as large once their penalty factors are 0."""
    rng = np.random.default_rng(2)
    columns = np.linalg.qr(rng.normal(size=(200, 30)))[0] * np.sqrt(200)
    w = np.r_[rng.uniform(1, 2, 8), np.zeros(22)]
    values = columns @ w + rng.normal(size=200)
    lasso = exact("gaussian", penalty="lasso", lambdas=[0.3], feature_groups=list("abcdefghijklmnopqrstuvwxyzABCD"))
    kept = lasso.fit(columns, values).coef_ != 0
    free = exact(
        "gaussian", penalty="lasso", lambdas=[0.3], feature_groups=lasso.feature_groups,
        penalty_factors=np.where(kept, 0.0, 1.0),
    ).fit(columns, values)  # fmt: skip
    assert 8 <= kept.sum() < 20
    assert (np.abs(free.coef_[kept]) > np.abs(lasso.coef_[kept]) + 0.1).all()
    assert (free.coef_[~kept] == 0).mean() > 0.9


def test_factors_of_mean_one():
    """glmnet rescales penalty factors to a mean of 1: factors (0.5, 2) there are (0.4, 1.6) here."""
    theirs = np.array([0.5, 0.5, 0.5, 2, 2, 2])
    ours = theirs / theirs.mean()
    names = ["a", "b", "c", "d", "e", "f"]
    model = exact("gaussian", penalty="lasso", lambdas=[2.0], feature_groups=names, penalty_factors=ours)
    model.fit(X / SCALE, y)
    residual = y - model.predict(X / SCALE)
    gradient = (X / SCALE).T @ residual / len(y)
    on = model.coef_ != 0
    assert on.any()
    assert not on.all()
    np.testing.assert_allclose(gradient[on], 2 * ours[on] * np.sign(model.coef_[on]), rtol=1e-6)
    assert (np.abs(gradient[~on]) <= 2 * ours[~on]).all()
