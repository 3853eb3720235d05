"""Small fitted populations that several tests of contributions share."""

from copy import deepcopy
from functools import cache

import numpy as np
import pandas as pd

import popglm as pg

N_SAMPLES, N_TRIALS = 1_200, 60


def behaviour(seed=0):
    """Position along the track, two signals of the task, a speed; trials of 20 samples."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "trial": np.repeat(np.arange(N_TRIALS), N_SAMPLES // N_TRIALS),
            "position": np.tile(np.linspace(0, 100, N_SAMPLES // N_TRIALS), N_TRIALS) + rng.normal(0, 1, N_SAMPLES),
            "cue": np.repeat(rng.choice([-1, 1], N_TRIALS), N_SAMPLES // N_TRIALS),
            "speed": rng.normal(size=N_SAMPLES),
        }
    )


def design():
    position = pg.bumps("position", n=5, low=0, high=100)
    return pg.Design([position, position * "cue", pg.linear("speed")], trial="trial", dtype="float64")


def fitted(family="poisson", penalty="group_lasso", seed=0, n_neurons=4, **settings):
    """(model, X, Y, behaviour), to change: neuron 0 follows position, 1 the cue in places, 2 the speed, 3 nothing."""
    return deepcopy(_fitted(family, penalty, seed, n_neurons, **settings))


@cache
def _fitted(family, penalty, seed, n_neurons, **settings):
    b = behaviour(seed)
    rng = np.random.default_rng(seed + 1)
    X = design().fit_transform(b)
    place = np.exp(-0.5 * ((b["position"] - 40) / 15) ** 2)
    eta = np.stack([1.5 * place, 1.2 * place * b["cue"], 0.6 * b["speed"], 0 * b["speed"]], axis=1)[:, :n_neurons] - 0.5
    match family:
        case "poisson":
            Y = rng.poisson(np.exp(eta)).astype(float)
        case "bernoulli":
            Y = (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float)
        case _:
            Y = eta + rng.normal(0, 0.5, eta.shape)
    settings = {"n_lambdas": 6, "lambda_min_ratio": 1e-3, "precision": "float64", "cv": 4} | settings
    return pg.GLMCV(family=family, penalty=penalty, **settings).fit(X, Y, groups=b["trial"]), X, Y, b
