"""`GLM`, `GLMCV` and `SmoothGLM`: what users call, the checks of what they give, what fits predict, and their files."""

from popglm.estimators.adaptive_factors import AdaptiveFactors
from popglm.estimators.factor_search import FactorSearch
from popglm.estimators.glm import GLM
from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.loading import load
from popglm.estimators.smooth_glm import SmoothGLM

__all__ = ["GLM", "GLMCV", "AdaptiveFactors", "FactorSearch", "SmoothGLM", "load"]
