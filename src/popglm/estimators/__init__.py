"""`GLM` and its relatives: what users call, the checks of what they give, fits, predictions, and their files."""

from popglm.estimators.adaptive_factors import AdaptiveFactors
from popglm.estimators.classifier.glm import ClassifierGLM
from popglm.estimators.classifier.glm_cv import ClassifierGLMCV
from popglm.estimators.factor_search import FactorSearch
from popglm.estimators.glm import GLM
from popglm.estimators.glm_cv import GLMCV
from popglm.estimators.loading import load
from popglm.estimators.low_rank_glm import LowRankGLM
from popglm.estimators.smooth_glm import SmoothGLM
from popglm.estimators.two_part import TwoPartGLM

__all__ = [
    "GLM",
    "GLMCV",
    "AdaptiveFactors",
    "ClassifierGLM",
    "ClassifierGLMCV",
    "FactorSearch",
    "LowRankGLM",
    "SmoothGLM",
    "TwoPartGLM",
    "load",
]
