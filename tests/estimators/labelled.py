"""A small population whose samples, columns and neurons have labels, and its fit."""

import numpy as np
import pandas as pd

import popglm as pg
from popglm import GLMCV

RNG = np.random.default_rng(5)
N = 160
TIMES = 0.5 + 0.01 * np.arange(N)
TRIAL = pd.Series(np.arange(N) // 10, index=TIMES, name="trial")
COLUMNS = pd.MultiIndex.from_tuples([("speed", "speed"), ("cue", "left"), ("cue", "right")])
X = pd.DataFrame(RNG.standard_normal((N, 3)), index=TIMES, columns=COLUMNS)
FLAT = X.set_axis(["speed", "left", "right"], axis=1)
Y = pd.DataFrame(RNG.poisson(np.exp(X.to_numpy() @ np.array([[0.8, 0.0], [0.0, -0.7], [0.1, 0.0]]))), TIMES, ["a", "b"])
WEIGHT = pd.Series(RNG.uniform(0.5, 2, N), index=TIMES)
OFFSET = pd.Series(RNG.normal(size=N) * 0.2, index=TIMES)
GIVEN = {"sample_weight": WEIGHT, "offset": OFFSET}
MODEL = GLMCV(lambdas=[0.1, 0.01], cv=4, penalty="lasso")
SHUFFLED = RNG.permutation(N)
BINS = pg.bins(pd.Series(X["speed"].iloc[:, 0].to_numpy(), TIMES), [-1, 1], 1.0, name="speed")
DESIGN = pg.Design([pg.linear("speed"), pg.linear("left")])
FEATURES = DESIGN.fit_transform({"speed": FLAT["speed"].to_numpy(), "left": FLAT["left"].to_numpy()})


def fit(X, Y, trial=TRIAL, weight=WEIGHT, offset=OFFSET):
    return GLMCV(**MODEL.get_params()).fit(X, Y, groups=trial, sample_weight=weight, offset=offset)
