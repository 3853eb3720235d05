"""What several tests of circular shifts look at."""

import numpy as np
import pytest
from signals import activity, smooth, standardised
from sklearn.model_selection import GroupKFold

import popglm as pg


@pytest.fixture(params=["gaussian", "poisson", "bernoulli", "poisson softplus"])
def fitted(request):
    """A model, X, Y with NaN in two of three neurons, and trials, the last of them never held out."""
    family, _, link = request.param.partition(" ")
    rng = np.random.default_rng(0)
    n = 360
    X = standardised(smooth(rng, n, 5, 2) + 0.5 * smooth(rng, n, 1, 2))
    Y = activity(rng, family, X[:, :3] @ rng.normal(0, 0.5, (3, 3)) - 0.3)
    Y[40:70, 1] = np.nan
    Y[rng.random(n) < 0.1, 2] = np.nan
    trial = np.repeat(np.arange(45), 8)
    splits = [
        (np.setdiff1d(np.arange(n), test), test) for _, test in GroupKFold(4).split(X, groups=trial)
    ][:3]  # fmt: skip
    model = pg.GLMCV(
        family, link or None, penalty="ridge", feature_groups=[2, 2, 1], lambdas=[1.0, 0.1, 0.01], cv=splits,
        se_fraction=0.5, refit=False, precision="float64",
    ).fit(X, Y)  # fmt: skip
    return model, X, Y, trial
