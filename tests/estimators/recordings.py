"""A small population whose recording is spoilt in many ways, and what a fit of it must be."""

import numpy as np

from popglm import GLMCV

RNG = np.random.default_rng(0)
N, P, Q = 300, 6, 4
X = RNG.standard_normal((N, P))
WEIGHTS = np.array([[0.5, 0, 0, 0, 0, 0], [0, -0.4, 0, 0, 0.2, 0], [0, 0, 0, 0.6, 0, 0], [0.3, 0, 0, 0, 0, -0.3]])
ETA = X @ WEIGHTS.T
COUNTS = RNG.poisson(np.exp(ETA)).astype(float)
EVENTS = (RNG.random(ETA.shape) < 1 / (1 + np.exp(-ETA))).astype(float)
TRIALS = np.repeat(np.arange(30), 10)


def assert_sane(model, tol=None):
    """Finite everywhere, and certified within ``tol`` (the model's own unless given)."""
    assert np.isfinite(model.coef_path_).all()
    assert np.isfinite(model.intercept_path_).all()
    assert np.isfinite(model.loss_path_).all()
    assert (model.gap_ <= (model.tol if tol is None else tol)).all()
    if isinstance(model, GLMCV):
        assert np.isfinite(model.cv_coef_path_).all()
        assert np.isfinite(model.cv_intercept_path_).all()
        # a neuron that was never recorded has no held-out deviance
        recorded = ~np.isnan(model.cv_null_deviance_)
        assert np.isfinite(model.cv_deviance_[:, :, recorded]).all()
        assert np.isfinite(model.cv_deviance_explained_[recorded]).all()
