"""`GLM` and `GLMCV`: what users call, the checks of what they give, and what a fitted population predicts."""

from popglm.estimators.glm import GLM
from popglm.estimators.glm_cv import GLMCV

__all__ = ["GLM", "GLMCV"]
